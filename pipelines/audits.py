"""Visits drawn blind, remembered from plan to plan, so that what they find can be counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import shapely

from illegalmining.district import District
from illegalmining.raid.sites import CASE

NEAR_DRAW_M = 500.0
"""A visit without a case belongs to a draw without one this near, m: half the side of a cell of ground."""


def audits_file(district: District) -> Path:
    """Where draws are remembered, for their owner alone."""
    return district.state / "plan" / "audits.json"


def remembered(district: District) -> list[dict[str, Any]]:
    """Earlier draws."""
    path = audits_file(district)
    return json.loads(path.read_text("utf-8")) if path.is_file() else []


def drawn_places(district: District) -> list[shapely.Point]:
    """Where blind visits went to a place that no case is made of, in the district's CRS."""
    return [shapely.Point(row["x"], row["y"]) for row in remembered(district) if row["stratum"] != CASE]
