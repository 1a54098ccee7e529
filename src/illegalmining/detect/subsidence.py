"""Faces that nobody declared, from the movement of the ground that the declared ones leave unexplained."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import maximum_filter
from shapely.geometry import Point
from shapely.geometry.base import BaseGeometry

from illegalmining.compute import do, one_algebra_thread, tell
from illegalmining.detect.advance import advancing
from illegalmining.detect.bowls import (
    Search,
    SearchParameters,
    Templates,
    bowl_of,
    find_peaks,
    mean_look,
    search_nats,
    time_templates,
)
from illegalmining.detect.declared_faces import Declared, DeclaredParameters, explain
from illegalmining.detect.declared_verdicts import VerdictParameters, judge_declared
from illegalmining.detect.deformation import (
    Deformation,
    DeformationParameters,
    Whitening,
    compact_part,
    filtered,
    read_deformation,
    unit_courses,
)
from illegalmining.detect.face_draws import DrawParameters, drawn
from illegalmining.detect.face_report import attributes_of, middle_seen, middling
from illegalmining.detect.findings import Findings, Remark, detection, detections
from illegalmining.detect.inversion import (
    InversionParameters,
    Inverted,
    course_of,
    fit_course,
    in_the_crs,
    invert,
    less,
)
from illegalmining.detect.joint_fit import JointParameters, Neighbour, Scene, fit_beside, window_about, zone_of
from illegalmining.detect.lost_core import Core, LostParameters, lost_core, lost_cores
from illegalmining.detect.pim import Floats, Panel, movement, outline, settled_share
from illegalmining.detect.tiles import Tile, in_hand, tiles_of

SAME_PLACE_M = 60.0
"""A face found this near to a declared one is the declared one, m."""
BYTES_A_VALUE = 50.0
"""What a pixel and epoch of a tile takes while judged: 26 where there is no face (benchmarks/bench_subsidence.py),
and about as much again for what declared and hidden faces are taken off."""


@dataclass(frozen=True)
class SubsidenceParameters:
    """How displacement is judged.

    least_log_lr: nats from which a face is reported: chance alone brings as much once in exp(3) = 20 scenes.
    most_log_lr: what evidence of one kind may reach, nats: the method itself is wrong at times. deepest_nats: below
    it a bowl is not inverted. prior_*: the face that `smallest_site_m2` is reckoned with (thickness m, subsidence
    factor, tan(beta), depth m; shared/science.md). tan_beta_low, tan_beta_high: range of tan(beta), science.md.
    least_peak_mm: smallest peak taken for a face, mm: two thirds of the 30 mm that science.md calls a small one.
    most_peak_mm: largest, mm. most_mm_a_z: largest peak for each standard deviation seen, mm: more is a panel that
    the data do not hold. prior_days: its extraction, days. misfit_share, misfit_nats: share of the movement that a
    face may leave unexplained, and nats taken off for all of it. tile_m, margin_m: side of the tiles that a scene is
    judged in, and how far over its side a tile looks, m. fewest_pixels: in a tile, to judge it.
    """

    deformation: DeformationParameters = field(default_factory=DeformationParameters)
    search: SearchParameters = field(default_factory=SearchParameters)
    inversion: InversionParameters = field(default_factory=InversionParameters)
    draws: DrawParameters = field(default_factory=DrawParameters)
    declared: DeclaredParameters = field(default_factory=DeclaredParameters)
    verdicts: VerdictParameters = field(default_factory=VerdictParameters)
    joint: JointParameters = field(default_factory=JointParameters)
    lost: LostParameters = field(default_factory=LostParameters)
    least_log_lr: float = 3.0
    most_log_lr: float = 12.0
    prior_thickness_m: float = 2.0
    prior_q: float = 0.7
    prior_tan_beta: float = 2.0
    prior_depth_m: float = 300.0
    prior_days: float = 180.0
    tan_beta_low: float = 1.5
    tan_beta_high: float = 2.4
    least_peak_mm: float = 15.0
    most_peak_mm: float = 6000.0
    most_mm_a_z: float = 40.0
    tile_m: float = 15000.0
    margin_m: float = 2500.0
    fewest_pixels: int = 64
    misfit_share: float = 0.1
    misfit_nats: float = 20.0


@one_algebra_thread()
def detect_subsidence(
    cube: xr.Dataset,
    faces: gpd.GeoDataFrame | None,
    history_from: Any,
    monitor_from: Any,
    as_of: Any,
    parameters: SubsidenceParameters | None = None,
    workers: int = 2,
    megabytes: float = math.inf,
) -> Findings:
    """Movement of compact bowls in monitored time that no declared face explains, each inverted for its panel.

    `cube`: displacement in m towards the satellite, dims (time, y, x), in a projected CRS in m. `faces`:
    `tables.WORKING_FACES` in that CRS, or None. Epochs before `history_from` or after `as_of` are not used.

    `workers`: tiles judged at once, `megabytes`: fewer of them where they would take more. The result is the same.

    Questions of the detections: `undeclared_face` (log_lr > 0), and for declared faces `declared_face` (log_lr < 0: it
    moves as it should), `declared_face_never_moved` and `declared_face_past_stop` (log_lr > 0).

    The forward model is the probability integral method (Liu Baochen), W = W0 C(s; l) C(t; L) with
    C(s; l) = (erf(sqrt(pi) s / r) - erf(sqrt(pi) (s - l) / r)) / 2, and Knothe's law in time. Movement fixes position,
    azimuth, length, r = H / tan(beta) and the extracted volume; depth and thickness rest on priors.

    Returns
    -------
    Detections in nats, and the smallest square panel (y, x) that would have been found, m2.

    Examples
    --------
    >>> cube = im.open_source("insar", district)
    >>> findings = im.detect_subsidence(
    ...     cube, registers.working_faces, days.history_from, days.monitor_from, days.as_of
    ... )
    >>> set(findings.detections["detector"]) <= {"subsidence"}
    True
    >>> findings.smallest_site_m2.dims
    ('y', 'x')
    """
    parameters = parameters or SubsidenceParameters()
    first, last = pd.Timestamp(history_from), pd.Timestamp(as_of)
    within = (cube["time"].values >= first.to_datetime64()) & (cube["time"].values <= last.to_datetime64())
    cube = cube.isel(time=np.flatnonzero(within))
    blind = xr.full_like(cube["displacement"].isel(time=0, drop=True), np.nan, np.float32) if within.any() else None
    if within.sum() < parameters.deformation.fewest_epochs or min(cube.sizes["y"], cube.sizes["x"]) < 8:
        remark = Remark("few_epochs", {"epochs": int(within.sum()), "needed": parameters.deformation.fewest_epochs})
        return Findings(detections([], cube.rio.crs), blind, (remark,))
    assert blind is not None, "there are epochs"
    pixel_m = abs(float(cube["x"][1] - cube["x"][0]))
    sides = (round(length / pixel_m) for length in (parameters.tile_m, parameters.margin_m))
    tiles = list(tiles_of((cube.sizes["y"], cube.sizes["x"]), *sides))
    rows: list[dict[str, Any]] = []
    smallest = blind.values.copy()

    def judge(tile: Tile) -> tuple[list[dict[str, Any]], Floats] | None:
        return judged(tile.of(cube), faces, pd.Timestamp(monitor_from), parameters)

    at_once = in_hand(tiles, int(within.sum()), workers, megabytes, BYTES_A_VALUE)
    with ThreadPoolExecutor(at_once) as pool:
        for tile, done in zip(tiles, pool.map(partial(do, judge), tiles), strict=True):
            tell(tile.facts(int(within.sum())), done)
            told = done.result
            if told is not None:
                rows += [row for row in told[0] if tile.answers_for(row["geometry"].centroid, cube)]
                smallest[tile.core] = told[1][tile.inner]
    remarks = () if np.isfinite(smallest).any() else (Remark("no_movement", {}),)
    out = xr.DataArray(smallest, dims=("y", "x"), coords={"y": cube["y"], "x": cube["x"]}, name="smallest_site_m2")
    out = out.assign_coords(spatial_ref=cube["spatial_ref"]) if "spatial_ref" in cube.coords else out
    return Findings(detections(rows, cube.rio.crs), out, remarks)


def judged(
    cube: xr.Dataset, faces: gpd.GeoDataFrame | None, monitor_from: pd.Timestamp, parameters: SubsidenceParameters
) -> tuple[list[dict[str, Any]], Floats] | None:
    """Rows of a cube that fits in memory, and the smallest panels (Y, X); None where almost nothing was seen."""
    ground, epochs = read_deformation(cube, parameters.deformation), pd.DatetimeIndex(cube["time"].values)
    if ground.known.sum() < parameters.fewest_pixels:
        return None
    monitor_day = float((monitor_from - epochs[0]) / pd.Timedelta(days=1))
    templates = time_templates(ground.days, monitor_day, parameters.search)
    search, declared, hidden = told_apart(ground, faces, epochs, templates, monitor_day, parameters)
    beside = beside_declared(hidden, declared)
    rest = less(search, beside, parameters.inversion)
    moved = np.abs((search.values - rest.values)[[0, -1]]).max(axis=0)
    rows = judge_declared(rest, declared, moved, epochs, monitor_day, parameters.verdicts)
    past_stop = [row["geometry"] for row in rows if "past_stop" in row["attributes"]]
    for found, nats in hidden:
        row = undeclared_row(search, found, nats, epochs, parameters)
        if row is None or any(under(found, face) for face in past_stop):
            continue
        if not any(is_declared(found, face, parameters) for face in declared):
            rows.append(row)
    return rows, smallest_panel(search, templates, parameters)


def told_apart(
    ground: Deformation,
    faces: gpd.GeoDataFrame | None,
    epochs: pd.DatetimeIndex,
    templates: Templates,
    monitor_day: float,
    parameters: SubsidenceParameters,
) -> tuple[Search, list[Declared], list[tuple[Inverted, float]]]:
    """What the declared faces leave, what they move, and the faces found in it.

    Declared faces come first: the register is the null model. Where one moves the ground, another beside it is fitted
    together with it; elsewhere bowls stand alone.
    """
    search = scene_of(ground, parameters)
    declared = explain(search, faces, epochs, parameters.declared)
    if not declared:
        bowls = undeclared_faces(search, templates, declared, monitor_day, parameters) if len(templates.starts) else []
        return search, declared, bowls
    search = left_by(declared, ground, parameters)
    if not len(templates.starts):
        return search, declared, []
    hidden: list[tuple[Inverted, float]] = []
    told_beside = []
    for k in range(len(declared)):
        rest = less(search, [found for found, _ in hidden], parameters.inversion)
        scene = window_about(rest, declared[k], declared, monitor_day, parameters.declared, parameters.joint)
        if scene is None:
            continue
        told_beside.append(declared[k])
        beside = fit_beside(scene, monitor_day, parameters.least_log_lr, parameters.declared, parameters.joint)
        if beside is None:
            continue
        told = fitted_again(scene, beside, declared, search, parameters)
        left = left_by(told, ground, parameters)
        found = beside_found(left, scene, beside, templates, monitor_day, parameters)
        if found is not None:
            search, declared = left, told
            hidden.append((with_lost(search, *found, declared, parameters), found[1]))
    rest = less(search, [found for found, _ in hidden], parameters.inversion)
    for alone in undeclared_faces(rest, templates, declared, monitor_day, parameters):
        place = outline(alone[0].panel).centroid
        if not any(in_zone(place, face, parameters) for face in told_beside):
            hidden.append(alone)
    return search, declared, hidden


def in_zone(place: Point, face: Declared, parameters: SubsidenceParameters) -> bool:
    """Whether a bowl there must be told from a declared face by fitting both."""
    return SAME_PLACE_M <= face.geometry.distance(place) < zone_of(face, parameters.joint)


def fitted_again(
    scene: Scene, beside: Neighbour, declared: list[Declared], search: Search, parameters: SubsidenceParameters
) -> list[Declared]:
    """The declared faces, those of a window as they were fitted with a face beside them."""
    ground, look, told = search.movement, mean_look(search.movement.look), {}
    for face, (problem, p) in zip(scene.faces, beside.together.each(beside.p), strict=True):
        panel, advance, rate = problem.face(p)
        panel = replace(panel, x=panel.x + scene.origin[0], y=panel.y + scene.origin[1])
        at = ground.x[face.window], ground.y[face.window]
        moved = advancing(panel, advance, rate, ground.days, *at, look, parameters.declared.strips)
        told[face.face_id] = replace(face, moved=moved.astype(np.float32))
    return [told.get(face.face_id, face) for face in declared]


def left_by(declared: list[Declared], ground: Deformation, parameters: SubsidenceParameters) -> Search:
    """The scene without what the declared faces move; what was lost is filled only then."""
    values = ground.values.copy()
    for face in declared:
        values[:, *face.window] -= face.moved
    return scene_of(replace(ground, values=values), parameters)


def beside_found(
    search: Search,
    scene: Scene,
    beside: Neighbour,
    templates: Templates,
    monitor_day: float,
    parameters: SubsidenceParameters,
) -> tuple[Inverted, float] | None:
    """A face beside declared ones in the CRS, with its nats; None where its course is a rival's."""
    ground, face = search.movement, beside.face
    begun = face.advance.start
    course, nats = course_of(search, beside.series, begun, templates, monitor_day, parameters.inversion)
    nats = min(nats, beside.nats)
    if nats < parameters.least_log_lr:
        return None
    strips = parameters.inversion.face.strips
    return in_the_crs(face, scene.origin, course, ground.days, mean_look(ground.look), strips), nats


