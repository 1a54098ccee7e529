"""Production seen in the load: mines that must rest and work, mines that declare tonnes and rest.

Evidence is in nats against what the register states. A shut mine may draw its safety load, and more in rain, in the
cold and for maintenance; a closed one next to nothing; a producing mine must draw what its declared tonnes take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from illegalmining.compute import one_algebra_thread
from illegalmining.detect.declared_output import OutputParameters, monthly, specific_energy
from illegalmining.detect.findings import Findings, Remark, detections
from illegalmining.detect.load import (
    POWER,
    Floats,
    LoadParameters,
    MeterTable,
    MineLoad,
    days_of_rest,
    levels,
    meters_of_mines,
    mine_load,
    without_silence,
)
from illegalmining.detect.other_meters import OtherMeterParameters, ShutPlace, features, other_meters
from illegalmining.detect.paper_output import DeclaringMine, declared_row
from illegalmining.detect.seasons import SeasonParameters, calm_load, covariates, district_wetness
from illegalmining.detect.shut_mines import Factor, OrderParameters, Orders, worked_while_forbidden
from illegalmining.detect.silence import SilenceParameters, silent
from illegalmining.registers.allowed import status_by_day
from illegalmining.tables import FORBIDDING_STATUSES

Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Applies a function to each of many pieces and gives the results in their order, as `map` does."""


@dataclass(frozen=True)
class PowerParameters:
    """The detector's parameters, part by part."""

    load: LoadParameters = field(default_factory=LoadParameters)
    seasons: SeasonParameters = field(default_factory=SeasonParameters)
    orders: OrderParameters = field(default_factory=OrderParameters)
    output: OutputParameters = field(default_factory=OutputParameters)
    others: OtherMeterParameters = field(default_factory=OtherMeterParameters)
    silence: SilenceParameters = field(default_factory=SilenceParameters)


@dataclass(frozen=True)
class Mine:
    """A mine of the register with its readings. of_power: its load as a whole, None where only factors are read."""

    mine_id: str
    geometry: Any
    capacity_t: float
    safety_kw: float
    meters: list[str]
    quantities: list[str]
    orders: Orders


@one_algebra_thread()
def detect_power(
    profiles: pd.DataFrame,
    meters: pd.DataFrame,
    mines: gpd.GeoDataFrame | None,
    mine_status: pd.DataFrame | None,
    production: pd.DataFrame | None,
    monitor_from: date,
    as_of: date,
    parameters: PowerParameters | None = None,
    weather: pd.DataFrame | None = None,
    each: Each = map,
) -> Findings:
    """Judge every mine that has a meter, and every other meter that looks like a mine's.

    Parameters
    ----------
    profiles : one row a meter, quantity and day, as `power.readings.read_profiles` gives them (history included).
    meters, mines, mine_status, production : registers of `tables`; None where there is none.
    monitor_from, as_of : first and last day that evidence may come from.
    weather : by day, columns rain_mm and temperature_c, either may be absent; None: rain is inferred.
    each : who works on mines and on other meters, one by one; whoever it is, the findings are the same.

    Returns
    -------
    Detections with the mine's own geometry and no area; `question` is `worked_while_forbidden`, `moved_to_neighbour`
    (a shut mine's work on another's meter), `mine_like_meter` (a meter of nobody's mine that looks like one),
    `declared_but_idle` (nats for output on paper), `worked_as_allowed` (negative nats: the energy covers the declared
    tonnes) or `meter_silent` (no nats: said, not judged). Without a register of mines nothing can be judged.

    Examples
    --------
    >>> profiles = im.read_meters(district, registers.meters)
    >>> findings = im.detect_power(
    ...     profiles, registers.meters, registers.mines, registers.mine_status, registers.production,
    ...     days.monitor_from, days.as_of,
    ... )
    >>> findings.smallest_site_m2 is None  # meters make no map
    True
    >>> bool(findings.detections["mine_id"].notna().any())
    True
    """
    parameters = parameters or PowerParameters()
    if mines is None or mines.empty:
        why = Remark("meters_without_mines", {})
        return Findings(detections([], None if mines is None else mines.crs), remarks=(why,))
    first, last = pd.Timestamp(monitor_from), pd.Timestamp(as_of)
    table = MeterTable(profiles, last)
    metered = metered_mines(table, meters, mines, mine_status)
    wetness = shared_wetness(table, metered, parameters)
    look = partial(
        judged_mine,
        production=production,
        wetness=wetness,
        weather=weather,
        first=first,
        last=last,
        parameters=parameters,
    )
    judged = list(each(look, ((mine, table.only(mine.meters)) for mine in metered)))
    declaring = [declares for one in judged for declares in one.declaring]
    shut = [one.place for one in judged if one.place is not None]
    like = {meter: seen for one in judged for meter, seen in one.features.items()}
    rows = [row for one in judged for row in one.rows]
    rows += paper_rows(declaring, first, last, parameters)
    rows += other_meters(table, meters, mines, shut, like, first, last, weather, parameters.others, each)
    return Findings(detections(rows, mines.crs), remarks=remarks(metered, mines, mine_status, declaring, rows))


