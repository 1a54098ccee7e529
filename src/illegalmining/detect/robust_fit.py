"""The robust seasonal fit of many pixels at once: least squares, reweighted until outliers hardly count.

The errors are Student-t; the weights and the scale come from parameter-expanded EM (Kent, Tyler & Vardi 1994,
Commun. Stat. B 23:441; Liu, Rubin & Wu 1998, Biometrika 85:755), which needs fewer rounds than plain EM to the same
answer; the first scale is that of a t distribution with the variance of the least squares. A round moves the solution
by what its weighted residuals leave of the normal equations, so that any matrix near enough leads to the same answer:
once the weights have settled, the one before does. A group of pixels is read once and then worked on in cache: each
pass over its dates finds residuals and weights of one round and sums the equations of the next, four dates at a time.
"""

from __future__ import annotations

import numpy as np

from illegalmining.detect.kernels import LANES, Days, Floats, kernel, part

QUAD = 4
"""Dates summed at a time, so that sums are fetched and stored a quarter as often."""

MOST_TERMS = 5
"""Most coefficients of a season: a level, an annual and a half-annual wave."""

MOST_PAIRS = 15
"""Pairs of them, each once."""

MOST_WAVES = 9
"""Most waves of the season with twice as many harmonics, of which products of two of its terms are sums."""

HELD_FROM = 2
"""Round from which the normal matrix is held until the last, but for its size, which follows the weights."""


@part
def load(values: Floats, quad: int, at: int, lanes: int, local: Floats, here: Floats) -> None:
    """Copy four dates of a group of pixels into cache; a date is `here` (1, else 0) where every feature is finite."""
    dates, features, _ = values.shape
    for i in range(min(QUAD, dates - quad * QUAD)):
        for k in range(features):
            row = values[quad * QUAD + i, k, at : at + lanes]
            for lane in range(lanes):
                finite = np.isfinite(row[lane])
                local[quad, k, i, lane] = row[lane] if finite else np.float32(0.0)
                before = np.float32(1.0) if k == 0 else here[quad, i, lane]
                here[quad, i, lane] = before if finite else np.float32(0.0)


@part
def sum_waves(weight: Floats, doubled: Floats, first: int, sums: Floats) -> None:
    """Add to `sums` (MOST_WAVES, LANES) the weights (QUAD, LANES) of four dates times each of the doubled waves."""
    a1, a2, a3, a4, t = doubled[1, first], doubled[2, first], doubled[3, first], doubled[4, first], first + 1
    a5, a6, a7, a8 = doubled[5, first], doubled[6, first], doubled[7, first], doubled[8, first]
    b1, b2, b3, b4, b5, b6 = doubled[1, t], doubled[2, t], doubled[3, t], doubled[4, t], doubled[5, t], doubled[6, t]
    b7, b8, t = doubled[7, t], doubled[8, t], first + 2
    c1, c2, c3, c4, c5, c6 = doubled[1, t], doubled[2, t], doubled[3, t], doubled[4, t], doubled[5, t], doubled[6, t]
    c7, c8, t = doubled[7, t], doubled[8, t], first + 3
    d1, d2, d3, d4, d5, d6 = doubled[1, t], doubled[2, t], doubled[3, t], doubled[4, t], doubled[5, t], doubled[6, t]
    d7, d8 = doubled[7, t], doubled[8, t]
    for lane in range(LANES):
        w0, w1, w2, w3 = weight[0, lane], weight[1, lane], weight[2, lane], weight[3, lane]
        sums[0, lane] += (w0 + w1) + (w2 + w3)
        sums[1, lane] += a1 * w0 + b1 * w1 + c1 * w2 + d1 * w3
        sums[2, lane] += a2 * w0 + b2 * w1 + c2 * w2 + d2 * w3
        sums[3, lane] += a3 * w0 + b3 * w1 + c3 * w2 + d3 * w3
        sums[4, lane] += a4 * w0 + b4 * w1 + c4 * w2 + d4 * w3
        sums[5, lane] += a5 * w0 + b5 * w1 + c5 * w2 + d5 * w3
        sums[6, lane] += a6 * w0 + b6 * w1 + c6 * w2 + d6 * w3
        sums[7, lane] += a7 * w0 + b7 * w1 + c7 * w2 + d7 * w3
        sums[8, lane] += a8 * w0 + b8 * w1 + c8 * w2 + d8 * w3


