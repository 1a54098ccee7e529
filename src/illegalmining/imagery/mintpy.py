"""MintPy's time series in HDF5, geocoded, with the geometry and coherence files beside it."""

from __future__ import annotations

import logging
from datetime import date, datetime
from pathlib import Path
from typing import Any

import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from illegalmining.district import ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.cube import RawCube
from illegalmining.imagery.cubefile import METRES, open_file
from illegalmining.imagery.look import look_of

log = logging.getLogger(__name__)

BESIDE = ("", "..", "inputs", "../inputs", "geo", "../geo")
GEOMETRY = ("geometryGeo.h5", "geo_geometryRadar.h5", "geometryRadar.h5")
COHERENCE = ("temporalCoherence.h5", "geo_temporalCoherence.h5")


def is_mintpy(cube: xr.Dataset) -> bool:
    """Whether an opened HDF5 file is a MintPy time series."""
    return "timeseries" in cube and "date" in cube and "WIDTH" in cube.attrs


def mintpy_raw(cube: xr.Dataset, path: Path, source: ImagerySource) -> RawCube:
    """A geocoded MintPy time series; displacement is positive towards the satellite, as in the contract.

    A pixel that is 0 on every date was masked. Angles come from the geometry file beside it where there is one, whose
    azimuth is counted anticlockwise from north (ISCE); otherwise from HEADING.

    Raises
    ------
    InputError
        It is in radar coordinates, or states no CRS.
    """
    attrs = cube.attrs
    what = f"imagery {source.name} ({source.href})"
    if "X_FIRST" not in attrs:
        raise InputError(f"{what}: it is in radar coordinates (no X_FIRST); geocode it with geocode.py")
    series = named(cube["timeseries"], ("time", "y", "x"))
    geobox = geobox_of(attrs, (series.sizes["y"], series.sizes["x"]), what)
    days = [day_of(value) for value in cube["date"].values]
    bands, factors = {"displacement": series}, {}
    geometry = beside(path, GEOMETRY, geobox.shape.yx)
    if geometry is not None:
        if "incidenceAngle" in geometry:
            bands["incidence_angle"] = named(geometry["incidenceAngle"], ("y", "x"))
        if "azimuthAngle" in geometry:
            bands["azimuth_angle"] = named(geometry["azimuthAngle"], ("y", "x"))
            factors["azimuth_angle"] = -1.0
    coherence = beside(path, COHERENCE, geobox.shape.yx)
    if coherence is not None and "temporalCoherence" in coherence:
        bands["temporal_coherence"] = named(coherence["temporalCoherence"], ("y", "x"))
    factors["displacement"] = METRES.get(str(attrs.get("UNIT", "m")).lower(), 1.0)
    unseen = dict.fromkeys(("incidence_angle", "azimuth_angle", "temporal_coherence"), 0.0)
    return RawCube(bands, unseen, days, geobox, look_of(attrs), factors, hollow=True)


def named(values: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    """The array with its nameless dims named."""
    return values.rename(dict(zip(values.dims, dims, strict=True)))


def day_of(value: Any) -> date:
    """A date as MintPy writes it, b'20240131'."""
    text = value.decode() if isinstance(value, bytes) else str(value)
    return datetime.strptime(text[:8], "%Y%m%d").date()


def geobox_of(attrs: dict[str, Any], shape: tuple[int, int], what: str) -> GeoBox:
    """The grid of X_FIRST, Y_FIRST (outer corner of the first pixel), X_STEP, Y_STEP."""
    left, top, step_x, step_y = (float(attrs[name]) for name in ("X_FIRST", "Y_FIRST", "X_STEP", "Y_STEP"))
    zone = str(attrs.get("UTM_ZONE", "")).strip()
    if "EPSG" in attrs:
        crs = CRS(f"EPSG:{int(attrs['EPSG'])}")
    elif zone[:-1].isdigit():
        crs = CRS(f"EPSG:{32600 + int(zone[:-1]) + (100 if zone[-1].upper() == 'S' else 0)}")
    elif str(attrs.get("X_UNIT", "degrees")).lower().startswith("deg"):
        crs = CRS("EPSG:4326")
    else:
        raise InputError(f"{what}: X_UNIT is {attrs['X_UNIT']} and neither EPSG nor UTM_ZONE is stated; add one")
    return GeoBox(shape, Affine(step_x, 0.0, left, 0.0, step_y, top), crs)


def beside(path: Path, names: tuple[str, ...], shape: tuple[int, int]) -> xr.Dataset | None:
    """The first of the files that lies near the series and has its shape."""
    for file in companions(path, names):
        try:
            found = open_file(str(file))
        except InputError as error:
            log.warning("%s", error)
            continue
        if all(values.shape[-2:] == shape for values in found.data_vars.values() if values.ndim == 2):
            return found
        log.warning("%s does not have the shape %s of %s: not used", file, shape, path.name)
    return None


def companions(path: Path, names: tuple[str, ...] = GEOMETRY + COHERENCE) -> list[Path]:
    """The files near a series that MintPy writes with it."""
    candidates = [path.parent / folder / name for name in names for folder in BESIDE]
    return sorted({file.resolve() for file in candidates if file.is_file()}, key=lambda file: (len(file.parts), file))
