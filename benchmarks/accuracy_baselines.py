"""Simple detectors to hold ours against: what an office would write first. They return the same table of detections.

Each is a good version of itself. It is given the masks, the registers and the seasons that ours is given; its
detections go through the same judging and fusing; and its limits are not picked here but come from `LIMITS`, by the
score of districts apart from those that are reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import geopandas as gpd
import numpy as np
import odc.geo.xr  # noqa: F401  (gives cubes their .odc)
import pandas as pd
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import shape

from illegalmining.detect.findings import detection, detections
from illegalmining.registers.allowed import status_by_day
from illegalmining.registers.read import Registers
from illegalmining.tables import FORBIDDING_STATUSES

CLEAR = (4, 5, 6, 7)
"""Classes of the scene classification in which the ground is seen."""
SURE_NATS = 4.0
"""Evidence put down for an alarm that has none of its own: a threshold is passed or not."""
GREEN = 0.3
"""Least usual NDVI of a month in which a fall can be seen."""
COHERENT = 0.4
SETTLED_M = 0.02
"""Movement that dates a bowl, m."""
REFERENCE_DAYS = 20
"""Days of rest that make a mine's own history, where the order left it no more."""
PAPER_MONTHS = 3

Limit = tuple[float, ...]
LIMITS: dict[str, tuple[Limit, ...]] = {
    "NDVI difference": tuple(product((0.10, 0.20, 0.30, 0.40, 0.50), (0.1, 0.3), (2, 3, 4))),
    "linear subsidence rate": tuple(product((20.0, 40.0, 60.0, 80.0, 120.0), (0.3, 0.5, 1.0, 3.0))),
    "k-sigma power": tuple(product((2.0, 3.0, 4.0, 6.0, 9.0), (1, 3, 10, 20, 40))),
}
"""What is tried: fall of NDVI, least hectares, months it lasts; mm a year, least hectares; sigmas, least days."""
PRACTICE: dict[str, Limit] = {"k-sigma power": (3.0, 1)}
"""Limits as they are used in practice (CN114049033B: three sigma, one day)."""


@dataclass(frozen=True)
class Days:
    """The district's days: first of the history, first monitored, last looked at."""

    history_from: Any
    monitor_from: Any
    as_of: Any


def every_limit(
    name: str, given: Any, registers: Registers, days: Days, crs: str
) -> Iterator[tuple[Limit, gpd.GeoDataFrame]]:
    """Detections of a baseline at each of its limits."""
    if name == "NDVI difference":
        fell, first = ndvi_fall(given, days)
        for limit in LIMITS[name]:
            yield limit, fallen(given, fell, first, limit, days, crs)
    elif name == "linear subsidence rate":
        rate, moved = subsidence_rate(given, days)
        for limit in LIMITS[name]:
            yield limit, sinking(given, rate, moved, limit, registers, days, crs)
    else:
        for limit in LIMITS[name]:
            yield limit, unusual_power(given, limit, registers, days, crs)


def ndvi_of(cube: xr.Dataset) -> xr.DataArray:
    """NDVI where the ground is seen."""
    index = cube["ndvi"] if "ndvi" in cube else (cube["nir"] - cube["red"]) / (cube["nir"] + cube["red"])
    return index.where(cube["scl"].isin(CLEAR)) if "scl" in cube else index


def ndvi_fall(cube: xr.Dataset, days: Days) -> tuple[np.ndarray, np.ndarray]:
    """(M, y, x) fall of each monitored month's median NDVI below that of the same month in the history; month starts.

    NaN where either is not seen, or where the month is not usually green.
    """
    index = ndvi_of(cube).compute()
    times = index["time"].values.astype("datetime64[D]")
    months = times.astype("datetime64[M]")
    monitored = times >= np.datetime64(days.monitor_from)
    values, named = index.values, np.unique(months[monitored])
    fall = np.full((len(named), *values.shape[1:]), np.nan, np.float32)
    with np.errstate(all="ignore"):
        for place, month in enumerate(named):
            same = ~monitored & (months.astype(int) % 12 == month.astype(int) % 12)
            if same.any():
                usual = nanmedian(values[same])
                here = usual - nanmedian(values[monitored & (months == month)])
                fall[place] = np.where(usual >= GREEN, here, np.nan)
    return fall, named.astype("datetime64[D]")


