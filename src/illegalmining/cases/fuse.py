"""Judgements to cases: evidence of one site gathered, added in nats, turned into a probability.

logit P = logit P0 + sum of w_k * ln LR_k (science.md), times the probability that the registers forbid what was seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, logit
from shapely import STRtree, distance, union_all
from shapely.geometry.base import BaseGeometry

from illegalmining.cases.verdict import Judgement
from illegalmining.tables import CASES, KINDS

MINE_KINDS = ("active_while_shut", "paper_output")
UNCALIBRATED = "uncalibrated: prior only"


@dataclass(frozen=True)
class FusionParameters:
    """How evidence is added.

    mine_base_rate: probability that a mine a detector asks about offends, before its evidence is weighed (India's
    satellite triggers: 48 of 296 confirmed on the ground, science.md). place_base_rate: the same for a place: even
    odds, because a detector that looked everywhere has already paid for it in nats. artefact: probability that
    something no model knows of mimics an offence; bounds what one detector can say to ln(1/artefact) nats.
    further_weight: weight of every detector for the offence after the strongest, whose evidence is partly shared (w_k
    <= 1, science.md); what speaks against counts in full. scale: correction of a detector's bounded nats learned from
    outcomes, 1 where there are none. shift: correction of a kind's prior log-odds learned from outcomes, nats.
    learned_from: how many outcomes taught these two. join_m: outlines of different detectors nearer than this are one
    site, m. touch_m: outlines of one detector, which has already drawn sites apart, are one site only when they are
    this near, m. least: candidates below this probability are not cases.
    """

    mine_base_rate: float = 48 / 296
    place_base_rate: float = 0.5
    artefact: float = 0.02
    further_weight: float = 0.8
    scale: dict[str, float] = field(default_factory=dict)
    shift: dict[str, float] = field(default_factory=dict)
    learned_from: int = 0
    join_m: float = 40.0
    touch_m: float = 5.0
    least: float = 0.20

    def prior(self, kind: str) -> float:
        """Log-odds of an offence of a kind before any evidence."""
        base_rate = self.mine_base_rate if kind in MINE_KINDS else self.place_base_rate
        return float(logit(base_rate)) + self.shift.get(kind, 0.0)

    @property
    def calibration(self) -> str:
        """What probabilities rest on, for a reader."""
        if not self.learned_from:
            return UNCALIBRATED
        return f"calibrated on {self.learned_from} outcome(s)"


@dataclass(frozen=True)
class Term:
    """One detector's share in a case: its nats, how much of them counts, and what they come to."""

    detector: str
    log_lr: float
    weight: float

    def counted(self, parameters: FusionParameters) -> float:
        """Nats after what outcomes taught, the artefact bound and the weight for shared evidence."""
        return self.weight * scaled(self.detector, self.log_lr, parameters)


def activity(kind: str, terms: list[Term], parameters: FusionParameters) -> float:
    """Probability that what the evidence shows took place: logit P = logit P0 + sum of the counted nats."""
    return float(expit(parameters.prior(kind) + sum(term.counted(parameters) for term in terms)))


def bounded(log_lr: float, artefact: float) -> float:
    """A log-likelihood ratio when the null is contaminated by a share of unmodelled mimics: LR / (1 - e + e LR).

    Monotone, so order is kept; approaches ln(1/e) from below. Nats against (negative) are bounded alike.
    """
    size = abs(log_lr)
    return float(np.sign(log_lr) * -np.logaddexp(np.log1p(-artefact) - size, np.log(artefact)))


def scaled(detector: str, log_lr: float, parameters: FusionParameters) -> float:
    """A detector's nats, bounded, then scaled: outcomes may teach that its artefacts are rarer than assumed."""
    return parameters.scale.get(detector, 1.0) * bounded(log_lr, parameters.artefact)


