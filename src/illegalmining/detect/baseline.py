"""What each pixel should look like: a robust seasonal baseline, its noise, and how long that noise lingers.

Every feature of a pixel follows `level + annual + half-annual wave`; the errors are Student-t, so clouds that leaked
through the mask hardly count (EM for the t distribution: Lange, Little & Taylor 1989, JASA 84:881). All features share
one weight a date. Arrays have the pixel last, and pixels are worked on in groups: one pass over memory, then
everything happens in cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Days = npt.NDArray[np.int32]

LANES = 64
"""Pixels worked on together: long enough for vector instructions to pay, short enough to stay in cache."""

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""Liberties the compiler may take; it must still know NaN."""

DAYS_A_YEAR = 365.2425

kernel = njit(nogil=True, cache=True, fastmath=FAST)
"""Compiles a whole kernel, once a machine."""

part = njit(nogil=True, cache=True, fastmath=FAST, forceinline=True)
"""Compiles a kernel's part, always into the kernel itself.

A part that stayed a function of its own would be that of its own module in the process that compiles, and the kernel's
copy of it in every process that finds the kernel on disk: two machine codes, whose sums round apart.
"""


@dataclass(frozen=True)
class BaselineParameters:
    """How a baseline is fitted.

    harmonics: waves a year, 1-3. rounds: EM rounds, 3-10. tail: degrees of freedom of the error, 2-8 (3: textbook
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
    rounds: int = 6
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

    coefficients: (K, C, P). information: (C, C, P), inverse of the weighted normal matrix. whitening: (K, K, P), lower
    triangular: maps a residual to unit noise. memory: (P,), noise correlation between consecutive clear dates, 0-1.
    clear: (P,), clear dates in the history; below `fewest` the pixel is not judged. every_season (K, P) and its
    spread (K, K, P): mean, from the level, and covariance of what the pixel looked like at any time of the year.
    scales (K, P): scale of the errors' t distribution.
    """

    coefficients: Floats
    information: Floats
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


@part
def load(values: Floats, at: int, lanes: int, local: Floats, weight: Floats, count: Floats) -> None:
    """Copy one group of pixels into cache; a date counts where every feature is finite."""
    dates, features, _ = values.shape
    for lane in range(LANES):
        count[lane] = 0.0
    for t in range(dates):
        for lane in range(LANES):
            weight[t, lane] = 1.0 if lane < lanes else 0.0
        for k in range(features):
            if lanes == LANES:
                for lane in range(LANES):
                    local[t, k, lane] = values[t, k, at + lane]
            else:
                for lane in range(lanes):
                    local[t, k, lane] = values[t, k, at + lane]
            for lane in range(LANES):
                finite = np.isfinite(local[t, k, lane])
                local[t, k, lane] = local[t, k, lane] if finite else np.float32(0.0)
                weight[t, lane] = weight[t, lane] if finite else np.float32(0.0)
        for lane in range(LANES):
            count[lane] += weight[t, lane]


@part
def accumulate(
    local: Floats, design: Floats, weight: Floats, ridge: Floats, prior: Floats, normal: Floats, right: Floats
) -> None:
    """Weighted normal equations of a group, starting from the prior."""
    dates, features, _ = local.shape
    terms = design.shape[1]
    for c in range(terms):
        for e in range(c + 1):
            for lane in range(LANES):
                normal[c, e, lane] = ridge[c] if c == e else np.float32(0.0)
        for k in range(features):
            for lane in range(LANES):
                right[k, c, lane] = ridge[c] * prior[k, c]
    for t in range(dates):
        for c in range(terms):
            x = design[t, c]
            for e in range(c + 1):
                xx = x * design[t, e]
                for lane in range(LANES):
                    normal[c, e, lane] += weight[t, lane] * xx
            for k in range(features):
                for lane in range(LANES):
                    right[k, c, lane] += weight[t, lane] * x * local[t, k, lane]


@part
def factorise(normal: Floats) -> None:
    """Cholesky factor of a group's normal matrices, in place, in the lower triangle."""
    terms = normal.shape[0]
    for c in range(terms):
        for e in range(c + 1):
            for m in range(e):
                for lane in range(LANES):
                    normal[c, e, lane] -= normal[c, m, lane] * normal[e, m, lane]
            for lane in range(LANES):
                if c == e:
                    normal[c, c, lane] = np.sqrt(max(normal[c, c, lane], np.float32(1e-6)))
                else:
                    normal[c, e, lane] /= normal[e, e, lane]


@part
def substitute(factor: Floats, right: Floats, solution: Floats) -> None:
    """Solve with a Cholesky factor for every right-hand side of a group."""
    terms = factor.shape[0]
    for k in range(right.shape[0]):
        for c in range(terms):
            for lane in range(LANES):
                solution[k, c, lane] = right[k, c, lane]
            for m in range(c):
                for lane in range(LANES):
                    solution[k, c, lane] -= factor[c, m, lane] * solution[k, m, lane]
            for lane in range(LANES):
                solution[k, c, lane] /= factor[c, c, lane]
        for back in range(terms):
            c = terms - 1 - back
            for m in range(c + 1, terms):
                for lane in range(LANES):
                    solution[k, c, lane] -= factor[m, c, lane] * solution[k, m, lane]
            for lane in range(LANES):
                solution[k, c, lane] /= factor[c, c, lane]


