"""Files found broken only when their pixels were read: they leave a gap, a warning and a line in the quarantine."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from illegalmining.imagery.layers import Layer
from illegalmining.registers.quarantine import SetAside

log = logging.getLogger(__name__)

RULE = "pixels can be read"


class Broken:
    """Notes every broken file once, in order of file, whichever thread meets it first.

    On another machine (`dask.distributed`) the run's list cannot be reached: there the warning alone is left.
    """

    def __init__(self, aside: SetAside | None) -> None:
        self.aside = aside
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Broken], tuple[None]]:
        return Broken, (None,)

    def note(self, layer: Layer, error: Exception) -> None:
        """Note that a layer's pixels cannot be read."""
        log.warning("%s, band %s: pixels cannot be read (%s)", layer.address, layer.band, error)
        if self.aside is None:
            return
        row = {
            "file": self.aside.file,
            "row": layer.scene,
            "field": layer.band,
            "value": Path(layer.address).name,
            "rule": RULE,
            "why": "its pixels cannot be read; what it covers is left out. Copy the file again",
        }
        with self.lock:
            rows = self.aside.rows
            if row in rows:
                return
            before = [at for at, other in enumerate(rows) if other["rule"] == RULE and place(other) > place(row)]
            rows.insert(before[0] if before else len(rows), row)


def place(row: dict[str, str]) -> tuple[str, ...]:
    """Where a line stands among its like."""
    return row["file"], row["row"], row["field"], row["value"]
