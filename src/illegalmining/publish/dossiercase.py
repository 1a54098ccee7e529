"""What one dossier is made from: a case, the registers about it, what was measured there, and where it is from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import pandas as pd
import pyproj
from shapely.geometry.base import BaseGeometry

from illegalmining.imagery.beforeafter import Pair
from illegalmining.imagery.movedground import MovedGround
from illegalmining.publish.content import MapContent

REACH_M = 60.0
"""Licences this near are told of, m: the distance that makes one site of two outlines."""


@dataclass(frozen=True)
class Origin:
    """Where a register's rows are from. changed: the file is no longer what the run read."""

    register: str
    file: str
    sha256: str
    changed: bool


@dataclass(frozen=True)
class CaseMatter:
    """Everything a dossier is drawn from.

    case: a row of `tables.CASES`. whole: the map it stands on, with the registers that have a place. detections: those
    its evidence names, `attributes` read. origins: of the registers, by name. pairs, moved: what the sources show;
    said_of_images, said_of_movement: keys and values of what there is to say where they show nothing. visits: outcomes
    in the ledger. conflict: they contradict each other. inputs: (name, files, hash). shown: (file, hash). results:
    (file, hash).
    """

    case: dict[str, Any]
    whole: MapContent
    detections: list[dict[str, Any]]
    statuses: pd.DataFrame | None = None
    faces: gpd.GeoDataFrame | None = None
    origins: dict[str, Origin] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    said_of_images: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    moved: MovedGround | None = None
    said_of_movement: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    visits: list[dict[str, Any]] = field(default_factory=list)
    conflict: bool = False
    inputs: list[tuple[str, int, str]] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    made_by: str = ""

    @property
    def language(self) -> str:
        """`en` or `zh`."""
        return self.whole.language if self.whole.language in ("en", "zh") else "en"

    @property
    def crs(self) -> pyproj.CRS:
        """The district's CRS."""
        return self.whole.working_crs

    @property
    def outline(self) -> BaseGeometry:
        """The case's outline, or its place."""
        return self.case["geometry"]

    @property
    def mine(self) -> dict[str, Any] | None:
        """The case's row of the register of mines."""
        mines = self.whole.mines
        if mines is None or not isinstance(self.case["mine_id"], str):
            return None
        rows = mines[mines["mine_id"] == self.case["mine_id"]].to_dict("records")
        return rows[0] if rows else None

    def terms_of(self, detector: str) -> list[dict[str, Any]]:
        """The case's detections by one detector."""
        return [one for one in self.detections if one["detector"] == detector]
