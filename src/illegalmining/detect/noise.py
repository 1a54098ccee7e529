"""What a baseline leaves unexplained: what a date shares with its surroundings, how large the rest is, how it lasts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illegalmining.detect.baseline import (
    Baseline,
    BaselineParameters,
    sampled,
)
from illegalmining.detect.kernels import LANES, Days, Floats, kernel, part
from illegalmining.detect.medians import spreads_kernel

T_MAD = 0.765
"""Median absolute value of a t distribution with 3 degrees of freedom and unit scale."""


@part
def unexplained(
    values: Floats, t: int, at: int, lanes: int, design: Floats, offset: Floats, mine: Floats, precision: Floats,
    outlier: np.float32, now: Floats, whole: Floats, use: Floats, previous: Floats,
) -> None:  # fmt: skip
    """Residual `now` and deviation from the level `whole` of a group's date, 0 where it is not used; `use` 1 or 0.

    A date that is an outlier breaks the chain of consecutive dates (`previous`), one that is not clear does not.
    """
    features, terms, _ = mine.shape
    for lane in range(LANES):
        use[lane] = 0.0
    for k in range(features):
        common, row = offset[t, k], values[t, k, at : at + lanes]
        for lane in range(lanes):
            whole[k, lane] = row[lane] - common - mine[k, 0, lane]
        for lane in range(LANES):
            now[k, lane] = whole[k, lane]
        for c in range(1, terms):
            x = design[t, c]
            for lane in range(LANES):
                now[k, lane] -= x * mine[k, c, lane]
        for lane in range(LANES):
            use[lane] += now[k, lane] * now[k, lane] * precision[k, lane]
    for lane in range(LANES):
        distance = use[lane]
        use[lane] = np.float32(1.0) if distance < outlier * features and lane < lanes else np.float32(0.0)
        previous[lane] = previous[lane] if use[lane] > 0 or np.isnan(distance) else np.float32(0.0)
    for k in range(features):
        for lane in range(LANES):
            now[k, lane] = now[k, lane] if use[lane] > 0 else np.float32(0.0)
            whole[k, lane] = whole[k, lane] if use[lane] > 0 else np.float32(0.0)


@part
def give_rows(found: Floats, at: int, lanes: int, into: Floats) -> None:
    """Copy rows of a group to their place."""
    for k in range(len(found)):
        row = into[k, at : at + lanes]
        for lane in range(lanes):
            row[lane] = found[k, lane]


@kernel
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
    total: Floats,
    square: Floats,
) -> None:
    """Scatter (K, K, P) of the residuals without outliers, their lag products (P,), and how many dates were used.

    `offset` (T, K) is what a date shares with the whole tile. The lag product is summed over pairs of consecutive used
    dates in units of each feature's scale, beside the squares in `lagged[1]`. `total` and `square`: sums of the
    deviations from the level and of their products.
    """
    dates, features, pixels = values.shape
    terms = design.shape[1]
    mine = np.zeros((features, terms, LANES), np.float32)
    precision = np.zeros((features, LANES), np.float32)
    now = np.zeros((features, LANES), np.float32)
    whole = np.zeros((features, LANES), np.float32)
    before = np.zeros((features, LANES), np.float32)
    use = np.zeros(LANES, np.float32)
    previous = np.zeros(LANES, np.float32)
    count = np.zeros(LANES, np.float32)
    sums = np.zeros((features, features, LANES), np.float32)
    squares = np.zeros((features, features, LANES), np.float32)
    levels = np.zeros((features, LANES), np.float32)
    lags = np.zeros((2, LANES), np.float32)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        for group in (sums, squares):
            group[:] = 0.0
        levels[:], lags[:], count[:], previous[:] = 0.0, 0.0, 0.0, 0.0
        for k in range(features):
            row = scales[k, at : at + lanes]
            for lane in range(lanes):
                precision[k, lane] = np.float32(1.0) / (row[lane] * row[lane])
            for c in range(terms):
                row = coefficients[k, c, at : at + lanes]
                for lane in range(lanes):
                    mine[k, c, lane] = row[lane]
        for t in range(dates):
            unexplained(values, t, at, lanes, design, offset, mine, precision, outlier, now, whole, use, previous)
            for k in range(features):
                for lane in range(LANES):
                    levels[k, lane] += whole[k, lane]
                for m in range(k + 1):
                    for lane in range(LANES):
                        sums[k, m, lane] += now[k, lane] * now[m, lane]
                        squares[k, m, lane] += whole[k, lane] * whole[m, lane]
                for lane in range(LANES):
                    both = use[lane] * previous[lane] * precision[k, lane]
                    lags[0, lane] += both * now[k, lane] * before[k, lane]
                    lags[1, lane] += both * np.float32(0.5) * (now[k, lane] ** 2 + before[k, lane] ** 2)
                    before[k, lane] = now[k, lane] if use[lane] > 0 else before[k, lane]
            for lane in range(LANES):
                count[lane] += use[lane]
                previous[lane] = max(previous[lane], use[lane])
        counted = used[at : at + lanes]
        for lane in range(lanes):
            counted[lane] = np.int32(count[lane])
        give_rows(lags, at, lanes, lagged)
        give_rows(levels, at, lanes, total)
        for k in range(features):
            give_rows(sums[k, : k + 1], at, lanes, scatter[k])
            give_rows(squares[k, : k + 1], at, lanes, square[k])


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
    noise_kernel(values, design, offset, coefficients, scales, outlier, scatter, lagged, used, total, square)
    judged = clear >= parameters.fewest
    covariance = shrunk(scatter, used, design.shape[1], judged, parameters)
    factor = np.linalg.cholesky(covariance.astype(np.float64))
    whitening = inverted(np.ascontiguousarray(factor.transpose(1, 2, 0)))
    memory = lingering(lagged, used, judged, parameters)
    mean, spread = seasons(total, square, used, covariance)
    whitening = whitening.astype(np.float32)
    clear = np.where(judged, clear, 0)
    return Baseline(coefficients, errors, whitening, memory, clear, mean, spread, scales)


def seasons(total: Floats, square: Floats, used: Days, covariance: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Mean (K, P) and covariance (K, K, P) over all seasons; the noise `covariance` (P, K, K) is its floor."""
    count = np.maximum(used, 1)
    mean = total / count
    spread = mirrored(square) / count - mean[:, None] * mean[None, :]
    return mean.astype(np.float32), (spread + covariance.transpose(1, 2, 0)).astype(np.float32)


def inverted(lower: npt.NDArray) -> npt.NDArray:
    """Inverse (K, K, P) of lower triangular matrices, such as from unit noise back to a feature's unit."""
    inverse = np.zeros_like(lower)
    for k in range(lower.shape[0]):
        inverse[k, k] = 1.0 / lower[k, k]
        for m in range(k):
            inverse[k, m] = -np.einsum("ap,ap->p", lower[k, m:k], inverse[m:k, m]) / lower[k, k]
    return inverse


def mirrored(lower: Floats) -> Floats:
    """The symmetric matrix (K, K, P) whose lower triangle is given."""
    diagonal = np.eye(lower.shape[0], dtype=np.float32)[:, :, None]
    return lower + lower.transpose(1, 0, 2) * (1 - diagonal)


def shrunk(
    scatter: Floats, used: npt.NDArray, terms: int, judged: npt.NDArray, parameters: BaselineParameters
) -> npt.NDArray[np.float64]:
    """Noise covariance (P, K, K): each pixel's own, pulled towards the tile's where it has few dates."""
    features = scatter.shape[0]
    own = mirrored(scatter)
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
