"""European Ground Motion Service: points with their series in CSV, to a grid."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pyproj
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.grids import blocks, district_crs, district_extent, rounded
from illegalmining.imagery.scenes import check_period, in_period
from illegalmining.registers.quarantine import SetAside

DATE = re.compile(r"\d{8}")
POINTS_CRS = "EPSG:3035"
METRES_PER_MM = 1e-3
ROWS_AT_A_TIME = 100_000
LONGEST_LINE = 4 << 20
"""Bytes of a header: a column a date for ten years takes some kilobytes."""
FINEST_M, COARSEST_M = 20.0, 100.0
SPACINGS = 1.5
"""A cell is as wide as this many spacings of the points, so that few cells between points stay empty."""
QUALITY = "temporal_coherence"
VECTOR = ("los_east", "los_north", "los_up")


def is_egms(path: Path) -> bool:
    """Whether a file is a CSV with the columns of the service."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as stream:
        if b"\n" not in stream.read(LONGEST_LINE):
            raise InputError(f"{path.name}: its first line does not end within {LONGEST_LINE >> 20} MiB: no table")
    columns = set(pd.read_csv(path, nrows=0).columns)
    return {"easting", "northing"} <= columns and any(DATE.fullmatch(name) for name in columns)


def open_egms(path: Path, source: ImagerySource, district: District, aside: SetAside) -> xr.Dataset:
    """Mean movement of the points in each cell, m along the line of sight, towards the satellite; NaN without a point.

    The vertical component (Ortho, no line of sight) has an incidence of 0. Pixel size as configured, else from the
    spacing of the points.

    Raises
    ------
    InputError
        No date in the period, no point in the district, or the east-west component, which is no line of sight.
    """
    if re.search(r"(^|_)E(_|\.)", path.name):
        raise InputError(
            f"{aside.file}: the east-west component is not towards a satellite; use Basic, Calibrated or U"
        )
    names = pd.read_csv(path, nrows=0).columns
    dates = {name: datetime.strptime(name, "%Y%m%d").date() for name in names if DATE.fullmatch(name)}
    check_period(list(dates.values()), source, district)
    dates = {name: day for name, day in dates.items() if in_period(day, district)}
    points = points_within(path, [*dates], district, source)
    crs = district_crs(district)
    east, north = pyproj.Transformer.from_crs(POINTS_CRS, district.crs, always_xy=True).transform(
        points["easting"].to_numpy(), points["northing"].to_numpy()
    )
    size = source.resolution or spacing(east, north)
    own = district.geobox(size)
    grid = GeoBox(own.shape, own.affine, crs)
    column, row = ~grid.affine * (east, north)
    inside = (row >= 0) & (row < grid.shape.y) & (column >= 0) & (column < grid.shape.x)
    points = points[inside]
    cells = row[inside].astype(int) * grid.shape.x + column[inside].astype(int)
    days = sorted(dates, key=lambda name: dates[name])
    moved = np.stack([mean_by_cell(points[day].to_numpy(float), cells, grid) for day in days]) * METRES_PER_MM
    spatial = blocks(grid.shape.yx, len(days), 1)
    cube = xr.Dataset(coords={"time": pd.to_datetime(days).as_unit("ns").values, **xr_coords(grid)})
    lazy = da.from_array(moved.astype(np.float32), chunks=((len(days),), *spatial))
    cube["displacement"] = (("time", "y", "x"), lazy, {"grid_mapping": "spatial_ref"})
    if QUALITY in points:
        coherence = mean_by_cell(points[QUALITY].to_numpy(float), cells, grid).astype(np.float32)
        cube[QUALITY] = (("y", "x"), da.from_array(coherence, chunks=spatial), {"grid_mapping": "spatial_ref"})
    return cube.assign_attrs(look_of_points(points))


def points_within(path: Path, dates: list[str], district: District, source: ImagerySource) -> pd.DataFrame:
    """Points in the district's bounds, read a part at a time: files have millions of rows."""
    box = district_extent(district).to_crs(POINTS_CRS).boundingbox
    wanted = {"easting", "northing", QUALITY, "incidence_angle", "track_angle", *VECTOR, *dates}
    parts, corners = [], []
    for part in pd.read_csv(path, usecols=lambda name: name in wanted, chunksize=ROWS_AT_A_TIME, low_memory=False):
        part = part.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
        corners.append((part["easting"].min(), part["northing"].min(), part["easting"].max(), part["northing"].max()))
        parts.append(part[part["easting"].between(box.left, box.right) & part["northing"].between(box.bottom, box.top)])
    points = pd.concat(parts, ignore_index=True)
    if points.empty:
        found = np.array(corners)
        extent = [*found[:, :2].min(axis=0), *found[:, 2:].max(axis=0)]
        raise InputError(
            f"imagery {source.name} ({source.href}): no point lies in the district. The points cover "
            f"{rounded(extent)}, the district {rounded(box.bbox)} in {POINTS_CRS}: check href, bounds and crs"
        )
    return points


def spacing(east: np.ndarray, north: np.ndarray) -> float:
    """A pixel size in m for scattered points, from the median distance to the nearest neighbour."""
    if len(east) < 2:
        return COARSEST_M
    from scipy.spatial import cKDTree  # takes a fifth of a second to import, which every quiet night would pay

    nearest = cKDTree(np.column_stack([east, north])).query(np.column_stack([east, north]), k=2)[0][:, 1]
    return float(np.clip(np.ceil(SPACINGS * np.median(nearest) / 10) * 10, FINEST_M, COARSEST_M))


def mean_by_cell(values: np.ndarray, cells: np.ndarray, grid: GeoBox) -> np.ndarray:
    """The mean of the values in each cell (y, x), NaN where there is none."""
    known = np.isfinite(values)
    size = grid.shape.y * grid.shape.x
    count = np.bincount(cells[known], minlength=size)
    total = np.bincount(cells[known], weights=values[known], minlength=size)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan).reshape(grid.shape.yx)


def look_of_points(points: pd.DataFrame) -> dict[str, float]:
    """The mean look direction of the points, from the vector ground to satellite; vertical for the Ortho component."""
    if set(VECTOR) <= set(points.columns):
        east, north, up = (float(points[name].mean()) for name in VECTOR)
        return {
            "incidence_angle": float(np.degrees(np.arctan2(np.hypot(east, north), up))),
            "azimuth_angle": float(np.degrees(np.arctan2(east, north)) % 360),
        }
    if {"incidence_angle", "track_angle"} <= set(points.columns):
        azimuth = (float(points["track_angle"].mean()) - 90.0) % 360
        return {"incidence_angle": float(points["incidence_angle"].mean()), "azimuth_angle": azimuth}
    return {"incidence_angle": 0.0, "azimuth_angle": 0.0}
