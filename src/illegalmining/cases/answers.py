"""Who has to answer for what: deadlines by jurisdiction, repeat offenders, candidates for the untrustworthy list."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import geopandas as gpd
import pandas as pd

from illegalmining.cases.ledger import CASES, Ledger
from illegalmining.cases.outcomes import outcome_table

ANSWERS = (
    "jurisdiction",
    "name",
    "cases",
    "open",
    "confirmed",
    "refuted",
    "closed",
    "inconclusive_visits",
    "overdue",
    "oldest_overdue",
    "days_overdue",
    "next_due",
)
OFFENDERS = (
    "operator_id",
    "operator",
    "confirmed",
    "open",
    "mines",
    "kinds",
    "first",
    "last",
    "repeat_offender",
    "cases",
)
CANDIDATES = (
    "operator_id",
    "operator",
    "confirmed",
    "kinds",
    "last_visited",
    "minerals",
    "volume_m3",
    "basis",
    "cases",
)
BY_PLACE_ONLY = "near"
"""How a case is attributed when nothing but nearness names the operator."""


def answer_due(first_reported: str, answer_days: int) -> date:
    """The last day for an answer."""
    return date.fromisoformat(first_reported) + timedelta(days=answer_days)


def standing(ledger: Ledger) -> pd.DataFrame:
    """Every case that lives on, as the ledger has it."""
    rows = ledger.rows(CASES, CASES.c.merged_into.is_(None))
    return pd.DataFrame(rows, columns=[column.name for column in CASES.columns])


def answers(ledger: Ledger, jurisdictions: gpd.GeoDataFrame, as_of: date, answer_days: int) -> pd.DataFrame:
    """What each jurisdiction owes: one row a jurisdiction that has a case, in order of code."""
    cases, visits = standing(ledger), outcome_table(ledger)
    names = dict(zip(jurisdictions["code"], jurisdictions["name"], strict=True))
    visited = visits.loc[visits["outcome"] == "inconclusive", "case_id"].value_counts()
    rows: list[dict[str, Any]] = []
    for code, mine in cases.assign(jurisdiction=cases["jurisdiction"].fillna("")).groupby("jurisdiction"):
        due = [answer_due(day, answer_days) for day in mine.loc[mine["status"] == "open", "first_reported"]]
        late = [day for day in due if day < as_of]
        rows.append(
            {
                "jurisdiction": code,
                "name": names.get(code, ""),
                "cases": len(mine),
                **{word: int((mine["status"] == word).sum()) for word in ("open", "confirmed", "refuted", "closed")},
                "inconclusive_visits": int(visited.reindex(mine["case_id"], fill_value=0).sum()),
                "overdue": len(late),
                "oldest_overdue": min(late).isoformat() if late else "",
                "days_overdue": (as_of - min(late)).days if late else 0,
                "next_due": min((day for day in due if day >= as_of), default=None),
            }
        )
    return pd.DataFrame(rows, columns=list(ANSWERS))


def culprits(ledger: Ledger) -> pd.DataFrame:
    """Cases with the operator that answers for each: who the visit named, else who the registers name.

    An operator known by nothing but nearness is left out: a neighbour's pit is no offence of theirs. Identity is the
    registration number; without one, the name as written.
    """
    cases, visits = standing(ledger), outcome_table(ledger)
    named = visits.dropna(subset="operator").drop_duplicates("case_id", keep="last").set_index("case_id")
    for column in ("operator_id", "operator"):
        by_register = cases[column].where(cases["attribution"] != BY_PLACE_ONLY)
        found = cases["case_id"].map(named[column])
        cases[column] = found.where(cases["case_id"].isin(named.index), by_register)
    cases["party"] = cases["operator_id"].fillna(cases["operator"])
    return cases.dropna(subset="party")


def offenders(ledger: Ledger) -> pd.DataFrame:
    """Operators by confirmed cases, most first; a repeat offender has two or more."""
    rows = []
    for _, mine in culprits(ledger).groupby("party"):
        sure = mine[mine["status"] == "confirmed"]
        if sure.empty:
            continue
        rows.append(
            {
                "operator_id": first_text(sure["operator_id"]),
                "operator": listed(sure["operator"]),
                "confirmed": len(sure),
                "open": int((mine["status"] == "open").sum()),
                "mines": listed(sure["mine_id"]),
                "kinds": listed(sure["kind"]),
                "first": sure["first_reported"].min(),
                "last": sure["first_reported"].max(),
                "repeat_offender": "yes" if len(sure) > 1 else "no",
                "cases": listed(sure["case_id"]),
            }
        )
    rows.sort(key=lambda row: (-row["confirmed"], row["operator_id"], row["operator"]))
    return pd.DataFrame(rows, columns=list(OFFENDERS))


def candidates(ledger: Ledger) -> pd.DataFrame:
    """Operators who may belong on the list of seriously untrustworthy parties: from confirmed cases alone.

    A proposal for a person to decide, with what the visits give as its basis.
    """
    visits = outcome_table(ledger)
    visits = visits[visits["outcome"] == "confirmed"]
    rows = []
    for _, mine in culprits(ledger).query("status == 'confirmed'").groupby("party"):
        proof = visits[visits["case_id"].isin(mine["case_id"])]
        rows.append(
            {
                "operator_id": first_text(mine["operator_id"]),
                "operator": listed(mine["operator"]),
                "confirmed": len(mine),
                "kinds": listed(mine["kind"]),
                "last_visited": proof["visited"].max(),
                "minerals": listed(proof["mineral"]),
                "volume_m3": proof["volume_m3"].astype(float).sum(min_count=1),
                "basis": listed(proof["penalty_basis"]),
                "cases": listed(mine["case_id"]),
            }
        )
    rows.sort(key=lambda row: (-row["confirmed"], row["operator_id"], row["operator"]))
    return pd.DataFrame(rows, columns=list(CANDIDATES))


def first_text(values: pd.Series) -> str:
    """The first value there is, '' for none."""
    return next((str(value) for value in values if isinstance(value, str)), "")


def listed(values: pd.Series) -> str:
    """The values there are, each once, in order."""
    return "; ".join(sorted({str(value) for value in values if isinstance(value, str)}))
