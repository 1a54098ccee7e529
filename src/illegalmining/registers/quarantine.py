"""Setting aside: every value, row or file that cannot be used, with the reason and the way out."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from illegalmining.district import District

log = logging.getLogger(__name__)

LONGEST_VALUE = 200
"""Characters of a faulty value that are quoted."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one row.

    `row`: row as a person counts (first data row, or first feature, is 1). `rule`: what was expected. `why`: what it
    means and the way out. `spares`: the value alone is left out, the row stays.
    """

    row: int
    field: str | None
    value: Any
    rule: str
    why: str
    spares: bool = False


@dataclass(frozen=True)
class SetAside:
    """The quarantine of one file: `rows` is the run's list, `file` the path relative to `district.toml`."""

    rows: list[dict[str, Any]]
    file: str

    def faults(self, faults: list[Fault]) -> None:
        """Note faults in the order of the file; says of each whether the row or only the value is left out."""
        lost = {fault.row for fault in faults if not fault.spares}
        for fault in sorted(faults, key=lambda fault: fault.row):
            kept = "; the row is left out" if fault.row in lost else "; the row is kept without this value"
            self.note(str(fault.row), fault.field, fault.value, fault.rule, fault.why + kept)

    def whole_file(self, rule: str, why: str) -> None:
        """Note that nothing of the file is used."""
        self.note(None, None, None, rule, why)

    def note(self, row: str | None, field: str | None, value: Any, rule: str, why: str) -> None:
        """Add one line to the quarantine."""
        found = None if value is None else quoted(value)
        self.rows.append({"file": self.file, "row": row, "field": field, "value": found, "rule": rule, "why": why})
        log.debug("%s row %s set aside: %s", self.file, row, why)


def quoted(value: Any) -> str:
    """A value as text that any file can hold, cut to `LONGEST_VALUE`."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def relative_name(district: District, href: str) -> str:
    """An input's path as the configuration gives it; an absolute one relative to the district's folder."""
    return Path(os.path.relpath(href, district.root)).as_posix() if Path(href).is_absolute() else href
