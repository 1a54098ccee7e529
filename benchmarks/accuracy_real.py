"""What real measurements can prove, asked of our detectors and of the baselines alike.

Every entry gives rows {"measure", "way", "limit", "part", "whole", "good"}: `part` of `whole`, more is better where
`good`; a baseline has one row a limit, of which the report shows the one chosen on simulated training districts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage
from shapely.geometry import Point

import real_data
from accuracy_baselines import LIMITS, Days, every_limit, fallen, ndvi_fall
from bench_power_states import scores as states_of_machines
from illegalmining.cases.fuse import FusionParameters, bounded
from illegalmining.detect.power import detect_power
from illegalmining.detect.radar import detect_radar
from illegalmining.detect.subsidence import detect_subsidence
from illegalmining.detect.surface import detect_surface
from illegalmining.registers.read import Registers
from illegalmining.tables import REGISTERS

OURS = "ours"
NDVI, RATE, POWER = LIMITS
Row = dict[str, Any]


def row(measure: str, way: str, part: float, whole: int, *, good: bool, limit: Any = None) -> Row:
    """One figure."""
    return {"measure": measure, "way": way, "limit": limit, "part": round(part), "whole": int(whole), "good": good}


def nothing(**tables: Any) -> Registers:
    """Registers of which all but the named are absent."""
    return replace(Registers(**dict.fromkeys(REGISTERS), files={}), **tables)


def mask_of(found: gpd.GeoDataFrame, cube: xr.Dataset) -> np.ndarray:
    """Pixels whose centre lies in what was found."""
    import shapely

    x, y = np.meshgrid(cube["x"].values, cube["y"].values)
    if not len(found):
        return np.zeros(x.shape, bool)
    return np.asarray(shapely.contains_xy(found.geometry.union_all(), x, y))


def romania() -> list[Row]:
    """Clearings of 2018 and 2019: found by the end of their year, found and dated with all images; forest accused."""
    cube, rows = real_data.romania(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # All-NaN pixels of the independent look
        truth = [(year, mask) for year in (2018, 2019) for mask in real_data.clearings(cube, year)]
    near = ndimage.binary_dilation(np.any([mask for _, mask in truth], axis=0), iterations=3)
    told = {year: romania_until(cube, f"{year}-12-31") for year in (2018, 2019, 2020)}
    for way, limit in told[2020]:
        found = {year: ways[way, limit] for year, ways in told.items()}
        hits = sum((mask_of(found[year], cube) & mask).any() for year, mask in truth)
        rows.append(row("clearings found by the end of their year", way, hits, len(truth), good=True, limit=limit))
        dated = {year: found[2020][found[2020]["first_seen"].dt.year == year] for year in (2018, 2019)}
        hits = sum((mask_of(dated[year], cube) & mask).any() for year, mask in truth)
        rows.append(row("found with all images, dated in their year", way, hits, len(truth), good=True, limit=limit))
        stray = (mask_of(found[2019], cube) & ~near).sum()
        rows.append(row("pixels accused off every clearing", way, stray, (~near).sum(), good=False, limit=limit))
    return rows


def romania_until(cube: xr.Dataset, last: str) -> dict[tuple[str, Any], gpd.GeoDataFrame]:
    """What every way finds in the Romanian images up to a day."""
    until, days = cube.sel(time=slice(None, last)), Days("2015-08-01", "2018-01-01", last)
    found = detect_surface(until, days.history_from, days.monitor_from, days.as_of).detections
    ways: dict[tuple[str, Any], gpd.GeoDataFrame] = {(OURS, None): found[found["log_lr"] > 0]}
    fall, months = ndvi_fall(until, days)
    for limit in LIMITS[NDVI]:
        ways[NDVI, limit] = fallen(until, fall, months, limit, days, cube.rio.crs)
    return ways


def silent_ground(cube: xr.Dataset, measure: str, period: tuple[str, str, str]) -> list[Row]:
    """Pixels accused where nothing has changed for good."""
    days, size = Days(*period), cube.sizes["y"] * cube.sizes["x"]
    found = detect_surface(cube, *period).detections
    rows = [row(measure, OURS, mask_of(found[found["log_lr"] > 0], cube).sum(), size, good=False)]
    fall, months = ndvi_fall(cube, days)
    for limit in LIMITS[NDVI]:
        told = fallen(cube, fall, months, limit, days, cube.rio.crs)
        rows.append(row(measure, NDVI, mask_of(told, cube).sum(), size, good=False, limit=limit))
    return rows


def control() -> list[Row]:
    """Forest in which nothing happens."""
    return silent_ground(real_data.steady_forest(), "pixels accused", ("2017-01-01", "2018-07-01", "2020-01-01"))


def slovenia() -> list[Row]:
    """Fields and mowing."""
    return silent_ground(real_data.slovenia(), "pixels accused", ("2015-07-01", "2017-01-01", "2018-01-01"))


def rondonia() -> list[Row]:
    """Single Landsat pixels, second half of each series judged."""
    rows = []
    for label, series in real_data.rondonia().items():
        if label == "Deforestation":
            continue  # when each was cleared is not told
        alarmed = 0
        for one in series:
            middle = one.index[len(one) // 2]
            found = detect_surface(real_data.one_pixel(one, "ndvi"), one.index[0], middle, one.index[-1]).detections
            alarmed += len(found) > 0
        rows.append(row(f"series of {label} accused", OURS, alarmed, len(series), good=False))
    return rows


def bolivia() -> list[Row]:
    """Dates of one pixel, cleared early in 2016, until it is reported (`part`), of those that followed (`whole`)."""
    rows = []
    for sensor, first, band, detect, history in (
        ("Landsat_NDVI", "2016-01-10", "ndvi", detect_surface, ("2014-08-01", "2015-09-01")),
        ("S1_VV_dB", "2016-01-01", "vv", detect_radar, ("2014-10-01", "2015-10-01")),
    ):
        series = real_data.bayts(sensor)
        seen = [day for day in series.index if day >= pd.Timestamp(first)]
        taken = len(seen) + 1
        for number, day in enumerate(seen, 1):
            if len(detect(real_data.one_pixel(series[:day], band), *history, day).detections):
                taken = number
                break
        rows.append(row(f"dates until {sensor} reports it", OURS, taken, len(seen), good=False))
    return rows


def mexico() -> list[Row]:
    """Faces reported under a city without mines, after three months and as a whole."""
    rows, cube = [], real_data.mexico_city()
    measure = "faces reported where there is no mine"
    for monitor in ("2018-01-01", "2018-04-01"):
        found = detect_subsidence(cube, None, "2018-01-01", monitor, "2018-07-31").detections
        rows.append(row(f"{measure}, monitored from {monitor}", OURS, (found["log_lr"] > 1.65).sum(), 0, good=False))
        days = Days("2018-01-01", monitor, "2018-07-31")
        for limit, told in every_limit(RATE, cube, nothing(), days, cube.rio.crs):
            rows.append(row(f"{measure}, monitored from {monitor}", RATE, len(told), 0, good=False, limit=limit))
    return rows


def steel() -> list[Row]:
    """Stop orders invented for a real meter: whether each is judged rightly."""
    meters = pd.DataFrame({"meter_id": ["m"], "mine_id": ["m"], "category": ["mine"], "capacity_kva": [np.nan]})
    meters = meters.assign(lon=111.0, lat=37.0)
    profiles = real_data.steel_profiles(meters)
    mines = gpd.GeoDataFrame({"mine_id": ["m"]}, geometry=[Point(0, 0).buffer(10)], crs="EPSG:32649")
    days = Days(pd.Timestamp("2018-01-01"), pd.Timestamp("2018-02-01"), pd.Timestamp("2018-06-30"))
    right: dict[tuple[str, Any], int] = {}
    for order, worked in real_data.ORDERS.values():
        status = statuses(order)
        found = detect_power(profiles, meters, mines, status, None, days.monitor_from.date(), days.as_of.date())
        right[OURS, None] = right.get((OURS, None), 0) + (alarm(found.detections) == worked)
        given = nothing(meters=meters, mines=mines, mine_status=status)
        for limit, told in every_limit(POWER, profiles, given, days, mines.crs):
            right[POWER, limit] = right.get((POWER, limit), 0) + ((len(told) > 0) == worked)
    count = len(real_data.ORDERS)
    return [
        row("orders judged rightly", way, hits, count, good=True, limit=limit) for (way, limit), hits in right.items()
    ]


def statuses(order: tuple[str, str] | None) -> pd.DataFrame:
    """The register of a stop order, or of none."""
    columns = ["mine_id", "shaft_id", "status", "from", "to", "order_no"]
    rows = [] if order is None else [["m", None, "suspended", pd.Timestamp(order[0]), pd.Timestamp(order[1]), "S-1"]]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"from": "datetime64[ns]", "to": "datetime64[ns]"})


def alarm(found: gpd.GeoDataFrame) -> bool:
    """Whether a mine's detections make a case of probability one half on their own."""
    rule = FusionParameters()
    prior = float(np.log(rule.mine_base_rate / (1 - rule.mine_base_rate)))
    return any(prior + bounded(nats, rule.artefact) >= 0 for nats in found["log_lr"])


def machines() -> list[Row]:
    """Hours of labelled machines told rightly, mean of the two classes, in thousandths."""
    told = states_of_machines(real_data.DATA / "power" / "machines_labelled.csv")
    return [
        row(f"machine {asset}: hours told rightly", OURS if way == "this chain" else way, 1000 * right, 1000, good=True)
        for asset, methods in told.items()
        for way, (_, right) in methods.items()
    ]


MEASURED: dict[str, Callable[[], list[Row]]] = {
    "Romania, Sentinel-2, forest cleared": romania,
    "Steady forest, Sentinel-2": control,
    "Slovenia, NDVI, fields and mowing": slovenia,
    "Rondônia, Landsat pixels": rondonia,
    "Bolivia, one pixel cleared in 2016": bolivia,
    "Mexico City, displacement": mexico,
    "Steel plant, 15-minute meter": steel,
    "Machines, 5-minute power, labelled": machines,
}
