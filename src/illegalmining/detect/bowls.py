"""Search for compact bowls that sink in monitored time: a matched filter in space, templates in time, rivals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter, maximum_filter

from illegalmining.detect.deformation import (
    MAD_TO_SD,
    Bools,
    Counts,
    Deformation,
    DeformationParameters,
    Weighed,
    Whitening,
    filtered,
    strongest,
    unit_courses,
    weigh,
)
from illegalmining.detect.pim import Floats, Look, Panel, settled_share, sight

AZIMUTHS = (0.0, 45.0, 90.0, 135.0)


@dataclass(frozen=True)
class SearchParameters:
    """What is searched for and how it is held to chance.

    radii_m: main influence radii, m (H 120 to 440 m at tan(beta) 2). long_radii_m, long_m: radii and length of the long
    shapes, m. broad_m: standard deviations of the broad bowls that rival a face, m. extraction_days: lengths of the
    extraction, days; nan: until the last epoch. per_year: Knothe's c, 1/year (2 to 10). start_days: least step between
    starts, days. before_days: earliest start before the first epoch, days. least_monitored: share of the movement seen
    that must fall in monitored time. fewest_after: epochs there must be after a start. apart_m: within it one peak
    stands. shadow_m, shadow_share: a peak this near to one so much stronger is its side lobe. step_handicap: nats a
    jump of one epoch (unwrapping) or a spike is less likely beforehand than a face that moved. independent_radii: side
    of an independent place, radii (measured on pure atmosphere). least_covered: share of the ground within about 100 m
    that must be seen. typical_m: radius of the bowl through which the noise is measured, m. alike: share of the largest
    singular value below which courses are alike.
    """

    radii_m: tuple[float, ...] = (60.0, 100.0, 150.0, 220.0)
    long_radii_m: tuple[float, ...] = (60.0, 100.0, 150.0)
    long_m: float = 400.0
    broad_m: tuple[float, ...] = (350.0, 600.0)
    extraction_days: tuple[float, ...] = (20.0, 100.0, 240.0, float("nan"))
    per_year: float = 6.0
    start_days: float = 24.0
    before_days: float = 180.0
    least_monitored: float = 0.25
    fewest_after: int = 3
    apart_m: float = 350.0
    shadow_m: float = 1500.0
    shadow_share: float = 0.3
    step_handicap: float = 3.0
    independent_radii: float = 1.0
    least_covered: float = 0.4
    typical_m: float = 100.0
    alike: float = 0.02


@dataclass(frozen=True)
class Templates:
    """Courses in time. shares: (G, T) settled share. starts: (G,) day of the start. extraction: (G,) days."""

    shares: Floats
    starts: Floats
    extraction: Floats


@dataclass(frozen=True)
class Peak:
    """A bowl found. row, column: pixel. shape: the best panel about (0, 0). template: index. z: standard deviations.

    ratio: nats over the null after the search. noise: of the shape's filter there, in an epoch's weight. broad: z of
    the best broad bowl near it. veto: what its noise is widened by for z, the declared faces' error.
    """

    row: int
    column: int
    shape: Panel
    template: int
    z: float
    ratio: float
    noise: float
    broad: float = 0.0
    veto: float = 1.0


def time_templates(days: Floats, monitor_day: float, parameters: SearchParameters) -> Templates:
    """Courses that still move after `monitor_day`; starts from before the first epoch to the last but few."""
    shares, starts, extraction = [], [], []
    latest = days[-min(parameters.fewest_after, len(days) - 1)]
    step = max(parameters.start_days, (days[-1] - days[0]) / 45)
    for start in np.arange(days[0] - parameters.before_days, latest - 0.5 * step, step):
        for length in parameters.extraction_days:
            dug = float(days[-1] - start) if np.isnan(length) else length
            share = settled_share(days - start, dug, parameters.per_year)
            before = float(np.interp(monitor_day, days, share))
            if share[-1] - before > parameters.least_monitored * (share[-1] - share[0]):
                shares.append(share)
                starts.append(start)
                extraction.append(dug)
    return Templates(np.array(shares).reshape(-1, len(days)), np.array(starts), np.array(extraction))


def on_days(templates: Templates, days: Floats, parameters: SearchParameters) -> Templates:
    """The same courses on the epochs of another source."""
    pairs = zip(templates.starts, templates.extraction, strict=True)
    shares = [settled_share(days - start, float(dug), parameters.per_year) for start, dug in pairs]
    return Templates(np.array(shares).reshape(-1, len(days)), templates.starts, templates.extraction)


def bowl_shapes(pixel_m: float, parameters: SearchParameters) -> list[Panel]:
    """The panels searched with, about (0, 0) and 1 m thick."""
    radii = [radius for radius in parameters.radii_m if radius >= 0.9 * pixel_m]
    shapes = [Panel(0.0, 0.0, 0.0, radius, radius, radius, 1.0) for radius in radii]
    return shapes + [
        Panel(0.0, 0.0, azimuth, parameters.long_m, 0.8 * radius, radius, 1.0)
        for radius in parameters.long_radii_m
        if radius >= 0.9 * pixel_m
        for azimuth in AZIMUTHS
    ]


def mean_look(look: Look) -> Look:
    """The look at the scene's centre, which a filter takes for all of it."""
    return Look(*(np.asarray(np.mean(part)) for part in (look.east, look.north, look.up)))


