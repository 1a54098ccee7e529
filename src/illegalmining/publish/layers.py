"""The map's layers as plain values for its page: outlines in degrees, register rows, cells, blind ground."""

from __future__ import annotations

import base64
import io
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from PIL import Image
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from illegalmining.publish.style import palette
from illegalmining.publish.text import harmless

Bounds = tuple[float, float, float, float]
# Whole numbers of this many degrees: 0.1 m.
STEP_DEGREES = 1e-6
# Outlines are thinned to this share of the district's longer side: less than a pixel of the map on opening.
THINNING = 1 / 8000
MOST_FEATURES = 5000
BLIND_CELLS_ACROSS = 160
COVERAGE_PIXELS_ACROSS = 400


def packed(outline: BaseGeometry) -> list[list[list[int]]]:
    """Polygons as lists of rings of whole numbers: the first point, then the steps to the next ones."""
    polygons = [part for part in shapely.get_parts(outline) if part.geom_type == "Polygon" and not part.is_empty]
    return [[packed_ring(ring) for ring in (polygon.exterior, *polygon.interiors)] for polygon in polygons]


def packed_ring(ring: BaseGeometry) -> list[int]:
    """One ring without its closing point."""
    points = np.round(shapely.get_coordinates(ring)[:-1] / STEP_DEGREES).astype(np.int64)
    return np.diff(points, axis=0, prepend=np.zeros((1, 2), dtype=np.int64)).ravel().tolist()


def outlines(shapes: gpd.GeoSeries, thinning_m: float) -> list[list[list[list[int]]] | None]:
    """Each shape packed, in WGS 84; None for what has no area."""
    thinned = shapes.simplify(thinning_m).where(lambda kept: ~kept.is_empty, shapes)
    degrees = thinned.to_crs("EPSG:4326")
    return [None if one is None or one.is_empty else packed(one) or None for one in degrees]


def near(frame: gpd.GeoDataFrame | None, bounds: Bounds) -> gpd.GeoDataFrame | None:
    """The rows that touch the district; None for an absent register or none there."""
    if frame is None or frame.empty:
        return None
    kept = frame[frame.geometry.notna() & frame.intersects(box(*bounds))].head(MOST_FEATURES)
    return None if kept.empty else kept


def text(value: Any) -> str | None:
    """A register's text, harmless; None where it is empty."""
    return None if value is None or value is pd.NaT or value != value else harmless(str(value))


def day(value: Any) -> str | None:
    """An ISO date; None where it is open."""
    return None if pd.isna(value) else pd.Timestamp(value).date().isoformat()


def number(value: Any, digits: int = 4) -> float | None:
    """A finite number, rounded; None for nothing."""
    return round(float(value), digits) if value is not None and np.isfinite(value) else None


def licences(concessions: gpd.GeoDataFrame | None, bounds: Bounds, as_of: date) -> list[dict[str, Any]]:
    """Licences, and whether each is in force on the as-of day (also by an accepted renewal)."""
    kept = near(concessions, bounds)
    if kept is None:
        return []
    today = pd.Timestamp(as_of)
    rows = []
    for row, outline in zip(kept.to_dict("records"), outlines(kept.geometry, thinning(bounds)), strict=True):
        expired = pd.notna(row["valid_to"]) and row["valid_to"] <= today
        renewing = pd.notna(row.get("renewal_applied")) and row["renewal_applied"] <= today
        about = {
            "no": text(row["licence_no"]),
            "holder": text(row["holder"]),
            "mineral": text(row["mineral"]),
            "method": text(row["method"]),
            "from": day(row["valid_from"]),
            "to": day(row["valid_to"]),
            "applied": day(row.get("renewal_applied")),
            "valid": bool(row["valid_from"] <= today and (not expired or renewing)),
            "shape": outline,
        }
        rows.append(about)
    return [row for row in rows if row["shape"]]


def mines(register: gpd.GeoDataFrame | None, bounds: Bounds) -> list[dict[str, Any]]:
    """Mines as points, with their yard's outline where the register has one."""
    kept = near(register, bounds)
    if kept is None:
        return []
    places = kept.representative_point().to_crs("EPSG:4326")
    rows = zip(kept.to_dict("records"), outlines(kept.geometry, thinning(bounds)), places, strict=True)
    return [
        {
            "id": text(row["mine_id"]),
            "name": text(row["name"]),
            "operator": text(row["operator"]),
            "method": text(row["method"]),
            "licence": text(row.get("licence_no")),
            "lon": number(place.x, 6),
            "lat": number(place.y, 6),
            "shape": outline,
        }
        for row, outline, place in rows
    ]


def roads(register: gpd.GeoDataFrame | None, bounds: Bounds) -> list[dict[str, Any]]:
    """Roads as packed lines, with their class."""
    kept = near(register, bounds)
    if kept is None:
        return []
    thinned = kept.geometry.intersection(box(*bounds)).simplify(thinning(bounds))
    rows = zip(kept["class"], thinned.to_crs("EPSG:4326"), strict=True)
    found = [{"class": text(name), "lines": packed_lines(line)} for name, line in rows]
    return [row for row in found if row["lines"]]


def packed_lines(line: BaseGeometry) -> list[list[int]]:
    """Each line of a shape as whole numbers: the first point, then the steps to the next ones."""
    parts = [part for part in shapely.get_parts(line) if part.geom_type == "LineString" and not part.is_empty]
    points = [np.round(shapely.get_coordinates(part) / STEP_DEGREES).astype(np.int64) for part in parts]
    return [np.diff(one, axis=0, prepend=np.zeros((1, 2), dtype=np.int64)).ravel().tolist() for one in points]


