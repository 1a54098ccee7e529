"""A panel that advances, fitted to a window of the ground in space and time.

The window's series are brought onto a few courses in time that any face there could follow; in those, the strips of
an advancing panel are fitted by least squares with derivatives, whitened with the measured covariance of the noise and
with what the method itself gets wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import cho_factor, solve_triangular

from illegalmining.detect.advance import Advance, strip_gradients, strip_share_gradient, strip_shares, strip_sights
from illegalmining.detect.deformation import Bools, Nuisance
from illegalmining.detect.pim import Floats, Look, Panel, knothe
from illegalmining.detect.solving import least_squares

LEVEL = Panel(0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
"""A panel in a level seam."""

PRIORS = 9
"""Parameters of a face that a prior holds: all but the azimuth."""

TURN_SD = np.pi / np.sqrt(12)
"""Standard deviation of an azimuth of which nothing is known, radians."""


@dataclass(frozen=True)
class FaceFitParameters:
    """Priors of a face and limits of the fit.

    length_m, width_m, radius_m, w0_m: medians, m (science.md: H 150 to 700 m, tan(beta) 1.5 to 2.4; W0 = m q).
    duration_days, per_year: medians of the extraction and of Knothe's c. *_ln: standard deviations of the logarithms.
    place_m, start_days: standard deviations about the bowl's peak and first movement. model_error: share of the bowl
    that the method gets wrong (4.9 to 23 %, science.md), correlated over its radius. own_noise: share of a pixel's
    noise that its neighbours do not have. ground_share: share of the bowl that may be lost to the broad field.
    begin_days: extractions that the search begins from. strips: of the panel. courses_most, courses_share: courses in
    time kept, and their share of the variance. bank_days, bank_step_days, bank_rates: onsets before the first movement,
    their step, and the c of the bank. tries, tries_most: steps of every search, and more of the best.
    """

    length_m: float = 280.0
    width_m: float = 100.0
    radius_m: float = 120.0
    w0_m: float = 0.8
    duration_days: float = 150.0
    per_year: float = 5.0
    length_ln: float = 0.5
    width_ln: float = 0.4
    radius_ln: float = 0.4
    w0_ln: float = 0.9
    duration_ln: float = 0.7
    rate_ln: float = 0.5
    place_m: float = 150.0
    start_days: float = 90.0
    model_error: float = 0.05
    own_noise: float = 0.05
    ground_share: float = 0.1
    begin_days: tuple[float, ...] = (60.0, 240.0)
    strips: int = 6
    courses_most: int = 5
    courses_share: float = 0.998
    bank_days: float = 90.0
    bank_step_days: float = 12.0
    bank_rates: tuple[float, ...] = (2.0, 5.0, 10.0)
    tries: int = 30
    tries_most: int = 100

    @property
    def middle(self) -> Floats:
        """Medians of the six logarithms, in the order of the fit's parameters."""
        shape = [self.length_m, self.width_m, self.radius_m, self.w0_m]
        return np.log([*shape, self.duration_days, self.per_year])

    @property
    def spread(self) -> Floats:
        """Standard deviations of the six logarithms."""
        return np.array([self.length_ln, self.width_ln, self.radius_ln, self.w0_ln, self.duration_ln, self.rate_ln])


@dataclass(frozen=True)
class Window:
    """Ground around a peak. x, y: (P,) m from it. values: (T, P) m in the line of sight. seen: (T, P).

    correlation: (P, P) of the noise. noise: standard deviation of an epoch of weight one, m.
    """

    x: Floats
    y: Floats
    values: Floats
    seen: Bools
    correlation: Floats
    noise: float


@dataclass(frozen=True)
class Projected:
    """A window in a few courses.

    bank: (T, K) orthonormal, weighted. level: (K, P) in noise. root: (P, K, K) whitens where epochs are missing.
    """

    bank: Floats
    level: Floats
    root: Floats
    nuisance: Nuisance


