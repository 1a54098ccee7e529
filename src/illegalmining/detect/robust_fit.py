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

LANES = 64
"""Pixels worked on together: long enough for vector instructions to pay, short enough to stay in cache."""

QUAD = 4
"""Dates summed at a time, so that sums are fetched and stored a quarter as often."""

MOST_TERMS = 5
"""Most coefficients of a season: a level, an annual and a half-annual wave."""

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
def add(quad: Floats, rows: Floats, many: int, first: int, sums: Floats, at: int) -> None:
    """Add to `sums[at + i]` the product of a quad (QUAD, LANES) with `rows[i]` on its dates, for `many` rows."""
    for i in range(0, many - 1, 2):
        a0, a1, a2, a3 = rows[i, first], rows[i, first + 1], rows[i, first + 2], rows[i, first + 3]
        b0, b1, b2, b3 = rows[i + 1, first], rows[i + 1, first + 1], rows[i + 1, first + 2], rows[i + 1, first + 3]
        for lane in range(LANES):
            q0, q1, q2, q3 = quad[0, lane], quad[1, lane], quad[2, lane], quad[3, lane]
            sums[at + i, lane] += a0 * q0 + a1 * q1 + a2 * q2 + a3 * q3
            sums[at + i + 1, lane] += b0 * q0 + b1 * q1 + b2 * q2 + b3 * q3
    if many % 2:
        i = many - 1
        a0, a1, a2, a3 = rows[i, first], rows[i, first + 1], rows[i, first + 2], rows[i, first + 3]
        for lane in range(LANES):
            sums[at + i, lane] += a0 * quad[0, lane] + a1 * quad[1, lane] + a2 * quad[2, lane] + a3 * quad[3, lane]


@part
def accumulate(
    local: Floats, first: int, waves: Floats, products: Floats, weight: Floats, weighted: Floats, normal: Floats,
    right: Floats, square: Floats, terms: int, start: bool,
) -> None:  # fmt: skip
    """Add four dates to the normal equations; at the start also to the sum of squares, from which a scale is had."""
    add(weight, products, len(products), first, normal, 0)
    for k in range(local.shape[1]):
        for lane in range(LANES):
            weighted[0, lane] = weight[0, lane] * local[first, k, lane]
            weighted[1, lane] = weight[1, lane] * local[first + 1, k, lane]
            weighted[2, lane] = weight[2, lane] * local[first + 2, k, lane]
            weighted[3, lane] = weight[3, lane] * local[first + 3, k, lane]
        add(weighted, waves, terms, first, right, k * terms)
        if start:
            for q in range(QUAD):
                for lane in range(LANES):
                    square[k, lane] += weighted[q, lane] * local[first + q, k, lane]


@part
def depart(
    local: Floats, first: int, waves: Floats, solution: Floats, precision: Floats, residual: Floats, distance: Floats
) -> None:
    """Residuals (K, QUAD, LANES) of four dates, and their squared distances in squared scales over all features."""
    distance[:] = 0.0
    for k in range(local.shape[1]):
        for q in range(0, QUAD, 2):
            t, u = first + q, first + q + 1
            a0, a1, a2, a3, a4 = waves[0, t], waves[1, t], waves[2, t], waves[3, t], waves[4, t]
            b0, b1, b2, b3, b4 = waves[0, u], waves[1, u], waves[2, u], waves[3, u], waves[4, u]
            for lane in range(LANES):
                s0, s1, s2 = solution[k, 0, lane], solution[k, 1, lane], solution[k, 2, lane]
                s3, s4 = solution[k, 3, lane], solution[k, 4, lane]
                one = local[t, k, lane] - a0 * s0 - a1 * s1 - a2 * s2 - a3 * s3 - a4 * s4
                two = local[u, k, lane] - b0 * s0 - b1 * s1 - b2 * s2 - b3 * s3 - b4 * s4
                residual[k, q, lane] = one
                residual[k, q + 1, lane] = two
                distance[q, lane] += one * one * precision[k, lane]
                distance[q + 1, lane] += two * two * precision[k, lane]


