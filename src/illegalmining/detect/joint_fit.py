"""A face beside declared ones, fitted together with them.

Where bowls overlap, a declared face that is fitted alone takes a part of its neighbour's as its own, and what it leaves
is no bowl any more. So both are fitted at once to one window of the ground: the declared faces within what the register
leaves open, the other one within what faces are. Whether there is another is told by what it adds to the likelihood of
the declared faces alone; where it may lie is found by what they cannot take up (a score test about their best fit).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import cho_solve
from shapely.geometry import Point

from illegalmining.detect.advance import advancing, dug_by
from illegalmining.detect.bowls import Search, mean_look
from illegalmining.detect.declared_faces import Declared, DeclaredParameters
from illegalmining.detect.deformation import Nuisance
from illegalmining.detect.face_fit import (
    LEVEL,
    Beside,
    FaceFitParameters,
    FittedFace,
    Prior,
    Problem,
    Window,
    fit_face,
    noise_factor,
    problem_of,
)
from illegalmining.detect.inversion import noise_covariance, noise_scale
from illegalmining.detect.pim import Floats, Panel, settled_share, sight
from illegalmining.detect.solving import least_squares


@dataclass(frozen=True)
class JointParameters:
    """How a face beside declared ones is looked for.

    neighbours: most declared faces fitted at once. least_moved: share of the largest movement in the window below which
    a declared face is not fitted again. zone_radii: how far from a declared face's outline its bowl hides another,
    radii; zone_m: at least, m. own_m: nearer, m, a bowl is the declared face's own. reach_m: of the window over the
    zone, m. pixels_most, pixels_least: used. grid_m: step of the places tried, m. radii_m, sides_m, days_step,
    extraction_days: bowls and courses tried. broad_m: standard deviations of the broad bowls that rival a face, m.
    tops, apart_m: places that a fit begins from, and their distance, m. tries: steps of a fit. seen_share: of the
    epochs, for a pixel to tell of the course in time.
    """

    neighbours: int = 3
    least_moved: float = 0.02
    zone_radii: float = 2.0
    zone_m: float = 300.0
    own_m: float = 60.0
    reach_m: float = 200.0
    pixels_most: int = 450
    pixels_least: int = 60
    grid_m: float = 75.0
    radii_m: tuple[float, ...] = (70.0, 120.0, 200.0)
    side_m: float = 150.0
    days_step: float = 24.0
    extraction_days: tuple[float, ...] = (60.0, 180.0)
    broad_m: tuple[float, ...] = (350.0, 600.0)
    tops: int = 3
    apart_m: float = 150.0
    tries: int = 25
    seen_share: float = 0.95
    face: FaceFitParameters = field(default_factory=FaceFitParameters)


@dataclass(frozen=True)
class Together:
    """Several faces' least squares in one window, which share its data and noise."""

    problems: tuple[Problem, ...]

    def each(self, p: Floats) -> Iterator[tuple[Problem, Floats]]:
        """The faces and their parameters (10,)."""
        return zip(self.problems, np.split(p, len(self.problems)), strict=True)

    def moved(self, p: Floats) -> Floats:
        """Movement (K, P) of all of them, whitened in time."""
        return np.asarray(sum(problem.modelled(part) for problem, part in self.each(p)))

    def still(self, p: Floats) -> Floats:
        """Distance of all parameters from their priors."""
        return np.concatenate([problem.prior(part) for problem, part in self.each(p)])

    def misfit(self, p: Floats) -> Floats:
        """Whitened residuals and priors."""
        return np.concatenate([self.problems[0].left(self.moved(p)), self.still(p)])

    def jacobian(self, p: Floats) -> Floats:
        """Derivatives of `misfit`."""
        whitened = self.problems[0].whitened
        by = [-whitened(problem.modelled_gradient(part)).reshape(-1, len(part)) for problem, part in self.each(p)]
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


@dataclass(frozen=True)
class Scene:
    """A window about a declared face, and the declared faces that are fitted in it again, itself the first.

    origin: of the window's x and y. zone: where another face may lie (G, 2), m; zone_m2: its area. restless: noise of
    slow movement there over that of independent epochs, at least 1.
    """

    problem: Problem
    faces: tuple[Declared, ...]
    origin: tuple[float, float]
    zone: Floats
    zone_m2: float
    restless: float = 1.0


def zone_of(face: Declared, parameters: JointParameters) -> float:
    """How far from its outline a declared face's bowl hides another, m."""
    return max(parameters.zone_radii * face.panel.radius_m, parameters.zone_m)


