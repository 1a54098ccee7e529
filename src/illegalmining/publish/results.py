"""Results read back: the cases of a finished run, and known sites to hold them against."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from illegalmining.errors import InputError
from illegalmining.hotspots import runs_wanted
from illegalmining.tables import SITES


@dataclass(frozen=True)
class Run:
    """What a finished run left.

    ground: a picture in Web Mercator's grid and its (west, south, east, north) in degrees. record: `run.json`.
    """

    cases: gpd.GeoDataFrame
    detections: gpd.GeoDataFrame
    hotspots: gpd.GeoDataFrame
    coverage: xr.DataArray | None
    ground: tuple[bytes, tuple[float, float, float, float]] | None
    record: dict[str, Any]


def read_cases(out: Path) -> gpd.GeoDataFrame:
    """The cases of the run whose results lie in `out`, most probable first.

    Raises
    ------
    InputError
        There is no finished run there.
    """
    path = out / "cases.parquet"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `illegalmining run district.toml` for that day first")
    return gpd.read_parquet(path).reset_index(drop=True)


def read_run(out: Path) -> Run:
    """The results of a finished run.

    Parameters
    ----------
    out : where they lie, as `district.out`.

    Returns
    -------
    Cases, detections and hot spots as GeoDataFrames, the coverage as a DataArray (y, x) in m2, all in the district's
    CRS; the record of the run as a dict.

    Raises
    ------
    InputError
        There is no finished run there.

    Examples
    --------
    >>> run = im.read_run(district.out)
    >>> run.cases["probability"].is_monotonic_decreasing
    True
    >>> run.coverage.dims
    ('y', 'x')
    >>> im.read_run(district.root)
    Traceback (most recent call last):
        ...
    illegalmining.errors.InputError: ... holds no finished run; ...
    """
    if not (out / "run.json").is_file():
        raise InputError(f"{out}: holds no finished run; run `illegalmining run district.toml` for that day first")
    record = json.loads((out / "run.json").read_text("utf-8"))
    ground = out / "ground.webp"
    return Run(
        cases=read_cases(out),
        detections=gpd.read_parquet(out / "detections.parquet"),
        hotspots=gpd.read_parquet(out / "hotspots.parquet"),
        coverage=read_coverage(out / "coverage.tif"),
        ground=(ground.read_bytes(), tuple(record["ground_bounds"])) if record.get("ground_bounds") else None,
        record=record,
    )


def read_coverage(path: Path) -> xr.DataArray | None:
    """`coverage.tif` as `coverage.smallest_site` gave it; None where no source made one."""
    if not path.is_file():
        return None
    with rasterio.open(path) as raster:
        grid = GeoBox((raster.height, raster.width), raster.transform, raster.crs.to_wkt())
        return wrap_xr(raster.read(1), grid, nodata=float("nan"))


def earlier_cases(out: Path, as_of: date, crs: Any) -> list[tuple[date, gpd.GeoDataFrame]]:
    """The cases of the earlier runs a trend is taken over, oldest first.

    Parameters
    ----------
    out: the results of this run; those of earlier ones lie beside it, named by their day.
    """
    runs = {day: folder for folder in out.parent.glob("????-??-??") if (day := day_of(folder)) and day < as_of}
    finished = [day for day, folder in runs.items() if (folder / "run.json").is_file()]
    return [(day, read_cases(runs[day]).to_crs(crs)) for day in runs_wanted(finished, as_of)]


def day_of(folder: Path) -> date | None:
    """The as-of day a folder is named by; None where its name is no day."""
    try:
        return date.fromisoformat(folder.name)
    except ValueError:
        return None


def read_sites(path: str | Path, crs: Any) -> gpd.GeoDataFrame:
    """Known sites (`tables.SITES`) in `crs`.

    Raises
    ------
    InputError
        The file cannot be read, or breaks the contract; names every fault.
    """
    try:
        frame = gpd.read_file(path)
    except (pyogrio.errors.DataSourceError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a vector file ({error}); expected truth/sites.gpkg") from error
    for name in ("start", "stop"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], errors="coerce").dt.tz_localize(None).astype("datetime64[ns]")
    for name in ("site_id", "kind", "mine_id"):
        if name in frame:
            frame[name] = frame[name].astype(object)
    faults = SITES.faults(frame)
    if len(faults):
        listed = "; ".join(f"row {f.row}, {f.field} = {f.value!r}: {f.rule}" for f in faults.head(10).itertuples())
        raise InputError(f"{path}: {len(faults)} fault(s): {listed}")
    return frame.to_crs(crs).reset_index(drop=True)
