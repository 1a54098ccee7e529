"""Readings in kW where kWh are expected: told by what the transformers of a file's meters can pass, and put right.

A quarter-hourly meter that reports power reports four times its energy. One meter beyond its contracted capacity has a
wrong capacity; most meters of one file beyond theirs, all of them within it once divided, are one office's wrong unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from illegalmining.power.sources import aside


@dataclass(frozen=True)
class UnitParameters:
    """What counts as a wrong unit. beyond: multiple of the contracted capacity that no transformer bears all day long.
    share: of a file's meters that must lie beyond as kWh, and within as kW. fewest: such meters."""

    beyond: float = 1.5
    share: float = 0.5
    fewest: int = 3


def kilowatts_to_energy(
    connection: duckdb.DuckDBPyConnection,
    meters: pd.DataFrame,
    names: list[str],
    parameters: UnitParameters = UnitParameters(),
) -> list[dict[str, Any]]:
    """Divide the readings of such files in the table `days` by their readings an hour; one quarantine row a file.

    meters: capacity_kva by number, NaN where it is unknown. names: of the files, by number.
    """
    columns = ", ".join(f"m{hour:02d}" for hour in range(24))
    facts = connection.execute(f"""
        SELECT file, number, round(quantile_cont(readings, 0.9) / 24) AS hourly,
               quantile_cont(greatest({columns}), 0.5) AS peak
        FROM days GROUP BY file, number ORDER BY file, number
    """).df()
    facts["capacity"] = meters["capacity_kva"].to_numpy()[facts["number"].to_numpy(dtype=int)]
    facts = facts[(facts["capacity"] > 0) & (facts["hourly"] > 1)]
    facts["as_kwh"] = facts["peak"] * facts["hourly"] > parameters.beyond * facts["capacity"]
    facts["as_kw"] = facts["peak"] <= parameters.beyond * facts["capacity"]
    found = []
    for file, mine in facts.groupby("file", sort=True):
        beyond = int((mine["as_kwh"] & mine["as_kw"]).sum())
        if beyond < max(parameters.fewest, parameters.share * len(mine)) or not mine["as_kw"].all():
            continue
        divided = ", ".join(f"m{h:02d} = m{h:02d} / round(readings / 24.0)" for h in range(24))
        connection.execute(
            f"UPDATE days SET {divided}, kwh = kwh / round(readings / 24.0) WHERE file = ? AND readings >= 36",
            [int(str(file))],
        )
        why = (
            f"{beyond} of {len(mine)} meters would draw more than their transformers pass, and none does once the "
            "values are taken for kW: read as kW and converted. Ask the grid company for kWh"
        )
        found.append(aside(names[int(str(file))], "kwh", f"{beyond} meter(s)", "energy in kWh", why))
    return found
