"""A bowl's panel: where it lies, how it is turned, how large it is, and when it began to move.

Movement is a fixed bowl in space times one course in time. The course's amplitude at each pixel is fitted by a panel
(probability integral method) on a plane, by least squares whitened with the measured covariance of the noise. What
movement cannot tell apart (depth and thickness) is held by priors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.linalg import cho_factor, solve_triangular

from illegalmining.detect.advance import advancing, dug_by
from illegalmining.detect.bowls import Peak, Search, Templates, mean_look
from illegalmining.detect.deformation import Bools, Deformation, Nuisance
from illegalmining.detect.face_fit import FaceFitParameters, FittedFace, Window, fit_face, problem_of
from illegalmining.detect.lost_core import NOTHING_LOST, LostCore
from illegalmining.detect.pim import DAYS_PER_YEAR, Floats, Panel, settled_share, sight, sight_gradient
from illegalmining.detect.solving import least_squares

Pixels = npt.NDArray[np.intp]


@dataclass(frozen=True)
class InversionParameters:
    """Priors and limits of the inversion.

    radius_m, length_m, width_m, w0_m: medians of a face, m (science.md: H 150 to 700, tan(beta) 1.5 to 2.4; W0 = m
    q). radius_ln, length_ln, width_ln, w0_ln: standard deviations of their logarithms. window_radii: reach of the
    window, radii. pixels_most: pixels used, the rest thinned. extraction_days, per_year, step_days: courses tried;
    nan: until the last epoch. old_per_year: c of old workings that still settle, 1/year. model_error: share of the
    bowl that the method gets wrong (5 % at Guotun, science.md). pixels_least: to say anything. off_m: a panel further
    from its bowl than its reach and this is not its cause.
    """

    radius_m: float = 120.0
    length_m: float = 300.0
    width_m: float = 100.0
    w0_m: float = 1.2
    radius_ln: float = 0.5
    length_ln: float = 0.7
    width_ln: float = 0.5
    w0_ln: float = 0.6
    window_radii: float = 3.5
    pixels_most: int = 450
    extraction_days: tuple[float, ...] = (0.0, 30.0, 60.0, 100.0, 150.0, 200.0, 270.0, 360.0, float("nan"))
    per_year: tuple[float, ...] = (3.0, 6.0, 10.0)
    old_per_year: tuple[float, ...] = (0.3, 0.6, 1.0, 2.0, 4.0)
    step_days: float = 6.0
    model_error: float = 0.05
    pixels_least: int = 15
    off_m: float = 100.0
    face: FaceFitParameters = field(default_factory=FaceFitParameters)


@dataclass(frozen=True)
class Course:
    """A course in time. begun, dug, per_year: day of its start, days of its extraction, Knothe's c. start: the middle
    of the likely days of the start. z: its standard deviations."""

    begun: float
    dug: float
    per_year: float
    start: float
    z: float

    def on(self, days: Floats) -> Floats:
        """Settled share (T,)."""
        return settled_share(days - self.begun, self.dug, self.per_year)


@dataclass(frozen=True)
class Series:
    """A bowl's course as one source sees it. days: (T,). values: (T,) whitened, without the null model, in its noise.

    gain: how much of the bowl its noise lets it see, over what the first source's does.
    """

    days: Floats
    nuisance: Nuisance
    values: Floats
    gain: float = 1.0


@dataclass(frozen=True)
class Heard:
    """A bowl in one source's scene: the peak's pixel there, and its course."""

    name: str
    search: Search
    peak: Peak
    series: Series


@dataclass(frozen=True)
class Inverted:
    """A face in the CRS.

    face: as fitted, its length along the advance. panel: what is dug by the last epoch, its length the longer side.
    origin: where the fit's x and y are 0. course: at the peak. expected: (T,) settled share of the movement at the
    panel's middle. lost: what pixels that were lost say of it. sources: whose ground it was fitted to, the first of
    them the one that `expected` is of. against: sources that see the ground there, contradict it and were left out.
    """

    face: FittedFace
    panel: Panel
    origin: tuple[float, float]
    course: Course
    expected: Floats
    lost: LostCore = NOTHING_LOST
    sources: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


def one_after_another(parts: list[Floats]) -> Floats:
    """The parts, one below the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def unit_courses_of(seen: Sequence[Series], courses: Sequence[Floats]) -> Floats:
    """Courses (G, T), given on every source's epochs, as they show in all of them together: of length one, (T, G).

    A source of more gain counts for more: the bowl is one, and its size the same to all.
    """
    pairs = list(zip(seen, courses, strict=True))
    units = one_after_another([one.gain * one.nuisance.removed(course.T) for one, course in pairs])
    size = np.sqrt((units**2).sum(axis=0))
    whole = [((one.gain * course * one.nuisance.root_weight) ** 2).sum(axis=1) for one, course in pairs]
    return np.asarray(units / np.where(size > 1e-3 * np.sqrt(sum(whole)), size, np.inf))


