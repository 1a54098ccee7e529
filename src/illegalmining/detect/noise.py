"""What a baseline leaves unexplained: what a date shares with its surroundings, how large the rest is, how it lasts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illegalmining.detect.baseline import (
    Baseline,
    BaselineParameters,
    sampled,
    whole_quads,
)
from illegalmining.detect.kernels import LANES, Days, Floats, kernel, part
from illegalmining.detect.medians import spreads_kernel
from illegalmining.detect.robust_fit import MOST_TERMS, QUAD, depart, give_rows, load

Doubles = npt.NDArray[np.float64]

T_MAD = 0.765
"""Median absolute value of a t distribution with 3 degrees of freedom and unit scale."""


@part
def from_level(values: Floats, k: int, first: int, offset: Floats, level: Floats, whole: Floats) -> None:
    """How far a feature's values (QUAD, LANES) on four dates are from its level (K, LANES), without what each date
    shares with the tile; into `whole` (K, QUAD, LANES)."""
    a, b, c, d = offset[k, first], offset[k, first + 1], offset[k, first + 2], offset[k, first + 3]
    for lane in range(LANES):
        usual = level[k, lane]
        whole[k, 0, lane], whole[k, 1, lane] = values[0, lane] - a - usual, values[1, lane] - b - usual
        whole[k, 2, lane], whole[k, 3, lane] = values[2, lane] - c - usual, values[3, lane] - d - usual


@part
def set_aside(here: Floats, distance: Floats, outlier: np.float32, now: Floats, whole: Floats, use: Floats) -> None:
    """Have outliers, and what is not clear, count for nothing in `now` and `whole` (K, QUAD, LANES); `use` (QUAD,
    LANES) becomes 1 where a date counts, -1 where it is an outlier, else 0. Leaves `distance` empty."""
    most = outlier * np.float32(len(now))
    for i in range(QUAD):
        for lane in range(LANES):
            use[i, lane] = here[i, lane] if distance[i, lane] < most else -here[i, lane]
            distance[i, lane] = 0.0
    for k in range(len(now)):
        for i in range(QUAD):
            for lane in range(LANES):
                now[k, i, lane] = now[k, i, lane] if use[i, lane] > 0 else np.float32(0.0)
                whole[k, i, lane] = whole[k, i, lane] if use[i, lane] > 0 else np.float32(0.0)


@part
def add_products(one: Floats, sums: Floats) -> None:
    """Add the products of each two features on four dates to the lower half of `sums` (K, K, LANES)."""
    for k in range(len(one)):
        for m in range(k + 1):
            for lane in range(LANES):
                early = one[k, 0, lane] * one[m, 0, lane] + one[k, 1, lane] * one[m, 1, lane]
                late = one[k, 2, lane] * one[m, 2, lane] + one[k, 3, lane] * one[m, 3, lane]
                sums[k, m, lane] += early + late


@part
def add_lags(
    i: int, now: Floats, use: Floats, precision: Floats, before: Floats, previous: Floats, lags: Floats
) -> None:
    """Add the product of the i-th date in hand and the one before it to `lags`, and the mean of their squares.

    An outlier breaks the chain of consecutive dates (`previous`: 1 where there is one before), a date that is not clear
    does not.
    """
    for k in range(len(now)):
        for lane in range(LANES):
            both = max(use[i, lane], np.float32(0.0)) * previous[lane] * precision[k, lane]
            lags[0, lane] += both * now[k, i, lane] * before[k, lane]
            lags[1, lane] += both * np.float32(0.5) * (now[k, i, lane] ** 2 + before[k, lane] ** 2)
            before[k, lane] = now[k, i, lane] if use[i, lane] > 0 else before[k, lane]
    for lane in range(LANES):
        previous[lane] = min(max(previous[lane] + use[i, lane], np.float32(0.0)), np.float32(1.0))


@part
def add_levels(whole: Floats, use: Floats, levels: Floats, count: Floats) -> None:
    """Add four dates' deviations from the level, and how many of the dates count."""
    for k in range(len(whole)):
        for lane in range(LANES):
            levels[k, lane] += (whole[k, 0, lane] + whole[k, 1, lane]) + (whole[k, 2, lane] + whole[k, 3, lane])
    for i in range(QUAD):
        for lane in range(LANES):
            count[lane] += max(use[i, lane], np.float32(0.0))


