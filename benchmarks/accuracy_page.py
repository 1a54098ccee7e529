"""The page `docs/accuracy.md`: what was run, the one table, and what stands behind it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accuracy_parts import ground_table, movement_table, peers_table, power_table, real_table
from accuracy_report import by_climate, by_kind, chosen_limits, main_table, probabilities
from accuracy_tasks import ROOT, Task

OFFENDING = ("plateau", "humid", "steppe")
QUIET = ("quiet", "quiet humid")
SCENES = ("15 %, 5 in a row", "15 %, half of the nights", "25 %, some nights", "50 %, most nights")


REAL = (
    "Romania, Sentinel-2, forest cleared",
    "Steady forest, Sentinel-2",
    "Slovenia, NDVI, fields and mowing",
    "Rondônia, Landsat pixels",
    "Bolivia, one pixel cleared in 2016",
    "Mexico City, displacement",
    "Steel plant, 15-minute meter",
    "Machines, 5-minute power, labelled",
)


@dataclass(frozen=True)
class Size:
    """How much is looked at. districts: of each climate in which somebody offends. quiet: of each in which nobody does.
    training: of each climate, for the baselines' limits. grounds: scenes of pits of each preset. movements: scenes of
    faces. mines: shut mines of each way of hiding, in tens. quiet_mines: quiet shut mines, in tens."""

    districts: int = 3
    quiet: int = 2
    training: int = 2
    grounds: int = 3
    movements: int = 6
    mines: int = 2
    quiet_mines: int = 6


@dataclass(frozen=True)
class Seeds:
    """First seed of everything; development and earlier figures used none of them."""

    training: int = 701
    districts: int = 721
    grounds: int = 741
    movements: int = 761
    working: int = 710_000
    quiet: int = 790_000


@dataclass(frozen=True)
class Run:
    """What was run. arguments: of the command line. seconds: by the clock, results from an earlier run not counted.
    done: every task's result."""

    arguments: list[str]
    jobs: int
    seconds: float
    done: dict[Task, dict[str, Any]]

    def of(self, what: str) -> list[tuple[tuple[Any, ...], Any]]:
        """(arguments, value) of every task of a kind, in their order."""
        found = [(task.arguments, one["value"]) for task, one in self.done.items() if task.what == what]
        return sorted(found, key=lambda pair: str(pair[0]))


def page(run: Run) -> str:
    """The page as Markdown."""
    climates = (*OFFENDING, *QUIET)
    districts = [value for _, value in sorted(run.of("district"), key=lambda pair: climates.index(pair[0][0]))]
    limits = chosen_limits([value for _, value in run.of("training")])
    real = {name: value for (name,), value in run.of("real")}
    parts = [
        HEAD,
        conditions(run),
        "## In one table\n",
        f"{count(districts)}, every input, every kind of offence; a case of probability 0.5 and more is an alarm. All "
        "ways are judged against the same registers and scored by the same scorer. The limits of the thresholds are "
        f"those with the best F1 on {len(run.of('training'))} training districts of other seeds.\n",
        main_table(districts, limits),
        READING,
        "## The whole, by kind and by climate\n",
        by_kind(districts),
        by_climate(districts),
        CLIMATES_HEAD,
        "## Probabilities\n",
        probabilities(districts),
    ]
    parts += scenes(run)
    if real:
        parts += [
            "## Real data\n",
            REAL_HEAD,
            real_table([(name, real[name]) for name in REAL if name in real], limits),
        ]
    parts += ["## Peers\n", PEERS_HEAD, peers_table([row for _, rows in run.of("peers") for row in rows])]
    return "\n".join(parts).rstrip() + "\n"


def scenes(run: Run) -> list[str]:
    """Each detector on its own scenes."""
    ground, movement = run.of("ground"), run.of("movement")
    working, quiet = run.of("working"), run.of("quiet")
    found = []
    if ground:
        table = ground_table([(preset, value) for (preset, _), value in ground])
        found += [f"## Surface and radar on their own scenes\n\n{len(ground)} {GROUND_HEAD}", table]
    if movement:
        table = movement_table([value for _, value in movement])
        found += [f"## Subsidence on its own scenes\n\n{len(movement)} {MOVEMENT_HEAD}", table]
    if working:
        table = power_table([(scene, value) for (scene, *_), value in working], [value for _, value in quiet])
        found += [f"## Power on its own scenes\n\n{POWER_HEAD}", table]
    return found


