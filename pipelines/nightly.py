"""Everything, once a night: read, detect, judge, fuse, rank, publish."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd

from illegalmining.atomic import PARTIAL
from illegalmining.checkpoint import only_run
from illegalmining.compute import computing
from illegalmining.detect.findings import gather
from illegalmining.district import District
from illegalmining.hotspots import hotspots
from illegalmining.journal import Journal
from illegalmining.pipelines.casework import decide, publish_casework
from illegalmining.pipelines.power_watch import power_watch
from illegalmining.pipelines.publish import Results, publish, write_record
from illegalmining.pipelines.subsidence_watch import subsidence_watch
from illegalmining.pipelines.surface_watch import surface_watch
from illegalmining.pipelines.watching import register_digests
from illegalmining.publish.results import earlier_cases
from illegalmining.registers.read import read_registers
from illegalmining.remarks import turned, unjudged
from illegalmining.tables import REGISTERS

LOG = "log.jsonl"
"""Beside what is remembered: one line a stage, with its duration."""
WATCHES = frozenset({"surface", "radar", "subsidence", "power"})


@dataclass(frozen=True)
class Night:
    """What a run ends with: where the map lies, its cases, and how many rows were set aside."""

    page: Path
    cases: gpd.GeoDataFrame
    set_aside: int


def nightly(district: District, journal: Journal | None = None, only: frozenset[str] = WATCHES) -> Night:
    """Take a district from its inputs to its map.

    Parameters
    ----------
    district : results go to `district.out`, what is remembered between runs to `district.state`.
    journal : keeps stages and what was set aside; shows progress unless quiet. None: a quiet one.
    only : detectors to run.

    Returns
    -------
    The map's path, the cases (`tables.CASES`), and how many rows were set aside.

    Raises
    ------
    InputError
        Another run holds the district, or a register that is needed cannot be used.
    ConfigurationError
        The configured scheduler does not answer.

    Examples
    --------
    >>> night = im.nightly(district)
    >>> night.page.name
    'hotspots.html'
    >>> night.cases["probability"].is_monotonic_decreasing
    True
    """
    journal = journal or Journal()
    journal.log = district.state / LOG
    days = district.configuration.district
    with (
        only_run(district.state),
        journal.run(as_of=days.as_of.isoformat(), only=sorted(only)),
        computing(district),
    ):
        sweep_results(district)
        with journal.stage("registers"):
            registers = read_registers(district, journal.quarantine).in_order()
            journal.inputs.update(register_digests(district, registers, (*REGISTERS, "link_decisions")))
        watched = [
            *surface_watch(district, journal, only),
            *subsidence_watch(district, registers, journal, only),
            *power_watch(district, registers, journal, only),
        ]
        journal.quarantine.extend(row for found in watched for row in found.quarantine)
        journal.remarks.extend(unjudged(district, registers, watched, only))
        with journal.stage("judge, fuse, rank"):
            found = gather((source.findings for source in watched), district.crs)
            work = decide(found, registers, district)
            cases = work.cases
            journal.remarks.extend(turned(work.tables["rejudged"], district.configuration.district.language))
            section = district.configuration.district
            earlier = earlier_cases(district.out, section.as_of, district.crs)
            spots = hotspots(
                cases, registers.jurisdictions, section.bounds, district.crs, section.as_of, earlier=earlier
            )
            results = Results(found, cases, spots)
        with journal.stage("publish"):
            page = publish(district, registers, watched, results, journal)
            publish_casework(work, district)
        write_record(district, watched, results, journal)
    return Night(page, cases, len(journal.quarantine))


def sweep_results(district: District) -> None:
    """Remove what a run that was broken off left half written among the results of this day."""
    for left in district.out.glob(f".*{PARTIAL}"):
        if not left.name.startswith(".packages"):  # packages are written without holding the district
            shutil.rmtree(left, ignore_errors=True)
