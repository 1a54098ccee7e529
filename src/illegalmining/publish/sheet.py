"""`hotspots.pdf`: the map on one A3 sheet, and behind it the table of its spots and licences."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import typst

from illegalmining.atomic import write_bytes
from illegalmining.publish.casefile import by_rank, owners, terms
from illegalmining.publish.content import MapContent
from illegalmining.publish.layers import day, text
from illegalmining.publish.page import cell_side, seen, source_line, trend_over
from illegalmining.publish.sheetmap import Frame, SheetLimits, drawing, frame_of, ground, labels, spots
from illegalmining.publish.spreadsheet import crs_name
from illegalmining.publish.style import palette
from illegalmining.publish.text import harmless, word, words


@dataclass(frozen=True)
class CellLimits:
    """How much text a cell of the table takes. most: characters of a value. unbroken: a longer run may be broken."""

    most: int = 160
    unbroken: int = 18


def publish_sheet(path: Path, content: MapContent, limits: SheetLimits | None = None) -> Path:
    """Write the printed map; the same content gives the same bytes."""
    limits = limits or SheetLimits()
    frame = frame_of(content.bounds, limits)
    shown = by_rank(content.cases).head(limits.cases)
    placed = spots(shown, frame, limits)
    with tempfile.TemporaryDirectory() as folder, as_file(files("illegalmining.maps")) as maps:
        here = Path(folder)
        (here / "sheet.typ").write_bytes((maps / "sheet.typ").read_bytes())
        (here / "map.svg").write_text(drawing(content, shown, placed, frame), "utf-8")
        picture = ground(content.background, frame, content.working_crs)
        if picture is not None:
            (here / "ground.jpg").write_bytes(picture)
        data = sheet_data(content, shown, placed, frame, limits)
        data["picture"] = picture is not None
        (here / "sheet.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")
        pdf = typst.compile(str(here / "sheet.typ"), root=folder, font_paths=[str(maps / "fonts")])
    return write_bytes(path, pdf)


def sheet_data(
    content: MapContent, shown: gpd.GeoDataFrame, placed: list[dict[str, Any]], frame: Frame, limits: SheetLimits
) -> dict[str, Any]:
    """Everything the sheet's template sets, as plain values."""
    language = content.language if content.language in ("en", "zh") else "en"
    working = content.working_crs
    images = [source for source in content.sources if source.get("first") and source.get("sensor") != "power"]
    return {
        "language": language,
        "words": {key: text_of[language] for key, text_of in words().items()},
        "district": breakable(content.name, CellLimits(most=72)),
        "as_of": content.as_of.isoformat(),
        "imagery": [min(s["first"] for s in images), max(s["last"] for s in images)] if images else None,
        "version": harmless(str(content.run.get("version", ""))),
        "crs": f"{working.name} ({crs_name(working)})",
        "frame": frame.as_dict(),
        "palette": palette(),
        "spots": placed,
        "labels": labels(content, placed, frame),
        "cells": {"side": cell_side(content.hotspots), "over": trend_over(content.hotspots)},
        "clusters": bool((content.hotspots["significant"] & (content.hotspots["cases_near"] > 1)).any()),
        "kinds": {kind: int((content.cases["kind"] == kind).sum()) for kind in palette()["kinds"]},
        "total": len(content.cases),
        "rows": case_rows(shown, content, language),
        "licences": licence_rows(content, limits),
        "roads": content.roads is not None and len(content.roads) > 0,
        "mines": content.mines is not None and len(content.mines) > 0,
        "sources": [
            {**source_line(source), "name": breakable(source.get("name"), CellLimits(most=40))}
            for source in content.sources[: limits.sources]
        ],
        "unseen": unseen(content, language, limits),
    }


def unseen(content: MapContent, language: str, limits: SheetLimits) -> list[str]:
    """What could not be seen, in sentences."""
    known = seen(content.coverage, content.bounds, content.working_crs)
    share = f"{known['blindShare']:.0%}" if known["blindShare"] >= 0.01 or not known["blindShare"] else "< 1%"
    if not known["coverageKnown"]:
        lines = [word("unseen_all", language)]
    elif known["blindShare"]:
        lines = [word("unseen_share", language, share=share), word("unseen_hatch", language)]
    else:
        lines = [word("unseen_none", language)]
    if known["typicalSite"] is not None:
        lines.append(word("unseen_smallest", language, area=hectares(known["typicalSite"], language)))
    told = [breakable(remark) for remark in content.remarks[: limits.remarks]]
    more = [word("more_remarks", language)] if len(content.remarks) > limits.remarks else []
    return [*lines, word("unseen_small", language), *told, *more]


