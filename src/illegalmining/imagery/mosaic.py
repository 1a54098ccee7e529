"""Layers, however many a day and in whatever projections, to one lazy cube on one grid."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import dask.array as da
import numpy as np
import rasterio
import xarray as xr
from dask.base import tokenize
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.enums import Interleaving
from rasterio.errors import RasterioError
from rasterio.windows import Window

from illegalmining import lazy
from illegalmining.district import District, ImagerySource
from illegalmining.errors import InputError
from illegalmining.imagery.bands import BANDS, CLASSES, ESSENTIAL, REFLECTANCE, SEQUENTIAL, STATIC
from illegalmining.imagery.broken import Broken, UnlikeError
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
from illegalmining.imagery.layers import Layer, in_words_of
from illegalmining.imagery.resample import resampled
from illegalmining.imagery.units import AS_IS, Conversion, recognise, refuse_large_steps
from illegalmining.registers.quarantine import SetAside
from illegalmining.storage import for_gdal, gdal_options

log = logging.getLogger(__name__)

BESIDE = "a scene of the district"
NAMED_FILES = 5
SAMPLED_LAYERS = 8
SAMPLED_SIDE = 256


@dataclass(frozen=True)
class BandPlan:
    """Everything needed to read one band: layers by day in the order they fill gaps, and what becomes of values."""

    days: tuple[tuple[Layer, ...], ...]
    grid: GeoBox
    conversion: Conversion
    resampling: str
    broken: Broken


class Planned(NamedTuple):
    """The grid of all layers, their days, how each band is read (the one entry of a `STATIC` band is a day's), and how
    many scenes of other places the source lists besides."""

    grid: GeoBox
    days: list[date]
    plans: dict[str, BandPlan]
    beside: int


def mosaic(layers: Sequence[Layer], source: ImagerySource, district: District, aside: SetAside) -> xr.Dataset:
    """One lazy cube of all layers: dims (time, y, x), one slice a day, float32, NaN where nothing was seen.

    Within a day the first scene that saw a pixel, in order of its id, gives its value.

    Raises
    ------
    InputError
        No layer has a band of the sensor, lies in the period or in the district, or is in a unit that can be read.
    """
    grid, days, plans, beside = planned(layers, source, district, aside)
    once = source.sensor in SEQUENTIAL
    along_time = pieces(days, district.configuration.district.monitor_from) if once else (len(days),)
    chunks = along_time, *blocks(grid.shape.yx, len(days), len(plans))
    when = np.array(days, "datetime64[ns]")
    cube = xr.Dataset(coords={"time": when, **xr_coords(grid)}, attrs={"scenes_beside": beside})
    for band, plan in plans.items():
        timed = band not in STATIC
        array = lazily(plan, chunks if timed else ((1,), *chunks[1:]))
        dims = ("time", "y", "x") if timed else ("y", "x")
        cube[band] = (dims, array if timed else array[0], {"grid_mapping": "spatial_ref"})
    return cube


def planned(layers: Sequence[Layer], source: ImagerySource, district: District, aside: SetAside) -> Planned:
    """What all layers come to.

    A catalogue is naturally wider than a district: its scenes of other places are counted. A scene that was said to lie
    here, by its item or by the pattern of its file's name, and does not, is a fault.
    """
    crs = district_crs(district)
    layers = [replace(layer, geobox=in_words_of(layer.geobox, crs)) for layer in layers]
    meets([box.extent for box in dict.fromkeys(layer.geobox for layer in layers)], district, f"imagery {source.name}")
    grid = choose_grid((layer.geobox for layer in layers), source.resolution, district)
    there = {box: overlap(box, grid) is not None for box in {layer.geobox for layer in layers}}
    elsewhere = [layer for layer in layers if not there[layer.geobox]]
    note_elsewhere([layer for layer in elsewhere if layer.here], aside)
    layers = [layer for layer in layers if there[layer.geobox]]
    bands = [band for band in BANDS[source.sensor] if any(layer.band == band for layer in layers)]
    check_bands(bands, source)
    days = sorted({layer.day for layer in layers})
    plans = {}
    with lazy.sharing():
        known = {band: with_units([layer for layer in layers if layer.band == band], grid, aside) for band in bands}
        refuse_large_steps(steps_of([layer for layer in layers if layer.band == "displacement"], grid), aside)
    for band, (of_band, conversion) in known.items():
        timed = band not in STATIC
        if not timed:
            of_band = [replace(layer, day=days[0]) for layer in of_band]
        plans[band] = plan_of(of_band, days if timed else days[:1], grid, conversion, band, Broken(aside))
    return Planned(grid, days, plans, len({layer.scene for layer in elsewhere if not layer.here}))


def note_elsewhere(layers: Sequence[Layer], aside: SetAside) -> None:
    """Note files that lie beside the district; of many, the first few and how many there are."""
    files = sorted({(layer.scene, Path(layer.address).name) for layer in layers})
    why = "it lies beside the district and is left out; take it out of the source, or check its georeference"
    for scene, name in files[:NAMED_FILES]:
        aside.note(scene, "geometry", name, BESIDE, why)
    if len(files) > NAMED_FILES:
        aside.note(None, "geometry", f"{len(files)} files", BESIDE, f"and {len(files) - NAMED_FILES} more; {why}")


def check_bands(bands: Sequence[str], source: ImagerySource) -> None:
    """Raise `InputError` where none of the sensor's essential bands was found."""
    if not set(bands) & set(ESSENTIAL[source.sensor]):
        raise InputError(
            f"imagery {source.name} ({source.href}): no band of the sensor {source.sensor} was found; expected any of "
            f"{', '.join(ESSENTIAL[source.sensor])}, found {', '.join(bands) or 'none'}. Name the bands so"
        )


def with_units(layers: list[Layer], grid: GeoBox, aside: SetAside) -> tuple[list[Layer], Conversion]:
    """Layers whose values become physical by the conversion.

    Layers with and without a declared scale may stand side by side: those without one are looked at by themselves.
    """
    band = layers[0].band
    if band in CLASSES:
        return layers, AS_IS
    bare = [layer for layer in layers if not layer.scaled]
    if not bare or len(bare) == len(layers) or band not in REFLECTANCE:
        return layers, recognise(band, sample(layers, grid), aside)
    factor = recognise(band, sample(bare, grid), aside).factor
    layers = [layer if layer.scaled else replace(layer, scale=factor) for layer in layers]
    return layers, recognise(band, sample([layer for layer in layers if layer.scaled], grid), aside)


def sample(layers: Sequence[Layer], grid: GeoBox) -> np.ndarray:
    """Pixels of some layers, spread over time, after declared scale and offset; unreadable ones give none."""
    chosen = [layers[int(at)] for at in np.unique(np.linspace(0, len(layers) - 1, SAMPLED_LAYERS).round())]
    values = [np.empty(0, np.float32)]
    for layer in chosen:
        way = overlap(layer.geobox, grid)
        assert way is not None, "layers outside the grid were left out before"
        try:
            seen = stored(layer, middle_of(way.source, SAMPLED_SIDE))
            values.append(seen[np.isfinite(seen)])
        except (RasterioError, OSError):
            log.debug("%s cannot be sampled", layer.address)
    return np.concatenate(values)


def steps_of(layers: Sequence[Layer], grid: GeoBox) -> list[tuple[float, int]]:
    """Median movement between scenes of one place that follow each other, some along time, and the days between."""
    boxes = Counter(layer.geobox for layer in layers)
    ordered = sorted((one for one in layers if one.geobox == boxes.most_common(1)[0][0]), key=lambda one: one.day)
    pairs = [(one, other) for one, other in pairwise(ordered) if one.day < other.day]
    found = []
    for at in np.unique(np.linspace(0, len(pairs) - 1, SAMPLED_LAYERS).round().astype(int)) if pairs else ():
        way = overlap(pairs[at][0].geobox, grid)
        assert way is not None, "layers outside the grid were left out before"
        try:
            before, after = (stored(layer, middle_of(way.source, SAMPLED_SIDE)) for layer in pairs[at])
        except (RasterioError, OSError):
            log.debug("%s cannot be sampled", pairs[at][1].address)
            continue
        seen = np.abs(after - before)
        seen = seen[np.isfinite(seen)]
        days = (pairs[at][1].day - pairs[at][0].day).days
        found.append((float(np.median(seen)) if len(seen) else float("nan"), days))
    return found


def plan_of(
    layers: Sequence[Layer], days: Sequence[date], grid: GeoBox, conversion: Conversion, band: str, broken: Broken
) -> BandPlan:
    """The layers of one band sorted into days."""
    by_day: dict[date, list[Layer]] = {day: [] for day in days}
    for layer in sorted(layers, key=lambda layer: (layer.day, layer.scene, layer.address, layer.index)):
        by_day[layer.day].append(layer)
    resampling = "nearest" if band in CLASSES else "bilinear"
    return BandPlan(tuple(tuple(of_day) for of_day in by_day.values()), grid, conversion, resampling, broken)


def lazily(plan: BandPlan, chunks: tuple[tuple[int, ...], ...]) -> da.Array:
    """The band as a Dask array: one task a block, which opens every file that reaches into it once."""
    name = f"read-{tokenize(plan.days, str(plan.grid), plan.conversion, chunks)}"
    return lazy.lazily(partial(read_window, plan), chunks, name)


def read_window(plan: BandPlan, dates: slice, rows: slice, columns: slice) -> np.ndarray:
    """Some dates of a window of the grid, by its rows and columns."""
    return read(plan, range(dates.start, dates.stop), plan.grid[rows, columns])


def read(plan: BandPlan, entries: Sequence[int], window: GeoBox) -> np.ndarray:
    """Some dates of a window of the grid, (time, y, x), float32; a file that cannot be read leaves NaN and is noted."""
    block = np.full((len(entries), *window.shape.yx), np.nan, np.float32)
    ways: dict[int, Overlap | None] = {}  # by the object: many layers share a few grids, which are slow to compare
    with rasterio.Env():
        for image, layers in zip(block, (plan.days[entry] for entry in entries), strict=True):
            for layer in layers:
                if id(layer.geobox) not in ways:
                    ways[id(layer.geobox)] = overlap_of_part(layer.geobox, window, plan.grid)
                way = ways[id(layer.geobox)]
                if way is not None:
                    fill(image, layer, way, window, plan)
    return block


def fill(image: np.ndarray, layer: Layer, way: Overlap, window: GeoBox, plan: BandPlan) -> None:
    """Fill what is still missing of one day's image (y, x), in place."""
    part = image[way.target]
    missing = np.isnan(part)
    if not missing.any():
        return
    try:
        values = on_grid(layer, way, window, plan)
    except (RasterioError, OSError, UnlikeError) as error:
        plan.broken.note(layer, error)
        return
    part[missing] = values[missing]


def on_grid(layer: Layer, way: Overlap, window: GeoBox, plan: BandPlan) -> np.ndarray:
    """A layer's values in the contract's units on its part of the window."""
    raw = stored(layer, way.source)
    unlike = plan.conversion.unlike(layer.band, raw)
    if unlike:
        raise UnlikeError(unlike)
    values = plan.conversion(raw)
    return resampled(values, way, layer.geobox, window, plan.grid, plan.resampling)


def stored(layer: Layer, roi: Roi) -> np.ndarray:
    """A layer's pixels (rows, columns), float32, after declared scale and offset; no data is NaN."""
    raw, mask = unpacked(layer, roi)
    values = raw.astype(np.float32)
    missing = empty(raw, layer)
    if layer.scaled:
        values *= np.float32(layer.scale)
        values += np.float32(layer.offset)
    values[missing] = np.nan
    if mask is not None:
        values[mask == 0] = np.nan
    return values


def unpacked(layer: Layer, roi: Roi) -> tuple[np.ndarray, np.ndarray | None]:
    """A layer's pixels as its file has them, and the file's mask where it carries one.

    A file that holds the bands of a pixel side by side is unpacked once for all of them.
    """
    rows, columns = roi
    shelf, key = lazy.SHELF.get(), (layer.address, rows.start, rows.stop, columns.start, columns.stop)
    if shelf is not None and key in shelf.kept:
        bands, mask = shelf.kept[key]
        return bands[layer.index - 1], mask
    window = Window.from_slices(rows, columns)
    options = gdal_options(layer.address)
    with rasterio.Env(**options) if options else nullcontext(), rasterio.open(for_gdal(layer.address)) as source:
        mask = source.dataset_mask(window=window) if layer.masked else None
        size = source.count * window.height * window.width * np.dtype(layer.dtype).itemsize
        side_by_side = source.count > 1 and source.interleaving == Interleaving.pixel
        if shelf is None or not side_by_side or size > shelf.room:
            return source.read(layer.index, window=window), mask
        bands = source.read(window=window)
    shelf.put(key, (bands, mask), size)
    return bands[layer.index - 1], mask


def empty(raw: np.ndarray, layer: Layer) -> np.ndarray:
    """Where stored values say that nothing was seen.

    Optical and radar products fill with 0 what they did not see, and often declare no value for it; ground that
    reflects exactly nothing does not exist. A displacement of 0 does.
    """
    missing = ~np.isfinite(raw) if raw.dtype.kind == "f" else np.zeros(raw.shape, bool)
    if layer.nodata is not None and np.isfinite(layer.nodata):
        missing |= raw == np.asarray(layer.nodata).astype(raw.dtype)
    if layer.band in CLASSES or (layer.nodata is None and layer.band not in BANDS["displacement"]):
        missing |= raw == 0
    return missing
