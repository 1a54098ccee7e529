"""Killed anywhere, out of room, unsynced: the next run ends as an unbroken one, and nobody sees half a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from bad_input import command
from illegalmining import atomic
from illegalmining.atomic import atomic_file, atomic_folder, sweep, write_bytes
from illegalmining.district import read_district
from illegalmining.errors import DiskError
from illegalmining.journal import Journal
from illegalmining.pipelines.nightly import nightly
from warm_runs import ONLY

KILLS, UPDATE_KILLS = 50, 10
ONLY_THESE = [word for name in sorted(ONLY) for word in ("--only", name)]
Tree = dict[str, str]


IN_TILES = {"surface", "radar", "subsidence"}
"""Detectors that take images piece by piece."""


def run(folder: Path) -> None:
    nightly(read_district(folder / "district.toml"), Journal(quiet=True))


def results(folder: Path) -> Tree:
    """Digest of every output but `run.json`, hidden ones too."""
    out = read_district(folder / "district.toml").out
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


class WarmRuns:
    """Runs in forks of a process that has everything imported; see `warm_runs`."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("warm_runs.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, line: str) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def begin(self, folder: Path) -> int:
        """The process id of a run that has begun."""
        return self.ask(f"run {folder}")

    def end(self, child: int) -> int:
        """How it ended; negative: by which signal."""
        return self.ask(f"wait {child}")


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmRuns]:
    runs = WarmRuns()
    yield runs
    runs.process.kill()
    runs.process.wait()


@pytest.fixture(scope="module")
def unbroken(tiny_inputs: Path, warm: WarmRuns, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tree, float]:
    """What an unbroken run gives, and how long it takes once everything is compiled and imported."""
    seconds = 0.0
    for number in range(2):
        folder = tmp_path_factory.mktemp("unbroken") / f"d{number}"
        shutil.copytree(tiny_inputs, folder)
        begun = time.perf_counter()
        assert warm.end(warm.begin(folder)) == 0
        seconds = time.perf_counter() - begun
    return results(folder), seconds


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": gpd.read_parquet,
    ".gpkg": lambda path: (
        sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("SELECT count(*) FROM gpkg_contents").fetchall()
    ),
    ".json": lambda path: json.loads(path.read_text("utf-8")),
    ".csv": lambda path: pd.read_csv(path) if path.stat().st_size > 1 else None,
    ".xlsx": lambda path: zipfile.ZipFile(path).testzip(),
    ".tif": lambda path: rasterio.open(path).read(1),
    ".html": lambda path: ends(path, b"</html>"),
    ".kml": lambda path: ends(path, b"</kml>"),
    ".gpx": lambda path: ends(path, b"</gpx>"),
    ".svg": lambda path: ends(path, b"</svg>"),
    ".pdf": lambda path: ends(path, b"%%EOF"),
}


def ends(path: Path, mark: bytes) -> None:
    assert path.read_bytes().rstrip().endswith(mark), f"half of {path.name} was to be seen"


def read_whole(out: Path, seen: dict[str, tuple[int, int]]) -> None:
    """Open every file that is there and was not opened as it is: a reader at a moment nobody chose."""
    for path in sorted(out.glob("[!.]*")):
        try:
            facts = path.stat()
            if seen.get(path.name) == (facts.st_ino, facts.st_mtime_ns):
                continue
            if path.suffix in OPENERS:
                OPENERS[path.suffix](path)
            seen[path.name] = (facts.st_ino, facts.st_mtime_ns)
        except FileNotFoundError:
            continue  # replaced by the next version between listing and opening