def levels_of(seen: Sequence[Series], courses: Sequence[Floats]) -> Floats:
    """Standard deviations (G,) of courses (G, T) in the series of all sources together."""
    return one_after_another([one.values for one in seen]) @ unit_courses_of(seen, courses)


def rival_nats(seen: Sequence[Series], courses: Sequence[Floats]) -> float:
    """Largest nats of any of the courses (G, T), of either sign."""
    return float((levels_of(seen, courses) ** 2).max() / 2)


def rival_courses(days: Floats) -> Floats:
    """Jumps between two epochs and epochs that stand out alone: unwrapping errors and storms, (2 T - 1, T)."""
    count = len(days)
    return np.concatenate([np.tri(count, count, -1).T[:-1], np.eye(count)])


def old_workings(days: Floats, first: float, parameters: InversionParameters) -> Floats:
    """Courses (K, T) of ground that still settles over workings closed before day `first`, whenever that was."""
    rates = np.array(parameters.old_per_year)[:, None] / DAYS_PER_YEAR
    return -np.exp(-rates * (days - first))


def fit_course(
    heard: Sequence[Heard], templates: Templates, monitor_day: float, parameters: InversionParameters
) -> tuple[Course, float]:
    """The course at a peak, and the nats it leaves after rivals in time."""
    first, handicap = float(templates.starts[heard[0].peak.template]), heard[0].search.parameters.step_handicap
    seen = [one.series for one in heard]
    course, nats = course_of(seen, first, float(templates.starts.min()), monitor_day, handicap, parameters)
    return course, min(heard[0].peak.ratio, nats)


def course_of(
    seen: Sequence[Series], first: float, earliest: float, monitor_day: float, handicap: float,
    parameters: InversionParameters,
) -> tuple[Course, float]:  # fmt: skip
    """The course of a bowl that begins about day `first`, and the nats it leaves after rivals in time.

    handicap: nats that a jump of one epoch is less likely beforehand; every source may have one of its own.
    """
    last, found = max(float(one.days[-1]) for one in seen), []
    latest = max(float(one.days[-2]) for one in seen)
    for start in np.arange(max(first - 90, earliest), min(first + 90, latest) + 1, parameters.step_days):
        for length in parameters.extraction_days:
            dug = float(last - start) if np.isnan(length) else length
            found += [(start, dug, rate) for rate in parameters.per_year]
    courses = [np.array([settled_share(one.days - start, dug, rate) for start, dug, rate in found]) for one in seen]
    z = one_after_another([one.values for one in seen]) @ unit_courses_of(seen, courses)
    best = int(z.argmax())
    starts = np.array([start for start, _, _ in found])
    likely = np.exp((z.clip(0) ** 2 - z[best] ** 2) / 2)
    middle = float((likely * starts).sum() / likely.sum())
    course = Course(*found[best], middle, float(z[best]))
    jump = sum(max(0.0, rival_nats([one], [rival_courses(one.days)]) - handicap) for one in seen)
    ended = rival_nats(seen, [still_from(each, one.days, monitor_day) for each, one in zip(courses, seen, strict=True)])
    begun = min(float(one.days[0]) for one in seen)
    old = rival_nats(seen, [old_workings(one.days, begun, parameters) for one in seen])
    return course, float(z[best] ** 2 / 2 - max(jump, ended, old))


def still_from(shares: Floats, days: Floats, day: float) -> Floats:
    """Courses (G, T) that stay where they are on a day."""
    frozen = shares.copy()
    frozen[:, days > day] = np.array([[np.interp(day, days, share)] for share in shares])
    return frozen


def amplitudes(values: Floats, seen: Bools, share: Floats, days: Floats, root_weight: Floats) -> tuple[Floats, Floats]:
    """Amplitude of a course and its unit variance per pixel: values, seen (T, P) -> (P,), (P,); nan where unknown."""
    nuisance = [np.ones_like(days), days / max(days[-1], 1.0)]
    design = np.stack([*nuisance, share], axis=1) * root_weight[:, None]
    weights = seen.astype(float)
    normal = np.einsum("ti,tp,tj->pij", design, weights, design) + 1e-9 * np.eye(3)
    inverse = np.linalg.inv(normal)
    moment = np.einsum("ti,tp->pi", design, weights * values * root_weight[:, None])
    amplitude = np.einsum("pi,pi->p", inverse[:, -1], moment)
    return amplitude, inverse[:, -1, -1]