@part
def sum_weights(weight: Floats, sums: Floats) -> None:
    """Add the weights (QUAD, LANES) of four dates to the first of `sums`."""
    for lane in range(LANES):
        sums[0, lane] += (weight[0, lane] + weight[1, lane]) + (weight[2, lane] + weight[3, lane])


@part
def sum_residuals(
    residual: Floats, k: int, first: int, waves: Floats, weight: Floats, right: Floats, square: Floats
) -> None:
    """Add a feature's weighted residuals (QUAD, LANES) on four dates times each wave to `right` (K, MOST_TERMS, LANES),
    and times themselves to `square`."""
    a1, a2, a3, a4, t = waves[1, first], waves[2, first], waves[3, first], waves[4, first], first + 1
    b1, b2, b3, b4, u = waves[1, t], waves[2, t], waves[3, t], waves[4, t], first + 2
    c1, c2, c3, c4, t = waves[1, u], waves[2, u], waves[3, u], waves[4, u], first + 3
    d1, d2, d3, d4 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    for lane in range(LANES):
        r0, r1, r2, r3 = residual[0, lane], residual[1, lane], residual[2, lane], residual[3, lane]
        q0, q1, q2, q3 = weight[0, lane] * r0, weight[1, lane] * r1, weight[2, lane] * r2, weight[3, lane] * r3
        square[k, lane] += q0 * r0 + q1 * r1 + q2 * r2 + q3 * r3
        right[k, 0, lane] += (q0 + q1) + (q2 + q3)
        right[k, 1, lane] += a1 * q0 + b1 * q1 + c1 * q2 + d1 * q3
        right[k, 2, lane] += a2 * q0 + b2 * q1 + c2 * q2 + d2 * q3
        right[k, 3, lane] += a3 * q0 + b3 * q1 + c3 * q2 + d3 * q3
        right[k, 4, lane] += a4 * q0 + b4 * q1 + c4 * q2 + d4 * q3


@part
def left(value: np.float32, k: int, lane: int, solution: Floats, x1: float, x2: float, x3: float, x4: float) -> float:
    """What is left of a value without a feature's season, on a date with these waves."""
    level = solution[k, 0, lane] + x1 * solution[k, 1, lane] + x2 * solution[k, 2, lane]
    return value - (level + x3 * solution[k, 3, lane] + x4 * solution[k, 4, lane])


@part
def depart(
    values: Floats, k: int, first: int, waves: Floats, solution: Floats, precision: Floats, residual: Floats,
    distance: Floats,
) -> None:  # fmt: skip
    """A feature's residuals (K, QUAD, LANES) from its values (QUAD, LANES) on four dates; adds their squares, in
    squared scales, to `distance`."""
    a1, a2, a3, a4, t = waves[1, first], waves[2, first], waves[3, first], waves[4, first], first + 1
    b1, b2, b3, b4, u = waves[1, t], waves[2, t], waves[3, t], waves[4, t], first + 2
    c1, c2, c3, c4, t = waves[1, u], waves[2, u], waves[3, u], waves[4, u], first + 3
    d1, d2, d3, d4 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    for lane in range(LANES):
        r0 = left(values[0, lane], k, lane, solution, a1, a2, a3, a4)
        r1 = left(values[1, lane], k, lane, solution, b1, b2, b3, b4)
        r2 = left(values[2, lane], k, lane, solution, c1, c2, c3, c4)
        r3 = left(values[3, lane], k, lane, solution, d1, d2, d3, d4)
        residual[k, 0, lane], residual[k, 1, lane], residual[k, 2, lane], residual[k, 3, lane] = r0, r1, r2, r3
        worth = precision[k, lane]
        distance[0, lane] += r0 * r0 * worth
        distance[1, lane] += r1 * r1 * worth
        distance[2, lane] += r2 * r2 * worth
        distance[3, lane] += r3 * r3 * worth