def nanmedian(values: np.ndarray) -> np.ndarray:
    """Median over the first axis, NaN where nothing is seen, without a word of warning."""
    seen = np.isfinite(values).any(axis=0)
    return np.where(seen, np.nanmedian(np.where(seen, values, 0.0), axis=0), np.nan)


def fallen(
    cube: xr.Dataset, fall: np.ndarray, months: np.ndarray, limit: Limit, days: Days, crs: str
) -> gpd.GeoDataFrame:
    """Regions of at least the limit's hectares, down in so many green months that follow one another to the last."""
    run = np.zeros(fall.shape[1:], int)
    first = np.zeros(fall.shape[1:], int)
    for place in range(len(months)):
        seen, down = np.isfinite(fall[place]), fall[place] > limit[0]
        first = np.where(seen & down & (run == 0), place, first)
        run = np.where(seen, np.where(down, run + 1, 0), run)
    rows = []
    for outline, inside in regions(run >= limit[2], cube, limit[1]):
        began = months[int(np.median(first[inside]))]
        rows.append(row("surface", began, days.as_of, outline))
    return detections(rows, crs)


def subsidence_rate(cube: xr.Dataset, days: Days) -> tuple[np.ndarray, xr.DataArray]:
    """Metres a year by which the ground sinks faster than in its history, by straight lines; and the movement down.

    Each date's median over the scene is taken off: most of the air, and the reference point's own movement.
    """
    los = cube["displacement"].compute()
    if "temporal_coherence" in cube:
        los = los.where(cube["temporal_coherence"] >= COHERENT)
    look = cube["incidence_angle"] if "incidence_angle" in cube else cube.attrs["incidence_angle"]
    down = -(los - los.median(("y", "x"))) / np.cos(np.deg2rad(look))
    down = down.transpose("time", "y", "x")
    times = down["time"].values.astype("datetime64[D]")
    new = times >= np.datetime64(days.monitor_from)
    years = (times - times[0]).astype(int) / 365.25
    before = slope(years[~new], down.values[~new]) if (~new).sum() >= 3 else 0.0
    return slope(years[new], down.values[new]) - before, down


