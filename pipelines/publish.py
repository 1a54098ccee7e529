"""A run's results to files: tables, hot spots, coverage, quarantine, the map, and the record of the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd

from illegalmining.atomic import write_bytes
from illegalmining.checkpoint import Watched
from illegalmining.coverage import smallest_site
from illegalmining.district import District
from illegalmining.journal import Journal
from illegalmining.publish.content import MapContent, Picture
from illegalmining.publish.page import publish_page
from illegalmining.publish.sheet import publish_sheet
from illegalmining.publish.tables import (
    publish_cases,
    publish_coverage,
    publish_detections,
    publish_hotspots,
    publish_quarantine,
)
from illegalmining.registers.read import Registers


@dataclass(frozen=True)
class Results:
    """What a run found: `tables.DETECTIONS`, `tables.CASES`, `tables.HOTSPOTS`."""

    detections: gpd.GeoDataFrame
    cases: gpd.GeoDataFrame
    hotspots: gpd.GeoDataFrame


def publish(
    district: District, registers: Registers, watched: list[Watched], results: Results, journal: Journal
) -> Path:
    """Write everything a run publishes but its record; returns the map's path."""
    out, section = district.out, district.configuration.district
    publish_cases(results.cases, out, section.language)
    publish_detections(results.detections, out)
    publish_hotspots(results.hotspots, out)
    publish_quarantine(journal.quarantine, out)
    maps = [found.findings.smallest_site_m2 for found in watched if found.findings.smallest_site_m2 is not None]
    coverage = smallest_site(maps, section.bounds, district.crs) if maps else None
    if coverage is not None:
        publish_coverage(coverage, out)
    background = picture_of(watched)
    if background is not None:
        write_bytes(out / "ground.webp", background[0])
    content = MapContent(
        district_name=district.name,
        language=section.language,
        as_of=section.as_of,
        bounds=section.bounds,
        crs=district.crs,
        cases=results.cases,
        detections=results.detections,
        hotspots=results.hotspots,
        concessions=registers.concessions,
        mines=registers.mines,
        jurisdictions=registers.jurisdictions,
        roads=registers.roads,
        coverage=coverage,
        background=background,
        sources=[found.about for found in watched],
        remarks=journal.remarks,
        run={"version": journal.version, "inputs": len(journal.inputs)},
    )
    publish_sheet(out / "hotspots.pdf", content)
    return publish_page(out / "hotspots.html", content)


def seen_share(found: Watched, district: District) -> float | None:
    """Share of the district that a source saw; None where its sensor makes no map."""
    if found.findings.smallest_site_m2 is None:
        return None
    section = district.configuration.district
    seen = smallest_site([found.findings.smallest_site_m2], section.bounds, district.crs)
    return round(float(seen.notnull().mean()), 4)


def picture_of(watched: list[Watched]) -> Picture | None:
    """The picture of the ground, of the first source that makes one."""
    return next((found.picture for found in watched if found.picture), None)


def write_record(district: District, watched: list[Watched], results: Results, journal: Journal) -> Path:
    """`run.json`: versions, parameters, inputs, timings; written last, so that its presence means a whole run."""
    record = {
        **journal.as_dict(),
        "parameters": district.configuration.model_dump(mode="json"),
        "sources": [found.about for found in watched],
        "ground_bounds": ground[1] if (ground := picture_of(watched)) else None,
        "seen_share": {found.about["name"]: seen_share(found, district) for found in watched},
        "detections": len(results.detections),
        "cases": len(results.cases),
        "quarantined": len(journal.quarantine),
    }
    return write_bytes(district.out / "run.json", json.dumps(record, ensure_ascii=False, indent=1).encode())
