"""Production seen in the load: mines that must rest and work, mines that declare tonnes and rest.

Evidence is in nats against what the register states. A shut mine may draw its safety load, and more in rain and for
maintenance; a producing mine must draw what its declared tonnes take.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.detect.declared_output import (
    OutputParameters,
    Specific,
    declared_output,
    monthly,
    specific_energy,
)
from illegalmining.detect.findings import Findings, detection, detections
from illegalmining.detect.hidden_work import HiddenWork, WorkParameters, hidden_work
from illegalmining.detect.load import (
    HOURS,
    Flags,
    Levels,
    LoadParameters,
    MineLoad,
    levels,
    meters_of_mines,
    mine_load,
)
from illegalmining.registers.allowed import status_by_day
from illegalmining.tables import FORBIDDING_STATUSES

SERIES_POINTS = 120
DIGITS = 4


@dataclass(frozen=True)
class PowerParameters:
    """The detector's parameters.

    load, work, output: of the parts. grace_days: first days of an order that are not counted, work runs down. least:
    nats from which a mine is reported. least_days: known days in which a mine must rest before it is judged.
    """

    load: LoadParameters = field(default_factory=LoadParameters)
    work: WorkParameters = field(default_factory=WorkParameters)
    output: OutputParameters = field(default_factory=OutputParameters)
    grace_days: int = 1
    least: float = 0.5
    least_days: int = 3


@dataclass(frozen=True)
class MeteredMine:
    """A mine with readings. forbidden: (D,) days on which its status forbids production. safety_kw: NaN: unknown."""

    mine_id: str
    geometry: Any
    load: MineLoad
    forbidden: Flags
    levels: Levels
    safety_kw: float


def detect_power(
    profiles: pd.DataFrame,
    meters: pd.DataFrame,
    mines: gpd.GeoDataFrame | None,
    mine_status: pd.DataFrame | None,
    production: pd.DataFrame | None,
    monitor_from: date,
    as_of: date,
    parameters: PowerParameters | None = None,
) -> Findings:
    """Judge every mine that has a meter.

    Parameters
    ----------
    profiles : one row a meter and day, as `power.readings.read_profiles` gives them (kWh, history included).
    meters, mines, mine_status, production : registers of `tables`; None where there is none.
    monitor_from, as_of : first and last day that evidence may come from.

    Returns
    -------
    Detections with the mine's own geometry and no area; `question` is `worked_while_forbidden`, `declared_but_idle`
    (nats for output on paper) or `worked_as_allowed` (negative nats: the energy covers the declared tonnes).
    Without a register of mines nothing can be judged.
    """
    parameters = parameters or PowerParameters()
    if mines is None or mines.empty:
        why = "Without a register of mines no meter can be judged."
        return Findings(detections([], None if mines is None else mines.crs), remarks=(why,))
    first, last = pd.Timestamp(monitor_from), pd.Timestamp(as_of)
    metered = metered_mines(profiles, meters, mines, mine_status, last, parameters)
    rows: list[dict[str, Any]] = []
    for mine in metered:
        rows += worked_while_forbidden(mine, first, last, parameters)
    if production is not None:
        rows += declared_rows(metered, production, first, last, parameters)
    return Findings(detections(rows, mines.crs), remarks=remarks(metered, mines, mine_status, production))


def metered_mines(
    profiles: pd.DataFrame,
    meters: pd.DataFrame,
    mines: gpd.GeoDataFrame,
    mine_status: pd.DataFrame | None,
    last: pd.Timestamp,
    parameters: PowerParameters,
) -> list[MeteredMine]:
    """Mines with readings, in the register's order."""
    of_mines = meters_of_mines(meters, mines, parameters.load)
    there = profiles[profiles["day"] <= last]
    by_meter = {str(meter): frame for meter, frame in there.groupby("meter_id", observed=True, sort=True)}
    found = []
    for mine in mines.itertuples():
        load = mine_load(by_meter, of_mines.get(mine.mine_id, []), parameters.load)
        if load is None or not np.isfinite(load.mean_kw).any():
            continue
        forbidden = status_by_day(mine_status, mine.mine_id, load.days).isin(FORBIDDING_STATUSES).to_numpy()
        safety = float(getattr(mine, "safety_load_kw", np.nan))
        capacity = float(getattr(mine, "capacity_t", np.nan))
        known = levels(load, ~forbidden, capacity, safety, parameters.load)
        found.append(MeteredMine(mine.mine_id, mine.geometry, load, forbidden, known, safety))
    return found