def slope(years: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slope of a straight line through each pixel's series; NaN where a date is missing."""
    from_middle = years - years.mean()
    return np.tensordot(from_middle, values - values.mean(axis=0), axes=(0, 0)) / (from_middle**2).sum()


def sinking(
    cube: xr.Dataset,
    rate: np.ndarray,
    down: xr.DataArray,
    limit: Limit,
    registers: Registers,
    days: Days,
    crs: str,
) -> gpd.GeoDataFrame:
    """Regions that sink faster than the limit, off the ground that declared faces move (their depth / 2 about)."""
    faces, rows = registers.working_faces, []
    declared = None if faces is None or not len(faces) else faces.geometry.buffer(faces["depth_m"] / 2).union_all()
    times = down["time"].values.astype("datetime64[D]")
    new = times >= np.datetime64(days.monitor_from)
    for outline, inside in regions(rate * 1000 > limit[0], cube, limit[1]):
        if declared is not None and outline.centroid.intersects(declared):
            continue
        course = np.nanmean(down.values[:, inside], axis=1)
        settled = new & (course - (course[~new][-5:].mean() if (~new).any() else 0.0) >= SETTLED_M)
        began = times[settled][0] if settled.any() else times[new][0]
        rows.append(row("subsidence", began, days.as_of, outline, question="undeclared_face"))
    return detections(rows, crs)


def unusual_power(profiles: pd.DataFrame, limit: Limit, registers: Registers, days: Days, crs: str) -> gpd.GeoDataFrame:
    """Mines that draw more on forbidden days, or less a declared tonne, than so many sigmas of their own history."""
    rows, loads = [], mine_loads(profiles, registers)
    span = pd.date_range(days.history_from, days.as_of)
    for mine in registers.mines.itertuples() if registers.mines is not None else ():
        if mine.mine_id not in loads:
            continue
        load = loads[mine.mine_id].reindex(span)
        shut = status_by_day(registers.mine_status, mine.mine_id, span).isin(FORBIDDING_STATUSES)
        high = days_above(load[shut], limit[0], pd.Timestamp(days.monitor_from))
        if len(high) >= limit[1]:
            rows.append(mine_row("worked_while_forbidden", mine, high[0], high[-1], nights=len(high)))
        low = months_below(load, registers.production, mine.mine_id, limit[0], days)
        if len(low) >= PAPER_MONTHS:
            end = min(low[-1].end_time.normalize(), pd.Timestamp(days.as_of))
            rows.append(mine_row("declared_but_idle", mine, low[0].start_time, end))
    return detections(rows, crs)


def mine_loads(profiles: pd.DataFrame, registers: Registers) -> dict[str, pd.Series]:
    """kWh a day of every mine that a meter names."""
    if registers.meters is None:
        return {}
    named = registers.meters.dropna(subset="mine_id").set_index("meter_id")["mine_id"]
    power = profiles[(profiles["quantity"] == "power") & profiles["meter_id"].isin(named.index)]
    daily = power.assign(mine_id=power["meter_id"].map(named)).groupby(["mine_id", "day"], observed=True)["total"].sum()
    return {mine: group.droplevel(0) for mine, group in daily.groupby(level=0, observed=True)}


def days_above(load: pd.Series, sigmas: float, monitor_from: pd.Timestamp) -> pd.DatetimeIndex:
    """Monitored days above the mean of the shut days before, by so many standard deviations."""
    load = load.dropna()
    before = load[load.index < monitor_from]
    if len(before) < REFERENCE_DAYS:
        before = load.iloc[:REFERENCE_DAYS]
    after = load[load.index > max(before.index[-1], monitor_from)] if len(before) else load
    return after.index[after > before.mean() + sigmas * before.std()] if len(before) > 2 else after.index[:0]


def months_below(
    load: pd.Series, production: pd.DataFrame | None, mine_id: str, sigmas: float, days: Days
) -> list[pd.Period]:
    """Monitored months whose energy a declared tonne lies below the history's mean by so many standard deviations."""
    if production is None:
        return []
    tonnes = production[production["mine_id"] == mine_id].set_index("month")["tonnes"]
    months = load.groupby(load.index.to_period("M")).sum(min_count=20)
    a_tonne = pd.Series({month: kwh / tonnes.get(str(month), 0.0) for month, kwh in months.items()
                         if tonnes.get(str(month), 0.0) > 0 and np.isfinite(kwh)}, dtype=float)  # fmt: skip
    first = pd.Period(days.monitor_from, "M")
    before = a_tonne[[month < first for month in a_tonne.index]]
    after = a_tonne[[month >= first for month in a_tonne.index]]
    if len(before) < 6 or after.empty:
        return []
    return list(after.index[after < before.mean() - sigmas * before.std()])


def regions(mask: np.ndarray, cube: xr.Dataset, least_ha: float) -> Iterator[tuple[Any, np.ndarray]]:
    """(outline, mask) of each connected part of at least so many hectares."""
    grid: GeoBox = cube.odc.geobox
    pixel_ha = abs(grid.resolution.x * grid.resolution.y) / 1e4
    label, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(label.ravel())
    kept = np.flatnonzero(sizes * pixel_ha >= least_ha)
    wanted = np.where(np.isin(label, kept), label, 0).astype(np.int32)
    parts: dict[int, list[Any]] = {}
    for outline, number in shapes(wanted, mask=wanted > 0, connectivity=8, transform=grid.affine):
        parts.setdefault(int(number), []).append(shape(outline).buffer(0))
    for number, outlines in parts.items():
        yield gpd.GeoSeries(outlines).union_all(), label == number


def row(detector: str, first: Any, last: Any, outline: Any, **attributes: Any) -> dict[str, Any]:
    """An alarm over ground."""
    last = max(pd.Timestamp(first), pd.Timestamp(last))
    return detection(detector, first, last, SURE_NATS, outline, area_m2=outline.area, attributes=attributes)


def mine_row(question: str, mine: Any, first: Any, last: Any, **more: Any) -> dict[str, Any]:
    """An alarm about a mine."""
    attributes = {"question": question, **more}
    place = mine.geometry.centroid
    return detection("power", first, last, SURE_NATS, place, mine_id=mine.mine_id, attributes=attributes)
