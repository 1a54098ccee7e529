"""The run's results as files: one writer a product, every write whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import rasterio.shutil
import shapely
import xarray as xr
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from illegalmining.atomic import atomic_file, write_bytes
from illegalmining.publish.casetiles import publish_tiles
from illegalmining.publish.geopackage import write_geopackage
from illegalmining.publish.gpx import gpx_bytes
from illegalmining.publish.kml import kml_bytes
from illegalmining.publish.spreadsheet import csv_bytes, flat, xlsx_bytes
from illegalmining.publish.style import qgis_style
from illegalmining.tables import QUARANTINE


def publish_cases(cases: gpd.GeoDataFrame, out: Path, language: str = "en") -> list[Path]:
    """`cases.parquet`, `.gpkg`, `.csv`, `.xlsx`, `.kml`, `.gpx`, of thousands `.pmtiles`; none drops a column.

    GeoParquet holds every text as it is; the others hold it harmless (see `text.py`). CSV, XLSX, KML, GPX and tiles
    add the centre in WGS 84 (`lon`, `lat`), in GCJ-02 for Chinese phone maps, and the name of the working CRS (`crs`).
    """
    cases = cases.reset_index(drop=True)
    plain = flat(cases)
    return [
        write_parquet(cases, out / "cases.parquet"),
        write_layers(out / "cases.gpkg", {"cases": cases}),
        write_bytes(out / "cases.csv", csv_bytes(plain)),
        write_bytes(out / "cases.xlsx", xlsx_bytes(plain, "cases")),
        write_bytes(out / "cases.kml", kml_bytes(cases, "cases", title="case_id", style="kind")),
        write_bytes(out / "cases.gpx", gpx_bytes(cases, language)),
        *publish_tiles(cases, out),
    ]


def publish_detections(detections: gpd.GeoDataFrame, out: Path) -> list[Path]:
    """`detections.parquet`: everything seen, also what the registers explain."""
    return [write_parquet(detections.reset_index(drop=True), out / "detections.parquet")]


def publish_hotspots(cells: gpd.GeoDataFrame, out: Path) -> list[Path]:
    """`hotspots.parquet`, `hotspots.gpkg` and `hotspots.tif` (Gi*, standard deviations)."""
    cells = cells.reset_index(drop=True)
    return [
        write_parquet(cells, out / "hotspots.parquet"),
        write_layers(out / "hotspots.gpkg", {"hotspots": cells}),
        write_raster(*cell_raster(cells, "gi_z"), cells.crs, out / "hotspots.tif", "gi_z"),
    ]


def publish_coverage(coverage: xr.DataArray, out: Path) -> list[Path]:
    """`coverage.tif`: the smallest site that would have been seen, m2, NaN where blind."""
    values = np.asarray(coverage.transpose("y", "x").values, dtype="float32")
    geobox = coverage.odc.geobox
    return [write_raster(values, geobox.transform, str(geobox.crs), out / "coverage.tif", "smallest_site_m2")]


def publish_quarantine(rows: list[dict[str, Any]], out: Path) -> list[Path]:
    """`quarantine.csv`: every input set aside; a header alone where nothing was."""
    frame = pd.DataFrame(rows, columns=list(QUARANTINE.columns))
    return [write_bytes(out / "quarantine.csv", csv_bytes(frame))]


def write_parquet(frame: gpd.GeoDataFrame, path: Path) -> Path:
    """GeoParquet in the frame's own CRS."""
    with atomic_file(path) as partial:
        frame.to_parquet(partial, index=False, compression="zstd")
    return path


def write_layers(path: Path, layers: dict[str, gpd.GeoDataFrame]) -> Path:
    """A GeoPackage of one or more layers, each with the QGIS style of its name."""
    with atomic_file(path) as partial:
        write_geopackage({name: (frame, qgis_style(name)) for name, frame in layers.items()}, partial)
    return path


def cell_raster(cells: gpd.GeoDataFrame, column: str) -> tuple[np.ndarray, Any]:
    """(values, transform) of a table of equal square cells; NaN where it has no cell."""
    bounds = shapely.bounds(cells.geometry.to_numpy())
    west, south, east, north = bounds[:, 0].min(), bounds[:, 1].min(), bounds[:, 2].max(), bounds[:, 3].max()
    side = float(bounds[0, 2] - bounds[0, 0])
    shape = round((north - south) / side), round((east - west) / side)
    values = np.full(shape, np.nan, dtype="float32")
    row = np.round((north - bounds[:, 3]) / side).astype(int)
    values[row, np.round((bounds[:, 0] - west) / side).astype(int)] = cells[column]
    return values, from_origin(west, north, side, side)


def write_raster(values: np.ndarray, transform: Any, crs: Any, path: Path, band: str) -> Path:
    """A one-band cloud-optimised GeoTIFF, float32, NaN for nothing.

    It is made in memory, because GDAL's writer takes no notice of a disk that is full.
    """
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "nodata": float("nan"), "crs": crs}
    rows, columns = values.shape
    with MemoryFile() as memory, MemoryFile() as made:
        with memory.open(width=columns, height=rows, transform=transform, **profile) as raster:
            raster.write(values, 1)
            raster.set_band_description(1, band)
        with memory.open() as raster:
            rasterio.shutil.copy(raster, made.name, driver="COG", compress="DEFLATE", predictor="YES", num_threads="1")
        return write_bytes(path, made.read())
