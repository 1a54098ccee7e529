"""Field outcomes into the ledger, and what they teach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from illegalmining.cases.ledger import open_ledger
from illegalmining.cases.outcomes import attach, lessons, record
from illegalmining.district import District
from illegalmining.pipelines.casework import owed, publish_lessons
from illegalmining.publish.casework import publish_tables
from illegalmining.registers.quarantine import SetAside
from illegalmining.registers.read import read_registers
from illegalmining.registers.visits import read_outcomes


@dataclass(frozen=True)
class Verified:
    """How many outcomes are new, how many were known already, what was set aside, and what probabilities rest on."""

    recorded: int
    known: int
    set_aside: list[dict[str, Any]]
    calibration: str


def verify(district: District, path: Path) -> Verified:
    """Record outcomes and recalibrate; the next run starts from there."""
    aside: list[dict[str, Any]] = []
    outcomes = read_outcomes(path, district, aside)
    registers = read_registers(district, [])
    with open_ledger(district.ledger, district.name) as ledger:
        cases, faults = attach(ledger, outcomes)
        SetAside(aside, path.name).faults(faults)
        recorded = record(ledger, outcomes, cases)
        learned = lessons(ledger)
        tables = owed(ledger, registers.jurisdictions, district)
    publish_tables(tables, district.out)
    fusion = publish_lessons(learned, district)
    return Verified(recorded, len(cases) - recorded, aside, fusion.calibration)
