"""A small run's results, made up: a dozen cases of every kind, hostile text in the registers, blind ground."""

from __future__ import annotations

import io
import json
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from PIL import Image
from shapely.affinity import rotate
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from illegalmining.hotspots import hotspots
from illegalmining.tables import CASES, CONCESSIONS, DETECTIONS, JURISDICTIONS, KINDS, MINES, ROADS

CRS = "EPSG:4546"
BOUNDS = (500000.0, 4100000.0, 508000.0, 4108000.0)
AS_OF = date(2026, 10, 31)
HOSTILE = "=cmd|' /C calc'!A0</script><img src=x onerror=\"window.hacked=1\">\u202egnp.exe\x07 ${alert(1)} https://evil.example/x.js"

SAYS = {
    "en": {
        "surface": "Optical images: 0.84 ha of ground laid bare since 2026-05-14; no opencast licence in force there",
        "radar": "Radar images: 0.79 ha dug since 2026-05-20, 0.31 ha of it outside licence C14 (probability 94%)",
        "subsidence": "Ground movement since 2026-02-03 fits an undeclared face of about 2.41 ha, peak 412 mm",
        "power": "Power on 63 day(s) from 2026-04-01 to 2026-10-20 fits production, not safety load, while suspended",
        "nightlight": "Light at night",
    },
    "zh": {
        "surface": "光学影像：自2026-05-14起0.84公顷地表被剥离，此处无有效露天采矿许可",
        "radar": "雷达影像：自2026-05-20起开挖0.79公顷，其中0.31公顷在许可证C1400002010051边界之外（越界概率94%）",
        "subsidence": "自2026-02-03起的地表移动与一处约2.41公顷的未申报工作面相符，最大下沉412毫米",
        "power": "2026-04-01至2026-10-20间有63天用电符合生产而非安全负荷，当时矿山状态为停产",
        "nightlight": "夜间灯光",
    },
}
SENSES = {
    "unlicensed": ("surface", "radar"),
    "hidden_working_face": ("subsidence",),
    "active_while_shut": ("power", "surface"),
    "beyond_boundary": ("radar", "surface"),
    "paper_output": ("power", "subsidence"),
}


def series(rng: np.random.Generator, unit: str) -> dict[str, Any]:
    """An evidence series that departs from what is expected half-way, with gaps."""
    days = pd.date_range("2025-11-01", "2026-10-28", periods=60)
    season = 0.3 + 0.1 * np.sin(np.arange(60) / 60 * 2 * np.pi)
    observed = season + rng.normal(0, 0.02, 60) - 0.25 * (np.arange(60) > 34)
    return {
        "dates": [f"{one:%Y-%m-%d}" for one in days],
        "observed": [None if i % 17 == 3 else round(float(value), 4) for i, value in enumerate(observed)],
        "expected": [round(float(value), 4) for value in season],
        "low": [round(float(value) - 0.06, 4) for value in season],
        "high": [round(float(value) + 0.06, 4) for value in season],
        "unit": unit,
    }


