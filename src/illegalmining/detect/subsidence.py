"""Faces that nobody declared, from the movement of the ground that the declared ones leave unexplained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from illegalmining.compute import do, one_algebra_thread, tell
from illegalmining.detect.bowls import Search, Templates, bowl_of, mean_look, search_nats, time_templates
from illegalmining.detect.declared_verdicts import contradicting, judge_declared
from illegalmining.detect.deformation import filtered, read_deformation, unit_courses
from illegalmining.detect.findings import Findings, Remark, detections
from illegalmining.detect.hidden_faces import beside_declared, told_apart, undeclared_row, under
from illegalmining.detect.pim import Floats, Panel, settled_share
from illegalmining.detect.subsidence_parameters import SubsidenceParameters
from illegalmining.detect.tiles import Tile, grid_over, in_hand, part_of, tiles_of
from illegalmining.detect.track import Track, track_of

BYTES_A_VALUE = 50.0
"""What a pixel and epoch of a tile takes while judged: 26 where there is no face (benchmarks/bench_subsidence.py),
and about as much again for what declared and hidden faces are taken off."""


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
    days = (history_from, monitor_from, as_of)
    return detect_together({"": cube}, faces, *days, parameters, workers, megabytes)[""]


@one_algebra_thread()
def detect_together(
    cubes: Mapping[str, xr.Dataset],
    faces: gpd.GeoDataFrame | None,
    history_from: Any,
    monitor_from: Any,
    as_of: Any,
    parameters: SubsidenceParameters | None = None,
    workers: int = 2,
    megabytes: float = math.inf,
) -> dict[str, Findings]:
    """`detect_subsidence` over several sources at once, by name: from other looks, on other days, of other processors.

    A face that several see is fitted once, in the ground of all of them, each with its own look, epochs and noise: one
    detection, whose nats are those of the sum of the log likelihoods. Rivals and declared faces are judged by the same
    ground. Cubes are in one CRS; their grids need not agree.

    A source in which the ground rises where others see it sink is left out of that tile, and said.

    Returns
    -------
    What each source found, by its name: a detection stands with the source that shows it best, and the smallest panel
    is what that source alone would have found.
    """
    parameters = parameters or SubsidenceParameters()
    first, last = pd.Timestamp(history_from), pd.Timestamp(as_of)
    found, usable = {}, {}
    for name, cube in cubes.items():
        within = (cube["time"].values >= first.to_datetime64()) & (cube["time"].values <= last.to_datetime64())
        cube = cube.isel(time=np.flatnonzero(within))
        blind = xr.full_like(cube["displacement"].isel(time=0, drop=True), np.nan, np.float32) if within.any() else None
        if within.sum() < parameters.deformation.fewest_epochs or min(cube.sizes["y"], cube.sizes["x"]) < 8:
            remark = Remark("few_epochs", {"epochs": int(within.sum()), "needed": parameters.deformation.fewest_epochs})
            found[name] = Findings(detections([], cube.rio.crs), blind, (remark,))
        else:
            usable[name] = cube
    if usable:
        found |= over_tiles(usable, faces, pd.Timestamp(monitor_from), parameters, workers, megabytes)
    return {name: found[name] for name in cubes}


def over_tiles(
    cubes: Mapping[str, xr.Dataset], faces: gpd.GeoDataFrame | None, monitor_from: pd.Timestamp,
    parameters: SubsidenceParameters, workers: int, megabytes: float,
) -> dict[str, Findings]:  # fmt: skip
    """What each source found; tiles are those of the ground that any of them sees."""
    grid = grid_over(list(cubes.values()))
    pixel_m = abs(float(grid["x"][1] - grid["x"][0]))
    sides = (round(length / pixel_m) for length in (parameters.tile_m, parameters.margin_m))
    tiles = list(tiles_of((grid.sizes["y"], grid.sizes["x"]), *sides))
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in cubes}
    smallest = {name: np.full((cube.sizes["y"], cube.sizes["x"]), np.nan, np.float32) for name, cube in cubes.items()}
    contradicted: dict[str, int] = {}

    def judge(tile: Tile) -> tuple[dict[str, Tile], Judgement]:
        parts = {name: part for name, cube in cubes.items() if (part := part_of(tile, grid, cube)) is not None}
        return parts, judged(
            {name: part.of(cubes[name]) for name, part in parts.items()}, faces, monitor_from, parameters
        )

    dates = sum(cube.sizes["time"] for cube in cubes.values())
    at_once = in_hand(tiles, dates, workers, megabytes, BYTES_A_VALUE)
    with ThreadPoolExecutor(at_once) as pool:
        for tile, done in zip(tiles, pool.map(partial(do, judge), tiles), strict=True):
            tell(tile.facts(dates), done)
            parts, told = done.result
            for name, row in told.rows:
                if tile.answers_for(row["geometry"].centroid, grid):
                    rows[name].append(row)
            for name, panels in told.smallest.items():
                smallest[name][parts[name].core] = panels[parts[name].inner]
            for name in told.contradicting:
                contradicted[name] = contradicted.get(name, 0) + 1
    return {
        name: findings_of(cube, rows[name], smallest[name], contradicted.get(name, 0)) for name, cube in cubes.items()
    }


def findings_of(cube: xr.Dataset, rows: list[dict[str, Any]], smallest: Floats, contradicted: int) -> Findings:
    """One source's findings. `contradicted`: tiles in which others see the opposite."""
    remarks = () if np.isfinite(smallest).any() else (Remark("no_movement", {}),)
    if contradicted:
        remarks = (Remark("opposite_movement", {"tiles": contradicted}),)
    out = xr.DataArray(smallest, dims=("y", "x"), coords={"y": cube["y"], "x": cube["x"]}, name="smallest_site_m2")
    out = out.assign_coords(spatial_ref=cube["spatial_ref"]) if "spatial_ref" in cube.coords else out
    return Findings(detections(rows, cube.rio.crs), out, remarks)


