"""`cases.pmtiles`: every case with all its columns as vector tiles, where one page cannot hold them all.

The page reads it from the disk a tile at a time; QGIS opens it as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio

from illegalmining.atomic import atomic_file
from illegalmining.publish.casefile import PageLimits, by_rank
from illegalmining.publish.geopackage import clean
from illegalmining.publish.spreadsheet import flat

NAME = "cases.pmtiles"


@dataclass(frozen=True)
class TileParameters:
    """zoom: the one level there is, Web Mercator; at 13 a tile is 4 km wide in the middle of China, and a step of its
    outlines 1 m. tile_bytes: above what GDAL may in no case come, for then it drops cases: its own largest value.
    """

    zoom: int = 13
    tile_bytes: int = 2**31 - 1


def publish_tiles(cases: gpd.GeoDataFrame, folder: Path) -> list[Path]:
    """Write `cases.pmtiles` where a page does not hold every case in full; else see that no older one lies there."""
    path = folder / NAME
    if not wanted(cases):
        path.unlink(missing_ok=True)
        return []
    return [write_tiles(cases, path)]


def wanted(cases: gpd.GeoDataFrame, limits: PageLimits | None = None) -> bool:
    """Whether there are more cases than a page shows in full."""
    return len(by_rank(cases)) > (limits or PageLimits()).cases


def write_tiles(cases: gpd.GeoDataFrame, path: Path, parameters: TileParameters | None = None) -> Path:
    """All cases that have a place, whole in every tile they touch but for what lies far beyond its edge.

    The columns are those of `cases.csv` and `rank`, the most probable being the first; dates are ISO text.
    """
    parameters = parameters or TileParameters()
    shown = by_rank(cases)
    table = flat(shown).drop(columns="geometry")
    for name in table.columns[table.dtypes.map(pd.api.types.is_datetime64_any_dtype)]:
        table[name] = table[name].dt.strftime("%Y-%m-%d").astype(object).where(table[name].notna(), None)
    table.insert(0, "rank", range(1, len(table) + 1))
    tiled = clean(gpd.GeoDataFrame(table, geometry=shown.geometry.to_numpy(), crs=shown.crs)).to_crs("EPSG:4326")
    with atomic_file(path) as partial, one_thread():
        pyogrio.write_dataframe(
            tiled,
            partial,
            driver="PMTiles",
            layer="cases",
            geometry_type="Unknown",
            NAME="cases",
            DESCRIPTION=fingerprint(cases),
            MINZOOM=parameters.zoom,
            MAXZOOM=parameters.zoom,
            MAX_SIZE=parameters.tile_bytes,
            MAX_FEATURES=max(len(tiled), 1),
        )
    return path


@contextmanager
def one_thread() -> Iterator[None]:
    """GDAL's threads fill tiles in whatever order they end: one alone gives the same bytes every time."""
    before = pyogrio.get_gdal_config_option("GDAL_NUM_THREADS")
    pyogrio.set_gdal_config_options({"GDAL_NUM_THREADS": "1"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"GDAL_NUM_THREADS": before})


def fingerprint(cases: gpd.GeoDataFrame) -> str:
    """By what a page knows the tiles of its own cases from those of another run or another part."""
    shown = by_rank(cases)
    rows = zip(shown["case_id"], shown["probability"], shown["last_seen"], shown["status"], strict=True)
    told = "\n".join(f"{number} {float(p)!r} {last} {status}" for number, p, last, status in rows)
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()
