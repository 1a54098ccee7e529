"""`hotspots.html`: one file with everything in it, that never asks a network for anything."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import xarray as xr

from illegalmining.atomic import write_bytes
from illegalmining.errors import IllegalMiningError
from illegalmining.publish import layers
from illegalmining.publish.casefile import PageLimits, case_files, case_points, in_columns, owners
from illegalmining.publish.casetiles import fingerprint, wanted
from illegalmining.publish.content import MapContent
from illegalmining.publish.spreadsheet import crs_name
from illegalmining.publish.style import palette
from illegalmining.publish.text import harmless, word, words

# What would make a browser fetch something; namespaces and comments do not.
REMOTE = re.compile(
    r"""(?:src|href|srcset|action|poster|data|code|archive)\s*=\s*\\?["']?\s*(?:https?:|ftp:|wss?:|//)"""
    r"""|\burl\(\s*["']?(?!data:|\#)|@import|sourceMappingURL|https?://[^\s"']*\{[xyz]\}"""
    r"""|\b(?:fetch|importScripts|eval)\s*\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|new\s+Function\b""",
    re.IGNORECASE,
)


class RemoteReferenceError(IllegalMiningError):
    """A page was about to be written that would ask a network for something: a bug in the template or its assets."""


def publish_page(path: Path, content: MapContent, limits: PageLimits | None = None) -> Path:
    """Write the map page.

    Raises
    ------
    RemoteReferenceError
        The page would ask a network for something.
    """
    return write_bytes(path, page(page_data(content, limits or PageLimits())).encode())


def page_data(content: MapContent, limits: PageLimits) -> dict[str, Any]:
    """Everything the page's scripts draw, as plain values."""
    working, bounds = content.working_crs, content.bounds
    return {
        **heading(content),
        "crs": {"name": working.name, "code": crs_name(working) if working.to_authority() else ""},
        "bounds": degrees_of(bounds, working),
        "cases": in_columns(case_files(content.cases, content.detections, bounds, content.as_of, limits)),
        "points": case_points(content.cases, content.as_of, limits),
        "owners": owners(content.mines, content.cases),
        "total": len(content.cases),
        "tiles": fingerprint(content.cases) if wanted(content.cases, limits) else None,
        "cells": layers.cells(content.hotspots),
        "cellSide": cell_side(content.hotspots),
        "trendOver": trend_over(content.hotspots),
        "licences": layers.licences(content.concessions, bounds, content.as_of),
        "mines": layers.mines(content.mines, bounds),
        "roads": layers.roads(content.roads, bounds),
        "jurisdictions": layers.jurisdictions(content.jurisdictions, bounds),
        "background": layers.overlay(content.background),
        **seen(content.coverage, bounds, working),
        "sources": [source_line(source) for source in content.sources],
        "remarks": [harmless(remark) for remark in content.remarks],
    }


def heading(content: MapContent) -> dict[str, Any]:
    """What the page is of, and the words and colours it is told in."""
    return {
        "language": content.language if content.language in ("en", "zh") else "en",
        "words": words(),
        "palette": palette(),
        "district": harmless(content.name),
        "asOf": content.as_of.isoformat(),
        "version": harmless(str(content.run.get("version", ""))),
    }


def degrees_of(bounds: tuple[float, float, float, float], crs: pyproj.CRS) -> list[list[float]]:
    """The district's corners in Leaflet's order: south-west, north-east."""
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*bounds)
    return [[round(south, 6), round(west, 6)], [round(north, 6), round(east, 6)]]


def cell_side(hotspots: gpd.GeoDataFrame) -> float | None:
    """Side of the hot spot cells, m."""
    if hotspots.empty:
        return None
    west, _, east, _ = hotspots.geometry.iloc[0].bounds
    return round(east - west, 1)


def trend_over(hotspots: gpd.GeoDataFrame) -> str:
    """What the steps of the cells' trends are: `runs` or `evidence`."""
    return "evidence" if hotspots.empty else str(hotspots["trend_over"].iloc[0])


