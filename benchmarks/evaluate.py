"""Every detector and the whole, over seeds nobody has seen and over real data, beside simple baselines and peers.

    make evaluate                                        # the default: about 40 minutes on two idle cores
    python benchmarks/evaluate.py --districts 8          # more districts of each climate
    python benchmarks/evaluate.py --kept                 # the page from what a run that was cut short has left
    python benchmarks/evaluate.py --peer PYTHON          # an interpreter that has nrt: its monitors, on the same images

Writes `docs/accuracy.md`. A run that is killed goes on where it stopped: every result is kept under `.cache/accuracy`
until a line of the code behind it changes. Nothing here may be used to choose anything in the library.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import real_data
from accuracy_page import OFFENDING, QUIET, REAL, SCENES, Run, Seeds, Size, page
from accuracy_tasks import ROOT, Task, keep, result

SEEDS = Seeds()
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Processes run side by side, each on a core of its own: they inherit these before they load NumPy."""


def tasks(size: Size) -> list[Task]:
    """All that is to be computed, in rounds, so that one that is cut short has something of everything."""
    return [task for k in range(max(getattr(size, field.name) for field in fields(size))) for task in in_round(size, k)]


def in_round(size: Size, k: int) -> Iterator[Task]:
    """What a round adds."""
    if k < size.districts:
        yield from (Task("district", (climate, SEEDS.districts + k)) for climate in OFFENDING)
    if k < size.training:
        yield from (Task("training", (climate, SEEDS.training + k)) for climate in OFFENDING)
    if k < size.quiet:
        yield from (Task("district", (climate, SEEDS.districts + k)) for climate in QUIET)
    if k < size.movements:
        yield Task("movement", (SEEDS.movements + k,))
    if k < size.grounds:
        yield from (Task("ground", (preset, SEEDS.grounds + k)) for preset in OFFENDING[:2])
    if k < size.mines:
        for number, scene in enumerate(SCENES):
            yield Task("working", (scene, SEEDS.working + 10_000 * number + 10 * k, 10))
    if k < size.quiet_mines:
        yield Task("quiet", (SEEDS.quiet + 10 * k, 10))


def computed(wanted: list[Task], jobs: int) -> dict[Task, dict[str, Any]]:
    """Every task's result, what was kept first; tells on stderr how far it is."""
    done = {task: result(task) for task in wanted if task.path.is_file()}
    left = [task for task in wanted if task not in done]
    print(f"{len(done)} of {len(wanted)} results kept from earlier runs", file=sys.stderr, flush=True)
    if not left:
        return done
    begun = time.perf_counter()
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    pool = ProcessPoolExecutor(jobs, get_context("spawn"))
    try:
        waiting = {pool.submit(result, task): task for task in left}
        for future in as_completed(waiting):
            task = waiting[future]
            done[task] = future.result()
            print(
                f"{time.perf_counter() - begun:6.0f} s  {len(done)}/{len(wanted)}  {task.what} {task.arguments}: "
                f"{done[task]['seconds']} s",
                file=sys.stderr,
                flush=True,
            )
    finally:
        pool.shutdown(cancel_futures=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for field in fields(Size):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default, metavar="N")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8), help="processes")
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter of an environment that has nrt")
    parser.add_argument("--kept", action="store_true", help="compute nothing: the page from what earlier runs left")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "accuracy.md")
    given = parser.parse_args()
    size = Size(**{field.name: getattr(given, field.name) for field in fields(Size)})
    begun = time.perf_counter()
    wanted = [Task("real", (name,)) for name in REAL] if real_data.DATA.is_dir() else []
    wanted += [Task("peers", (given.peer,))] if given.peer and real_data.DATA.is_dir() else []
    wanted += tasks(size)
    done = computed([task for task in wanted if task.path.is_file() or not given.kept], given.jobs)
    run = Run(sys.argv[1:], given.jobs, time.perf_counter() - begun, done)
    keep(given.into, page(run))
    print(given.into)


if __name__ == "__main__":
    main()
