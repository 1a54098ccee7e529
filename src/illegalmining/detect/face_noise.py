"""The noise that a face's intervals rest on, as its own windows show it.

What was reckoned for a whole scene is too much in one window and too little in another, and how far a bowl departs from
the probability integral method differs from mine to mine (1.5 to 23 % in published comparisons). Both show in what the
fitted face leaves: some 400 pixels times five courses against ten parameters. Restricted likelihood (Patterson and
Thompson 1971) weighs them, so that what the fit itself took up of the noise is not taken for quiet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular

from illegalmining.detect.face_fit import FittedFace, Optimum, Problem, noise_factor
from illegalmining.detect.pim import Floats
from illegalmining.detect.solving import least_squares


@dataclass(frozen=True)
class MeasuredNoise:
    """What the noise of a face's windows may prove to be.

    model_error: median share of the bowl that the method gets wrong; model_error_ln: standard deviation of its
    logarithm (published: 1.5, 4.9, 5.1 and 23 %, science.md, whose logarithms have mean 5.4 % and deviation 1.1).
    shares: of the bowl that are weighed, evenly apart in the logarithm. strips: of the panel, more than it is searched
    with: of a face still at work, the end of what is dug may be known to less than a sixth of it. tries: steps to an
    optimum in the noise measured. likely: times the noise that a search's misfit may lie above the best for it to be
    taken up again.
    """

    model_error: float = 0.05
    model_error_ln: float = 1.0
    shares: tuple[float, ...] = (0.006, 0.01, 0.017, 0.029, 0.05, 0.085, 0.145, 0.25)
    strips: int = 12
    tries: int = 15
    likely: float = 20.0


@dataclass(frozen=True)
class Rest:
    """What a fit leaves of one window, in noise, whitened in time alone.

    left: (K, P). by: (K, P, M) what it can take up. moved: (P,) how far the ground moved.
    """

    left: Floats
    by: Floats
    moved: Floats


def in_measured_noise(face: FittedFace, how: MeasuredNoise) -> FittedFace:
    """The face with its noise, and the method's error, as what it leaves shows them; its optima at rest in those."""
    taken = [one for one in face.optima if one.cost - face.optima[0].cost < how.likely * face.wrong]
    finer = in_strips(face.optima[0].problem, how.strips)
    best = rested(finer, taken[0], how.tries)
    problem = with_factors(finer, measured_factors(best, face.panel.radius_m, how)[1])
    optima = sorted((rested(problem, one, how.tries) for one in (best, *taken[1:])), key=lambda one: one.cost)
    return replace(face, optima=tuple(optima))


def in_strips(problem: Problem, count: int) -> Problem:
    """A problem whose panel is cut into `count` strips."""
    own, *others = (replace(one, parameters=replace(one.parameters, strips=count), also=()) for one in problem.windows)
    return replace(own, also=tuple(others))


def measured_factors(best: Optimum, radius_m: float, how: MeasuredNoise) -> tuple[float, list[Floats]]:
    """The share of the bowl that the method gets wrong, and each window's Cholesky factor (P, P) with it."""
    rests, still = rests_of(best)
    nats = []
    for share in how.shares:
        factors = [factor_of(one, rest, radius_m, share) for one, rest in zip(best.problem.windows, rests, strict=True)]
        told = restricted_nats(rests, still, factors)[0]
        nats.append(told - 0.5 * (np.log(share / how.model_error) / how.model_error_ln) ** 2)
    weight = np.exp(np.array(nats) - max(nats))
    error = float(np.sqrt(weight @ np.square(how.shares) / weight.sum()))
    factors = [factor_of(one, rest, radius_m, error) for one, rest in zip(best.problem.windows, rests, strict=True)]
    noise = restricted_nats(rests, still, factors)[1]
    return error, [factor * np.sqrt(level) for factor, level in zip(factors, noise, strict=True)]


