"""What a map is made of, as a whole or for one jurisdiction and nothing else."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.features import geometry_mask
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from illegalmining.hotspots import Bounds, Earlier, hotspots

Picture = tuple[bytes, Bounds]


@dataclass(frozen=True)
class MapContent:
    """Everything a map shows.

    part: the jurisdiction's name where the map is of one alone.
    bounds, crs: the district's, metres. detections: those the evidence of the cases names. coverage:
    `coverage.smallest_site`, None where no source made one. background: a picture in Web Mercator's grid and its (west,
    south, east, north) in degrees. sources: `name`, `sensor`, `first`, `last`, `dates` of each. remarks: what could not
    be judged, worded. run: `version`.
    """

    district_name: str
    language: str
    as_of: date
    bounds: Bounds
    crs: Any
    cases: gpd.GeoDataFrame
    detections: gpd.GeoDataFrame
    hotspots: gpd.GeoDataFrame
    concessions: gpd.GeoDataFrame | None = None
    mines: gpd.GeoDataFrame | None = None
    jurisdictions: gpd.GeoDataFrame | None = None
    roads: gpd.GeoDataFrame | None = None
    coverage: xr.DataArray | None = None
    background: Picture | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    part: str = ""

    @property
    def name(self) -> str:
        """What the map is of."""
        return f"{self.district_name} · {self.part}" if self.part else self.district_name

    @property
    def working_crs(self) -> pyproj.CRS:
        """The district's CRS."""
        return pyproj.CRS.from_user_input(self.crs)


def within(whole: MapContent, code: str, earlier: Earlier = ()) -> MapContent:
    """The part of a map that belongs to one jurisdiction with all below it, and nothing else.

    A case goes to the jurisdiction its row names, with its whole outline; everything else is cut at the border: what
    lies across it is left out, also from the statistics of the cells.
    """
    assert whole.jurisdictions is not None, "a map without jurisdictions has no parts"
    codes = family(whole.jurisdictions, code)
    units = whole.jurisdictions[whole.jurisdictions["code"].isin(codes)]
    border = units.union_all()
    cases = whole.cases[whole.cases["jurisdiction"].isin(codes)].reset_index(drop=True)
    named = detections_named(cases)
    spots = hotspots(
        cases,
        units,
        whole.bounds,
        whole.crs,
        whole.as_of,
        earlier=[(day, found[found["jurisdiction"].isin(codes)]) for day, found in earlier],
        within=border,
    )
    return replace(
        whole,
        part=str(units.loc[units["code"] == code, "name"].iloc[0]),
        bounds=bounds_within(whole.bounds, border, cases),
        cases=cases,
        detections=whole.detections[whole.detections["detection_id"].isin(named)].reset_index(drop=True),
        hotspots=spots,
        concessions=cut(whole.concessions, border),
        mines=inside(whole.mines, border),
        jurisdictions=units.reset_index(drop=True),
        roads=cut(whole.roads, border),
        coverage=masked(whole.coverage, border),
        background=cropped(whole.background, border, whole.crs),
    )


def family(jurisdictions: gpd.GeoDataFrame, code: str) -> set[str]:
    """A jurisdiction's code and those of all below it; empty where there is no such jurisdiction."""
    found = {code} & set(jurisdictions["code"])
    while True:
        below = set(jurisdictions.loc[jurisdictions["parent_code"].isin(found), "code"])
        if below <= found:
            return found
        found |= below


def detections_named(cases: gpd.GeoDataFrame) -> set[str]:
    """Ids of the detections that the evidence of the cases names."""
    terms = [term for evidence in cases["evidence"] for term in json.loads(evidence)]
    return {str(term["detection_id"]) for term in terms if term.get("detection_id")}


def bounds_within(bounds: Bounds, border: BaseGeometry, cases: gpd.GeoDataFrame) -> Bounds:
    """The part of the district's bounds that the border and its cases take up; all of them where they miss it."""
    parts = [border, *(shape for shape in cases.geometry if shape is not None)]
    extent = shapely.union_all([box(*part.bounds) for part in parts if not part.is_empty]).intersection(box(*bounds))
    return bounds if extent.is_empty else tuple(float(value) for value in extent.bounds)  # type: ignore[return-value]


def cut(frame: gpd.GeoDataFrame | None, border: BaseGeometry) -> gpd.GeoDataFrame | None:
    """The rows that reach inside the border, cut at it; of what only touches it, nothing."""
    if frame is None or frame.empty:
        return frame
    pieces = frame.geometry.make_valid().intersection(border)
    dimension = shapely.get_dimensions(frame.geometry.to_numpy())
    alike = [of_dimension(piece, rank) for piece, rank in zip(pieces, dimension, strict=True)]
    kept = frame.set_geometry(gpd.GeoSeries(alike, index=frame.index, crs=frame.crs))
    return kept[~kept.geometry.is_empty].reset_index(drop=True)


def of_dimension(shape: BaseGeometry, rank: int) -> BaseGeometry:
    """The parts of a shape that are areas (2), lines (1) or points (0)."""
    parts = [part for part in shapely.get_parts(shape) if shapely.get_dimensions(part) == rank]
    return shapely.union_all(parts) if parts else shapely.Point()


def inside(frame: gpd.GeoDataFrame | None, border: BaseGeometry) -> gpd.GeoDataFrame | None:
    """The rows whose place lies inside the border, cut at it."""
    if frame is None or frame.empty:
        return frame
    return cut(frame[frame.representative_point().within(border)], border)


def masked(coverage: xr.DataArray | None, border: BaseGeometry) -> xr.DataArray | None:
    """A coverage of the cells that touch the border's inside, and no others; outside it is marked infinite."""
    if coverage is None:
        return None
    grid: GeoBox = coverage.odc.geobox
    outside = geometry_mask([border], grid.shape, grid.transform, all_touched=True)
    rows, columns = np.flatnonzero(~outside.all(axis=1)), np.flatnonzero(~outside.all(axis=0))
    if not len(rows):
        return None
    taken = {"y": slice(rows[0], rows[-1] + 1), "x": slice(columns[0], columns[-1] + 1)}
    part = coverage.transpose("y", "x").isel(taken)
    return part.where(~outside[taken["y"], taken["x"]], np.inf)


def cropped(picture: Picture | None, border: BaseGeometry, crs: Any) -> Picture | None:
    """A picture of what lies inside the border, transparent outside."""
    if picture is None:
        return None
    content, degrees = picture
    image = Image.open(io.BytesIO(content)).convert("RGBA")
    mercator = gpd.GeoSeries([box(*degrees)], crs="EPSG:4326").to_crs("EPSG:3857").total_bounds
    grid = GeoBox.from_bbox(mercator, crs="EPSG:3857", shape=(image.height, image.width))
    shape = gpd.GeoSeries([border], crs=crs).to_crs("EPSG:3857").iloc[0]
    outside = geometry_mask([shape], grid.shape, grid.transform)
    rows, columns = np.flatnonzero(~outside.all(axis=1)), np.flatnonzero(~outside.all(axis=0))
    if not len(rows):
        return None
    pixels = np.asarray(image).copy()
    pixels[outside] = 0
    taken = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    stream = io.BytesIO()
    Image.fromarray(pixels[taken]).save(stream, "WEBP", quality=80, method=4)
    part = grid[taken].extent.to_crs("EPSG:4326").boundingbox
    return stream.getvalue(), (part.left, part.bottom, part.right, part.top)
