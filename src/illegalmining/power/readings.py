"""Meter readings of any size to one compact row a meter and day: hourly load, total, faults.

DuckDB reads, dedupes and sums under a memory limit; what comes back is 24 numbers a day, cleaned of meter faults.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import numpy as np
import pandas as pd

from illegalmining.errors import InputError
from illegalmining.power.clock import ClockParameters, clock_errors, put_right
from illegalmining.power.daily import BAD, HOURS, MASKS, SLOT_MINUTES, aggregate
from illegalmining.power.fault_list import CODES, FAULT_WORDS, fault_rows
from illegalmining.power.faults import FaultParameters, Floats, lone_peaks, over_capacity, zero_blocks
from illegalmining.power.scale import ScaleParameters, scale_of_days
from illegalmining.power.sources import (
    APART,
    POWER,
    ReadingsFile,
    aside,
    find_files,
    first_line,
    named,
    open_file,
    quoted,
)
from illegalmining.power.units import kilowatts_to_energy
from illegalmining.storage import file_system, in_store

HOUR_COLUMNS = tuple(f"h{hour:02d}" for hour in HOURS)
DAY_MINUTES = 1440
SLOTS_AN_HOUR = 60 // SLOT_MINUTES
HOUR_MASK = 2**SLOTS_AN_HOUR - 1
MOST_SERIES = 2_000_000
"""Meters and quantities in one district's readings; a province has some hundred thousand."""


@dataclass(frozen=True)
class ReadingParameters:
    """How readings are brought to days.

    memory: what DuckDB may hold, beyond it works on disk. threads: cores it uses. meters_at_once: meters cleaned in one
    go. hour_share: share of an hour's readings that must be there. day_hours: hours that must be known for a day's
    total. faults, clock, scale: what counts as a meter's fault, as a wrong clock, as a change of scale.
    """

    memory: str = "1500MB"
    threads: int = 2
    meters_at_once: int = 200
    hour_share: float = 0.5
    day_hours: int = 18
    faults: FaultParameters = field(default_factory=FaultParameters)
    clock: ClockParameters = field(default_factory=ClockParameters)
    scale: ScaleParameters = field(default_factory=ScaleParameters)


def read_profiles(
    pattern: str,
    timezone: str,
    history_from: date,
    as_of: date,
    quarantine: list[dict[str, Any]],
    meters: pd.DataFrame | None,
    parameters: ReadingParameters | None = None,
    root: Path | None = None,
) -> pd.DataFrame:
    """Daily profiles of every meter, out of core.

    Parameters
    ----------
    pattern : glob of Parquet or CSV files with meter_id, time, kwh and, where more than the power of a meter is
        measured, quantity (a circuit such as hoist, ventilation, drainage, haulage; air, gas, water, explosives; empty:
        power), whose amounts an interval may stand in a column `value` instead; `time` starts the interval (5 min to
        1 day, one a meter), with an offset or in `timezone`. Columns may be in any case, times text or typed.
    history_from, as_of : first and last day, inclusive.
    quarantine : rows of `tables.QUARANTINE` are added: one a meter, fault and file with its count.
    meters : the register; readings of other meters are left out and said. None: every meter is read.
    root : folder the quarantine's file names are relative to; None: the folder above the glob's first wildcard.

    Returns
    -------
    One row a meter, quantity and day, sorted: meter_id, quantity (categorical, `power` by default), day
    (datetime64[ns], local midnight), h00..h23 (float32, kWh in that local hour, NaN where unknown), total (float32, kWh
    in the day, gaps filled with the day's mean), interval_min (int16), faults (categorical text: any of gap,
    zero_block, peak, duplicate, clock, scale, joined by +). Meters read once a day have a total only.

    Raises
    ------
    InputError
        No file matches, or none can be used.
    """
    parameters = parameters or ReadingParameters()
    files = find_files(pattern, root)
    with tempfile.TemporaryDirectory(prefix="readings-") as spill, connected(spill, timezone, parameters) as connection:
        usable = usable_files(connection, files, timezone, quarantine)
        names = [file.name for file in usable]
        wanted = known_meters(connection, names[0], meters, quarantine)
        aggregate(connection, [file.relation for file in usable], history_from, as_of, timezone)
        quarantine.extend(kilowatts_to_energy(connection, wanted, names))
        quarantine.extend(bad_readings(connection, names))
        quarantine.extend(read_twice(connection, names))
        parts = [clean(part, wanted, names, quarantine, parameters) for part in chunks(connection, parameters)]
    return joined(parts, wanted)


