"""The evidence of a case in plain words, what speaks against it, and what to look at on the ground."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.cases.explain import reckoning, turning_points
from illegalmining.cases.fuse import UNCALIBRATED
from illegalmining.publish.casefile import terms
from illegalmining.publish.dossiercase import CaseMatter
from illegalmining.publish.dossierfacts import LONG, place
from illegalmining.publish.sheet import breakable, hectares, percent
from illegalmining.publish.text import say

EVEN, MANY = 1.05, 1000.0
"""Odds within this of one are even; beyond the other they are not told more closely."""
MOST_REMARKS = 8
CHECKS = {
    "hidden_working_face": (
        "seal", "fresh_dust", "air", "fan", "belt", "spilled_coal", "people", "drawings", "water", "cracks",
        "explosives", "meter",
    ),
    "active_while_shut": (
        "order", "seal", "meter", "other_supply", "fan", "belt", "fresh_dust", "spilled_coal", "people", "water",
        "explosives", "trucks",
    ),
    "beyond_boundary": (
        "corners", "outside", "elevation", "air", "machines", "haul_road", "spilled_coal", "trucks", "drawings",
        "explosives", "meter",
    ),
    "unlicensed": (
        "permit", "renewal", "machines", "haul_road", "outside", "camp", "other_supply", "meter", "trucks",
        "explosives", "cracks",
    ),
    "paper_output": (
        "weighbridge", "origin", "face_idle", "fresh_dust", "belt", "fan", "meter", "trucks", "people", "drawings",
        "explosives",
    ),
}  # fmt: skip
"""What to look at for each kind of case, the most telling first."""
LEARNED = re.compile(r"calibrated on (\d+) outcome\(s\)")
"""What `FusionParameters.calibration` says once outcomes have taught it something."""
SENSORS = ("optical", "radar", "displacement", "power")


def evidence(matter: CaseMatter) -> dict[str, Any]:
    """The sum behind the probability, line by line, and what every term of it means."""
    language, case = matter.language, matter.case
    told = {"terms": [], "sums": [], "line": ""}
    found = terms(case["evidence"])
    try:
        sums = reckoning(case)
    except (TypeError, ValueError, KeyError, ZeroDivisionError):
        rows = [term_row(term, term["nats"], "–", "", language) for term in found]
        return {**told, "terms": rows, "line": say("terms_unreadable", language)}
    counted = {term.get("detection_id"): term for term in sums["terms"]}
    rows = []
    for term in sorted(found, key=lambda one: -one["nats"]):
        part = counted.get(term["id"], {})
        nats = float(part.get("counted", term["nats"]))
        without = percent(part["probability_without"]) if "probability_without" in part else "–"
        raw = say("raw_nats", language, raw=f"{term['nats']:+.1f}", weight=f"{part.get('weight', 1.0):g}")
        rows.append(term_row(term, nats, without, raw, language))
    what = say(f"what_{sums['base_rate_of']}", language)
    lines = [
        [say("prior_line", language, what=what), signed(sums["prior_log_odds"]), ""],
        [
            say("sum_line", language),
            signed(sums["sum_log_odds"]),
            percent(sums["probability_of_activity"]),
        ],
        [say("against_line", language), "", percent(sums["probability_against_registers"])],
        [say("together_line", language), "", percent(sums["probability_by_evidence"])],
        [say("published_line", language), "", percent(case["probability"])],
    ]
    decided = case["status"] in ("confirmed", "refuted")
    return {**told, "terms": rows, "sums": lines, "line": say("published_decided", language) if decided else ""}


def signed(nats: float) -> str:
    """Nats with their sign; nothing has none."""
    said = f"{nats:+.2f}"
    return "0.00" if said in ("-0.00", "+0.00") else said.replace("-", "−")


def term_row(term: dict[str, Any], nats: float, without: str, raw: str, language: str) -> dict[str, Any]:
    """One term: who says it, what, how many nats, and what they mean."""
    return {
        "detector": term["detector"],
        "name": say(f"detector_{term['detector']}", language),
        "id": breakable(term["id"]),
        "says": breakable(term["says"], LONG),
        "nats": signed(nats),
        "raw": raw,
        "means": odds(nats, language),
        "without": without,
        "against": nats < 0,
    }


def odds(nats: float, language: str) -> str:
    """Nats in words: how many times better the data fit one reading than the other."""
    times = math.exp(min(abs(nats), math.log(MANY) + 1))
    if times < EVEN:
        return say("odds_even", language)
    side = "for" if nats > 0 else "against"
    if times > MANY:
        return say(f"odds_{side}_many", language)
    return say(f"odds_{side}", language, times=f"{times:.2g}" if times < 100 else f"{times:.0f}")


def against(matter: CaseMatter) -> dict[str, Any]:
    """Rivals with their probabilities, counter-evidence, what the probability rests on, and blind spots."""
    language, case = matter.language, matter.case
    lines = [
        say("counter_term", language, nats=f"{term['nats']:+.1f}", says=breakable(term["says"], LONG))
        for term in terms(case["evidence"])
        if term["nats"] < 0
    ]
    lines = lines or [say("no_counter", language)]
    kinds = {term["detector"] for term in terms(case["evidence"])}
    if len(kinds) == 1:
        lines.append(say("single_kind", language, detector=say(f"detector_{next(iter(kinds))}", language)))
    lines += seen_here(matter)
    have = {source.get("sensor") for source in matter.whole.sources}
    missing = [say(f"sensor_{name}", language) for name in SENSORS if name not in have]
    if missing:
        lines.append(say("sensor_missing", language, sensors=", ".join(missing)))
    if isinstance(case.get("calibration"), str):
        lines.append(say("uncalibrated", language, calibration=rests_on(case["calibration"], language)))
    return {
        "rivals": rivals(case, language),
        "lines": lines,
        "turning": turning(case, language),
        "remarks": [breakable(remark, LONG) for remark in matter.whole.remarks[:MOST_REMARKS]],
    }


def rests_on(calibration: str, language: str) -> str:
    """What a probability rests on, in the reader's language."""
    if calibration == UNCALIBRATED:
        return say("prior_only", language)
    learned = LEARNED.fullmatch(calibration)
    return say("prior_learned", language, count=learned[1]) if learned else breakable(calibration, LONG)