@part
def distances(
    local: Floats, design: Floats, solution: Floats, scale: Floats, distance: Floats, residual: Floats
) -> None:
    """Squared distance of each date from the fit, in squared scales summed over features (scale 0: not yet known)."""
    dates, features, _ = local.shape
    terms = design.shape[1]
    for t in range(dates):
        for lane in range(LANES):
            distance[t, lane] = 0.0
        for k in range(features):
            for lane in range(LANES):
                residual[t, k, lane] = local[t, k, lane]
            for c in range(terms):
                x = design[t, c]
                for lane in range(LANES):
                    residual[t, k, lane] -= x * solution[k, c, lane]
            for lane in range(LANES):
                distance[t, lane] += residual[t, k, lane] * residual[t, k, lane] * scale[k, lane]


@part
def reweigh(
    residual: Floats,
    distance: Floats,
    weight: Floats,
    count: Floats,
    tail: np.float32,
    floor: np.float32,
    scale: Floats,
    started: bool,
) -> None:
    """One EM step of the t distribution: new weights, then new inverse squared scales."""
    dates, features, _ = residual.shape
    if started:
        for t in range(dates):
            for lane in range(LANES):
                here = np.float32(1.0) if weight[t, lane] > 0 else np.float32(0.0)
                weight[t, lane] = here * (tail + features) / (tail + distance[t, lane])
    for k in range(features):
        for lane in range(LANES):
            scale[k, lane] = 0.0
        for t in range(dates):
            for lane in range(LANES):
                scale[k, lane] += weight[t, lane] * residual[t, k, lane] * residual[t, k, lane]
        for lane in range(LANES):
            scale[k, lane] = 1.0 / max(scale[k, lane] / max(count[lane], np.float32(1.0)), floor * floor)


@kernel
def fit_kernel(
    values: Floats,
    design: Floats,
    ridge: Floats,
    prior: Floats,
    rounds: int,
    tail: np.float32,
    floor: np.float32,
    coefficients: Floats,
    information: Floats,
    scales: Floats,
    clear: Days,
) -> None:
    """Fit every pixel of `values` (T, K, P); fills the outputs (K, C, P), (C, C, P), (K, P), (P,)."""
    dates, features, pixels = values.shape
    terms = design.shape[1]
    local = np.zeros((dates, features, LANES), np.float32)
    residual = np.zeros((dates, features, LANES), np.float32)
    weight = np.zeros((dates, LANES), np.float32)
    distance = np.zeros((dates, LANES), np.float32)
    count = np.zeros(LANES, np.float32)
    normal = np.zeros((terms, terms, LANES), np.float32)
    right = np.zeros((features, terms, LANES), np.float32)
    solution = np.zeros((features, terms, LANES), np.float32)
    scale = np.zeros((features, LANES), np.float32)
    unit = np.zeros((terms, terms, LANES), np.float32)
    inverse = np.zeros((terms, terms, LANES), np.float32)
    for c in range(terms):
        unit[c, c, :] = 1.0
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        load(values, at, lanes, local, weight, count)
        for step in range(rounds):
            accumulate(local, design, weight, ridge, prior, normal, right)
            factorise(normal)
            substitute(normal, right, solution)
            distances(local, design, solution, scale, distance, residual)
            reweigh(residual, distance, weight, count, tail, floor, scale, step > 0)
        substitute(normal, unit, inverse)
        for lane in range(lanes):
            clear[at + lane] = int(count[lane])
            for k in range(features):
                scales[k, at + lane] = 1.0 / np.sqrt(scale[k, lane])
                for c in range(terms):
                    coefficients[k, c, at + lane] = solution[k, c, lane]
            for c in range(terms):
                for m in range(terms):
                    information[c, m, at + lane] = inverse[c, m, lane]


def fit(values: Floats, design: Floats, parameters: BaselineParameters) -> tuple[Floats, Floats, Floats, npt.NDArray]:
    """Robust seasonal fit of a tile.

    values: (T, K, P), NaN where not clear. design: (T, C) from `season`. The surroundings' season, fitted to the
    median of the tile, is the prior of each pixel's waves; the level is free.

    Returns
    -------
    coefficients (K, C, P), information (C, C, P), t-scale (K, P), clear dates (P,).
    """
    ridge = np.full(design.shape[1], parameters.wave_ridge, np.float32)
    ridge[0] = 0.0
    nothing = np.zeros((values.shape[1], design.shape[1]), np.float32)
    typical = nan_median(values[:, :, sampled(values.shape[2], parameters.sample)], axis=2)[:, :, None]
    surroundings = fit_with(np.ascontiguousarray(typical), design, ridge, nothing, parameters)[0][:, :, 0]
    return fit_with(values, design, ridge, surroundings, parameters)


def fit_with(
    values: Floats, design: Floats, ridge: Floats, prior: Floats, parameters: BaselineParameters
) -> tuple[Floats, Floats, Floats, npt.NDArray]:
    """`fit` with a given prior (K, C) and ridge (C,)."""
    _, features, pixels = values.shape
    terms = design.shape[1]
    coefficients = np.empty((features, terms, pixels), np.float32)
    information = np.empty((terms, terms, pixels), np.float32)
    scales = np.empty((features, pixels), np.float32)
    clear = np.empty(pixels, np.int32)
    floor, tail = np.float32(parameters.smallest_noise), np.float32(parameters.tail)
    fit_kernel(values, design, ridge, prior, parameters.rounds, tail, floor, coefficients, information, scales, clear)
    return coefficients, information, scales, clear


def sampled(pixels: int, most: int) -> npt.NDArray[np.intp]:
    """Evenly spread positions of at most `most` of `pixels`."""
    return np.arange(0, pixels, max(1, -(-pixels // most)))


def nan_median(values: npt.NDArray, axis: int) -> npt.NDArray:
    """Median without NaN; NaN where there is nothing, and no warning about it."""
    ordered = np.sort(values, axis=axis)
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    return np.where(count > 0, (low + high) / 2, np.nan).squeeze(axis)