def test_a_run_killed_at_fifty_moments_ends_as_an_unbroken_one(
    tiny_inputs: Path, unbroken: tuple[Tree, float], warm: WarmRuns, tmp_path: Path
) -> None:
    """Districts are killed on their way, again and again, until a run comes through; fifty kills in all.

    Moments are drawn over the whole length of a run; a run that goes on where others stopped has less before it.
    """
    whole, seconds = unbroken
    random = np.random.default_rng(20261125)
    killed = ended = 0
    while killed < KILLS:
        folder = tmp_path / f"d{ended}"
        shutil.copytree(tiny_inputs, folder)
        out, seen = read_district(folder / "district.toml").out, {}
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            until = time.perf_counter() + random.uniform(0.02, 0.98) * seconds
            child = warm.begin(folder)
            while time.perf_counter() < until:
                read_whole(out, seen)
                time.sleep(0.01)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            code = warm.end(child)
            killed += code == -signal.SIGKILL
            read_whole(out, seen)
        assert code == 0
        ended += 1
        assert results(folder) == whole
        assert not list((folder / "state").rglob(f"*{atomic.PARTIAL}"))
        shutil.rmtree(folder)
    assert ended >= 2


def as_of(folder: Path, day: str) -> None:
    """Set the last day that a district's runs look at."""
    path = folder / "district.toml"
    path.write_text(re.sub(r"(?m)^as_of = .*$", f"as_of = {day}", path.read_text()))


def test_a_night_that_goes_on_from_others_killed_at_any_moment_ends_as_an_unbroken_one(
    tiny_inputs: Path, warm: WarmRuns, tmp_path: Path
) -> None:
    """Its state is a baseline and what each night added; the nights before left states that this one drops."""
    shutil.copytree(tiny_inputs, tmp_path / "known")
    for day in ("2026-05-31", "2026-07-31", "2026-09-15"):
        as_of(tmp_path / "known", day)
        assert warm.end(warm.begin(tmp_path / "known")) == 0
    as_of(tmp_path / "known", "2026-10-31")
    shutil.copytree(tmp_path / "known", tmp_path / "unbroken")
    begun = time.perf_counter()
    assert warm.end(warm.begin(tmp_path / "unbroken")) == 0
    seconds, whole = time.perf_counter() - begun, results(tmp_path / "unbroken")
    left = sorted(path.relative_to(tmp_path / "unbroken") for path in memory_of(tmp_path / "unbroken"))
    random, killed, ended = np.random.default_rng(20261128), 0, 0
    while killed < UPDATE_KILLS:
        folder, code = tmp_path / f"d{ended}", -signal.SIGKILL
        shutil.copytree(tmp_path / "known", folder)
        while code == -signal.SIGKILL:
            child = warm.begin(folder)
            time.sleep(random.uniform(0.15, 1.0) ** 2 * seconds)  # more of them early, where images are judged
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            code = warm.end(child)
            killed += code == -signal.SIGKILL
        assert code == 0
        ended += 1
        assert results(folder) == whole
        assert sorted(path.relative_to(folder) for path in memory_of(folder)) == left
        shutil.rmtree(folder)