@dataclass(frozen=True)
class JudgedMine:
    """What a mine's own meters say.

    declaring: the mine with the months it declares, or none. place: what its neighbours' meters are held against, None
    where no day is known. features: of each of its meters, what mines' meters are like.
    """

    rows: list[dict[str, Any]]
    declaring: list[DeclaringMine]
    place: ShutPlace | None
    features: dict[str, Floats]


def judged_mine(
    of: tuple[Mine, MeterTable],
    production: pd.DataFrame | None,
    wetness: pd.Series | None,
    weather: pd.DataFrame | None,
    first: pd.Timestamp,
    last: pd.Timestamp,
    parameters: PowerParameters,
) -> JudgedMine:
    """A mine with the readings of its meters."""
    mine, table = of
    loads = {meter: mine_load(table, [meter], POWER) for meter in mine.meters}
    seen = {meter: features(load) for meter, load in loads.items() if load is not None}
    factors = factors_of(mine, table, wetness, weather, parameters)
    if not factors:
        return JudgedMine([], [], None, seen)
    rows = worked_while_forbidden(mine.mine_id, mine.geometry, factors, mine.orders, first, last, parameters.orders)
    whole = mine_load(table, mine.meters, factors[0].quantity)
    rows += silent(mine.mine_id, mine.geometry, whole, mine.safety_kw, mine.orders, first, parameters.silence)
    place = ShutPlace(mine.mine_id, mine.geometry, mine.orders, factors[0].levels.full_kw)
    return JudgedMine(rows, declared_months(mine, factors[0], production, parameters), place, seen)


def metered_mines(
    table: MeterTable, meters: pd.DataFrame, mines: gpd.GeoDataFrame, mine_status: pd.DataFrame | None
) -> list[Mine]:
    """Mines with readings, in the register's order."""
    of_mines = meters_of_mines(meters, mines, LoadParameters())
    found = []
    for row in mines.itertuples():
        own = [meter for meter in of_mines.get(row.mine_id, []) if table.quantities(meter)]
        if not own:
            continue
        quantities = sorted({word for meter in own for word in table.quantities(meter)}, key=lambda w: (w != POWER, w))
        statuses = status_by_day(mine_status, row.mine_id, table.span(own))
        forbidden = statuses.isin(FORBIDDING_STATUSES).to_numpy()
        found.append(
            Mine(
                row.mine_id,
                row.geometry,
                float(getattr(row, "capacity_t", np.nan)),
                float(getattr(row, "safety_load_kw", np.nan)),
                own,
                quantities,
                Orders(statuses, forbidden, orders_listed(mine_status, row.mine_id)),
            )
        )
    return found


def orders_listed(mine_status: pd.DataFrame | None, mine_id: str) -> list[dict[str, Any]]:
    """A mine's orders as a plot marks them: status, from, to, order_no."""
    if mine_status is None:
        return []
    rows = mine_status[(mine_status["mine_id"] == mine_id) & mine_status["status"].isin(FORBIDDING_STATUSES)]
    numbers = rows["order_no"] if "order_no" in rows else pd.Series(None, index=rows.index, dtype=object)
    ends = rows["to"] if "to" in rows else pd.Series(pd.NaT, index=rows.index)
    return [
        {
            "status": status,
            "from": f"{begin:%Y-%m-%d}",
            "to": None if pd.isna(end) else f"{end:%Y-%m-%d}",
            "order_no": number if isinstance(number, str) else None,
        }
        for status, begin, end, number in zip(rows["status"], rows["from"], ends, numbers, strict=True)
    ]


