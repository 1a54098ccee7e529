"""One band of one raster file on one day, as its header says; nothing of its pixels is read here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError

from illegalmining.errors import InputError
from illegalmining.storage import for_gdal, gdal_options

READERS = 8
"""Most headers read at a time: opening waits for the disk, not for the processor."""
EACH = 50
"""Headers that are worth another reader: of a thread's first file GDAL and PROJ make as much work as of fifty more."""
MOST_BLOCKS_CHECKED = 4096
LARGEST_BLOCK_BYTES = 1e9
"""A block is unpacked whole for one pixel of it; a Sentinel-2 tile in one strip has 0.24 GB."""
SAME_PLACE_M = 1e-3
"""Coordinates that differ by less are the same, m."""

Given = TypeVar("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Header:
    """What a raster file says of itself; tuples have one entry a band.

    masked: it carries a mask or an alpha band.
    """

    geobox: GeoBox
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    names: tuple[str | None, ...]
    tags: dict[str, str]
    masked: bool


@dataclass(frozen=True)
class Layer:
    """One band of one scene, ready to be read.

    day: the day it was taken. scene: what a person knows it by; ties within a day are settled in its order. address:
    file or URL. index: band number in the file, from 1. scale, offset: physical value = stored * scale + offset. here:
    whether the source says that the scene lies in the district; a catalogue may list those of a whole country.
    """

    day: date
    scene: str
    band: str
    address: str
    index: int
    geobox: GeoBox
    dtype: str
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    masked: bool = False
    here: bool = True

    @property
    def scaled(self) -> bool:
        """Whether scale or offset were declared."""
        return (self.scale, self.offset) != (1.0, 0.0)


def read_header(address: str) -> Header:
    """The header of a raster file.

    Raises
    ------
    InputError
        It is missing, no raster, cut short, or has no place on earth.
    """
    try:
        with rasterio.Env(**gdal_options(address)), rasterio.open(for_gdal(address)) as source:
            if source.crs is None or source.transform.is_identity:
                raise InputError("it has no coordinate system or no geotransform; georeference it")
            block = max(
                height * width * np.dtype(kind).itemsize
                for (height, width), kind in zip(source.block_shapes, source.dtypes, strict=True)
            )
            if block > LARGEST_BLOCK_BYTES:
                raise InputError(f"one block of it unpacks to {block / 1e9:.1f} GB; write it in tiles (COG)")
            if any(np.dtype(kind).kind == "c" for kind in source.dtypes):
                raise InputError("its values are complex numbers, not measurements: give intensities")
            missing = bytes_missing(source, address)
            if missing:
                raise InputError(f"it is cut short, {missing} bytes are missing; copy it again")
            flags = {flag for band in source.mask_flag_enums for flag in band}
            return Header(
                geobox=shared_geobox(GeoBox.from_rio(source)),
                dtypes=source.dtypes,
                nodata=source.nodatavals,
                scales=source.scales,
                offsets=source.offsets,
                names=tuple(name or tag_name(source, index) for index, name in enumerate(source.descriptions, 1)),
                tags=source.tags(),
                masked=bool(flags & {MaskFlags.per_dataset, MaskFlags.alpha}),
            )
    except (RasterioError, TypeError, ValueError) as error:
        raise InputError(f"it cannot be opened as a raster ({error}); replace it or take it out") from error


def tag_name(source: Any, index: int) -> str | None:
    """A band's name where it stands in its tags and not in its description."""
    tags = source.tags(index)
    return next((tags[key] for key in ("band_name", "NETCDF_VARNAME", "name", "BAND") if tags.get(key)), None)


def bytes_missing(source: Any, address: str) -> int:
    """How many bytes a local GeoTIFF lacks for the blocks its directory lists: what a broken download leaves."""
    if source.driver != "GTiff" or not Path(address).is_file():
        return 0
    size = os.path.getsize(address)
    height, width = source.block_shapes[0]
    places = [(x, y) for y in range(-(-source.height // height)) for x in range(-(-source.width // width))]
    end = 0
    for x, y in places[:: len(places) // MOST_BLOCKS_CHECKED + 1]:
        offset = source.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=source.count)
        length = source.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=source.count)
        if offset and length:
            end = max(end, int(offset) + int(length))
    return max(0, end - size)


@lru_cache(maxsize=4096)
def shared_geobox(geobox: GeoBox) -> GeoBox:
    """The same object for equal grids: thousands of files share a few, and pickles stay small."""
    return geobox


@lru_cache(maxsize=4096)
def in_words_of(geobox: GeoBox, crs: CRS) -> GeoBox:
    """The grid with the district's own CRS where its CRS gives the same coordinates, however it is written.

    EPSG code, ESRI's WKT and WKT with a zero datum shift are one CRS to the ground, and no warp is needed.
    """
    assert geobox.crs is not None, "rasters without a CRS were refused"
    if geobox.crs != crs:
        if geobox.crs.projected != crs.projected:
            return geobox
        corners = np.array([geobox.affine * corner for corner in ((0, 0), geobox.shape.xy)]).T
        there = np.array(geobox.crs.transformer_to_crs(crs)(*corners))
        if not np.allclose(corners, there, rtol=0, atol=SAME_PLACE_M):
            return geobox
    return shared_geobox(GeoBox(geobox.shape, geobox.affine, crs))


def at_once(ask: Callable[[Given], Answer], given: Iterable[Given]) -> list[Answer | InputError]:
    """Ask for many, several at a time, in order; an `InputError` is an answer like any other."""

    def answer(one: Given) -> Answer | InputError:
        try:
            return ask(one)
        except InputError as error:
            return error

    asked = list(given)
    with ThreadPoolExecutor(min(READERS, 1 + len(asked) // EACH)) as pool:
        return list(pool.map(answer, asked))
