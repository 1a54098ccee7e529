"""The robust seasonal fit of many pixels at once: least squares, reweighted until outliers hardly count.

The errors are Student-t; the weights and the scale come from parameter-expanded EM (Kent, Tyler & Vardi 1994,
Commun. Stat. B 23:441; Liu, Rubin & Wu 1998, Biometrika 85:755), which needs fewer rounds than plain EM to the same
answer. A group of pixels is read once and then worked on in cache: each pass over its dates finds residuals, weights
and scale of one round and sums the normal equations of the next, four dates at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float32]
Days = npt.NDArray[np.int32]

LANES = 128
"""Pixels worked on together: long enough for vector instructions to pay, short enough to stay in cache."""

QUAD = 4
"""Dates summed at a time, so that sums are fetched and stored a quarter as often."""

MOST_TERMS = 5
"""Most coefficients of a season: a level, an annual and a half-annual wave."""

MOST_WAVES = 9
"""Most waves of the season with twice as many harmonics, of which products of two of its terms are sums."""

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""Liberties the compiler may take; it must still know NaN."""

kernel = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
"""Compiles a whole kernel, once a machine; with Python's own rule for x / 0, no division would be vectorised."""

part = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", inline="always")
"""A kernel's part, put into the kernel before it is compiled.

A part compiled as a function of its own would be that of its own module in the process that compiles, and the kernel's
copy of it in every process that finds the kernel on disk: two machine codes, whose sums round apart. Nor would its
loops be vectorised: only within the kernel does the compiler know that arrays do not overlap, and only while they are
allocated one by one (`a, b = np.zeros((2, n))` gives strided views).
"""


@part
def load(values: Floats, first: int, at: int, lanes: int, local: Floats, here: Floats, count: Floats) -> None:
    """Copy four dates of a group of pixels into cache; a date is `here` (1, else 0) where every feature is finite."""
    dates, features, _ = values.shape
    for t in range(first, first + QUAD):
        for lane in range(LANES):
            here[t, lane] = np.float32(1.0) if t < dates and lane < lanes else np.float32(0.0)
        if t < dates:
            for k in range(features):
                row = values[t, k, at : at + lanes]
                for lane in range(lanes):
                    local[t, k, lane] = row[lane]
                for lane in range(LANES):
                    finite = np.isfinite(local[t, k, lane])
                    local[t, k, lane] = local[t, k, lane] if finite else np.float32(0.0)
                    here[t, lane] = here[t, lane] if finite else np.float32(0.0)
        for lane in range(LANES):
            count[lane] += here[t, lane]


@part
def sum_waves(weight: Floats, doubled: Floats, first: int, sums: Floats) -> None:
    """Add to `sums` (MOST_WAVES, LANES) the weights (QUAD, LANES) of four dates times each of the doubled waves."""
    for i in range(0, MOST_WAVES, 3):
        a0, a1, a2, a3 = doubled[i, first], doubled[i, first + 1], doubled[i, first + 2], doubled[i, first + 3]
        j = i + 1
        b0, b1, b2, b3 = doubled[j, first], doubled[j, first + 1], doubled[j, first + 2], doubled[j, first + 3]
        j = i + 2
        c0, c1, c2, c3 = doubled[j, first], doubled[j, first + 1], doubled[j, first + 2], doubled[j, first + 3]
        for lane in range(LANES):
            q0, q1, q2, q3 = weight[0, lane], weight[1, lane], weight[2, lane], weight[3, lane]
            sums[i, lane] += a0 * q0 + a1 * q1 + a2 * q2 + a3 * q3
            sums[i + 1, lane] += b0 * q0 + b1 * q1 + b2 * q2 + b3 * q3
            sums[i + 2, lane] += c0 * q0 + c1 * q1 + c2 * q2 + c3 * q3


@part
def sum_values(local: Floats, k: int, first: int, waves: Floats, weight: Floats, right: Floats) -> None:
    """Add to `right` (K, MOST_TERMS, LANES) a feature's weighted values on four dates times each wave."""
    a0, a1, a2, a3, t = waves[1, first], waves[2, first], waves[3, first], waves[4, first], first + 1
    b0, b1, b2, b3 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    t = first + 2
    c0, c1, c2, c3 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    t = first + 3
    d0, d1, d2, d3 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    for lane in range(LANES):
        q0, q1 = weight[0, lane] * local[first, k, lane], weight[1, lane] * local[first + 1, k, lane]
        q2, q3 = weight[2, lane] * local[first + 2, k, lane], weight[3, lane] * local[first + 3, k, lane]
        right[k, 0, lane] += (q0 + q1) + (q2 + q3)
        right[k, 1, lane] += a0 * q0 + b0 * q1 + c0 * q2 + d0 * q3
        right[k, 2, lane] += a1 * q0 + b1 * q1 + c1 * q2 + d1 * q3
        right[k, 3, lane] += a2 * q0 + b2 * q1 + c2 * q2 + d2 * q3
        right[k, 4, lane] += a3 * q0 + b3 * q1 + c3 * q2 + d3 * q3


