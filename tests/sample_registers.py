"""Registers and detections written by hand, for judging."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import pandas as pd
from shapely.geometry import Point, Polygon, box

from illegalmining.cases.fuse import fuse
from illegalmining.cases.judge import judge
from illegalmining.detect.findings import detection, detections
from illegalmining.registers.read import Registers
from illegalmining.tables import CONCESSIONS, JURISDICTIONS, MINE_STATUS, MINES, PRODUCTION, REGISTERS

CRS = "EPSG:4546"
EAST, WEST = box(0, 0, 5000, 9000), box(-9000, 0, 0, 9000)


def stamp(text: str | None) -> pd.Timestamp:
    return pd.NaT if text is None else pd.Timestamp(text)


def licence(number: str, outline: Polygon, method: str = "opencast", **more: Any) -> dict[str, Any]:
    days = {name: stamp(more.pop(name, None)) for name in ("valid_to", "renewal_applied")}
    since = stamp(more.pop("valid_from", "2015-01-01"))
    words = {"licence_no": number, "holder": "holder", "mineral": "coal", "method": method}
    return {**words, "valid_from": since, **days, "geometry": outline, **more}


def mine(mine_id: str, licence_no: str | None, place: Point, **more: Any) -> dict[str, Any]:
    words = {"name": mine_id, "operator": f"{mine_id} Ltd", "operator_id": f"ID-{mine_id}", "method": "opencast"}
    return {"mine_id": mine_id, **words, "licence_no": licence_no, "geometry": place, **more}


def registers(concessions: list[dict[str, Any]], mines: list[dict[str, Any]], **more: Any) -> Registers:
    tables: dict[str, Any] = dict.fromkeys(REGISTERS)
    units = [
        {"code": "E", "name": "East", "parent_code": None, "level": "county", "geometry": EAST},
        {"code": "W", "name": "West", "parent_code": None, "level": "county", "geometry": WEST},
    ]
    tables["jurisdictions"] = JURISDICTIONS.frame(units, CRS)
    tables["concessions"] = CONCESSIONS.frame(concessions, CRS)
    tables["mines"] = MINES.frame(mines, CRS)
    tables["mine_status"] = MINE_STATUS.frame(more.get("mine_status", []))
    tables["production"] = PRODUCTION.frame(more.get("production", []))
    return Registers(**tables, files={})


def pit(outline: Polygon, log_lr: float = 8.0, first: str = "2026-03-01", **more: Any) -> dict[str, Any]:
    return detection("surface", first, "2026-06-01", log_lr, outline, area_m2=outline.area, **more)


def cases_of(known: Registers, *rows: dict[str, Any], language: str = "en") -> gpd.GeoDataFrame:
    return fuse(judge(detections(list(rows), CRS), known, language))
