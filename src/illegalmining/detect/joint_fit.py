"""A face beside declared ones, fitted together with them.

Where bowls overlap, a declared face that is fitted alone takes a part of its neighbour's as its own, and what it leaves
is no bowl any more. So both are fitted at once to one window of the ground: the declared faces within what the register
leaves open, the other one within what faces are. Whether there is another is told by what it adds to the likelihood of
the declared faces alone; where it may lie is found by what they cannot take up (a score test about their best fit).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag, cho_solve

from illegalmining.detect.advance import Advance, advancing, dug_by
from illegalmining.detect.declared_faces import Declared, DeclaredParameters
from illegalmining.detect.face_fit import (
    LEVEL,
    Beside,
    FittedFace,
    Prior,
    Problem,
    Window,
    fit_face,
    noise_factor,
)
from illegalmining.detect.inversion import Series
from illegalmining.detect.joint_scene import JointParameters, Scene
from illegalmining.detect.pim import Floats, Panel, settled_share, sight
from illegalmining.detect.solving import least_squares


@dataclass(frozen=True)
class Together:
    """Several faces' least squares in one window, which share its data and noise."""

    problems: tuple[Problem, ...]

    def each(self, p: Floats) -> Iterator[tuple[Problem, Floats]]:
        """The faces and their parameters (10,)."""
        return zip(self.problems, np.split(p, len(self.problems)), strict=True)

    def moved(self, p: Floats) -> tuple[Floats, ...]:
        """Movement (K, P) of all of them in each window, whitened in time."""
        each = [problem.modelled(part) for problem, part in self.each(p)]
        return tuple(np.asarray(sum(parts)) for parts in zip(*each, strict=True))

    def still(self, p: Floats) -> Floats:
        """Distance of all parameters from their priors."""
        return np.concatenate([problem.prior(part) for problem, part in self.each(p)])

    def misfit(self, p: Floats) -> Floats:
        """Whitened residuals and priors."""
        return np.concatenate([self.problems[0].left(self.moved(p)), self.still(p)])

    def jacobian(self, p: Floats) -> Floats:
        """Derivatives of `misfit`."""
        by = [-problem.modelled_gradient(part) for problem, part in self.each(p)]
        slopes = [problem.known.slope for problem in self.problems]
        rows = sum(len(slope) for slope in slopes)
        prior, row = np.zeros((rows, len(p))), 0
        for k, slope in enumerate(slopes):
            prior[row : row + len(slope), 10 * k : 10 * (k + 1)] = slope
            row += len(slope)
        return np.vstack([np.hstack(by), prior])

    def fitted(self, p: Floats, tries: int) -> tuple[float, Floats]:
        """Half the squared misfit at its least, and where."""
        fit = least_squares(self.misfit, p, self.jacobian, max_nfev=tries, x_scale="jac")
        return float(fit.cost), fit.x


def register_prior(face: Declared, problem: Problem, origin: tuple[float, float], open_: DeclaredParameters) -> Prior:
    """What the register says of a declared face, in the window's parameters."""
    panel, duration = face.panel, max(face.stop - face.start, 1.0)
    sizes = np.log([panel.length_m, panel.width_m, panel.radius_m, panel.w0_m, duration, open_.per_year])
    place = [(panel.x - origin[0]) / 100, (panel.y - origin[1]) / 100, np.deg2rad(panel.azimuth_deg)]
    spread = [open_.side_ln, open_.side_ln, open_.radius_ln, open_.amount_ln, open_.duration_ln, open_.rate_ln]
    off = [open_.shift_m / 100, open_.shift_m / 100, np.deg2rad(open_.turn_deg)]
    start, lag = (face.start - problem.start) / 30, open_.lag_days / 30
    return Prior(np.concatenate([place, sizes, [start]]), np.array([*off, *spread, lag]))


def fit_declared(
    scene: Scene, open_: DeclaredParameters, parameters: JointParameters
) -> tuple[float, Together, Floats]:
    """The declared faces alone: half the squared misfit, their directions of advance, and their parameters."""
    problems = []
    for face in scene.faces:
        known = register_prior(face, scene.problem, scene.origin, open_)
        problems.append(replace(scene.problem, known=known, like=replace_like(face.panel)))
    together = Together(tuple(problems))
    p = np.concatenate([problem.known.middle for problem in problems])
    level = scene.problem.left()
    for k, problem in enumerate(problems):
        bowl = np.concatenate([one.whitened(part).ravel() for one, part in
                               zip(problem.windows, problem.modelled(problem.known.middle), strict=True)])  # fmt: skip
        p[10 * k + 6] += np.log(np.clip(level @ bowl / max(float(bowl @ bowl), 1e-30), 0.03, 2.0))
    best: tuple[float, Together, Floats] | None = None
    for k in range(len(problems)):
        for direction in (1, -1):
            if best is not None and direction == best[1].problems[k].direction:
                continue
            turned = list((best[1] if best else together).problems)
            turned[k] = replace(turned[k], direction=direction)
            tried = Together(tuple(turned))
            cost, at = tried.fitted(best[2] if best and k else p, parameters.tries)
            if best is None or cost < best[0]:
                best = (cost, tried, at)
    assert best is not None, "there is a declared face"
    return best


