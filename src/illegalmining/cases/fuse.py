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
import shapely
from numpy.typing import NDArray
from scipy.special import expit, logit

from illegalmining.cases.sites import MINE_KINDS, Places, sites
from illegalmining.cases.verdict import PARTS_OUTSIDE
from illegalmining.tables import CASES, KINDS

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

    def scales(self, detectors: pd.Series) -> NDArray[np.float64]:
        """What outcomes taught of each detector: factors of its bounded nats, 1 where nothing."""
        return detectors.map(self.scale).fillna(1.0).to_numpy(dtype=float)

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
        scale = parameters.scale.get(self.detector, 1.0)
        return self.weight * (scale * float(bounded(self.log_lr, parameters.artefact)))


def activity(kind: str, terms: list[Term], parameters: FusionParameters) -> float:
    """Probability that what the evidence shows took place: logit P = logit P0 + sum of the counted nats."""
    return float(expit(parameters.prior(kind) + sum(term.counted(parameters) for term in terms)))


def bounded(log_lr: Any, artefact: float) -> Any:
    """Log-likelihood ratios when the null is contaminated by a share of unmodelled mimics: LR / (1 - e + e LR).

    Monotone, so order is kept; approaches ln(1/e) from below. Nats against (negative) are bounded alike. A number or an
    array of any shape.
    """
    return np.sign(log_lr) * -np.logaddexp(np.log1p(-artefact) - np.abs(log_lr), np.log(artefact))


def fuse(judgements: gpd.GeoDataFrame, parameters: FusionParameters | None = None) -> gpd.GeoDataFrame:
    """Cases from judgements, most probable first.

    logit P = logit P0 + sum of w_k ln LR_k, times the probability that the registers forbid what was seen. Each ln LR
    is bounded by ln(1/artefact) = 3.9 nats, for a share of everything mimics an offence; see `FusionParameters`.

    Parameters
    ----------
    judgements : `tables.JUDGEMENTS`, as `judge` gives them.

    Returns
    -------
    `tables.CASES` in the CRS of `judgements`, without identity: `case_id`, `jurisdiction`, `operator`, `first_reported`
    and `status` come later, from `decide`. Areas in m2, evidence in nats.

    Examples
    --------
    >>> from illegalmining.tables import JUDGEMENTS
    >>> day = pd.Timestamp("2026-05-01")
    >>> seen = {"detection_id": "surface-1", "detector": "surface", "first_seen": day, "last_seen": day}
    >>> pit = {"log_lr": 4.0, "area_m2": 3600.0, "geometry": box(0, 0, 60, 60)}
    >>> told = {"kind": "unlicensed", "p_against": 0.97, "says": "a pit", "mine_is_shut": False, "rivals": "{}"}
    >>> cases = im.fuse(JUDGEMENTS.typed([seen | pit | told], "EPSG:4546"))
    >>> cases["kind"].item(), round(cases["probability"].item(), 3)
    ('unlicensed', 0.935)

    At even odds that is LR / (1 - e + e LR) = 26.35 to 1, and 0.97 of it:

    >>> ratio = np.exp(4.0) / (0.98 + 0.02 * np.exp(4.0))
    >>> round(float(ratio / (1 + ratio) * 0.97), 3)
    0.935
    """
    parameters = parameters or FusionParameters()
    said = supported(judgements, parameters)
    heard = strongest_each(said, parameters)
    cases = weighed(said, heard, parameters)
    cases = cases[cases["probability"] >= parameters.least]
    cases = cases.assign(geometry=outlines(said, cases))
    cases = ranked(cases)
    columns = cases.assign(
        case_id="",
        jurisdiction=None,
        first_reported=pd.NaT,
        status="open",
        calibration=parameters.calibration,
        evidence=evidence(heard[heard["site"].isin(cases.index)]),
        rivals=rivals(cases["took_place"], cases["rivals"]),
    )
    return CASES.typed(columns.reset_index(drop=True).to_dict("series"), judgements.crs)


def supported(judgements: gpd.GeoDataFrame, parameters: FusionParameters) -> pd.DataFrame:
    """Judgements of sites for which anything speaks, with the number of their `site` and their bounded `nats`."""
    site = sites(judgements, parameters.join_m, parameters.touch_m)
    speaks = np.bincount(site, judgements["log_lr"] > 0, minlength=len(site)) > 0
    kept = np.flatnonzero(speaks[site])
    said = pd.DataFrame(judgements).take(kept)
    said.index = pd.RangeIndex(len(said))
    said["site"] = np.unique(site[kept], return_inverse=True)[1]
    said["nats"] = parameters.scales(said["detector"]) * bounded(said["log_lr"].to_numpy(), parameters.artefact)
    return said


