"""How the surface watch grows with area, with workers and with new dates, and what a province would cost.

A scheduler and worker processes of one thread each, over TCP with TLS on loopback; images are read from GeoTIFFs, the
memory is written to Zarr, all as in production. Wall times mean something only on an idle machine; CPU times always do.
Run `python benchmarks/bench_scale.py`; `--only` and `--folder`, which keeps the inputs, cut it into parts of a minute
or two. The province's figures follow from the measured rates by the formula of docs/scale.md.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from illegalmining.district import read_district
from illegalmining.journal import Journal
from illegalmining.pipelines.nightly import nightly
from illegalmining.pipelines.province import Asked
from illegalmining.pipelines.province import province as run_province
from wide_district import BANDS, days_between, write_scene, write_wide

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from cluster import ask, cluster, cpu_seconds, most_held

AS_OF = date(2026, 5, 1)
TIMES = (1, 4, 16)
PIXELS, DATES_A_YEAR, YEARS_OF_HISTORY, PIXEL_BANDS = 1.6e9, 73, 3, 5
"""Shanxi at 10 m, as Sentinel-2 sees it: a date every five days, five bands judged."""
SPINS = 30_000_000
DISTRICTS, AT_ONCE = 4, 3
CORE_HOUR, GB_MONTH = 0.05, 0.023
"""Prices assumed, US dollars: a core of a rented machine for an hour, a gigabyte in an object store for a month."""


@dataclass(frozen=True)
class Measured:
    """One run. wall, stage: s, of the whole run and of the surface stage. driver, workers: CPU, s. held: the most
    memory of a worker, bytes. others: share of the machine that other work took meanwhile."""

    wall: float
    stage: float
    driver: float
    workers: float
    held: float
    pixel_dates: int
    others: float

    @property
    def cpu(self) -> float:
        return self.driver + self.workers


def measured(path: Path, made: Any, workers: int, as_of: date = AS_OF) -> Measured:
    """Run a district on a cluster and look at all clocks."""
    busy = busy_seconds()
    before, driver, begun = ask(made, cpu_seconds, workers), time.process_time(), time.perf_counter()
    journal = Journal(quiet=True)
    tls = made.certificates
    keys = {"scheduler": made.address, "tls_ca": str(tls.ca), "tls_cert": str(tls.cert), "tls_key": str(tls.key)}
    district = read_district(path).at(as_of)
    compute = district.configuration.compute.model_copy(update=keys)
    district = type(district)(path, district.configuration.model_copy(update={"compute": compute}))
    nightly(district, journal, frozenset({"surface"}))
    wall, driver = time.perf_counter() - begun, time.process_time() - driver
    after = ask(made, cpu_seconds, workers)
    stage = next(stage for stage in journal.stages if stage["stage"].startswith("surface"))
    spent = sum(after[worker] - before[worker] for worker in after)
    others = (busy_seconds() - busy - spent - driver) / (time.perf_counter() - begun) / (os.cpu_count() or 1)
    held = max(ask(made, most_held, workers).values())
    return Measured(wall, stage["seconds"], driver, spent, held, stage["pixel_dates"], others)


def busy_seconds() -> float:
    """What all cores of this machine together have worked since it was started, s (Linux)."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def line(name: str, one: Measured) -> None:
    print(
        f"{name:28} {one.pixel_dates / 1e6:7.1f} M pixel-dates  wall {one.wall:6.1f} s  stage {one.stage:6.1f} s  "
        f"CPU {one.cpu:6.1f} s (driver {one.driver:5.1f})  {one.pixel_dates / one.cpu / 1e6:5.2f} M/s and core  "
        f"worker {one.held / 1e6:5.0f} MB  others {one.others:.0%}",
        flush=True,
    )


def again(path: Path) -> Path:
    """The same district without what it remembers."""
    for name in ("state", "out"):
        shutil.rmtree(path.parent / name, ignore_errors=True)
    return path