def seen(coverage: xr.DataArray | None, bounds: tuple[float, float, float, float], crs: pyproj.CRS) -> dict[str, Any]:
    """Blind ground and what would have been seen elsewhere."""
    known = coverage is not None
    values = np.asarray(coverage.values) if coverage is not None else np.full(1, np.nan)
    ours = ~np.isinf(values)
    sharp = np.isfinite(values)
    return {
        "coverageKnown": known,
        "blind": layers.blind_ground(coverage, bounds, crs),
        "blindShare": round(float(1 - sharp.sum() / max(ours.sum(), 1)), 4),
        "typicalSite": layers.number(np.median(values[sharp]), 0) if sharp.any() else None,
        "coverageImage": layers.overlay(layers.coverage_picture(coverage)),
    }


def source_line(source: dict[str, Any]) -> dict[str, Any]:
    """What the page says of a source."""
    return {
        "name": harmless(str(source.get("name", ""))),
        "sensor": str(source.get("sensor", "")),
        "first": source.get("first"),
        "last": source.get("last"),
        "dates": source.get("dates"),
    }


def page(data: dict[str, Any]) -> str:
    """The page's text, checked: every part of it but the title and the data is ours, and none of it is remote."""
    leaflet, leaflet_style = leaflet_assets()
    script = own_script()
    style = leaflet_style + (files("illegalmining.maps") / "page.css").read_text("utf-8")
    language = data["language"]
    parts = {
        "language": "zh-CN" if language == "zh" else "en",
        "title": "",
        "policy": policy([leaflet, script], style),
        "style": style,
        "noscript": html.escape(word("noscript", language)),
        "leaflet": leaflet,
        "script": script,
        "data": "",
    }
    template = (files("illegalmining.maps") / "page.html").read_text("utf-8")
    refuse_remote(filled(template, parts))
    title = html.escape(f"{word('title', language)} · {data['district']}")
    return filled(template, {**parts, "title": title, "data": embedded(data)})


def filled(template: str, parts: dict[str, str]) -> str:
    """The template with `{{name}}` replaced, each once; what is put in is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], template)


def embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end its script element, nor look like an address to whoever scans the file."""
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("//", "\\/\\/")):
        encoded = encoded.replace(character, escape)
    return encoded


def leaflet_assets() -> tuple[str, str]:
    """(script, style) of Leaflet as installed, without the links and pictures that the page does not use."""
    from xstatic.pkg import leaflet

    folder = Path(leaflet.BASE_DIR)
    script = (folder / "leaflet.js").read_text("utf-8")
    script = re.sub(r"//# sourceMappingURL=.*", "", script).replace('<a href="https://leafletjs.com"', "<a")
    script = script.replace("https://leafletjs.com", "leafletjs.com")
    style = re.sub(r"/\*.*?\*/", "", (folder / "leaflet.css").read_text("utf-8"), flags=re.DOTALL)
    style = re.sub(r"[^;{}]*url\([^;}]*\)\s*;", "", style)
    return script.strip() + "\n", style


def own_script() -> str:
    """The page's own scripts in the order of their names, in one scope."""
    found = sorted(
        (one for one in (files("illegalmining.maps") / "js").iterdir() if one.name.endswith(".js")),
        key=lambda one: one.name,
    )
    joined = "\n".join(one.read_text("utf-8") for one in found)
    return f"(function () {{\n'use strict';\n{joined}}})();\n"


def policy(scripts: list[str], style: str) -> str:
    """A content security policy under which only these scripts and this style run and nothing can be fetched."""
    allowed = " ".join(hash_source(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {hash_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def hash_source(content: str) -> str:
    """The SHA-256 by which a policy names an inline element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def refuse_remote(text: str) -> None:
    """Raise `RemoteReferenceError` where the page names anything outside itself."""
    found = REMOTE.search(text)
    if found:
        around = text[max(0, found.start() - 40) : found.end() + 40]
        raise RemoteReferenceError(
            f"the map page would not be self-contained: found {around!r}; expected no address, import or loader in "
            "illegalmining.maps or Leaflet; remove it there"
        )