@part
def weigh(
    values: Floats, here: Floats, first: int, waves: Floats, solution: Floats, precision: Floats, residual: Floats,
    tail: np.float32, distance: Floats, weight: Floats,
) -> None:  # fmt: skip
    """The last feature's residuals as in `depart`, and with them the weights (QUAD, LANES) of four dates under the t
    distribution; leaves `distance` empty."""
    k = len(solution) - 1
    a1, a2, a3, a4, t = waves[1, first], waves[2, first], waves[3, first], waves[4, first], first + 1
    b1, b2, b3, b4, u = waves[1, t], waves[2, t], waves[3, t], waves[4, t], first + 2
    c1, c2, c3, c4, t = waves[1, u], waves[2, u], waves[3, u], waves[4, u], first + 3
    d1, d2, d3, d4 = waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    most = tail + np.float32(len(solution))
    for lane in range(LANES):
        r0 = left(values[0, lane], k, lane, solution, a1, a2, a3, a4)
        r1 = left(values[1, lane], k, lane, solution, b1, b2, b3, b4)
        r2 = left(values[2, lane], k, lane, solution, c1, c2, c3, c4)
        r3 = left(values[3, lane], k, lane, solution, d1, d2, d3, d4)
        residual[k, 0, lane], residual[k, 1, lane], residual[k, 2, lane], residual[k, 3, lane] = r0, r1, r2, r3
        worth = precision[k, lane]
        weight[0, lane] = here[0, lane] * most / (tail + distance[0, lane] + r0 * r0 * worth)
        weight[1, lane] = here[1, lane] * most / (tail + distance[1, lane] + r1 * r1 * worth)
        weight[2, lane] = here[2, lane] * most / (tail + distance[2, lane] + r2 * r2 * worth)
        weight[3, lane] = here[3, lane] * most / (tail + distance[3, lane] + r3 * r3 * worth)
        distance[0, lane], distance[1, lane], distance[2, lane], distance[3, lane] = 0.0, 0.0, 0.0, 0.0


@part
def sum_squares(k: int, deviation: Floats, weight: Floats, square: Floats) -> None:
    """Add a feature's weighted squared deviations (QUAD, LANES) on four dates to `square`."""
    for lane in range(LANES):
        r0, r1, r2, r3 = deviation[0, lane], deviation[1, lane], deviation[2, lane], deviation[3, lane]
        early = weight[0, lane] * r0 * r0 + weight[1, lane] * r1 * r1
        square[k, lane] += early + (weight[2, lane] * r2 * r2 + weight[3, lane] * r3 * r3)


@part
def normal_matrix(sums: Floats, pairs: Days, normal: Floats) -> None:
    """The normal matrix, a packed lower triangle (C (C + 1) / 2, LANES), from the sums of the doubled waves."""
    for i in range(len(pairs)):
        one, two, sign = pairs[i, 0], pairs[i, 1], np.float32(0.5) * np.float32(pairs[i, 2])
        for lane in range(LANES):
            normal[i, lane] = np.float32(0.5) * sums[one, lane] + sign * sums[two, lane]


@part
def unexplained_squares(normal: Floats, right: Floats, solution: Floats, terms: int, square: Floats) -> None:
    """Turn sums of squares into sums of squared residuals, by the normal equations: y'y - 2 b'X'y + b'X'Xb."""
    for k in range(len(square)):
        i = 0
        for c in range(terms):
            for lane in range(LANES):
                square[k, lane] -= np.float32(2.0) * solution[k, c, lane] * right[k, c, lane]
            for e in range(c + 1):
                twice = np.float32(1.0 if c == e else 2.0)
                for lane in range(LANES):
                    square[k, lane] += twice * solution[k, c, lane] * solution[k, e, lane] * normal[i, lane]
                i += 1


