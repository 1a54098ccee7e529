"""Closure lists to mines: candidates beside a person's decisions, in one file that is the person's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from illegalmining.atomic import write_bytes
from illegalmining.district import District
from illegalmining.errors import InputError
from illegalmining.publish.spreadsheet import csv_bytes
from illegalmining.registers.links import YES, decisions_of, row_key, undecided
from illegalmining.registers.read import opened, read_registers


@dataclass(frozen=True)
class Linked:
    """The decisions file; how many rows of the list are linked, await a decision, and found no candidate."""

    path: Path
    linked: int
    waiting: int
    alone: list[str]
    candidates: pd.DataFrame


def link(district: District) -> Linked:
    """Propose mines for every row of the closure list that a person has not linked.

    Raises
    ------
    InputError
        There is no closure list or no register of mines.
    """
    registers = read_registers(district, [])
    if registers.closure_list is None or registers.mines is None:
        lacking = "closure_list" if registers.closure_list is None else "mines"
        raise InputError(f"{district.path}: registers.{lacking} is absent or cannot be used: nothing can be linked")
    path = Path(district.resolve(district.configuration.registers.link_decisions))
    decided = decisions_of(path, opened)
    proposed = undecided(registers.closure_list, registers.mines, registers.jurisdictions, decided)
    together = pd.concat([decided, proposed], ignore_index=True) if len(decided) else proposed
    write_bytes(path, csv_bytes(together))
    rows = [row_key(*row) for row in registers.closure_list[["name", "county", "decided"]].itertuples(index=False)]
    linked = {row_key(row.name, row.county, row.decided) for row in decided.itertuples() if row.decision == YES}
    asked = {row_key(row.name, row.county, row.decided) for row in proposed.itertuples()}
    alone = [key[0] for key in rows if key not in linked and key not in asked]
    return Linked(path, sum(key in linked for key in rows), len(asked), alone, proposed)
