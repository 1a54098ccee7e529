"""What each pixel should look like: a robust seasonal baseline, its noise, and how long that noise lingers.

Every feature of a pixel follows `level + annual + half-annual wave`; the errors are Student-t, so clouds that leaked
through the mask hardly count. All features share one weight a date. Arrays have the pixel last, and pixels are worked
on in groups: one pass over memory, then everything happens in cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from illegalmining.detect.kernels import Days, Floats
from illegalmining.detect.medians import medians_kernel
from illegalmining.detect.robust_fit import MOST_TERMS, MOST_WAVES, QUAD, fit_kernel

DAYS_A_YEAR = 365.2425


@dataclass(frozen=True)
class BaselineParameters:
    """How a baseline is fitted.

    harmonics: waves a year, 1-2. rounds: EM rounds, 3-8. tail: degrees of freedom of the error, 2-8 (3: textbook
    choice for contaminated data). wave_ridge: weight of the surroundings' season, in observations per wave.
    fewest: clear dates without which a pixel has no baseline. outlier: squared distance per feature, in squared scales,
    beyond which a date tells nothing of the noise. neighbours_dates: weight of the surroundings' noise, in dates.
    smallest_noise: floor of a feature's noise, in its unit. longest_memory: cap of the noise's correlation from one
    clear date to the next. sample: pixels from which a date's common offset is taken. few_pixels: number of pixels at
    which half of a date's common offset is believed. calmest: noise of the calmest date against the usual, 0.3-1.
    blind: common offset of a date, in the usual noise, from which most of the tile shows something else than the ground
    (cloud that the mask missed, snow): haze and late springs stay below 4.
    """

    harmonics: int = 2
    rounds: int = 4
    tail: float = 3.0
    wave_ridge: float = 1.0
    fewest: int = 6
    outlier: float = 12.0
    neighbours_dates: float = 12.0
    smallest_noise: float = 0.03
    longest_memory: float = 0.8
    sample: int = 4096
    few_pixels: float = 200.0
    calmest: float = 0.6
    blind: float = 6.0


@dataclass(frozen=True)
class Baseline:
    """A fitted tile of P pixels, K features, C coefficients.

    coefficients: (K, C, P). errors: (2 C - 1, P), variance of the fitted season in noise variances, itself a season,
    with twice as many harmonics (`doubled`). whitening: (K, K, P), lower triangular: maps a residual to unit noise.
    memory: (P,), noise correlation between consecutive clear dates, 0-1. clear: (P,), clear dates in the history; below
    `fewest` the pixel is not judged. every_season (K, P) and its spread (K, K, P): mean, from the level, and covariance
    of what the pixel looked like at any time of the year. scales (K, P): scale of the errors' t distribution.
    """

    coefficients: Floats
    errors: Floats
    whitening: Floats
    memory: Floats
    clear: Days
    every_season: Floats
    spread: Floats
    scales: Floats


def along(design: Floats, coefficients: Floats) -> Floats:
    """Expected values (T, K, P) on the dates of a design; the same to the bit however many dates are asked for."""
    expected = np.zeros((len(design), *coefficients.shape[::2]), np.float32)
    for c in range(design.shape[1]):
        expected += design[:, c, None, None] * coefficients[None, :, c]
    return expected


def season(days: npt.NDArray[np.float64], harmonics: int) -> Floats:
    """Design matrix (T, 1 + 2 harmonics): a level and waves of 1, 1/2, ... year. `days`: days since any epoch."""
    turns = 2 * np.pi * days[:, None] * np.arange(1, harmonics + 1) / DAYS_A_YEAR
    return np.hstack([np.ones((len(days), 1)), np.cos(turns), np.sin(turns)]).astype(np.float32)


def fit(values: Floats, design: Floats, parameters: BaselineParameters) -> tuple[Floats, Floats, Floats, npt.NDArray]:
    """Robust seasonal fit of a tile.

    values: (T, K, P), NaN where not clear. design: (T, C) from `season`. The surroundings' season, fitted to the
    median of the tile, is the prior of each pixel's waves; the level is free.

    Returns
    -------
    coefficients (K, C, P), errors (2 C - 1, P) as in `Baseline`, t-scale (K, P), clear dates (P,).
    """
    ridge = np.full(design.shape[1], parameters.wave_ridge, np.float32)
    ridge[0] = 0.0
    nothing = np.zeros((values.shape[1], design.shape[1]), np.float32)
    typical = np.empty((*values.shape[:2], 1), np.float32)
    medians_kernel(values, sampled(values.shape[2], parameters.sample), typical[:, :, 0])
    surroundings = fit_with(typical, design, ridge, nothing, parameters)[0][:, :, 0]
    return fit_with(values, design, ridge, surroundings, parameters)


def fit_with(
    values: Floats, design: Floats, ridge: Floats, prior: Floats, parameters: BaselineParameters
) -> tuple[Floats, Floats, Floats, npt.NDArray]:
    """`fit` with a given prior (K, C) and ridge (C,)."""
    _, features, pixels = values.shape
    terms = design.shape[1]
    coefficients = np.empty((features, terms, pixels), np.float32)
    errors = np.empty((2 * terms - 1, pixels), np.float32)
    scales = np.empty((features, pixels), np.float32)
    clear = np.empty(pixels, np.int32)
    floor, tail = np.float32(parameters.smallest_noise), np.float32(parameters.tail)
    waves, double = whole_quads(design, MOST_TERMS), whole_quads(doubled(design), MOST_WAVES)
    padded, towards = np.zeros(MOST_TERMS, np.float32), np.zeros((features, MOST_TERMS), np.float32)
    padded[:terms], towards[:, :terms] = ridge, prior
    given = waves, double, pairs_of(terms // 2).copy(), padded, towards, parameters.rounds, tail, floor
    fit_kernel(values, *given, coefficients, errors, scales, clear)
    return coefficients, errors, scales, clear


def whole_quads(design: Floats, most: int) -> Floats:
    """A design (T, C) as rows (most, T), with zeros up to whole quads of dates and to the most terms."""
    dates, terms = design.shape
    rows = np.zeros((most, dates + -dates % QUAD), np.float32)
    rows[:terms, :dates] = design.T
    return rows


def doubled(design: Floats) -> Floats:
    """The design (T, 1 + 4 H) with twice as many harmonics as a design (T, 1 + 2 H), from its own waves."""
    order = design.shape[1] // 2
    cosines, sines = design[:, 1 : order + 1], design[:, order + 1 :]
    top, side = cosines[:, -1:], sines[:, -1:]
    beyond = cosines * top - sines * side, sines * top + cosines * side
    return np.hstack([design[:, :1], cosines, beyond[0], sines, beyond[1]])


@cache
def pairs_of(order: int) -> Days:
    """For each two terms of a design, in the order of a packed lower triangle, the two waves of the doubled design of
    whose sum or difference (third column: 1, -1, or 0 for no second) their product is half (C (C + 1) / 2, 3).

    cos a cos b = (cos(a - b) + cos(a + b)) / 2, and so on: fewer waves than products, hence fewer sums.
    """
    rows = []
    for c in range(2 * order + 1):
        for e in range(c + 1):
            a, b = c - order * (c > order), e - order * (e > order)
            if e > order:
                rows.append((a - b, a + b, -1))
            elif c > order:
                rows.append((2 * order + a + b, 2 * order + abs(a - b) if a != b else 0, (a > b) - (a < b)))
            else:
                rows.append((a - b, a + b, 1))
    return np.array(rows, np.int32)


def sampled(pixels: int, most: int) -> int:
    """Every how many pixels one is looked at, so that at most `most` of `pixels` are, evenly spread."""
    return max(1, -(-pixels // most))


def nan_median(values: npt.NDArray, axis: int) -> npt.NDArray:
    """Median without NaN; NaN where there is nothing, and no warning about it."""
    ordered = np.array(values, order="C")  # so that the common case, the last axis, is sorted in place
    ordered.sort(axis=axis)
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    return np.where(count > 0, (low + high) / 2, np.nan).squeeze(axis)
