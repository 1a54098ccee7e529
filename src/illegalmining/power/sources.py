"""Files of meter readings: found, checked, and written as SQL that gives every file the same columns.

A relation has the columns `file` (its number), `meter` (text), `instant` (what tells one reading from another),
`local` (TIMESTAMP, clock time in the district's zone) and `kwh` (DOUBLE, NULL where it is no number).
"""

from __future__ import annotations

from dataclasses import dataclass
from glob import glob, has_magic
from os import SEEK_END
from pathlib import Path, PurePath
from typing import Any

import duckdb

from illegalmining.errors import InputError
from illegalmining.storage import found, in_store, opened

COLUMNS = ("meter_id", "time", "kwh")
QUANTITY = "quantity"
POWER = "power"
APART = chr(31)
"""Stands between a meter and its quantity in a series' key; no register writes it."""

ENERGY_WORDS = ("", "power", "energy", "electricity", "total", "kwh")
"""What offices write where the whole mine's power is meant."""
PARQUET = (".parquet", ".pq", ".parq")
CSV = (".csv", ".csv.gz", ".tsv", ".txt")
PLAIN = (".csv", ".tsv", ".txt")
LONGEST_LINE = 4 << 20
"""Bytes; a reading has some tens."""
LOOKS = 64
"""Places of a file at which its lines are looked at."""
CLOCK_OFFSET = r"(Z|z|:[0-9]{2}(\.[0-9]+)?\s*[+-][0-9]{2}(:?[0-9]{2})?)$"
"""A written time that carries its offset: it ends in Z or in +08, +0800, +08:00 after minutes or seconds."""


@dataclass(frozen=True)
class ReadingsFile:
    """One usable file. name: as a reader of the district knows it. relation: SQL of the columns above."""

    path: str
    name: str
    relation: str


def find_files(pattern: str, root: Path | None) -> list[tuple[str, str]]:
    """Files that match the glob, here or in an object store, in order, each with its name for a reader.

    Raises
    ------
    InputError
        Nothing matches.
    """
    if in_store(pattern):
        named = [(address, address) for address in found(pattern)]
    else:
        paths = sorted(path for one in glob(pattern, recursive=True) if (path := Path(one)).is_file())
        base = root or fixed_folder(pattern).parent
        named = [
            (str(path), path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name) for path in paths
        ]
    if not named:
        raise InputError(
            f"power.readings: no file matches {pattern}; expected Parquet or CSV files with the columns "
            f"{', '.join(COLUMNS)}. Correct the glob or drop the [power] section"
        )
    return named


def fixed_folder(pattern: str) -> Path:
    """The deepest folder of a glob that has no wildcard in it."""
    folder = Path(pattern).parent
    while has_magic(str(folder)):
        folder = folder.parent
    return folder


def open_file(
    connection: duckdb.DuckDBPyConnection, number: int, path: str, name: str, timezone: str
) -> ReadingsFile | dict[str, Any]:
    """A usable file, or the quarantine row that says why it is none."""
    lower = PurePath(path).name.lower()
    if lower.endswith(PLAIN) and has_endless_line(path):
        why = f"a line of more than {LONGEST_LINE >> 20} MiB: damaged; ask for the file again"
        return aside(name, None, None, "lines of a table", why)
    if lower.endswith(PARQUET):
        scan = f"read_parquet({quoted(path)})"
    elif lower.endswith(CSV):
        scan = f"read_csv({quoted(path)}, header = true, all_varchar = true, ignore_errors = true)"
    else:
        return aside(
            name, None, PurePath(path).suffix, "a Parquet or CSV file", "the format is not known; convert the file"
        )
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    except duckdb.Error as error:
        return aside(
            name,
            None,
            None,
            "the file can be read",
            f"it is damaged or not what its name says ({first_line(error)}); ask for the file again",
        )
    types = {str(row[0]).strip("\ufeff").strip().lower(): (str(row[0]), str(row[1])) for row in described}
    if QUANTITY in types and "kwh" not in types and "value" in types:
        types["kwh"] = types["value"]
    missing = [column for column in COLUMNS if column not in types]
    if missing:
        return aside(
            name,
            ", ".join(missing),
            ", ".join(types),
            f"columns {', '.join(COLUMNS)}",
            "the file is left out; rename or add the columns",
        )
    meter, time, kwh = (types[column] for column in COLUMNS)
    try:
        clock = clock_columns(time, timezone)
    except ValueError as error:
        return aside(name, "time", time[1], "a date with time, or text in ISO 8601", f"{error}; the file is left out")
    relation = (
        f"SELECT {number} AS file, {series_key(meter[0], types.get(QUANTITY))} AS meter, {clock}, "
        f"try_cast({identifier(kwh[0])} AS DOUBLE) AS kwh FROM {scan}"
    )
    return ReadingsFile(path, name, relation)