def sample(language: str = "en", count: int = 14, seed: int = 5) -> dict[str, Any]:
    """(cases, detections): `count` cases in two clusters and apart."""
    rng = np.random.default_rng(seed)
    cases, seen = [], []
    plots = [json.dumps({"series": series(rng, "NDVI")}) for _ in range(min(count, 20))]
    for i in range(count):
        kind = KINDS[(i * 2) % len(KINDS)]
        x, y = site(i, count, rng)
        outline = shape_of(kind, i, x, y, rng)
        first = pd.Timestamp("2025-12-01") + pd.Timedelta(days=int(rng.integers(0, 270)))
        evidence = []
        for rank, detector in enumerate(SENSES[kind]):
            number = f"{detector}-{i:012x}"
            log_lr = float(np.round(rng.uniform(1, 7) if rank == 0 else rng.uniform(-2.5, 4), 3))
            seen.append(
                {
                    "detection_id": number,
                    "detector": detector,
                    "first_seen": first,
                    "last_seen": pd.Timestamp("2026-10-20"),
                    "log_lr": log_lr,
                    "area_m2": outline.area,
                    "mine_id": None,
                    "attributes": plots[i % len(plots)] if rank == 0 else "{}",
                    "geometry": outline,
                }
            )
            evidence.append(
                {"detector": detector, "detection_id": number, "log_lr": log_lr, "says": SAYS[language][detector]}
            )
        hostile = i == 4
        cases.append(
            {
                "case_id": f"{AS_OF:%Y}-{i + 1:04d}-{kind[:3]}",
                "kind": kind,
                "probability": round(0.97 - 0.72 * i / max(count - 1, 1), 4),
                "mine_id": HOSTILE if hostile else (f"M{1 + i % 4:03d}" if i % 3 else None),
                "licence_no": "C1400002010051" if kind == "beyond_boundary" else None,
                "jurisdiction": "141001" if x < 504000 else "141002",
                "first_seen": first,
                "last_seen": pd.Timestamp("2026-10-20"),
                "first_reported": pd.Timestamp(AS_OF) if i % 4 == 0 else pd.Timestamp("2026-09-30"),
                "area_m2": outline.area,
                "area_outside_m2": 3100.0 if kind == "beyond_boundary" else np.nan,
                "depth_m": 310.0 if kind == "hidden_working_face" else np.nan,
                "status": ("open", "open", "confirmed", "open", "open", "refuted")[i % 6],
                "evidence": json.dumps(evidence, ensure_ascii=False, sort_keys=True),
                "geometry": outline,
            }
        )
    return {"cases": CASES.frame(cases, CRS), "detections": DETECTIONS.frame(seen, CRS)}


def site(i: int, count: int, rng: np.random.Generator) -> tuple[float, float]:
    """A place: every third alone, the others in two clusters."""
    if i % 3 == 0 or count > 100:
        return float(rng.uniform(500500, 507500)), float(rng.uniform(4100500, 4107500))
    centre = (502200, 4105600) if i % 2 else (505600, 4102300)
    return centre[0] + float(rng.normal(0, 330)), centre[1] + float(rng.normal(0, 330))


def shape_of(kind: str, i: int, x: float, y: float, rng: np.random.Generator) -> Any:
    """A face is a turned rectangle, a pit a ragged blob, a meter's evidence a point; one pit lies in two parts."""
    if kind == "hidden_working_face":
        return rotate(box(x - 170, y - 60, x + 170, y + 60), float(rng.uniform(0, 180)))
    if kind == "paper_output":
        return Point(x, y)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = rng.uniform(45, 110) * (1 + rng.normal(0, 0.12, 24))
    blob = Polygon(np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])).buffer(0)
    return MultiPolygon([blob, box(x + 200, y, x + 260, y + 50)]) if i == 3 and blob.geom_type == "Polygon" else blob


def registers(language: str = "en") -> dict[str, gpd.GeoDataFrame]:
    """Licences (one run out), mines (one with a hostile name) and two counties."""
    names = ("East county", "West county") if language == "en" else ("东山县", "西河县")
    areas = [box(504000, 4099000, 509000, 4109000), box(499000, 4099000, 504000, 4109000)]
    counties = [
        {"code": code, "name": name, "parent_code": None, "level": "county", "geometry": area}
        for code, name, area in zip(("141002", "141001"), names, areas, strict=True)
    ]
    licences = [
        licence("C1400002010051", HOSTILE, box(501200, 4104600, 503300, 4106800), "2010-05-01", None),
        licence(
            "C1400002015112", "Jinshan Coal Co.", box(504700, 4101400, 506700, 4103300), "2015-11-01", "2026-03-01"
        ),
    ]
    mines = [
        mine(f"M{i + 1:03d}", HOSTILE if i == 3 else name, Point(x, y))
        for i, (name, x, y) in enumerate(
            [
                ("北沟煤矿", 502000, 4105900),
                ("Jinshan No. 2", 505500, 4102000),
                ("红旗石料厂", 503600, 4103100),
                ("", 506900, 4106600),
            ]
        )
    ]
    ways = [
        {"class": "secondary", "oneway": None, "geometry": LineString([(500000, 4103000), (508000, 4104600)])},
        {"class": "track", "oneway": None, "geometry": LineString([(502000, 4100000), (502600, 4108000)])},
    ]
    return {
        "roads": ROADS.frame(ways, CRS),
        "jurisdictions": JURISDICTIONS.frame(counties, CRS),
        "concessions": CONCESSIONS.frame(licences, CRS),
        "mines": MINES.frame(mines, CRS),
    }


