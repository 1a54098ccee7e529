"""A mine's load: its meters' profiles summed, and what its days tell of rest and of work.

Pure functions over tables; loads are daily means in kW, so that they compare with a register's safety load.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HOURS = 24
HOUR_COLUMNS = [f"h{hour:02d}" for hour in range(HOURS)]
POWER = "power"
READ = ("day", "total", "interval_min", *HOUR_COLUMNS)
"""What is read of a profile besides whose it is."""

USUALLY_ZERO = 0.2
"""Where more of the days than this are zero, zero is the meter's way of saying that nothing runs."""


@dataclass(frozen=True)
class LoadParameters:
    """How a mine's days are read.

    attach_m: a mine's meter without `mine_id` is the nearest mine's within this distance, m. quiet_quantile: quantile
    of daily loads that stands for the quietest days. top_quantile: quantile of permitted days that stands for the
    busiest. work_quantile: quantile of permitted days above the midpoint that stands for full work. work_hours: busiest
    hours of such a day that stand for its full load, 6-12. apart: quietest days below this multiple of work are rest,
    not work. calm: days within this multiple of the quietest are rest. calm_hour: no hour of a day of rest lies further
    above it than this share of the step to full load. calm_days: latest days of rest before an order that are kept.
    silent: a day below this share of usual rest is no rest.
    specific_kwh: electric energy of a tonne of coal, kWh, 15-40 (underground, Chinese design practice). work_days: days
    a year on which an approved capacity is raised. shift_hours: hours a day on which it is raised. work_over_rest: work
    over rest of a mine nothing is known of, 2-4 (ventilation is 40-50 % of a working mine's energy, De Souza 2015).
    least_step: least step from rest to work relative to rest.
    """

    attach_m: float = 1000.0
    quiet_quantile: float = 0.04
    top_quantile: float = 0.9
    work_quantile: float = 0.5
    work_hours: int = 8
    apart: float = 0.75
    calm: float = 1.2
    calm_hour: float = 0.5
    calm_days: int = 40
    silent: float = 0.25
    specific_kwh: float = 20.0
    work_days: float = 330.0
    shift_hours: float = 16.0
    work_over_rest: float = 2.5
    least_step: float = 0.5


@dataclass(frozen=True)
class MineLoad:
    """A mine's days. days: (D,) every day of the span. hours: (D, 24) kWh an hour, NaN where a meter has a gap or a
    dead register. mean_kw: (D,) daily mean load, NaN where unknown. width: how many blocks of hours the meters tell
    apart, 1 (daily readings) to 24."""

    days: pd.DatetimeIndex
    hours: Floats
    mean_kw: Floats
    width: int


@dataclass(frozen=True)
class Levels:
    """What a mine's days tell. quiet_kw: load of its quietest days. work_kw: daily mean at full work. full_kw: step of
    an hour from rest to full work. two: its quietest days are set apart from its work, so they show rest."""

    quiet_kw: float
    work_kw: float
    full_kw: float
    two: bool


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


class MeterTable:
    """Profiles up to a day, ready to be asked for one meter's quantity at a time, without copying the table."""

    def __init__(self, profiles: pd.DataFrame, last: pd.Timestamp) -> None:
        self.last = last
        within = profiles["day"] <= last
        there = profiles if within.all() else profiles[within]
        words = there["quantity"] if "quantity" in there else pd.Series(POWER, there.index)
        # As categories, because text takes more memory than the readings.
        keys = [column.astype("category") for column in (there["meter_id"], words)]
        places = there.groupby(keys, sort=True, observed=True).indices
        self.rows = {(str(meter), str(word)): where for (meter, word), where in places.items() if len(where)}
        self.profiles = there
        self.by_meter: dict[str, list[str]] = {}
        for meter, word in self.rows:
            self.by_meter.setdefault(str(meter), []).append(str(word))

    def quantities(self, meter: str) -> list[str]:
        """What is measured at a meter."""
        return self.by_meter.get(meter, [])

    def frame(self, meter: str, quantity: str) -> pd.DataFrame | None:
        """Days of one meter's quantity, None where there are none."""
        where = self.rows.get((meter, quantity))
        return None if where is None else self.profiles.iloc[where].sort_values("day")

    def only(self, meters: list[str]) -> MeterTable:
        """The profiles of these meters by themselves."""
        keys = [(meter, word) for meter in meters for word in self.quantities(meter)]
        places = [self.rows[key] for key in keys]
        ends = np.cumsum([len(where) for where in places], dtype=int)
        part = copy(self)
        part.rows = {key: np.arange(end - len(at), end) for key, at, end in zip(keys, places, ends, strict=True)}
        part.by_meter = {meter: self.quantities(meter) for meter in meters}
        there = self.profiles.iloc[np.concatenate(places) if places else []]
        part.profiles = there[[name for name in READ if name in there]]
        return part

    def span(self, meters: list[str]) -> pd.DatetimeIndex:
        """Every day from the first to the last of these meters."""
        frames = [
            frame
            for meter in meters
            for word in self.quantities(meter)
            if (frame := self.frame(meter, word)) is not None
        ]
        return pd.date_range(min(f["day"].min() for f in frames), max(f["day"].max() for f in frames), freq="D")


