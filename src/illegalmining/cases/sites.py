"""Which judgements belong to one site: by mine where the offence is a mine's, by place otherwise."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Places = NDArray[np.int64]

MINE_KINDS = ("active_while_shut", "paper_output")


def sites(judgements: gpd.GeoDataFrame, join_m: float, touch_m: float) -> Places:
    """The number of each judgement's site, (n,): mines first, then ground that moved, then ground laid bare.

    Ground movement in a shut mine whose meter shows work joins the mine's own case.
    """
    kind, mine = judgements["kind"], judgements["mine_id"]
    moved = judgements["detector"] == "subsidence"
    working = judgements.loc[(kind == "active_while_shut") & (judgements["log_lr"] > 0), "mine_id"]
    of_mine = kind.isin(MINE_KINDS)
    joins = ~of_mine & moved & judgements["mine_is_shut"] & mine.isin(working)
    site = np.zeros(len(judgements), dtype=np.int64)
    by_mine = np.flatnonzero(of_mine | joins)
    site[by_mine] = mines(kind.mask(joins, "active_while_shut").iloc[by_mine], mine.iloc[by_mine])
    outlines, detectors = judgements.geometry.to_numpy(), judgements["detector"].to_numpy()
    count = site[by_mine].max(initial=-1) + 1
    for medium in (moved, ~moved):
        here = np.flatnonzero(medium & ~of_mine & ~joins)
        site[here] = count + connected(outlines[here], detectors[here], join_m, touch_m)
        count = site[here].max(initial=count - 1) + 1
    return site


def mines(kind: pd.Series, mine: pd.Series) -> Places:
    """Numbers of pairs of kind and mine, in the order of their text."""
    kinds, names = pd.factorize(kind)
    owners, ids = pd.factorize(mine, use_na_sentinel=False)
    pair, place = np.unique(kinds * max(len(ids), 1) + owners, return_inverse=True)
    keys = [(str(names[one // len(ids)]), ids[one % len(ids)]) for one in pair]
    order = sorted(range(len(keys)), key=lambda one: str(keys[one]))
    return np.argsort(order)[place]


def connected(outlines: NDArray[Any], detectors: NDArray[Any], join_m: float, touch_m: float) -> Places:
    """Numbers of the groups of outlines that belong together, in the order of their first members.

    Outlines of different detectors belong together within `join_m`, those of one detector within `touch_m`.
    """
    count = len(outlines)
    west, south, east, north = shapely.bounds(outlines).T
    reach = 1.01 * max(join_m, touch_m)  # the distance decides, not the box
    around = shapely.box(west - reach, south - reach, east + reach, north + reach)
    one, other = shapely.STRtree(outlines).query(around)  # each pair is measured once, an outline never to itself
    one, other = one[one < other], other[one < other]
    apart = shapely.distance(outlines[one], outlines[other])
    near = apart <= np.where(detectors[one] == detectors[other], touch_m, join_m)
    pairs = coo_array((np.ones(near.sum(), dtype=bool), (one[near], other[near])), shape=(count, count))
    return np.asarray(connected_components(pairs, directed=False)[1], dtype=np.int64)