def offsets(reach_m: float, pixel_m: float) -> tuple[Floats, Floats]:
    """Coordinates (n, n) about (0, 0), m, rows from north to south, out to `reach_m`."""
    half = int(np.ceil(reach_m / pixel_m))
    at = np.arange(-half, half + 1) * pixel_m
    x, y = np.meshgrid(at, at[::-1])
    return x, y


def bowl_of(shape: Panel, look: Look, pixel_m: float) -> Floats:
    """The shape's movement in the line of sight, (n, n)."""
    x, y = offsets(shape.length_m / 2 + 1.5 * shape.radius_m, pixel_m)
    return sight(shape, x, y, look)


def broad_bowl(sigma_m: float, pixel_m: float) -> Floats:
    """A Gaussian bowl, (n, n), moving away from the satellite."""
    x, y = offsets(2.5 * sigma_m, pixel_m)
    return -np.exp(-(x**2 + y**2) / (2 * sigma_m**2))


def search_nats(known: Bools, pixel_m: float, templates: Templates, parameters: SearchParameters) -> float:
    """ln of the number of independent looks: places of every radius, directions, and courses in time."""
    side = parameters.independent_radii
    area = float(known.sum()) * pixel_m**2
    places = sum(area / (side * max(radius, pixel_m)) ** 2 for radius in parameters.radii_m)
    return float(np.log(max(places, 1.0)) + np.log(max(len(set(templates.starts)), 1)))


def series_at(search: Search, peak: Peak) -> Floats:
    """The course (T,) of the peak's bowl there, whitened, without the null model, in its noise."""
    half = filter_of(search, peak.shape)[0]
    rows, columns = (np.arange(n) for n in search.known.shape)
    kernel = half[np.ix_(peak.row - rows, peak.column - columns)].astype(np.float32)
    return search.typical.nuisance.removed(np.tensordot(search.values, kernel, axes=2).astype(float)) / peak.noise


def filter_of(search: Search, shape: Panel) -> tuple[Floats, float]:
    """A bowl's matched filter in space, its middle at (0, 0), and what it makes of that bowl where W0 is 1 m."""
    bowl = bowl_of(shape, mean_look(search.movement.look), search.movement.pixel_m)
    half = fft.irfft2(search.whitening.matched(bowl), search.whitening.shape)
    off = np.arange(bowl.shape[0]) - bowl.shape[0] // 2
    rows, columns = (-off % n for n in half.shape)
    return half, float((half[np.ix_(rows, columns)] * bowl).sum() / shape.w0_m)


def nats_of(z: float, freedom: int) -> float:
    """Nats over the null of `z` standard deviations, where noise was itself estimated (Student's t)."""
    return 0.5 * freedom * float(np.log1p(z**2 / freedom))


