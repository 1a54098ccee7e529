"""A configured source of images to one kind of lazy cube, whatever it is stored as."""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import rioxarray  # noqa: F401  (gives cubes their .rio)
import xarray as xr
from rasterio.errors import RasterioError
from zarr.errors import BaseZarrError

from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.cube import on_district_grid
from illegalmining.imagery.cubefile import cube_dated_files, files_behind, open_file, raw_cube
from illegalmining.imagery.egms import is_egms, open_egms
from illegalmining.imagery.layers import read_header
from illegalmining.imagery.look import look_of, with_look
from illegalmining.imagery.mintpy import companions, is_mintpy, mintpy_raw
from illegalmining.imagery.mosaic import mosaic
from illegalmining.imagery.opera import open_opera, opera_products
from illegalmining.imagery.stac import stac_dated_files, stac_files, stac_layers
from illegalmining.imagery.stack import stack_dated_files, stack_files, stack_layers
from illegalmining.registers.quarantine import SetAside, relative_name
from illegalmining.storage import below, found, in_store

BROKEN_FILE = (OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError, RasterioError, BaseZarrError)
"""What GDAL, HDF5, Zarr, its codecs and pandas raise for a file that is broken; anything else is a fault of this
program and is not to be blamed on a file."""


def open_source(
    source: ImagerySource | str, district: District, quarantine: list[dict[str, Any]] | None = None
) -> xr.Dataset:
    """Open a source of images or movement, or the one of that name in `district.toml`, lazily.

    Headers are read and checked now; pixels when they are computed. A scene whose pixels then prove unreadable leaves
    NaN, a warning, and a line in `quarantine`.

    Returns
    -------
    Dims (time, y, x); time sorted, one slice a day, from `history_from` to `as_of`; y descending, x ascending, pixel
    centres in the district's CRS, m; float32, NaN where nothing was seen; Dask-backed, time in one chunk; of optical
    and radar every date since `monitor_from` is a chunk.
    optical: reflectance 0..1 in any of blue green red nir swir16 swir22, and perhaps `scl`, `ndvi`. radar: `vv`, `vh`,
    linear power. displacement: `displacement`, m towards the satellite, and `incidence_angle`, `azimuth_angle`
    (degrees, ground to satellite, clockwise from north) as (y, x) variables or in `attrs`. nightlight: `radiance`.

    Raises
    ------
    InputError
        Nothing of the source can be used: it is missing, elsewhere, of another time, or in an unknown unit.
    ConfigurationError
        `district.toml` has no source of that name.

    Examples
    --------
    >>> cube = im.open_source("sentinel-2", district)
    >>> cube["red"].dims, str(cube["red"].dtype)
    (('time', 'y', 'x'), 'float32')
    >>> cube["red"].chunks is not None  # no pixel has been read yet
    True
    """
    source = district.source(source) if isinstance(source, str) else source
    quarantine = [] if quarantine is None else quarantine
    aside = SetAside(quarantine, relative_name(district, district.resolve(source.href)))
    try:
        if source.sensor == "displacement":
            return with_look(open_displacement(source, district, quarantine, aside), aside)
        if source.source == "cube":
            return open_cube(source, district, aside)
        return open_layers(source, district, quarantine, aside)
    except (InputError, MemoryError):
        raise
    except BROKEN_FILE as error:
        raise InputError(
            f"imagery {source.name} ({source.href}): cannot be read ({type(error).__name__}: {error}); check that it "
            f"is whole, and a {source.source} as district.toml says"
        ) from error


def open_cube(source: ImagerySource, district: District, aside: SetAside) -> xr.Dataset:
    """A cube in Zarr or NetCDF."""
    raw = raw_cube(open_file(district.resolve(source.href)), source)
    return on_district_grid(raw, source, district, aside)


def open_layers(
    source: ImagerySource, district: District, quarantine: list[dict[str, Any]], aside: SetAside
) -> xr.Dataset:
    """A catalogue or a stack of rasters."""
    layers = stac_layers if source.source == "stac" else stack_layers
    return mosaic(layers(source, district, quarantine), source, district, aside)


def open_displacement(
    source: ImagerySource, district: District, quarantine: list[dict[str, Any]], aside: SetAside
) -> xr.Dataset:
    """Movement in the contract's form, or as MintPy, OPERA or EGMS write it; known by what the files hold."""
    address = district.resolve(source.href)
    if source.source != "stac" and "://" not in address:
        products = opera_products(address)
        if products:
            return open_opera(products, source, district, aside)
        if is_egms(Path(address)):
            return open_egms(Path(address), source, district, aside)
    if source.source != "cube":
        cube = open_layers(source, district, quarantine, aside)
        first = stated_in(source, district)
        return cube.assign_attrs(look_of(first))
    opened = open_file(address)
    if is_mintpy(opened):
        return on_district_grid(mintpy_raw(opened, Path(address), source), source, district, aside)
    return on_district_grid(raw_cube(opened, source), source, district, aside)


def stated_in(source: ImagerySource, district: District) -> dict[str, Any]:
    """Facts in the tags of a stack's first file that can be read."""
    if source.source != "stack":
        return {}
    for path in stack_files(source, district):
        try:
            return dict(read_header(path).tags)
        except InputError:
            continue
    return {}


def source_files(source: ImagerySource, district: District) -> list[Path]:
    """Local files behind a source, sorted; none for what lies on the network."""
    if "://" in source.href:
        return []
    if source.source == "cube":
        files = files_behind(district.resolve(source.href))
        series = [file for file in files if file.suffix == ".h5"] if source.sensor == "displacement" else []
        return sorted({*files, *(path for file in series for path in companions(file))})
    if source.source == "stac":
        return sorted(stac_files(source, district))
    return sorted(Path(path) for path in stack_files(source, district))


def stored_inputs(source: ImagerySource, district: District) -> dict[str, str]:
    """What of a source lies in an object store, by address, each with what tells its content from another.

    A catalogue's item stands for its files: one that is processed again has to be listed anew.
    """
    if not in_store(source.href):
        return {}
    if source.source == "stack":
        return found(district.pattern(source.href))
    if source.source == "cube":
        return {f"{source.href.rstrip('/')}/{name}": stamp for name, stamp in below(source.href).items()}
    dated = dated_files(source, district)
    return {f"{source.href} {day}": sha256("\n".join(names).encode()).hexdigest() for day, names in dated.items()}


def dated_files(source: ImagerySource, district: District) -> dict[date, list[str]]:
    """What lies behind each day of a source: paths of local files, addresses of others.

    A day whose list and files are as they were has not changed. A file that holds many days stands behind each.
    """
    if source.source == "stac":
        return stac_dated_files(source, district)
    if source.source == "stack":
        return stack_dated_files(source, district)
    address = district.resolve(source.href)
    return cube_dated_files(address, raw_cube(open_file(address), source).days)


def describe(cube: xr.Dataset) -> dict[str, Any]:
    """What a cube holds, for a report: bands, dates, pixels, pixel size in m, bounds, CRS."""
    times = cube["time"].values.astype("datetime64[D]").astype(str).tolist()
    grid = cube.odc.geobox
    return {
        "bands": [str(name) for name in cube.data_vars],
        "dates": len(times),
        "first": times[0],
        "last": times[-1],
        "rows": grid.shape.y,
        "columns": grid.shape.x,
        "resolution_m": abs(float(grid.resolution.x)),
        "bounds": [float(edge) for edge in grid.extent.boundingbox.bbox],
        "crs": f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else grid.crs.to_wkt(),
    }
