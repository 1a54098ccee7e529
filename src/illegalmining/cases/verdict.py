"""What is concluded from detections, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from illegalmining.cases.boundary import Position
from illegalmining.cases.evidence import Evidence

Numbers = NDArray[np.float64]
PARTS_OUTSIDE = ("p_outside", "area_outside_m2", "area_outside_low_m2", "area_outside_high_m2")


@dataclass(frozen=True)
class JudgingParameters:
    """How detections are held against registers.

    position: how well outlines and corners are known. attach_m: an excavation this near a licence in force is that
    licence's, m. yard_m: ground works this near a mine's yard may be the yard's own, m. yard_works: the probability
    that they are. construction, nature: the probability that ground laid bare for good outside every licence is a
    building site, or a landslide or river bar, before outcomes say more (kept low: the detectors have weighed what
    they can tell apart; assumed, no published share). operator_m: the neighbourhood in which an excavation has a
    likely operator, m (the Indian MSS looks 500 m around leases). onset_margin_days: how late a sensor may notice what
    was dug before an order, days; work counts as done while shut only after that. face_outside_share: the share of a
    face that must lie outside before it leaves its licence. seam_m: how far beyond an elevation limit still is the
    seam's own height, m. deepest_m: how deep faces are dug at most, m below ground. depth_share: standard deviation of
    a depth of which no interval is known, as a share of it (tan beta spans 1.5-2.4, science.md). shut_share: share of
    days forbidden from which a mine counts as shut.
    """

    position: Position = field(default_factory=Position)
    attach_m: float = 60.0
    yard_m: float = 100.0
    yard_works: float = 0.6
    construction: float = 0.02
    nature: float = 0.01
    operator_m: float = 500.0
    onset_margin_days: int = 20
    face_outside_share: float = 0.15
    seam_m: float = 5.0
    deepest_m: float = 1500.0
    depth_share: float = 0.25
    shut_share: float = 0.5


def verdicts(
    evidence: Evidence,
    kind: str,
    says: list[str],
    p_against: Numbers | float,
    rivals: NDArray[np.object_] | str = "{}",
    *,
    log_lr: Numbers | None = None,
    outside: bool = False,
) -> pd.DataFrame:
    """What detections say of one kind of offence: columns of `tables.JUDGEMENTS`, labelled as the evidence is.

    p_against: (n,) or one for all, 0-1. rivals: JSON, the probability of each other reading. log_lr: (n,) nats for the
    offence, where they are not the evidence's own. outside: whether the evidence's columns of `Outside` speak to it.
    """
    columns = {
        "kind": kind,
        "log_lr": evidence["log_lr"] if log_lr is None else log_lr,
        "p_against": p_against,
        "says": np.array(says, dtype=object),
        "rivals": rivals,
        **{name: evidence[name] if outside else np.nan for name in PARTS_OUTSIDE},
        **{name: evidence[name] for name in ("depth_m", "mine_id", "licence_no", "attribution", "mine_is_shut")},
    }
    return pd.DataFrame(columns, index=evidence.table.index)
