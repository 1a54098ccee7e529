"""Evidence whose mine is known: power, and declared faces that move when or as they should not."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from illegalmining.cases.court import Court
from illegalmining.cases.evidence import Evidence
from illegalmining.cases.verdict import verdicts

# question a detector asks of a known mine -> (kind of offence it speaks to, sentence)
MINE_QUESTIONS = {
    "worked_while_forbidden": ("active_while_shut", "power_forbidden"),
    "moved_to_neighbour": ("active_while_shut", "power_moved"),
    "meter_silent": ("active_while_shut", "power_silent"),
    "mine_like_meter": ("unlicensed", "power_unregistered"),
    "declared_but_idle": ("paper_output", "power_idle"),
    "worked_as_allowed": ("paper_output", "power_working"),
    "declared_face_past_stop": ("hidden_working_face", "face_past_stop"),
    "declared_face_never_moved": ("paper_output", "face_never_moved"),
    "declared_face": ("paper_output", "face_moved"),
}
COUNTER_QUESTIONS = ("worked_as_allowed", "declared_face")


def mine_questions(court: Court, evidence: Evidence) -> pd.DataFrame:
    """What detections say of the mines they name."""
    mines = evidence["mine_id"]
    evidence = evidence.having(
        licence_no=np.array([court.licence_of.get(mine) for mine in mines], dtype=object),
        attribution=[None if mine is None else "named" for mine in mines],
        mine_is_shut=court.is_shut(evidence, mines),
    )
    asked = [np.flatnonzero(evidence["question"] == question) for question in MINE_QUESTIONS]
    return pd.concat(
        [
            answered(court, evidence.taken(places), question)
            for question, places in zip(MINE_QUESTIONS, asked, strict=True)
        ]
    )


def answered(court: Court, evidence: Evidence, question: str) -> pd.DataFrame:
    """What detections that ask one question say."""
    kind, key = MINE_QUESTIONS[question]
    if kind == "paper_output":
        evidence = evidence.taken(np.flatnonzero(declares_output(court, evidence)))
    counted = evidence.table["nights"].replace(0.0, np.nan).fillna(evidence.table["days"]).fillna(0.0)
    text = court.says(
        key,
        evidence,
        status=court.statuses(evidence),
        face=evidence.table["face_id"].fillna("").to_numpy(),
        meter=evidence.table["meter_id"].fillna("").to_numpy(),
        nights=counted.to_numpy().astype(np.int64),
        tonnes=np.nan_to_num(evidence["tonnes"]),
    )
    log_lr = evidence["log_lr"]
    return verdicts(evidence, kind, text, 1.0, log_lr=-np.abs(log_lr) if question in COUNTER_QUESTIONS else log_lr)


def declares_output(court: Court, evidence: Evidence) -> NDArray[np.bool_]:
    """Whether each mine declares tonnes in the months of the evidence beside it."""
    asked = zip(evidence["mine_id"], evidence["first_day"], evidence["last_day"], strict=True)
    found = []
    for mine_id, first, last in asked:
        months = court.declared.get(mine_id, [])
        place = bisect_left(months, first[:7])
        found.append(place < len(months) and months[place] <= last[:7])
    return np.array(found, dtype=bool)