def rivals(case: dict[str, Any], language: str) -> list[list[str]]:
    """Every other reading of the same evidence, most probable first."""
    try:
        shares = json.loads(case["rivals"])
        ordered = sorted(shares.items(), key=lambda item: (-float(item[1]), item[0]))
    except (TypeError, ValueError, KeyError, AttributeError):
        return []
    known = {name: say(f"rival_{name}", language) for name, _ in ordered if name in RIVALS}
    return [[breakable(known.get(name, name.replace("_", " "))), percent(float(share))] for name, share in ordered]


RIVALS = ("no_activity", "construction", "nature", "inside_licence", "outside_licence", "lawful_work")


def turning(case: dict[str, Any], language: str) -> list[str]:
    """What would change the verdict."""
    try:
        points = turning_points(case, reckoning(case), language)
    except (TypeError, ValueError, KeyError, ZeroDivisionError):
        return []
    return [breakable(point, LONG) for point in points]


def seen_here(matter: CaseMatter) -> list[str]:
    """What could have been seen at the very place."""
    coverage, language = matter.whole.coverage, matter.language
    if coverage is None:
        return [say("coverage_unknown", language)]
    at = place(matter)
    value = float(coverage.sel(x=at.x, y=at.y, method="nearest"))
    if not np.isfinite(value):
        return [say("blind_here", language)]
    return [say("smallest_here", language, area=hectares(value, language))]


def checks(matter: CaseMatter) -> list[str]:
    """What to look at on the ground, by the kind of case."""
    return [say(f"check_{name}", matter.language) for name in CHECKS[matter.case["kind"]]]


def visits(matter: CaseMatter) -> list[list[str]]:
    """Visits the ledger holds, in order."""
    return [
        [
            breakable(visit.get("visited")),
            say(f"outcome_{visit['outcome']}", matter.language),
            breakable(visit.get("inspector")),
            breakable(visit.get("reason"), LONG),
            breakable(photos(visit), LONG),
        ]
        for visit in matter.visits
    ]


def photos(visit: dict[str, Any]) -> str:
    """The photos of a visit, each with the start of its hash."""
    kept = visit.get("photos") or []
    return "; ".join(f"{one['name']} ({one['sha256'][:12]}…)" for one in kept if pd.notna(one["name"]))
