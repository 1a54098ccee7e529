"""What inspectors found: attached to cases, recorded once and for all, and read back as lessons."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from illegalmining.cases.calibrate import Lesson
from illegalmining.cases.fuse import Term
from illegalmining.cases.known import plain
from illegalmining.cases.ledger import CASES, OUTCOMES, RUNS, SIGHTINGS, Ledger
from illegalmining.decisions import OUTCOMES as OUTCOMES_TABLE
from illegalmining.registers.quarantine import Fault

NEAR_M = 60.0
"""A visit without a case's id belongs to the case this near, m: the distance that makes one site of two outlines."""
CONCLUSIVE = ("confirmed", "refuted")
DECISIVE = (*CONCLUSIVE, "closed")
SAME_STATE_DAYS = 30
"""Two visits this near in time must have found the same, days: the time a jurisdiction has to answer; a pit or a
working face does not come and go sooner."""
CONFLICTS = ("case_id", "number", "visited", "outcome", "inspector", "reason", "found", "settles", "photos")


def attach(
    ledger: Ledger, outcomes: gpd.GeoDataFrame, drawn: Sequence[shapely.Point] = (), near_draw_m: float = 0.0
) -> tuple[dict[int, str | None], list[Fault]]:
    """The case each outcome speaks of, by its id or by its place; None for a site no case was made of.

    Parameters
    ----------
    drawn, near_draw_m : places without a case that were visited blind, and how near to one a visit is its own, m: there
    finding nothing is an outcome too.

    Returns
    -------
    row -> case id, following cases that have merged into others; and the faults of the rows left out.
    """
    known = {row["case_id"]: row for row in ledger.rows(CASES)}
    shapes = {case_id: shapely.from_wkb(row["geometry"]) for case_id, row in known.items() if not row["merged_into"]}
    cases: dict[int, str | None] = {}
    faults: list[Fault] = []
    for row, case_id, outcome, place in zip(
        outcomes.index, outcomes["case_id"], outcomes["outcome"], outcomes.geometry, strict=True
    ):
        if isinstance(case_id, str):
            if case_id in known:
                cases[row] = heir(case_id, known)
            else:
                why = "the ledger knows no such case: correct the id, or leave it empty and give the place"
                faults.append(Fault(int(row), "case_id", case_id, "a case of this district", why))
            continue
        near = sorted((shape.distance(place), name) for name, shape in shapes.items() if shape.dwithin(place, NEAR_M))
        if len(near) > 1 and near[0][0] == near[1][0]:
            why = f"{near[0][1]} and {near[1][1]} lie there alike: fill in case_id"
            faults.append(Fault(int(row), "case_id", None, "one case at the place", why))
        elif near or outcome == "confirmed" or any(place.dwithin(one, near_draw_m) for one in drawn):
            cases[row] = near[0][1] if near else None
        else:
            why = f"no case lies within {NEAR_M:.0f} m of the place: fill in case_id"
            faults.append(Fault(int(row), "case_id", None, "a case at the place", why))
    return cases, faults


def heir(case_id: str, known: dict[str, dict[str, Any]]) -> str:
    """The case that a merged one lives on in."""
    while known[case_id]["merged_into"]:
        case_id = known[case_id]["merged_into"]
    return case_id


def record(ledger: Ledger, outcomes: gpd.GeoDataFrame, cases: dict[int, str | None]) -> int:
    """Keep outcomes that are new, and what they decide; returns how many were new. The same file twice adds nothing."""
    held = {row["outcome_id"] for row in ledger.rows(OUTCOMES)}
    number, fresh = ledger.next_number(OUTCOMES.c.number), 0
    for row, said in outcomes.loc[list(cases)].iterrows():
        told = {name: plain(said[name]) for name in OUTCOMES_TABLE.columns if plain(said.get(name)) is not None}
        shape = None if said["geometry"] is None else shapely.to_wkb(said["geometry"])
        case_id = cases[row]
        place = shape.hex() if case_id is None and shape is not None else ""
        what = json.dumps([case_id, place, told], ensure_ascii=False, sort_keys=True)
        outcome_id = hashlib.sha256(what.encode()).hexdigest()[:16]
        if outcome_id in held:
            continue
        held.add(outcome_id)
        entry = {"outcome_id": outcome_id, "number": number + fresh, "case_id": case_id, "geometry": shape}
        entry |= {"outcome": told["outcome"], "visited": told["visited"], "reason": told.get("reason")}
        ledger.add(OUTCOMES, [{**entry, "content": json.dumps(told, ensure_ascii=False, sort_keys=True)}])
        ledger.note("outcome", case_id or "no case", told)
        fresh += 1
        if case_id is not None:
            decide(ledger, case_id)
    return fresh