def connected(spill: str, timezone: str, parameters: ReadingParameters) -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own, which never reaches for the network and works on disk beyond its memory."""
    connection = duckdb.connect(
        config={
            "memory_limit": parameters.memory,
            "threads": parameters.threads,
            "temp_directory": spill,
            "autoinstall_known_extensions": False,
        }
    )
    connection.execute(f"SET TimeZone = {quoted(timezone)}")
    return connection


def usable_files(
    connection: duckdb.DuckDBPyConnection,
    files: list[tuple[str, str]],
    timezone: str,
    quarantine: list[dict[str, Any]],
) -> list[ReadingsFile]:
    """Files whose columns fit and whose content can be read to the end; the others are set aside.

    Reading them to the end counts what each meter has, as DuckDB's table `counted` (meter, many).

    Raises
    ------
    InputError
        None can be used.
    """
    usable: list[ReadingsFile] = []
    stores = {urlsplit(path).scheme: path for path, _ in files if in_store(path)}
    for address in stores.values():
        connection.register_filesystem(file_system(address))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE counted (meter VARCHAR, many BIGINT, numbers BIGINT, latest TIMESTAMP)"
    )
    counts = "INSERT INTO counted SELECT meter, count(*), count(kwh), max(local)"
    for path, name in files:
        file = open_file(connection, len(usable), path, name, timezone)
        if isinstance(file, ReadingsFile):
            try:
                connection.execute(f"{counts} FROM ({file.relation}) GROUP BY meter")
                usable.append(file)
                continue
            except duckdb.Error as error:
                file = aside(name, None, None, "the file can be read to its end", f"damaged: {first_line(error)}")
        quarantine.append(file)
    if not usable:
        whys = "; ".join(f"{row['file']}: {row['why']}" for row in quarantine[-3:])
        raise InputError(f"power.readings: none of {len(files)} file(s) can be used ({whys})")
    return usable


def known_meters(
    connection: duckdb.DuckDBPyConnection,
    file: str,
    meters: pd.DataFrame | None,
    quarantine: list[dict[str, Any]],
) -> pd.DataFrame:
    """The meters to read, as DuckDB's table `known`: meter_id, capacity_kva, indexed by number.

    file: name of the first file, which stands for all where meters are left out.
    """
    counted = "SELECT meter, sum(many) FROM counted WHERE meter IS NOT NULL GROUP BY meter"
    series = int(connection.execute(f"SELECT count(*) FROM ({counted})").fetchall()[0][0])
    if series > MOST_SERIES:
        raise InputError(f"power.readings: {series} meters, expected at most {MOST_SERIES}: is meter_id the meter's?")
    found = connection.execute(f"{counted} ORDER BY meter").fetchall()
    there = {str(meter): int(many) for meter, many in found}
    wanted = pd.DataFrame({"key": sorted(there)}, dtype=object)
    split = [key.partition(APART) for key in wanted["key"]]
    wanted["meter_id"] = pd.Series([meter for meter, _, _ in split], dtype=object)
    wanted["quantity"] = pd.Series([quantity or POWER for _, _, quantity in split], dtype=object)
    wanted["capacity_kva"] = np.nan
    if meters is not None:
        capacity = pd.Series(
            np.asarray(meters.get("capacity_kva", np.nan), dtype=float), meters["meter_id"].astype(str)
        )
        capacity = capacity[~capacity.index.duplicated()]
        registered = wanted["meter_id"].isin(capacity.index)
        wanted["capacity_kva"] = wanted["meter_id"].map(capacity).where(wanted["quantity"] == POWER)
        strange = sorted(set(wanted.loc[~registered, "meter_id"]))
        if strange:
            left = int(sum(there[key] for key in wanted.loc[~registered, "key"]))
            shown = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
            why = f"{left} readings of {len(strange)} meter(s) are left out; register them"
            quarantine.append(aside(file, "meter_id", shown, "a meter of the register", why))
        wanted = wanted[registered]
    wanted = wanted.reset_index(drop=True)
    known = pd.DataFrame({"meter": wanted["key"], "number": wanted.index.astype("int32")})
    connection.register("known_frame", known)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE known AS SELECT CAST(meter AS VARCHAR) AS meter, number FROM known_frame"
    )
    return wanted


def bad_readings(connection: duckdb.DuckDBPyConnection, names: list[str]) -> list[dict[str, Any]]:
    """Readings that are none: no time, no number, negative; one row a file, meter and fault."""
    rows = connection.execute(f"""
        SELECT file, meter, CASE WHEN local IS NULL THEN 'time' WHEN kwh IS NULL OR NOT isfinite(kwh) THEN 'number'
               ELSE 'negative' END AS fault, count(*), min(kwh)
        FROM readings SEMI JOIN known USING (meter) WHERE {BAD} GROUP BY ALL ORDER BY ALL
    """).fetchall()
    rules = {
        "time": ("time", "an ISO 8601 time", "left out; correct the times"),
        "number": ("kwh", "a finite number", "left out, as a gap"),
        "negative": ("kwh", "at least 0", "a reset register or a swapped meter: left out, as a gap"),
    }
    found = []
    for file, meter, fault, count, least in rows:
        name, rule, why = rules[fault]
        value = f"{count} reading(s)" + (f", least {least:g}" if fault == "negative" else "")
        found.append(aside(names[file], name, value, rule, f"meter {named(meter)}: {why}"))
    return found


def read_twice(connection: duckdb.DuckDBPyConnection, names: list[str]) -> list[dict[str, Any]]:
    """Instants read more than once: the same value is kept once, differing ones are left out."""
    rows = connection.execute("""
        SELECT file, meter, same, differing, first, last FROM twice JOIN known USING (number) ORDER BY file, meter
    """).fetchall()
    found = []
    for file, meter, same, differing, first, last in rows:
        for count, why in (
            (same, "read twice with the same value: one copy is kept"),
            (differing, "read twice with differing values: nobody knows which holds, so none is kept, as a gap"),
        ):
            if count:
                text = f"meter {named(meter)}: {why} ({first} to {last})"
                found.append(aside(names[file], "time", f"{count} reading(s)", "one reading an interval", text))
    return found


def chunks(connection: duckdb.DuckDBPyConnection, parameters: ReadingParameters) -> Iterator[dict[str, Any]]:
    """The table `days` as arrays, some meters at a time, sorted by meter and day."""
    counts = ", ".join(
        f"CAST(bit_count((slots{h // 8} >> {SLOTS_AN_HOUR * (h % 8)}) & {HOUR_MASK}) AS UTINYINT) AS c{h:02d}"
        for h in HOURS
    )
    means = ", ".join(f"m{h:02d}" for h in HOURS)
    assert len(MASKS) * 8 == len(HOURS), "a mask holds eight hours"
    last = int(connection.execute("SELECT coalesce(max(number), -1) FROM known").fetchall()[0][0])
    for begin in range(0, last + 1, parameters.meters_at_once):
        yield connection.execute(f"""
            SELECT number, file, CAST(day AS TIMESTAMP) AS day, kwh, {means}, {counts},
                   CAST((number, day) IN (SELECT (number, day) FROM suspect) AS BOOLEAN) AS duplicate
            FROM days WHERE number >= {begin} AND number < {begin + parameters.meters_at_once}
            ORDER BY number, day
        """).fetchnumpy()


def clean(
    part: dict[str, Any],
    wanted: pd.DataFrame,
    names: list[str],
    quarantine: list[dict[str, Any]],
    parameters: ReadingParameters,
) -> pd.DataFrame:
    """Profiles of one chunk of meters."""
    means = np.column_stack([np.ma.filled(part[f"m{h:02d}"], np.nan) for h in HOURS]).astype(np.float64)
    counts = np.column_stack([np.ma.filled(part[f"c{h:02d}"], 0) for h in HOURS])
    numbers = np.asarray(part["number"])
    days = np.asarray(part["day"], dtype="datetime64[D]")
    edges = np.flatnonzero(np.diff(np.concatenate([[-1], numbers, [-1]])))
    frames = []
    for begin, end in pairwise(edges):
        rows = slice(begin, end)
        number = int(numbers[begin])
        capacity = float(wanted["capacity_kva"].iloc[number])
        interval = interval_minutes(counts[rows])
        twice = np.asarray(part["duplicate"][rows], dtype=bool)
        hours, total, faults, found = one_meter(means[rows], counts[rows], days[rows], interval, capacity, parameters)
        meter = named(str(wanted["key"].iloc[number]))
        quarantine.extend(fault_rows(found, names[int(part["file"][begin])], meter))
        frame = pd.DataFrame(hours.astype(np.float32), columns=list(HOUR_COLUMNS))
        frame.insert(0, "number", np.int32(number))
        frame.insert(1, "day", days[rows].astype("datetime64[ns]"))
        frame["total"] = total.astype(np.float32)
        frame["interval_min"] = np.int16(interval)
        frame["faults"] = pd.Categorical(faults + 8 * twice, categories=range(CODES))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def interval_minutes(counts: Any) -> int:
    """A meter's interval from how many readings its hours and days have: counts (days, 24) of readings."""
    most = int(np.quantile(counts[counts > 0], 0.9)) if (counts > 0).any() else 1
    if most > 1:
        return 60 // most if 60 % most == 0 else round(60 / most)
    hours = float(np.quantile((counts > 0).sum(axis=1), 0.9))
    choices = np.array([1, 2, 3, 4, 6, 8, 12, 24])
    return DAY_MINUTES // int(choices[np.argmin(np.abs(np.log(choices / max(hours, 1.0))))])


