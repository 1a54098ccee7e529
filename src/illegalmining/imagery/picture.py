"""A small picture of the district for the map's ground, made from its own images."""

from __future__ import annotations

import io

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from PIL import Image

NATURAL = ("red", "green", "blue")
SCENES = 12
LOOKED_AT = 5 * SCENES
"""The latest scenes, among which clear ones are looked for."""
LOOK = 64
LONGEST_SIDE = 1400
STRETCH = (2.0, 98.0)
CLEAR_SCL = (4, 5, 6, 7)


def picture(cube: xr.Dataset) -> tuple[bytes, tuple[float, float, float, float]] | None:
    """A WebP in Web Mercator's grid, from the median of the last clear scenes, and its bounds in degrees.

    Parameters
    ----------
    cube: optical, dims (time, y, x), reflectance, with `red`, `green`, `blue` and perhaps `scl`.

    Returns
    -------
    (WebP bytes, (west, south, east, north)); None where a colour is missing or nothing was clear.
    """
    if not set(NATURAL) <= set(cube.data_vars):
        return None
    scenes = clearest(cube)
    colours = scenes[list(NATURAL)].where(clear(scenes)).median("time", skipna=True)
    finer = max(1, max(cube.sizes["y"], cube.sizes["x"]) // LONGEST_SIDE)
    if finer > 1:  # no more of it than the picture shows, however large the district
        colours = colours.coarsen(y=finer, x=finer, boundary="trim").mean()
    colours = colours.compute()
    if not bool(np.isfinite(colours["red"]).any()):
        return None
    grid = web_mercator(cube.odc.geobox)
    bands = [xr_reproject(colours[name], grid, resampling="bilinear", dst_nodata=np.nan).values for name in NATURAL]
    bounds = grid.extent.to_crs("EPSG:4326").boundingbox
    return encode(np.stack(bands, axis=-1)), (bounds.left, bounds.bottom, bounds.right, bounds.top)


def clearest(cube: xr.Dataset) -> xr.Dataset:
    """The most recent scenes, at most `SCENES`, whose middle is at least half clear; unread where the cube is lazy."""
    recent = cube.isel(time=slice(-LOOKED_AT, None))
    look = recent.isel(y=middle(cube.sizes["y"]), x=middle(cube.sizes["x"]))[
        [name for name in ("red", "scl") if name in cube]
    ]
    share = (clear(look) & np.isfinite(look["red"])).mean(("y", "x")).compute().values
    good = np.flatnonzero(share >= 0.5)
    chosen = good[-SCENES:] if len(good) else np.argsort(share, kind="stable")[-SCENES:]
    names = [*NATURAL, "scl"] if "scl" in cube else list(NATURAL)
    scenes = recent[names].isel(time=np.sort(chosen))
    return scenes.chunk(time=-1) if recent["red"].chunks else scenes


def middle(length: int) -> slice:
    """`LOOK` pixels in the middle of an axis, so that few blocks are read."""
    start = max(0, (length - LOOK) // 2)
    return slice(start, start + LOOK)


def clear(cube: xr.Dataset) -> xr.DataArray:
    """Where the scene classification says the ground was seen; everywhere without one."""
    if "scl" not in cube:
        return xr.ones_like(cube["red"], dtype=bool)
    return cube["scl"].isin(CLEAR_SCL)


def web_mercator(geobox: GeoBox) -> GeoBox:
    """The grid on which a web map lays a picture without bending it."""
    extent = geobox.extent.to_crs("EPSG:3857", resolution=geobox.resolution.x * 16)
    longest = min(LONGEST_SIDE, max(geobox.shape))
    box = extent.boundingbox
    return GeoBox.from_bbox(box, crs="EPSG:3857", resolution=max(box.span_x, box.span_y) / longest)


def encode(colours: np.ndarray) -> bytes:
    """WebP bytes of (y, x, 3) reflectance: stretched between percentiles, transparent where nothing was seen."""
    seen = np.isfinite(colours).all(axis=-1)
    low, high = np.percentile(colours[seen], STRETCH)
    bright = np.clip((np.nan_to_num(colours) - low) / max(high - low, 1e-6), 0, 1) ** 0.8
    pixels = np.dstack([(bright * 255).astype(np.uint8), np.where(seen, 255, 0).astype(np.uint8)])
    stream = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(stream, "WEBP", quality=72, method=4)
    return stream.getvalue()
