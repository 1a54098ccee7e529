"""Ground laid bare: outside every licence, over a boundary, in a shut mine, or lawful."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from illegalmining.cases.boundary import areas_outside
from illegalmining.cases.court import HECTARE, Court
from illegalmining.cases.evidence import Evidence, growth
from illegalmining.cases.ground import NONE, Grounds
from illegalmining.cases.verdict import JudgingParameters, verdicts
from illegalmining.cases.wording import SENSORS


def excavations(court: Court, evidence: Evidence) -> pd.DataFrame:
    """What excavations say, by the licences in force when they were dug."""
    evidence = named(court, evidence)
    grounds = court.licensed(evidence, "opencast")
    attached, apart = np.flatnonzero(grounds.row != NONE), np.flatnonzero(grounds.row == NONE)
    return pd.concat(
        [
            *licensed(court, evidence.taken(attached), grounds.taken(attached)),
            *unlicensed(court, evidence.taken(apart)),
        ]
    )


def buildings(court: Court, evidence: Evidence) -> pd.DataFrame:
    """Ground that has changed, but now looks like buildings: against a mine, whatever the licence."""
    evidence = named(court, evidence).having(mine_id=None, licence_no=None, attribution=None, mine_is_shut=False)
    return verdicts(evidence, "unlicensed", court.says("building", evidence, sensor=evidence["sensor"]), 1.0)


def named(court: Court, evidence: Evidence) -> Evidence:
    """Evidence with its sensor in the reader's language."""
    words = {detector: name[court.language] for detector, name in SENSORS.items()}
    return evidence.having(sensor=[words[detector] for detector in evidence["detector"]])


def licensed(court: Court, evidence: Evidence, grounds: Grounds) -> list[pd.DataFrame]:
    """Excavations on or beside a licence in force: how much lies outside, and was the mine allowed to work."""
    position = court.parameters.position
    evidence = court.laid_to(evidence, grounds.row)
    sd = np.hypot(position.image_sd_m, grounds.register_sd_m[grounds.ground])
    least = np.full(len(evidence), position.outside_m2)
    outside = areas_outside(evidence.outlines, grounds.ground, grounds.shapes, sd, least, position)
    evidence = evidence.having(**outside.columns, licences=evidence["licence_no"] + court.places.further(grounds))
    p = outside.probability
    within = evidence.taken(np.flatnonzero((p < 1) & evidence.table["mine_id"].notna()))
    return [beyond(court, evidence.taken(np.flatnonzero(p > 0))), *inside(court, within)]


def beyond(court: Court, evidence: Evidence) -> pd.DataFrame:
    """Excavations of which a part lies, or may lie, outside the licence."""
    p = evidence["p_outside"]
    text = court.says(
        "excavation_beyond",
        evidence,
        sensor=evidence["sensor"],
        licence=evidence["licences"],
        outside=evidence["area_outside_m2"] / HECTARE,
        p=p,
    )
    return verdicts(evidence, "beyond_boundary", text, p, rival("inside_licence", 1 - p), outside=True)


def inside(court: Court, evidence: Evidence) -> list[pd.DataFrame]:
    """Excavations within their licence: an offence where dug while the mine was shut, else proof that it works."""
    dug = dug_while_shut(court, evidence) >= court.parameters.position.outside_m2
    stopped, lawful = evidence.taken(np.flatnonzero(dug)), evidence.taken(np.flatnonzero(~dug))
    text = court.says("excavation_shut", stopped, sensor=stopped["sensor"], status=court.statuses(stopped))
    p = 1 - stopped["p_outside"]
    shut = verdicts(stopped, "active_while_shut", text, p, rival("outside_licence", 1 - p))
    text = court.says("excavation_lawful", lawful, sensor=lawful["sensor"])
    p, against = 1 - lawful["p_outside"], -np.abs(lawful["log_lr"])
    works = verdicts(lawful, "paper_output", text, p, rival("outside_licence", 1 - p), log_lr=against)
    return [shut, works]


def rival(name: str, share: NDArray[np.float64]) -> NDArray[np.object_]:
    """The one other reading there is, as JSON; none where it has no share."""
    shares, place = np.unique(share, return_inverse=True)
    texts = [json.dumps({name: one} if one > 0 else {}) for one in shares.tolist()]
    return np.array(texts, dtype=object)[place]


def dug_while_shut(court: Court, evidence: Evidence) -> NDArray[np.float64]:
    """The area of each excavation first seen dug on days on which its mine had been shut for a while, m2."""
    numbers = court.shut.numbers_of(evidence["mine_id"])
    asked = np.flatnonzero(numbers >= 0)
    dug = np.zeros(len(evidence))
    parts = growth(evidence.taken(asked))
    mine, before = numbers[asked][parts.of], parts.days - court.parameters.onset_margin_days
    shut = court.shut.is_shut_each(mine, parts.days) & court.shut.is_shut_each(mine, before)
    dug[asked] = np.bincount(parts.of, parts.areas * shut, minlength=len(asked))
    return dug


def unlicensed(court: Court, evidence: Evidence) -> list[pd.DataFrame]:
    """Excavations attached to no licence in force; near a yard they may be the yard's own works."""
    lapsed = court.places.lapsed(evidence.outlines, evidence["first"], evidence["worked"])
    evidence = court.laid_to(evidence, lapsed)
    expired = lapsed != NONE
    yard = court.places.near_yard(evidence.outlines, court.parameters.yard_m) & ~expired
    found = []
    for key, chosen, beside_yard in (
        ("excavation_expired", expired, False),
        ("excavation_unlicensed", yard, True),
        ("excavation_unlicensed", ~expired & ~yard, False),
    ):
        bare = evidence.taken(np.flatnonzero(chosen))
        readings = rivals_of_bare_ground(court.parameters, beside_yard)
        text = court.says(key, bare, sensor=bare["sensor"], licence=bare["licence_no"])
        found.append(verdicts(bare, "unlicensed", text, 1.0 - sum(readings.values()), json.dumps(readings)))
    return found


def rivals_of_bare_ground(parameters: JudgingParameters, beside_yard: bool) -> dict[str, float]:
    """What else ground laid bare outside every licence may be; whatever is left is mining."""
    natural = {"construction": parameters.construction, "nature": parameters.nature}
    if not beside_yard:
        return natural
    left = 1 - parameters.yard_works
    return {"yard_works": parameters.yard_works} | {name: share * left for name, share in natural.items()}
