"""OPERA DISP-S1: one NetCDF a date, each against a reference date that moves on; chained to one series."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.cube import RawCube, on_district_grid
from illegalmining.imagery.cubefile import facts_of, files_behind, open_file, raw_cube
from illegalmining.imagery.look import look_of
from illegalmining.imagery.scenes import check_period, in_period
from illegalmining.registers.quarantine import SetAside

NAME = re.compile(r"OPERA_L3_DISP.*?_(\d{8})T\d{6}Z_(\d{8})T\d{6}Z")
MASK = "recommended_mask"


def opera_products(address: str) -> dict[Path, tuple[date, date]]:
    """Products behind an address, with their reference and secondary day; empty where there are none."""
    found = {}
    for path in files_behind(address):
        match = NAME.search(path.name)
        if match and path.suffix == ".nc":
            reference, secondary = (datetime.strptime(text, "%Y%m%d").date() for text in match.groups())
            found[path] = (reference, secondary)
    return found


def open_opera(
    products: dict[Path, tuple[date, date]], source: ImagerySource, district: District, aside: SetAside
) -> xr.Dataset:
    """Displacement since the first reference day in the period, positive towards the satellite, m.

    Each product's own mask is applied. A date whose reference is not among the dates is left out and noted.

    Raises
    ------
    InputError
        No product lies in the period and the district.
    """
    check_period([secondary for _, secondary in products.values()], source, district)
    chosen = sorted((days[1], days[0], path) for path, days in products.items() if in_period(days[1], district))
    origin = min(reference for _, reference, _ in chosen)
    at, cubes, steps = {origin: 0}, [], []
    for secondary, reference, path in chosen:
        if reference not in at or secondary in at:
            rule = "a reference day that is a date of the series, one product a day"
            aside.note(path.name, "reference day", reference, rule, "the product is left out; get those between")
            continue
        cubes.append(on_district_grid(product_raw(path, secondary, source), source, district, aside))
        at[secondary] = len(at)
        steps.append(at[reference])
    if not cubes:
        raise InputError(f"imagery {source.name} ({source.href}): no product follows on another; see the quarantine")
    moved = da.concatenate([cube["displacement"].data for cube in cubes]).rechunk({0: -1})
    chained = da.map_blocks(
        partial(chain, tuple(steps)),
        moved,
        chunks=((len(steps) + 1,), *moved.chunks[1:]),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    cube = cubes[-1].drop_dims("time").assign_coords(time=np.array(list(at), "datetime64[ns]"))
    cube["displacement"] = (("time", "y", "x"), chained, {"grid_mapping": "spatial_ref"})
    return cube


def product_raw(path: Path, day: date, source: ImagerySource) -> RawCube:
    """One product as it lies in its file."""
    opened = open_file(str(path))
    raw = raw_cube(opened, source, days=[day])
    facts = facts_of(opened, raw.bands)
    try:
        with xr.open_dataset(path, engine="h5netcdf", group="identification", phony_dims="sort") as identification:
            facts = facts_of(identification, {}) | facts
    except (OSError, KeyError, ValueError):
        pass  # older products have no such group; the angles are then assumed, and that is noted
    facts = {name: value.decode() if isinstance(value, bytes) else value for name, value in facts.items()}
    return RawCube(raw.bands, raw.unseen, raw.days, raw.geobox, look_of(facts), raw.factors, opened.get(MASK))


def chain(steps: tuple[int, ...], moved: np.ndarray) -> np.ndarray:
    """Movement against each reference to movement since the first.

    steps: for each date the index of its reference in the result, which starts with the origin. moved: (dates, y, x).
    """
    series = np.zeros((len(moved) + 1, *moved.shape[1:]), np.float32)
    for date_at, reference_at in enumerate(steps):
        series[date_at + 1] = moved[date_at] + series[reference_at]
    series[0, np.isnan(moved).all(axis=0)] = np.nan
    return series