def replace_like(panel: Panel) -> Panel:
    """A panel that gives only what is not fitted of one."""
    return replace(
        LEVEL, horizontal=panel.horizontal, skew=panel.skew, drift_east=panel.drift_east, drift_north=panel.drift_north
    )


def beside_of(together: Together, p: Floats) -> Beside:
    """Declared faces about their best parameters, for the fit of a face beside them."""
    along = np.linalg.qr(together.jacobian(p))[0]
    return Beside(together.moved(p), together.still(p), along)


@dataclass(frozen=True)
class Scores:
    """What bowls in a window would add. nats: (B, C) of B bowls and C courses. w0_m: (B, C) their W0, m."""

    nats: Floats
    w0_m: Floats


def scores(problem: Problem, bowls: Sequence[Floats], courses: Floats) -> Scores:
    """Nats that bowls (B, P) in each window, m at W0 = 1 m, which follow courses (C, K), the windows' banks side by
    side, add to the faces beside, sinking alone."""
    assert problem.beside is not None, "there are faces beside"
    residual, pad = problem.left(), len(problem.beside.still)
    count = len(bowls[0])
    nats, w0 = np.zeros((count, len(courses))), np.zeros((count, len(courses)))
    for b in range(count):
        parts = []
        for one, bowl in zip(problem.windows, bowls, strict=True):
            root = one.data.root
            whole = one.whitened((root * bowl[b][:, None, None]).transpose(1, 0, 2))
            parts.append(whole.reshape(-1, root.shape[1]))
        part = parts[0] if len(parts) == 1 else block_diag(*parts)
        part = problem.beside.freed(np.vstack([part, np.zeros((pad, part.shape[1]))]))
        gain, gram = courses @ (residual @ part), np.einsum("ci,ij,cj->c", courses, part.T @ part, courses)
        w0[b] = gain / np.maximum(gram, 1e-12)
        nats[b] = np.where(gain > 0, gain * w0[b] / 2, 0.0)
    return Scores(nats, w0)


@dataclass(frozen=True)
class Begin:
    """Where a fit begins: place and radius, m, day of the first movement, days of extraction, W0, m, and its nats."""

    x: float
    y: float
    radius_m: float
    start: float
    duration: float
    w0_m: float
    nats: float


def begins(
    scene: Scene, problem: Problem, monitor_day: float, parameters: JointParameters
) -> tuple[list[Begin], float]:
    """The places in the zone where another face would add most, the best first; nats of the best broad bowl."""
    last = max((one.days for one in problem.windows), key=lambda days: float(days[-1]))
    starts = np.arange(problem.start - 60.0, last[-3], parameters.days_step)
    told = []
    for start in starts:
        for duration in parameters.extraction_days:
            share = settled_share(last - start, duration, parameters.face.per_year)
            before = float(np.interp(monitor_day, last, share))
            if share[-1] - before > 0.25 * (share[-1] - share[0]):
                told.append((start, duration))
    if not told or not len(scene.zone):
        return [], 0.0
    rate = parameters.face.per_year
    in_bank = np.hstack([
        one.courses(np.array([settled_share(one.days - start, duration, rate) for start, duration in told]))
        for one in problem.windows
    ])  # fmt: skip
    places = [(east, north, radius) for east, north in scene.zone for radius in parameters.radii_m]
    squares = [Panel(east, north, 0.0, parameters.side_m, parameters.side_m, radius, 1.0)
               for east, north, radius in places]  # fmt: skip
    shapes = [np.array([sight(square, one.window.x, one.window.y, one.look) for square in squares])
              for one in problem.windows]  # fmt: skip
    found = scores(problem, shapes, in_bank)
    broad = [
        np.array([
            -np.exp(-((one.window.x - east) ** 2 + (one.window.y - north) ** 2) / (2 * sigma**2))
            for east, north in scene.zone[::4]
            for sigma in parameters.broad_m
        ])
        for one in problem.windows
    ]  # fmt: skip
    rival = float(scores(problem, broad, in_bank).nats.max())
    kept: list[Begin] = []
    best = found.nats.max(axis=1)
    for b in np.argsort(-best, kind="stable"):
        east, north, radius = places[b]
        if len(kept) == parameters.tops or best[b] <= 0:
            break
        if all(np.hypot(east - one.x, north - one.y) >= parameters.apart_m for one in kept):
            c = int(found.nats[b].argmax())
            kept.append(Begin(east, north, radius, *told[c], float(found.w0_m[b, c]), float(best[b])))
    return kept, rival