@part
def depart(
    local: Floats, k: int, first: int, waves: Floats, solution: Floats, precision: Floats, residual: Floats,
    distance: Floats,
) -> None:  # fmt: skip
    """A feature's residuals (K, QUAD, LANES) on four dates; adds their squares, in squared scales, to `distance`."""
    a1, a2, a3, a4, t = waves[1, first], waves[2, first], waves[3, first], waves[4, first], first + 1
    b1, b2, b3, b4 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    t = first + 2
    c1, c2, c3, c4 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    t = first + 3
    d1, d2, d3, d4 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    for lane in range(LANES):
        s0, s1, s2 = solution[k, 0, lane], solution[k, 1, lane], solution[k, 2, lane]
        s3, s4, worth = solution[k, 3, lane], solution[k, 4, lane], precision[k, lane]
        one = local[first, k, lane] - s0 - a1 * s1 - a2 * s2 - a3 * s3 - a4 * s4
        two = local[first + 1, k, lane] - s0 - b1 * s1 - b2 * s2 - b3 * s3 - b4 * s4
        three = local[first + 2, k, lane] - s0 - c1 * s1 - c2 * s2 - c3 * s3 - c4 * s4
        four = local[first + 3, k, lane] - s0 - d1 * s1 - d2 * s2 - d3 * s3 - d4 * s4
        residual[k, 0, lane], residual[k, 1, lane] = one, two
        residual[k, 2, lane], residual[k, 3, lane] = three, four
        distance[0, lane] += one * one * worth
        distance[1, lane] += two * two * worth
        distance[2, lane] += three * three * worth
        distance[3, lane] += four * four * worth


@part
def reweigh(
    first: int, here: Floats, tail: np.float32, most: np.float32, distance: Floats, weight: Floats, heavy: Floats
) -> None:
    """Weights of four dates under the t distribution, added to `heavy`; leaves `distance` empty."""
    for lane in range(LANES):
        w0 = here[first, lane] * most / (tail + distance[0, lane])
        w1 = here[first + 1, lane] * most / (tail + distance[1, lane])
        w2 = here[first + 2, lane] * most / (tail + distance[2, lane])
        w3 = here[first + 3, lane] * most / (tail + distance[3, lane])
        weight[0, lane], weight[1, lane], weight[2, lane], weight[3, lane] = w0, w1, w2, w3
        distance[0, lane], distance[1, lane], distance[2, lane], distance[3, lane] = 0.0, 0.0, 0.0, 0.0
        heavy[lane] += (w0 + w1) + (w2 + w3)


@part
def sum_squares(k: int, deviation: Floats, weight: Floats, square: Floats) -> None:
    """Add a feature's weighted squared deviations (QUAD, LANES) on four dates to `square`."""
    for lane in range(LANES):
        r0, r1, r2, r3 = deviation[0, lane], deviation[1, lane], deviation[2, lane], deviation[3, lane]
        early = weight[0, lane] * r0 * r0 + weight[1, lane] * r1 * r1
        square[k, lane] += early + (weight[2, lane] * r2 * r2 + weight[3, lane] * r3 * r3)


@part
def normal_equations(sums: Floats, right: Floats, pairs: Days, normal: Floats, target: Floats) -> None:
    """The normal matrix (lower triangle) from the sums of the doubled waves, and its right-hand sides (K, C, LANES)."""
    i, terms = 0, len(normal)
    for c in range(terms):
        for e in range(c + 1):
            one, two, sign = pairs[i, 0], pairs[i, 1], np.float32(0.5) * np.float32(pairs[i, 2])
            for lane in range(LANES):
                normal[c, e, lane] = np.float32(0.5) * sums[one, lane] + sign * sums[two, lane]
            i += 1
        for k in range(target.shape[0]):
            for lane in range(LANES):
                target[k, c, lane] = right[k, c, lane]


@part
def unexplained_squares(normal: Floats, right: Floats, solution: Floats, square: Floats) -> None:
    """Turn sums of squares into sums of squared residuals, by the normal equations: y'y - 2 b'X'y + b'X'Xb."""
    for k in range(len(square)):
        for c in range(len(normal)):
            for lane in range(LANES):
                square[k, lane] -= np.float32(2.0) * solution[k, c, lane] * right[k, c, lane]
            for e in range(c + 1):
                twice = np.float32(1.0 if c == e else 2.0)
                for lane in range(LANES):
                    square[k, lane] += twice * solution[k, c, lane] * solution[k, e, lane] * normal[c, e, lane]


