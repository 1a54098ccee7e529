"""Tables without geometry: CSV in any usual encoding, XLSX with its texts kept as texts."""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

from illegalmining.errors import InputError
from illegalmining.registers.quarantine import Fault
from illegalmining.registers.raw import Raw, folded, matched

log = logging.getLogger(__name__)

DELIMITERS = ",;\t|"
SEARCHED_LINES = 10
"""First lines among which the header is looked for: lists often carry a title above it."""
COMMON_SHARE = 0.5
"""Share of a text's other-than-ASCII characters that must be in GB 2312 for it to be taken as Chinese."""
CELL_LIMIT = 1_000_000
LINE_END = re.compile(r"\r\n|\n|\r")
ZEROS = re.compile(r"0+")


def encoding_of(data: bytes) -> str:
    """Which encoding bytes are in: a declared Unicode one, UTF-8, GB 18030 (which holds GBK), else Windows-1252.

    UTF-8 is proved by its structure. GB 18030 accepts almost any bytes, so its reading must also consist mostly of
    the characters of GB 2312: accented Latin letters read as Chinese do not.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return name
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        return "gb18030" if looks_chinese(data) else "cp1252"


def looks_chinese(data: bytes) -> bool:
    """Whether bytes read as GB 18030 give mostly characters of GB 2312, letting a few broken ones pass."""
    letters = [letter for letter in data.decode("gb18030", errors="replace") if ord(letter) > 127]
    common = sum(1 for letter in letters if letter != "\ufffd" and in_gb2312(letter))
    return bool(letters) and common >= COMMON_SHARE * len(letters)


def in_gb2312(letter: str) -> bool:
    """Whether GB 2312 has the character."""
    try:
        letter.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def read_csv(path: Path, wanted: tuple[str, ...]) -> tuple[Raw, list[Fault]]:
    """A CSV file: all cells are text; rows that cannot be parsed are faults.

    Raises
    ------
    InputError
        Not text, or nothing in it.
    """
    data = path.read_bytes()
    if b"\0" in data and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path.name}: not a text file (it holds NUL bytes); export the table as CSV in UTF-8")
    encoding = encoding_of(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: encoding not recognised ({error}); save the CSV in UTF-8") from error
    if encoding not in ("utf-8", "utf-8-sig"):
        log.info("%s read as %s", path.name, encoding)
    return tabulated(rows_of(text, wanted), wanted, path)


def rows_of(text: str, wanted: tuple[str, ...]) -> list[list[str] | None]:
    """The rows of a CSV text; None for a row that breaks CSV's quoting.

    Read strictly first. Where that fails (an unclosed quote would swallow the rest of the file) every line is read
    by itself, so that one bad line costs one row.
    """
    lines = LINE_END.split(text)
    first = lines[:SEARCHED_LINES]
    delimiter = max(DELIMITERS, key=lambda mark: max(names_found(line.split(mark), wanted) for line in first))
    csv.field_size_limit(CELL_LIMIT)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        rows: list[list[str] | None] = []
        for line in lines:
            try:
                rows.append(next(csv.reader([line], delimiter=delimiter, strict=True), []))
            except csv.Error:
                rows.append(None)
        return rows


def names_found(cells: list[Any] | None, wanted: tuple[str, ...]) -> int:
    """How many of the wanted columns a row of cells names."""
    names = [folded(cell).strip('"') for cell in cells or [] if cell is not None]
    return len(matched(names, wanted))


def read_xlsx(path: Path, wanted: tuple[str, ...]) -> tuple[Raw, list[Fault]]:
    """An XLSX workbook: the sheet that names most of the wanted columns; texts stay texts, formulas give their values.

    Raises
    ------
    InputError
        Nothing in it.
    """
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        sheets: list[list[list[Any] | None]] = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()
            sheets.append([[shown(cell) for cell in row] for row in sheet.iter_rows()])
    finally:
        book.close()
    best = max(sheets, key=lambda rows: names_found(header_of(rows, wanted)[1], wanted), default=[])
    return tabulated(best, wanted, path)


def shown(cell: Any) -> Any:
    """A cell's value; a whole number shown with leading zeros (format 00000) as the text a reader sees."""
    value = cell.value
    if isinstance(value, int) and not isinstance(value, bool) and ZEROS.fullmatch(str(cell.number_format)):
        return str(value).zfill(len(cell.number_format))
    return value


def header_of(rows: list[list[Any] | None], wanted: tuple[str, ...]) -> tuple[int, list[Any]]:
    """Where the header is, and its cells: of the first lines, the one that names most of the wanted columns."""
    candidates = [(place, row) for place, row in enumerate(rows[:SEARCHED_LINES]) if row and any(filled(row))]
    if not candidates:
        return 0, []
    return max(candidates, key=lambda found: (names_found(found[1], wanted), -found[0]))


def filled(row: list[Any]) -> list[bool]:
    """Which cells of a row hold something."""
    return [cell is not None and str(cell).strip() != "" for cell in row]


def tabulated(rows: list[list[Any] | None], wanted: tuple[str, ...], path: Path) -> tuple[Raw, list[Fault]]:
    """Header and cells from rows; blank rows are skipped but counted, rows longer than the header are faults."""
    place, header = header_of(rows, wanted)
    if not header:
        raise InputError(f"{path.name}: the file holds no rows; expected a header naming {', '.join(wanted)}")
    names = [str(cell).strip() if cell is not None else "" for cell in header]
    kept: dict[int, list[Any]] = {}
    faults: list[Fault] = []
    for number, row in enumerate(rows[place + 1 :], start=1):
        if row is None:
            faults.append(
                Fault(number, None, None, "a row of CSV", "a quotation mark is not closed; close or double it")
            )
        elif not any(filled(row)):
            continue
        elif any(filled(row[len(names) :])):
            why = f"{len(row)} cells under {len(names)} column names: quote cells that contain the delimiter"
            faults.append(Fault(number, None, row[len(names)], f"{len(names)} cells", why))
        else:
            kept[number] = [*row[: len(names)], *[None] * (len(names) - len(row))]
    cells = pd.DataFrame(list(kept.values()), columns=names, index=list(kept), dtype=object)
    return Raw(cells.loc[:, ~cells.columns.duplicated()]), faults
