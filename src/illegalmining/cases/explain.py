"""Everything behind one case: its terms, its rivals, what would change the verdict, what it stands on, its history."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.special import expit, logit

from illegalmining.cases.known import changes, concerns, latest_version, worded
from illegalmining.cases.ledger import AUDIT, CASES, OUTCOMES, RUNS, SIGHTINGS, Ledger, broken_link
from illegalmining.cases.outcomes import contradict
from illegalmining.cases.sites import MINE_KINDS
from illegalmining.errors import InputError

ALARM = 0.5
"""Probability from which a case counts as one."""
REMEDIES = {
    "en": {
        "unlicensed": "a licence for this method in force from {first}, or a renewal applied for before it ran out",
        "beyond_boundary": "a licence in force that covers the {outside:.2f} ha outside, or corners that lie elsewhere",
        "active_while_shut": "an order that lets the mine work between {first} and {last}",
        "hidden_working_face": "a face declared here for {first} to {last}",
        "paper_output": "signs of digging or power drawn between {first} and {last}, or a declaration taken back",
    },
    "zh": {
        "unlicensed": "自{first}起有效的同类采矿许可，或在原许可到期前已受理的延续申请",
        "beyond_boundary": "覆盖界外{outside:.2f}公顷的有效许可，或界址点更正",
        "active_while_shut": "允许该矿在{first}至{last}间生产的批文",
        "hidden_working_face": "在此处申报的{first}至{last}工作面",
        "paper_output": "{first}至{last}间的开挖或用电迹象，或撤回申报",
    },
}
NAMES = {
    "surface": "光学影像",
    "radar": "雷达影像",
    "subsidence": "地表形变",
    "power": "用电",
    "nightlight": "夜间灯光",
}
"""The detectors in Chinese."""


def reckoning(case: dict[str, Any]) -> dict[str, Any]:
    """How the probability of a row of `tables.CASES` comes about, term by term, and what each term is worth.

    The prior is what the terms leave of the published sum, so that it is the run's own, whatever was learned since.
    """
    terms = json.loads(case["evidence"])
    rivals = json.loads(case["rivals"])
    took_place = 1 - rivals["no_activity"]
    total = float(logit(took_place))
    prior = total - sum(term["counted"] for term in terms)
    against = 1 - sum(share for name, share in rivals.items() if name != "no_activity") / (1 - rivals["no_activity"])
    alone = took_place * against
    for term in terms:
        term["probability_without"] = round(float(expit(total - term["counted"])) * against, 4)
    spare = None if against <= ALARM else round(total - float(logit(ALARM / against)), 2)
    return {
        "prior_log_odds": round(prior, 3),
        "base_rate_of": "mine" if case["kind"] in MINE_KINDS else "place",
        "terms": terms,
        "sum_log_odds": round(total, 3),
        "probability_of_activity": round(took_place, 4),
        "probability_against_registers": round(against, 4),
        "probability_by_evidence": round(alone, 4),
        "probability": case["probability"],
        "rivals": rivals,
        "nats_to_spare": spare,
    }


def turning_points(case: dict[str, Any], sums: dict[str, Any], language: str) -> list[str]:
    """What would change the verdict, in words: evidence, registers, a visit."""
    outside = case.get("area_outside_m2")
    remedy = REMEDIES[language][case["kind"]].format(
        first=f"{case['first_seen']:%Y-%m-%d}",
        last=f"{case['last_seen']:%Y-%m-%d}",
        outside=0.0 if outside is None or np.isnan(outside) else outside / 10_000,
    )
    needed = [
        term
        for term in sums["terms"]
        if (sums["probability_by_evidence"] >= ALARM) != (term["probability_without"] >= ALARM)
    ]
    if language == "zh":
        points = [f"登记变化：{remedy}"]
        points += [
            f"去掉{NAMES[term['detector']]}（{term['detection_id']}）：概率{term['probability_without']:.0%}"
            for term in needed
        ]
        if sums["nats_to_spare"] is not None and sums["nats_to_spare"] > 0:
            points.append(f"反证超过{sums['nats_to_spare']:.1f}奈特")
        return [*points, "现场核查的书面结论"]
    points = [f"in the registers: {remedy}"]
    points += [
        f"without {term['detector']} ({term['detection_id']}): {term['probability_without']:.0%}" for term in needed
    ]
    if sums["nats_to_spare"] is not None and sums["nats_to_spare"] > 0:
        points.append(f"evidence against it of more than {sums['nats_to_spare']:.1f} nats")
    return [*points, "the written outcome of a visit"]


def history(ledger: Ledger, case_id: str) -> dict[str, Any]:
    """What the ledger knows of a case.

    Raises
    ------
    InputError
        There is no such case.
    """
    found = ledger.rows(CASES, CASES.c.case_id == case_id)
    if not found:
        raise InputError(f"{case_id}: the ledger of {ledger.district} knows no such case: see out/<as_of>/cases.csv")
    runs = {row["run"]: row for row in ledger.rows(RUNS)}
    seen = [row for row in ledger.rows(SIGHTINGS, SIGHTINGS.c.case_id == case_id) if row["run"] in runs]
    case = found[0]
    case.pop("geometry")
    outcomes = sorted(ledger.rows(OUTCOMES, OUTCOMES.c.case_id == case_id), key=lambda row: row["number"])
    audit = ledger.rows(AUDIT, AUDIT.c.subject == case_id)
    return {
        "standing": case,
        "runs": [
            {"as_of": runs[row["run"]]["as_of"], "kind": row["kind"], "probability": row["probability"]} for row in seen
        ],
        "outcomes": [json.loads(row["content"]) for row in outcomes],
        "conflict": contradict([json.loads(row["content"]) for row in outcomes]),
        "audit": [{name: row[name] for name in ("number", "at", "what", "content", "hash")} for row in audit],
        "audit_whole": broken_link(ledger) is None,
        "first_version": runs[seen[0]["run"]]["register_version"] if seen else latest_version(ledger),
    }


def registers_since(ledger: Ledger, first_version: int, mine_id: Any, licences: list[str]) -> list[str]:
    """How the registers' rows about a case's mine and licences differ between its first run and now."""
    return [
        worded(change)
        for change in changes(ledger, first_version, latest_version(ledger))
        if concerns(change, mine_id, None) or any(concerns(change, None, number) for number in licences)
    ]
