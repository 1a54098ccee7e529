"""Cases that the registers account for since they are known differently: a renewal entered late re-judges the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from illegalmining.cases.identity import IdentityParameters, continuation
from illegalmining.cases.known import Change, changes, concerns, near_licences, registers_as_known, worded
from illegalmining.cases.ledger import CASES, RUNS, SIGHTINGS, Ledger
from illegalmining.cases.sites import MINE_KINDS
from illegalmining.registers.read import Registers

REJUDGED = ("case_id", "kind", "probability_then", "as_known", "as_of", "verdict_now", "changed")
EXPLAINED = "accounted for by the registers as known now"
ACCUSED = "against the registers as known now, not as known then"


@dataclass(frozen=True)
class Present:
    """A run that judges: its number, its registers and their version, its cases (identified), and how it judges by
    other registers."""

    run: int
    registers: Registers
    version: int
    cases: gpd.GeoDataFrame
    judged_by: Callable[[Registers], gpd.GeoDataFrame]


def rejudge(ledger: Ledger, present: Present, as_of: date) -> pd.DataFrame:
    """Hold today's evidence against the registers as the last run knew them; close what the difference explains.

    A known open case that is no case any more is closed only where the old registers, asked about the same evidence,
    still make it one (or, for work in a shut mine, where the mine's own status rows changed: its evidence itself rests
    on them). One row of the result per case whose verdict the registers turned.
    """
    before = [row for row in ledger.rows(RUNS) if row["run"] < present.run]
    if not before or before[-1]["register_version"] == present.version:
        return pd.DataFrame(columns=list(REJUDGED))
    last = before[-1]
    changed = changes(ledger, last["register_version"], present.version)
    then = present.judged_by(registers_as_known(ledger, last["register_version"], present.registers, present.cases.crs))
    rows = [*explained(ledger, present, last, then, changed, as_of), *accused(ledger, present, last, then, changed)]
    for row in rows:
        this = CASES.c.case_id == row["case_id"]
        if row["verdict_now"] == EXPLAINED and ledger.rows(CASES, this, CASES.c.status == "open"):
            ledger.change(CASES, this, status="closed", decided=as_of.isoformat(), why="register")
            ledger.note("rejudged", row["case_id"], {"changed": row["changed"], "as_of": as_of.isoformat()})
    return pd.DataFrame(sorted(rows, key=lambda row: row["case_id"]), columns=list(REJUDGED))


def explained(
    ledger: Ledger,
    present: Present,
    last: dict[str, Any],
    then: gpd.GeoDataFrame,
    changed: list[Change],
    as_of: date,
) -> list[dict[str, Any]]:
    """Open cases of the ledger that the old registers make of today's evidence and the new ones do not.

    Those that this very day was closed for that reason count too: a run repeated says the same.
    """
    today = (CASES.c.why == "register") & (CASES.c.decided == as_of.isoformat())
    known = ledger.rows(CASES, (CASES.c.status == "open") | today, CASES.c.merged_into.is_(None))
    seen = set(present.cases["case_id"])
    gone = pd.DataFrame(
        [row for row in known if row["case_id"] not in seen], columns=[column.name for column in CASES.columns]
    )
    still = set(continuation(then, gone, IdentityParameters()).former.values())
    rows = []
    for case in gone.to_dict("records"):
        outline = shapely.from_wkb(case["geometry"])
        about = concerning(present, changed, case["mine_id"], outline)
        own_status = any(change.register == "mine_status" for change in about)
        if case["case_id"] in still or (case["kind"] in MINE_KINDS and own_status):
            rows.append(row_of(ledger, case, last, EXPLAINED, about))
    return rows


def accused(
    ledger: Ledger, present: Present, last: dict[str, Any], then: gpd.GeoDataFrame, changed: list[Change]
) -> list[dict[str, Any]]:
    """New cases that the old registers would not have made of today's evidence."""
    before = {row["case_id"] for row in ledger.rows(SIGHTINGS, SIGHTINGS.c.run < present.run)}
    opened = present.cases[~present.cases["case_id"].isin(before)]
    known = pd.DataFrame(opened).assign(geometry=shapely.to_wkb(opened.geometry.to_numpy()))
    as_then = set(continuation(then, known, IdentityParameters()).former.values())
    rows = []
    for case in opened[~opened["case_id"].isin(as_then)].to_dict("records"):
        about = concerning(present, changed, case["mine_id"], case["geometry"])
        if about:
            rows.append(row_of(ledger, case, last, ACCUSED, about))
    return rows


def concerning(present: Present, changed: list[Change], mine_id: str | None, outline: Any) -> list[Change]:
    """The changed rows that have to do with a case: of its mine, or of the licences at its place."""
    numbers = near_licences(present.registers, outline, IdentityParameters().near_m)
    return [
        change
        for change in changed
        if concerns(change, mine_id, None) or any(concerns(change, None, n) for n in numbers)
    ]


def row_of(
    ledger: Ledger, case: dict[str, Any], last: dict[str, Any], verdict: str, about: list[Change]
) -> dict[str, Any]:
    """One line of the table."""
    seen = ledger.rows(SIGHTINGS, SIGHTINGS.c.case_id == case["case_id"])
    return {
        "case_id": case["case_id"],
        "kind": case["kind"],
        "probability_then": seen[-1]["probability"] if seen and verdict == EXPLAINED else None,
        "as_known": f"register version {last['register_version']}",
        "as_of": last["as_of"],
        "verdict_now": verdict,
        "changed": "; ".join(worded(change) for change in about),
    }