def projected(
    window: Window, days: Floats, nuisance: Nuisance, start: float, parameters: FaceFitParameters
) -> Projected:
    """The window's series in the courses that a face starting near `start` can follow."""
    onsets = np.arange(start - parameters.bank_days, days[-1], parameters.bank_step_days)
    courses = [knothe(days - onset, rate) for onset in onsets for rate in parameters.bank_rates]
    left, size, _ = np.linalg.svd(nuisance.removed(np.array(courses).T), full_matrices=False)
    enough = int(np.searchsorted(np.cumsum(size**2) / (size**2).sum(), parameters.courses_share)) + 1
    bank = left[:, : min(enough, parameters.courses_most)]
    design = np.hstack([nuisance.basis, bank])
    seen = window.seen.astype(float)
    normal = np.einsum("ti,tp,tj->pij", design, seen, design, optimize=True) + 1e-6 * np.eye(design.shape[1])
    weighted = np.where(window.seen, window.values, 0.0) * nuisance.root_weight[:, None] / window.noise
    inverse = np.linalg.inv(normal)
    level = np.einsum("pij,jp->pi", inverse, design.T @ weighted)[:, nuisance.basis.shape[1] :]
    part = inverse[:, nuisance.basis.shape[1] :, nuisance.basis.shape[1] :]
    root = np.linalg.cholesky(np.linalg.inv(part)).transpose(0, 2, 1)
    return Projected(bank, np.einsum("pij,pj->ip", root, level), root, nuisance)


@dataclass(frozen=True)
class Prior:
    """Medians and standard deviations (10,) of a face's parameters, in the fit's order and units; inf: not known."""

    middle: Floats
    spread: Floats

    @staticmethod
    def of(parameters: FaceFitParameters, x: float = 0.0, y: float = 0.0) -> Prior:
        """Of a face about which nothing is known but the place of its bowl, m."""
        place, start = parameters.place_m / 100, parameters.start_days / 30
        middle = np.concatenate([[x / 100, y / 100, 0.0], parameters.middle, [0.0]])
        return Prior(middle, np.concatenate([[place, place, np.inf], parameters.spread, [start]]))

    def distance(self, p: Floats) -> Floats:
        """Of parameters from their medians, in standard deviations, of those that are known."""
        held = np.isfinite(self.spread)
        return ((p - self.middle) / self.spread)[held]

    @property
    def slope(self) -> Floats:
        """Derivatives of `distance` by the parameters."""
        held = np.isfinite(self.spread)
        return np.diag(1 / self.spread)[held]


@dataclass(frozen=True)
class Beside:
    """Faces beside the one that is fitted, whose parameters are free too, linear about their best.

    moved: (K, P) their movement at their best, whitened in time, in each window. still: (N,) their distance from their
    priors there. along: (K P + N, M) orthonormal directions in which they can change the residuals of all windows and
    that distance: what lies in them says nothing of the face that is fitted.
    """

    moved: tuple[Floats, ...]
    still: Floats
    along: Floats

    def freed(self, residual: Floats) -> Floats:
        """Residuals (K P + N, ...) without what the faces beside can take up."""
        return np.asarray(residual - self.along @ (self.along.T @ residual))


