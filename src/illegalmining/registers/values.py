"""Cells to values: text, numbers and days as the contract types them, and every cell that is none of these."""

from __future__ import annotations

import json
import logging
import math
import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from illegalmining.contracts import DATE, NUMBER, Table
from illegalmining.registers.quarantine import Fault

log = logging.getLogger(__name__)

EMPTY_WORDS = frozenset({"", "null", "<null>", "none", "nan", "nat", "<na>", "n/a", "#n/a", "-", "--", "—", "——", "/"})
OPEN_WORDS = frozenset({"长期", "长期有效", "永久", "永久有效", "至今", "open", "present", "indefinite", "infinity"})
LONGEST_TEXT = 10_000
FIRST_YEAR = 1900
LAST_YEAR = 2200
EXCEL_EPOCH = datetime(1899, 12, 30)
EXCEL_DAYS = (20_000, 80_000)
"""Excel day numbers taken as dates: 1954 to 2119."""

PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
GROUPED_NUMBER = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
WRITTEN_DAY = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?(?:[T\s]\s*\d{1,2}:\d{2}.*)?")
PACKED_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\.0*)?")
EXCEL_DAY = re.compile(r"\d{5}(\.\d+)?")
WRITTEN_MONTH = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*(?:月|[-/.月].*)?")
PACKED_MONTH = re.compile(r"(\d{4})(\d{2})(?:\.0*)?")


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing, in the words of any format."""
    if value is None or value is pd.NaT or value is pd.NA:
        return True
    if isinstance(value, str):
        return cleaned(value).casefold() in EMPTY_WORDS
    return isinstance(value, float | np.floating) and math.isnan(value)


def cleaned(text: str) -> str:
    """Text composed (NFC), blanks trimmed, control characters and lone surrogates removed; nothing is escaped."""
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = "".join(
        " " if letter in "\t\n\r" else letter
        for letter in unicodedata.normalize("NFC", text)
        if letter in "\t\n\r" or unicodedata.category(letter) not in ("Cc", "Cs")
    )
    return kept.strip("\ufeff\u200b").strip()


def as_text(value: Any) -> str:
    """Any cell as text: whole numbers without a decimal point, yes and no, days as ISO dates, lists as JSON."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == datetime.min.time():
        return value.date().isoformat()
    if isinstance(value, np.ndarray):
        return as_text(value.tolist())
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    text = cleaned(str(value))
    if len(text) > LONGEST_TEXT:
        log.warning("a text of %d characters is cut to %d: %.60s…", len(text), LONGEST_TEXT, text)
    return text[:LONGEST_TEXT]


def as_number(value: Any) -> float:
    """A cell as a finite number; raises ValueError."""
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", cleaned(value))
        if GROUPED_NUMBER.fullmatch(text):
            text = text.replace(",", "")
        if not PLAIN_NUMBER.fullmatch(text):
            raise ValueError("write digits only, with a point before decimals and no unit")
        value = text
    elif isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise ValueError("write digits only, with a point before decimals and no unit")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("infinite; write a finite number")
    return number


def as_date(value: Any) -> date:
    """A cell as a day: ISO, YYYY/MM/DD, YYYYMMDD, Excel's day number, a date or time as the format types it.

    The day is the one written: a time of day and an offset are dropped, not converted. Raises ValueError.
    """
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    if isinstance(value, bool | np.bool_) or not isinstance(value, str | int | float | np.number):
        raise ValueError("write it as YYYY-MM-DD")
    text = unicodedata.normalize("NFKC", cleaned(str(value)))
    written = WRITTEN_DAY.fullmatch(text) or PACKED_DAY.fullmatch(text)
    if written:
        try:
            return date(*(int(part) for part in written.groups()))
        except ValueError:
            raise ValueError("no such day in the calendar; correct it") from None
    if EXCEL_DAY.fullmatch(text) and EXCEL_DAYS[0] <= float(text) <= EXCEL_DAYS[1]:
        return (EXCEL_EPOCH + timedelta(days=float(text))).date()
    raise ValueError("write it as YYYY-MM-DD")