@part
def take_fit(
    at: int, lanes: int, scales: Floats, coefficients: Floats, precision: Floats, level: Floats, season: Floats
) -> None:
    """Copy a group's fit into cache, its level apart from the waves, which stay 0 beyond those in use."""
    features, terms, _ = coefficients.shape
    for k in range(features):
        row = scales[k, at : at + lanes]
        for lane in range(lanes):
            precision[k, lane] = np.float32(1.0) / (row[lane] * row[lane])
        row = coefficients[k, 0, at : at + lanes]
        for lane in range(lanes):
            level[k, lane] = row[lane]
        for c in range(1, terms):
            row = coefficients[k, c, at : at + lanes]
            for lane in range(lanes):
                season[k, c, lane] = row[lane]


@kernel
def noise_kernel(
    values: Floats, waves: Floats, offset: Floats, coefficients: Floats, scales: Floats, outlier: np.float32,
    scatter: Floats, lagged: Floats, used: Days, total: Floats, square: Floats,
) -> None:  # fmt: skip
    """Scatter (K, K, P) of the residuals without outliers, their lag products (P,), and how many dates were used.

    waves (MOST_TERMS, T) as in `fit_kernel`; offset (K, T), what a date shares with the whole tile; both with zeros up
    to whole quads of dates. The lag product is summed over pairs of consecutive used
    dates in units of each feature's scale, beside the squares in `lagged[1]`. `total` and `square`: sums of the
    deviations from the level and of their products.
    """
    _, features, pixels = values.shape
    level = np.zeros((features, LANES), np.float32)
    season = np.zeros((features, MOST_TERMS, LANES), np.float32)
    precision = np.zeros((features, LANES), np.float32)
    local = np.zeros((1, features, QUAD, LANES), np.float32)
    here = np.zeros((1, QUAD, LANES), np.float32)
    distance = np.zeros((QUAD, LANES), np.float32)
    now = np.zeros((features, QUAD, LANES), np.float32)
    whole = np.zeros((features, QUAD, LANES), np.float32)
    use = np.zeros((QUAD, LANES), np.float32)
    before = np.zeros((features, LANES), np.float32)
    previous = np.zeros(LANES, np.float32)
    count = np.zeros(LANES, np.float32)
    sums = np.zeros((features, features, LANES), np.float32)
    squares = np.zeros((features, features, LANES), np.float32)
    levels = np.zeros((features, LANES), np.float32)
    lags = np.zeros((2, LANES), np.float32)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        sums[:], squares[:] = 0.0, 0.0
        levels[:], lags[:], count[:], previous[:] = 0.0, 0.0, 0.0, 0.0
        take_fit(at, lanes, scales, coefficients, precision, level, season)
        for first in range(0, waves.shape[1], QUAD):
            here[:] = 0.0
            load(values[first:], 0, at, lanes, local, here)
            for k in range(features):
                from_level(local[0, k], k, first, offset, level, whole)
                depart(whole[k], k, first, waves, season, precision, now, distance)
            set_aside(here[0], distance, outlier, now, whole, use)
            for i in range(QUAD):
                add_lags(i, now, use, precision, before, previous, lags)
            add_products(now, sums)
            add_products(whole, squares)
            add_levels(whole, use, levels, count)
        counted = used[at : at + lanes]
        for lane in range(lanes):
            counted[lane] = np.int32(count[lane])
        give_rows(lags, at, lanes, lagged)
        give_rows(levels, at, lanes, total)
        for k in range(features):
            give_rows(sums[k, : k + 1], at, lanes, scatter[k])
            give_rows(squares[k, : k + 1], at, lanes, square[k])


