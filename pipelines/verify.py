"""Field outcomes into the ledger, and what they teach."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from illegalmining.cases.ledger import open_ledger
from illegalmining.cases.outcomes import attach, lessons, record
from illegalmining.district import District
from illegalmining.pipelines.audits import NEAR_DRAW_M, drawn_places
from illegalmining.pipelines.casework import owed, publish_lessons
from illegalmining.publish.casework import publish_tables
from illegalmining.registers.quarantine import SetAside
from illegalmining.registers.read import read_registers
from illegalmining.registers.visits import read_outcomes


@dataclass(frozen=True)
class Verified:
    """What became of a file of outcomes.

    recorded, known: how many were new, and how many were known already. set_aside: rows at fault. calibration: what
    probabilities rest on. unvisited: rows of the form that nobody filled in. photos: hashed. conflicts: case -> visits
    that contradict each other, as words; such cases stay open.
    """

    recorded: int
    known: int
    set_aside: list[dict[str, Any]]
    calibration: str
    unvisited: int = 0
    photos: int = 0
    conflicts: dict[str, list[str]] = field(default_factory=dict)


def verify(district: District, path: Path) -> Verified:
    """Record outcomes and recalibrate; the next run starts from there."""
    aside: list[dict[str, Any]] = []
    outcomes = read_outcomes(path, district, aside)
    registers = read_registers(district, [])
    with open_ledger(district.ledger, district.name) as ledger:
        cases, faults = attach(ledger, outcomes, drawn_places(district), NEAR_DRAW_M)
        SetAside(aside, path.name).faults(faults)
        recorded = record(ledger, outcomes, cases)
        learned = lessons(ledger)
        tables = owed(ledger, registers.jurisdictions, district)
    publish_tables(tables, district.out)
    fusion = publish_lessons(learned, district)
    return Verified(
        recorded,
        len(cases) - recorded,
        aside,
        fusion.calibration,
        outcomes.attrs["unvisited"],
        sum(len(one) for one in outcomes.loc[list(cases), "photos"] if one),
        disputed(tables["conflicts"]),
    )


def disputed(table: pd.DataFrame) -> dict[str, list[str]]:
    """Cases whose visits contradict each other, each visit in words."""
    said: dict[str, list[str]] = {}
    for row in table.to_dict("records"):
        by = f" by {row['inspector']}" if isinstance(row["inspector"], str) else ""
        said.setdefault(row["case_id"], []).append(f"{row['outcome']} on {row['visited']}{by}")
    return said
