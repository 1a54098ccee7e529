"""Cases as the map page shows them: facts, evidence in order, and the series behind it while there is room."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import date
from typing import Any

import geopandas as gpd
import pandas as pd

from illegalmining.publish.gcj02 import to_gcj02
from illegalmining.publish.layers import Bounds, day, number, outlines, text, thinning
from illegalmining.publish.text import harmless
from illegalmining.tables import DETECTORS

SERIES = ("observed", "expected", "low", "high")


@dataclass(frozen=True)
class PageLimits:
    """What one file may hold, so that it opens in two seconds.

    cases: up to so many, each is shown in full. full_of_more: where there are more, so many of the most probable are
    shown in full, and the rest as points with their facts; `cases.pmtiles`, which the page opens from the disk, has
    outline and evidence of all. points: the most of these; what is beyond is in the tiles alone.
    series_bytes: for the plots of evidence, given to the most probable cases first. series_points: of one plot.
    """

    cases: int = 5000
    full_of_more: int = 1500
    points: int = 35_000
    series_bytes: int = 1_200_000
    series_points: int = 120

    def full(self, cases: int) -> int:
        """How many of so many cases are shown in full."""
        return cases if cases <= self.cases else self.full_of_more


def by_rank(cases: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The cases that have a place, most probable first."""
    placed = cases[cases.geometry.notna() & ~cases.geometry.is_empty]
    return placed.sort_values(["probability", "case_id"], ascending=[False, True]).reset_index(drop=True)


def case_files(
    cases: gpd.GeoDataFrame,
    detections: gpd.GeoDataFrame,
    bounds: Bounds,
    as_of: date,
    limits: PageLimits,
) -> list[dict[str, Any]]:
    """The most probable cases in full, first to last, each with its rank.

    Names of mines are in `owners`, once a mine.
    """
    shown = by_rank(cases)
    shown = shown.head(limits.full(len(shown)))
    if shown.empty:
        return []
    series = SeriesShelf(detections, limits)
    at = shown.geometry.representative_point()
    places = zip(at, at.to_crs("EPSG:4326"), outlines(shown.geometry, thinning(bounds) / 2), strict=True)
    rows = enumerate(zip(shown.to_dict("records"), places, strict=True), start=1)
    return [
        {
            "rank": rank,
            **facts(row, as_of),
            "x": number(place.x, 1),
            "y": number(place.y, 1),
            "lon": number(degrees.x, 6),
            "lat": number(degrees.y, 6),
            "shift": shift(degrees.x, degrees.y),
            "shape": outline,
            "evidence": [list(series.with_term(term).values()) for term in terms(row["evidence"])],
        }
        for rank, (row, (place, degrees, outline)) in rows
    ]


def facts(row: dict[str, Any], as_of: date) -> dict[str, Any]:
    """What the table of cases says of one."""
    return {
        "id": harmless(str(row["case_id"])),
        "kind": row["kind"],
        "p": number(row["probability"]),
        "mine": text(row["mine_id"]),
        "licence": text(row["licence_no"]),
        "jurisdiction": text(row["jurisdiction"]),
        "first": day(row["first_seen"]) or as_of.isoformat(),
        "last": day(row["last_seen"]) or as_of.isoformat(),
        "reported": day(row["first_reported"]),
        "isNew": day(row["first_reported"]) == as_of.isoformat(),
        "area": number(row["area_m2"], 0),
        "outside": number(row["area_outside_m2"], 0),
        "depth": number(row["depth_m"], 0),
        "status": row["status"],
    }


def case_points(cases: gpd.GeoDataFrame, as_of: date, limits: PageLimits) -> dict[str, list[Any]]:
    """The cases after those in full as columns of numbers and of places in lists of words; empty where there are none.

    lon, lat: 1e-6 degrees. p: 1e-4.
    """
    ranked = by_rank(cases)
    rest = ranked.iloc[limits.full(len(ranked)) :].head(limits.points)
    if rest.empty:
        return {}
    at = rest.geometry.representative_point().to_crs("EPSG:4326")
    plain = pd.DataFrame([facts(row, as_of) for row in rest.to_dict("records")])
    columns: dict[str, list[Any]] = {
        "id": plain["id"].tolist(),
        "p": (plain["p"] * 1e4).round().astype(int).tolist(),
        "area": plain["area"].fillna(0).astype(int).tolist(),
        "lon": (at.x * 1e6).round().astype(int).tolist(),
        "lat": (at.y * 1e6).round().astype(int).tolist(),
    }
    for name in ("kind", "status", "jurisdiction", "mine", "licence"):
        columns |= coded(name, plain[name])
    days, places = pd.factorize(pd.concat([plain["first"], plain["last"], plain["reported"]]), sort=True)
    columns |= {"days": places.tolist()}
    return columns | dict(zip(("first", "last", "reported"), days.reshape(3, -1).tolist(), strict=True))