def worked_while_forbidden(
    mine: MeteredMine, first: pd.Timestamp, last: pd.Timestamp, parameters: PowerParameters
) -> list[dict[str, Any]]:
    """The row of a mine whose load on forbidden days fits work, if it does."""
    run = forbidden_run(mine.forbidden)
    counted = (run > parameters.grace_days) & np.asarray((mine.load.days >= first) & (mine.load.days <= last))
    counted &= np.isfinite(mine.load.mean_kw)
    if counted.sum() < parameters.least_days:
        return []
    span = slice(int(np.flatnonzero(counted)[0]), int(np.flatnonzero(counted)[-1]) + 1)
    mean_kw, low_kw = mine.load.mean_kw[span], mine.load.low_kw[span]
    found = hidden_work(mean_kw, low_kw, counted[span], mine.levels, mine.safety_kw, parameters.work)
    if found.log_lr <= parameters.least:
        return []
    working = np.where(counted[span], found.working, 0.0)
    nights = working > min(0.5, 0.9 * float(working.max()))
    days = mine.load.days[span]
    attributes = {
        "question": "worked_while_forbidden",
        "nights": int(nights.sum()),
        "mean_fraction_of_full_load": rounded(found.fraction),
        "excess_kwh": rounded(float(np.maximum(mean_kw - found.rest_kw, 0.0)[nights].sum() * HOURS)),
        "series": series(days, mean_kw, nights, found, parameters.work),
    }
    return [
        detection(
            "power",
            days[nights][0],
            days[nights][-1],
            found.log_lr,
            mine.geometry,
            mine_id=mine.mine_id,
            attributes=attributes,
        )
    ]


def forbidden_run(forbidden: Flags) -> np.ndarray:
    """How many forbidden days in a row have begun, counting from 1, 0 on permitted days; a run that was under way on
    the first day is long past its beginning."""
    index = np.arange(len(forbidden))
    permitted = np.where(~forbidden, index, -len(forbidden) - 1)
    return np.where(forbidden, index - np.maximum.accumulate(permitted), 0)


def series(
    days: pd.DatetimeIndex, mean_kw: np.ndarray, nights: Flags, found: HiddenWork, work: WorkParameters
) -> dict[str, Any]:
    """Daily energy and what rest explains, kWh a day, thinned to what a plot can hold around the days of work."""
    known = np.flatnonzero(np.isfinite(mean_kw))
    centre = np.flatnonzero(nights)
    near = known[np.argsort(np.abs(known[:, None] - centre[None, :]).min(axis=1), kind="stable")][:SERIES_POINTS]
    shown = np.sort(near)
    expected = found.rest_kw * (1 + found.rain[shown]) * HOURS
    spread = 2 * work.rest_sd[0]
    return {
        "dates": [f"{day:%Y-%m-%d}" for day in days[shown]],
        "observed": [rounded(value) for value in mean_kw[shown] * HOURS],
        "expected": [rounded(value) for value in expected],
        "low": [rounded(value) for value in expected * (1 - spread)],
        "high": [rounded(value) for value in expected * (1 + spread)],
        "unit": "kWh/day",
    }


def declared_rows(
    metered: list[MeteredMine],
    production: pd.DataFrame,
    first: pd.Timestamp,
    last: pd.Timestamp,
    parameters: PowerParameters,
) -> list[dict[str, Any]]:
    """Rows of mines whose energy does not cover their declared tonnes, or does."""
    tables = {}
    for mine in metered:
        declared = production[production["mine_id"] == mine.mine_id].groupby("month")["tonnes"].sum()
        table = monthly(mine.load.days, mine.load.mean_kw, declared, parameters.output)
        tables[mine.mine_id] = (table, mine.levels, mine.safety_kw)
    specific = specific_energy(tables, parameters.output)
    rows = []
    for mine in metered:
        table = tables[mine.mine_id][0]
        within = table["month"].between(f"{first:%Y-%m}", f"{last:%Y-%m}")
        rows += declared_row(mine, table[within].reset_index(drop=True), specific, last, parameters)
    return rows


def declared_row(
    mine: MeteredMine, table: pd.DataFrame, specific: Specific, last: pd.Timestamp, parameters: PowerParameters
) -> list[dict[str, Any]]:
    """The row of one mine, if its energy says something of its tonnes."""
    if table.empty:
        return []
    found = declared_output(table, mine.levels, mine.safety_kw, specific, parameters.output)
    if abs(found.log_lr) <= parameters.least:
        return []
    attributes = {
        "question": "declared_but_idle" if found.log_lr > 0 else "worked_as_allowed",
        "months": list(found.months),
        "tonnes": rounded(found.tonnes),
        "tonnes_explained": rounded(found.explained),
        "kwh_per_tonne": rounded(specific.centre),
    }
    begins = pd.Timestamp(f"{found.months[0]}-01")
    ends = min(pd.Timestamp(f"{found.months[-1]}-01") + pd.offsets.MonthEnd(1), last)
    return [detection("power", begins, ends, found.log_lr, mine.geometry, mine_id=mine.mine_id, attributes=attributes)]


def remarks(
    metered: list[MeteredMine],
    mines: gpd.GeoDataFrame,
    mine_status: pd.DataFrame | None,
    production: pd.DataFrame | None,
) -> tuple[str, ...]:
    """What could not be judged."""
    said = []
    silent = len(mines) - len(metered)
    if silent:
        said.append(f"{silent} of {len(mines)} mine(s) have no meter readings: their power could not be judged.")
    if mine_status is None:
        said.append("Without a register of status no mine is known to be shut: work in shut mines could not be judged.")
    if production is not None:
        unseen = sum(1 for mine in metered if not mine.levels.two and not mine.safety_kw > 0)
        if unseen:
            said.append(f"{unseen} mine(s) never rested and have no safety load: declared output was judged loosely.")
    return tuple(said)


def rounded(value: float) -> float:
    """A number to four significant digits, as a plot or a reader needs it."""
    return float(f"{value:.{DIGITS}g}")