@part
def factorise(normal: Floats, ridge: Floats, terms: int, factor: Floats) -> None:
    """Cholesky factor of a group's normal matrices with the ridge, packed, with 1 / its diagonal.

    Terms that are not in use have the identity's rows in `factor`, and keep them.
    """
    i = 0
    for c in range(terms):
        for e in range(c + 1):
            own = ridge[c] if c == e else np.float32(0.0)
            for lane in range(LANES):
                factor[i, lane] = normal[i, lane] + own
            i += 1
    one, least = np.float32(1.0), np.float32(1e-6)
    for lane in range(LANES):
        l00 = one / np.sqrt(max(factor[0, lane], least))
        l10, l20 = factor[1, lane] * l00, factor[3, lane] * l00
        l30, l40 = factor[6, lane] * l00, factor[10, lane] * l00
        l11 = one / np.sqrt(max(factor[2, lane] - l10 * l10, least))
        l21 = (factor[4, lane] - l20 * l10) * l11
        l31 = (factor[7, lane] - l30 * l10) * l11
        l41 = (factor[11, lane] - l40 * l10) * l11
        l22 = one / np.sqrt(max(factor[5, lane] - l20 * l20 - l21 * l21, least))
        l32 = (factor[8, lane] - l30 * l20 - l31 * l21) * l22
        l42 = (factor[12, lane] - l40 * l20 - l41 * l21) * l22
        l33 = one / np.sqrt(max(factor[9, lane] - l30 * l30 - l31 * l31 - l32 * l32, least))
        l43 = (factor[13, lane] - l40 * l30 - l41 * l31 - l42 * l32) * l33
        rest = factor[14, lane] - l40 * l40 - l41 * l41 - l42 * l42 - l43 * l43
        factor[0, lane], factor[1, lane], factor[2, lane], factor[3, lane] = l00, l10, l11, l20
        factor[4, lane], factor[5, lane], factor[6, lane], factor[7, lane] = l21, l22, l30, l31
        factor[8, lane], factor[9, lane], factor[10, lane], factor[11, lane] = l32, l33, l40, l41
        factor[12, lane], factor[13, lane] = l42, l43
        factor[14, lane] = one / np.sqrt(max(rest, least))


@part
def step_on(
    factor: Floats, right: Floats, k: int, share: Floats, ridge: Floats, prior: Floats, solution: Floats
) -> None:
    """Move a feature's solution by what the normal equations, with the prior, say is left of it.

    Their matrix is the one behind `factor`, times `share` (LANES,).
    """
    g0, g1, g2, g3, g4 = ridge[0], ridge[1], ridge[2], ridge[3], ridge[4]
    p0, p1, p2, p3, p4 = prior[k, 0], prior[k, 1], prior[k, 2], prior[k, 3], prior[k, 4]
    for lane in range(LANES):
        s0, s1, s2 = solution[k, 0, lane], solution[k, 1, lane], solution[k, 2, lane]
        s3, s4, less = solution[k, 3, lane], solution[k, 4, lane], np.float32(1.0) / max(share[lane], np.float32(1e-3))
        l00, l10, l11, l20 = factor[0, lane], factor[1, lane], factor[2, lane], factor[3, lane]
        l21, l22, l30, l31 = factor[4, lane], factor[5, lane], factor[6, lane], factor[7, lane]
        l32, l33, l40, l41 = factor[8, lane], factor[9, lane], factor[10, lane], factor[11, lane]
        l42, l43, l44 = factor[12, lane], factor[13, lane], factor[14, lane]
        y0 = (right[k, 0, lane] + g0 * (p0 - s0)) * l00
        y1 = (right[k, 1, lane] + g1 * (p1 - s1) - l10 * y0) * l11
        y2 = (right[k, 2, lane] + g2 * (p2 - s2) - l20 * y0 - l21 * y1) * l22
        y3 = (right[k, 3, lane] + g3 * (p3 - s3) - l30 * y0 - l31 * y1 - l32 * y2) * l33
        y4 = (right[k, 4, lane] + g4 * (p4 - s4) - l40 * y0 - l41 * y1 - l42 * y2 - l43 * y3) * l44
        x4 = y4 * l44
        x3 = (y3 - l43 * x4) * l33
        x2 = (y2 - l32 * x3 - l42 * x4) * l22
        x1 = (y1 - l21 * x2 - l31 * x3 - l41 * x4) * l11
        x0 = (y0 - l10 * x1 - l20 * x2 - l30 * x3 - l40 * x4) * l00
        solution[k, 0, lane], solution[k, 1, lane] = s0 + less * x0, s1 + less * x1
        solution[k, 2, lane], solution[k, 3, lane] = s2 + less * x2, s3 + less * x3
        solution[k, 4, lane] = s4 + less * x4


