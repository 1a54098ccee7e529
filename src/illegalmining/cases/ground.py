"""Whose ground an outline lies on: licences in force on the evidence's days, lapsed ones, and the nearest operator.

Everything is asked for many outlines at once through spatial indices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from illegalmining.registers.allowed import lawful_each, lawful_terms

Outlines = NDArray[Any]
Rows = NDArray[np.int64]
Days = NDArray[np.int64]

NONE = -1


@dataclass(frozen=True)
class Grounds:
    """The licensed ground of each of n outlines.

    row: (n,) the licence with the most of it, a position in the register, -1 for none. ground: (n,) an index into
    `shapes`, (m,) the union of all licences in force that are near, so that a shared border or an overlap is no
    boundary; register_sd_m: (m,). others: positions of the further licences, by index of `shapes`.
    """

    row: Rows
    ground: Rows
    shapes: Outlines
    register_sd_m: NDArray[np.float64]
    others: list[tuple[int, ...]]

    def taken(self, places: Rows) -> Grounds:
        """Of the outlines at `places` only."""
        return replace(self, row=self.row[places], ground=self.ground[places])


@dataclass(frozen=True)
class Neighbourhood:
    """The registers of places, indexed: `concessions` and `mines` as `tables` types them, or None."""

    concessions: gpd.GeoDataFrame | None
    mines: gpd.GeoDataFrame | None
    register_sd_m: float

    @cached_property
    def terms(self) -> pd.DataFrame:
        """Days on which each licence is lawful; see `lawful_terms`."""
        assert self.concessions is not None
        return lawful_terms(self.concessions)

    @cached_property
    def licence_shapes(self) -> Outlines:
        """Outlines of the licences; none where there is no register."""
        none = np.array([], dtype=object)
        return none if self.concessions is None else self.concessions.geometry.to_numpy()

    @cached_property
    def licence_numbers(self) -> NDArray[Any]:
        """Licence numbers, text."""
        return np.array([], dtype=object) if self.concessions is None else self.concessions["licence_no"].to_numpy()

    def numbers(self, rows: Rows) -> NDArray[Any]:
        """The licence number at each position in the register; None for none."""
        return self.texts[rows]

    @cached_property
    def texts(self) -> NDArray[Any]:
        """Licence numbers as text; at the place of `NONE`, the last, None."""
        return np.array([*map(str, self.licence_numbers), None], dtype=object)

    def mines_of(self, rows: Rows) -> NDArray[Any]:
        """The mine that works under the licence at each position in the register; None for none."""
        return np.array([*self.holders, None], dtype=object)[rows]  # NONE is the last place

    @cached_property
    def holders(self) -> NDArray[Any]:
        """The first mine that works under each licence, None where there is none."""
        return np.array([self.mine_of.get(number) for number in self.licence_numbers], dtype=object)

    @cached_property
    def mine_of(self) -> dict[str, str]:
        """The first mine that works under each licence."""
        if self.mines is None:
            return {}
        known = self.mines.dropna(subset="licence_no").drop_duplicates("licence_no")
        return dict(zip(known["licence_no"], known["mine_id"], strict=True))

    def licensed(self, outlines: Outlines, first: Days, last: Days, method: str, near_m: float) -> Grounds:
        """The ground that licences for `method`, lawful on all of `first..last`, give each outline within `near_m`."""
        nothing = np.full(len(outlines), NONE)
        if self.concessions is None or not len(outlines):
            return Grounds(nothing, nothing, np.array([], dtype=object), np.array([]), [])
        terms = self.terms[(self.concessions["method"] == method).to_numpy()[self.terms["row"]]]
        tree = shapely.STRtree(self.licence_shapes[terms["row"]])
        outline, term = tree.query(outlines, predicate="dwithin", distance=near_m)
        held = terms.iloc[term]
        lawful = lawful_each(held, first[outline], last[outline])
        pairs = pd.DataFrame({"outline": outline[lawful], "row": held["row"].to_numpy()[lawful]}).drop_duplicates()
        pairs = pairs.sort_values(["outline", "row"], kind="stable", ignore_index=True)
        row = nothing.copy()
        best = self.most_of(outlines, pairs)
        row[best["outline"]] = best["row"]
        return self.joined(row, pairs)

    def joined(self, row: Rows, pairs: pd.DataFrame) -> Grounds:
        """Grounds from pairs in order of outline and row: outlines near the same licences share one shape."""
        ground = np.full(len(row), NONE)
        members: dict[tuple[int, ...], int] = {}
        alone = ~pairs["outline"].duplicated(keep=False)
        single, place = np.unique(pairs.loc[alone, "row"], return_inverse=True)
        members.update({(int(one),): number for number, one in enumerate(single)})
        ground[pairs.loc[alone, "outline"]] = place
        for outline, several in pairs[~alone].groupby("outline")["row"]:
            ground[outline] = members.setdefault(tuple(several.tolist()), len(members))
        shapes = np.empty(len(members), dtype=object)
        accuracy = self.accuracy_m
        sd = np.empty(len(members))
        for rows, number in members.items():
            found = self.licence_shapes[list(rows)]
            shapes[number] = found[0] if len(rows) == 1 else shapely.union_all(found)
            sd[number] = accuracy[list(rows)].max()
        return Grounds(row, ground, shapes, sd, list(members))

    @cached_property
    def elevations(self) -> NDArray[np.float64]:
        """(licences, 3): elevation of the ground above each, its upper and its lower limit, m; NaN where unknown."""
        assert self.concessions is not None
        limits = self.concessions.reindex(columns=["ground_m", "depth_top_m", "depth_bottom_m"])
        return limits.to_numpy(dtype=float)

    def further(self, grounds: Grounds) -> NDArray[Any]:
        """The other licences whose ground each outline also lies on, for a reader; empty for none."""
        words = np.full(len(grounds.row), "", dtype=object)
        shared = {number for number, rows in enumerate(grounds.others) if len(rows) > 1}
        for place in np.flatnonzero(np.isin(grounds.ground, list(shared))):
            others = [row for row in grounds.others[grounds.ground[place]] if row != grounds.row[place]]
            words[place] = "".join(f" + {number}" for number in dict.fromkeys(self.texts[others]))
        return words

    @cached_property
    def accuracy_m(self) -> NDArray[np.float64]:
        """How well each licence's corners are known, m."""
        assert self.concessions is not None
        if "accuracy_m" not in self.concessions:
            return np.full(len(self.concessions), self.register_sd_m)
        return self.concessions["accuracy_m"].fillna(self.register_sd_m).to_numpy()

    def most_of(self, outlines: Outlines, pairs: pd.DataFrame) -> pd.DataFrame:
        """Of pairs of outline and licence, each outline's with the largest overlap, else the least distance.

        Ties go to the register's order.
        """
        contested = pairs["outline"].duplicated(keep=False).to_numpy()
        shapes = self.licence_shapes[pairs["row"][contested]]
        asked = outlines[pairs["outline"][contested]]
        score = np.zeros(len(pairs))
        score[contested] = shapely.distance(asked, shapes) - shapely.area(shapely.intersection(asked, shapes))
        ordered = pairs.assign(score=score).sort_values(["outline", "score", "row"], kind="stable")
        return ordered.drop_duplicates("outline")

    def lapsed(self, outlines: Outlines, first: Days, last: Days) -> Rows:
        """The licence that covers most of each outline but was not in force on all of its days; -1 for none."""
        row = np.full(len(outlines), NONE)
        if self.concessions is None or not len(outlines):
            return row
        tree = shapely.STRtree(self.licence_shapes)
        outline, licence = tree.query(outlines, predicate="intersects")
        pairs = pd.DataFrame({"outline": outline, "row": licence})
        held = pairs.merge(self.terms, on="row")
        lawful = lawful_each(held, first[held["outline"]], last[held["outline"]])
        key = pairs["outline"] * len(self.licence_shapes) + pairs["row"]
        gone = ~key.isin(held["outline"][lawful] * len(self.licence_shapes) + held["row"][lawful])
        best = self.most_of(outlines, pairs[gone].sort_values(["outline", "row"], ignore_index=True))
        row[best["outline"]] = best["row"]
        return row

    def operators(self, outlines: Outlines, within_m: float) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The mine each outline most likely belongs to, by its yard or its licence, and how far it is.

        A licence counts whatever its dates and method: whoever holds the ground beside a pit, held it or has applied
        for it, is who may have dug it.

        Returns
        -------
        mine ids, None where nothing lies within `within_m`, and distances, m (infinite for none).
        """
        found = np.full(len(outlines), None, dtype=object)
        distance = np.full(len(outlines), np.inf)
        known = np.array([mine is not None for mine in self.holders], dtype=bool)
        yards, names = self.yards
        for shapes, owners in ((yards, names), (self.licence_shapes[known], self.holders[known])):
            if not len(shapes) or not len(outlines):
                continue
            # all within reach, then the nearest: a third of the time that the index takes to look for it
            outline, place = shapely.STRtree(shapes).query(outlines, predicate="dwithin", distance=within_m)
            apart = shapely.distance(outlines[outline], shapes[place])
            order = np.lexsort((place, apart, outline))
            outline, place, apart = outline[order], place[order], apart[order]
            _, once = np.unique(outline, return_index=True)
            outline, place, apart = outline[once], place[once], apart[once]
            nearer = apart < distance[outline]
            found[outline[nearer]] = owners[place[nearer]]
            distance[outline[nearer]] = apart[nearer]
        return found, distance

    @cached_property
    def yards(self) -> tuple[Outlines, NDArray[Any]]:
        """Outlines of the mines' yards and their ids."""
        if self.mines is None:
            return np.array([], dtype=object), np.array([], dtype=object)
        return self.mines.geometry.to_numpy(), self.mines["mine_id"].to_numpy()

    def near_yard(self, outlines: Outlines, within_m: float) -> NDArray[np.bool_]:
        """Whether a mine's yard lies within a distance of each outline."""
        near = np.zeros(len(outlines), dtype=bool)
        shapes, _ = self.yards
        if len(shapes) and len(outlines):
            near[shapely.STRtree(shapes).query(outlines, predicate="dwithin", distance=within_m)[0]] = True
        return near
