"""What each pixel should look like: a robust seasonal baseline, its noise, and how long that noise lingers.

Every feature of a pixel follows `level + annual + half-annual wave`; the errors are Student-t, so clouds that leaked
through the mask hardly count (EM for the t distribution: Lange, Little & Taylor 1989, JASA 84:881). All features share
one weight a date. Arrays have the pixel last, and pixels are worked on in small groups that fit the processor's
registers: one pass over memory, then everything happens in cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Days = npt.NDArray[np.int32]

LANES = 16
"""Pixels worked on together: one AVX-512 register, two AVX2 registers."""

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""Liberties the compiler may take; it must still know NaN."""

DAYS_A_YEAR = 365.2425

T_MAD = 0.765
"""Median absolute value of a t distribution with 3 degrees of freedom and unit scale."""


@dataclass(frozen=True)
class BaselineParameters:
    """How a baseline is fitted.

    harmonics: waves a year, 1-3. rounds: EM rounds, 3-10. tail: degrees of freedom of the error, 2-8 (3: textbook
    choice for contaminated data). wave_ridge: weight of the surroundings' season, in observations per wave.
    fewest: clear dates without which a pixel has no baseline. outlier: squared distance per feature, in squared scales,
    beyond which a date tells nothing of the noise. neighbours_dates: weight of the surroundings' noise, in dates.
    smallest_noise: floor of a feature's noise, in its unit. longest_memory: cap of the noise's correlation from one
    clear date to the next. sample: pixels from which a date's common offset is taken. few_pixels: number of pixels at
    which half of a date's common offset is believed.
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


@dataclass(frozen=True)
class Baseline:
    """A fitted tile of P pixels, K features, C coefficients.

    coefficients: (K, C, P). information: (C, C, P), inverse of the weighted normal matrix. whitening: (K, K, P), lower
    triangular: maps a residual to unit noise. memory: (P,), noise correlation between consecutive clear dates, 0-1.
    clear: (P,), clear dates in the history; below `fewest` the pixel is not judged.
    """

    coefficients: Floats
    information: Floats
    whitening: Floats
    memory: Floats
    clear: npt.NDArray[np.int32]


def season(days: npt.NDArray[np.float64], harmonics: int) -> Floats:
    """Design matrix (T, 1 + 2 harmonics): a level and waves of 1, 1/2, ... year. `days`: days since any epoch."""
    turns = 2 * np.pi * days[:, None] * np.arange(1, harmonics + 1) / DAYS_A_YEAR
    return np.hstack([np.ones((len(days), 1)), np.cos(turns), np.sin(turns)]).astype(np.float32)


@njit(nogil=True, cache=True, fastmath=FAST)
def load(values: Floats, at: int, lanes: int, local: Floats, weight: Floats, count: Floats) -> None:
    """Copy one group of pixels into cache; a date counts where every feature is finite."""
    dates, features, _ = values.shape
    for lane in range(LANES):
        count[lane] = 0.0
    for t in range(dates):
        for lane in range(LANES):
            weight[t, lane] = 1.0 if lane < lanes else 0.0
        for k in range(features):
            for lane in range(lanes):
                value = values[t, k, at + lane]
                finite = np.isfinite(value)
                local[t, k, lane] = value if finite else np.float32(0.0)
                if not finite:
                    weight[t, lane] = 0.0
        for lane in range(LANES):
            count[lane] += weight[t, lane]


@njit(nogil=True, cache=True, fastmath=FAST)
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


@njit(nogil=True, cache=True, fastmath=FAST)
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


@njit(nogil=True, cache=True, fastmath=FAST)
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


@njit(nogil=True, cache=True, fastmath=FAST)
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


@njit(nogil=True, cache=True, fastmath=FAST)
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


@njit(nogil=True, cache=True, fastmath=FAST)
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


@njit(nogil=True, cache=True, fastmath=FAST)
def noise_kernel(
    values: Floats,
    design: Floats,
    offset: Floats,
    coefficients: Floats,
    scales: Floats,
    outlier: np.float32,
    scatter: Floats,
    lagged: Floats,
    used: Days,
) -> None:
    """Scatter (K, K, P) of the residuals without outliers, their lag products (P,), and how many dates were used.

    `offset` (T, K) is what a date shares with the whole tile. The lag product is summed over pairs of consecutive used
    dates in units of each feature's scale, beside the squares in `lagged[1]`.
    """
    dates, features, pixels = values.shape
    terms = design.shape[1]
    now = np.zeros(features, np.float32)
    before = np.zeros(features, np.float32)
    for pixel in range(pixels):
        previous = False
        for t in range(dates):
            distance = np.float32(0.0)
            for k in range(features):
                expected = offset[t, k]
                for c in range(terms):
                    expected += design[t, c] * coefficients[k, c, pixel]
                now[k] = values[t, k, pixel] - expected
                distance += (now[k] / scales[k, pixel]) ** 2
            if not distance < outlier * features:
                if distance == distance:
                    previous = False
                continue
            for k in range(features):
                for m in range(k + 1):
                    scatter[k, m, pixel] += now[k] * now[m]
                if previous:
                    lagged[0, pixel] += now[k] * before[k] / scales[k, pixel] ** 2
                    lagged[1, pixel] += (now[k] ** 2 + before[k] ** 2) / (2 * scales[k, pixel] ** 2)
                before[k] = now[k]
            used[pixel] += 1
            previous = True


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


def weather(
    values: Floats, design: Floats, coefficients: Floats, scales: Floats, parameters: BaselineParameters
) -> tuple[Floats, Floats]:
    """What a date shares with the whole tile: offset (T, K), and how much noisier than usual it is (T,), at least 1.

    Haze, a late spring or a shift of the geolocation moves or scatters most pixels of a date together; a pit does not.
    Both are shrunk to "nothing" where few pixels are clear.
    """
    some = sampled(values.shape[2], parameters.sample)
    expected = np.einsum("tc,kcp->tkp", design, coefficients[:, :, some])
    residual = (values[:, :, some] - expected) / scales[None, :, some]
    count = np.isfinite(residual[:, 0]).sum(axis=1)
    belief = count / (count + parameters.few_pixels)
    middle = nan_median(residual, axis=2)
    spread = nan_median(np.abs(residual - middle[:, :, None]), axis=2) / T_MAD
    scale = np.median(scales[:, some], axis=1)
    offset = np.nan_to_num(middle * belief[:, None]) * scale
    noisier = np.nan_to_num(np.maximum(spread, 1.0).max(axis=1), nan=1.0)
    return offset.astype(np.float32), (noisier**belief).astype(np.float32)


def noise(values: Floats, design: Floats, offset: Floats, fitted: tuple, parameters: BaselineParameters) -> Baseline:
    """The whole baseline from what `fit` returned: residuals of the history, without each date's common offset."""
    coefficients, information, scales, clear = fitted
    _, features, pixels = values.shape
    scatter = np.zeros((features, features, pixels), np.float32)
    lagged = np.zeros((2, pixels), np.float32)
    used = np.zeros(pixels, np.int32)
    outlier = np.float32(parameters.outlier)
    noise_kernel(values, design, offset, coefficients, scales, outlier, scatter, lagged, used)
    judged = clear >= parameters.fewest
    covariance = shrunk(scatter, used, design.shape[1], judged, parameters)
    factor = np.linalg.cholesky(covariance.astype(np.float64))
    whitening = np.linalg.inv(factor).transpose(1, 2, 0)
    memory = lingering(lagged, used, judged, parameters)
    return Baseline(
        coefficients, information, np.ascontiguousarray(whitening, np.float32), memory, np.where(judged, clear, 0)
    )


