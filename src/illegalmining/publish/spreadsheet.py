"""Tables for people: CSV and XLSX in which no text is ever a formula, byte for byte the same for the same table."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from openpyxl import Workbook
from openpyxl.cell.cell import Cell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from illegalmining.publish.gcj02 import to_gcj02
from illegalmining.publish.text import defused, harmless

# The file's own dates say nothing: those of the table are in its columns.
NO_TIME = datetime(2000, 1, 1)
LONGEST_CELL = 32767
WIDEST_COLUMN = 60


def flat(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    """All columns of a spatial table as a plain one: its centre and its outline as WKT.

    The centre is in WGS 84 (`lon`, `lat`) and in GCJ-02 (`gcj02_lon`, `gcj02_lat`, empty outside China). The WKT stays
    in the table's own CRS, which `crs` names in every row.
    """
    plain = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    centre = frame.geometry.representative_point().to_crs("EPSG:4326")
    plain["lon"] = centre.x.round(7)
    plain["lat"] = centre.y.round(7)
    shifted = [gcj02(lon, lat) for lon, lat in zip(centre.x, centre.y, strict=True)]
    plain["gcj02_lon"] = pd.Series([lon for lon, _ in shifted], index=plain.index, dtype=float).round(6)
    plain["gcj02_lat"] = pd.Series([lat for _, lat in shifted], index=plain.index, dtype=float).round(6)
    plain["crs"] = crs_name(frame.crs)
    plain["geometry"] = [None if shape is None else shape.wkt for shape in frame.geometry]
    return plain


def gcj02(lon: float, lat: float) -> tuple[float, float]:
    """GCJ-02 of a place; NaN where it is not in use, or there is no place."""
    found = to_gcj02(lon, lat) if np.isfinite(lon) and np.isfinite(lat) else None
    return found or (np.nan, np.nan)


def crs_name(crs: Any) -> str:
    """`EPSG:4546` where the CRS has a code, else its name."""
    if crs is None:
        return ""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.name)


def plain_value(value: Any) -> Any:
    """A cell's value as text, int, float, bool, date or None."""
    if value is None or value is pd.NaT or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return None
    if isinstance(value, pd.Timestamp | datetime):
        return value.date()
    return value.item() if isinstance(value, np.generic) else value


def rows_of(frame: pd.DataFrame) -> Iterable[list[Any]]:
    """Rows of plain values."""
    columns = [[plain_value(value) for value in frame[name].astype(object)] for name in frame.columns]
    return (list(row) for row in zip(*columns, strict=True))


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """RFC 4180, UTF-8 without a byte-order mark, `\\n` ends a line; text that a spreadsheet would run is defused."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([defused(str(name)) for name in frame.columns])
    for row in rows_of(frame):
        writer.writerow([csv_cell(value) for value in row])
    return stream.getvalue().encode()


def csv_cell(value: Any) -> str:
    """One value as CSV has it: ISO dates, shortest exact numbers, empty for nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    return repr(value) if isinstance(value, int | float) else defused(str(value))


def xlsx_bytes(frame: pd.DataFrame, sheet: str) -> bytes:
    """A workbook of one sheet: typed cells, texts as texts, a frozen bold header, filters."""
    book = Workbook()
    page: Worksheet = book.active
    page.title = sheet
    page.append([harmless(str(name)) for name in frame.columns])
    for at, row in enumerate(rows_of(frame), start=2):
        for column, value in enumerate(row, start=1):
            if value is not None:
                fill(page.cell(at, column), value)
    dress(page, frame)
    stream = io.BytesIO()
    book.save(stream)
    return timeless(stream.getvalue())


def fill(cell: Cell, value: Any) -> None:
    """Put a value into a cell; text is stored as text, whatever it begins with."""
    if isinstance(value, str):
        clean = harmless(value)
        cell.value = clean if len(clean) <= LONGEST_CELL else clean[: LONGEST_CELL - 1] + "…"
        cell.data_type = "s"
        cell.quotePrefix = clean != defused(clean)
    else:
        cell.value = value
        if isinstance(value, date):
            cell.number_format = "yyyy-mm-dd"


def dress(page: Worksheet, frame: pd.DataFrame) -> None:
    """Header, widths and filters."""
    for column, name in enumerate(frame.columns, start=1):
        head = page.cell(1, column)
        head.font = Font(bold=True)
        head.fill = PatternFill("solid", fgColor="E8EDF2")
        head.alignment = Alignment(vertical="top")
        longest = max([len(str(name)), *(len(str(value)) for value in frame[name].head(200))])
        page.column_dimensions[get_column_letter(column)].width = min(longest + 3, WIDEST_COLUMN)
    page.freeze_panes = "B2"
    page.auto_filter.ref = page.dimensions


def timeless(workbook: bytes) -> bytes:
    """The workbook without the times at which it was made, neither in its properties nor in its zip."""
    stamp = f"{NO_TIME:%Y-%m-%dT%H:%M:%SZ}".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as made, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as fixed:
        for member in made.infolist():
            content = made.read(member)
            if member.filename == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            entry = zipfile.ZipInfo(member.filename, NO_TIME.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            fixed.writestr(entry, content)
    return stream.getvalue()
