"""A district's weather, where somebody measured it: rain and temperature by day, to explain pumps and heaters.

A CSV or Parquet table `date, rain_mm, temperature_c`; either measure may be absent. Several stations are averaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from illegalmining.errors import InputError
from illegalmining.power.sources import PARQUET, aside

LIMITS = {"rain_mm": (0.0, 2000.0), "temperature_c": (-70.0, 60.0)}
"""What weather can be, with room."""


def read_weather(path: Path, name: str, quarantine: list[dict[str, Any]]) -> pd.DataFrame:
    """Weather by day; rows that cannot be are set aside, one row of the quarantine a fault.

    Raises
    ------
    InputError
        The file cannot be read, or has no date or no measure.
    """
    try:
        table = pd.read_parquet(path) if path.name.lower().endswith(PARQUET) else pd.read_csv(path, dtype=str)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"power.weather: {name} cannot be read ({error}); expected CSV or Parquet") from error
    table.columns = [str(column).strip("\ufeff ").lower() for column in table.columns]
    measures = [measure for measure in LIMITS if measure in table]
    if "date" not in table or not measures:
        raise InputError(
            f"power.weather: {name} has the columns {', '.join(table.columns)}; expected date and rain_mm or "
            "temperature_c. Rename the columns or drop the key"
        )
    days = pd.to_datetime(table["date"], errors="coerce").dt.normalize()
    wrong = int(days.isna().sum())
    if wrong:
        quarantine.append(aside(name, "date", f"{wrong} row(s)", "a date", "left out; correct the dates"))
    found = pd.DataFrame({"day": days})
    for measure in measures:
        values = pd.to_numeric(table[measure], errors="coerce")
        low, high = LIMITS[measure]
        strange = values.notna() & ~values.between(low, high)
        if strange.any():
            value = f"{int(strange.sum())} row(s), first {values[strange].iloc[0]:g}"
            quarantine.append(aside(name, measure, value, f"{low:g} to {high:g}", "left out, as unknown"))
        found[measure] = values.mask(strange)
    return found.dropna(subset="day").groupby("day").mean()