def memory_of(folder: Path) -> list[Path]:
    """Every file that is remembered of images."""
    return [path for path in (folder / "state" / "monitoring").rglob("*") if path.is_file()]


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_is_full_or_fails_breaks_the_run_off_and_no_more(
    fault: int, tiny_inputs: Path, unbroken: tuple[Tree, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th write fails, for several n; one message each time; then there is room again."""
    folder = tmp_path / "d"
    shutil.copytree(tiny_inputs, folder)
    proper = atomic.sync
    for number in (1, 3, 6, 10, 20, 35):
        left = [number]

        def failing(path: Path, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(fault, os.strerror(fault))
            proper(path)

        monkeypatch.setattr(atomic, "sync", failing)
        said = command("run", str(folder / "district.toml"), "--quiet", *ONLY_THESE)
        if left[0] <= 0:
            assert said.code == 1
            assert os.strerror(fault) in said.error
            assert "Traceback" not in said.error
            told = command("status", str(folder / "district.toml"))
            assert told.code == 0
    monkeypatch.setattr(atomic, "sync", proper)
    assert command("run", str(folder / "district.toml"), "--quiet", *ONLY_THESE).code in (0, 3)
    assert results(folder) == unbroken[0]


def test_a_disk_that_is_full_is_not_said_to_be_a_broken_ledger(tmp_path: Path) -> None:
    program = (
        "import resource, sys, pathlib; from illegalmining.cases.ledger import open_ledger\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "with open_ledger(pathlib.Path(sys.argv[1]), 'd'): pass"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "ledger.sqlite")]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stderr.splitlines()[-1]
    assert "make room on the disk" in said
    assert "backup" not in said


@contextlib.contextmanager
def full_within(place: str, most: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """From the moment on that `place` is begun, no file grows beyond `most` bytes: the system refuses, as a full disk
    does, in the middle of whatever a library is writing. Gives what was begun of that name."""
    proper, unbound = tempfile.mkdtemp, resource.getrlimit(resource.RLIMIT_FSIZE)
    begun: list[str] = []

    def making(suffix: str | None = None, prefix: str | None = None, dir: Any = None) -> str:
        made = proper(suffix, prefix, dir)
        if suffix == atomic.PARTIAL and place in f"{dir}/{(prefix or '')[1:-1]}":
            begun.append(place)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, unbound[1]))
        return made

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkdtemp", making)
        try:
            yield begun
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unbound)


@pytest.fixture(scope="module")
def known(tiny_inputs: Path, warm: WarmRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A district that has had one run; no test changes it."""
    folder = tmp_path_factory.mktemp("known") / "d"
    shutil.copytree(tiny_inputs, folder)
    assert warm.end(warm.begin(folder)) == 0
    return folder


@pytest.mark.parametrize(
    ("place", "share"),
    [
        ("state/digests/sentinel-2.json", 0.5),
        ("state/monitoring/surface-sentinel-2/", 0.5),
        ("state/findings/surface-sentinel-2/", 0.9),
        ("out/2026-10-31/cases.parquet", 0.5),
        ("out/2026-10-31/cases.gpkg", 0.5),
        # its rows fit, the index that GDAL makes as it closes the file does not
        ("out/2026-10-31/hotspots.gpkg", 0.87),
        ("out/2026-10-31/hotspots.tif", 0.5),
        ("out/2026-10-31/coverage.tif", 0.99),
        ("out/2026-10-31/hotspots.pdf", 0.5),
        ("out/2026-10-31/hotspots.html", 0.99),
        ("out/2026-10-31/run.json", 0.5),
    ],
)
def test_a_disk_that_is_full_in_the_middle_of_a_file_shows_no_half_of_it(
    place: str, share: float, known: Path, unbroken: tuple[Tree, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever library writes: one message, whole files or none, and then a run that ends as an unbroken one."""
    folder = tmp_path / "d"
    shutil.copytree(known, folder)
    shutil.rmtree(folder / "out")
    if place.startswith("state"):
        shutil.rmtree(folder / "state")
    files = [known / place] if (known / place).is_file() else (known / place).rglob("*")
    most = int(share * max(file.stat().st_size for file in files))
    words = ["run", str(folder / "district.toml"), "--quiet", *ONLY_THESE]
    with full_within(place, most, monkeypatch) as begun:
        said = command(*words)
    assert begun
    assert said.code == 1
    assert "make room on the disk and run the same command again" in said.error
    assert "Traceback" not in said.error
    there = results(folder)
    assert there == {name: unbroken[0].get(name) for name in there}
    assert not list(folder.rglob(f"*{atomic.PARTIAL}"))
    assert command(*words).code == 0
    assert results(folder) == unbroken[0]


def test_an_input_that_fails_to_be_read_is_said(
    tiny_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dying disk under one source: that source is set aside, the others go on."""
    folder = tmp_path / "d"
    shutil.copytree(tiny_inputs, folder)
    from illegalmining import journal

    proper = hashlib.file_digest

    def failing(stream: Any, name: str) -> Any:
        if "insar" in stream.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), stream.name)
        return proper(stream, name)

    monkeypatch.setattr(journal.hashlib, "file_digest", failing)
    said = command("run", str(folder / "district.toml"), "--quiet", "--only", "subsidence", "--only", "power")
    assert said.code == 3, said.error
    rows = pd.read_csv(read_district(folder / "district.toml").out / "quarantine.csv")
    assert rows["why"].str.contains("Input/output error").any()


class Disk:
    """Remembers what was asked of the system, in order, and what a power cut would have spared."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, str]] = []
        self.paths: dict[int, str] = {}
        opening, syncing, replacing = os.open, os.fsync, os.replace

        def opened(path: Any, *arguments: Any, **named: Any) -> int:
            descriptor = opening(path, *arguments, **named)
            self.paths[descriptor] = str(path)
            return descriptor

        def synced(descriptor: int) -> None:
            self.calls.append(("sync", self.paths.get(descriptor, "?")))
            syncing(descriptor)

        def replaced(source: Any, target: Any, **named: Any) -> None:
            self.calls.append(("rename", f"{source} -> {target}"))
            replacing(source, target, **named)

        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)


def test_content_reaches_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut loses is what was not synced: never a file under its final name."""
    disk = Disk(monkeypatch)
    write_bytes(tmp_path / "a.txt", b"content")
    kinds = [kind for kind, _ in disk.calls]
    assert kinds == ["sync", "rename", "sync"]
    assert disk.calls[0][1].endswith("a.txt")
    assert disk.calls[1][1].endswith(f" -> {tmp_path / 'a.txt'}")
    assert disk.calls[2][1] == str(tmp_path)
    disk.calls.clear()
    with atomic_folder(tmp_path / "kept") as partial:
        (partial / "x").write_text("1")
        (partial / "y").mkdir()
        (partial / "y" / "z").write_text("2")
    before = [Path(path).name for kind, path in disk.calls[: [kind for kind, _ in disk.calls].index("rename")]]
    assert {"x", "y", "z"} <= set(before)
    assert disk.calls[-1] == ("sync", str(tmp_path))


def test_a_folder_is_replaced_in_steps_of_which_none_shows_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kept"
    with atomic_folder(target) as partial:
        (partial / "x").write_text("one")
        (partial / "y").write_text("one")
    removing = shutil.rmtree

    def watched(path: Any, **named: Any) -> None:
        assert Path(path) != target, "the folder readers know is emptied file by file"
        removing(path, **named)

    monkeypatch.setattr(shutil, "rmtree", watched)
    with atomic_folder(target) as partial:
        (partial / "x").write_text("two")
    assert [path.name for path in target.iterdir()] == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_a_broken_write_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / f".a.txt.x1{atomic.PARTIAL}").mkdir()
    (tmp_path / f".a.txt.x1{atomic.PARTIAL}" / "a.txt").write_text("half")
    write_bytes(tmp_path / "b.txt", b"whole")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bytes(tmp_path / "a", b"old")

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "sync", full)
    with pytest.raises(DiskError, match="No space"), atomic_file(path) as partial:
        partial.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# --- what a run leaves of itself ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "d"
    shutil.copytree(tiny_inputs, folder)
    run(folder)
    return folder


