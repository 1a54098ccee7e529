"""Files found broken only when their pixels were read: they leave a gap, a warning and a line in the quarantine."""

from __future__ import annotations

import logging
import threading
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from illegalmining.compute import Told
from illegalmining.imagery.layers import Layer
from illegalmining.registers.quarantine import SetAside

log = logging.getLogger(__name__)

RULE = "pixels can be read"
UNLIKE = "the unit of the source's other scenes"
RULES = (RULE, UNLIKE)
UNREADABLE = "its pixels cannot be read; what it covers is left out. Copy the file again"


class UnlikeError(Exception):
    """A scene whose values cannot be in the unit of the source's other scenes."""


class Broken:
    """Notes every broken file once, in order of file, whichever thread or worker meets it first."""

    def __init__(self, aside: SetAside) -> None:
        self.file = aside.file
        self.tell = Told(partial(keep, aside.rows, threading.Lock()))

    def note(self, layer: Layer, error: Exception) -> None:
        """Note that a layer's pixels cannot be read, or cannot be what the source's other scenes are."""
        unlike = isinstance(error, UnlikeError)
        why = f"{error}; it is left out" if unlike else UNREADABLE
        self.add(layer.scene, layer.band, Path(layer.address).name, UNLIKE if unlike else RULE, why, error)

    def note_days(self, band: str, first: date, last: date, error: Exception) -> None:
        """Note that a cube's pixels of some days cannot be read."""
        days = f"{first}" if first == last else f"{first} to {last}"
        self.add(days, band, None, RULE, UNREADABLE, error)

    def add(self, row_name: str, band: str, value: str | None, rule: str, why: str, error: Exception) -> None:
        """Tell a line."""
        log.warning("%s, band %s: pixels cannot be read (%s)", value or row_name, band, error)
        self.tell({"file": self.file, "row": row_name, "field": band, "value": value, "rule": rule, "why": why})


def keep(rows: list[dict[str, Any]], lock: threading.Lock, row: dict[str, str | None]) -> None:
    """Add a line to the quarantine in its place, unless it is there."""
    with lock:
        if row in rows:
            return
        before = [at for at, other in enumerate(rows) if other["rule"] in RULES and place(other) > place(row)]
        rows.insert(before[0] if before else len(rows), row)


def place(row: dict[str, str | None]) -> tuple[str, ...]:
    """Where a line stands among its like."""
    return tuple(row[name] or "" for name in ("file", "row", "field", "value", "rule"))