def fuse(judgements: list[Judgement], crs: Any, parameters: FusionParameters | None = None) -> gpd.GeoDataFrame:
    """Cases from judgements, most probable first.

    logit P = logit P0 + sum of w_k ln LR_k, times the probability that the registers forbid what was seen. Each ln LR
    is bounded by ln(1/artefact) = 3.9 nats, for a share of everything mimics an offence; see `FusionParameters`.

    Returns
    -------
    `tables.CASES` in `crs`, without identity: `case_id`, `jurisdiction`, `operator`, `first_reported` and `status` come
    later, from `decide`. Areas in m2, evidence in nats.

    Examples
    --------
    >>> from illegalmining.cases.verdict import Judgement
    >>> day = pd.Timestamp("2026-05-01")
    >>> pit = Judgement("surface-1", "surface", "unlicensed", 4.0, 0.97, day, day, 3600.0, "a pit", box(0, 0, 60, 60))
    >>> cases = im.fuse([pit], "EPSG:4546")
    >>> cases["kind"].item(), round(cases["probability"].item(), 3)
    ('unlicensed', 0.935)

    At even odds that is LR / (1 - e + e LR) = 26.35 to 1, and 0.97 of it:

    >>> ratio = np.exp(4.0) / (0.98 + 0.02 * np.exp(4.0))
    >>> round(float(ratio / (1 + ratio) * 0.97), 3)
    0.935
    """
    parameters = parameters or FusionParameters()
    supported = [group for group in sites(judgements, parameters) if any(one.log_lr > 0 for one in group)]
    rows = [case_row(group, parameters) for group in supported]
    rows = [row for row in rows if row["probability"] >= parameters.least]
    rows.sort(key=lambda row: (-row["probability"], row["kind"], row["geometry"].wkt))
    return CASES.typed(rows, crs)


def sites(judgements: list[Judgement], parameters: FusionParameters) -> list[list[Judgement]]:
    """Judgements grouped by site: by mine where the offence is a mine's, by place otherwise.

    Ground movement in a shut mine whose meter shows work joins the mine's own case.
    """
    working_shut = {j.mine_id for j in judgements if j.kind == "active_while_shut" and j.log_lr > 0}
    by_mine: dict[tuple[str, str | None], list[Judgement]] = {}
    by_place: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        if judgement.kind in MINE_KINDS:
            by_mine.setdefault((judgement.kind, judgement.mine_id), []).append(judgement)
        elif judgement.detector == "subsidence" and judgement.mine_is_shut and judgement.mine_id in working_shut:
            by_mine.setdefault(("active_while_shut", judgement.mine_id), []).append(judgement)
        else:
            by_place.setdefault("ground" if judgement.detector == "subsidence" else "surface", []).append(judgement)
    groups = [by_mine[key] for key in sorted(by_mine, key=str)]
    for medium in sorted(by_place):
        groups.extend(connected(by_place[medium], parameters))
    return groups


def connected(judgements: list[Judgement], parameters: FusionParameters) -> list[list[Judgement]]:
    """Groups of judgements whose outlines belong together."""
    outlines = np.array([judgement.geometry for judgement in judgements], dtype=object)
    detectors = np.array([judgement.detector for judgement in judgements])
    near = STRtree(outlines).query(outlines, predicate="dwithin", distance=parameters.join_m)
    alike = detectors[near[0]] == detectors[near[1]]
    near = near[:, ~alike | (distance(outlines[near[0]], outlines[near[1]]) <= parameters.touch_m)]
    pairs = coo_array((np.ones(near.shape[1], dtype=bool), (near[0], near[1])), shape=(len(outlines), len(outlines)))
    count, label = connected_components(pairs, directed=False)
    return [[judgements[i] for i in np.flatnonzero(label == part)] for part in range(count)]