def test_status_before_any_run_says_how_to_run(tiny_inputs: Path, tmp_path: Path) -> None:
    import io

    shutil.copytree(tiny_inputs, tmp_path / "d")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        from illegalmining.pipelines.status import as_text, status

        district = read_district(tmp_path / "d" / "district.toml")
        told = status(district)
    assert told.last is None
    assert "no run yet" in as_text(told, district)
    assert command("status", str(tmp_path / "d" / "district.toml")).code == 0
    assert not (tmp_path / "d" / "state").exists()


def test_status_agrees_with_what_the_run_published(night: Path) -> None:
    from illegalmining.pipelines.status import as_dict, as_text, status

    district = read_district(night / "district.toml")
    told = status(district)
    cases = gpd.read_parquet(district.out / "cases.parquet")
    assert told.unfinished is None
    assert told.last is not None
    assert told.last["as_of"] == "2026-10-31"
    assert told.cases == {"open": len(cases), "confirmed": 0, "refuted": 0, "closed": 0}
    with rasterio.open(district.out / "coverage.tif") as raster:
        sites = raster.read(1)
    assert told.blind == pytest.approx(np.isnan(sites).mean())
    assert told.smallest_site_m2 == pytest.approx(np.nanmedian(sites))
    seen = {one["name"]: one["seen"] for one in told.sensors}
    assert 0.5 < seen["sentinel-2"] <= 1
    assert seen["meters"] is None
    assert told.overdue == []
    json.dumps(as_dict(told))
    assert f"{len(cases)} open" in as_text(told, district)
    assert "sentinel-2: saw" in as_text(told, district)


