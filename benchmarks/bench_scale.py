"""How the surface watch grows with area, with workers and with new dates, and what a province would cost.

A scheduler and worker processes of one thread each, over TCP with TLS on loopback; images are read from GeoTIFFs, the
memory is written to Zarr, all as in production. Wall times mean something only on an idle machine; CPU times always do.
Run `python benchmarks/bench_scale.py [--quick]`. The province's figures follow from the measured rates by the formula
of docs/scale.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from illegalmining.district import read_district
from illegalmining.journal import Journal
from illegalmining.pipelines.nightly import nightly
from wide_district import BANDS, days_between, write_scene, write_wide

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from cluster import ask, cluster, cpu_seconds, most_held

AS_OF, STEP = date(2026, 5, 1), 25
TIMES = (1, 4, 16)
PIXELS, DATES_A_YEAR, YEARS_OF_HISTORY, PIXEL_BANDS = 1.6e9, 73, 3, 5
"""Shanxi at 10 m, as Sentinel-2 sees it: a date every five days, five bands judged."""
CORE_HOUR, GB_MONTH = 0.05, 0.023
"""Prices assumed, US dollars: a core of a rented machine for an hour, a gigabyte in an object store for a month."""


@dataclass(frozen=True)
class Measured:
    """One run. wall, stage: s, of the whole run and of the surface stage. driver, workers: CPU, s. held: the most
    memory of a worker, bytes."""

    wall: float
    stage: float
    driver: float
    workers: float
    held: float
    pixel_dates: int

    @property
    def cpu(self) -> float:
        return self.driver + self.workers


def measured(path: Path, made: Any, workers: int, as_of: date = AS_OF) -> Measured:
    """Run a district on a cluster and look at all clocks."""
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
    return Measured(
        wall, stage["seconds"], driver, spent, max(ask(made, most_held, workers).values()), stage["pixel_dates"]
    )


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def line(name: str, one: Measured) -> None:
    print(
        f"{name:28} {one.pixel_dates / 1e6:7.1f} M pixel-dates  wall {one.wall:6.1f} s  stage {one.stage:6.1f} s  "
        f"CPU {one.cpu:6.1f} s (driver {one.driver:5.1f})  {one.pixel_dates / one.cpu / 1e6:5.2f} M/s and core  "
        f"worker {one.held / 1e6:5.0f} MB",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the pixels")
    side = 256 if parser.parse_args().quick else 512
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {date.today()}; pixels a side: {side} and more")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        paths = {times: write_wide(home / f"d{times}", int(side * times**0.5), AS_OF, STEP) for times in TIMES}
        (home / "one").mkdir()
        with cluster(home / "one", workers=1) as made:
            measured(again(paths[1]), made, 1)  # compiled, imported
            by_area = {times: measured(again(paths[times]), made, 1) for times in TIMES}
            for times, one in by_area.items():
                line(f"area {times:2}x, one worker", one)
            wide = paths[4]
            last = days_between(date(2025, 1, 2), AS_OF, STEP)[-1]
            day = last + timedelta(days=5)
            write_scene(wide.parent / "s2", day, int(side * 2))
            again(wide)
            first = measured(wide, made, 1, last)
            one_more = measured(wide, made, 1, day)
            line("area  4x, one new date", one_more)
        (home / "two").mkdir()
        with cluster(home / "two", workers=2) as made:
            measured(again(wide), made, 2, last)  # both workers have compiled and imported: there are blocks for both
            both = measured(again(wide), made, 2, last)
            line("area  4x, two workers", both)
        share = [by_area[times].cpu / by_area[1].cpu / times for times in TIMES]
        print(f"CPU a pixel against 1x: {', '.join(f'{one:.2f}' for one in share)} (1 is linear)")
        print(
            f"one to two workers: wall of the stage {first.stage / both.stage / 2:.0%}, "
            f"CPU {first.cpu / both.cpu:.0%}; outside the stage {first.wall - first.stage:.1f} s"
        )
        pixels = (side * 2) ** 2
        one_of = pixels / first.pixel_dates
        print(f"one new date: {one_more.cpu / first.cpu:.1%} of the first run's CPU, {one_of:.1%} of its pixel-dates")
        update_rate = pixels / one_more.cpu
        kept = size(wide.parent / "state" / "monitoring") / pixels
        read = size(wide.parent / "s2") / pixels / len(list((wide.parent / "s2").glob("*.tif")))
        scale = len(BANDS) / PIXEL_BANDS
        province(first.pixel_dates / first.cpu * scale, update_rate * scale, kept / scale, read / scale)


if __name__ == "__main__":
    main()