@part
def whiten(covariance: Doubles, lower: Doubles, inverse: Doubles) -> None:
    """Cholesky factor of a group's covariances (K, K, LANES), and its inverse; lower halves."""
    for k in range(len(covariance)):
        for m in range(k + 1):
            for lane in range(LANES):
                lower[k, m, lane] = covariance[k, m, lane]
            for j in range(m):
                for lane in range(LANES):
                    lower[k, m, lane] -= lower[k, j, lane] * lower[m, j, lane]
            for lane in range(LANES):
                if m < k:
                    lower[k, m, lane] *= inverse[m, m, lane]
                else:
                    lower[k, k, lane] = np.sqrt(lower[k, k, lane])
                    inverse[k, k, lane] = 1.0 / lower[k, k, lane]
        for m in range(k):
            for lane in range(LANES):
                inverse[k, m, lane] = 0.0
            for j in range(m, k):
                for lane in range(LANES):
                    inverse[k, m, lane] -= lower[k, j, lane] * inverse[j, m, lane]
            for lane in range(LANES):
                inverse[k, m, lane] *= inverse[k, k, lane]


@part
def over_seasons(
    total: Floats, square: Floats, used: Days, at: int, lanes: int, covariance: Doubles, mean: Floats, spread: Floats
) -> None:
    """A group's mean over all seasons and its covariance, to which that of the noise is added as its floor."""
    counted = used[at : at + lanes]
    for k in range(len(total)):
        ours, into = total[k, at : at + lanes], mean[k, at : at + lanes]
        for lane in range(lanes):
            into[lane] = ours[lane] / np.float32(max(counted[lane], 1))
        for m in range(k + 1):
            row, other = square[k, m, at : at + lanes], mean[m, at : at + lanes]
            one, two = spread[k, m, at : at + lanes], spread[m, k, at : at + lanes]
            for lane in range(lanes):
                beside = row[lane] / np.float32(max(counted[lane], 1)) - into[lane] * other[lane]
                one[lane] = beside + np.float32(covariance[k, m, lane])
            for lane in range(lanes):
                two[lane] = one[lane]


@kernel
def covariance_kernel(
    scatter: Floats, used: Days, terms: int, common: Doubles, few: float, floor: float, total: Floats, square: Floats,
    whitening: Floats, mean: Floats, spread: Floats,
) -> None:  # fmt: skip
    """Whitening (K, K, P) of the noise, pulled towards the tile's, `common`, by the weight of `few` dates; mean (K, P)
    and covariance (K, K, P) over all seasons. Inputs as `noise_kernel` leaves them; `floor` is the smallest noise."""
    features, _, pixels = scatter.shape
    covariance = np.ones((features, features, LANES))
    lower = np.ones((features, features, LANES))
    inverse = np.ones((features, features, LANES))
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        counted = used[at : at + lanes]
        for k in range(features):
            for m in range(k + 1):
                own, least = scatter[k, m, at : at + lanes], floor * floor if k == m else 0.0
                for lane in range(lanes):
                    free = max(counted[lane] - terms, 1)
                    covariance[k, m, lane] = (own[lane] + few * common[k, m]) / (free + few) + least
        whiten(covariance, lower, inverse)
        for k in range(features):
            for m in range(k + 1):
                row = whitening[k, m, at : at + lanes]
                for lane in range(lanes):
                    row[lane] = np.float32(inverse[k, m, lane])
        over_seasons(total, square, used, at, lanes, covariance, mean, spread)


def weather(
    values: Floats, design: Floats, coefficients: Floats, scales: Floats, parameters: BaselineParameters
) -> tuple[Floats, Floats]:
    """What a date shares with the whole tile: offset (T, K), and how much noisier than usual it is (T,).

    Haze, a late spring or a shift of the geolocation moves or scatters most pixels of a date together; a pit does not.
    Both are shrunk to "nothing" where few pixels are clear. The offset is NaN on a date that hides the ground.
    """
    step = sampled(values.shape[2], parameters.sample)
    unit = np.ascontiguousarray(scales[:, ::step])
    middle, spread = np.empty((2, *values.shape[:2]), np.float32)
    count = np.empty(len(values), np.int32)
    mine = np.ascontiguousarray(coefficients[:, :, ::step])
    spreads_kernel(values, step, design, mine, np.float32(1.0) / unit, middle, spread, count)
    spread /= T_MAD
    belief = count / (count + parameters.few_pixels)
    scale = np.median(unit, axis=1)
    shared = np.nan_to_num(middle * belief[:, None])
    offset = np.where(np.abs(shared).max(axis=1, keepdims=True) > parameters.blind, np.nan, shared * scale)
    noisier = np.nan_to_num(np.maximum(spread.max(axis=1), parameters.calmest), nan=1.0)
    return offset.astype(np.float32), (noisier**belief).astype(np.float32)