def mine_load(table: MeterTable, meter_ids: list[str], quantity: str = POWER) -> MineLoad | None:
    """The sum of a mine's meters of one quantity, None where none has readings.

    Between a meter's first and last day a missing day makes the mine's day unknown; outside it the meter did not exist
    (swapped meters follow each other).
    """
    there = [frame for meter in meter_ids if (frame := table.frame(meter, quantity)) is not None]
    if not there:
        return None
    days = pd.date_range(min(f["day"].min() for f in there), max(f["day"].max() for f in there), freq="D")
    total = np.zeros(len(days))
    hours = np.zeros((len(days), HOURS))
    exists = np.zeros(len(days), dtype=bool)
    for frame in there:
        where = (frame["day"] - days[0]).dt.days.to_numpy()
        own_total, own_hours = np.full(len(days), np.nan), np.full((len(days), HOURS), np.nan)
        own_total[where], own_hours[where] = frame["total"].to_numpy(float), frame[HOUR_COLUMNS].to_numpy(float)
        alive = np.zeros(len(days), dtype=bool)
        alive[where[0] : where[-1] + 1] = True
        exists |= alive
        total += np.where(alive, own_total, 0.0)
        hours += np.where(alive[:, None], own_hours, 0.0)
    dead = ~exists | dead_days(total)
    total[dead] = np.nan
    hours[dead] = np.nan
    return MineLoad(days, hours, total / HOURS, blocks_told(there, hours, total))


def dead_days(total: Floats) -> Flags:
    """Days of exact zeros: a dead register or a cut, which says nothing of the mine, unless most days are zero."""
    zero = total <= 0
    return (
        zero if zero.sum() <= USUALLY_ZERO * max(int(np.isfinite(total).sum()), 1) else np.zeros(len(zero), dtype=bool)
    )


def blocks_told(frames: list[pd.DataFrame], hours: Floats, total: Floats) -> int:
    """Into how many blocks of hours readings of this interval divide a day; 1 where hours are mostly unknown."""
    if np.isfinite(hours).mean() < 0.5 * np.isfinite(total).mean():
        return 1
    minutes = max((int(frame["interval_min"].max()) if "interval_min" in frame else 60) for frame in frames)
    return HOURS // max(1, minutes // 60)


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
    busy = known & permitted & (load.mean_kw > (rest + top) / 2)
    work = float(np.quantile(load.mean_kw[busy], parameters.work_quantile)) if busy.any() else 0.0
    two = work > 0 and quiet < parameters.apart * work
    if work < (1 + parameters.least_step) * rest:
        work = max(work, prior_work(rest, capacity_t, parameters))
        busy = np.zeros(len(known), dtype=bool)
    return Levels(quiet, work, full_step(load, busy, rest, work, parameters), two)


def full_step(load: MineLoad, busy: Flags, rest: float, work: float, parameters: LoadParameters) -> float:
    """Step of an hour from rest to full work, kW: seen in the busiest hours, else reckoned from shifts."""
    if load.width == 1:
        return work - rest
    hours = np.sort(load.hours[busy], axis=1)[:, -parameters.work_hours :]
    seen = hours[np.isfinite(hours).all(axis=1)]
    reckoned = (work - rest) * HOURS / parameters.shift_hours
    return max(float(np.median(seen.mean(axis=1))) - rest, work - rest) if len(seen) else reckoned


def prior_work(rest_kw: float, capacity_t: float, parameters: LoadParameters) -> float:
    """Load at full work of a mine that was never seen working, kW."""
    if capacity_t > 0:
        step = capacity_t / parameters.work_days * parameters.specific_kwh / HOURS
    else:
        step = (parameters.work_over_rest - 1) * rest_kw
    return rest_kw + max(step, parameters.least_step * rest_kw)


def without_silence(load: MineLoad, forbidden: Flags, safety_kw: float, parameters: LoadParameters) -> MineLoad:
    """The load with days unknown on which the mine drew far less than rest takes: a cut or another supply, no rest.

    Where a mine draws so little on most of its forbidden days, that is its rest.
    """
    known = np.isfinite(load.mean_kw)
    if not (known & forbidden).any():
        return load
    usual = safety_kw if safety_kw > 0 else float(np.median(load.mean_kw[known & forbidden]))
    with np.errstate(invalid="ignore"):
        silent = load.mean_kw < parameters.silent * usual
    if (silent & forbidden).sum() > (known & forbidden).sum() / 2:
        return load
    hours, mean_kw = load.hours.copy(), load.mean_kw.copy()
    hours[silent], mean_kw[silent] = np.nan, np.nan
    return replace(load, hours=hours, mean_kw=mean_kw)


def days_of_rest(load: MineLoad, permitted: Flags, level: Levels, parameters: LoadParameters) -> Flags:
    """Latest permitted days on which the mine was plainly at rest, (D,): they show what rest looks like."""
    if not level.two:
        return np.zeros(len(load.days), dtype=bool)
    with np.errstate(invalid="ignore"):
        low = load.mean_kw <= parameters.calm * level.quiet_kw
        peaks = np.where(np.isfinite(load.hours), load.hours, -np.inf).max(axis=1)
        even = peaks <= level.quiet_kw + parameters.calm_hour * level.full_kw
    calm = np.flatnonzero(low & permitted & (even | (load.width == 1)))
    found = np.zeros(len(load.days), dtype=bool)
    found[calm[-parameters.calm_days :]] = True
    return found