@dataclass(frozen=True)
class Problem:
    """The least squares of one direction of advance in one window of the ground, or in several at once.

    like: gives what is not fitted of a panel. also: the same face in the windows of other sources, each with its own
    epochs, look and noise; of these only what a window is to them is used.
    """

    window: Window
    data: Projected
    days: Floats
    look: Look
    direction: int
    start: float
    factor: Floats
    parameters: FaceFitParameters
    known: Prior
    like: Panel = LEVEL
    beside: Beside | None = None
    also: tuple[Problem, ...] = ()

    @property
    def windows(self) -> tuple[Problem, ...]:
        """This window and the others."""
        return (self, *self.also)

    @property
    def last_day(self) -> float:
        """Of the last epoch in any window."""
        return max(float(one.days[-1]) for one in self.windows)

    def face(self, p: Floats) -> tuple[Panel, Advance, float]:
        """The face that the parameters mean."""
        length, width, radius, w0, duration, rate = np.exp(np.clip(p[3:9], -9.0, 8.0))
        turned = float(np.rad2deg(p[2]))
        panel = replace(
            self.like, x=p[0] * 100, y=p[1] * 100, azimuth_deg=turned, length_m=length, width_m=width,
            radius_m=radius, w0_m=w0,
        )  # fmt: skip
        return panel, Advance(self.direction, self.start + p[9] * 30, float(duration)), float(rate)

    def courses(self, shares: Floats) -> Floats:
        """Courses (S, T) in the bank (S, K), in noise."""
        return (self.data.nuisance.removed(shares.T).T @ self.data.bank) / self.window.noise

    def whitened(self, level: Floats) -> Floats:
        """(K, P, ...) without correlation between pixels, flat over (K, P)."""
        flat = level.swapaxes(0, 1).reshape(level.shape[1], -1)
        return solve_triangular(self.factor, flat, lower=True, check_finite=False)

    def modelled(self, p: Floats) -> tuple[Floats, ...]:
        """The face's movement (K, P), whitened in time, in each window."""
        face = self.face(p)
        return tuple(one.moved_by(*face) for one in self.windows)

    def moved_by(self, panel: Panel, advance: Advance, rate: float) -> Floats:
        """A face's movement (K, P) in this window, whitened in time."""
        count = self.parameters.strips
        seen = strip_sights(panel, advance.direction, self.window.x, self.window.y, self.look, count)
        course = self.courses(strip_shares(self.days, advance, rate, count))
        return np.asarray(np.einsum("pkl,lp->kp", self.data.root, course.T @ seen))

    def gradients(self, p: Floats) -> list[Floats]:
        """Derivatives (K, P, 10) of `modelled`, of each window."""
        if self.like.skew or self.like.drift_east or self.like.drift_north:
            steps = 1e-4 * np.eye(len(p))
            pairs = [(self.modelled(p + step), self.modelled(p - step)) for step in steps]
            steps_by = ([(up[k] - down[k]) / 2e-4 for up, down in pairs] for k in range(len(self.windows)))
            return [np.stack(step, axis=-1) for step in steps_by]
        face = self.face(p)
        return [one.gradient_of(*face) for one in self.windows]

    def modelled_gradient(self, p: Floats) -> Floats:
        """Derivatives (N, 10) of `modelled`, whitened in space too, the N values of all windows one after another."""
        return self.flat(self.gradients(p), len(p))

    def flat(self, parts: Iterable[Floats], columns: int) -> Floats:
        """(N, columns) of what each window holds (K, P, columns), whitened in space."""
        told = [one.whitened(part).reshape(-1, columns) for one, part in zip(self.windows, parts, strict=True)]
        return told[0] if len(told) == 1 else np.vstack(told)

    def gradient_of(self, panel: Panel, advance: Advance, rate: float) -> Floats:
        """Derivatives (K, P, 10) of `moved_by` by the fit's parameters, in a level seam."""
        count = self.parameters.strips
        seen, by = strip_gradients(panel, advance.direction, self.window.x, self.window.y, self.look, count)
        course = self.courses(strip_shares(self.days, advance, rate, count))
        in_time = strip_share_gradient(self.days, advance, rate, count)
        scale = np.array([100, 100, 1.0, panel.length_m, panel.width_m, panel.radius_m, panel.w0_m])
        space = np.einsum("pkl,sl,sjp->kpj", self.data.root, course, by, optimize=True) * scale
        begin, duration, speed = (
            np.einsum("pkl,sl,sp->kp", self.data.root, self.courses(part), seen, optimize=True) for part in in_time
        )
        return np.concatenate([space, np.stack([duration * advance.duration, speed, begin * 30], axis=-1)], axis=2)

    def left(self, moved: tuple[Floats, ...] | None = None) -> Floats:
        """Whitened residuals when a face has `moved` (K, P) the ground of each window, and what the faces beside it
        leave, the windows one after another."""
        flat = []
        for k, one in enumerate(self.windows):
            level = one.data.level if self.beside is None else one.data.level - self.beside.moved[k]
            flat.append(one.whitened(level if moved is None else level - moved[k]).ravel())
        if self.beside is None:
            return np.concatenate(flat)
        return self.beside.freed(np.concatenate([*flat, self.beside.still]))

    def misfit(self, p: Floats) -> Floats:
        """Whitened residuals and priors."""
        return np.concatenate([self.left(self.modelled(p)), self.prior(p)])

    def prior(self, p: Floats) -> Floats:
        """Distance of the parameters from their medians, in standard deviations."""
        return self.known.distance(p)

    def jacobian(self, p: Floats) -> Floats:
        """Derivatives of `misfit`."""
        flat = -self.modelled_gradient(p)
        if self.beside is not None:
            flat = self.beside.freed(np.vstack([flat, np.zeros((len(self.beside.still), len(p)))]))
        return np.vstack([flat, self.known.slope])