def noise(values: Floats, design: Floats, offset: Floats, fitted: tuple, parameters: BaselineParameters) -> Baseline:
    """The whole baseline from what `fit` returned: residuals of the history, without each date's common offset."""
    coefficients, errors, scales, clear = fitted
    _, features, pixels = values.shape
    scatter = np.zeros((features, features, pixels), np.float32)
    lagged = np.zeros((2, pixels), np.float32)
    used = np.zeros(pixels, np.int32)
    outlier = np.float32(parameters.outlier)
    total, square = np.zeros((features, pixels), np.float32), np.zeros_like(scatter)
    waves, common = whole_quads(design, MOST_TERMS), whole_quads(offset, features)
    noise_kernel(values, waves, common, coefficients, scales, outlier, scatter, lagged, used, total, square)
    judged = clear >= parameters.fewest
    tile = noise_of_tile(scatter, used, design.shape[1], judged, parameters)
    few, floor = surroundings_dates(judged, parameters), parameters.smallest_noise
    whitening, mean, spread = np.zeros_like(scatter), np.empty_like(total), np.empty_like(scatter)
    given = scatter, used, design.shape[1], tile, few, floor, total, square
    covariance_kernel(*given, whitening, mean, spread)
    memory = lingering(lagged, used, judged, parameters)
    clear = np.where(judged, clear, 0)
    return Baseline(coefficients, errors, whitening, memory, clear, mean, spread, scales)


def inverted(lower: npt.NDArray) -> npt.NDArray:
    """Inverse (K, K, P) of lower triangular matrices, such as from unit noise back to a feature's unit."""
    inverse = np.zeros_like(lower)
    for k in range(lower.shape[0]):
        inverse[k, k] = 1.0 / lower[k, k]
        for m in range(k):
            inverse[k, m] = -np.einsum("ap,ap->p", lower[k, m:k], inverse[m:k, m]) / lower[k, k]
    return inverse


def noise_of_tile(
    scatter: Floats, used: npt.NDArray, terms: int, judged: npt.NDArray, parameters: BaselineParameters
) -> Doubles:
    """Noise covariance (K, K) of a tile, towards which that of each of its pixels is pulled; lower half.

    That of the calmer half of the pixels, twice, so that restless ground does not set it.
    """
    least = np.eye(len(scatter)) * parameters.smallest_noise**2
    if not judged.any():
        return least
    free = np.maximum(used - terms, 1).astype(np.float32)
    size = np.einsum("kkp->p", scatter) / free
    quiet = judged & (size <= np.median(size[judged]))
    each = scatter[:, :, quiet] / free[quiet]
    return np.asarray(least + 2.0 * each.mean(axis=2, dtype=np.float64))


def surroundings_dates(judged: npt.NDArray, parameters: BaselineParameters) -> float:
    """Weight of the surroundings' noise, in dates: none where a pixel is alone, which has only itself."""
    return parameters.neighbours_dates * (1.0 - 1.0 / max(1, judged.sum()))


def lingering(lagged: Floats, used: npt.NDArray, judged: npt.NDArray, parameters: BaselineParameters) -> Floats:
    """Correlation (P,) of the noise of consecutive clear dates, pulled towards the tile's, from 0 to the cap."""
    own = lagged[0] / np.maximum(lagged[1], 1e-6)
    common = float(np.median(own[judged])) if judged.any() else 0.0
    few = parameters.neighbours_dates
    mixed = (own * used + surroundings_dates(judged, parameters) * common) / (used + few)
    return np.clip(mixed, 0.0, parameters.longest_memory).astype(np.float32)
