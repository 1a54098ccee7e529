"""Cubes in Zarr or NetCDF, and whatever else comes as one array over time, to the district's grid."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from illegalmining import lazy
from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.bands import BANDS, CLASSES, SEQUENTIAL, STATIC
from illegalmining.imagery.broken import Broken
from illegalmining.imagery.grids import (
    Overlap,
    Roi,
    blocks,
    choose_grid,
    district_crs,
    meets,
    middle_of,
    overlap,
    overlap_of_part,
    pieces,
)
from illegalmining.imagery.layers import in_words_of, shared_geobox
from illegalmining.imagery.mosaic import SAMPLED_LAYERS, SAMPLED_SIDE, check_bands
from illegalmining.imagery.resample import resampled
from illegalmining.imagery.scenes import check_period, in_period
from illegalmining.imagery.units import Conversion, recognise, refuse_large_steps
from illegalmining.registers.quarantine import SetAside

log = logging.getLogger(__name__)

BATCH_BYTES = 300e6
"""Source pixels of one band held at a time while a block is read."""


@dataclass(frozen=True)
class RawCube:
    """A cube as its file has it, pixels unread.

    bands: by the contract's names; dims (time, y, x), or (y, x) where `STATIC`; declared scale, offset and missing
    value are applied when read. unseen: by band, the value that stands for "nothing seen" though no one declared it.
    days: one an entry of time, in the file's order. geobox: the pixels in the file's order. attrs: facts of the whole.
    factors: by band, what stored values are to be multiplied by. mask: (y, x), 0 where the product says not to look.
    hollow: a pixel that is 0 on every date has not been seen (MintPy).
    """

    bands: dict[str, xr.DataArray]
    unseen: dict[str, float]
    days: list[date]
    geobox: GeoBox
    attrs: dict[str, Any]
    factors: dict[str, float] = field(default_factory=dict)
    mask: xr.DataArray | None = None
    hollow: bool = False


@dataclass(frozen=True)
class Stored:
    """One band of a raw cube and how to read it; fields as in `RawCube`."""

    values: xr.DataArray
    unseen: float | None = None
    factor: float = 1.0
    mask: xr.DataArray | None = None
    hollow: bool = False

    def read(self, entries: slice, roi: Roi) -> np.ndarray:
        """Pixels, shape (time, y, x), float32, NaN where nothing was seen."""
        rows, columns = roi
        chosen = self.values.isel(y=rows, x=columns)
        chosen = chosen.isel(time=entries) if "time" in self.values.dims else chosen.expand_dims("time")
        pixels = np.array(chosen.transpose("time", "y", "x").values, np.float32)
        pixels[~np.isfinite(pixels)] = np.nan
        if self.unseen is not None:
            pixels[pixels == np.float32(self.unseen)] = np.nan
        if self.hollow and len(pixels) > 1:
            pixels[:, (np.nan_to_num(pixels) == 0).all(axis=0)] = np.nan
        if self.mask is not None:
            pixels[:, self.mask.isel(y=rows, x=columns).transpose("y", "x").values == 0] = np.nan
        return pixels if self.factor == 1.0 else pixels * np.float32(self.factor)


@dataclass(frozen=True)
class CubePlan:
    """Everything needed to read one band: which entries of time give each day, from which pixels to which."""

    stored: Stored
    entries: tuple[tuple[int, ...], ...]
    source: GeoBox
    grid: GeoBox
    conversion: Conversion
    resampling: str
    days: tuple[date, ...]
    band: str
    broken: Broken


def on_district_grid(raw: RawCube, source: ImagerySource, district: District, aside: SetAside) -> xr.Dataset:
    """The raw cube as `open_source` promises it.

    Raises
    ------
    InputError
        It lies elsewhere, has no date in the period, no band of the sensor, or an unknown unit.
    """
    grid, days, plans = planned(raw, source, district, aside)
    cube = xr.Dataset(coords={"time": np.array(days, "datetime64[ns]"), **xr_coords(grid)}, attrs=raw.attrs)
    spatial = blocks(grid.shape.yx, len(days), len(plans))
    for band, plan in plans.items():
        timed = band not in STATIC
        together = pieces(days, district.configuration.district.monitor_from, stored_together(raw.bands[band]))
        along_time = together if timed and source.sensor in SEQUENTIAL else (len(plan.entries),)
        array = lazily(plan, (along_time, *spatial), (source.href, band, raw.days))
        dims = ("time", "y", "x") if timed else ("y", "x")
        cube[band] = (dims, array if timed else array[0], {"grid_mapping": "spatial_ref"})
    return cube


def planned(
    raw: RawCube, source: ImagerySource, district: District, aside: SetAside
) -> tuple[GeoBox, list[date], dict[str, CubePlan]]:
    """The grid of a cube, its days in the period, and how each band is read."""
    check_bands(list(raw.bands), source)
    check_period(raw.days, source, district)
    raw = upright(raw)
    box = in_words_of(raw.geobox, district_crs(district))
    meets([box.extent], district, f"imagery {source.name} ({source.href})")
    grid = cropped(choose_grid([box], source.resolution, district), box)
    days = sorted({day for day in raw.days if in_period(day, district)})
    entries = tuple(tuple(at for at, other in enumerate(raw.days) if other == day) for day in days)
    plans = {}
    for band in (band for band in BANDS[source.sensor] if band in raw.bands):
        timed = band not in STATIC
        stored = Stored(
            raw.bands[band],
            raw.unseen.get(band),
            raw.factors.get(band, 1.0),
            raw.mask if timed else None,
            raw.hollow and timed,
        )
        mine = entries if timed else ((0,),)
        conversion = recognise(band, sample(stored, mine, box, grid), aside)
        if band == "displacement":
            refuse_large_steps(steps_of(stored, mine, days, box, grid), aside)
        resampling = "nearest" if band in CLASSES else "bilinear"
        grids = shared_geobox(box), shared_geobox(grid)
        plans[band] = CubePlan(stored, mine, *grids, conversion, resampling, tuple(days), band, Broken(aside))
    return grid, days, plans


def upright(raw: RawCube) -> RawCube:
    """The same cube with rows running south and columns east."""
    box, turned = raw.geobox, {}
    if box.affine.b != 0 or box.affine.d != 0:
        return raw
    if box.affine.e > 0:
        box, turned["y"] = box.flipy(), slice(None, None, -1)
    if box.affine.a < 0:
        box, turned["x"] = box.flipx(), slice(None, None, -1)
    bands = {band: values.isel(turned) for band, values in raw.bands.items()}
    mask = None if raw.mask is None else raw.mask.isel(turned)
    return replace(raw, bands=bands, mask=mask, geobox=box) if turned else raw


def cropped(grid: GeoBox, box: GeoBox) -> GeoBox:
    """The part of the grid that the source covers."""
    way = overlap(box, grid)
    if way is None:
        raise InputError("the source touches the district's edge and covers no pixel of it: check bounds")
    return grid[way.target]


def stored_together(band: xr.DataArray) -> int:
    """How many dates one chunk of the file holds; 1 where the file has none."""
    chunks = band.encoding.get("chunks") or band.encoding.get("chunksizes") or (1,)
    return max(1, int(chunks[0]))


def lazily(plan: CubePlan, chunks: tuple[tuple[int, ...], ...], what: object) -> da.Array:
    """The band as a Dask array; `what` tells it from every other."""
    name = f"cube-{tokenize(what, plan.entries, str(plan.grid), str(plan.source), plan.conversion, chunks)}"
    return lazy.lazily(partial(read_window, plan), chunks, name)


def read_window(plan: CubePlan, dates: slice, rows: slice, columns: slice) -> np.ndarray:
    """Some dates of a window of the grid, by its rows and columns."""
    return read(plan, range(dates.start, dates.stop), plan.grid[rows, columns])


def read(plan: CubePlan, wanted: Sequence[int], window: GeoBox) -> np.ndarray:
    """Some dates of a window of the grid, shape (time, y, x), float32."""
    entries = tuple(plan.entries[day] for day in wanted)
    block = np.full((len(entries), *window.shape.yx), np.nan, np.float32)
    way = overlap_of_part(plan.source, window, plan.grid)
    if way is None:
        return block
    for days in batches(entries, way):
        first = min(min(entries[day]) for day in days)
        last = max(max(entries[day]) for day in days)
        try:
            values = plan.conversion(plan.stored.read(slice(first, last + 1), way.source))
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # HDF5, Zarr and its codecs raise unlike things for a broken chunk
            plan.broken.note_days(plan.band, plan.days[wanted[days[0]]], plan.days[wanted[days[-1]]], error)
            continue
        for day in days:
            part = block[day][way.target]
            for entry in entries[day]:
                missing = np.isnan(part)
                if missing.any():
                    image = values[entry - first]
                    part[missing] = resampled(image, way, plan.source, window, plan.grid, plan.resampling)[missing]
    return block


def batches(entries: tuple[tuple[int, ...], ...], way: Overlap) -> Iterator[range]:
    """Days to read at a time, so that source pixels much finer than the grid do not fill the memory."""
    rows, columns = way.source
    image_bytes = 4 * (rows.stop - rows.start) * (columns.stop - columns.start)
    many = max(1, int(BATCH_BYTES // image_bytes))
    for start in range(0, len(entries), many):
        yield range(start, min(len(entries), start + many))


def steps_of(
    stored: Stored, entries: tuple[tuple[int, ...], ...], days: list[date], box: GeoBox, grid: GeoBox
) -> list[tuple[float, int]]:
    """Median movement between dates that follow each other, some places along time, and the days between."""
    way = overlap(box, grid)
    if way is None or len(days) < 2:
        return []
    roi = middle_of(way.source, SAMPLED_SIDE)
    found = []
    for at in np.unique(np.linspace(0, len(days) - 2, SAMPLED_LAYERS).round().astype(int)):
        try:
            one, next_one = (stored.read(slice(entries[k][0], entries[k][0] + 1), roi)[0] for k in (at, at + 1))
        except Exception:  # as in `read_block`, which notes it
            log.debug("entry %d cannot be sampled", at)
            continue
        moved = np.abs(next_one - one)
        seen = moved[np.isfinite(moved)]
        found.append((float(np.median(seen)) if len(seen) else float("nan"), (days[at + 1] - days[at]).days))
    return found


def sample(stored: Stored, entries: tuple[tuple[int, ...], ...], box: GeoBox, grid: GeoBox) -> np.ndarray:
    """Pixels of some dates, spread over time."""
    way = overlap(box, grid)
    assert way is not None, "a source outside the grid was refused before"
    roi = middle_of(way.source, SAMPLED_SIDE)
    dates = np.unique(np.linspace(0, len(entries) - 1, SAMPLED_LAYERS).round().astype(int))
    seen = [np.empty(0, np.float32)]
    for at in dates:
        try:
            part = stored.read(slice(entries[at][0], entries[at][0] + 1), roi)
        except Exception:  # as in `read_block`, which notes it
            log.debug("entry %d cannot be sampled", at)
            continue
        seen.append(part[np.isfinite(part)])
    return np.concatenate(seen)