@dataclass(frozen=True)
class Optimum:
    """Where a search came to rest. cost: half the squared misfit. p: (10,). jacobian: derivatives of the misfit."""

    cost: float
    p: Floats
    jacobian: Floats
    problem: Problem

    @property
    def precision(self) -> Floats:
        """Of the parameters (10, 10)."""
        data, prior = self.jacobian[:-PRIORS], self.jacobian[-PRIORS:]
        any_way = np.zeros(len(self.p))
        any_way[2] = TURN_SD**-2
        return data.T @ data + prior.T @ prior + np.diag(any_way)


@dataclass(frozen=True)
class FittedFace:
    """An advancing panel about a window's peak.

    optima: where the searches came to rest, the best first. wrong: the window's squared misfit over what noise would
    give, at least 1. unlikely: nats that its shape lies from a face's, beyond what a face has on average. unexplained:
    share of the movement in the window that the panel leaves, beyond noise.
    """

    panel: Panel
    advance: Advance
    per_year: float
    optima: tuple[Optimum, ...] = field(repr=False)
    wrong: float
    unlikely: float
    unexplained: float


def noise_factor(window: Window, expected: Floats, radius_m: float, parameters: FaceFitParameters) -> Floats:
    """Cholesky factor (P, P) of noise, of the method's error on a bowl `expected` (P,), and of loose ground."""
    apart = np.hypot(np.subtract.outer(window.x, window.x), np.subtract.outer(window.y, window.y))
    wrong = np.outer(expected, expected) * np.exp(-0.5 * (apart / radius_m) ** 2) * parameters.model_error**2
    reach = max(float(np.abs(window.x).max()), float(np.abs(window.y).max()), 1.0)
    ground = np.stack([np.ones_like(window.x), window.x / reach, window.y / reach])
    loose = (1 + parameters.ground_share * float(np.abs(expected).max())) ** 2 * (ground.T @ ground)
    own = parameters.own_noise * np.eye(len(window.x))
    return np.asarray(cho_factor(window.correlation + own + wrong + loose, lower=True)[0])


def problem_of(
    window: Window, days: Floats, look: Look, nuisance: Nuisance, start: float, radius_m: float,
    parameters: FaceFitParameters,
) -> Problem:  # fmt: skip
    """The least squares of a window in which a face of about `radius_m` starts near day `start`."""
    data = projected(window, days, nuisance, start, parameters)
    expected = np.sqrt((data.level**2).sum(axis=0))
    quiet = float(np.median(expected))
    factor = noise_factor(window, np.maximum(expected - 2 * quiet, 0.0), radius_m, parameters)
    return Problem(window, data, days, look, 1, start, factor, parameters, Prior.of(parameters))


def fit_face(problem: Problem, begin: Panel, onset: float = 0.0) -> FittedFace:
    """The face that fits a window best, from a panel `begin` about its peak, `onset` days after the problem's start."""
    parameters, fits = problem.parameters, []
    for direction in (1, -1):
        towards = replace(problem, direction=direction)
        for turned, duration in itertools.product((0.0, 90.0), parameters.begin_days):
            long, wide = (begin.length_m, begin.width_m) if not turned else (begin.width_m, begin.length_m)
            shape = np.log([long, wide, *np.clip([begin.radius_m, begin.w0_m], (40.0, 0.03), (300.0, 5.0))])
            first = np.concatenate([[begin.x / 100, begin.y / 100, np.deg2rad(begin.azimuth_deg + turned)], shape])
            first = np.concatenate([first, [np.log(duration), parameters.middle[5], onset / 30]])
            fit = least_squares(towards.misfit, first, towards.jacobian, max_nfev=parameters.tries, x_scale="jac")
            fits.append(Optimum(float(fit.cost), fit.x, fit.jac, towards))
    best = min(fits, key=lambda one: one.cost)
    problem = best.problem
    fit = least_squares(problem.misfit, best.p, problem.jacobian, max_nfev=parameters.tries_most, x_scale="jac")
    best = Optimum(float(fit.cost), fit.x, fit.jac, problem)
    fits = [best, *fits]
    prior, still = problem.prior(best.p), problem.left()
    left = 2 * best.cost - float((prior**2).sum())
    free = still.size - len(best.p)
    moved = max(float((still**2).sum()) - still.size, 1.0)
    unlikely = max(0.0, (float((prior[2:8] ** 2).sum()) - 6) / 2)
    unexplained = max(0.0, left - free) / moved
    return FittedFace(*problem.face(best.p), tuple(fits), max(1.0, left / max(free, 1)), unlikely, unexplained)
