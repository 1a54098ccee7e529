"""Cases of a run against known sites: what was found, what was called by its right name, what was false."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy.special import betaincinv

from illegalmining.cases.sites import MINE_KINDS
from illegalmining.tables import KINDS


@dataclass(frozen=True)
class ScoreParameters:
    """When a case is a site. near_m: outlines at most this far apart, m. threshold: probability of an alarm."""

    near_m: float = 100.0
    threshold: float = 0.5


@dataclass(frozen=True)
class Scores:
    """How a run did. Shares are 0-1 and NaN where there is nothing to divide by; intervals are 90 % Jeffreys."""

    sites: int
    found: int
    recall: float
    recall_low: float
    recall_high: float
    alarms: int
    false_alarms: int
    precision: float
    precision_first_n: float
    kind_right: float
    brier: float
    median_delay_days: float
    by_kind: dict[str, dict[str, Any]]
    missed: list[str]
    false_cases: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(self).items()}


def score(cases: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, parameters: ScoreParameters | None = None) -> Scores:
    """Score cases against sites; each site is matched at most once, by the most probable case that fits.

    Parameters
    ----------
    cases: `tables.CASES`, most probable first. truth: `tables.SITES`, same CRS.

    Returns
    -------
    Recall, precision and Brier score (0-1), delay in days. Intervals are 90 % Jeffreys: quantiles of
    Beta(k + 1/2, n - k + 1/2).

    Examples
    --------
    >>> from illegalmining.publish.results import read_sites
    >>> truth = read_sites("demo/truth/sites.gpkg", district.crs)
    >>> scores = im.score(im.read_run(district.out).cases, truth)
    >>> scores.found + len(scores.missed) == scores.sites == len(truth)
    True
    """
    parameters = parameters or ScoreParameters()
    matches = match(cases, truth, parameters)
    is_true = cases.index.isin(list(matches))
    alarm = (cases["probability"] >= parameters.threshold).to_numpy()
    found = {site for case, site in matches.items() if alarm[cases.index.get_loc(case)]}
    right = [cases.at[case, "kind"] == truth.at[site, "kind"] for case, site in matches.items() if site in found]
    delays = [
        (cases.at[case, "first_seen"] - truth.at[site, "start"]).days for case, site in matches.items() if site in found
    ]
    low, high = share_interval(len(found), len(truth))
    return Scores(
        sites=len(truth),
        found=len(found),
        recall=share(len(found), len(truth)),
        recall_low=low,
        recall_high=high,
        alarms=int(alarm.sum()),
        false_alarms=int((alarm & ~is_true).sum()),
        precision=share(int((alarm & is_true).sum()), int(alarm.sum())),
        precision_first_n=share(int(is_true[: len(truth)].sum()), min(len(truth), len(cases))),
        kind_right=share(sum(right), len(right)),
        brier=float(np.mean((cases["probability"].to_numpy() - is_true) ** 2)) if len(cases) else float("nan"),
        median_delay_days=float(np.median(delays)) if delays else float("nan"),
        by_kind={kind: kind_scores(kind, truth, found) for kind in KINDS},
        missed=sorted(truth.loc[~truth.index.isin(found), "site_id"]),
        false_cases=sorted(cases.loc[alarm & ~is_true, "case_id"]),
    )


def match(cases: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, parameters: ScoreParameters) -> dict[Any, Any]:
    """Case label -> site label. A site fits by place or, for offences of a mine, by the mine; its own kind first."""
    matches: dict[Any, Any] = {}
    for same_kind_only in (True, False):
        for label, case in cases.iterrows():
            if label in matches:
                continue
            free = truth[~truth.index.isin(list(matches.values()))]
            if same_kind_only:
                free = free[free["kind"] == case["kind"]]
            fits = free.distance(case["geometry"]) <= parameters.near_m
            if case["kind"] in MINE_KINDS:
                fits |= free["kind"].isin(MINE_KINDS) & (free["mine_id"] == case["mine_id"])
            if fits.any():
                matches[label] = free[fits].distance(case["geometry"]).idxmin()
    return matches


def kind_scores(kind: str, truth: gpd.GeoDataFrame, found: set[Any]) -> dict[str, Any]:
    """Sites and finds of one kind."""
    of_kind = truth.index[truth["kind"] == kind]
    return {"sites": len(of_kind), "found": int(pd.Index(of_kind).isin(list(found)).sum())}


def share(part: int, whole: int) -> float:
    """part / whole, NaN where there is no whole."""
    return part / whole if whole else float("nan")


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """90 % Jeffreys interval of a share."""
    low, high = betaincinv(part + 0.5, whole - part + 0.5, [0.05, 0.95])
    return (0.0 if part == 0 else float(low)), (1.0 if part == whole else float(high))


def report(scores: Scores) -> str:
    """The scores as a person reads them."""
    lines = [
        f"sites found        {scores.found} of {scores.sites}"
        f"  ({scores.recall:.0%}, 90 % interval {scores.recall_low:.0%}-{scores.recall_high:.0%})",
        f"false alarms       {scores.false_alarms} of {scores.alarms}",
        f"precision of the first {scores.sites}: {scores.precision_first_n:.0%}",
        f"kind right         {scores.kind_right:.0%}",
        f"Brier score        {scores.brier:.3f}",
        f"median delay       {scores.median_delay_days:.0f} days",
    ]
    lines += [f"  {kind:<20} {row['found']} of {row['sites']}" for kind, row in scores.by_kind.items() if row["sites"]]
    if scores.missed:
        lines.append(f"missed: {', '.join(scores.missed)}")
    if scores.false_cases:
        lines.append(f"false:  {', '.join(scores.false_cases)}")
    return "\n".join(lines)