@part
def reweigh(
    first: int, here: Floats, tail: np.float32, residual: Floats, distance: Floats, weight: Floats, heavy: Floats,
    square: Floats,
) -> None:  # fmt: skip
    """Weights of four dates under the t distribution, added to `heavy`; weighted squared residuals to `square`."""
    features = residual.shape[0]
    most = tail + np.float32(features)
    for q in range(0, QUAD, 2):
        for lane in range(LANES):
            weight[q, lane] = here[first + q, lane] * most / (tail + distance[q, lane])
            weight[q + 1, lane] = here[first + q + 1, lane] * most / (tail + distance[q + 1, lane])
    for lane in range(LANES):
        heavy[lane] += (weight[0, lane] + weight[1, lane]) + (weight[2, lane] + weight[3, lane])
    for k in range(features):
        for lane in range(LANES):
            r0, r1, r2, r3 = residual[k, 0, lane], residual[k, 1, lane], residual[k, 2, lane], residual[k, 3, lane]
            early = weight[0, lane] * r0 * r0 + weight[1, lane] * r1 * r1
            square[k, lane] += early + (weight[2, lane] * r2 * r2 + weight[3, lane] * r3 * r3)


@part
def unexplained_squares(normal: Floats, right: Floats, solution: Floats, square: Floats) -> None:
    """Turn sums of squares into sums of squared residuals, by the normal equations: y'y - 2 b'X'y + b'X'Xb."""
    terms = len(right) // len(square)
    for k in range(len(square)):
        i = 0
        for c in range(terms):
            for lane in range(LANES):
                square[k, lane] -= np.float32(2.0) * solution[k, c, lane] * right[k * terms + c, lane]
            for e in range(c + 1):
                twice = np.float32(1.0 if c == e else 2.0)
                for lane in range(LANES):
                    square[k, lane] += twice * solution[k, c, lane] * solution[k, e, lane] * normal[i, lane]
                i += 1


@part
def with_prior(normal: Floats, right: Floats, ridge: Floats, prior: Floats, matrix: Floats, target: Floats) -> None:
    """The normal equations with their prior, in matrix form (lower triangle)."""
    i, terms = 0, len(ridge)
    for c in range(terms):
        for e in range(c + 1):
            own = ridge[c] if c == e else np.float32(0.0)
            for lane in range(LANES):
                matrix[c, e, lane] = normal[i, lane] + own
            i += 1
        for k in range(target.shape[0]):
            for lane in range(LANES):
                target[k, c, lane] = right[k * terms + c, lane] + ridge[c] * prior[k, c]


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
    products: Floats,
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

    waves (MOST_TERMS, T), zero beyond the C in use, and the products of each two of these (C (C + 1) / 2, T); both with
    zeros up to whole quads of dates.
    """
    _, features, pixels = values.shape
    terms, dates = len(ridge), waves.shape[1]
    local = np.zeros((dates, features, LANES), np.float32)
    here = np.zeros((dates, LANES), np.float32)
    weight = np.zeros((QUAD, LANES), np.float32)
    weighted = np.zeros((QUAD, LANES), np.float32)
    distance = np.zeros((QUAD, LANES), np.float32)
    residual = np.zeros((features, QUAD, LANES), np.float32)
    normal, right = np.zeros((len(products), LANES), np.float32), np.zeros((features * terms, LANES), np.float32)
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
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        count[:] = 0.0
        for step in range(rounds + 1):
            normal[:], right[:], square[:], heavy[:] = 0.0, 0.0, 0.0, 0.0
            for first in range(0, dates, QUAD):
                if step == 0:
                    load(values, first, at, lanes, local, here, count)
                    weight[:] = here[first : first + QUAD]
                else:
                    depart(local, first, waves, solution, precision, residual, distance)
                    reweigh(first, here, tail, residual, distance, weight, heavy, square)
                if step < rounds:
                    accumulate(local, first, waves, products, weight, weighted, normal, right, square, terms, step == 0)
            if step < rounds:
                with_prior(normal, right, ridge, prior, matrix, target)
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
