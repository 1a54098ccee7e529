"""Judging, fusing and calibrating over many districts: Brier score, calibration error, precision, kinds.

Plans of simulated districts nobody has tuned on; their DETECTIONS ARE MADE UP from the plan with the noise below, not
detected in images (that is evaluate.py, two minutes a district). What is measured is therefore what happens to
detections after they are made, if they are about this good.

Usage: bench_cases_quality.py [FIRST_SEED LAST_SEED]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely import affinity
from shapely.geometry import Point

from illegalmining.cases.calibrate import Lesson, calibrate, learned_rivals, reliability
from illegalmining.cases.evaluate import ScoreParameters, match, score
from illegalmining.cases.fuse import FusionParameters, fuse
from illegalmining.cases.identity import sighting
from illegalmining.cases.judge import judge
from illegalmining.cases.outcomes import lesson
from illegalmining.cases.verdict import JudgingParameters
from illegalmining.detect.findings import detection, detections
from illegalmining.registers.read import Registers
from illegalmining.simulate.plan import Plan, make_plan
from illegalmining.simulate.preset import PRESETS, Preset
from illegalmining.tables import CONCESSIONS, MINE_STATUS, MINES, PRODUCTION, REGISTERS, SITES

OUTCOMES = 50


@dataclass(frozen=True)
class Noise:
    """How good made-up detections are (assumed, of the order seen on whole simulated districts).

    seen: probability that a sensor reports what is there. nats: mean and standard deviation of its log-likelihood
    ratio. mimics: probability that an innocent change is reported, and its nats. artefacts: reports a district of
    nothing at all. place_m, size: error of position, m, and of linear size. late_days: how late it is noticed.
    """

    seen: float = 0.9
    surface: tuple[float, float] = (5.0, 2.2)
    radar: tuple[float, float] = (4.5, 2.0)
    face: tuple[float, float] = (9.0, 3.0)
    power: tuple[float, float] = (7.0, 4.0)
    mimics: float = 0.35
    mimic_nats: tuple[float, float] = (0.5, 1.5)
    artefacts: float = 2.0
    place_m: float = 6.0
    size: float = 0.06
    late_days: float = 25.0


class Sensors:
    """Makes detections of one district."""

    def __init__(self, preset: Preset, rng: np.random.Generator, noise: Noise) -> None:
        self.preset, self.rng, self.noise = preset, rng, noise
        self.rows: list[dict[str, Any]] = []

    def report(self, detector: str, nats: tuple[float, float], outline: Any, start: Any, **more: Any) -> None:
        """One detection, displaced and late."""
        rng, noise = self.rng, self.noise
        first = pd.Timestamp(start) + pd.Timedelta(days=float(rng.exponential(noise.late_days)))
        last = pd.Timestamp(self.preset.as_of)
        first = min(max(first.normalize(), pd.Timestamp(self.preset.monitor_from)), last)
        shape = affinity.translate(outline, *rng.normal(0, noise.place_m, 2))
        grown = float(np.exp(rng.normal(0, noise.size)))
        shape = affinity.scale(shape, grown, grown) if shape.area else shape
        attributes = {name: more[name] for name in ("question", "growth") if name in more}
        self.rows.append(
            detection(
                detector, first, last, float(rng.normal(*nats)), shape,
                area_m2=shape.area, mine_id=more.get("mine_id"), attributes=attributes,
            )
        )  # fmt: skip

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


def seen_in(plan: Plan, preset: Preset, rng: np.random.Generator, noise: Noise) -> gpd.GeoDataFrame:
    """What the sensors report of a plan: what is there, what mimics it, and what is nothing."""
    sensors = Sensors(preset, rng, noise)
    for pit in plan.pits:
        for detector, nats in (("surface", noise.surface), ("radar", noise.radar)):
            if sensors.chance(noise.seen):
                sensors.report(detector, nats, pit.outline, pit.start)
    underground(plan, sensors)
    power(plan, preset, sensors)
    for event in plan.events:
        if event.kind == "groundwater":
            if sensors.chance(noise.mimics / 2):
                face = Point(*event.outline.centroid.coords[0]).buffer(80)
                sensors.report("subsidence", noise.mimic_nats, face, preset.monitor_from, question="undeclared_face")
        elif sensors.chance(noise.mimics):
            sensors.report("surface", noise.mimic_nats, event.outline, event.start)
    x, y = preset.origin
    for _ in range(rng.poisson(noise.artefacts)):
        place = Point(x + rng.uniform(0, preset.size_m), y + rng.uniform(0, preset.size_m))
        sensors.report("surface", noise.mimic_nats, place.buffer(float(rng.uniform(15, 40))), preset.monitor_from)
    return detections(sensors.rows, preset.crs)


def underground(plan: Plan, sensors: Sensors) -> None:
    """Movement over faces: undeclared ones, declared ones that are dug, and declared ones that are not."""
    noise, declared = sensors.noise, [panel for _, _, panel in plan.faces]
    for panel in plan.panels:
        if panel not in declared and sensors.chance(noise.seen):
            sensors.report("subsidence", noise.face, panel.outline, panel.start, question="undeclared_face")
    for _, mine_id, panel in plan.faces:
        told = ("declared_face", (-6.0, 2.0)) if panel in plan.panels else ("declared_face_never_moved", (5.0, 2.0))
        if sensors.chance(noise.seen):
            sensors.report(
                "subsidence", told[1], panel.outline, panel.start, mine_id=mine_id, question=told[0]
            )  # fmt: skip


def power(plan: Plan, preset: Preset, sensors: Sensors) -> None:
    """Meters of mines: work while shut, safety load that looks like it, and declared tonnes without load."""
    noise = sensors.noise
    offending = {site["mine_id"]: site for site in plan.sites if site["mine_id"]}
    for mine in plan.mines:
        kind = offending.get(mine.mine_id, {}).get("kind")
        shut = mine.statuses[-1][0] != "producing"
        if kind == "active_while_shut":
            told = ("worked_while_forbidden", noise.power, offending[mine.mine_id]["start"])
        elif kind == "paper_output":
            told = ("declared_but_idle", noise.power, preset.monitor_from)
        elif shut:
            told = ("worked_while_forbidden", noise.mimic_nats, max(mine.statuses[-1][1], preset.monitor_from))
        else:
            told = ("worked_as_allowed", (-1.3, 0.5), preset.monitor_from)
        if sensors.chance(noise.mimics if shut and kind is None else noise.seen):
            sensors.report("power", told[1], mine.yard.centroid, told[2], mine_id=mine.mine_id, question=told[0])


def registers_of(plan: Plan, preset: Preset) -> Registers:
    """The registers of a plan."""
    day = pd.Timestamp
    tables: dict[str, Any] = dict.fromkeys(REGISTERS)
    named = ("licence_no", "holder", "mineral", "method", "valid_from", "valid_to", "renewal_applied")
    licences = [{name: getattr(one, name) for name in named} | {"geometry": one.outline} for one in plan.licences]
    tables["concessions"] = CONCESSIONS.frame(licences, preset.crs)
    told = ("mine_id", "name", "operator", "licence_no", "method")
    mines = [{name: getattr(one, name) for name in told} | {"geometry": one.yard} for one in plan.mines]
    tables["mines"] = MINES.frame(mines, preset.crs)
    tables["mine_status"] = MINE_STATUS.frame(
        [
            {"mine_id": one.mine_id, "status": word, "from": day(first), "to": pd.NaT if end is None else day(end)}
            for one in plan.mines
            for word, first, end in one.statuses
        ]
    )
    months = pd.period_range(preset.monitor_from, preset.as_of, freq="M").strftime("%Y-%m")
    producing = [one.mine_id for one in plan.mines if one.statuses[-1][0] == "producing"]
    tables["production"] = PRODUCTION.frame(
        [{"mine_id": one, "month": month, "tonnes": 20_000.0} for one in producing for month in months]
    )
    return Registers(**tables, files={})


@dataclass(frozen=True)
class Case:
    """A district: its detections, registers and truth."""

    found: gpd.GeoDataFrame
    registers: Registers
    truth: gpd.GeoDataFrame
    crs: str

    def cases(self, fusion: FusionParameters, judging: JudgingParameters) -> gpd.GeoDataFrame:
        cases = fuse(judge(self.found, self.registers, "en", judging), fusion)
        return cases.assign(case_id=[f"c{i}" for i in range(len(cases))])


def district(preset: Preset, seed: int, noise: Noise) -> Case:
    """A district of a seed."""
    plan = make_plan(preset, np.random.default_rng([seed, 1]))
    found = seen_in(plan, preset, np.random.default_rng([seed, 2]), noise)
    day = [{**site, "start": pd.Timestamp(site["start"]), "stop": pd.NaT} for site in plan.sites]
    return Case(found, registers_of(plan, preset), SITES.frame(day, preset.crs), preset.crs)


def visited(districts: list[Case], rng: np.random.Generator) -> list[Lesson]:
    """Outcomes of visits to cases drawn at random, whatever their probability."""
    taught = []
    for one in districts:
        cases = one.cases(FusionParameters(), JudgingParameters())
        true = set(match(cases, one.truth, ScoreParameters()))
        for label, case in zip(cases.index, cases.to_dict("records"), strict=True):
            visit = {"outcome": "confirmed" if label in true else "refuted", "content": "{}"}
            taught.append(lesson(sighting(case), visit))
    return [taught[i] for i in rng.permutation(len(taught))[:OUTCOMES]]


def figures(districts: list[Case], fusion: FusionParameters, judging: JudgingParameters) -> str:
    """The pooled figures of districts."""
    given, truth, first, wanted, right, found = [], [], 0.0, 0, 0.0, 0
    for one in districts:
        cases = one.cases(fusion, judging)
        true = set(match(cases, one.truth, ScoreParameters()))
        given += cases["probability"].tolist()
        truth += [label in true for label in cases.index]
        scores = score(cases, one.truth)
        first += scores.precision_first_n * min(len(one.truth), len(cases))
        wanted += min(len(one.truth), len(cases))
        right += scores.kind_right * scores.found
        found += scores.found
    fit = reliability(np.array(given), np.array(truth))
    sites = sum(len(one.truth) for one in districts)
    return (
        f"{fit.count} cases, Brier {fit.brier:.3f}, calibration error {fit.error:.3f}, precision of the first n "
        f"{first / wanted:.3f}, found {found} of {sites}, kind right {right / found:.3f}"
    )


def main(arguments: list[str]) -> None:
    first, last = (int(word) for word in (arguments or ["901", "912"]))
    noise, presets = Noise(), [PRESETS["plateau"], PRESETS["humid"]]
    taught = visited([district(preset, seed, noise) for preset in presets for seed in range(801, 806)],
                     np.random.default_rng(1))  # fmt: skip
    unseen = [district(preset, seed, noise) for preset in presets for seed in range(first, last + 1)]
    print(f"{len(unseen)} unseen districts, detections made up from their plans")
    print(f"uncalibrated:                {figures(unseen, FusionParameters(), JudgingParameters())}")
    print(f"after {len(taught)} outcomes elsewhere: {figures(unseen, calibrate(taught), learned_rivals(taught))}")


if __name__ == "__main__":
    main(sys.argv[1:])
