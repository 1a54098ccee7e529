"""What can be visited, what a visit is worth, and which sites would warn one another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from illegalmining.raid.rules import Rules, danger_of

CASE, MINE, GROUND = "case", "mine", "ground"
DEEP_KINDS = ("hidden_working_face",)


@dataclass(frozen=True)
class Site:
    """A place a team can be sent to.

    site_id: of the case, the mine or the cell. stratum: what it is. kind: what is suspected, None where nothing is.
    x, y: district CRS, m. probability: that a visit confirms an offence. value: expected confirmations weighted by
    danger. underground: the team must be trained for it. inspection_min: on the spot. owner: who is warned with it.
    chance: probability with which it was drawn blind, None where it was chosen.
    """

    site_id: str
    stratum: str
    kind: str | None
    x: float
    y: float
    probability: float
    value: float
    underground: bool
    inspection_min: int
    owner: str | None = None
    mine_id: str | None = None
    chance: float | None = None

    def drawn(self, chance: float) -> Site:
        """The same site, drawn blind with this probability."""
        return replace(self, chance=chance)


def case_sites(cases: gpd.GeoDataFrame, mines: gpd.GeoDataFrame | None, rules: Rules) -> list[Site]:
    """A site for every case that has a place, at a point inside its outline."""
    methods, owners = mine_facts(mines)
    placed = cases[cases.geometry.notna() & ~cases.geometry.is_empty].sort_values("case_id")
    at = placed.geometry.representative_point()
    sites = []
    for row, place in zip(placed.to_dict("records"), at, strict=True):
        mine_id = text(row.get("mine_id"))
        below = row["kind"] in DEEP_KINDS or pd.notna(row.get("depth_m"))
        below = row["kind"] != "paper_output" and (below or methods.get(mine_id) == "underground")
        probability = float(row["probability"])
        sites.append(
            Site(
                site_id=str(row["case_id"]),
                stratum=CASE,
                kind=row["kind"],
                x=float(place.x),
                y=float(place.y),
                probability=probability,
                value=probability * danger_of(row["kind"], below, rules),
                underground=below,
                inspection_min=rules.inspection_min[row["kind"]],
                owner=text(row.get("operator_id")) or owners.get(mine_id) or text(row.get("operator")),
                mine_id=mine_id,
            )
        )
    return sites


def mine_facts(mines: gpd.GeoDataFrame | None) -> tuple[dict[str | None, str], dict[str | None, str | None]]:
    """Method, and operator's number or name, by mine."""
    if mines is None:
        return {}, {}
    owners = [text(number) or text(name) for number, name in zip(operator_ids(mines), mines["operator"], strict=True)]
    return dict(zip(mines["mine_id"], mines["method"], strict=True)), dict(zip(mines["mine_id"], owners, strict=True))


def operator_ids(mines: gpd.GeoDataFrame) -> list[Any]:
    """Registration numbers of the operators, None where the register has no such column."""
    return list(mines["operator_id"]) if "operator_id" in mines else [None] * len(mines)


def mine_sites(mines: gpd.GeoDataFrame | None, cases: gpd.GeoDataFrame, rules: Rules) -> list[Site]:
    """Every mine of the register that has no open case: nobody knows whether nothing is there."""
    if mines is None or mines.empty:
        return []
    _, owners = mine_facts(mines)
    quiet = mines[~mines["mine_id"].isin(cases["mine_id"].dropna()) & mines.geometry.notna()].sort_values("mine_id")
    at = quiet.geometry.representative_point()
    return [
        Site(
            site_id=str(row["mine_id"]),
            stratum=MINE,
            kind=None,
            x=float(place.x),
            y=float(place.y),
            probability=0.0,
            value=0.0,
            underground=row["method"] == "underground",
            inspection_min=rules.audit_min[0],
            owner=owners[row["mine_id"]],
            mine_id=str(row["mine_id"]),
        )
        for row, place in zip(quiet.to_dict("records"), at, strict=True)
    ]


def ground_sites(cells: gpd.GeoDataFrame, cases: gpd.GeoDataFrame, rules: Rules) -> list[Site]:
    """Every cell of the map that no open case touches, at its middle."""
    if cells.empty:
        return []
    touched = cells.sindex.query(cases.geometry[cases.geometry.notna()], predicate="intersects")[1]
    quiet = cells.drop(index=cells.index[np.unique(touched)]).sort_values("cell_id")
    middle = quiet.geometry.centroid
    return [
        Site(str(name), GROUND, None, float(x), float(y), 0.0, 0.0, False, rules.audit_min[1])
        for name, x, y in zip(quiet["cell_id"], middle.x, middle.y, strict=True)
    ]


def warned_together(sites: list[Site], sight_m: float) -> list[int]:
    """A number for each site, alike for those that would warn one another: of one owner, or in sight, or by a chain."""
    if not sites:
        return []
    places = np.array([(site.x, site.y) for site in sites])
    pairs = [cKDTree(places).query_pairs(sight_m, output_type="ndarray")]
    by_owner = pd.Series([site.owner for site in sites]).dropna()
    for _, members in by_owner.groupby(by_owner, sort=True):
        index = members.index.to_numpy()
        pairs.append(np.column_stack([index[:-1], index[1:]]))
    joined = np.vstack(pairs)
    shape = (len(sites), len(sites))
    graph = coo_matrix((np.ones(len(joined), dtype=bool), (joined[:, 0], joined[:, 1])), shape=shape)
    return [int(group) for group in connected_components(graph, directed=False)[1]]


def text(value: Any) -> str | None:
    """A register's text; None where it is empty."""
    return str(value) if isinstance(value, str) and value.strip() else None