@part
def with_prior(normal: Floats, ridge: Floats, prior: Floats, matrix: Floats, target: Floats) -> None:
    """Add the prior to the normal equations, the matrix into one of its own."""
    for c in range(len(ridge)):
        for e in range(c + 1):
            own = ridge[c] if c == e else np.float32(0.0)
            for lane in range(LANES):
                matrix[c, e, lane] = normal[c, e, lane] + own
        for k in range(target.shape[0]):
            pull = ridge[c] * prior[k, c]
            for lane in range(LANES):
                target[k, c, lane] += pull


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
def give(
    at: int, lanes: int, count: Floats, precision: Floats, solution: Floats, inverse: Floats, clear: Days,
    scales: Floats, coefficients: Floats, information: Floats,
) -> None:  # fmt: skip
    """Copy what a group's fit gave into the outputs."""
    features, terms, _ = coefficients.shape
    counted = clear[at : at + lanes]
    for lane in range(lanes):
        counted[lane] = np.int32(count[lane])
    for k in range(features):
        row = scales[k, at : at + lanes]
        for lane in range(lanes):
            row[lane] = np.float32(1.0) / np.sqrt(precision[k, lane])
        for c in range(terms):
            row = coefficients[k, c, at : at + lanes]
            for lane in range(lanes):
                row[lane] = solution[k, c, lane]
    for c in range(terms):
        for m in range(terms):
            row = information[c, m, at : at + lanes]
            for lane in range(lanes):
                row[lane] = inverse[c, m, lane]


@kernel
def fit_kernel(
    values: Floats,
    waves: Floats,
    doubled: Floats,
    pairs: Days,
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
    """Fit every pixel of `values` (T, K, P); fills the outputs (K, C, P), (C, C, P), (K, P), (P,).

    waves (MOST_TERMS, T), zero beyond the C in use, and `doubled` (MOST_WAVES, T), those with twice as many harmonics;
    both with zeros up to whole quads of dates. pairs (C (C + 1) / 2, 3), from `baseline.pairs_of`.
    """
    _, features, pixels = values.shape
    terms, dates = len(ridge), waves.shape[1]
    local = np.zeros((dates, features, LANES), np.float32)
    here = np.zeros((dates, LANES), np.float32)
    weight = np.zeros((QUAD, LANES), np.float32)
    distance = np.zeros((QUAD, LANES), np.float32)
    residual = np.zeros((features, QUAD, LANES), np.float32)
    sums = np.zeros((MOST_WAVES, LANES), np.float32)
    right = np.zeros((features, MOST_TERMS, LANES), np.float32)
    normal = np.zeros((terms, terms, LANES), np.float32)
    matrix = np.zeros((terms, terms, LANES), np.float32)
    unit = np.zeros((terms, terms, LANES), np.float32)
    inverse = np.zeros((terms, terms, LANES), np.float32)
    target = np.zeros((features, terms, LANES), np.float32)
    solution = np.zeros((features, MOST_TERMS, LANES), np.float32)
    square = np.zeros((features, LANES), np.float32)
    precision = np.zeros((features, LANES), np.float32)
    count = np.zeros(LANES, np.float32)
    heavy = np.zeros(LANES, np.float32)
    for c in range(terms):
        unit[c, c, :] = 1.0
    most = tail + np.float32(features)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        count[:] = 0.0
        for step in range(rounds + 1):
            sums[:], right[:], square[:], heavy[:] = 0.0, 0.0, 0.0, 0.0
            for first in range(0, dates, QUAD):
                if step == 0:
                    load(values, first, at, lanes, local, here, count)
                    weight[:] = here[first : first + QUAD]
                    for k in range(features):
                        sum_squares(k, local[first : first + QUAD, k], weight, square)
                else:
                    for k in range(features):
                        depart(local, k, first, waves, solution, precision, residual, distance)
                    reweigh(first, here, tail, most, distance, weight, heavy)
                    for k in range(features):
                        sum_squares(k, residual[k], weight, square)
                if step < rounds:
                    sum_waves(weight, doubled, first, sums)
                    for k in range(features):
                        sum_values(local, k, first, waves, weight, right)
            if step < rounds:
                normal_equations(sums, right, pairs, normal, target)
                with_prior(normal, ridge, prior, matrix, target)
                factorise(matrix)
                substitute(matrix, target, solution)
            if step == 0:
                unexplained_squares(normal, right, solution, square)
                heavy[:] = count
            for k in range(features):
                for lane in range(LANES):
                    variance = square[k, lane] / max(heavy[lane], np.float32(1.0))
                    precision[k, lane] = np.float32(1.0) / max(variance, floor * floor)
        substitute(matrix, unit, inverse)
        give(at, lanes, count, precision, solution, inverse, clear, scales, coefficients, information)
