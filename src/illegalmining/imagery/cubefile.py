"""Zarr and NetCDF files: opened, their dims, dates, place and bands understood under any usual name."""

from __future__ import annotations

import glob
import json
import logging
import math
import re
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from illegalmining.district import ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.bands import BANDS, STATIC, band_of
from illegalmining.imagery.cube import RawCube
from illegalmining.imagery.look import look_of
from illegalmining.storage import asked, below, in_store, read_bytes

log = logging.getLogger(__name__)

DIMS = {
    "time": ("time", "t", "date", "datetime"),
    "y": ("y", "lat", "latitude", "northing", "row", "rows"),
    "x": ("x", "lon", "longitude", "easting", "col", "column", "columns"),
}
GEOGRAPHIC = ("lat", "latitude", "lon", "longitude")
UNEVEN = 0.02
"""Steps between coordinates may differ by this share of a step, the rounding of float32 coordinates."""
MOST_ALONG = {"time": 100_000, "y": 2_000_000, "x": 2_000_000}
"""Entries of a dim: a date every hour for eleven years, a continent at 2 m."""
LARGEST_CHUNK_BYTES = 2e9
NETCDF3, HDF5 = b"CDF", b"\x89HDF"


def open_file(address: str) -> xr.Dataset:
    """A Zarr store (v2 or v3, consolidated or not) or NetCDF file (3 or 4), lazily, declared scales applied.

    Raises
    ------
    InputError
        It is missing or neither.
    """
    path = Path(address)
    options: dict[str, Any] = {"chunks": None, "cache": False, "decode_coords": "all"}
    if in_store(address) and address.endswith((".nc", ".h5", ".hdf5", ".he5")):
        raise InputError(f"{address}: of cubes only Zarr is read from an object store; convert it, or copy it here")
    if in_store(address):
        asked(address, lambda system, path: system.ls(path, detail=False))
    if "://" in address or path.is_dir():
        options |= {"engine": "zarr", "consolidated": None}
    elif not path.is_file():
        raise InputError(f"{address}: no such file or folder; expected a Zarr store or a NetCDF file")
    else:
        with path.open("rb") as stream:
            start = stream.read(4)
        if start not in (HDF5,) and start[:3] != NETCDF3:
            raise InputError(f"{address}: neither NetCDF nor HDF5 nor a Zarr folder; convert it")
        options |= {"engine": "scipy"} if start[:3] == NETCDF3 else {"engine": "h5netcdf", "phony_dims": "sort"}
    try:
        refuse_long_axes(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an unconsolidated Zarr store is no fault
            return xr.open_dataset(address, **options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{address}: cannot be opened ({error}); write it again as Zarr or NetCDF") from error


def raw_cube(cube: xr.Dataset, source: ImagerySource, days: list[date] | None = None) -> RawCube:
    """What an opened file holds, in the contract's words; `days` where the file itself has no time.

    Raises
    ------
    InputError
        Dims, dates, coordinates or CRS are missing; says what was found.
    """
    what = f"imagery {source.name} ({source.href})"
    crs = crs_of(cube)
    cube = with_dims(cube, what, ("y", "x") if days else ("time", "y", "x"))
    refuse_bulk(cube, what)
    if crs is None:
        raise InputError(f"{what}: no coordinate system; add a spatial_ref with crs_wkt (rio.write_crs does)")
    geobox = GeoBox((cube.sizes["y"], cube.sizes["x"]), transform_of(cube, what), crs)
    bands = bands_of(cube, source, timed=days is None)
    unseen = unseen_values(bands)
    attrs: dict[str, Any] = look_of(facts_of(cube, bands)) if source.sensor == "displacement" else {}
    return RawCube(bands, unseen, days or days_of(cube, what), geobox, attrs, factors_of(bands))


def refuse_long_axes(path: Path) -> None:
    """Raise `InputError` where an axis of a local file is longer than any; xarray reads axes whole to open it."""
    lengths: dict[str, int] = {}
    if path.is_dir():
        for meta in [*path.glob("*/.zarray"), *path.glob("*/zarr.json")]:
            shape = list(json.loads(meta.read_text("utf-8")).get("shape") or [])
            lengths |= {meta.parent.name: int(shape[0])} if len(shape) == 1 else {}
    elif path.is_file():
        with path.open("rb") as stream:
            if stream.read(len(HDF5)) != HDF5:
                return
        with h5py.File(path) as file:
            axes = {str(name): node for name, node in file.items() if isinstance(node, h5py.Dataset)}
            lengths = {name: int(node.size) for name, node in axes.items() if node.ndim == 1}
    for name, length in lengths.items():
        if length > max(MOST_ALONG.values()):
            raise InputError(
                f"{path}: {name} has {length} entries, expected at most {max(MOST_ALONG.values())}: it is damaged"
            )


def refuse_bulk(cube: xr.Dataset, what: str) -> None:
    """Raise `InputError` where dims or chunks are larger than any measurement's: a pixel would fill the memory."""
    for dim, most in MOST_ALONG.items():
        if cube.sizes.get(dim, 0) > most:
            raise InputError(f"{what}: {cube.sizes[dim]} entries of {dim}, expected at most {most}: it is damaged")
    for name, values in cube.variables.items():
        chunks = values.encoding.get("chunks") or values.encoding.get("chunksizes") or ()
        size = math.prod(chunks) * values.dtype.itemsize if chunks else 0
        if size > LARGEST_CHUNK_BYTES:
            raise InputError(
                f"{what}: a chunk of {name} unpacks to {size / 1e9:.1f} GB, expected at most "
                f"{LARGEST_CHUNK_BYTES / 1e9:g}: write it in smaller chunks"
            )


def with_dims(cube: xr.Dataset, what: str, dims: tuple[str, ...]) -> xr.Dataset:
    """The cube with dims called time, y, x."""
    names = {}
    for dim in dims:
        others = DIMS[dim]
        found = [str(name) for name in cube.dims if str(name).lower() in others]
        if not found:
            raise InputError(f"{what}: no dimension {dim}; found {dict(cube.sizes)}. A cube has dims time, y, x")
        chosen = dim if dim in found else found[0]
        if chosen != dim:
            names[chosen] = dim
    taken = [name for name in names.values() if name in cube.variables and name not in cube.dims]
    return cube.drop_vars(taken).rename(names)


def crs_of(cube: xr.Dataset) -> CRS | None:
    """The CRS a cube states: by its grid mapping, an attribute, or coordinates in degrees."""
    candidates: list[Any] = []
    for variable in cube.variables.values():
        attrs = variable.attrs
        candidates += [attrs.get(key) for key in ("crs_wkt", "spatial_ref", "epsg_code", "proj4")]
        if "grid_mapping_name" in attrs:
            candidates.append(from_cf(attrs))
    candidates += [cube.attrs.get(key) for key in ("crs_wkt", "spatial_ref", "crs", "epsg", "EPSG", "proj:code")]
    if "epsg" in cube.variables and cube["epsg"].ndim == 0:
        candidates.append(int(cube["epsg"]))
    footprint = re.search(r"EPSG:+(\d+)", str(cube.attrs.get("bbox", "")))
    candidates.append(footprint and int(footprint.group(1)))
    if any(str(dim).lower() in GEOGRAPHIC for dim in cube.dims):
        candidates.append("EPSG:4326")
    for candidate in candidates:
        try:
            if candidate is not None:
                return CRS(int(candidate) if isinstance(candidate, np.integer) else candidate)
        except Exception:  # whatever PROJ says: the next statement may be better
            log.debug("%r is no CRS", candidate)
    return None


def from_cf(attrs: dict[str, Any]) -> str | None:
    """WKT of a CF grid mapping without one."""
    import pyproj

    try:
        return pyproj.CRS.from_cf(attrs).to_wkt()
    except (pyproj.exceptions.CRSError, KeyError, TypeError):
        return None


def transform_of(cube: xr.Dataset, what: str) -> Affine:
    """The geotransform behind the coordinates, else the stated one, else the footprint's."""
    if "x" in cube.coords and "y" in cube.coords and min(cube.sizes["x"], cube.sizes["y"]) > 1:
        step_x, step_y = (even_step(cube[dim].values, dim, what) for dim in ("x", "y"))
        left, top = float(cube["x"][0]) - step_x / 2, float(cube["y"][0]) - step_y / 2
        return Affine(step_x, 0.0, left, 0.0, step_y, top)
    for variable in cube.variables.values():
        numbers = [float(number) for number in str(variable.attrs.get("GeoTransform", "")).split()]
        if len(numbers) == 6:
            return Affine.from_gdal(*numbers)
    if "bbox" in cube.attrs:
        corners = np.array(json.loads(str(cube.attrs["bbox"]))["coordinates"][0])
        (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
        return Affine((right - left) / cube.sizes["x"], 0, left, 0, (bottom - top) / cube.sizes["y"], top)
    raise InputError(f"{what}: no coordinates x and y of at least two pixels and no GeoTransform; add them")


def even_step(values: np.ndarray, dim: str, what: str) -> float:
    """The step of evenly spaced coordinates, with its sign."""
    values = values.astype(float)
    steps = np.diff(values)
    step = float((values[-1] - values[0]) / (len(values) - 1))
    if step == 0 or not np.abs(steps - step).max() <= UNEVEN * abs(step):
        raise InputError(
            f"{what}: {dim} is not evenly spaced (steps from {steps.min():.6g} to {steps.max():.6g}); regrid the cube"
        )
    return step


def days_of(cube: xr.Dataset, what: str) -> list[date]:
    """The day of every entry of time."""
    values = cube["time"].values if "time" in cube.coords else np.array([])
    try:
        if values.dtype.kind in "iuf" and len(values):
            moments = pd.to_datetime(pd.Series(values).astype("int64").astype(str), format="%Y%m%d")
        else:
            text = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
            moments = pd.to_datetime(pd.Series(text), format="mixed", utc=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"{what}: time cannot be read as dates ({error}); write it with CF units") from error
    if not len(moments) or moments.isna().any():
        raise InputError(f"{what}: time has {int(moments.isna().sum())} entries without a date; write it with CF units")
    return [date(moment.year, moment.month, moment.day) for moment in moments]


def bands_of(cube: xr.Dataset, source: ImagerySource, timed: bool) -> dict[str, xr.DataArray]:
    """Variables over (time, y, x), or over (y, x) where no time is needed, by the contract's names."""
    best: dict[str, tuple[int, xr.DataArray]] = {}
    for name, values in layered(cube):
        plane = {"y", "x"} <= set(values.dims) <= {"time", "y", "x"} and values.dtype.kind in "iufb"
        match = band_of(name, source.sensor)
        if match is None and source.sensor == "nightlight" and plane and "time" in values.dims:
            match = ("radiance", 1 + len(best))
        if match is None or not plane or (timed and "time" not in values.dims and match[0] not in STATIC):
            continue
        if match[0] in STATIC and "time" in values.dims:
            values = values.isel(time=-1, drop=True)
        if match[0] not in best or match[1] < best[match[0]][0]:
            best[match[0]] = (match[1], values)
    bands = {band: best[band][1] for band in BANDS[source.sensor] if band in best}
    if source.sensor == "optical" and "scl" not in bands and "cloud" in cube and bands:
        bands["scl"] = cube["cloud"].where(cube["cloud"] != 0, CLEAR).where(cube["cloud"] == 0, CLOUD)
    return bands


CLEAR, CLOUD = 4, 9
"""Sentinel-2 scene classes: vegetation, and cloud of high probability."""


def layered(cube: xr.Dataset) -> list[tuple[str, xr.DataArray]]:
    """Variables by name; one with a `band` dimension is taken apart."""
    parts: list[tuple[str, xr.DataArray]] = []
    for name, values in cube.data_vars.items():
        if "band" in values.dims and "band" in values.coords:
            labels = [str(label) for label in values["band"].values]
            parts += [(label, values.isel(band=at, drop=True)) for at, label in enumerate(labels)]
        else:
            parts.append((str(name), values))
    return parts


def unseen_values(bands: dict[str, xr.DataArray]) -> dict[str, float]:
    """Bands whose stored 0 means "nothing seen" though the file declares no missing value, and what 0 became."""
    unseen = {}
    for band, values in bands.items():
        declared = {"_FillValue", "missing_value"} & set(values.encoding) - {None}
        fills = [value for name in declared if (value := values.encoding[name]) == value]
        if band == "scl":
            unseen[band] = 0.0
        elif band not in BANDS["displacement"] and band != "ndvi" and not fills:
            unseen[band] = float(values.encoding.get("add_offset", 0.0))
    return unseen


def facts_of(cube: xr.Dataset, bands: dict[str, xr.DataArray]) -> dict[str, Any]:
    """What is stated once for the whole cube: attributes of bands, of the cube, and scalar variables."""
    facts: dict[str, Any] = {}
    for values in bands.values():
        facts |= values.attrs
    facts |= cube.attrs
    numeric = {name: values for name, values in cube.variables.items() if values.ndim == 0 and name != "spatial_ref"}
    return facts | {str(name): values.values.item() for name, values in numeric.items()}


METRES = {"mm": 1e-3, "millimetre": 1e-3, "millimeter": 1e-3, "cm": 1e-2, "centimetre": 1e-2, "centimeter": 1e-2}


def factors_of(bands: dict[str, xr.DataArray]) -> dict[str, float]:
    """Bands in a stated unit other than metres, and how many metres it is."""
    units = {band: str(values.attrs.get("units", "")).lower().removesuffix("s") for band, values in bands.items()}
    return {band: METRES[unit] for band, unit in units.items() if band == "displacement" and unit in METRES}


def cube_dated_files(address: str, days: list[date]) -> dict[date, list[str]]:
    """The files that hold each of a cube's `days`: the chunks of a local Zarr store, else the one file there is."""
    path = Path(address)
    if in_store(address):
        stamps = below(address)
        named = {name: f"{address.rstrip('/')}/{name} {stamp}" for name, stamp in stamps.items()}
        metas = {name: read_bytes(f"{address.rstrip('/')}/{name}") for name in named if is_meta(name)}
    elif path.is_dir():
        named = {file.relative_to(path).as_posix(): str(file) for file in sorted(path.rglob("*")) if file.is_file()}
        metas = {name: Path(named[name]).read_bytes() for name in named if is_meta(name)}
    else:
        return {day: [address] for day in days}
    dated: dict[date, list[str]] = {day: [] for day in days}
    for meta, content in sorted(metas.items()):
        told = json.loads(content)
        if len(told.get("shape", ())) != 3 or told["shape"][0] != len(days):
            continue
        chunks = told.get("chunks") or told["chunk_grid"]["configuration"]["chunk_shape"]
        start = meta.removesuffix(meta.rpartition("/")[2])
        for name in sorted(name for name in named if name.startswith(start)):
            number = re.match(r"(?:c[./])?(\d+)[./]\d", name.removeprefix(start))
            if number:
                first = int(number.group(1)) * int(chunks[0])
                for day in days[first : first + int(chunks[0])]:
                    dated[day].append(named[name])
    return dated


def is_meta(name: str) -> bool:
    """Whether a file of a Zarr store says what an array is like."""
    return name.rpartition("/")[2] in (".zarray", "zarr.json")


def files_behind(address: str) -> list[Path]:
    """The files a local address stands for: itself, what a glob matches, or all below a folder."""
    wild = glob.has_magic(address) and not Path(address).exists()
    matched = sorted(Path(path) for path in glob.glob(address)) if wild else [Path(address)]
    files: list[Path] = []
    for path in matched:
        files += [below for below in path.rglob("*") if below.is_file()] if path.is_dir() else [path]
    return sorted(path for path in files if path.is_file())
