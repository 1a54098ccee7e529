"""The record of a run: its stages and how long they took, what it read, what it must tell; kept in `run.json`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dask.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from illegalmining.atomic import PRIVATE, PRIVATE_FOLDER, room_for
from illegalmining.errors import DiskError, IllegalMiningError, InputError
from illegalmining.secrets import redacted

log = logging.getLogger(__name__)

LIBRARIES = (
    "dask",
    "duckdb",
    "geopandas",
    "numba",
    "numpy",
    "odc-geo",
    "pyarrow",
    "pyproj",
    "rasterio",
    "xarray",
    "zarr",
)

LONGEST_LOG = 10_000_000
"""Bytes of the log; a longer one is put aside as `log.1.jsonl`."""
APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND
LONGEST_WHY = 500
"""Characters of an error that the log keeps."""


@dataclass
class Journal:
    """What happens during one run, in order; shown on stderr while it happens unless `quiet`."""

    quiet: bool = True
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    stages: list[dict[str, Any]] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    log: Path | None = None

    def note(self, event: str, **facts: Any) -> None:
        """Add one JSON line to the log, if there is one: what happened when, in which run."""
        if self.log is None:
            return
        now, run = (moment.isoformat(timespec="milliseconds") for moment in (datetime.now(UTC), self.started))
        line = {"time": now, "run": run, "event": event, **facts}
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        if self.log.is_file() and self.log.stat().st_size > LONGEST_LOG:
            os.replace(self.log, self.log.with_suffix(".1.jsonl"))
        told = redacted(json.dumps(line, ensure_ascii=False, default=str)).encode() + b"\n"
        with room_for(self.log), os.fdopen(os.open(self.log, APPENDING, PRIVATE), "ab") as stream:
            stream.write(told)

    @contextmanager
    def run(self, **facts: Any) -> Iterator[None]:
        """Note the beginning of a run and its end; what began and has no end was broken off."""
        self.note("begun", version=self.version, **facts)
        try:
            yield
        except BaseException as error:
            with suppress(DiskError):  # where the disk is full, what is said of it first counts
                self.note("failed", error=type(error).__name__, why=str(error)[:LONGEST_WHY])
            raise
        self.note("finished", peak_memory_bytes=peak_memory())

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Time a stage; facts the block adds to the yielded mapping are recorded with it."""
        entry: dict[str, Any] = {"stage": name, **facts}
        begun = time.perf_counter()
        with shown(name, self.quiet):
            yield entry
        entry["seconds"] = round(time.perf_counter() - begun, 3)
        self.stages.append(entry)
        self.note("stage", **entry)
        log.info("%s", " ".join(f"{key}={value}" for key, value in entry.items()))

    def set_aside(self, file: str, what: str, error: IllegalMiningError) -> None:
        """Note a whole input that cannot be used; the run goes on without it."""
        row = {"file": file, "row": None, "field": None, "value": None, "rule": f"{what} can be read"}
        self.quarantine.append({**row, "why": redacted(str(error))})
        log.warning("%s set aside: %s", what, error)

    @property
    def version(self) -> str:
        """The product's version."""
        return importlib.metadata.version("illegalmining")

    def as_dict(self) -> dict[str, Any]:
        """`run.json`, the only output that holds the clock's time."""
        return {
            "version": self.version,
            "python": platform.python_version(),
            "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "stages": self.stages,
            "inputs": self.inputs,
            "pixel_dates": sum(int(stage.get("pixel_dates", 0)) for stage in self.stages),
            "peak_memory_bytes": peak_memory(),
            "remarks": self.remarks,
        }


@contextmanager
def shown(name: str, quiet: bool) -> Iterator[None]:
    """A progress bar on stderr while a stage runs, counting Dask's tasks; a plain line where there is no terminal."""
    console = Console(file=sys.stderr)
    if quiet or not console.is_terminal:
        if not quiet:
            console.print(name, highlight=False, markup=False)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=False) as progress:
        bar = progress.add_task(name, total=None)

        def begin(dsk: Any) -> None:
            progress.update(bar, total=(progress.tasks[0].total or 0) + len(dsk))

        def done(key: Any, result: Any, dsk: Any, state: Any, worker: Any) -> None:
            progress.advance(bar)

        with Callback(start=begin, posttask=done):
            yield
        progress.update(bar, total=progress.tasks[0].total or 1, completed=progress.tasks[0].total or 1)


def peak_memory() -> int:
    """The most memory the process has held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def digest(path: Path) -> str:
    """SHA-256 of a file; `InputError` where it cannot be read to its end."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check the disk, or copy the file again"
        ) from error


def digests(paths: list[Path], root: Path, known: dict[str, list[Any]] | None = None) -> dict[str, str]:
    """SHA-256 of every file by its path relative to the district, in order of path.

    known: by path what `stamped` said of a file and its digest then; such files are not read again. Updated in place.
    """
    unique = sorted(set(paths))
    known = {} if known is None else known
    stamps = {path: stamped(path) for path in unique}
    unread = [path for path in unique if known.get(str(path), [None])[:-1] != stamps[path]]
    with ThreadPoolExecutor(4) as pool:
        for path, value in zip(unread, pool.map(digest, unread), strict=True):
            known[str(path)] = [*stamps[path], value]
    return {relative(path, root): known[str(path)][-1] for path in unique}


def stamped(path: Path) -> list[int]:
    """Size, time of last change and number of a file: alike while nobody writes to it."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ino]


def relative(path: Path, root: Path) -> str:
    """A path as a reader of the district knows it; one beside the district starts with `..`."""
    return Path(os.path.relpath(path, root)).as_posix()