def strongest_each(said: pd.DataFrame, parameters: FusionParameters) -> pd.DataFrame:
    """What is heard: of each site one judgement a detector for and one against, strongest first.

    Detections of one detector share their errors. Columns besides: `weight`, 1 for the strongest and for what speaks
    against, less for each further detector for the offence; `counted`, the nats that enter the sum.
    """
    detector, names = pd.factorize(said["detector"], sort=True)
    side = (said["site"].to_numpy() * len(names) + detector) * 2 + (said["log_lr"].to_numpy() > 0)
    reach = said["log_lr"].abs().to_numpy() * said["p_against"].to_numpy()
    order = np.lexsort((-reach, side))  # stable: of equals the first
    begins = np.flatnonzero(np.diff(side[order], prepend=-1))
    place = order[begins]
    earliest = np.minimum.reduceat(order, begins) if len(begins) else begins
    site, push = said["site"].to_numpy()[place], (said["nats"] * said["p_against"]).to_numpy()[place]
    several = np.flatnonzero(np.bincount(site, minlength=1)[site] > 1)
    name = np.zeros(len(place), dtype=np.int64)
    name[several] = pd.factorize(said["detection_id"].iloc[place[several]], sort=True)[0]
    order = np.lexsort((earliest, name, detector[place], -push, site))
    heard = said.iloc[place[order]]
    first = np.diff(heard["site"].to_numpy(), prepend=-1) > 0
    weight = np.where(first | (heard["log_lr"].to_numpy() < 0), 1.0, parameters.further_weight)
    return heard.assign(weight=weight, counted=weight * heard["nats"])


def weighed(said: pd.DataFrame, heard: pd.DataFrame, parameters: FusionParameters) -> pd.DataFrame:
    """One row a site, labelled by its number: its kind, its probability, whose it is, its days and its extent.

    took_place: probability that what the evidence shows took place. lead: the detector heard first for the offence.
    rivals: as the judgement with the largest `p_against` has them.
    """
    kind = site_kinds(said)
    prior = np.array([parameters.prior(name) for name in KINDS])[kind]
    took_place = expit(prior + np.bincount(heard["site"], heard["counted"], minlength=len(kind)))
    heard_for = heard[heard["log_lr"] > 0]
    lead = first_of(heard_for)
    surest = first_of(largest_first(heard_for, "p_against"))
    beyond = first_of(largest_first(heard_for.dropna(subset="area_outside_m2"), "area_outside_m2"))
    supporting = said.loc[said["log_lr"] > 0, ["site", "detector", "first_seen", "last_seen", "area_m2"]]
    by_lead = supporting[supporting["detector"].to_numpy() == lead["detector"].to_numpy()[supporting["site"]]]
    days = supporting.groupby("site")
    probability = [round(one, 6) for one in (took_place * surest["p_against"].to_numpy()).tolist()]
    cases = pd.DataFrame(
        {
            "kind": np.array(KINDS, dtype=object)[kind],
            "probability": probability,
            "took_place": took_place,
            "lead": lead["detector"],
            "lead_kind": lead["kind"],
            "lead_geometry": lead["geometry"],
            "mine_id": lead["mine_id"],
            "attribution": lead["attribution"],
            "first_seen": days["first_seen"].min(),
            "last_seen": days["last_seen"].max(),
            "area_m2": by_lead.groupby("site")["area_m2"].max(),
            "depth_m": first_of(heard_for.dropna(subset="depth_m"))["depth_m"],
            "rivals": surest["rivals"],
        },
        index=lead.index,
    )
    named = first_of(heard_for[heard_for["licence_no"].fillna("") != ""])["licence_no"].reindex(cases.index)
    return cases.assign(licence_no=named.where(named.notna(), None)).join(beyond[list(PARTS_OUTSIDE)])


def first_of(heard: pd.DataFrame) -> pd.DataFrame:
    """The first row of each site, labelled by its number."""
    return heard.drop_duplicates("site").set_index("site")