def licence(number: str, holder: str, area: Polygon, begins: str, ends: str | None) -> dict[str, Any]:
    """A row of the register of licences."""
    about = {"licence_no": number, "holder": holder, "holder_id": None, "mineral": "coal", "method": "underground"}
    period = {"valid_from": pd.Timestamp(begins), "valid_to": pd.Timestamp(ends) if ends else pd.NaT}
    rest = {"renewal_applied": pd.NaT, "depth_top_m": 900.0, "depth_bottom_m": 300.0, "geometry": area}
    return {**about, **period, **rest}


def mine(number: str, name: str, place: Point) -> dict[str, Any]:
    """A row of the register of mines."""
    about = {"mine_id": number, "name": name, "operator": "Jinshan Coal Co.", "operator_id": None, "licence_no": None}
    return {**about, "method": "underground", "capacity_t": 600000.0, "safety_load_kw": 450.0, "geometry": place}


def coverage() -> xr.DataArray:
    """What could be seen: blind in the north-east and in a few clouds' worth of holes."""
    grid = GeoBox((160, 160), Affine(50, 0, BOUNDS[0], 0, -50, BOUNDS[3]), CRS)
    row, column = np.mgrid[:160, :160]
    smallest = (400 + 30 * np.hypot(row - 90, column - 60)).astype("float32")
    smallest[(column - row) > 95] = np.nan
    smallest[np.hypot(row - 130, column - 25) < 12] = np.nan
    return wrap_xr(smallest, grid, nodata=float("nan"))


def ground() -> tuple[bytes, tuple[float, float, float, float]]:
    """A picture of hills, as a WebP and its bounds in degrees."""
    row, column = np.mgrid[:500, :500] / 500
    hills = 0.5 + 0.25 * np.sin(9 * column + 4 * np.sin(5 * row)) * np.cos(7 * row) + 0.08 * np.sin(60 * column * row)
    noise = np.random.default_rng(0).normal(0, 0.03, hills.shape)
    light = np.clip(hills + noise, 0, 1)[..., None]
    colours = (np.array([96, 92, 62]) + light * np.array([90, 88, 70])).astype("uint8")
    stream = io.BytesIO()
    Image.fromarray(colours).save(stream, "WEBP", quality=70)
    extent = gpd.GeoSeries([box(*BOUNDS)], crs=CRS).to_crs("EPSG:4326").total_bounds
    return stream.getvalue(), tuple(float(value) for value in extent)


def page_arguments(language: str = "en", count: int = 14) -> dict[str, Any]:
    """Everything a `MapContent` holds."""
    found = sample(language, count)
    tables = registers(language)
    cells = hotspots(found["cases"], tables["jurisdictions"], BOUNDS, CRS, AS_OF)
    remark = {
        "en": "No declared production: output on paper could not be judged.",
        "zh": "没有申报产量：无法判断虚报产量。",
    }
    return {
        "district_name": {"en": "Jinshan district", "zh": "金山示范区"}[language],
        "language": language,
        "as_of": AS_OF,
        "bounds": BOUNDS,
        "crs": CRS,
        **found,
        **tables,
        "hotspots": cells,
        "coverage": coverage(),
        "background": ground(),
        "sources": [
            {"name": "sentinel-2", "sensor": "optical", "first": "2023-01-03", "last": "2026-10-28", "dates": 243},
            {"name": "insar", "sensor": "displacement", "first": "2025-01-05", "last": "2026-10-22", "dates": 52},
            {"name": "power/*.parquet", "sensor": "power", "first": "2024-01-01", "last": "2026-10-30", "dates": 1034},
        ],
        "remarks": [remark[language], HOSTILE],
        "run": {"version": "0.1.0", "inputs": 12},
    }