def shrunk(
    scatter: Floats, used: npt.NDArray, terms: int, judged: npt.NDArray, parameters: BaselineParameters
) -> npt.NDArray[np.float64]:
    """Noise covariance (P, K, K): each pixel's own, pulled towards the tile's where it has few dates."""
    features = scatter.shape[0]
    own = scatter.copy()
    for k in range(features):
        for m in range(k):
            own[m, k] = own[k, m]
    free = np.maximum(used - terms, 1)
    each = (own / free).transpose(2, 0, 1).astype(np.float64)
    size = np.trace(each, axis1=1, axis2=2)
    common = np.eye(features) * parameters.smallest_noise**2
    if judged.any():
        quiet = judged & (size <= np.median(size[judged]))
        common = common + 2.0 * each[quiet].mean(axis=0)
    few = parameters.neighbours_dates
    mixed = (each * free[:, None, None] + few * common) / (free + few)[:, None, None]
    return mixed + np.eye(features) * parameters.smallest_noise**2


def lingering(lagged: Floats, used: npt.NDArray, judged: npt.NDArray, parameters: BaselineParameters) -> Floats:
    """Correlation (P,) of the noise of consecutive clear dates, pulled towards the tile's, from 0 to the cap."""
    own = lagged[0] / np.maximum(lagged[1], 1e-6)
    common = float(np.median(own[judged])) if judged.any() else 0.0
    few = parameters.neighbours_dates
    mixed = (own * used + few * common) / (used + few)
    return np.clip(mixed, 0.0, parameters.longest_memory).astype(np.float32)
