"""Vector files of any format GDAL reads, and GeoParquet, as raw cells and geometries."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet
import pyogrio
import pyproj

from illegalmining.contracts import Table
from illegalmining.errors import InputError
from illegalmining.registers.plain import encoding_of, looks_chinese
from illegalmining.registers.raw import Raw, matched

log = logging.getLogger(__name__)

PARQUET_SUFFIXES = (".parquet", ".geoparquet", ".pq")
FOLDERED_DRIVERS = ("KML", "LIBKML")
"""Formats whose folders come as layers and belong together."""
DBF_HEADER_LENGTH = slice(8, 10)
DBF_LANGUAGE = 29
DBF_UNDECLARED = (0x00, 0x57)
"""Language bytes of a .dbf that say nothing: none, and "the ANSI code page of the machine"."""


def read_vector(path: Path, table: Table) -> Raw:
    """A vector file, or a geometry-less table in one of these formats.

    Raises
    ------
    InputError
        Several layers of which none is clearly meant.
    OSError, ValueError, RuntimeError
        The file is not what it seems.
    """
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return read_parquet(path)
    if path.suffix.lower() in (".shp", ".dbf"):
        frame = read_layers(path, [None], encoding=dbf_encoding(path.with_suffix(".dbf")))
        return as_raw(frame, truncated=True)
    return as_raw(read_layers(path, chosen_layers(path, table), encoding=None))


def read_parquet(path: Path) -> Raw:
    """A GeoParquet file, or plain Parquet."""
    schema = pyarrow.parquet.read_schema(path)
    if b"geo" in (schema.metadata or {}):
        return as_raw(gpd.read_parquet(path, to_pandas_kwargs={"timestamp_as_object": True}))
    return as_raw(pyarrow.parquet.read_table(path).to_pandas(timestamp_as_object=True))


def read_layers(path: Path, layers: list[str | None], encoding: str | None) -> pd.DataFrame:
    """Layers one below the other; rings left open are closed, what cannot be a geometry comes as None."""
    frames = [
        pyogrio.read_dataframe(path, layer=layer, encoding=encoding, on_invalid="fix", datetime_as_string=True)
        for layer in layers
    ]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def chosen_layers(path: Path, table: Table) -> list[str | None]:
    """Which layers hold a table: the one with its name, else the one with its columns, else the only one."""
    names = [str(name) for name, _ in pyogrio.list_layers(path)]
    if len(names) < 2:
        return [None]
    fitting = []
    for name in names:
        fields = [str(field) for field in pyogrio.read_info(path, layer=name)["fields"]]
        if set(table.required) <= set(matched(fields, table.columns)):
            fitting.append(name)
    named = [name for name in (fitting or names) if name.casefold() in (table.name, path.stem.casefold())]
    if named:
        return [named[0]]
    if len(fitting) == 1 or (fitting and pyogrio.read_info(path, layer=names[0])["driver"] in FOLDERED_DRIVERS):
        return list(fitting)
    raise InputError(
        f"{path.name} has {len(names)} layers ({', '.join(names)}) and {len(fitting)} of them have the columns "
        f"{', '.join(table.required)}: name the right one {table.name}"
    )


def as_raw(frame: pd.DataFrame, truncated: bool = False) -> Raw:
    """Cells apart from geometry, rows counted from 1."""
    rows = pd.RangeIndex(1, len(frame) + 1)
    if not isinstance(frame, gpd.GeoDataFrame):
        return Raw(pd.DataFrame(frame).set_index(rows), truncated=truncated)
    cells = pd.DataFrame(frame.drop(columns=frame.geometry.name)).set_index(rows)
    declared = None if frame.crs is None else pyproj.CRS.from_user_input(frame.crs)
    return Raw(cells, np.asarray(frame.geometry.array, dtype=object), declared, truncated)


def dbf_encoding(path: Path) -> str | None:
    """The encoding of a Shapefile's texts where GDAL would guess wrong; None where it may judge by itself.

    GDAL takes texts for Latin-1 where no `.cpg` and no language byte says otherwise, and believes a `.cpg` that is
    wrong. UTF-8 proves itself by its structure; what reads as Chinese in GB 18030 is.
    """
    if not path.is_file():
        return None
    data = path.read_bytes()
    body = data[int.from_bytes(data[DBF_HEADER_LENGTH], "little") :]
    if body.isascii():
        return None
    guess = encoding_of(body)
    if guess == "utf-8":
        return "utf-8"
    declared = declared_encoding(path)
    if declared in ("", "utf-8") and data[DBF_LANGUAGE] in DBF_UNDECLARED and looks_chinese(body):
        log.warning("%s declares %s but its texts are GBK: read as GBK", path.name, declared or "no encoding")
        return "gb18030"
    return None


def declared_encoding(path: Path) -> str:
    """What the `.cpg` beside a `.dbf` says, '' if there is none."""
    for suffix in (".cpg", ".CPG"):
        cpg = path.with_suffix(suffix)
        if cpg.is_file():
            return cpg.read_text("ascii", errors="replace").strip().casefold().replace("utf8", "utf-8")
    return ""


def column_names(cells: Any) -> str:
    """Column names for a message."""
    return ", ".join(str(name) for name in cells.columns[:20]) or "none"
