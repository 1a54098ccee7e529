"""A power cut: what was not synced is gone; the next run ends as an unbroken one, and nothing done is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from illegalmining.district import read_district
from test_killed import ONLY_THESE, WarmRuns, read_whole, results

COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
LOOKED_AT, RESUMED = 60, 4
"""Cuts after which the results are read, and after which the run is repeated."""

pytestmark = pytest.mark.skipif(COMPILER is None or sys.platform != "linux", reason="needs a C compiler and Linux")


@dataclass
class Disk:
    """What syncs have made safe, in order: (kind, who, bytes) as `power_cut.c` wrote them. begun: how many were there
    before the run."""

    records: list[tuple[str, str, bytes]]
    begun: int

    @classmethod
    def read(cls, path: Path) -> Disk:
        """The record of a run."""
        content, at, records, begun = path.read_bytes(), 0, [], 0
        while at < len(content):
            end = content.index(b"\n", at)
            _, kind, who, length = content[at:end].decode().split(" ")
            at = end + 1 + int(length)
            if kind == "b":
                begun = len(records)
            else:
                records.append((kind, who, content[end + 1 : at]))
            at += 1
        return cls(records, begun)

    def restore(self, root: Path, after: int) -> None:
        """What is found at `root` when the power comes back after so many syncs."""
        safe = {(kind, who): held for kind, who, held in self.records[:after]}
        waiting = [(root, self.records[0][1])]
        while waiting:
            folder, who = waiting.pop()
            folder.mkdir()
            for line in safe.get(("d", who), b"").decode().splitlines():
                kind, below, name = line.split(" ", 2)
                if kind == "d":
                    waiting.append((folder / name, below))
                else:
                    (folder / name).write_bytes(safe.get(("f", below), b""))


@pytest.fixture(scope="module")
def run(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Disk]:
    """A district after one run, and what that run made safe when."""
    folder = tmp_path_factory.mktemp("run")
    assert COMPILER
    shim = folder / "cut.so"
    source = Path(__file__).with_name("power_cut.c")
    subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", str(source), "-o", str(shim), "-ldl", "-lpthread"], check=True)
    shutil.copytree(tiny_inputs, folder / "d")
    cutting = {"LD_PRELOAD": str(shim), "CUT_ROOT": str(folder / "d"), "CUT_LOG": str(folder / "log")}
    words = [sys.executable, "-m", "illegalmining", "run", str(folder / "d" / "district.toml"), "--quiet"]
    done = subprocess.run([*words, *ONLY_THESE], env={**os.environ, **cutting}, capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
    return folder / "d", Disk.read(folder / "log")


def cuts(disk: Disk, many: int) -> list[int]:
    """Moments spread over the run, its end among them."""
    first, last = disk.begun, len(disk.records)
    return sorted({first + (last - first) * n // many for n in range(1, many + 1)})


def test_what_a_finished_run_has_written_outlives_a_cut(run: tuple[Path, Disk], tmp_path: Path) -> None:
    folder, disk = run
    assert len(disk.records) - disk.begun > 100
    disk.restore(tmp_path / "d", len(disk.records))
    assert results(tmp_path / "d") == results(folder)
    assert (read_district(tmp_path / "d" / "district.toml").out / "run.json").is_file()
    assert (tmp_path / "d" / "state" / "ledger.sqlite").stat().st_size > 0


def test_no_cut_leaves_half_a_result_to_be_read(run: tuple[Path, Disk], tmp_path: Path) -> None:
    _, disk = run
    for after in cuts(disk, LOOKED_AT):
        disk.restore(tmp_path / "d", after)
        read_whole(read_district(tmp_path / "d" / "district.toml").out, {})
        shutil.rmtree(tmp_path / "d")


def test_after_any_cut_the_next_run_ends_as_an_unbroken_one(run: tuple[Path, Disk], tmp_path: Path) -> None:
    folder, disk = run
    whole, warm = results(folder), WarmRuns()
    try:
        for after in cuts(disk, RESUMED):
            disk.restore(tmp_path / f"d{after}", after)
            assert warm.end(warm.begin(tmp_path / f"d{after}")) == 0
            assert results(tmp_path / f"d{after}") == whole
    finally:
        warm.process.kill()
        warm.process.wait()