def window_about(
    search: Search, face: Declared, declared: list[Declared], monitor_day: float, open_: DeclaredParameters,
    parameters: JointParameters,
) -> Scene | None:  # fmt: skip
    """The ground about a declared face with its movement, and that of those fitted with it, put back."""
    ground, origin = search.movement, (face.panel.x, face.panel.y)
    x, y = ground.x - origin[0], ground.y - origin[1]
    reach = face.panel.length_m / 2 + zone_of(face, parameters) + parameters.reach_m
    rows, columns = np.nonzero((np.hypot(x, y) < reach) & search.known)
    thin = max(1, int(np.ceil(len(rows) / parameters.pixels_most)))
    rows, columns = rows[::thin], columns[::thin]
    if len(rows) < parameters.pixels_least:
        return None
    moved = {other.face_id: other.at(rows, columns) for other in declared}
    most = {name: float(np.abs(part[-1] - part[0]).max()) for name, part in moved.items()}
    others = sorted((other for other in declared if other is not face), key=lambda one: -most[one.face_id])
    least = parameters.least_moved * max(most.values())
    faces = (face, *[one for one in others if most[one.face_id] > least][: parameters.neighbours - 1])
    values = search.values[:, rows, columns] + sum(moved[one.face_id] for one in faces)
    seen = np.isfinite(ground.values[:, rows, columns])
    root_weight = search.typical.nuisance.root_weight / search.typical.nuisance.root_weight.mean()
    noise = float(np.sqrt(np.mean(noise_scale(search, root_weight) ** 2)))
    window = Window(x[rows, columns], y[rows, columns], values, seen, noise_covariance(search, rows, columns), noise)
    nuisance = Nuisance.of(ground.days, root_weight, search.deformation.season_years)
    start = float(np.clip(min(one.start for one in faces), ground.days[0] - 90.0, max(monitor_day, 0.0)))
    look = mean_look(ground.look)
    problem = problem_of(window, ground.days, look, nuisance, start, face.panel.radius_m, parameters.face)
    at = np.arange(-np.floor(reach / parameters.grid_m), reach / parameters.grid_m + 1) * parameters.grid_m
    places = [(e, n) for e in at for n in at if near(face, origin[0] + e, origin[1] + n, faces, parameters)]
    zone = np.array(places).reshape(-1, 2)
    restless = float(np.median(search.typical.local[rows, columns]))
    return Scene(problem, faces, origin, zone, len(zone) * parameters.grid_m**2, restless)


def near(face: Declared, x: float, y: float, faces: tuple[Declared, ...], parameters: JointParameters) -> bool:
    """Whether a bowl at x, y would be hidden by a declared face's and is not a declared face's own."""
    place = Point(x, y)
    own = any(one.geometry.distance(place) < parameters.own_m for one in faces)
    return not own and face.geometry.distance(place) < zone_of(face, parameters)


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
    level = scene.problem.whitened(scene.problem.data.level).ravel()
    for k, problem in enumerate(problems):
        bowl = scene.problem.whitened(problem.modelled(problem.known.middle)).ravel()
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


def scores(problem: Problem, bowls: Floats, courses: Floats) -> Scores:
    """Nats that bowls (B, P), m at W0 = 1 m, which follow courses (C, K), add to the faces beside, sinking alone."""
    assert problem.beside is not None, "there are faces beside"
    residual, root = problem.left(), problem.data.root
    count, pad = root.shape[1], np.zeros(len(problem.beside.still))
    nats, w0 = np.zeros((len(bowls), len(courses))), np.zeros((len(bowls), len(courses)))
    for b, bowl in enumerate(bowls):
        parts = problem.whitened((root * bowl[:, None, None]).transpose(1, 0, 2)).reshape(-1, count)
        parts = np.vstack([parts, np.zeros((len(pad), count))])
        parts = problem.beside.freed(parts)
        gain, gram = courses @ (residual @ parts), np.einsum("ci,ij,cj->c", courses, parts.T @ parts, courses)
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
    days, window = problem.days, problem.window
    starts = np.arange(problem.start - 60.0, days[-3], parameters.days_step)
    courses, told = [], []
    for start in starts:
        for duration in parameters.extraction_days:
            share = settled_share(days - start, duration, parameters.face.per_year)
            before = float(np.interp(monitor_day, days, share))
            if share[-1] - before > 0.25 * (share[-1] - share[0]):
                courses.append(share)
                told.append((start, duration))
    if not courses or not len(scene.zone):
        return [], 0.0
    in_bank = problem.courses(np.array(courses))
    shapes, places = [], []
    for east, north in scene.zone:
        for radius in parameters.radii_m:
            square = Panel(east, north, 0.0, parameters.side_m, parameters.side_m, radius, 1.0)
            shapes.append(sight(square, window.x, window.y, problem.look))
            places.append((east, north, radius))
    found = scores(problem, np.array(shapes), in_bank)
    broad = [
        -np.exp(-((window.x - east) ** 2 + (window.y - north) ** 2) / (2 * sigma**2))
        for east, north in scene.zone[::4]
        for sigma in parameters.broad_m
    ]
    rival = float(scores(problem, np.array(broad), in_bank).nats.max())
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

    nats: over the declared faces alone. together, p: those, as fitted with it. series: (T,) of its bowl, whitened, in
    its noise.
    """

    face: FittedFace
    nats: float
    together: Together
    p: Floats
    series: Floats


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
    looks = float(np.log(max(places, 1.0)) + np.log(max((tried.days[-1] - monitor_day) / parameters.days_step, 1.0)))
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


def series_of(scene: Scene, face: FittedFace, around: Together, p: Floats, parameters: JointParameters) -> Floats:
    """Course (T,) of a face's bowl on the pixels that were seen to the end, the declared faces taken off; whitened
    without the null model, in its noise."""
    problem, window = scene.problem, scene.problem.window
    whole = np.flatnonzero(window.seen.mean(axis=0) >= parameters.seen_share)
    x, y, days, look = window.x[whole], window.y[whole], problem.days, problem.look
    values = window.values[:, whole].copy()
    for declared, part in around.each(p):
        values -= advancing(*declared.face(part)[:2], declared.face(part)[2], days, x, y, look, parameters.face.strips)
    bowl = sight(dug_by(face.panel, face.advance, float(days[-1])), x, y, look)
    correlation = window.correlation[np.ix_(whole, whole)]
    wholly = Window(x, y, values, window.seen[:, whole], correlation, window.noise)
    factor = noise_factor(wholly, np.zeros(len(x)), face.panel.radius_m, parameters.face)
    solved = cho_solve((factor, True), bowl)
    size = float(np.sqrt(max(bowl @ solved, 1e-30)))
    return problem.data.nuisance.removed(values @ solved / size) / (window.noise * scene.restless)
