"""What is concluded from one detection, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
from shapely.geometry.base import BaseGeometry

from illegalmining.cases.boundary import Outside, Position


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


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one detection says. log_lr: nats for the offence (negative: against it). p_against: 0-1.

    rivals: other readings of the same ground and their probabilities, with p_against summing to 1. attribution: how
    the mine is known (`named`, `licence`, `near`).
    """

    detection_id: str
    detector: str
    kind: str
    log_lr: float
    p_against: float
    first_seen: pd.Timestamp
    last_seen: pd.Timestamp
    area_m2: float
    says: str
    geometry: BaseGeometry
    mine_id: str | None = None
    licence_no: str | None = None
    outside: Outside | None = None
    depth_m: float | None = None
    mine_is_shut: bool = False
    attribution: str | None = None
    rivals: tuple[tuple[str, float], ...] = ()

    @property
    def area_outside_m2(self) -> float | None:
        """Median area outside the licence, m2."""
        return None if self.outside is None else self.outside.area_m2
