"""Declared faces: the movement they account for, fitted within what the register leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
from shapely.geometry.base import BaseGeometry

from illegalmining.detect.advance import Advance, advancing
from illegalmining.detect.bowls import Search, mean_look
from illegalmining.detect.pim import Floats, Panel, over_dip, settled_share
from illegalmining.detect.solving import least_squares


@dataclass(frozen=True)
class DeclaredParameters:
    """What a declared face may do.

    q, tan_beta: medians (science.md). amount_ln, radius_ln, rate_ln: standard deviations of the logarithms of W0, r and
    Knothe's c. per_year: its median, 1/year. lag_days, shift_m: standard deviations of the start and of the place.
    side_ln, duration_ln: of the logarithms of its sides and of its extraction. turn_deg: of its azimuth, degrees.
    strips: parts of an advancing face. reach_radii: of its movement. pixels_most: fitted. correlated: pixels and epochs
    that share one independent measurement. error_share: of the movement left wrong (5 % to 23 %, science.md).
    blur_m: reach of an error around it, m. far_radii: beyond them it moves nothing. settled: share of its movement
    below which a face is at rest. propagation: k of an inclined seam's angle (0.6 to 0.8, `over_dip`).
    """

    q: float = 0.7
    tan_beta: float = 2.0
    amount_ln: float = 0.6
    radius_ln: float = 0.25
    per_year: float = 5.0
    rate_ln: float = 0.6
    lag_days: float = 30.0
    shift_m: float = 20.0
    side_ln: float = 0.05
    duration_ln: float = 0.2
    turn_deg: float = 1.0
    strips: int = 8
    reach_radii: float = 2.0
    pixels_most: int = 200
    correlated: float = 20.0
    error_share: float = 0.06
    blur_m: float = 100.0
    far_radii: float = 3.0
    settled: float = 0.01
    propagation: float = 0.7


@dataclass(frozen=True)
class Declared:
    """A declared face and what it moves.

    panel: as declared. start, stop: days of its extraction since the first epoch. open_end: it has no stop date.
    window: rows and columns of its reach. moved: (T, rows, columns) m fitted movement there. error_z: (rows, columns)
    its error in standard deviations of a bowl's amplitude.
    """

    face_id: str
    mine_id: str
    geometry: BaseGeometry
    panel: Panel
    start: float
    stop: float
    open_end: bool
    window: tuple[slice, slice]
    moved: Floats = field(repr=False)
    error_z: Floats = field(repr=False)

    def all_over(self, shape: tuple[int, int, int]) -> Floats:
        """Its movement in the whole scene (T, Y, X), float32."""
        out = np.zeros(shape, np.float32)
        out[:, *self.window] = self.moved
        return out

    def at(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Floats:
        """Its movement (T, P) at pixels of the scene, 0 beyond its reach."""
        down, across = rows - self.window[0].start, columns - self.window[1].start
        count = self.moved.shape[1:]
        inside = (down >= 0) & (down < count[0]) & (across >= 0) & (across < count[1])
        out = np.zeros((len(self.moved), len(rows)))
        out[:, inside] = self.moved[:, down[inside], across[inside]]
        return out


def panel_of(geometry: BaseGeometry, depth_m: float, thickness_m: float, parameters: DeclaredParameters) -> Panel:
    """The declared face as a panel: the smallest rectangle around it."""
    corners = np.array(geometry.minimum_rotated_rectangle.exterior.coords)[:4]
    sides = np.diff(np.vstack([corners, corners[:1]]), axis=0)[:2]
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    long, short = (0, 1) if lengths[0] >= lengths[1] else (1, 0)
    azimuth = float(np.rad2deg(np.arctan2(sides[long, 0], sides[long, 1])) % 180)
    x, y = corners.mean(axis=0)
    share = float(np.clip(geometry.area / max(lengths[0] * lengths[1], 1e-6), 0.1, 1.0))
    return Panel(
        float(x),
        float(y),
        azimuth,
        float(lengths[long]),
        float(lengths[short]),
        depth_m / parameters.tan_beta,
        thickness_m * parameters.q * share,
    )


def explain(
    search: Search, faces: gpd.GeoDataFrame | None, first: pd.Timestamp, parameters: DeclaredParameters
) -> list[Declared]:
    """The declared faces near the scene, each fitted to what those before it leave, largest volume first.

    first: the day that the scene's days are counted from.
    """
    if faces is None or not len(faces):
        return []
    ground = search.movement
    left = search.values.copy()
    found: list[Declared] = []
    west, east, south, north = ground.x.min(), ground.x.max(), ground.y.min(), ground.y.max()
    order = faces.assign(_volume=faces.geometry.area * faces["thickness_m"])
    for face in order.sort_values(["_volume", "face_id"], ascending=[False, True]).itertuples():
        geometry = face.geometry
        if geometry is None or geometry.is_empty:
            continue
        panel = panel_of(geometry, float(face.depth_m), float(face.thickness_m), parameters)
        dip, towards = (float(getattr(face, name, np.nan)) for name in ("dip_deg", "dip_towards_deg"))
        if np.isfinite([dip, towards]).all():
            panel = over_dip(panel, dip, towards, float(face.depth_m), parameters.propagation)
        inside = west <= panel.x <= east and south <= panel.y <= north
        start = float((pd.Timestamp(face.start) - first) / pd.Timedelta(days=1))
        stop_date = getattr(face, "stop", pd.NaT)
        open_end = bool(pd.isna(stop_date))
        last = float(ground.days[-1])
        stop = last if open_end else float((pd.Timestamp(stop_date) - first) / pd.Timedelta(days=1))
        if not inside or start > last or stop <= start:
            continue
        share = settled_share(ground.days - start, stop - start, parameters.per_year)
        if np.ptp(share) < parameters.settled:
            continue
        window, moved, error = fitted_movement(search, left, panel, start, stop, parameters)
        left[:, *window] -= moved
        mine = str(face.mine_id)
        found.append(Declared(str(face.face_id), mine, geometry, panel, start, stop, open_end, window, moved, error))
    return found


def fitted_movement(
    search: Search, left: Floats, panel: Panel, start: float, stop: float, parameters: DeclaredParameters
) -> tuple[tuple[slice, slice], Floats, Floats]:
    """A declared face fitted within its priors: window, movement (T, rows, columns) in m, its error in bowl sigmas."""
    ground, look = search.movement, mean_look(search.movement.look)
    distance = np.hypot(ground.x - panel.x, ground.y - panel.y)
    reach = panel.length_m / 2 + parameters.reach_radii * panel.radius_m
    rows, columns = np.nonzero((distance < reach) & search.known)
    near = np.nonzero(distance < panel.length_m / 2 + parameters.far_radii * panel.radius_m)
    window = (slice(near[0].min(), near[0].max() + 1), slice(near[1].min(), near[1].max() + 1))
    if len(rows) < 10:
        shape = ground.x[window].shape
        return window, np.zeros((len(left), *shape), np.float32), np.zeros(shape)
    thin = int(np.ceil(len(rows) / parameters.pixels_most))
    rows, columns = rows[::thin], columns[::thin]
    level = left[:, rows, columns]
    seen = np.isfinite(ground.values[:, rows, columns])
    sd = max(1.4826 * float(np.median(np.abs(np.diff(left[:, ::4, ::4], axis=0)))) / np.sqrt(2), 1e-4)
    x, y, days = ground.x[rows, columns], ground.y[rows, columns], ground.days

    def parts(p: Floats) -> tuple[Panel, float, float, float]:
        fitted = replace(
            panel,
            x=panel.x + p[3] * parameters.shift_m,
            y=panel.y + p[4] * parameters.shift_m,
            radius_m=panel.radius_m * np.exp(np.clip(p[1] * parameters.radius_ln, -1, 1)),
            w0_m=panel.w0_m * np.exp(np.clip(p[0] * parameters.amount_ln, -12, 1.2)),
        )
        rate = parameters.per_year * np.exp(np.clip(p[2] * parameters.rate_ln, -2, 2))
        begin = start + p[5] * parameters.lag_days
        return (
            fitted,
            float(rate),
            begin,
            max((stop - start) * np.exp(np.clip(parameters.duration_ln * p[6], -1, 1)), 1.0),
        )

    def model(p: Floats, direction: int, at_x: Floats, at_y: Floats) -> Floats:
        fitted, rate, begin, duration = parts(p)
        advance = Advance(direction, begin, duration)
        return advancing(fitted, advance, rate, days, at_x, at_y, look, parameters.strips)

    best, best_direction = None, 0
    for direction in (0, 1, -1):

        def misfit(p: Floats, direction: int = direction) -> Floats:
            off = np.where(seen, level - model(p, direction, x, y), 0.0)
            off -= off.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
            off = np.where(seen, off, 0.0) / sd / np.sqrt(parameters.correlated)
            return np.concatenate([off.ravel(), p])

        fit = least_squares(misfit, np.zeros(7), loss="soft_l1", f_scale=3.0, max_nfev=15)
        if best is None or fit.cost < best.cost - 2:
            best, best_direction = fit, direction
    assert best is not None
    moved = model(best.x, best_direction, ground.x[window], ground.y[window]).astype(np.float32)
    amplitude_sd = sd * np.sqrt(parameters.correlated / len(days))
    return window, moved, parameters.error_share * np.abs(moved[-1] - moved[0]) / amplitude_sd