@dataclass(frozen=True)
class Search:
    """A scene ready to be searched. values: (T, Y, X) compact part, m. known: (Y, X)."""

    movement: Deformation
    values: Floats
    known: Bools
    whitening: Whitening
    deformation: DeformationParameters
    parameters: SearchParameters

    def weighed(self, bowl: Floats) -> Weighed:
        """The stack through a bowl's matched filter, weighed."""
        stack = filtered(self.values, self.whitening.matched(bowl), self.whitening.shape)
        return weigh(stack, self.movement.days, self.known, self.movement.pixel_m, self.deformation)

    @cached_property
    def typical(self) -> Weighed:
        """The stack through a typical bowl: what is measured of its noise holds for the other bowls."""
        radius = max(self.parameters.typical_m, self.movement.pixel_m)
        shape = Panel(0.0, 0.0, 0.0, radius, radius, radius, 1.0)
        return self.weighed(bowl_of(shape, mean_look(self.movement.look), self.movement.pixel_m))


@dataclass(frozen=True)
class Courses:
    """What a scene holds of the courses in time, which lie in a space of few dimensions.

    mix: (G, K) every course in that space. maps: (K, Y, X) the scene there, in noise of an epoch's weight.
    """

    mix: Floats
    maps: Floats

    @staticmethod
    def of(search: Search, templates: Templates) -> Courses:
        """The scene in the space of the templates."""
        units = unit_courses(search.typical, templates.shares)[0]
        _, size, basis = np.linalg.svd(units, full_matrices=False)
        basis = basis[: int((size > search.parameters.alike * size[0]).sum())]
        mix = units @ basis.T
        mix = mix / np.maximum(np.linalg.norm(mix, axis=1, keepdims=True), 1e-9)
        weighted = (basis * search.typical.nuisance.root_weight).astype(np.float32)
        return Courses(mix.astype(np.float32), np.tensordot(weighted, search.values, axes=1))

    def best(self, search: Search, bowl: Floats) -> tuple[Floats, Counts, float]:
        """Largest z (Y, X) of a bowl over the courses, which, and the bowl's noise, measured over the scene."""
        seen = filtered(self.maps, search.whitening.matched(bowl), search.whitening.shape)
        level = np.abs(seen[:, search.known])
        noise = MAD_TO_SD * float(np.sqrt(np.mean(np.median(level, axis=1) ** 2)))
        z, which = strongest(seen, self.mix)
        return z / (max(noise, 1e-12) * search.typical.local), which, noise


@dataclass(frozen=True)
class Screen:
    """A scene as every bowl and course in time sees it.

    shapes, noises: the bowls, and the noise of their filters. z: (Y, X) highest of all, the declared faces' error in
    its noise. shape_at, course_at: (Y, X) whose it is. broad: (Y, X) z of the best broad bowl near. widened: (Y, X) the
    noise that z has over its filter's. covered: (Y, X) share of the ground about it that was seen. looks: nats that
    looking everywhere costs.
    """

    search: Search
    shapes: tuple[Panel, ...]
    noises: tuple[float, ...]
    z: Floats
    shape_at: Counts
    course_at: Counts
    broad: Floats
    widened: Floats
    covered: Floats
    looks: float

    def peak_at(self, row: int, column: int) -> Peak:
        """The highest bowl at a pixel."""
        height, index = float(self.z[row, column]), self.shape_at[row, column]
        broad, freedom = float(self.broad[row, column]), max(len(self.search.movement.days) - 4, 3)
        ratio = min(nats_of(height, freedom) - self.looks, height**2 / 2 - broad**2 / 2)
        noise = self.noises[index] * float(self.search.typical.local[row, column])
        shape, course, widened = self.shapes[index], int(self.course_at[row, column]), float(self.widened[row, column])
        return Peak(row, column, shape, course, height, ratio, noise, broad, widened)

    def peaks(self, least: float, share: float = 1.0) -> list[Peak]:
        """Bowls that bring `share` of what is asked for, `least` nats after the search, the strongest first."""
        needed = np.sqrt(2 * max(share * (self.looks + least), 0.1))
        return [self.peak_at(row, column) for row, column in local_peaks(self.z, self.search, needed)]

    def same(self, peak: Peak, x: float, y: float) -> Peak | None:
        """Another source's peak at x, y in this scene; None where this source does not see the ground there."""
        ground = self.search.movement
        row, column = (int(np.abs(at - to).argmin()) for at, to in ((ground.y[:, 0], y), (ground.x[0], x)))
        far = max(abs(ground.x[row, column] - x), abs(ground.y[row, column] - y)) > ground.pixel_m
        if far or self.covered[row, column] < self.search.parameters.least_covered:
            return None
        apart = [abs(one.radius_m - peak.shape.radius_m) + abs(one.length_m - peak.shape.length_m) / 4
                 for one in self.shapes]  # fmt: skip
        noise = self.noises[int(np.argmin(apart))] * float(self.search.typical.local[row, column])
        broad, widened = float(self.broad[row, column]), float(self.widened[row, column])
        return replace(peak, row=row, column=column, noise=noise, broad=broad, veto=widened)