def shared_wetness(table: MeterTable, metered: list[Mine], parameters: PowerParameters) -> pd.Series | None:
    """What rain does to the resting mines of the district."""
    rises = []
    for mine in metered:
        load = mine_load(table, mine.meters, POWER) if mine.orders.forbidden.any() else None
        if load is not None:
            forbidden = mine.orders.statuses.reindex(load.days).isin(FORBIDDING_STATUSES).to_numpy()
            rises.append(calm_load(load.mean_kw, load.days, forbidden))
    return district_wetness(rises, parameters.seasons)


def factors_of(
    mine: Mine,
    table: MeterTable,
    wetness: pd.Series | None,
    weather: pd.DataFrame | None,
    parameters: PowerParameters,
) -> list[Factor]:
    """The mine's series, power first; a factor without a single known day is left out."""
    found = []
    for quantity in mine.quantities:
        load = mine_load(table, mine.meters, quantity)
        if load is None or not np.isfinite(load.mean_kw).any():
            continue
        whole = quantity == POWER
        permitted = ~mine.orders.statuses.reindex(load.days).isin(FORBIDDING_STATUSES).to_numpy()
        capacity, safety = (mine.capacity_t, mine.safety_kw) if whole else (np.nan, np.nan)
        load = without_silence(load, ~permitted, safety, parameters.load)
        level = levels(load, permitted, capacity, safety, parameters.load)
        lifts = covariates(load.days, wetness, weather, parameters.seasons)
        quiet = days_of_rest(load, permitted, level, parameters.load)
        found.append(Factor(quantity, load, level, quiet, lifts, safety))
    return found


def declared_months(
    mine: Mine, factor: Factor, production: pd.DataFrame | None, parameters: PowerParameters
) -> list[DeclaringMine]:
    """The mine with the months in which it declares tonnes and its power is known."""
    if production is None or factor.quantity != POWER:
        return []
    load: MineLoad = factor.load
    declared = production[production["mine_id"] == mine.mine_id].groupby("month")["tonnes"].sum()
    months = monthly(load.days, load.mean_kw, declared, parameters.output)
    return [DeclaringMine(mine.mine_id, mine.geometry, load.days, load.mean_kw, months, factor.levels, mine.safety_kw)]


def paper_rows(
    declaring: list[DeclaringMine], first: pd.Timestamp, last: pd.Timestamp, parameters: PowerParameters
) -> list[dict[str, Any]]:
    """Rows of mines whose energy does not cover their declared tonnes, or does."""
    tables = {mine.mine_id: (mine.table, mine.levels, mine.safety_kw) for mine in declaring}
    specific = specific_energy(tables, parameters.output)
    rows = []
    for mine in declaring:
        within = mine.table["month"].between(f"{first:%Y-%m}", f"{last:%Y-%m}")
        judged = mine.table[within].reset_index(drop=True)
        past = mine.table[mine.table["month"] < f"{first:%Y-%m}"].reset_index(drop=True)
        rows += declared_row(mine, judged, past, specific, last, parameters.orders.least, parameters.output)
    return rows


def remarks(
    metered: list[Mine],
    mines: gpd.GeoDataFrame,
    mine_status: pd.DataFrame | None,
    declaring: list[DeclaringMine],
    rows: list[dict[str, Any]],
) -> tuple[Remark, ...]:
    """What could not be judged."""
    said = []
    without = len(mines) - len(metered)
    if without:
        said.append(Remark("mines_without_meters", {"without": without, "mines": len(mines)}))
    if mine_status is None:
        said.append(Remark("no_status", {}))
    unseen = sum(1 for mine in declaring if not mine.levels.two and not mine.safety_kw > 0)
    if unseen:
        said.append(Remark("never_rested", {"mines": unseen}))
    told = [(str(row["mine_id"]), json.loads(row["attributes"])) for row in rows]
    mute = sorted(mine for mine, what in told if what["question"] == "meter_silent" and what["status"] != "closed")
    if mute:
        shown = ", ".join(mute[:8]) + (", ..." if len(mute) > 8 else "")
        said.append(Remark("meters_silent", {"mines": len(mute), "shown": shown}))
    return tuple(said)
