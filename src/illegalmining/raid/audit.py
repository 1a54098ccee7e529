"""Visits drawn at random over low scores, and what they say of how much is missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from illegalmining.raid.sites import CASE, GROUND, MINE, Site

STRATA = (CASE, MINE, GROUND)
CONFIDENCE = 0.9
DRAWS = 20_000
SIMULATION = 20240
"""Number of the simulation behind intervals: public, it says nothing of a plan."""


def chances(frame: Sequence[Site], expected: float, weights: tuple[float, float, float]) -> NDArray[np.float64]:
    """Probability with which each site is drawn; alike within a stratum, summing up to `expected` or all there are.

    Strata share the draws by weight; what a stratum cannot use goes to the others.
    """
    sizes = {name: sum(site.stratum == name for site in frame) for name in STRATA}
    shares = {name: weight for name, weight in zip(STRATA, weights, strict=True) if sizes[name]}
    taken = dict.fromkeys(shares, 0.0)
    left = min(expected, float(len(frame)))
    while left > 1e-9 and shares:
        total = sum(shares.values())
        for name in list(shares):
            taken[name] += min(left * shares[name] / total, sizes[name] - taken[name])
        shares = {name: weight for name, weight in shares.items() if taken[name] < sizes[name] - 1e-9}
        left = min(expected, float(len(frame))) - sum(taken.values())
    return np.array([taken[site.stratum] / sizes[site.stratum] for site in frame])


def draw(frame: Sequence[Site], probability: NDArray[np.float64], rng: np.random.Generator) -> list[Site]:
    """Sites drawn with exactly these probabilities (systematic sampling in random order within each stratum)."""
    order = np.lexsort((rng.random(len(frame)), np.array([STRATA.index(site.stratum) for site in frame])))
    ends = np.cumsum(probability[order]) + rng.random()
    hit = np.floor(ends + 1e-12) > np.floor(np.concatenate([[ends[0] - probability[order[0]]], ends[:-1]]) + 1e-12)
    chosen = [int(at) for at in order[hit]]
    return [frame[at].drawn(float(probability[at])) for at in sorted(chosen)]


@dataclass(frozen=True)
class Audit:
    """One visit drawn blind: from how many sites of its stratum, with what chance, and whether it confirmed an offence.

    plan: which plan drew it. confirmed: None while nothing conclusive came back.
    """

    plan: str
    stratum: str
    frame: int
    chance: float
    confirmed: bool | None = None


@dataclass(frozen=True)
class Misses:
    """Offences among the low scores of a plan, which it would miss: an estimate with its 90 % interval.

    answered: draws with a conclusive outcome, of so many `drawn`. Estimate and interval are NaN without any.
    """

    estimate: float
    low: float
    high: float
    drawn: int
    answered: int


def misses(audits: Sequence[Audit]) -> Misses:
    """The Horvitz-Thompson estimate: each confirmed draw stands for 1 / chance sites like it.

    Draws without an outcome count as missing at random: chances shrink by the share answered, within each plan and
    stratum. Where several plans drew, theirs are averaged, weighted by the draws answered. The interval takes the
    shares of offences in each stratum as Jeffreys does, so that it holds where nothing was found too.
    """
    answered = [audit for audit in audits if audit.confirmed is not None]
    if not answered:
        nothing = float("nan")
        return Misses(nothing, nothing, nothing, len(audits), 0)
    rng = np.random.default_rng(SIMULATION)
    strata = sorted({audit.stratum for audit in audits})
    estimate, spread = 0.0, np.zeros(DRAWS)
    for stratum in strata:
        here = [audit for audit in audits if audit.stratum == stratum]
        known = [audit for audit in here if audit.confirmed is not None]
        plans = sorted({audit.plan for audit in known})
        if not plans:
            continue
        weights = np.array([sum(audit.plan == plan for audit in known) for plan in plans], dtype=float)
        weights /= weights.sum()
        frame = 0.0
        for plan, weight in zip(plans, weights, strict=True):
            drawn = [audit for audit in here if audit.plan == plan]
            told = [audit for audit in drawn if audit.confirmed is not None]
            share = len(told) / len(drawn)
            estimate += weight * sum(1 / (audit.chance * share) for audit in told if audit.confirmed)
            frame += weight * drawn[0].frame
        hits = sum(bool(audit.confirmed) for audit in known)
        spread += rng.beta(hits + 0.5, len(known) - hits + 0.5, DRAWS) * frame
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(spread, [tail, 1 - tail])
    return Misses(float(estimate), float(min(low, estimate)), float(max(high, estimate)), len(audits), len(answered))


def precision(drawn: Sequence[Site], frame: Sequence[Site]) -> dict[str, dict[str, float]]:
    """What the draws will tell, by stratum, if none of them confirms anything: the most offences there may then be.

    frame: sites there are. drawn: how many are visited blind. share_high, sites_high: 95 % upper bound on the share
    of offences and on their number (Clopper and Pearson).
    """
    told = {}
    for name in STRATA:
        size, draws = (sum(site.stratum == name for site in sites) for sites in (frame, drawn))
        if size:
            share = 1.0 if not draws else 0.0 if draws == size else float(betaincinv(1, draws, 0.95))
            told[name] = {"frame": size, "drawn": draws, "share_high": share, "sites_high": share * size}
    return told