@part
def invert(factor: Floats, inverse: Floats) -> None:
    """Inverse, a packed lower triangle, of the matrices behind a factor."""
    for lane in range(LANES):
        i00, l10, i11, l20 = factor[0, lane], factor[1, lane], factor[2, lane], factor[3, lane]
        l21, i22, l30, l31 = factor[4, lane], factor[5, lane], factor[6, lane], factor[7, lane]
        l32, i33, l40, l41 = factor[8, lane], factor[9, lane], factor[10, lane], factor[11, lane]
        l42, l43, i44 = factor[12, lane], factor[13, lane], factor[14, lane]
        i10 = -l10 * i00 * i11
        i20 = -(l20 * i00 + l21 * i10) * i22
        i21 = -l21 * i11 * i22
        i30 = -(l30 * i00 + l31 * i10 + l32 * i20) * i33
        i31 = -(l31 * i11 + l32 * i21) * i33
        i32 = -l32 * i22 * i33
        i40 = -(l40 * i00 + l41 * i10 + l42 * i20 + l43 * i30) * i44
        i41 = -(l41 * i11 + l42 * i21 + l43 * i31) * i44
        i42 = -(l42 * i22 + l43 * i32) * i44
        i43 = -l43 * i33 * i44
        inverse[0, lane] = i00 * i00 + i10 * i10 + i20 * i20 + i30 * i30 + i40 * i40
        inverse[1, lane] = i10 * i11 + i20 * i21 + i30 * i31 + i40 * i41
        inverse[2, lane] = i11 * i11 + i21 * i21 + i31 * i31 + i41 * i41
        inverse[3, lane] = i20 * i22 + i30 * i32 + i40 * i42
        inverse[4, lane] = i21 * i22 + i31 * i32 + i41 * i42
        inverse[5, lane] = i22 * i22 + i32 * i32 + i42 * i42
        inverse[6, lane], inverse[7, lane] = i30 * i33 + i40 * i43, i31 * i33 + i41 * i43
        inverse[8, lane], inverse[9, lane] = i32 * i33 + i42 * i43, i33 * i33 + i43 * i43
        inverse[10, lane], inverse[11, lane], inverse[12, lane] = i40 * i44, i41 * i44, i42 * i44
        inverse[13, lane], inverse[14, lane] = i43 * i44, i44 * i44


@part
def spread_error(inverse: Floats, pairs: Days, terms: int, error: Floats) -> None:
    """The variance of a group's fitted season, for unit noise, as a sum of the doubled waves (MOST_WAVES, LANES)."""
    error[:] = 0.0
    i = 0
    for c in range(terms):
        for m in range(c + 1):
            half = np.float32(0.5 if c == m else 1.0)
            one, two, sign = pairs[i, 0], pairs[i, 1], half * np.float32(pairs[i, 2])
            for lane in range(LANES):
                error[one, lane] += half * inverse[i, lane]
            for lane in range(LANES):  # apart, as the two might be one
                error[two, lane] += sign * inverse[i, lane]
            i += 1


@part
def give_rows(found: Floats, at: int, lanes: int, into: Floats) -> None:
    """Copy rows of a group to their place."""
    for k in range(len(found)):
        row = into[k, at : at + lanes]
        for lane in range(lanes):
            row[lane] = found[k, lane]


