"""The same site keeps its id from run to run: through growth, merging and splitting, and whatever was decided of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from illegalmining.cases.ledger import CASES as KNOWN
from illegalmining.cases.ledger import SIGHTINGS, Ledger
from illegalmining.cases.sites import MINE_KINDS
from illegalmining.errors import InputError
from illegalmining.tables import CASES

SETTLED = ("refuted", "closed")


@dataclass(frozen=True)
class IdentityParameters:
    """When two runs' cases are the same site.

    near_m: outlines at most this far apart, m. visit_error: probability that an inspector's written word is wrong
    (assumed; no published figure).
    """

    near_m: float = 60.0
    visit_error: float = 0.01


@dataclass(frozen=True)
class Continuation:
    """How a run's cases (by position) continue known ones. former: position -> id. merged: id -> position of the case
    it has grown into. parted: position -> id of the case it parted from."""

    former: dict[int, str] = field(default_factory=dict)
    merged: dict[str, int] = field(default_factory=dict)
    parted: dict[int, str] = field(default_factory=dict)


def continuation(cases: gpd.GeoDataFrame, known: pd.DataFrame, parameters: IdentityParameters) -> Continuation:
    """Match cases to known ones, each at most once.

    A mine's offence is the known one of the same kind and mine. Everything else is known by its place: of all pairs
    of outlines within `near_m`, first those of one kind, then those that overlap most. A known case left over whose
    ground lies in a case that got another id has merged into it; a case left over on the ground of a known one has
    parted from it.
    """
    found = Continuation()
    of_mine = {
        (row.kind, row.mine_id): row.case_id for row in known.itertuples() if row.kind in MINE_KINDS and row.mine_id
    }
    for position, (kind, mine_id) in enumerate(zip(cases["kind"], cases["mine_id"], strict=True)):
        case_id = of_mine.get((kind, mine_id))
        if case_id is not None and case_id not in found.former.values():
            found.former[position] = case_id
    pairs = near_pairs(cases, known, parameters.near_m)
    taken = set(found.former.values())
    for pair in pairs.itertuples():
        if pair.position not in found.former and pair.case_id not in taken:
            found.former[pair.position] = pair.case_id
            taken.add(pair.case_id)
    for pair in pairs[pairs["overlap"] > 0].itertuples():
        if pair.case_id not in taken:
            found.merged.setdefault(pair.case_id, pair.position)
        elif pair.position not in found.former:
            found.parted.setdefault(pair.position, pair.case_id)
    return found


def near_pairs(cases: gpd.GeoDataFrame, known: pd.DataFrame, near_m: float) -> pd.DataFrame:
    """Pairs of a case and a known one that may be the same place, best first: position, case_id, overlap."""
    places = known[~known["kind"].isin(MINE_KINDS)]
    outlines = cases.geometry.to_numpy()
    former = shapely.from_wkb(places["geometry"].to_numpy()) if len(places) else np.array([], dtype=object)
    position, other = shapely.STRtree(former).query(outlines, predicate="dwithin", distance=near_m)
    kinds, mines = cases["kind"].to_numpy()[position], cases["mine_id"].to_numpy()[position]
    pairs = pd.DataFrame(
        {
            "position": position,
            "case_id": places["case_id"].to_numpy()[other],
            "stranger": kinds != places["kind"].to_numpy()[other],
            "overlap": shapely.area(shapely.intersection(outlines[position], former[other])),
            "distance": shapely.distance(outlines[position], former[other]),
        }
    )
    whole_mine = np.isin(kinds, MINE_KINDS)  # its outline is a yard: only evidence of the same mine joins it
    pairs = pairs[~whole_mine | ((mines == places["mine_id"].to_numpy()[other]) & (pairs["overlap"] > 0))]
    order = ["stranger", "overlap", "distance", "case_id", "position"]
    return pairs.sort_values(order, ascending=[True, False, True, True, True], ignore_index=True)


def identify(
    ledger: Ledger,
    cases: gpd.GeoDataFrame,
    as_of: date,
    run: int = 1,
    parameters: IdentityParameters | None = None,
) -> gpd.GeoDataFrame:
    """Give every case its identity, its status and its probability after what inspectors found; remember it.

    Parameters
    ----------
    cases : `tables.CASES` with everything but identity.
    run : number of the run, under which what it saw is kept.

    Returns
    -------
    `tables.CASES`, most probable first. A case that was refuted or closed stays so, unless all its evidence is
    younger than the decision: then it is open again, under its old id.
    """
    parameters = parameters or IdentityParameters()
    known = pd.DataFrame(ledger.rows(KNOWN, KNOWN.c.merged_into.is_(None)), columns=[c.name for c in KNOWN.columns])
    by_id = known.set_index("case_id")
    every_id = {row["case_id"] for row in ledger.rows(KNOWN)}
    found = continuation(cases, known, parameters)
    identified = cases.reset_index(drop=True)
    srid = None if cases.crs is None else cases.crs.to_epsg()
    ledger.remove(SIGHTINGS, SIGHTINGS.c.run == run)
    for position, case in enumerate(identified.to_dict("records")):
        former = by_id.loc[found.former[position]] if position in found.former else None
        case_id = new_case_id(case, every_id) if former is None else str(former.name)
        every_id.add(case_id)
        heirs = sorted(one for one, place in found.merged.items() if place == position)
        told = {
            "case_id": case_id,
            "first_reported": first_day(as_of, former, by_id.loc[heirs]),
            "status": status_now(case, former, by_id.loc[heirs]),
            "merged_from": "; ".join(heirs) or None,
            "split_from": found.parted.get(position) if former is None else former["split_from"],
        }
        for name in ("operator_id", "operator"):
            told[name] = case[name] if former is None or former["operator"] is None else former[name]
        settled = {"confirmed": 1 - parameters.visit_error, "refuted": parameters.visit_error}
        told["probability"] = settled.get(told["status"], case["probability"])
        for name, value in told.items():
            identified.at[position, name] = value
        remember(ledger, {**case, **told}, former, as_of, srid)
        ledger.add(SIGHTINGS, [{"run": run, "case_id": case_id, **sighting(case)}])
        for heir in heirs:
            ledger.change(KNOWN, KNOWN.c.case_id == heir, merged_into=case_id)
            ledger.note("merged", heir, {"into": case_id})
    identified["first_reported"] = pd.to_datetime(identified["first_reported"])
    return CASES.checked(ranked(identified))


def sighting(case: dict[str, Any]) -> dict[str, Any]:
    """What the evidence alone said of a case: what a calibration needs."""
    took_place = 1 - json.loads(case["rivals"])["no_activity"]
    terms = [{name: term[name] for name in ("detector", "log_lr", "weight")} for term in json.loads(case["evidence"])]
    return {
        "kind": case["kind"],
        "probability": case["probability"],
        "against": min(1.0, case["probability"] / took_place),
        "terms": json.dumps(terms),
    }


def ranked(cases: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Cases most probable first; ties by id."""
    return cases.sort_values(["probability", "case_id"], ascending=[False, True], ignore_index=True)