def case_row(group: list[Judgement], parameters: FusionParameters) -> dict[str, Any]:
    """One case from all that is said of one site."""
    kind = site_kind(group, parameters)
    heard = strongest_each([j for j in group if agrees(j, kind)], parameters)
    heard_for = [j for j in heard if j.log_lr > 0] or heard
    lead = heard_for[0]
    terms = [Term(j.detector, j.log_lr, weight) for weight, j in zip(weights(heard, parameters), heard, strict=True)]
    took_place = activity(kind, terms, parameters)
    surest = max(heard_for, key=lambda j: j.p_against)
    beyond = max((j.outside for j in heard_for if j.outside is not None), key=lambda o: o.area_m2, default=None)
    depths = [j.depth_m for j in heard_for if j.depth_m is not None]
    supporting = [j for j in group if j.log_lr > 0 and agrees(j, kind)] or heard_for
    return {
        "case_id": "",
        "kind": kind,
        "probability": round(took_place * surest.p_against, 6),
        "mine_id": lead.mine_id,
        "licence_no": next((j.licence_no for j in heard_for if j.licence_no), None),
        "jurisdiction": None,
        "first_seen": min(j.first_seen for j in supporting),
        "last_seen": max(j.last_seen for j in supporting),
        "first_reported": pd.NaT,
        "area_m2": max(j.area_m2 for j in supporting if j.detector == lead.detector),
        "area_outside_m2": np.nan if beyond is None else beyond.area_m2,
        "area_outside_low_m2": np.nan if beyond is None else beyond.low_m2,
        "area_outside_high_m2": np.nan if beyond is None else beyond.high_m2,
        "p_outside": np.nan if beyond is None else beyond.probability,
        "depth_m": depths[0] if depths else np.nan,
        "status": "open",
        "evidence": json.dumps(
            [line(j, term, parameters) for j, term in zip(heard, terms, strict=True)],
            ensure_ascii=False,
            sort_keys=True,
        ),
        "rivals": json.dumps(rivals(took_place, surest), sort_keys=True),
        "attribution": lead.attribution,
        "calibration": parameters.calibration,
        "geometry": site_outline(supporting, lead),
    }


def agrees(judgement: Judgement, kind: str) -> bool:
    """Whether a judgement speaks to a case of this kind: the same kind, or the same ground judged otherwise."""
    return judgement.kind == kind or judgement.kind not in MINE_KINDS


def site_kind(group: list[Judgement], parameters: FusionParameters) -> str:
    """The kind with the most evidence behind it; a mine's own kind where there is one."""
    weight = dict.fromkeys(KINDS, 0.0)
    for judgement in group:
        weight[judgement.kind] += judgement.p_against * max(nats(judgement, parameters), 0.0) + 1e-9
    of_mine = [kind for kind in MINE_KINDS if weight[kind] > 0]
    return max(of_mine or KINDS, key=lambda kind: weight[kind])


def nats(judgement: Judgement, parameters: FusionParameters) -> float:
    """A judgement's evidence, bounded by the artefact rate and scaled by what outcomes taught."""
    return scaled(judgement.detector, judgement.log_lr, parameters)


def strongest_each(group: list[Judgement], parameters: FusionParameters) -> list[Judgement]:
    """One judgement a detector for, and one against, strongest first: detections of one detector share their errors."""
    best: dict[tuple[str, bool], Judgement] = {}
    for judgement in group:
        key = (judgement.detector, judgement.log_lr > 0)
        if key not in best or abs(judgement.log_lr) * judgement.p_against > abs(best[key].log_lr) * best[key].p_against:
            best[key] = judgement
    return sorted(best.values(), key=lambda j: (-nats(j, parameters) * j.p_against, j.detector, j.detection_id))


def weights(heard: list[Judgement], parameters: FusionParameters) -> list[float]:
    """1 for the strongest and for what speaks against, less for each further detector for the offence."""
    return [1.0 if rank == 0 or j.log_lr < 0 else parameters.further_weight for rank, j in enumerate(heard)]


def line(judgement: Judgement, term: Term, parameters: FusionParameters) -> dict[str, Any]:
    """A line of a case's evidence; `counted` are the nats that entered the sum."""
    return {
        "detector": judgement.detector,
        "detection_id": judgement.detection_id,
        "log_lr": round(judgement.log_lr, 3),
        "says": judgement.says,
        "weight": term.weight,
        "counted": round(term.counted(parameters), 3),
    }


def rivals(took_place: float, judgement: Judgement) -> dict[str, float]:
    """The probability of every other reading; with the case's own they sum to 1."""
    others = {"no_activity": 1 - took_place}
    others |= {name: took_place * share for name, share in judgement.rivals}
    return {name: round(share, 9) for name, share in others.items()}


def site_outline(supporting: list[Judgement], lead: Judgement) -> BaseGeometry:
    """The site's outline: all the lead detector saw there; for a mine, its yard and the ground that moved with it."""
    outlines = [j.geometry for j in supporting if j.detector == lead.detector]
    if lead.kind == "active_while_shut":
        outlines += [j.geometry for j in supporting if j.detector == "subsidence"]
    polygons = [outline for outline in outlines if outline.area > 0]
    return union_all(polygons) if polygons else lead.geometry
