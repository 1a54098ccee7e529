"""Many districts, some side by side, on one Dask cluster or on this machine.

Each district is a run of its own in a process of its own: what ends one leaves the others alone, and a run that was
broken off goes on when the same command is given again. Libraries take longer to import than a small district to judge;
so districts' processes are forks of one that has imported them and does nothing else.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from illegalmining.atomic import write_bytes
from illegalmining.errors import ConfigurationError

NAME = "district.toml"
RESULTS = {0: "done", 3: "set_aside"}
"""What a run's exit status means; any other is a failure."""
PREFIX = "illegalmining: "
SAID = ("out", "error")
"""Names of the files that hold what a run writes to stdout and stderr."""
LONGEST_WHY = 2000
"""Characters of a failed run's last words that are kept."""
IMPORTED = ["illegalmining.cli", "illegalmining.pipelines.ready"]
"""What districts' processes find imported."""


@dataclass(frozen=True)
class Asked:
    """How districts are run. scheduler: of a cluster; absent: as each district says. at_once: runs side by side.
    as_of, only: as of `illegalmining run`."""

    scheduler: str | None = None
    at_once: int = 2
    as_of: date | None = None
    only: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """The same as arguments of `illegalmining run`."""
        given = ["--scheduler", self.scheduler] if self.scheduler else []
        given += ["--as-of", self.as_of.isoformat()] if self.as_of else []
        return given + [word for name in self.only for word in ("--only", name)]


def province(named: Sequence[Path], asked: Asked, summary: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Run every district; `summary` is written anew as each ends.

    Raises
    ------
    ConfigurationError
        No district is named, or a place named holds none.
    """
    paths = districts(named)
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    told: dict[Path, dict[str, Any]] = {}
    lock = Lock()

    def work(path: Path) -> None:
        done = run(path, asked)
        with lock:
            told[path] = done
            record(summary, begun, [told[one] for one in paths if one in told], len(paths))
            say(f"{len(told)}/{len(paths)} {line(done)}")

    with ThreadPoolExecutor(asked.at_once) as pool:
        for _ in pool.map(work, paths):
            pass
    return record(summary, begun, [told[path] for path in paths], len(paths))


def districts(named: Sequence[Path]) -> list[Path]:
    """The districts named, each once, in order: files, and those anywhere below folders."""
    found: dict[Path, None] = {}
    for path in named:
        below = sorted(path.rglob(NAME)) if path.is_dir() else [path]
        if not below:
            raise ConfigurationError(f"{path}: no {NAME} in it or below; name folders that hold districts")
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file or folder; expected a {NAME}, or a folder of districts")
        found.update(dict.fromkeys(one.resolve() for one in below))
    if not found:
        raise ConfigurationError(f"no district is named; give {NAME} files, or folders that hold districts")
    return list(found)


def run(path: Path, asked: Asked) -> dict[str, Any]:
    """One district's run, and what became of it."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        status = forked(["run", str(path), "--json", "--quiet", *asked.options], Path(folder))
        out, error = ((Path(folder) / name).read_text("utf-8", "replace") for name in SAID)
    facts: dict[str, Any] = {"district": str(path), "result": RESULTS.get(status, "failed")}
    facts |= {"status": status, "seconds": round(time.perf_counter() - begun, 1)}
    if facts["result"] != "failed":
        return facts | json.loads(out)
    return facts | {"why": last_words(status, error)}


def forked(words: list[str], folder: Path) -> int:
    """Run a command in a process of its own, which writes into `SAID` in a folder; returns its exit status, or less
    than 0 for the signal that ended it."""
    for name in SAID:
        (folder / name).touch()
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(IMPORTED)
    process = forks.Process(target=commanded, args=(words, folder))
    process.start()
    process.join()
    assert process.exitcode is not None, "it was waited for"
    return process.exitcode


def commanded(words: list[str], folder: Path) -> None:
    """In a process of its own: one command, to its end."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, name in enumerate(SAID, 1):
        os.dup2(os.open(folder / name, os.O_WRONLY), descriptor)
    sys.argv = ["illegalmining", *words]
    runpy.run_module("illegalmining", run_name="__main__", alter_sys=True)


def last_words(status: int, said: str) -> str:
    """Why a run failed, as it said itself, or by which signal it was ended."""
    if status < 0:
        return f"ended by signal {-status}; run it again, it goes on where it stopped"
    said = said.strip()
    own = said.rfind(PREFIX)
    return said[own + len(PREFIX) if own >= 0 else 0 :][-LONGEST_WHY:]


def record(summary: Path, begun: str, told: list[dict[str, Any]], asked: int) -> dict[str, Any]:
    """Write what has become of the districts so far; returns it."""
    counted = Counter(one["result"] for one in told)
    facts = {
        "started": begun,
        "updated": datetime.now(UTC).isoformat(timespec="seconds"),
        "asked": asked,
        **{result: counted[result] for result in ("done", "set_aside", "failed")},
        "cases": sum(one.get("cases", 0) for one in told),
        "districts": told,
    }
    write_bytes(summary, json.dumps(facts, ensure_ascii=False, indent=1).encode())
    return facts


def line(one: dict[str, Any]) -> str:
    """One district for a person."""
    if one["result"] == "failed":
        return f"{one['district']}: FAILED: {one['why']}"
    aside = f", {one['set_aside']} input(s) set aside" if one["set_aside"] else ""
    return f"{one['district']}: {one['cases']} cases{aside} ({one['seconds']:.0f} s)"


def as_text(told: dict[str, Any], summary: Path) -> str:
    """All districts for a person: those that failed, and how many did not."""
    failed = [line(one) for one in told["districts"] if one["result"] == "failed"]
    return "\n".join(
        [
            *failed,
            f"{told['done'] + told['set_aside']} of {told['asked']} districts done, {told['failed']} failed; "
            f"{told['cases']} cases\nsummary: {summary}",
        ]
    )