def first_day(as_of: date, former: pd.Series | None, heirs: pd.DataFrame) -> pd.Timestamp:
    """The run that first reported a site, or any part of it."""
    days = [as_of.isoformat(), *heirs["first_reported"], *([] if former is None else [former["first_reported"]])]
    return pd.Timestamp(min(days))


def status_now(case: dict[str, Any], former: pd.Series | None, heirs: pd.DataFrame) -> str:
    """Where a case stands: as decided before, open again where all its evidence is younger than the decision."""
    if former is None or former["status"] == "open":
        return "confirmed" if (heirs["status"] == "confirmed").any() else "open"
    if former["status"] in SETTLED:
        by_register = former["why"] == "register"  # the registers accounted for it then, and do no longer
        if by_register or (former["decided"] and case["first_seen"] > pd.Timestamp(former["decided"])):
            return "open"
    return str(former["status"])


def new_case_id(case: dict[str, Any], taken: set[str]) -> str:
    """A short id from what the case is, so that a first run repeated elsewhere gives the same."""
    what = f"{case['kind']}|{case['mine_id']}|{case['first_seen']:%Y-%m-%d}|{case['geometry'].wkt}"
    for attempt in range(1000):
        digest = hashlib.sha256(f"{what}|{attempt}".encode()).hexdigest()[:6].upper()
        case_id = f"{case['first_seen']:%y%m}-{digest}"
        if case_id not in taken:
            return case_id
    raise InputError("the ledger is full of this case's ids: it is damaged; restore it from a backup")


def remember(ledger: Ledger, case: dict[str, Any], former: pd.Series | None, as_of: date, srid: int | None) -> None:
    """Write what a later run needs to know this case again."""
    row = {name: case[name] for name in ("kind", "mine_id", "jurisdiction", "attribution", "operator_id", "operator")}
    row |= {
        "first_reported": f"{case['first_reported']:%Y-%m-%d}",
        "status": case["status"],
        "split_from": case["split_from"],
        "srid": srid,
        "geometry": shapely.to_wkb(case["geometry"]),
    }
    if former is None:
        empty = {"decided": None, "why": None, "merged_into": None}
        ledger.add(KNOWN, [{"case_id": case["case_id"], "last_reported": as_of.isoformat(), **row, **empty}])
        ledger.note("opened", case["case_id"], {"as_of": as_of.isoformat(), "kind": case["kind"]})
        return
    last = max(as_of.isoformat(), former["last_reported"])
    if case["status"] == "open":
        row |= {"decided": None, "why": None}
    ledger.change(KNOWN, KNOWN.c.case_id == case["case_id"], last_reported=last, **row)
    if former["status"] != case["status"] or former["kind"] != case["kind"]:
        was = {"status": former["status"], "kind": former["kind"]}
        ledger.note("changed", case["case_id"], {"was": was, "is": {name: case[name] for name in was}})