def rests_of(best: Optimum) -> tuple[list[Rest], Floats]:
    """What an optimum leaves of each window; and the rows of the priors (N, 1 + M): what is left, and what moves it."""
    problem, p, beside, row = best.problem, best.p, best.problem.beside, 0
    rests, moved = [], problem.modelled(p)
    own = problem.gradients(p)
    for k, one in enumerate(problem.windows):
        whole, by = moved[k], own[k]
        if beside is not None:
            count, pixels = whole.shape
            along = in_time_alone(one, beside.along[row : row + whole.size]).reshape(pixels, count, -1).swapaxes(0, 1)
            whole, by, row = whole + beside.moved[k], np.concatenate([by, along], axis=2), row + count * pixels
        rests.append(Rest(one.data.level - whole, by, np.sqrt((whole**2).sum(axis=0))))
    slope = problem.known.slope
    still = np.hstack([problem.prior(p)[:, None], -slope])
    if beside is not None:
        others = beside.along[row:]
        empty = np.zeros((len(still), others.shape[1])), np.zeros((len(others), slope.shape[1]))
        still = np.vstack([np.hstack([still, empty[0]]), np.hstack([beside.still[:, None], empty[1], others])])
    return rests, still


def in_time_alone(window: Problem, along: Floats) -> Floats:
    """What a declared face beside it may yet move in a window (P, K M), no longer whitened between pixels (P K, M).

    The upper half of a factor is not zero: `cho_factor` leaves there what it found.
    """
    return np.asarray(np.tril(window.factor) @ along.reshape(window.data.level.shape[1], -1))


def factor_of(problem: Problem, rest: Rest, radius_m: float, share: float) -> Floats:
    """Cholesky factor (P, P) of a window's noise where the method gets a `share` of the bowl wrong."""
    return noise_factor(problem.window, rest.moved, radius_m, replace(problem.parameters, model_error=share))


def restricted_nats(rests: list[Rest], still: Floats, factors: list[Floats]) -> tuple[float, list[float]]:
    """Restricted log likelihood of the windows' noise, but for a constant, and its variance in each over `factors`."""
    rows = [whitened(factor, rest) for factor, rest in zip(factors, rests, strict=True)]
    by = np.vstack([*(part[:, 1:] for part in rows), still[:, 1:]])
    left = np.concatenate([*(part[:, 0] for part in rows), still[:, 0]])
    left -= by @ np.linalg.lstsq(by, left, rcond=None)[0]
    sizes = np.array([len(part) for part in rows])
    ends = np.cumsum(sizes)
    free = sizes * max(1 - by.shape[1] / sizes.sum(), 0.1)
    noise = [float((left[end - size : end] ** 2).sum() / n) for end, size, n in zip(ends, sizes, free, strict=True)]
    by = np.vstack([*(part[:, 1:] / np.sqrt(level) for part, level in zip(rows, noise, strict=True)), still[:, 1:]])
    nats = -0.5 * float(sizes @ np.log(noise)) - float(np.log(np.abs(np.diag(np.linalg.qr(by, mode="r")))).sum())
    nats -= sum(len(rest.left) * float(np.log(np.diag(at)).sum()) for rest, at in zip(rests, factors, strict=True))
    return nats, noise


def whitened(factor: Floats, rest: Rest) -> Floats:
    """What is left, and what can take it up, (K P, 1 + M), without correlation between pixels."""
    whole = np.concatenate([rest.left[..., None], rest.by], axis=2).swapaxes(0, 1)
    flat = solve_triangular(factor, whole.reshape(len(whole), -1), lower=True, check_finite=False)
    return np.asarray(flat.reshape(-1, whole.shape[2]))


def with_factors(problem: Problem, factors: list[Floats]) -> Problem:
    """A problem with other noise in each of its windows."""
    own, *others = (replace(one, factor=at, also=()) for one, at in zip(problem.windows, factors, strict=True))
    beside, parts, row = problem.beside, [], 0
    if beside is None:
        return replace(own, also=tuple(others))
    for one, factor in zip(problem.windows, factors, strict=True):
        count, pixels = one.data.level.shape
        block = in_time_alone(one, beside.along[row : row + count * pixels])
        parts.append(solve_triangular(factor, block, lower=True).reshape(count * pixels, -1))
        row += count * pixels
    along = np.linalg.qr(np.vstack([*parts, beside.along[row:]]))[0]
    return replace(own, also=tuple(others), beside=replace(beside, along=along))


def rested(problem: Problem, at: Optimum, tries: int) -> Optimum:
    """Where a search comes to rest in another noise."""
    towards = replace(problem, direction=at.problem.direction)
    fit = least_squares(towards.misfit, at.p, towards.jacobian, max_nfev=tries, x_scale="jac")
    return Optimum(float(fit.cost), fit.x, fit.jac, towards)
