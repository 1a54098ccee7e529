"""A district of any size with optical images alone, made fast: for measuring, and for tests of how work is spread.

Grass under a season, noise that is the same every time, and pits of coal laid bare in the monitored year. It says
nothing of accuracy: `illegalmining simulate` makes districts for that.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from shapely.geometry import box

CRS = "EPSG:4546"
WEST, NORTH, PIXEL = 500_000.0, 4_110_000.0, 10.0
FIRST, MONITOR_FROM = date(2025, 1, 2), date(2026, 1, 1)
BANDS = {"green": (-2.8, -0.5), "red": (-2.9, -1.0), "nir": (-1.2, 1.0), "swir16": (-1.6, 0.2)}
"""Mean and swing of the logarithm of reflectance over the year."""
FEW = ("red", "nir")
"""Bands enough for tests."""
PIT_EVERY, PIT_PIXELS = 160, 7
DIGGING = date(2026, 2, 15)


def days_between(first: date, last: date, step: int) -> list[date]:
    """Every `step`-th day."""
    return [first + timedelta(days=n) for n in range(0, (last - first).days + 1, step)]


def write_scene(folder: Path, day: date, side: int, bands: tuple[str, ...] = tuple(BANDS)) -> Path:
    """One date as a tiled GeoTIFF, `side` pixels square."""
    rows, columns = np.mgrid[:side, :side]
    pit = np.hypot(rows % PIT_EVERY - PIT_EVERY / 2, columns % PIT_EVERY - PIT_EVERY / 2) <= PIT_PIXELS
    generator = np.random.default_rng(day.toordinal())
    wave = 0.3 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 200) / 365.25)
    path = folder / f"{day:%Y%m%d}.tif"
    profile = {"driver": "GTiff", "height": side, "width": side, "count": len(bands), "dtype": "uint16", "nodata": 0}
    tiling = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "zlevel": 1}
    corner = Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH)
    with rasterio.open(path, "w", crs=CRS, transform=corner, **profile, **tiling) as out:
        for number, name in enumerate(bands, 1):
            mean, swing = BANDS[name]
            level = np.where(pit, -3.0, mean) if day >= DIGGING else np.full((side, side), mean)
            level = level + (swing * wave + 0.05 * generator.standard_normal((side, side), np.float32))
            out.write((np.exp(level) * 1e4).astype("uint16"), number)
            out.set_band_description(number, name)
        out.scales = [1e-4] * len(bands)
    return path


def write_wide(folder: Path, side: int, as_of: date, step: int, bands: tuple[str, ...] = tuple(BANDS)) -> Path:
    """A district `side` pixels square with a scene every `step` days; returns its `district.toml`."""
    (folder / "s2").mkdir(parents=True)
    east, south = WEST + side * PIXEL, NORTH - side * PIXEL
    middle = (WEST + east) / 2
    halves = [box(middle, south, east, NORTH), box(WEST, south, middle, NORTH)]
    counties = {"code": ["E", "W"], "name": ["East", "West"], "parent_code": [None] * 2, "level": ["county"] * 2}
    gpd.GeoDataFrame(counties, geometry=halves, crs=CRS).to_parquet(folder / "counties.parquet")
    for day in days_between(FIRST, as_of, step):
        write_scene(folder / "s2", day, side, bands)
    path = folder / "district.toml"
    path.write_text(
        f'[district]\nname = "wide"\ncrs = "{CRS}"\nbounds = [{WEST}, {south}, {east}, {NORTH}]\n'
        f"history_from = {FIRST}\nmonitor_from = {MONITOR_FROM}\nas_of = {as_of}\n"
        '[registers]\njurisdictions = "counties.parquet"\n'
        '[[imagery]]\nname = "s2"\nsensor = "optical"\nsource = "stack"\nhref = "s2/*.tif"\n'
    )
    return path
