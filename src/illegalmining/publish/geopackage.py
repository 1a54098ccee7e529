"""GeoPackages that open in QGIS as they should look, byte for byte the same for the same table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd
import pyogrio

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
    with fixed_time():
        for at, (layer, (frame, _)) in enumerate(layers.items()):
            written = clean(frame)
            kind = geometry_type(written)
            pyogrio.write_dataframe(
                written, path, layer=layer, driver="GPKG", geometry_type=kind, GEOMETRY_NAME="geom", append=at > 0
            )
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(STYLES_TABLE)
        for layer, (_, style) in layers.items():
            database.execute(STYLE_ROW, (layer, layer, style, "illegalmining", NO_TIME))
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)",
            (NO_TIME,),
        )


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
