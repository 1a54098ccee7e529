"""GeoPackages that open in QGIS as they should look, byte for byte the same for the same table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from illegalmining.errors import DiskError
from illegalmining.publish.text import harmless

# GDAL writes this as `last_change`; the run's own day is in the table.
NO_TIME = "2000-01-01T00:00:00.000Z"

STYLES_TABLE = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT, update_time DATETIME
)"""
STYLE_ROW = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
  styleSLD, useAsDefault, description, owner, ui, update_time)
VALUES ('', '', ?, 'geom', ?, ?, '', 1, ?, '', NULL, ?)"""


def write_geopackage(layers: dict[str, tuple[gpd.GeoDataFrame, str]], path: Path) -> None:
    """Write layers, name -> (table, QML document), each with its QGIS style as the layer's default."""
    with fixed_time(), wholly(path):
        for at, (layer, (frame, _)) in enumerate(layers.items()):
            written = clean(frame)
            kind = geometry_type(written)
            pyogrio.write_dataframe(
                written, path, layer=layer, driver="GPKG", geometry_type=kind, GEOMETRY_NAME="geom", append=at > 0
            )
    with wholly(path), closing(sqlite3.connect(path)) as database, database:
        for layer, (frame, _) in layers.items():
            placed = int((~(frame.geometry.isna() | frame.geometry.is_empty)).sum())
            check_index(database, layer, placed, path)
        database.execute(STYLES_TABLE)
        for layer, (_, style) in layers.items():
            database.execute(STYLE_ROW, (layer, layer, style, "illegalmining", NO_TIME))
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)",
            (NO_TIME,),
        )


@contextmanager
def wholly(path: Path) -> Iterator[None]:
    """Inside the block GDAL or SQLite write a file, in whose words a full disk is one fault of many.

    Raises
    ------
    DiskError
        It cannot be written.
    """
    try:
        yield
    except (DataSourceError, DataLayerError, FeatureError, sqlite3.Error) as error:
        raise DiskError(path.name, error) from error


def check_index(database: sqlite3.Connection, layer: str, placed: int, path: Path) -> None:
    """Check that a layer's index holds as many shapes as were written.

    GDAL makes it as it closes the file, and takes no notice of a disk that is full by then.
    """
    (indexed,) = database.execute(f'SELECT count(*) FROM "rtree_{layer}_geom"').fetchone()
    if indexed != placed:
        raise DiskError(path.name, f"its index holds {indexed} of {placed} shapes")


def clean(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The table with its texts made harmless."""
    written = frame.copy()
    for column in written.columns:
        if written[column].dtype == object and column != written.geometry.name:
            written[column] = [harmless(value) if isinstance(value, str) else value for value in written[column]]
    return written


def geometry_type(frame: gpd.GeoDataFrame) -> str:
    """The one type that holds all shapes: `MultiPolygon` where all are areas, `Unknown` where points are among them."""
    found = set(frame.geom_type.dropna())
    if found <= {"Polygon"}:
        return "Polygon"
    return "MultiPolygon" if found <= {"Polygon", "MultiPolygon"} else "Unknown"


@contextmanager
def fixed_time() -> Iterator[None]:
    """GDAL's clock stands still while a file is written."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": NO_TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