def one_meter(
    means: Floats, counts: Any, days: Any, interval: int, capacity: float, parameters: ReadingParameters
) -> tuple[Floats, Floats, Any, dict[str, tuple[int, Any]]]:
    """Hourly kWh (days, 24), daily totals, fault codes a day, and what was set aside: fault -> (hours, first day).

    means: kWh a reading in each hour. Codes: 1 gap, 2 zero block, 4 peak, 16 clock, 32 scale.
    """
    span = (days - days[0]).astype(int)
    grid = np.full((span[-1] + 1, 24), np.nan)
    if interval >= DAY_MINUTES:
        grid[span] = np.nanmean(means, axis=1, keepdims=True) / 24
    else:
        expected = max(1, 60 // interval)
        known = counts >= max(1.0, parameters.hour_share * expected)
        grid[span] = np.where(known, means * (60.0 / interval), np.nan)
        if interval > 60:
            steps = interval // 60
            grid = spread(grid, steps)
    series = grid.reshape(-1)
    codes = np.zeros(grid.shape, dtype=np.uint8)
    codes[np.isnan(grid)] = 1
    found: dict[str, tuple[int, Any]] = {}
    for code, name, flags in (
        (4, "capacity", over_capacity(series, capacity, parameters.faults)),
        (4, "peak", lone_peaks(series, parameters.faults) if interval <= 60 else np.zeros(len(series), dtype=bool)),
        (2, "zero", zero_blocks(series, parameters.faults)),
    ):
        if flags.any():
            found[name] = (int(flags.sum()), days[0] + int(np.argmax(flags)) // 24)
            codes |= (flags.reshape(grid.shape) * code).astype(np.uint8)
            series[flags] = np.nan
    late = clock_errors(grid, parameters.clock) if interval <= 60 else np.zeros(len(grid), dtype=int)
    if late.any():
        wrong = int(np.argmax(late != 0))
        found["clock"] = (int((late != 0).sum()), days[0] + wrong)
        codes[late != 0] |= 16
        grid = put_right(grid, late)
    factor = scale_of_days(grid, parameters.scale) if interval <= 60 else np.ones(len(grid))
    if (factor != 1).any():
        found["scale"] = (int((factor != 1).sum()), days[0] + int(np.argmax(factor != 1)))
        codes[factor != 1] |= 32
        grid = grid / factor[:, None]
    clean_days = grid[span]
    total = np.full(len(span), np.nan)
    enough = np.isfinite(clean_days).sum(axis=1) >= parameters.day_hours
    total[enough] = 24 * np.nanmean(clean_days[enough], axis=1)
    if interval >= DAY_MINUTES:
        clean_days = np.full_like(clean_days, np.nan)
    return clean_days, total, np.bitwise_or.reduce(codes[span], axis=1).astype(int), found


def spread(grid: Floats, steps: int) -> Floats:
    """Readings of several hours, each at its first hour, spread evenly over the hours they cover."""
    series = grid.reshape(-1)
    filled = series.copy()
    for step in range(1, steps):
        later = np.concatenate([np.full(step, np.nan), series[:-step]])
        filled = np.where(np.isnan(filled), later, filled)
    return filled.reshape(grid.shape)


def joined(parts: list[pd.DataFrame], wanted: pd.DataFrame) -> pd.DataFrame:
    """All chunks as one table with readable columns."""
    parts = [part for part in parts if len(part)]
    columns = ["meter_id", "quantity", "day", *HOUR_COLUMNS, "total", "interval_min", "faults"]
    if not parts:
        empty = pd.DataFrame({name: pd.Series(dtype="float32") for name in columns})
        return empty.astype(
            {
                "meter_id": "category",
                "quantity": "category",
                "day": "datetime64[ns]",
                "interval_min": "int16",
                "faults": "category",
            }
        )
    frame = pd.concat(parts, ignore_index=True)
    texts = ["+".join(word for bit, word in enumerate(FAULT_WORDS) if code >> bit & 1) for code in range(CODES)]
    frame["faults"] = pd.Categorical(frame["faults"], categories=range(CODES)).rename_categories(texts)
    number = frame.pop("number").to_numpy()
    for name in ("meter_id", "quantity"):
        word, codes = np.unique(wanted[name].to_numpy(dtype=str), return_inverse=True)
        frame[name] = pd.Categorical.from_codes(codes[number], categories=word)
    return frame[columns]
