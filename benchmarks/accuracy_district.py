"""One simulated district that nobody has seen: the whole, each detector alone, and the baselines, by the same scorer.

The result is plain values, so that it can be kept as JSON: of every way of looking, one row a case with its probability
and the site it is, if it is one.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd

from accuracy_baselines import Days, every_limit
from illegalmining.cases.evaluate import ScoreParameters, match
from illegalmining.cases.fuse import fuse
from illegalmining.cases.identity import sighting
from illegalmining.cases.judge import judge
from illegalmining.district import District, read_district
from illegalmining.imagery.open import open_source
from illegalmining.journal import Journal
from illegalmining.pipelines.nightly import nightly
from illegalmining.power.readings import read_profiles
from illegalmining.publish.results import read_run, read_sites
from illegalmining.registers.read import Registers, read_registers
from illegalmining.simulate import PRESETS, Preset, simulate_district

DETECTORS = ("surface", "radar", "subsidence", "power")
SENSOR = {"NDVI difference": "optical", "linear subsidence rate": "displacement"}
BASELINES = (*SENSOR, "k-sigma power")

STEPPE = replace(
    PRESETS["plateau"],
    name="Dry steppe",
    crs="EPSG:4544",
    origin=(520_000.0, 4_700_000.0),
    cloud=0.2,
    leak=0.04,
    snow=0.45,
    green=(0.6, 0.3, 0.6),
    rain_mm=5.0,
    rain_share=0.12,
    atmosphere_m=0.005,
    geology=1.15,
)
"""A climate that no preset has and no detector was made with: thin grass, long snow, little rain."""
CLIMATES: dict[str, Preset] = {
    "plateau": PRESETS["plateau"],
    "humid": PRESETS["humid"],
    "steppe": STEPPE,
    "quiet": PRESETS["quiet"],
    "quiet humid": replace(PRESETS["humid"], offences=False),
}
Row = dict[str, Any]


def judged_district(climate: str, seed: int) -> dict[str, Any]:
    """Everything about a district of the test: the whole and its detectors, and the baselines at every limit."""
    with tempfile.TemporaryDirectory() as folder:
        path, facts = simulated(Path(folder), climate, seed)
        district = read_district(path)
        truth = read_sites(path.parent / "truth" / "sites.gpkg", district.crs)
        begun = time.perf_counter()
        nightly(district, Journal(quiet=True))
        facts["run_s"] = round(time.perf_counter() - begun, 1)
        run = read_run(district.out)
        registers = read_registers(district, []).in_order()
        alone = {
            f"{name} alone": rows_of(
                cases_of(run.detections[run.detections["detector"] == name], registers, district), truth
            )
            for name in DETECTORS
        }
        return facts | {
            "sites": told(truth),
            "whole": sighted(run.cases, truth),
            "alone": alone,
            "baselines": baselines(district, registers, truth),
        }


def training_district(climate: str, seed: int) -> dict[str, Any]:
    """A district from which the baselines' limits are chosen."""
    with tempfile.TemporaryDirectory() as folder:
        path, facts = simulated(Path(folder), climate, seed)
        district = read_district(path)
        truth = read_sites(path.parent / "truth" / "sites.gpkg", district.crs)
        registers = read_registers(district, []).in_order()
        return facts | {"sites": told(truth), "baselines": baselines(district, registers, truth)}


def simulated(folder: Path, climate: str, seed: int) -> tuple[Path, dict[str, Any]]:
    """A district as files, and what is to be said of it."""
    preset = CLIMATES[climate]
    begun = time.perf_counter()
    path = simulate_district(folder / "district", preset, seed)
    return path, {
        "climate": climate,
        "seed": seed,
        "km2": preset.size_m**2 / 1e6,
        "years": years(preset.monitor_from, preset.as_of),
        "simulate_s": round(time.perf_counter() - begun, 1),
    }


def years(first: date, last: date) -> float:
    """The years watched."""
    return ((last - first).days + 1) / 365.25


def told(truth: gpd.GeoDataFrame) -> list[Row]:
    """The sites: id and kind."""
    return [{"site_id": str(site.site_id), "kind": str(site.kind)} for site in truth.itertuples()]


def cases_of(found: gpd.GeoDataFrame, registers: Registers, district: District) -> gpd.GeoDataFrame:
    """Detections judged and fused as a run does it, with nothing learned."""
    return fuse(judge(found, registers, "en"))


def rows_of(cases: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> list[Row]:
    """One row a case: kind, probability, the site it is and the days it is dated late, None where it is none."""
    sites = match(cases, truth, ScoreParameters())
    rows = []
    for label, case in cases.iterrows():
        site = truth.loc[sites[label]] if label in sites else None
        rows.append(
            {
                "kind": case["kind"],
                "probability": float(case["probability"]),
                "site_id": None if site is None else str(site["site_id"]),
                "late_days": None if site is None else int((case["first_seen"] - site["start"]).days),
            }
        )
    return rows


def sighted(cases: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> list[Row]:
    """The same with what the evidence alone said, which is what a calibration learns from."""
    seen = [sighting(case) for case in cases.to_dict("records")]
    return [row | {name: one[name] for name in ("terms", "against")}
            for row, one in zip(rows_of(cases, truth), seen, strict=True)]  # fmt: skip


def baselines(district: District, registers: Registers, truth: gpd.GeoDataFrame) -> dict[str, list[dict[str, Any]]]:
    """Of every baseline and limit, its rows."""
    section = district.configuration.district
    days = Days(section.history_from, section.monitor_from, section.as_of)
    found = {}
    for name in BASELINES:
        given = looked_at(name, district, registers)
        found[name] = [
            {"limit": list(limit), "rows": rows_of(cases_of(table, registers, district), truth)}
            for limit, table in every_limit(name, given, registers, days, district.crs)
        ]
    return found


def looked_at(name: str, district: District, registers: Registers) -> Any:
    """What a baseline looks at: a cube, or the meters' profiles."""
    if name in SENSOR:
        source = next(one for one in district.configuration.imagery if one.sensor == SENSOR[name])
        return open_source(source, district, [])
    power, days = district.configuration.power, district.configuration.district
    pattern = district.pattern(power.readings)
    return read_profiles(
        pattern, power.timezone, days.history_from, days.as_of, [], registers.meters, root=district.root
    )