def noise_covariance(search: Search, rows: Pixels, columns: Pixels) -> Floats:
    """Correlation (P, P) of the noise between pixels, from the measured spectrum."""
    lags = fft.irfft2(search.whitening.power, search.whitening.shape)
    lags = lags / lags[0, 0]
    return lags[np.subtract.outer(rows, rows), np.subtract.outer(columns, columns)]


@dataclass(frozen=True)
class Place:
    """Pixels (P,) about a peak: rows, columns, and x, y in m from it; reach of the window, m."""

    rows: Pixels
    columns: Pixels
    x: Floats
    y: Floats
    reach: float

    def only(self, usable: Bools) -> Place:
        """The usable pixels (P,) alone."""
        return Place(self.rows[usable], self.columns[usable], self.x[usable], self.y[usable], self.reach)


def place_of(search: Search, origin: tuple[float, float], shape: Panel, parameters: InversionParameters) -> Place:
    """The window about a peak, thinned."""
    movement = search.movement
    x, y = movement.x - origin[0], movement.y - origin[1]
    reach = max(parameters.window_radii * shape.radius_m, 400.0) + shape.length_m / 2
    rows, columns = np.nonzero((np.hypot(x, y) < reach) & search.known)
    thin = max(1, int(np.ceil(len(rows) / parameters.pixels_most)))
    rows, columns = rows[::thin], columns[::thin]
    return Place(rows, columns, x[rows, columns], y[rows, columns], reach)


@dataclass(frozen=True)
class Usable:
    """A window's pixels that tell of a course. level, sd: (P,) its amplitude and that of the noise, m."""

    place: Place
    level: Floats
    sd: Floats
    window: Window
    nuisance: Nuisance


def usable_about(
    search: Search, origin: tuple[float, float], shape: Panel, course: Course, parameters: InversionParameters
) -> Usable | None:
    """The ground about a peak as one source sees it; None where too few pixels are left to say."""
    root_weight = search.typical.nuisance.root_weight / search.typical.nuisance.root_weight.mean()
    movement, place = search.movement, place_of(search, origin, shape, parameters)
    seen = np.isfinite(movement.values[:, place.rows, place.columns])
    values = search.values[:, place.rows, place.columns]
    level, variance = amplitudes(values, seen, course.on(movement.days), movement.days, root_weight)
    usable = variance < 25 * np.median(variance) if len(variance) else np.zeros(0, bool)
    if usable.sum() < parameters.pixels_least:
        return None
    place, seen, values = place.only(usable), seen[:, usable], values[:, usable]
    noise = float(np.sqrt(np.mean(noise_scale(search, root_weight) ** 2)))
    correlation = noise_covariance(search, place.rows, place.columns)
    nuisance = Nuisance.of(movement.days, root_weight, search.deformation.season_years)
    window = Window(place.x, place.y, values, seen, correlation, noise)
    return Usable(place, level[usable], noise * np.sqrt(variance[usable]), window, nuisance)


def invert(heard: Sequence[Heard], course: Course, parameters: InversionParameters) -> Inverted | None:
    """The face under a peak, one for all sources that see it, each in its own window with its own noise and look.

    None where the first source has too few pixels left to say, or where the face does not lie under the peak.
    """
    search, peak = heard[0].search, heard[0].peak
    ground = search.movement
    origin = float(ground.x[peak.row, peak.column]), float(ground.y[peak.row, peak.column])
    about = [usable_about(one.search, origin, peak.shape, course, parameters) for one in heard]
    if about[0] is None:
        return None
    begin = still_panel(about[0], search, parameters)
    off = peak.shape.radius_m + peak.shape.length_m / 2 + parameters.off_m
    if np.hypot(begin.x, begin.y) > off:
        return None
    told = [(one, part) for one, part in zip(heard, about, strict=True) if part is not None]
    problems = [
        problem_of(
            part.window, one.search.movement.days, mean_look(one.search.movement.look), part.nuisance, course.start,
            begin.radius_m, parameters.face,
        )
        for one, part in told
    ]  # fmt: skip
    face = fit_face(replace(problems[0], also=tuple(problems[1:])), begin)
    if np.hypot(face.panel.x, face.panel.y) > off:
        return None
    found = in_the_crs(face, origin, course, ground, parameters.face.strips)
    return replace(found, sources=tuple(one.name for one, _ in told))