def province(first: float, update: float, state: float, source: float) -> None:
    """Hours, bytes and money. first, update: pixel-dates a second and core, of a first run and of one new date. state,
    source: bytes a pixel kept, bytes a pixel-date read."""
    history = PIXELS * DATES_A_YEAR * YEARS_OF_HISTORY / first / 3600
    night = PIXELS / update / 3600
    year = history + night * DATES_A_YEAR
    kept, read = PIXELS * state / 1e9, PIXELS * DATES_A_YEAR * source / 1e9
    print(f"\nShanxi: {PIXELS:.1e} pixels, {DATES_A_YEAR} dates a year, {YEARS_OF_HISTORY} years of history")
    print(f"first run   {history:8.0f} core hours   {history / 64:6.1f} h on 64 cores   {history * CORE_HOUR:7.0f} USD")
    print(f"one date    {night:8.1f} core hours   {night / 64 * 60:6.1f} min on 64 cores {night * CORE_HOUR:7.2f} USD")
    print(f"first year  {year:8.0f} core hours   {year * CORE_HOUR:7.0f} USD")
    print(f"state       {kept:8.0f} GB   {kept * GB_MONTH:7.1f} USD a month; images {read:.0f} GB a year", end="")
    print(f"   {read * (YEARS_OF_HISTORY + 1) * GB_MONTH:.0f} USD a month for all years")


def spin(rounds: int) -> float:
    """Arithmetic in one core's registers for some seconds: what no memory, disk or other process slows down."""
    begun, value = time.perf_counter(), 1.0
    for _ in range(rounds):
        value = value * 0.999999 + 1e-6
    return time.perf_counter() - begun


def ideal() -> float:
    """Speed of two processes that share nothing, each against one alone: the most that a second worker can bring."""
    started = multiprocessing.get_context("spawn")
    with started.Pool(2) as pool:
        pool.map(spin, [1000] * 4)
        alone = pool.apply(spin, (SPINS,))
        return alone / max(pool.map(spin, [SPINS] * 2, chunksize=1))


def areas(paths: dict[int, Path], home: Path) -> None:
    """One worker on one, four and sixteen times the area."""
    with cluster(home, workers=1) as made:
        measured(again(paths[1]), made, 1)  # compiled, imported
        by_area = {times: measured(again(path), made, 1) for times, path in paths.items()}
    for times, one in by_area.items():
        line(f"area {times:2}x, one worker", one)
    sizes = sorted(by_area)
    more = [
        (by_area[b].cpu - by_area[a].cpu) / (by_area[b].pixel_dates - by_area[a].pixel_dates) * 1e6
        for a, b in itertools.pairwise(sizes)
    ]
    clock = [by_area[b].wall / by_area[a].wall for a, b in itertools.pairwise(sizes)]
    print(f"CPU s for a million pixel-dates more, step by step: {', '.join(f'{one:.2f}' for one in more)}")
    print(f"wall of the whole run, step by step (4 is linear): {', '.join(f'{one:.2f}' for one in clock)}")


@contextmanager
def confined(cores: int) -> Iterator[None]:
    """Inside the block this process and those it starts have so many cores for all they do (Linux)."""
    every = sorted(os.sched_getaffinity(0))

    def keep_to(some: list[int]) -> None:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), some)

    keep_to(every[:cores])
    try:
        yield
    finally:
        keep_to(every)


def workers(wide: Path, home: Path) -> None:
    """The same district by one worker and by two, all warm: with two cores for either, and with a core for one."""
    best: dict[str, Measured] = {}
    for name, many, cores in (("one", 1, 2), ("two", 2, 2), ("one core", 1, 1)):
        (home / name).mkdir()
        with confined(cores), cluster(home / name, workers=many) as made:
            measured(again(wide), made, many)  # all workers have compiled and imported: there are blocks for each
            runs = [measured(again(wide), made, many) for _ in range(3)]
        best[name] = min(runs, key=lambda one: one.stage)  # the run that other work disturbed least
        for one in runs:
            line(f"area  4x, {many} worker(s), {cores} core(s)", one)
    two = best["two"]
    for name, text in (("one", "one worker to two, two cores"), ("one core", "one core and worker to two of each")):
        stage, run = best[name].stage / two.stage / 2, best[name].wall / two.wall / 2
        print(f"{text}: stage {stage:.0%}, run {run:.0%}, CPU {best[name].cpu / two.cpu:.0%}")
    print(f"outside the stage {two.wall - two.stage:.1f} s; two processes that share nothing: {ideal():.0%}")


def districts(wide: Path, home: Path) -> None:
    """Some districts of a province, several at once, by one worker and by two, as in `workers`."""
    best = {}
    for name, many, cores in (("one", 1, 2), ("two", 2, 2), ("one core", 1, 1)):
        (home / name).mkdir()
        # in a process of its own, whose cores are those of what districts' processes are forks of
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
            best[name], busy = fresh.submit(timed_province, wide, home / name, many, cores).result()
        print(
            f"{DISTRICTS} districts, {AT_ONCE} at once, {many} worker(s), {cores} core(s): {best[name]:.1f} s, the "
            f"machine busy for {busy:.1f} core seconds",
            flush=True,
        )
    for name, text in (("one", "one worker to two, two cores"), ("one core", "one core and worker to two of each")):
        print(f"{text}: {best[name] / best['two'] / 2:.0%}")