@dataclass(frozen=True)
class Judgement:
    """Of a tile. rows: detections, each with the name of the source that it stands with. smallest: m2 (Y, X) of each
    source that was used. contradicting: sources that were left out."""

    rows: list[tuple[str, dict[str, Any]]]
    smallest: dict[str, Floats]
    contradicting: list[str]


def judged(
    cubes: Mapping[str, xr.Dataset],
    faces: gpd.GeoDataFrame | None,
    monitor_from: pd.Timestamp,
    parameters: SubsidenceParameters,
) -> Judgement:
    """What cubes of one place say, which together fit in memory; sources that saw almost nothing are left out."""
    tracks, monitor_day = tracks_of(cubes, faces, monitor_from, parameters)
    wrong = contradicting(tracks, parameters.verdicts) if len(tracks) > 1 else []
    tracks = [track for track in tracks if track.name not in wrong]
    if not tracks:
        return Judgement([], {}, wrong)
    tracks, hidden = told_apart(tracks, monitor_day, parameters)
    beside = beside_declared(hidden, tracks)
    rest = [track.less(beside, parameters.inversion) for track in tracks]
    pairs = zip(tracks, rest, strict=True)
    moved = [np.abs((track.search.values - left.search.values)[[0, -1]]).max(axis=0) for track, left in pairs]
    rows = judge_declared(rest, moved, monitor_day, parameters.verdicts)
    past_stop = [row["geometry"] for _, row in rows if "past_stop" in row["attributes"]]
    for found, nats in hidden:
        row = undeclared_row(tracks, found, nats, parameters)
        if row is None or any(under(found, face) for face in past_stop):
            continue
        rows.append((found.sources[0], row))
    smallest = {track.name: smallest_panel(track.search, track.templates, parameters) for track in tracks}
    return Judgement(rows, smallest, wrong)


def tracks_of(
    cubes: Mapping[str, xr.Dataset],
    faces: gpd.GeoDataFrame | None,
    monitor_from: pd.Timestamp,
    parameters: SubsidenceParameters,
) -> tuple[list[Track], float]:
    """The sources that saw enough, their days counted from the first epoch of any of them; and the day that monitored
    time begins."""
    epochs = {name: pd.DatetimeIndex(cube["time"].values) for name, cube in cubes.items()}
    grounds = {name: read_deformation(cube, parameters.deformation) for name, cube in cubes.items()}
    grounds = {name: ground for name, ground in grounds.items() if ground.known.sum() >= parameters.fewest_pixels}
    if not grounds:
        return [], 0.0
    first = min(epochs[name][0] for name in grounds)
    later = {name: (epochs[name][0] - first) / pd.Timedelta(days=1) for name in grounds}
    grounds = {name: replace(ground, days=ground.days + later[name]) for name, ground in grounds.items()}
    monitor_day = float((monitor_from - first) / pd.Timedelta(days=1))
    days = np.unique(np.concatenate([ground.days for ground in grounds.values()]))
    templates = time_templates(days, monitor_day, parameters.search)
    how = parameters.deformation, parameters.search, parameters.declared
    tracks = [track_of(name, first, epochs[name], ground, templates, faces, how) for name, ground in grounds.items()]
    return tracks, monitor_day


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