@part
def give(
    at: int, lanes: int, count: Floats, precision: Floats, solution: Floats, error: Floats, clear: Days,
    scales: Floats, coefficients: Floats, errors: Floats,
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
        give_rows(solution[k, :terms], at, lanes, coefficients[k])
    give_rows(error[: len(errors)], at, lanes, errors)


@part
def take_in(
    values: Floats, at: int, lanes: int, waves: Floats, doubled: Floats, local: Floats, here: Floats, sums: Floats,
    right: Floats, square: Floats,
) -> None:  # fmt: skip
    """Read a group's values, and sum the equations of least squares over them."""
    for quad in range(len(here)):
        load(values, quad, at, lanes, local, here)
        sum_waves(here[quad], doubled, quad * QUAD, sums)
        for k in range(len(right)):
            sum_residuals(local[quad, k], k, quad * QUAD, waves, here[quad], right, square)


@part
def go_through(
    local: Floats, here: Floats, waves: Floats, doubled: Floats, solution: Floats, precision: Floats, tail: np.float32,
    whole: bool, last: bool, residual: Floats, distance: Floats, weight: Floats, sums: Floats, right: Floats,
    square: Floats,
) -> None:  # fmt: skip
    """Weights of a group's dates under the solution, and sums of the next equations under these weights: of the matrix
    where it is to be `whole`, else of its size; of the right side but on the `last` round."""
    top = len(solution) - 1
    for quad in range(len(here)):
        first = quad * QUAD
        for k in range(top):
            depart(local[quad, k], k, first, waves, solution, precision, residual, distance)
        weigh(local[quad, top], here[quad], first, waves, solution, precision, residual, tail, distance, weight)
        if whole:
            sum_waves(weight, doubled, first, sums)
        else:
            sum_weights(weight, sums)
        for k in range(len(solution)):
            if last:
                sum_squares(k, residual[k], weight, square)
            else:
                sum_residuals(residual[k], k, first, waves, weight, right, square)


@kernel
def fit_kernel(
    values: Floats, waves: Floats, doubled: Floats, pairs: Days, ridge: Floats, prior: Floats, rounds: int,
    tail: np.float32, floor: np.float32, coefficients: Floats, errors: Floats, scales: Floats, clear: Days,
) -> None:  # fmt: skip
    """Fit every pixel of `values` (T, K, P); fills the outputs (K, C, P), (2 C - 1, P), (K, P), (P,).

    waves (MOST_TERMS, T), zero beyond the C in use, and `doubled` (MOST_WAVES, T), those with twice as many harmonics;
    both with zeros up to whole quads of dates. pairs (C (C + 1) / 2, 3), from `baseline.pairs_of`.
    """
    _, features, pixels = values.shape
    terms, quads = coefficients.shape[1], waves.shape[1] // QUAD
    local = np.zeros((quads, features, QUAD, LANES), np.float32)
    here = np.zeros((quads, QUAD, LANES), np.float32)
    weight = np.zeros((QUAD, LANES), np.float32)
    distance = np.zeros((QUAD, LANES), np.float32)
    residual = np.zeros((features, QUAD, LANES), np.float32)
    sums = np.zeros((MOST_WAVES, LANES), np.float32)
    right = np.zeros((features, MOST_TERMS, LANES), np.float32)
    normal = np.zeros((MOST_PAIRS, LANES), np.float32)
    factor = np.zeros((MOST_PAIRS, LANES), np.float32)
    inverse = np.zeros((MOST_PAIRS, LANES), np.float32)
    solution = np.zeros((features, MOST_TERMS, LANES), np.float32)
    square = np.zeros((features, LANES), np.float32)
    precision = np.zeros((features, LANES), np.float32)
    count = np.zeros(LANES, np.float32)
    share = np.zeros(LANES, np.float32)
    for c in range(MOST_TERMS):
        factor[c * (c + 3) // 2, :] = 1.0
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        solution[:] = 0.0
        if lanes < LANES:
            here[:] = 0.0
        for step in range(rounds + 1):
            whole = step < min(HELD_FROM, rounds) or step == rounds - 1
            sums[:], right[:], square[:] = 0.0, 0.0, 0.0
            if step == 0:
                take_in(values, at, lanes, waves, doubled, local, here, sums, right, square)
                count[:] = sums[0]
            else:
                go_through(
                    local, here, waves, doubled, solution, precision, tail, whole, step == rounds, residual, distance,
                    weight, sums, right, square,
                )  # fmt: skip
            if whole:
                normal_matrix(sums, pairs, normal)
                factorise(normal, ridge, terms, factor)
            for lane in range(LANES):
                share[lane] = np.float32(1.0) if whole else sums[0, lane] / max(count[lane], np.float32(1.0))
            if step < rounds:
                for k in range(features):
                    step_on(factor, right, k, share, ridge, prior, solution)
            if step == 0:
                unexplained_squares(normal, right, solution, terms, square)
            heavy = max(tail - np.float32(2.0), np.float32(1.0)) / tail if step == 0 and rounds > 1 else np.float32(1.0)
            for k in range(features):
                for lane in range(LANES):
                    variance = heavy * square[k, lane] / max(sums[0, lane], np.float32(1.0))
                    precision[k, lane] = np.float32(1.0) / max(variance, floor * floor)
        invert(factor, inverse)
        spread_error(inverse, pairs, terms, sums)
        give(at, lanes, count, precision, solution, sums, clear, scales, coefficients, errors)
