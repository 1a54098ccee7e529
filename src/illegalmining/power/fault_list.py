"""Faults of meters as they are told: one row of the quarantine a meter and fault, and every fault of every series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from illegalmining.power.sources import aside

FAULT_WORDS = ("gap", "zero_block", "peak", "duplicate", "clock", "scale")
"""A fault's bit in a day's code is its place here."""

CODES = 2 ** len(FAULT_WORDS)
UNITS = {"clock": "day(s)", "scale": "day(s)"}


def fault_rows(found: dict[str, tuple[int, Any]], file: str, meter: str) -> list[dict[str, Any]]:
    """Quarantine rows of one meter's faults."""
    rules = {
        "capacity": ("within the contracted capacity", "more than the transformer can pass: left out, as a gap"),
        "peak": (
            "a load like its neighbours'",
            "one hour far above all others: a gap booked at once or a reset; left out",
        ),
        "clock": (
            "a clock in the district's time",
            "days whose whole course is hours early or late at the same energy: a wrong clock; put right",
        ),
        "scale": (
            "one scale",
            "days on which every hour is read by one factor higher or lower: another transformer ratio or multiplier; "
            "brought to the scale of most days",
        ),
        "zero": (
            "some load",
            "zeros at a meter that always draws something: a dead register or a cut; a gap, no evidence",
        ),
    }
    return [
        aside(
            file,
            "time" if name == "clock" else "kwh",
            f"{hours} {UNITS.get(name, 'hour(s)')}, first {first}",
            rules[name][0],
            f"meter {meter}: {rules[name][1]}",
        )
        for name, (hours, first) in found.items()
    ]


def listed_faults(profiles: pd.DataFrame) -> list[dict[str, Any]]:
    """Every fault of every series, gaps and missing days included: meter_id, quantity, fault, days, first, last.

    Faults are unknown load and no evidence; those that set readings aside stand in the quarantine too.
    """
    listed = []
    for (meter, quantity), frame in profiles.groupby(["meter_id", "quantity"], observed=True, sort=True):
        days = frame["day"].to_numpy("datetime64[D]")
        codes = frame["faults"].to_numpy(dtype=str)
        whole = np.arange(days.min(), days.max() + 1)
        seen = {word: days[np.char.find(codes, word) >= 0] for word in FAULT_WORDS}
        seen["gap"] = np.union1d(seen["gap"], np.setdiff1d(whole, days))
        for fault, where in seen.items():
            if len(where):
                row = {"meter_id": str(meter), "quantity": str(quantity), "fault": fault, "days": len(where)}
                listed.append({**row, "first": str(where.min()), "last": str(where.max())})
    return listed