def test_status_says_what_is_overdue_in_the_districts_language(night: Path, tmp_path: Path) -> None:
    from illegalmining.pipelines.status import as_text, status

    shutil.copytree(night, tmp_path / "d")
    path = tmp_path / "d" / "district.toml"
    path.write_text(path.read_text().replace("as_of = 2026-10-31", "as_of = 2026-12-31").replace('"en"', '"zh"'))
    district = read_district(path)
    told = status(district)
    cases = gpd.read_parquet(night / "out" / "2026-10-31" / "cases.parquet")
    assert sum(one["overdue"] for one in told.overdue) == len(cases)
    assert {one["days_overdue"] for one in told.overdue} == {61 - 30}  # reported 31 October, due in 30 days
    assert "逾期未答复" in as_text(told, district)
    assert told.last is not None
    assert told.last["as_of"] == "2026-10-31"


def test_status_tells_a_run_that_was_killed_from_one_that_goes_on(
    tiny_inputs: Path, warm: WarmRuns, tmp_path: Path
) -> None:
    from illegalmining.pipelines.status import as_text, status

    folder = tmp_path / "d"
    shutil.copytree(tiny_inputs, folder)
    district = read_district(folder / "district.toml")
    child = warm.begin(folder)
    until = time.perf_counter() + 20
    while not (folder / "state" / "log.jsonl").is_file() and time.perf_counter() < until:
        time.sleep(0.01)
    os.kill(child, signal.SIGSTOP)
    told = status(district)
    assert told.unfinished is not None
    assert told.unfinished["running"]
    os.kill(child, signal.SIGKILL)
    assert warm.end(child) == -signal.SIGKILL
    told = status(district)
    assert told.unfinished is not None
    assert not told.unfinished["running"]
    assert "broken off (killed)" in as_text(told, district)


def test_every_stage_and_every_tile_has_a_line_in_the_log_with_its_duration(night: Path) -> None:
    told = [json.loads(line) for line in (night / "state" / "log.jsonl").read_text("utf-8").splitlines()]
    tiles = [line for line in told if line["event"] == "tile"]
    assert {line["stage"].split(":")[0] for line in tiles} == IN_TILES
    assert all(line["seconds"] > 0 and line["pixel_dates"] > 0 and line["worker"] for line in tiles)
    lines = [line for line in told if line["event"] != "tile"]
    assert [line["event"] for line in lines] == ["begun", *["stage"] * (len(lines) - 2), "finished"]
    record = json.loads((read_district(night / "district.toml").out / "run.json").read_text("utf-8"))
    stages = [line for line in lines if line["event"] == "stage"]
    assert [line["stage"] for line in stages] == [stage["stage"] for stage in record["stages"]]
    assert all(line["seconds"] >= 0 for line in stages)
    assert record["peak_memory_bytes"] > 0
    assert lines[-1]["peak_memory_bytes"] > 0