def count(districts: list[dict[str, Any]]) -> str:
    """How many districts, and how large."""
    area = sum(one["km2"] for one in districts)
    sites = sum(len(one["sites"]) for one in districts)
    return f"{len(districts)} districts, {area:.0f} km², {sites} offences"


def conditions(run: Run) -> str:
    """Command, code, machine, seeds, durations."""
    spent = sum(one["seconds"] for one in run.done.values())
    rows = {
        "command": f"`python benchmarks/evaluate.py {' '.join(shown(run.arguments))}`".replace(" `", "`"),
        "code": f"version {importlib.metadata.version('illegalmining')}, commit {commit()}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}; {run.jobs} processes",
        "looked at": "; ".join(f"{what}: {', '.join(looked_at(run, what))}" for what in WHAT if run.of(what)),
        "time": f"{spent / 60:.0f} minutes of processes, on a machine that may have had other work",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n"


def looked_at(run: Run, what: str) -> list[str]:
    """Climates or scenes with their seeds, as far as the run got."""
    seeds: dict[str, list[str]] = {}
    for arguments, _ in run.of(what):
        named = [str(one) for one in arguments if isinstance(one, str)]
        numbers = [str(one) for one in arguments if isinstance(one, int)]
        seeds.setdefault(" ".join(named), []).append(numbers[0] if numbers else "")
    return [f"{name} {' '.join(numbers)}".strip() for name, numbers in seeds.items()]


def shown(arguments: list[str]) -> list[str]:
    """The command line without this machine's paths."""
    return [Path(word).name if "/" in word else word for word in arguments]


def commit() -> str:
    """The commit the code is of, and whether it was changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "pipelines", "benchmarks")
    return f"`{git('rev-parse', '--short', 'HEAD') or 'unknown'}`" + (" with changes" if changed else "")


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


WHAT = ("district", "training", "ground", "movement", "working", "quiet")
"""Kinds of task that have seeds."""
HEAD = """# Accuracy

Written by `make evaluate`; never by hand. Intervals are 90 %: Jeffreys for shares, Poisson for rates, districts drawn
again for the rest. No seed that is reported served to make the detectors or to choose the thresholds' limits.

Simulation proves the method, not the world: no levelled face and no mine's own meter was at hand. What real
measurements can prove stands below.
"""
READING = """
*Sites found* counts only kinds that a way of looking can speak to: pits for surface, radar and NDVI; faces for
subsidence; mines for power. Faces over a boundary and pits over one are both `beyond_boundary`, so neither surface nor
subsidence can find all of these. A second alarm at one site is false. *Dated late by*: the first day the evidence
supports, less the true one. Power thresholds are dated from the first day above the limit, which may be a pump.
"""
CLIMATES_HEAD = """*plateau* and *humid* are presets of the simulator; *steppe* is this report's own (thin grass, long
snow, little rain): no detector was made with it. In *quiet* districts nobody offends.
"""
GROUND_HEAD = """scenes of 4 km × 4 km with a dozen pits and, on the same ground, fires, building sites, a reservoir
and crops whose calendar moves. *Overlap* is intersection over union of the outline reported and the ground dug.
"""
MOVEMENT_HEAD = """scenes of 36 km² over two years: hidden faces alone and beside declared ones, groundwater, forest and
water that lose coherence, air of 5 to 10 mm.
"""
POWER_HEAD = """Mines simulated alone, with two years of history, rain, cold, tariffs, tests, pump failures and meter
defects; each judged as of the day after its fifth and its tenth night of work.
"""
REAL_HEAD = """Measurements that nobody here made; thresholds as chosen on the simulated districts. *By the end of its
year* is what a nightly run would have known then; *with all images* looks back. Pixels are not independent of each
other and have no interval. Machines: the mean of the two classes' shares of hours.
"""
PEERS_HEAD = """On the same real images, NDVI by the mask ours has, at their authors' defaults and stricter; patches of
0.1 ha and more. They watch each pixel for itself, and are made for forest that a mask has picked and for alarms that a
person looks through: what they accuse is change of any kind.
"""
