"""KML with every column of the table, typed, and a colour for each kind."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from illegalmining.publish.spreadsheet import flat, plain_value
from illegalmining.publish.style import KIND_COLOURS
from illegalmining.publish.text import harmless

DECIMALS = 7


def kml_bytes(frame: gpd.GeoDataFrame, name: str, title: str, style: str) -> bytes:
    """A KML document of one folder.

    Parameters
    ----------
    frame: the table, any CRS; KML itself is WGS 84. title, style: columns that name a placemark and choose its colour.
    """
    plain = flat(frame).drop(columns="geometry")
    kinds = {column: kml_type(plain[column]) for column in plain.columns}
    fields = "".join(f'<SimpleField name={attribute(column)} type="{kinds[column]}"/>' for column in plain.columns)
    placemarks = [
        placemark(row, shape, title, style)
        for row, shape in zip(plain.to_dict("records"), frame.geometry.to_crs("EPSG:4326"), strict=True)
    ]
    head = f'<Schema name="{name}" id="{name}">{fields}</Schema>{"".join(map(style_of, KIND_COLOURS))}'
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">'
        f'<Document id="root"><name>{name}</name>{head}<Folder><name>{name}</name>\n'
        + "\n".join(mark.replace("{schema}", f"#{name}", 1) for mark in placemarks)
        + "\n</Folder></Document></kml>\n"
    )
    return document.encode()


def attribute(value: str) -> str:
    """Text as a quoted XML attribute."""
    return quoteattr(harmless(str(value)))


def content(value: Any) -> str:
    """Text as XML content."""
    return escape(harmless(str(value)))


def kml_type(column: pd.Series) -> str:
    """KML's name for a column's type."""
    if pd.api.types.is_bool_dtype(column):
        return "bool"
    if pd.api.types.is_integer_dtype(column):
        return "int"
    return "double" if pd.api.types.is_float_dtype(column) else "string"


def style_of(kind: str) -> str:
    """The style of one kind: its colour as line and as a light fill (KML writes colours alpha, blue, green, red)."""
    red, green, blue = (KIND_COLOURS[kind][at : at + 2] for at in (1, 3, 5))
    bgr = f"{blue}{green}{red}".lower()
    return (
        f'<Style id="{kind}"><IconStyle><color>ff{bgr}</color></IconStyle><LineStyle><color>ff{bgr}</color>'
        f"<width>2</width></LineStyle><PolyStyle><color>55{bgr}</color></PolyStyle></Style>"
    )


def placemark(row: dict[str, Any], shape: BaseGeometry | None, title: str, style: str) -> str:
    """One row as a placemark; `{schema}` stands for the schema's address."""
    values = {column: plain_value(value) for column, value in row.items()}
    data = "".join(
        f"<SimpleData name={attribute(column)}>{content(value)}</SimpleData>"
        for column, value in values.items()
        if value is not None
    )
    return (
        f"<Placemark><name>{content(values[title])}</name><styleUrl>#{content(values[style])}</styleUrl>"
        f'<ExtendedData><SchemaData schemaUrl="{{schema}}">{data}</SchemaData></ExtendedData>'
        f"{'' if shape is None or shape.is_empty else geometry(shape)}</Placemark>"
    )


def geometry(shape: BaseGeometry) -> str:
    """A shape in KML's words."""
    if shape.geom_type == "Point":
        return f"<Point><coordinates>{coordinates(shape.coords)}</coordinates></Point>"
    if shape.geom_type == "Polygon":
        rings = [f"<outerBoundaryIs>{ring(shape.exterior)}</outerBoundaryIs>"]
        rings += [f"<innerBoundaryIs>{ring(hole)}</innerBoundaryIs>" for hole in shape.interiors]
        return f"<Polygon>{''.join(rings)}</Polygon>"
    if shape.geom_type == "LineString":
        return f"<LineString><coordinates>{coordinates(shape.coords)}</coordinates></LineString>"
    return f"<MultiGeometry>{''.join(geometry(part) for part in shape.geoms)}</MultiGeometry>"


def ring(line: BaseGeometry) -> str:
    """A closed line in KML's words."""
    return f"<LinearRing><coordinates>{coordinates(line.coords)}</coordinates></LinearRing>"


def coordinates(points: Any) -> str:
    """`lon,lat` pairs, 1 cm fine; heights are left out."""
    rounded = np.round(np.asarray(points, dtype=float)[:, :2], DECIMALS)
    return " ".join(f"{lon:.{DECIMALS}f},{lat:.{DECIMALS}f}" for lon, lat in rounded)