def case_rows(shown: gpd.GeoDataFrame, content: MapContent, language: str) -> list[list[str]]:
    """The table of spots: number, id, kind, probability, place, mine, licence, coordinates, size, dates, evidence."""
    if shown.empty:
        return []
    centre = shown.geometry.representative_point()
    degrees = centre.to_crs("EPSG:4326")
    names = owners(content.mines, content.cases)
    places = jurisdiction_names(content.jurisdictions)
    rows = []
    for at, row in enumerate(shown.to_dict("records")):
        mine = text(row["mine_id"]) or ""
        found = terms(row["evidence"])
        strongest = max(found, key=lambda term: term["nats"])["says"] if found else ""
        rows.append(
            [
                str(at + 1),
                row["case_id"],
                word(f"kind_{row['kind']}", language),
                percent(row["probability"]),
                places.get(row["jurisdiction"], row["jurisdiction"]),
                names.get(mine, [None])[0] or mine,
                row["licence_no"],
                f"{degrees.iloc[at].x:.6f}\n{degrees.iloc[at].y:.6f}",
                f"{centre.iloc[at].x:.1f}\n{centre.iloc[at].y:.1f}",
                hectares(row["area_m2"], language) if row["area_m2"] > 0 else None,
                hectares(row["area_outside_m2"], language) if pd.notna(row["area_outside_m2"]) else None,
                f"{day(row['first_seen'])}\n{day(row['last_seen'])}",
                word(f"status_{row['status']}", language),
                strongest,
            ]
        )
    return [[breakable(value) for value in row] for row in rows]


def licence_rows(content: MapContent, limits: SheetLimits) -> list[list[str]]:
    """The table of licences: number, holder, mineral, method, validity, elevations, area, corners."""
    if content.concessions is None:
        return []
    language = content.language
    rows = []
    for row in content.concessions.sort_values("licence_no").head(limits.licences).to_dict("records"):
        end = day(row["valid_to"]) or word("open_end", language)
        height = [number for number in (row.get("depth_top_m"), row.get("depth_bottom_m")) if pd.notna(number)]
        rows.append(
            [
                row["licence_no"],
                row["holder"],
                row["mineral"],
                word(f"method_{row['method']}", language),
                f"{day(row['valid_from'])} – {end}",
                " / ".join(f"{value:g}" for value in height),
                hectares(row["geometry"].area, language),
                corners(row["geometry"], limits.corners),
            ]
        )
    return [[breakable(value) for value in row] for row in rows]


def corners(shape: Any, most: int) -> str:
    """The boundary's corners, easting and northing; the first ones where there are many."""
    outline = max(getattr(shape, "geoms", [shape]), key=lambda part: part.area).exterior
    points = np.asarray(outline.coords)[:-1, :2]
    listed = "; ".join(f"{x:.1f}, {y:.1f}" for x, y in points[:most])
    return listed + (" …" if len(points) > most else "")


def jurisdiction_names(jurisdictions: gpd.GeoDataFrame | None) -> dict[str, str]:
    """Code -> name."""
    return {} if jurisdictions is None else dict(zip(jurisdictions["code"], jurisdictions["name"], strict=True))


def percent(share: float) -> str:
    """A probability as the page words it."""
    if 0.99 < share < 1:
        return "> 99%"
    return "< 1%" if 0 < share < 0.01 else f"{share:.0%}"


def hectares(area_m2: float, language: str) -> str:
    """An area in words: square metres when small, else hectares."""
    if area_m2 < 1000:
        return f"{area_m2:,.0f} {word('m2', language)}"
    return f"{area_m2 / 10000:,.{2 if area_m2 < 100000 else 1}f} {word('ha', language)}"


def breakable(value: Any, limits: CellLimits | None = None) -> str:
    """A register's text for a cell: harmless, cut where it is too long, and able to break; '' for nothing."""
    limits = limits or CellLimits()
    if value is None or value is pd.NaT or value != value:
        return ""
    clean = harmless(str(value))
    clean = clean if len(clean) <= limits.most else clean[: limits.most - 1] + "…"
    run = re.compile(rf"[!-~]{{{limits.unbroken}}}(?=[!-~])")
    return run.sub(lambda found: found.group(0) + "\u200b", clean)