def jurisdictions(register: gpd.GeoDataFrame | None, bounds: Bounds) -> list[dict[str, Any]]:
    """Borders and names."""
    kept = near(register, bounds)
    if kept is None:
        return []
    rows = zip(kept["code"], kept["name"], outlines(kept.geometry, thinning(bounds)), strict=True)
    return [{"code": text(code), "name": text(name), "shape": outline} for code, name, outline in rows if outline]


def cells(hotspots: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """The cells worth drawing: clusters, and cells with a case; the hottest where there are too many.

    A cluster is significant and has two cases or more: one case alone is a case, not a cluster.
    """
    cluster = hotspots["significant"] & (hotspots["cases_near"] > 1)
    kept = hotspots.assign(cluster=cluster)[cluster | (hotspots["expected_sites"] > 0)]
    kept = kept.sort_values(["gi_z", "cell_id"], ascending=[False, True]).head(MOST_FEATURES)
    shapes = [packed(square) for square in kept.geometry.to_crs("EPSG:4326")]
    rows = kept[["expected_sites", "gi_z", "p_value", "significant", "trend", "cluster", "cases_near"]].itertuples(
        index=False
    )
    return [
        {
            "expected": number(row.expected_sites),
            "z": number(row.gi_z),
            "p": number(row.p_value, 6),
            "significant": bool(row.significant),
            "cluster": bool(row.cluster),
            "cases": int(row.cases_near),
            "trend": row.trend,
            "shape": square,
        }
        for row, square in zip(rows, shapes, strict=True)
    ]


def thinning(bounds: Bounds) -> float:
    """How far an outline may be moved by thinning, m."""
    return max(bounds[2] - bounds[0], bounds[3] - bounds[1]) * THINNING


def blind_ground(coverage: xr.DataArray | None, bounds: Bounds, crs: Any) -> list[list[list[list[int]]]]:
    """Where no sensor saw anything, packed."""
    shapes = gpd.GeoSeries(blind_shapes(coverage, bounds, crs), crs=crs)
    return [packed(one) for one in shapes.to_crs("EPSG:4326")]


def blind_shapes(coverage: xr.DataArray | None, bounds: Bounds, crs: Any) -> list[BaseGeometry]:
    """Where no sensor saw anything: cells more blind than not, as outlines; the whole district without a coverage."""
    if coverage is None:
        return [box(*bounds)]
    blind = np.isnan(coverage.transpose("y", "x").values).astype("float32")
    step = max(1, int(np.ceil(max(blind.shape) / BLIND_CELLS_ACROSS)))
    rows, columns = (int(np.ceil(length / step)) for length in blind.shape)
    # a cell cut by the edge counts what it has
    grown = np.full((rows * step, columns * step), np.nan, dtype="float32")
    grown[: blind.shape[0], : blind.shape[1]] = blind
    coarse = (np.nanmean(grown.reshape(rows, step, columns, step), axis=(1, 3)) > 0.5).astype("uint8")
    fine = coverage.odc.geobox.transform
    transform = Affine(fine.a * step, 0.0, fine.c, 0.0, fine.e * step, fine.f)
    found = rasterio.features.shapes(coarse, mask=coarse.astype(bool), transform=transform)
    own = gpd.GeoSeries([shape(outline) for outline, _ in found], crs=str(coverage.odc.geobox.crs))
    inside = own.to_crs(crs).intersection(box(*bounds))
    return [one for one in inside if one.area > 0]


def coverage_picture(coverage: xr.DataArray | None) -> tuple[bytes, Bounds] | None:
    """The smallest site that would have been seen, in classes: a PNG in Web Mercator, its bounds in degrees."""
    if coverage is None or not np.isfinite(coverage.values).any():
        return None
    coverage = coverage.where(np.isfinite(coverage))
    extent = coverage.odc.geobox.extent.to_crs("EPSG:3857").boundingbox
    pixel = max(extent.span_x, extent.span_y) / min(COVERAGE_PIXELS_ACROSS, max(coverage.shape))
    grid = GeoBox.from_bbox(extent, crs="EPSG:3857", resolution=pixel)
    smallest = xr_reproject(coverage, grid, resampling="nearest", dst_nodata=np.nan).values
    classes = palette()["coverage"]
    limits = [one["up_to"] for one in classes if one["up_to"] is not None]
    index = np.where(np.isnan(smallest), len(classes), np.digitize(smallest, limits, right=True)).astype("uint8")
    picture = Image.fromarray(index, "P")
    picture.putpalette(bytes.fromhex("".join(one["colour"][1:] for one in classes)) + b"\0\0\0")
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=len(classes), optimize=True)
    degrees = grid.extent.to_crs("EPSG:4326").boundingbox
    return stream.getvalue(), (degrees.left, degrees.bottom, degrees.right, degrees.top)


def overlay(picture: tuple[bytes, Bounds] | None) -> dict[str, Any] | None:
    """A picture as the page embeds it: a data address and corners in Leaflet's order (south-west, north-east)."""
    if picture is None:
        return None
    content, (west, south, east, north) = picture
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg" if content.startswith(b"\xff\xd8") else "webp"
    encoded = base64.b64encode(content).decode()
    return {"src": f"data:image/{kind};base64,{encoded}", "bounds": [[south, west], [north, east]]}