def timed_province(wide: Path, home: Path, many: int, cores: int) -> tuple[float, float]:
    """Seconds that districts take by so many workers on so many cores, and core seconds that the machine was busy."""
    seconds: list[tuple[float, float]] = []
    with confined(cores), cluster(home, workers=many) as made:
        paths = [beside(wide, home / str(number), made) for number in range(DISTRICTS)]
        for _ in range(3):
            for path in paths:
                again(path)
            begun, busy = time.perf_counter(), busy_seconds()
            asked = Asked(at_once=AT_ONCE, as_of=AS_OF, only=("surface",))
            told = run_province(paths, asked, home / "told.json", lambda line: None)
            seconds.append((time.perf_counter() - begun, busy_seconds() - busy))
            assert told["done"] == DISTRICTS, told
    return min(seconds[1:])


def beside(wide: Path, folder: Path, made: Any) -> Path:
    """A district with another's inputs and a state of its own, whose images are judged on a cluster."""
    folder.mkdir()
    for path in wide.parent.iterdir():
        if path.name not in ("state", "out", wide.name):
            (folder / path.name).symlink_to(path.resolve())
    keys = f'[compute]\nscheduler = "{made.address}"\n{made.certificates.configured()}'
    (folder / wide.name).write_text(f"{wide.read_text()}\n{keys}")
    return folder / wide.name


def update(wide: Path, side: int, step: int, home: Path) -> None:
    """A first run, then one new date; and what a province would cost at these rates."""
    last = days_between(date(2025, 1, 2), AS_OF, step)[-1]
    day = last + timedelta(days=5)
    with cluster(home, workers=1) as made:
        measured(again(wide), made, 1, last)
        first = measured(again(wide), made, 1, last)
        new = write_scene(wide.parent / "s2", day, side)
        one_more = measured(wide, made, 1, day)
        idle = measured(wide, made, 1, day)
    new.unlink()
    line("area  4x, first run", first)
    line("area  4x, one new date", one_more)
    line("area  4x, nothing new", idle)
    pixels = side**2
    print(
        f"one new date: {one_more.cpu / first.cpu:.1%} of the first run's CPU, without what a night with nothing new "
        f"takes {(one_more.cpu - idle.cpu) / (first.cpu - idle.cpu):.1%}; {pixels / first.pixel_dates:.1%} of its dates"
    )
    kept = size(wide.parent / "state" / "monitoring") / pixels
    read = size(wide.parent / "s2") / pixels / len(list((wide.parent / "s2").glob("*.tif")))
    scale = len(BANDS) / PIXEL_BANDS
    first_rate = first.pixel_dates / (first.cpu - idle.cpu) * scale
    update_rate = pixels / (one_more.cpu - idle.cpu) * scale
    print(
        f"r1 {first_rate / 1e6:.2f} M/s, r2 {update_rate / 1e6:.2f} M/s, s {kept / scale:.0f} bytes a pixel, "
        f"b {read / scale:.1f} bytes a pixel and date; with five bands"
    )
    province(first_rate, update_rate, kept / scale, read / scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="pixels a side of the smallest district")
    parser.add_argument("--step", type=int, default=25, help="days between scenes of the sixteen months")
    parser.add_argument("--only", choices=("inputs", "areas", "workers", "districts", "update"), help="one part of it")
    parser.add_argument("--folder", type=Path, help="where inputs are kept for another call; absent: nowhere")
    asked = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {date.today()}; pixels a side: {asked.side} and more"
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        kept = asked.folder or home / "inputs"
        paths = {times: kept / f"{asked.side}-{asked.step}-{times}" / "district.toml" for times in TIMES}
        for times, path in paths.items():
            if not path.exists() and (times == 4 or asked.only in (None, "areas", "inputs")):
                write_wide(path.parent, int(asked.side * times**0.5), AS_OF, asked.step)
        if asked.only in (None, "areas"):
            (home / "areas").mkdir()
            areas(paths, home / "areas")
        if asked.only in (None, "workers"):
            (home / "workers").mkdir()
            workers(paths[4], home / "workers")
        if asked.only in (None, "districts"):
            (home / "districts").mkdir()
            districts(paths[4], home / "districts")
        if asked.only in (None, "update"):
            (home / "update").mkdir()
            update(paths[4], asked.side * 2, asked.step, home / "update")


if __name__ == "__main__":
    main()