def largest_first(heard: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows by site, those with the largest value of a column first; of equals the one heard first."""
    return heard.iloc[np.lexsort((-heard[column].to_numpy(), heard["site"].to_numpy()))]


def site_kinds(said: pd.DataFrame) -> Places:
    """The kind of each site, a place in `KINDS`: the one with the most evidence behind it."""
    count = said["site"].max() + 1 if len(said) else 0
    kind = pd.Categorical(said["kind"], KINDS).codes.astype(np.int64)
    weight = said["p_against"].to_numpy() * np.maximum(said["nats"].to_numpy(), 0.0) + 1e-9
    weights = np.bincount(said["site"] * len(KINDS) + kind, weight, minlength=count * len(KINDS))
    weights = weights.reshape(count, len(KINDS))
    mines = [KINDS.index(name) for name in MINE_KINDS]
    of_mine = (weights[:, mines] > 0).any(axis=1, keepdims=True)  # a mine's own kind where there is one
    return np.where(of_mine & ~np.isin(np.arange(len(KINDS)), mines), 0.0, weights).argmax(axis=1)


def outlines(said: pd.DataFrame, cases: pd.DataFrame) -> NDArray[Any]:
    """Each site's outline: all that its lead detector saw; for a mine, its yard and the ground that moved with it.

    Where nothing for the offence has an extent, the place of the strongest.
    """
    shapes = cases["lead_geometry"].to_numpy(copy=True)
    case = cases.index.get_indexer(said["site"])
    place = np.flatnonzero((case >= 0) & (said["log_lr"] > 0) & (shapely.area(said["geometry"].to_numpy()) > 0))
    case, detector = case[place], said["detector"].to_numpy()[place]
    lead = detector == cases["lead"].to_numpy()[case]
    moved = (detector == "subsidence") & (cases["lead_kind"].to_numpy()[case] == "active_while_shut")
    order = np.lexsort((~lead, case))
    order = order[(lead | moved)[order]]
    parts, case = said["geometry"].to_numpy()[place[order]], case[order]
    joined = (np.bincount(case, minlength=1)[case] > 1) | (shapely.get_type_id(parts) != shapely.GeometryType.POLYGON)
    shapes[case[~joined]] = parts[~joined]  # the union of one polygon is that polygon
    found, group = np.unique(case[joined], return_inverse=True)
    shapes[found] = shapely.union_all(shapely.geometrycollections(parts[joined], indices=group)[:, None], axis=1)
    return shapes


def ranked(cases: pd.DataFrame) -> pd.DataFrame:
    """Cases by probability, most probable first; equals by kind, then by the text of their outlines."""
    alike = cases.duplicated(["probability", "kind"], keep=False).to_numpy()
    text = np.full(len(cases), "", dtype=object)
    text[alike] = shapely.to_wkt(cases["geometry"].to_numpy()[alike], rounding_precision=-1)
    order = cases[["probability", "kind"]].assign(text=text)
    order = order.sort_values(["probability", "kind", "text", "site"], ascending=[False, True, True, True])
    return cases.loc[order.index]


def evidence(heard: pd.DataFrame) -> pd.Series:
    """The lines of each site's evidence as JSON, by its number; `counted` are the nats that entered the sum."""
    write = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
    names = ("detector", "detection_id", "log_lr", "says", "weight", "counted")
    lines = (dict(zip(names, row, strict=True)) for row in zip(*(heard[name].tolist() for name in names), strict=True))
    texts = [write(one | {name: round(one[name], 3) for name in ("log_lr", "counted")}) for one in lines]
    begins = np.flatnonzero(np.diff(heard["site"].to_numpy(), prepend=-1))
    parts = zip(begins.tolist(), [*begins.tolist(), len(texts)][1:], strict=True)
    together = [f"[{', '.join(texts[begin:end])}]" for begin, end in parts]
    return pd.Series(together, index=heard["site"].iloc[begins], dtype=object)


def rivals(took_place: pd.Series, readings: pd.Series) -> list[str]:
    """The probability of every other reading of each site; with the case's own they sum to 1."""
    write = json.JSONEncoder(sort_keys=True).encode
    read = {text: list(json.loads(text).items()) for text in readings.unique()}
    return [
        write({"no_activity": round(1 - p, 9)} | {name: round(p * share, 9) for name, share in read[text]})
        for p, text in zip(took_place.tolist(), readings, strict=True)
    ]