def decide(ledger: Ledger, case_id: str) -> None:
    """Set a case's status by its latest visit that settled something; open while visits contradict each other."""
    visits = visits_by_case(ledger, OUTCOMES.c.case_id == case_id)[case_id]
    this, last = CASES.c.case_id == case_id, deciding(visits, DECISIVE)
    if contradict(visits):
        ledger.change(CASES, this, status="open", decided=None, why="conflict")
        ledger.note("conflict", case_id, {"outcomes": [visit["number"] for visit in standing(visits)]})
    elif last is not None:
        ledger.change(CASES, this, status=last["outcome"], decided=last["visited"], why="outcome")


def visits_by_case(ledger: Ledger, *where: Any) -> dict[str, list[dict[str, Any]]]:
    """Case -> all that was said of visits to it, with the number of each, in the order they were recorded."""
    visits: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(ledger.rows(OUTCOMES, *where), key=lambda row: row["number"]):
        if row["case_id"]:
            visits.setdefault(row["case_id"], []).append({**json.loads(row["content"]), "number": row["number"]})
    return visits


def standing(visits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Visits, in the order they were recorded, from the last one on that settles what was said before."""
    settled = max((at for at, visit in enumerate(visits) if visit.get("settles") == "yes"), default=0)
    return visits[settled:]


def deciding(visits: list[dict[str, Any]], outcomes: tuple[str, ...]) -> dict[str, Any] | None:
    """The latest standing visit with one of the outcomes; None where there is none."""
    said = [visit for visit in standing(visits) if visit["outcome"] in outcomes]
    return max(said, key=lambda visit: (visit["visited"], visit["number"]), default=None)


def contradict(visits: list[dict[str, Any]]) -> bool:
    """Whether visits, in the order they were recorded, contradict each other and none has settled it.

    One confirms what another refutes, and neither is simply the later word: they were there on the same day, or others
    were there within `SAME_STATE_DAYS`. One inspector who comes again corrects himself.
    """
    said = [visit for visit in standing(visits) if visit["outcome"] in CONCLUSIVE]
    pairs = ((one, other) for at, one in enumerate(said) for other in said[:at])
    return any(one["outcome"] != other["outcome"] and same_state(one, other) for one, other in pairs)


def same_state(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two visits must have found the same, and neither's inspector is the other's."""
    apart = abs((date.fromisoformat(one["visited"]) - date.fromisoformat(other["visited"])).days)
    who = [" ".join(str(visit.get("inspector") or "").casefold().split()) for visit in (one, other)]
    return apart == 0 or (apart <= SAME_STATE_DAYS and who[0] != who[1])


def conflicts(ledger: Ledger) -> pd.DataFrame:
    """Every visit to a case whose visits contradict each other: one row a visit, case by case, in order recorded."""
    rows = [
        {**visit, "case_id": case_id, "photos": listed_photos(visit)}
        for case_id, visits in sorted(visits_by_case(ledger).items())
        if contradict(visits)
        for visit in visits
    ]
    return pd.DataFrame(rows, columns=list(CONFLICTS)).astype(object)


def listed_photos(visit: dict[str, Any]) -> str:
    """Names and hashes of a visit's photos, for a table."""
    return "; ".join(f"{one['name']} sha256 {one['sha256']}" for one in visit.get("photos") or [])


def lessons(ledger: Ledger) -> list[Lesson]:
    """Every case with an outcome no other contradicts, beside what the last run before the visit said of it."""
    days = {row["run"]: row["as_of"] for row in ledger.rows(RUNS)}
    sightings: dict[str, list[dict[str, Any]]] = {}
    for row in ledger.rows(SIGHTINGS):
        sightings.setdefault(row["case_id"], []).append(row)
    visits = {
        case_id: last
        for case_id, said in visits_by_case(ledger).items()
        if not contradict(said) and (last := deciding(said, CONCLUSIVE)) is not None
    }
    taught = []
    for case_id, visit in sorted(visits.items(), key=lambda item: item[1]["number"]):
        seen = sightings.get(case_id, [])
        before = [row for row in seen if days.get(row["run"], "") <= visit["visited"]]
        if seen:
            taught.append(lesson(before[-1] if before else seen[0], visit))
    return taught


def lesson(sighting: dict[str, Any], visit: dict[str, Any]) -> Lesson:
    """One sighting and the visit that followed it."""
    terms = tuple(Term(**term) for term in json.loads(sighting["terms"]))
    confirmed = visit["outcome"] == "confirmed"
    return Lesson(sighting["kind"], terms, sighting["against"], sighting["probability"], confirmed, visit.get("found"))


def outcome_table(ledger: Ledger) -> pd.DataFrame:
    """All outcomes with everything they say, in the order they were recorded."""
    rows = sorted(ledger.rows(OUTCOMES), key=lambda row: row["number"])
    said = [json.loads(row["content"]) | {"case_id": row["case_id"]} for row in rows]
    return pd.DataFrame(said, columns=list(OUTCOMES_TABLE.columns))