def in_the_crs(
    face: FittedFace, origin: tuple[float, float], course: Course, ground: Deformation, strips: int
) -> Inverted:
    """A face fitted in a window about `origin`, as the first source sees it move."""
    days, look = ground.days, mean_look(ground.look)
    dug = dug_by(face.panel, face.advance, face.optima[0].problem.last_day)
    middle = (np.array(dug.x), np.array(dug.y))
    settled = float(sight(face.panel, *middle, look))
    moved = advancing(face.panel, face.advance, face.per_year, days, *middle, look, strips)
    x0, y0 = origin
    placed = replace(face, panel=replace(face.panel, x=face.panel.x + x0, y=face.panel.y + y0))
    panel = long_side_first(replace(dug, x=dug.x + x0, y=dug.y + y0))
    return Inverted(placed, panel, origin, course, moved / settled)


def less(search: Search, hidden: Sequence[Inverted], parameters: InversionParameters) -> Search:
    """The scene without the movement of faces that were found."""
    if not hidden:
        return search
    ground, values = search.movement, search.values.copy()
    look, strips = mean_look(ground.look), parameters.face.strips
    for found in hidden:
        panel = found.face.panel
        near = np.hypot(ground.x - panel.x, ground.y - panel.y) < panel.length_m / 2 + 3 * panel.radius_m
        at, moving = (ground.x[near], ground.y[near]), (found.face.advance, found.face.per_year, ground.days)
        values[:, near] -= advancing(panel, *moving, *at, look, strips).astype(np.float32)
    return replace(search, values=values)


def long_side_first(panel: Panel) -> Panel:
    """The panel, its length the longer side and its azimuth below 180 degrees."""
    turned = panel.azimuth_deg + (90.0 if panel.width_m > panel.length_m else 0.0)
    longer, shorter = max(panel.length_m, panel.width_m), min(panel.length_m, panel.width_m)
    return replace(panel, azimuth_deg=float(turned % 180), length_m=longer, width_m=shorter)


def still_panel(about: Usable, search: Search, parameters: InversionParameters) -> Panel:
    """The panel about the peak whose settled bowl fits the amplitudes there."""
    place, level, sd = about.place, about.level, about.sd
    covariance = about.window.correlation * np.outer(sd, sd)
    covariance += np.diag(0.05 * sd**2 + (parameters.model_error * level) ** 2)
    factor = cho_factor(covariance + 1e-12 * np.eye(len(sd)), lower=True)[0]
    look, x, y = mean_look(search.movement.look), place.x, place.y
    ground = np.stack([np.ones_like(x), x / place.reach, y / place.reach], axis=1) * sd.mean()
    middle = np.log([parameters.length_m, parameters.width_m, parameters.radius_m, parameters.w0_m])
    spread = np.array([parameters.length_ln, parameters.width_ln, parameters.radius_ln, parameters.w0_ln])

    def panel_of(p: Floats) -> Panel:
        length, width, radius, w0 = np.exp(np.clip(p[3:7], -7.0, 8.5))
        return Panel(p[0] * 100, p[1] * 100, float(np.rad2deg(p[2])), length, width, radius, w0)

    def misfit(p: Floats) -> Floats:
        left = level - sight(panel_of(p), x, y, look) - ground @ p[7:]
        whitened = solve_triangular(factor, left, lower=True)
        return np.concatenate([whitened, (p[3:7] - middle) / spread, p[:2] / 3, p[7:] / 3])

    def jacobian(p: Floats) -> Floats:
        panel = panel_of(p)
        by = sight_gradient(panel, x, y, look)[1].T
        by = by * np.array([100, 100, 1, panel.length_m, panel.width_m, panel.radius_m, panel.w0_m])
        priors = np.zeros((9, 10))
        priors[:4, 3:7] = np.diag(1 / spread)
        priors[4:6, :2], priors[6:, 7:] = np.eye(2) / 3, np.eye(3) / 3
        return np.vstack([-solve_triangular(factor, np.hstack([by, ground]), lower=True), priors])

    fits = []
    for azimuth in (0.2, 1.0, 1.8, 2.6):
        begin = np.concatenate([[0.0, 0.0, azimuth], middle - [0, 0, 0, 1.0], np.zeros(3)])
        fits.append(least_squares(misfit, begin, jacobian, max_nfev=40))
    return panel_of(min(fits, key=lambda fit: fit.cost).x)


def noise_scale(search: Search, root_weight: Floats) -> Floats:
    """Noise of one weighted epoch in every row of a thinned scene, without unit."""
    thin = max(1, search.known.shape[0] // 50)
    weighted = search.values[:, ::thin, ::thin] * root_weight[:, None, None]
    steps = np.diff(weighted, axis=0) / np.sqrt(2)
    return 1.4826 * np.median(np.abs(steps), axis=0)