@dataclass(frozen=True)
class Neighbour:
    """A face found beside declared ones.

    nats: over the declared faces alone. together, p: those, as fitted with it. series: of its bowl in each window.
    """

    face: FittedFace
    nats: float
    together: Together
    p: Floats
    series: tuple[Series, ...]


def fit_beside(
    scene: Scene, monitor_day: float, least: float, open_: DeclaredParameters, parameters: JointParameters
) -> Neighbour | None:
    """The face beside declared ones that adds most to them; None where it adds less than `least` nats.

    `least` is what is asked for after looking everywhere in the zone is paid for.
    """
    alone, together, p = fit_declared(scene, open_, parameters)
    tried = replace(scene.problem, beside=beside_of(together, p))
    found, broad = begins(scene, tried, monitor_day, parameters)
    places = sum(scene.zone_m2 / radius**2 for radius in parameters.radii_m)
    looks = float(np.log(max(places, 1.0)) + np.log(max((tried.last_day - monitor_day) / parameters.days_step, 1.0)))
    if not found or found[0].nats < 0.5 * (looks + least):
        return None
    fits = []
    for begin in found:
        known = Prior.of(parameters.face, begin.x, begin.y)
        known.middle[9] = (begin.start - scene.problem.start) / 30
        azimuth = np.deg2rad(scene.faces[0].panel.azimuth_deg)
        sizes = np.log([2 * parameters.side_m, parameters.side_m, begin.radius_m, np.clip(begin.w0_m / 2, 0.03, 5.0)])
        first = np.concatenate([known.middle[:2], [azimuth], sizes, [np.log(begin.duration)], known.middle[8:]])
        for direction in (1, -1):
            hidden = replace(scene.problem, known=known, direction=direction)
            both = Together((hidden, *together.problems))
            fits.append((*both.fitted(np.concatenate([first, p]), parameters.tries), both))
    cost, at, both = min(fits, key=lambda fit: fit[0])
    hidden, around = both.problems[0], Together(both.problems[1:])
    hidden = replace(hidden, beside=beside_of(around, at[10:]))
    panel, advance, _ = hidden.face(at[:10])
    face = fit_face(hidden, panel, advance.start - hidden.start)
    best = face.optima[0]
    both = Together((replace(best.problem, beside=None), *around.problems))
    again, moved_to = both.fitted(np.concatenate([best.p, at[10:]]), parameters.tries)
    if again < cost:
        cost, at = again, moved_to
    nats = (alone - cost) / (face.wrong * scene.restless**2) - max(looks, broad / face.wrong)
    if nats < least:
        return None
    return Neighbour(face, nats, around, at[10:], series_of(scene, face, around, at[10:], parameters))


def series_of(
    scene: Scene, face: FittedFace, around: Together, p: Floats, parameters: JointParameters
) -> tuple[Series, ...]:
    """Course of a face's bowl in each window on the pixels that were seen to the end, the declared faces taken off."""
    faces = [problem.face(part) for problem, part in around.each(p)]
    bowl = dug_by(face.panel, face.advance, scene.problem.last_day)
    told = [series_in(problem, bowl, faces, scene.restless, parameters) for problem in scene.problem.windows]
    return tuple(replace(one, gain=one.gain / told[0].gain) for one in told)


def series_in(
    problem: Problem, bowl: Panel, declared: list[tuple[Panel, Advance, float]], restless: float,
    parameters: JointParameters,
) -> Series:  # fmt: skip
    """The course of a bowl in one window."""
    window, days, look = problem.window, problem.days, problem.look
    whole = np.flatnonzero(window.seen.mean(axis=0) >= parameters.seen_share)
    x, y = window.x[whole], window.y[whole]
    values = window.values[:, whole].copy()
    for panel, advance, rate in declared:
        values -= advancing(panel, advance, rate, days, x, y, look, parameters.face.strips)
    pattern = sight(bowl, x, y, look)
    correlation = window.correlation[np.ix_(whole, whole)]
    wholly = Window(x, y, values, window.seen[:, whole], correlation, window.noise)
    factor = noise_factor(wholly, np.zeros(len(x)), bowl.radius_m, parameters.face)
    solved = cho_solve((factor, True), pattern)
    size = float(np.sqrt(max(pattern @ solved, 1e-30)))
    seen = problem.data.nuisance.removed(values @ solved / size) / (window.noise * restless)
    return Series(days, problem.data.nuisance, seen, size / (window.noise * restless))