def test_two_runs_of_one_second_are_told_apart_in_the_log(tmp_path: Path) -> None:
    log, second = tmp_path / "log.jsonl", datetime(2026, 11, 29, 3, 43, 30, tzinfo=UTC)
    for tenths in (1, 8):
        journal = Journal(started=second + timedelta(seconds=tenths / 10), log=log)
        with journal.run(as_of="2026-10-31"):
            pass
    told = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [line["event"] for line in told] == ["begun", "finished"] * 2
    assert len({line["run"] for line in told}) == 2


def test_only_the_owner_reads_the_state_the_ledger_and_the_packages(night: Path, tmp_path: Path) -> None:
    shutil.copytree(night, tmp_path / "d")
    path = tmp_path / "d" / "district.toml"
    assert command("package", str(path), "--quiet").code in (0, 3)
    state = tmp_path / "d" / "state"
    for name in ("ledger.sqlite", "lock", "log.jsonl", "access.jsonl", "keys/signing.key", "keys/signing.pub"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
    for folder in (state, state / "keys"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    packages = read_district(path).out / "packages"
    for made in [packages, *packages.rglob("*")]:
        assert stat.S_IMODE(made.stat().st_mode) & 0o077 == 0, made


def test_no_secret_of_the_environment_or_of_a_key_is_written_down(night: Path, tmp_path: Path, monkeypatch) -> None:
    secret = "AGE-SECRET-KEY-1" + "Q" * 58
    monkeypatch.setenv("PGPASSWORD", "hunter2-hunter2")
    (tmp_path / "key.txt").write_text(secret + "\n")
    shutil.copytree(night, tmp_path / "d")
    path = tmp_path / "d" / "district.toml"
    run(path.parent)
    command("package", str(path), "--quiet")
    package = next((read_district(path).out / "packages").glob("*/"))
    for identity in (secret, str(tmp_path / "key.txt")):
        said = command("open", str(package), "--identity", identity)
        assert secret not in said.error
    for file in (tmp_path / "d").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"hunter2" not in content, file
            assert secret.encode() not in content, file


# --- order --------------------------------------------------------------------------------------------------------


def test_rows_in_another_order_give_the_same_bytes(tiny_inputs: Path, night: Path, tmp_path: Path) -> None:
    """Registers, readings and the items of a catalogue, shuffled; and two workers."""
    folder = tmp_path / "d"
    shutil.copytree(tiny_inputs, folder)
    random = np.random.default_rng(11)
    shuffled = 0
    for file in sorted((folder / "registers").glob("*.gpkg")):
        frame = gpd.read_file(file)
        frame = frame.iloc[random.permutation(len(frame))].reset_index(drop=True)
        file.unlink()
        frame.to_file(file)
        shuffled += 1
    for file in sorted((folder / "registers").glob("*.csv")):
        header, *lines = file.read_text("utf-8").splitlines()
        file.write_text("\n".join([header, *random.permutation(lines)]) + "\n", "utf-8")
        shuffled += 1
    for file in sorted((folder / "power").glob("*.parquet")):
        frame = pd.read_parquet(file)
        frame.iloc[random.permutation(len(frame))].to_parquet(file, index=False)
        shuffled += 1
    for file in sorted((folder / "imagery").rglob("*.json")):
        document = json.loads(file.read_text("utf-8"))
        for name in ("links", "features"):
            if isinstance(document.get(name), list):
                random.shuffle(document[name])
                shuffled += 1
        file.write_text(json.dumps(document))
    assert shuffled > 5
    path = folder / "district.toml"
    path.write_text(path.read_text().replace("workers = 1", "workers = 2"))
    run(folder)
    expected = results(night)
    assert {name for name, digest in results(folder).items() if expected.get(name) != digest} == set()
    assert set(results(folder)) == set(expected)