def screened(search: Search, templates: Templates, veto: Floats) -> Screen:
    """A scene through every bowl's filter and along every course.

    `veto` (Y, X) is the error of the declared faces' movement in units of z: it widens the noise where they lie.
    """
    pixel_m, look = search.movement.pixel_m, mean_look(search.movement.look)
    shapes, courses = bowl_shapes(pixel_m, search.parameters), Courses.of(search, templates)
    noises = []
    highest = np.full(search.known.shape, -np.inf, np.float32)
    shape_at = np.zeros(search.known.shape, np.int32)
    course_at = np.zeros(search.known.shape, np.int32)
    for index, shape in enumerate(shapes):
        z, which, noise = courses.best(search, bowl_of(shape, look, pixel_m))
        noises.append(noise)
        better = z > highest
        highest[better], shape_at[better], course_at[better] = z[better], index, which[better]
    widened = np.sqrt(1 + veto**2)
    highest /= widened
    looks = search_nats(search.known, pixel_m, templates, search.parameters)
    broad = np.zeros(search.known.shape, np.float32)
    for sigma in search.parameters.broad_m:
        broad = np.maximum(broad, courses.best(search, broad_bowl(sigma, pixel_m))[0])
    reach = 2 * int(search.parameters.apart_m / pixel_m) + 1
    broad = maximum_filter(broad, reach)
    covered = gaussian_filter(search.known.astype(float), 100.0 / pixel_m, mode="constant")
    highest[covered < search.parameters.least_covered] = -np.inf
    at = shape_at, course_at
    return Screen(search, tuple(shapes), tuple(noises), highest, *at, broad, widened, covered, looks)


def find_peaks(search: Search, templates: Templates, veto: Floats, least: float) -> list[Peak]:
    """Bowls whose evidence after the search and against every rival is above `least` nats, strongest first."""
    return [peak for peak in screened(search, templates, veto).peaks(least) if peak.ratio > least]


def local_peaks(z: Floats, search: Search, least: float) -> list[tuple[int, int]]:
    """Pixels (row, column) that stand above their surroundings and are no side lobe of a stronger one."""
    pixel_m, parameters = search.movement.pixel_m, search.parameters
    top = (z >= least) & (z == maximum_filter(z, 2 * int(parameters.apart_m / pixel_m / 2) + 1))
    rows, columns = np.nonzero(top)
    order = np.argsort(-z[rows, columns], kind="stable")
    kept: list[tuple[int, int]] = []
    for row, column in zip(rows[order], columns[order], strict=True):
        shadowed = False
        for other_row, other_column in kept:
            apart = np.hypot(row - other_row, column - other_column) * pixel_m
            weak = z[row, column] < parameters.shadow_share * z[other_row, other_column]
            shadowed |= apart < parameters.apart_m or (weak and apart < parameters.shadow_m)
        if not shadowed:
            kept.append((int(row), int(column)))
    return kept