def coded(name: str, values: pd.Series) -> dict[str, list[Any]]:
    """A column as numbers of words, -1 for nothing, and the words."""
    numbers, found = pd.factorize(values, sort=True)
    return {name: numbers.tolist(), f"{name}_words": found.tolist()}


def owners(mines: gpd.GeoDataFrame | None, cases: gpd.GeoDataFrame) -> dict[str, list[str | None]]:
    """Name and operator of every mine that has a case, where the register knows it."""
    if mines is None:
        return {}
    wanted = mines[mines["mine_id"].isin(cases["mine_id"].dropna())]
    rows = zip(wanted["mine_id"], wanted["name"], wanted["operator"], strict=True)
    return {harmless(str(mine_id)): [text(name), text(operator)] for mine_id, name, operator in rows}


def shift(lon: float, lat: float) -> list[int] | None:
    """How far GCJ-02 lies from WGS 84, in steps of 1e-6 degrees; None where Chinese maps are not in use."""
    found = to_gcj02(lon, lat)
    return None if found is None else [round((found[0] - lon) * 1e6), round((found[1] - lat) * 1e6)]


def in_columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of one shape with their keys written once: {columns, rows}."""
    columns = list(rows[0]) if rows else []
    return {"columns": columns, "rows": [[row[name] for name in columns] for row in rows]}


def terms(evidence: Any) -> list[dict[str, Any]]:
    """The terms of a case's evidence; what cannot be read is left out."""
    try:
        found = json.loads(evidence)
    except (TypeError, ValueError):
        return []
    readable = [term for term in found if isinstance(term, dict) and term.get("detector") in DETECTORS]
    return [
        {
            "detector": term["detector"],
            "id": str(term.get("detection_id", "")),
            "nats": number(term.get("log_lr", 0.0), 2) or 0.0,
            "says": harmless(str(term.get("says", ""))),
        }
        for term in readable
    ]


class SeriesShelf:
    """The evidence series of the detections, handed out until the page has no room for more."""

    def __init__(self, detections: gpd.GeoDataFrame, limits: PageLimits) -> None:
        self.attributes = dict(zip(detections["detection_id"], detections["attributes"], strict=True))
        self.limits = limits
        self.room = limits.series_bytes

    def with_term(self, term: dict[str, Any]) -> dict[str, Any]:
        """A term with its series: None where there is none, False where there was no room."""
        attributes = self.attributes.get(term.pop("id"))
        if self.room <= 0:
            return {**term, "series": False if '"series"' in str(attributes) else None}
        series = readable_series(attributes, self.limits.series_points)
        self.room -= 0 if series is None else len(json.dumps(series, separators=(",", ":")))
        return {**term, "series": series}


def readable_series(attributes: Any, most: int) -> dict[str, Any] | None:
    """The series in a detection's attributes, thinned to `most` points; None where it is absent or not a series.

    Days are counted from the series' `start`.
    """
    try:
        series = json.loads(attributes)["series"]
        dates = [pd.Timestamp(value).normalize() for value in series["dates"]]
        columns = {name: [finite(value) for value in series[name]] for name in SERIES if series.get(name)}
    except (TypeError, ValueError, KeyError):
        return None
    if not dates or not columns.get("observed") or any(len(column) != len(dates) for column in columns.values()):
        return None
    if all(value is None for value in columns["observed"]):
        return None
    step = math.ceil(len(dates) / most)
    thinned = {name: column[::step] for name, column in columns.items()}
    days = [(one - dates[0]).days for one in dates[::step]]
    return {"start": day(dates[0]), "days": days, **thinned, "unit": harmless(str(series.get("unit") or ""))}


def finite(value: Any) -> float | None:
    """A number of four significant digits; None for a gap."""
    return float(f"{float(value):.4g}") if value is not None and math.isfinite(float(value)) else None
