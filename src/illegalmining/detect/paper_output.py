"""Rows of mines whose energy does not cover their declared tonnes, or does, with the load their tonnes should take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.detect.day_shapes import Floats
from illegalmining.detect.declared_output import Output, OutputParameters, Specific, declared_output
from illegalmining.detect.findings import detection
from illegalmining.detect.holidays import rest_days
from illegalmining.detect.load import HOURS, Levels
from illegalmining.detect.shut_mines import iso, rounded

SERIES_POINTS = 120


@dataclass(frozen=True)
class DeclaringMine:
    """A mine that declares. days, mean_kw: its load by day. table: its months, of `declared_output.monthly`. months:
    of them, those to be judged."""

    mine_id: str
    geometry: Any
    days: pd.DatetimeIndex
    mean_kw: Floats
    table: pd.DataFrame
    levels: Levels
    safety_kw: float


def declared_row(
    mine: DeclaringMine,
    table: pd.DataFrame,
    past: pd.DataFrame,
    specific: Specific,
    last: pd.Timestamp,
    least: float,
    parameters: OutputParameters,
) -> list[dict[str, Any]]:
    """The row of one mine, if the energy of its months says something of their tonnes. past: the months before."""
    if table.empty:
        return []
    found = declared_output(table, mine.levels, mine.safety_kw, specific, parameters, past)
    if abs(found.log_lr) <= least:
        return []
    attributes = {
        "question": "declared_but_idle" if found.log_lr > 0 else "worked_as_allowed",
        "months": list(found.months),
        "tonnes": rounded(found.tonnes),
        "tonnes_explained": rounded(found.explained),
        "kwh_per_tonne": rounded(found.own.centre),
        "series": declared_series(mine, table, found, parameters),
    }
    begins = pd.Timestamp(f"{found.months[0]}-01")
    ends = min(pd.Timestamp(f"{found.months[-1]}-01") + pd.offsets.MonthEnd(1), last)
    return [detection("power", begins, ends, found.log_lr, mine.geometry, mine_id=mine.mine_id, attributes=attributes)]


def declared_series(
    mine: DeclaringMine, table: pd.DataFrame, found: Output, parameters: OutputParameters
) -> dict[str, Any]:
    """Weekly load against what rest and the declared tonnes take; production lies on days that are no holiday."""
    begins = pd.Timestamp(f"{found.months[0]}-01")
    ends = pd.Timestamp(f"{found.months[-1]}-01") + pd.offsets.MonthEnd(1)
    judged = np.asarray((mine.days >= begins) & (mine.days <= ends))
    days = mine.days[judged]
    tonnes = table.set_index("month")["tonnes"].reindex(days.strftime("%Y-%m")).to_numpy(float)
    able = ~rest_days(days)
    count = pd.Series(able, index=days).groupby([days.year, days.month]).transform("sum").to_numpy(float)
    daily = np.where(able, np.nan_to_num(tonnes) / np.maximum(count, 1.0), 0.0) * found.own.centre
    spread = np.exp(2 * np.hypot(found.own.spread, parameters.month_sd))
    rest = found.rest_kw * HOURS
    table_of_days = pd.DataFrame(
        {
            "observed": mine.mean_kw[judged] * HOURS,
            "expected": rest + daily,
            "low": rest + daily / spread,
            "high": rest + daily * spread,
        },
        index=days,
    )
    step = max(1, -(-len(days) // SERIES_POINTS))
    shown = table_of_days.resample(f"{step}D").mean().dropna()
    columns = {name: [rounded(value) for value in shown[name]] for name in shown}
    return {"dates": [iso(day) for day in shown.index], **columns, "unit": "kWh/day"}
