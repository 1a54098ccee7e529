"""A mine's load: its meters' profiles summed, and what its days tell of rest and of work.

Pure functions over tables; loads are daily means in kW, so that they compare with a register's safety load.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HOURS = 24
HOUR_COLUMNS = [f"h{hour:02d}" for hour in range(HOURS)]


@dataclass(frozen=True)
class LoadParameters:
    """How a mine's days are read.

    attach_m: a mine's meter without `mine_id` is the nearest mine's within this distance, m. low_hours: the quietest
    hours of a day that show what runs round the clock, 4-8. known_hours: hours that must be known for them.
    quiet_quantile: quantile of daily loads that stands for the quietest days. top_quantile: quantile of permitted days
    that stands for the busiest. work_quantile: quantile of permitted days above the midpoint that stands for full work.
    apart: quietest days below this multiple of work are rest, not work. calm: days within this multiple of the quietest
    show rest's noise and shape. noise: smallest and largest relative standard deviation of a day's load at rest.
    noise_pairs: pairs of days needed to measure it. specific_kwh: electric energy of a tonne of coal, kWh, 15-40
    (underground, Chinese design practice). work_days: days a year on which an approved capacity is raised.
    work_over_rest: work over rest of a mine nothing is known of, 2-4 (ventilation is 40-50 % of a working mine's
    energy, De Souza 2015). least_step: least step from rest to work relative to rest.
    """

    attach_m: float = 1000.0
    low_hours: int = 6
    known_hours: int = 20
    quiet_quantile: float = 0.04
    top_quantile: float = 0.9
    work_quantile: float = 0.5
    apart: float = 0.75
    calm: float = 1.2
    noise: tuple[float, float] = (0.04, 0.10)
    noise_pairs: int = 10
    specific_kwh: float = 20.0
    work_days: float = 330.0
    work_over_rest: float = 2.5
    least_step: float = 0.5


@dataclass(frozen=True)
class MineLoad:
    """A mine's days. days: (D,) every day of the span. mean_kw: (D,) daily mean load, NaN where a meter has a gap or a
    dead register. low_kw: (D,) mean of the quietest hours, NaN where unknown."""

    days: pd.DatetimeIndex
    mean_kw: Floats
    low_kw: Floats


@dataclass(frozen=True)
class Levels:
    """What a mine's days tell. quiet_kw: load of its quietest days. work_kw: load at full work. two: its quietest days
    are set apart from its work, so they show rest. low_share: quietest hours over the mean on quiet days. noise:
    relative standard deviation of a day's load at rest."""

    quiet_kw: float
    work_kw: float
    two: bool
    low_share: float
    noise: float


def meters_of_mines(meters: pd.DataFrame, mines: gpd.GeoDataFrame, parameters: LoadParameters) -> dict[str, list[str]]:
    """mine_id -> its meters, in order. A mine's meter that names none belongs to the nearest mine, if near enough."""
    owner = meters["mine_id"].where(meters["mine_id"].isin(set(mines["mine_id"])))
    orphans = meters["mine_id"].isna() & (meters["category"] == "mine")
    if orphans.any():
        points = gpd.GeoSeries.from_xy(meters["lon"], meters["lat"], crs="EPSG:4326").set_axis(meters.index)
        points = points.to_crs(mines.crs)
        for index in meters.index[orphans]:
            distance = mines.distance(points.loc[index])
            if distance.min() <= parameters.attach_m:
                owner.loc[index] = mines.loc[distance.idxmin(), "mine_id"]
    of_mines: dict[str, list[str]] = {}
    for meter, mine in sorted(zip(meters["meter_id"].astype(str), owner, strict=True), key=lambda pair: pair[0]):
        if isinstance(mine, str):
            of_mines.setdefault(mine, []).append(meter)
    return of_mines