def beside_declared(hidden: list[tuple[Inverted, float]], declared: list[Declared]) -> list[Inverted]:
    """The faces found that do not lie at a declared place."""
    return [found for found, _ in hidden if not any(under(found, face.geometry) for face in declared)]


def scene_of(ground: Deformation, parameters: SubsidenceParameters) -> Search:
    """The scene's compact part and the spectrum of its noise."""
    values = compact_part(ground, parameters.deformation)
    whitening = Whitening.of(values, ground.days, ground.pixel_m, parameters.deformation)
    return Search(ground, values, ground.known, whitening, parameters.deformation, parameters.search)


def under(found: Inverted, face: BaseGeometry) -> bool:
    """Whether a face that was found is at a declared place."""
    return bool(face.buffer(SAME_PLACE_M).contains(outline(found.panel).centroid))


def is_declared(found: Inverted, face: Declared, parameters: SubsidenceParameters) -> bool:
    """Whether a face that was found is a declared one: at its place while it works, where its fit left something."""
    within = parameters.verdicts.past_days
    at_its_time = face.start - within <= found.face.advance.start <= face.stop + within
    return at_its_time and under(found, face.geometry)


def undeclared_faces(
    search: Search,
    templates: Templates,
    declared: list[Declared],
    monitor_day: float,
    parameters: SubsidenceParameters,
) -> list[tuple[Inverted, float]]:
    """Every bowl that is a face's and no rival's, inverted, with its nats."""
    error = np.zeros(search.known.shape)
    for face in declared:
        error[face.window] = np.maximum(error[face.window], face.error_z)
    error = maximum_filter(error, 2 * round(parameters.declared.blur_m / search.movement.pixel_m) + 1)
    cores, taken = lost_cores(search.movement, monitor_day, parameters.lost), list[Core]()
    moving = error > 0
    cores = [core for core in cores if not moving[core.row, core.column]]  # what a declared face lost is its own
    faces: list[tuple[Inverted, float]] = []
    for peak in find_peaks(search, templates, error, parameters.least_log_lr):
        course, nats, root_weight = fit_course(search, peak, templates, monitor_day, parameters.inversion)
        if nats < parameters.least_log_lr:
            continue
        middles = [core.middle_of(peak) for core in cores if core.under(peak, search.movement.pixel_m)]
        found = [invert(search, begin, course, root_weight, parameters.inversion) for begin in (peak, *middles)]
        told = [with_lost(search, one, nats, declared, parameters) for one in found if one is not None]
        if told:
            best = max(told, key=lambda one: one.lost.nats - charged(one, parameters))
            if not any(core.holds(best.panel, search.movement) for core in taken):
                faces.append((best, nats))
                taken += [core for core in cores if core.holds(best.panel, search.movement)]
    return faces


