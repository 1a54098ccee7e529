"""The ground about a declared face as every source sees it, and where in it another face may lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from shapely.geometry import Point

from illegalmining.detect.bowls import mean_look
from illegalmining.detect.declared_faces import Declared
from illegalmining.detect.deformation import Nuisance
from illegalmining.detect.face_fit import FaceFitParameters, Problem, Window, problem_of
from illegalmining.detect.inversion import Pixels, noise_covariance, noise_scale
from illegalmining.detect.pim import Floats
from illegalmining.detect.track import Track


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
class Scene:
    """A window about a declared face, and the declared faces that are fitted in it again, itself the first.

    tracks: the sources whose windows the problem holds, in its order. origin: of the windows' x and y. zone: where
    another face may lie (G, 2), m; zone_m2: its area. restless: noise of slow movement there over that of independent
    epochs, at least 1, in the window where it is largest.
    """

    problem: Problem
    tracks: tuple[Track, ...]
    faces: tuple[Declared, ...]
    origin: tuple[float, float]
    zone: Floats
    zone_m2: float
    restless: float = 1.0


def zone_of(face: Declared, parameters: JointParameters) -> float:
    """How far from its outline a declared face's bowl hides another, m."""
    return max(parameters.zone_radii * face.panel.radius_m, parameters.zone_m)


def scene_about(tracks: Sequence[Track], face_id: str, monitor_day: float, parameters: JointParameters) -> Scene | None:
    """The ground about a declared face with its movement, and that of those fitted with it, put back.

    One window of each source in which the face moves and enough pixels were seen; None where there is no such source.
    """
    able = [(track, *pixels_about(track, face, parameters)) for track in tracks if (face := track.named(face_id))]
    able = [(track, rows, columns) for track, rows, columns in able if len(rows) >= parameters.pixels_least]
    if not able:
        return None
    track, rows, columns = able[0]
    faces = fitted_with(track, face_id, rows, columns, parameters)
    first = min(float(track.search.movement.days[0]) for track, _, _ in able)
    start = float(np.clip(min(one.start for one in faces), first - 90.0, max(monitor_day, 0.0)))
    problems = [problem_in(track, rows, columns, faces, start, parameters) for track, rows, columns in able]
    face, origin = faces[0], (faces[0].panel.x, faces[0].panel.y)
    reach = reach_of(face, parameters)
    at = np.arange(-np.floor(reach / parameters.grid_m), reach / parameters.grid_m + 1) * parameters.grid_m
    places = [(e, n) for e in at for n in at if near(face, origin[0] + e, origin[1] + n, faces, parameters)]
    zone = np.array(places).reshape(-1, 2)
    restless = max(float(np.median(track.search.typical.local[rows, columns])) for track, rows, columns in able)
    seen_by = tuple(track for track, _, _ in able)
    problem = replace(problems[0], also=tuple(problems[1:]))
    return Scene(problem, seen_by, faces, origin, zone, len(zone) * parameters.grid_m**2, restless)


def reach_of(face: Declared, parameters: JointParameters) -> float:
    """Of the window about a declared face, m."""
    return face.panel.length_m / 2 + zone_of(face, parameters) + parameters.reach_m


def pixels_about(track: Track, face: Declared, parameters: JointParameters) -> tuple[Pixels, Pixels]:
    """Rows and columns of the pixels about a declared face, thinned."""
    ground = track.search.movement
    away = np.hypot(ground.x - face.panel.x, ground.y - face.panel.y)
    rows, columns = np.nonzero((away < reach_of(face, parameters)) & track.search.known)
    thin = max(1, int(np.ceil(len(rows) / parameters.pixels_most)))
    return rows[::thin], columns[::thin]


def fitted_with(
    track: Track, face_id: str, rows: Pixels, columns: Pixels, parameters: JointParameters
) -> tuple[Declared, ...]:
    """A declared face, and those others that move most in its window."""
    moved = {other.face_id: other.at(rows, columns) for other in track.declared}
    most = {name: float(np.abs(part[-1] - part[0]).max()) for name, part in moved.items()}
    face = next(one for one in track.declared if one.face_id == face_id)
    others = sorted((other for other in track.declared if other is not face), key=lambda one: -most[one.face_id])
    least = parameters.least_moved * max(most.values())
    return (face, *[one for one in others if most[one.face_id] > least][: parameters.neighbours - 1])


def problem_in(
    track: Track, rows: Pixels, columns: Pixels, faces: tuple[Declared, ...], start: float, parameters: JointParameters
) -> Problem:
    """The least squares of one source's window about the first of `faces`, the movement of all of them put back."""
    search, ground, panel = track.search, track.search.movement, faces[0].panel
    back = [own.at(rows, columns) for one in faces if (own := track.named(one.face_id)) is not None]
    values = search.values[:, rows, columns] + sum(back)
    seen = np.isfinite(ground.values[:, rows, columns])
    root_weight = search.typical.nuisance.root_weight / search.typical.nuisance.root_weight.mean()
    noise = float(np.sqrt(np.mean(noise_scale(search, root_weight) ** 2)))
    x, y = (ground.x - panel.x)[rows, columns], (ground.y - panel.y)[rows, columns]
    window = Window(x, y, values, seen, noise_covariance(search, rows, columns), noise)
    nuisance = Nuisance.of(ground.days, root_weight, search.deformation.season_years)
    return problem_of(window, ground.days, mean_look(ground.look), nuisance, start, panel.radius_m, parameters.face)


def near(face: Declared, x: float, y: float, faces: tuple[Declared, ...], parameters: JointParameters) -> bool:
    """Whether a bowl at x, y would be hidden by a declared face's and is not a declared face's own."""
    place = Point(x, y)
    own = any(one.geometry.distance(place) < parameters.own_m for one in faces)
    return not own and face.geometry.distance(place) < zone_of(face, parameters)