def mine_load(profiles: dict[str, pd.DataFrame], meter_ids: list[str], parameters: LoadParameters) -> MineLoad | None:
    """The sum of a mine's meters, None where none has readings.

    Between a meter's first and last day a missing day makes the mine's day unknown; outside it the meter did not exist
    (swapped meters follow each other).
    """
    there = [profiles[meter] for meter in meter_ids if meter in profiles and len(profiles[meter])]
    if not there:
        return None
    first = min(frame["day"].min() for frame in there)
    last = max(frame["day"].max() for frame in there)
    days = pd.date_range(first, last, freq="D")
    total = np.zeros(len(days))
    hours = np.zeros((len(days), HOURS))
    exists = np.zeros(len(days), dtype=bool)
    for frame in there:
        own = frame.set_index("day").reindex(days)
        alive = np.asarray((days >= frame["day"].min()) & (days <= frame["day"].max()))
        exists |= alive
        total += np.where(alive, own["total"].to_numpy(float), 0.0)
        hours += np.where(alive[:, None], own[HOUR_COLUMNS].to_numpy(float), 0.0)
    # A day of exact zeros is a dead register or a cut: it says nothing of the mine.
    total[~exists | (total <= 0)] = np.nan
    hours[~np.isfinite(total)] = np.nan
    return MineLoad(days, total / HOURS, low_hours(hours, parameters))


def low_hours(hours: Floats, parameters: LoadParameters) -> Floats:
    """Mean of each day's quietest hours, (D,), from hourly energy (D, 24); NaN where too few hours are known."""
    known = np.isfinite(hours).sum(axis=1) >= parameters.known_hours
    quietest = np.sort(hours, axis=1)[:, : parameters.low_hours]
    return np.where(known, quietest.mean(axis=1), np.nan)


def levels(load: MineLoad, permitted: Flags, capacity_t: float, safety_kw: float, parameters: LoadParameters) -> Levels:
    """Rest and work as the mine's own days show them, helped by its capacity where it never worked.

    permitted: (D,) days on which the register does not forbid production. capacity_t (t a year), safety_kw: NaN where
    unknown. Needs at least one known day.
    """
    known = np.isfinite(load.mean_kw)
    quiet = float(np.quantile(load.mean_kw[known], parameters.quiet_quantile))
    rest = min(quiet, safety_kw) if safety_kw > 0 else quiet
    able = load.mean_kw[known & permitted]
    top = float(np.quantile(able, parameters.top_quantile)) if len(able) else 0.0
    busy = able[able > (rest + top) / 2]
    work = float(np.quantile(busy, parameters.work_quantile)) if len(busy) else 0.0
    two = work > 0 and quiet < parameters.apart * work
    if work < (1 + parameters.least_step) * rest:
        work = max(work, prior_work(rest, capacity_t, parameters))
    calm = known & (load.mean_kw <= parameters.calm * quiet)
    shares = (load.low_kw / load.mean_kw)[calm & np.isfinite(load.low_kw)]
    low_share = float(np.median(shares)) if len(shares) else 1.0
    return Levels(quiet, work, two, low_share, rest_noise(load.mean_kw, calm, parameters))


def prior_work(rest_kw: float, capacity_t: float, parameters: LoadParameters) -> float:
    """Load at full work of a mine that was never seen working, kW."""
    if capacity_t > 0:
        step = capacity_t / parameters.work_days * parameters.specific_kwh / HOURS
    else:
        step = (parameters.work_over_rest - 1) * rest_kw
    return rest_kw + max(step, parameters.least_step * rest_kw)


def rest_noise(mean_kw: Floats, calm: Flags, parameters: LoadParameters) -> float:
    """Relative standard deviation of a day's load at rest, from differences of neighbouring calm days."""
    pairs = calm[1:] & calm[:-1]
    low, high = parameters.noise
    if pairs.sum() < parameters.noise_pairs:
        return (low + high) / 2
    steps = np.abs(np.diff(np.log(np.where(mean_kw > 0, mean_kw, np.nan))))[pairs]
    # Median absolute difference of two normal days to the standard deviation of one.
    return float(np.clip(1.4826 * np.median(steps) / np.sqrt(2), low, high))