def with_lost(
    search: Search, found: Inverted, nats: float, declared: list[Declared], parameters: SubsidenceParameters
) -> Inverted:
    """A face whose movement brings `nats`, with what lost pixels say of it."""
    strips = parameters.inversion.face.strips
    return replace(found, lost=lost_core(search.movement, found.face, nats, declared, parameters.lost, strips))


def charged(found: Inverted, parameters: SubsidenceParameters) -> float:
    """Nats taken off for an unlikely shape, and for movement that a face leaves unexplained."""
    wrong = max(0.0, found.face.unexplained - parameters.misfit_share)
    return found.face.unlikely + parameters.misfit_nats * wrong


def undeclared_row(
    search: Search, found: Inverted, nats: float, epochs: pd.DatetimeIndex, parameters: SubsidenceParameters
) -> dict[str, Any] | None:
    """The detection of an inverted panel; None where its peak is not one of a face, or movement alone makes none."""
    panel, course = found.panel, found.course
    at_centre = movement(found.face.panel, np.array(panel.x), np.array(panel.y)).down
    peak_mm = float(at_centre * found.expected[-1] * 1000)
    if not parameters.least_peak_mm <= peak_mm <= parameters.most_peak_mm:
        return None
    if peak_mm > parameters.most_mm_a_z * course.z and middle_seen(search, panel) > 0.5:
        return None
    most = parameters.most_log_lr
    moving = np.flatnonzero(np.diff(found.expected) > 0.002) + 1
    last = epochs[int(moving[-1]) if len(moving) else -1]
    moved, nats = (most * (1 - np.exp(-n / most)) - charged(found, parameters) for n in (nats, nats + found.lost.nats))
    if moved < parameters.least_log_lr:
        return None
    tan_betas = (parameters.tan_beta_low, parameters.prior_tan_beta, parameters.tan_beta_high)
    dug = drawn(found.face, float(search.movement.days[-1]), found.origin, parameters.draws)
    middle, begun = middling(dug, found), float(dug.quantiles("start")[1])
    first = min(max(epochs[0] + pd.Timedelta(days=begun), epochs[0]), last)
    return detection(
        "subsidence",
        first,
        last,
        nats,
        outline(middle),
        area_m2=middle.length_m * middle.width_m,
        attributes=attributes_of(search, found, dug, peak_mm, epochs, tan_betas),
    )