def has_endless_line(path: str) -> bool:
    """Whether somewhere in a text file no line ends for `LONGEST_LINE` bytes, looked at in places all along it."""
    with opened(path) as stream:
        size = stream.seek(0, SEEK_END)
        for look in range(LOOKS if size > LONGEST_LINE else 0):
            stream.seek((size - LONGEST_LINE) * look // (LOOKS - 1))
            piece = stream.read(LONGEST_LINE)
            if b"\n" not in piece and b"\r" not in piece:
                return True
    return False


def series_key(meter: str, quantity: tuple[str, str] | None) -> str:
    """SQL of what tells one series from another: the meter, and what it measures where that is not power."""
    own = f"trim(CAST({identifier(meter)} AS VARCHAR))"
    if quantity is None:
        return own
    word = f"lower(trim(coalesce(CAST({identifier(quantity[0])} AS VARCHAR), '')))"
    known = ", ".join(quoted(name) for name in ENERGY_WORDS)
    return f"CASE WHEN {word} IN ({known}) THEN {own} ELSE {own} || chr({ord(APART)}) || left({word}, 40) END"


def named(key: str) -> str:
    """A series' key for a reader."""
    meter, _, quantity = key.partition(APART)
    return f"{meter} ({quantity})" if quantity else meter


def clock_columns(column: tuple[str, str], timezone: str) -> str:
    """SQL of `instant` and `local` for a time column of any type.

    Raises
    ------
    ValueError
        The type holds no time of day.
    """
    name, kind = identifier(column[0]), column[1].upper()
    zone = quoted(timezone)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"epoch_us({name}) AS instant, {name} AT TIME ZONE {zone} AS local"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"epoch_us(CAST({name} AS TIMESTAMP)) AS instant, CAST({name} AS TIMESTAMP) AS local"
    if kind == "VARCHAR":
        offset = f"regexp_matches({name}, {quoted(CLOCK_OFFSET)})"
        aware = f"try_cast({name} AS TIMESTAMPTZ)"
        naive = f"coalesce(try_cast({name} AS TIMESTAMP), try_cast(replace({name}, '/', '-') AS TIMESTAMP))"
        return (
            f"CASE WHEN {offset} THEN epoch_us({aware}) ELSE epoch_us({naive}) END AS instant, "
            f"CASE WHEN {offset} THEN {aware} AT TIME ZONE {zone} ELSE {naive} END AS local"
        )
    raise ValueError(f"{kind} is not a time")


def aside(file: str, field: str | None, value: Any, rule: str, why: str) -> dict[str, Any]:
    """A row of `tables.QUARANTINE` for a whole file or for a group of readings."""
    found = None if value is None else str(value)[:200]
    return {"file": file, "row": None, "field": field, "value": found, "rule": rule, "why": why}


def quoted(value: str) -> str:
    """A text literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    """What went wrong, without the library's hints."""
    return str(error).strip().splitlines()[0][:160]