def as_day(value: Any) -> pd.Timestamp:
    """A day a register may name; raises ValueError outside 1900 to 2200."""
    day = as_date(value)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"the year must lie between {FIRST_YEAR} and {LAST_YEAR}; correct it")
    return pd.Timestamp(day)


def as_end(value: Any) -> pd.Timestamp:
    """An exclusive end: like `as_day`, and NaT for what means open (长期, 9999-12-31, any year past 2200)."""
    if isinstance(value, str) and cleaned(value).casefold() in OPEN_WORDS:
        return pd.NaT
    return pd.NaT if as_date(value).year > LAST_YEAR else as_day(value)


def as_month(value: Any) -> str:
    """A month as YYYY-MM where it can be recognised, else the text as it is (the schema then refuses it)."""
    if isinstance(value, date):
        return f"{value:%Y-%m}"
    text = as_text(value)
    plain = unicodedata.normalize("NFKC", text)
    written = WRITTEN_MONTH.fullmatch(plain) or PACKED_MONTH.fullmatch(plain)
    return f"{written[1]}-{int(written[2]):02d}" if written else text


SPECIAL: dict[tuple[str, str], Callable[[Any], Any]] = {("production", "month"): as_month}


def reading_of(table: Table, column: str) -> tuple[Callable[[Any], Any], Any, str]:
    """How a column's cells are read, what stands for empty, and what is expected, in words."""
    kind = str(table.schema.columns[column].dtype)
    if kind == DATE:
        end = table.period is not None and column == table.period[1]
        return (as_end if end else as_day), pd.NaT, "a date (YYYY-MM-DD)"
    if kind == NUMBER:
        return as_number, float("nan"), "a number"
    return SPECIAL.get((table.name, column), as_text), None, "text"


def spares_row(table: Table, column: str) -> bool:
    """Whether a row can stay when this value is left out: numbers that may be empty.

    Not dates: an end that cannot be read must not become "open".
    """
    contract = table.schema.columns[column]
    return bool(contract.nullable) and str(contract.dtype) == NUMBER


def typed(table: Table, cells: pd.DataFrame) -> tuple[pd.DataFrame, list[Fault]]:
    """Cells as the contract types them, and every cell that cannot be read or breaks the contract.

    Parameters
    ----------
    cells : under the contract's names, index = row numbers; optional columns may be absent.

    Returns
    -------
    frame : all of the contract's columns, on the index of `cells`; a value at fault is empty in it.
    faults : in no particular order; every fault of every row.
    """
    frame = pd.DataFrame(index=cells.index)
    faults: list[Fault] = []
    for column, contract in table.schema.columns.items():
        read, empty, expected = reading_of(table, column)
        values: list[Any] = [empty] * len(cells)
        given = cells[column] if column in cells.columns else ()
        for place, value in enumerate(given):
            if is_empty(value):
                continue
            try:
                values[place] = read(value)
            except (ValueError, OverflowError) as error:
                why = f"{column} is the {contract.description}: {error}"
                faults.append(Fault(cells.index[place], column, value, expected, why, spares_row(table, column)))
        frame[column] = pd.Series(values, index=cells.index, dtype=str(contract.dtype))
    unread = {(fault.row, fault.field) for fault in faults}
    faults += [fault for fault in broken_rules(table, frame) if (fault.row, fault.field) not in unread]
    for fault in faults:
        if fault.spares:
            frame.loc[fault.row, str(fault.field)] = float("nan")
    return frame, faults


def broken_rules(table: Table, frame: pd.DataFrame) -> list[Fault]:
    """What the schema finds wrong in typed values, in a reader's words."""
    faults = []
    for row, field, value, rule in table.faults(frame).itertuples(index=False):
        described = f"{field} is the {table.schema.columns[field].description}"
        if rule == "not_nullable":
            faults.append(Fault(int(row), field, None, "a value", f"{described}: it is empty; fill it in"))
            continue
        why = f"{described}: it must be {rule}; correct it in the register"
        faults.append(Fault(int(row), field, value, rule, why, spares_row(table, field)))
    return faults