def smallest_panel(search: Search, templates: Templates, parameters: SubsidenceParameters) -> Floats:
    """(Y, X) m2: area of the square panel of the prior face that would have been found; nan where there is no data.

    The face works for `prior_days` of the monitored time, or for half of it where that is less. Small panels move the
    ground in proportion to their area. None is smaller than one whose peak would be taken for no face at all.
    """
    known = np.where(search.known, 1.0, np.nan)
    if not len(templates.starts):
        return (known * np.nan).astype(np.float32)
    radius = parameters.prior_depth_m / parameters.prior_tan_beta
    side = radius / 3
    small = Panel(0.0, 0.0, 0.0, side, side, radius, parameters.prior_thickness_m * parameters.prior_q)
    days, pixel_m = search.movement.days, search.movement.pixel_m
    bowl = bowl_of(small, mean_look(search.movement.look), pixel_m)
    weighed = search.weighed(bowl)
    impulse = np.zeros((1, *search.known.shape), np.float32)
    half = bowl.shape[0] // 2
    row, column = impulse.shape[1] // 2, impulse.shape[2] // 2
    rows, columns = (slice(max(c - half, 0), c + half + 1) for c in (row, column))
    impulse[0, rows, columns] = bowl[
        max(half - row, 0) : max(half - row, 0) + impulse[0, rows].shape[0],
        max(half - column, 0) : max(half - column, 0) + impulse[0, :, columns].shape[1],
    ]
    gain = float(filtered(impulse, search.whitening.matched(bowl), search.whitening.shape)[0, row, column])
    latest = float(templates.starts[-1])
    start = max(latest - parameters.prior_days, float(templates.starts[0]))
    share = settled_share(days - start, parameters.prior_days, parameters.search.per_year)
    _, size = unit_courses(weighed, share[None])
    looks = search_nats(search.known, pixel_m, templates, parameters.search)
    needed = np.sqrt(2 * (looks + parameters.least_log_lr)) * weighed.local / max(gain * float(size[0]), 1e-12)
    deepest_mm = 1000 * small.w0_m * float(share[-1])
    least = radius**2 * parameters.least_peak_mm / max(deepest_mm, 1e-9)  # the peak of a small panel: W0 (side / r)^2
    return (known * np.maximum(side**2 * needed, least)).astype(np.float32)
