"""The raid plan of a finished run: its open cases, the roads, and the teams, to routes for the field."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from illegalmining.atomic import PRIVATE, PRIVATE_FOLDER, atomic_folder
from illegalmining.cases.ledger import CASES, OUTCOMES, open_ledger
from illegalmining.district import District
from illegalmining.errors import ConfigurationError, InputError
from illegalmining.journal import Journal
from illegalmining.pipelines.audits import NEAR_DRAW_M, audits_file, remembered
from illegalmining.pipelines.dossiers import write_dossiers, write_forms
from illegalmining.publish.keys import write_private
from illegalmining.publish.raid_plan import PlanContent, publish_raid_plan
from illegalmining.publish.raid_plan_page import publish_plan_page
from illegalmining.publish.results import Run, read_run
from illegalmining.raid.audit import Audit, misses, precision
from illegalmining.raid.planning import RaidPlan, Request, make_plan
from illegalmining.raid.rules import Rules
from illegalmining.raid.sites import CASE, Site, case_sites, ground_sites, mine_sites
from illegalmining.registers.read import Registers, read_registers

SEED_VARIABLE = "ILLEGALMINING_PLAN_SEED"
DEFAULT_ZONE = "Asia/Shanghai"
CONCLUSIVE = ("confirmed", "refuted")


@dataclass(frozen=True)
class Asked:
    """What is asked of a raid plan.

    teams: how many drive out each day, 1-100. days: on how many days, 1-31. lon, lat: their base, degrees, WGS 84.
    skilled: teams trained for underground; None for half of them. first_day: None for the day after the run's.

    Examples
    --------
    >>> im.Asked(teams=2, days=3, lon=111.0, lat=37.0).first_day is None
    True
    """

    teams: int
    days: int
    lon: float
    lat: float
    skilled: int | None = None
    first_day: date | None = None


@dataclass(frozen=True)
class Planned:
    """What was written, and where."""

    folder: Path
    plan: RaidPlan


def plan(
    district: District,
    asked: Asked,
    journal: Journal | None = None,
    rules: Rules | None = None,
    dossiers: bool = True,
) -> Planned:
    """Write `plan/` beside the run's results, whole or not at all, for its owner alone.

    Whole days are chosen by a set-partitioning programme over routes from column generation; the relaxation's bound is
    part of the plan, so that what it leaves on the table is known.

    Parameters
    ----------
    asked : teams, days and base. journal: None for a quiet one. rules: working hours, speeds, shares.
    dossiers : also one for each case visited, which takes a second or two each.

    Returns
    -------
    The folder, and the plan: tours with their calls, expected confirmations, value and bound.

    Raises
    ------
    ConfigurationError
        A number is out of range, or the base lies far from the district.
    InputError
        There is no finished run, or it holds no open case.

    Examples
    --------
    >>> west, south, _, _ = registers.jurisdictions.to_crs("EPSG:4326").total_bounds
    >>> asked = im.Asked(teams=2, days=1, lon=west, lat=south)
    >>> made = im.plan(district, asked, dossiers=False).plan
    >>> 0 < made.value <= made.bound + 1e-9
    True
    >>> len(made.tours) <= asked.teams * asked.days
    True
    """
    journal, rules = journal or Journal(), rules or Rules()
    request = request_of(district, asked)
    run = read_run(district.out)
    with journal.stage("registers"):
        registers = read_registers(district, journal.quarantine)
    cases = open_cases(district, run)
    quiet = mine_sites(registers.mines, cases, rules) + ground_sites(run.hotspots, cases, rules)
    earlier = earlier_audits(district, request)
    with journal.stage("plan"):
        made = make_plan(
            request, case_sites(cases, registers.mines, rules), quiet, registers.roads, seed(district), rules
        )
    told = content_of(district, request, rules, made, registers, earlier)
    folder = district.out / "plan"
    with atomic_folder(folder) as partial:
        with journal.stage("write"):
            publish_raid_plan(told, partial)
            publish_plan_page(told, partial)
            visited = visited_cases(made)
            write_forms(district, district.out, visited, partial)
        if dossiers:
            with journal.stage("dossiers"):
                write_dossiers(district, district.out, visited, partial / "dossiers")
        for file in partial.rglob("*"):
            file.chmod(PRIVATE_FOLDER if file.is_dir() else PRIVATE)
    folder.chmod(PRIVATE_FOLDER)
    remember_audits(district, request, made)
    return Planned(folder, made)


def visited_cases(made: RaidPlan) -> list[str]:
    """Ids of the cases visited, in the order of days and teams."""
    return [call.site.site_id for tour in made.tours for call in tour.calls if call.site.stratum == CASE]


def request_of(district: District, asked: Asked) -> Request:
    """The request, checked against the district.

    Raises
    ------
    ConfigurationError
        A number is out of range, or the place is not in or near the district.
    """
    section = district.configuration.district
    for name, value, low, high in (("--teams", asked.teams, 1, 100), ("--days", asked.days, 1, 31)):
        if not low <= value <= high:
            raise ConfigurationError(f"{name} {value}: expected {low} to {high}")
    skilled = (asked.teams + 1) // 2 if asked.skilled is None else asked.skilled
    if not 0 <= skilled <= asked.teams:
        raise ConfigurationError(f"--underground {skilled}: expected 0 to {asked.teams}, as many teams as there are")
    base = place_in(district, asked.lon, asked.lat)
    if base is None:
        given = f"--from {asked.lon:g},{asked.lat:g}"
        swapped = place_in(district, asked.lat, asked.lon) is not None
        way_out = (
            f"the two are swapped: write --from {asked.lat:g},{asked.lon:g}, longitude first"
            if swapped
            else "give the base of the teams as LON,LAT in degrees, WGS 84, longitude first"
        )
        raise ConfigurationError(f"{given}: lies more than a day's drive outside the district's bounds; {way_out}")
    first = asked.first_day or section.as_of + timedelta(days=1)
    if first <= section.as_of:
        raise ConfigurationError(f"--start {first}: is not after the run's day {section.as_of}; choose a later day")
    power = district.configuration.power
    zone = power.timezone if power is not None else DEFAULT_ZONE
    return Request(asked.teams, skilled, asked.days, first, base, asked.lon, asked.lat, zone)


FARTHEST_BASE_M = 100_000.0
"""A base may lie so far outside the district's bounds, m: about two hours' drive."""


def place_in(district: District, lon: float, lat: float) -> tuple[float, float] | None:
    """A place in the district's CRS; None where it is no place, or far outside the district."""
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        return None
    point = gpd.GeoSeries([shapely.Point(lon, lat)], crs="EPSG:4326").to_crs(district.crs).iloc[0]
    near = shapely.box(*district.configuration.district.bounds).buffer(FARTHEST_BASE_M)
    return (float(point.x), float(point.y)) if near.contains(point) else None


def open_cases(district: District, run: Run) -> gpd.GeoDataFrame:
    """The run's cases that the ledger still holds open.

    Raises
    ------
    InputError
        There is none.
    """
    with open_ledger(district.ledger, district.name, writing=False) as ledger:
        status = {row["case_id"]: "merged" if row["merged_into"] else row["status"] for row in ledger.rows(CASES)}
    now = run.cases["case_id"].map(status).fillna(run.cases["status"])
    found = run.cases[(now == "open").to_numpy()]
    if found.empty:
        raise InputError(f"{district.out}: the run holds no open case; there is nothing to plan")
    return found.to_crs(district.crs).reset_index(drop=True)


def seed(district: District) -> int:
    """A fresh secret number for this plan, kept for its owner alone; or the one the environment gives."""
    given = os.environ.get(SEED_VARIABLE)
    if given is not None:
        if not given.isdecimal():
            raise ConfigurationError(f"{SEED_VARIABLE}: expected a whole number, 0 or more")
        return int(given)
    fresh = secrets.randbits(128)
    folder = district.state / "plan"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / "seed", f"{fresh}\n".encode())
    return fresh


def content_of(
    district: District, request: Request, rules: Rules, made: RaidPlan, registers: Registers, earlier: list[Audit]
) -> PlanContent:
    """What the files tell."""
    section, mines = district.configuration.district, registers.mines
    names: dict[str, tuple[str, str]] = {}
    if mines is not None:
        rows = zip(mines["mine_id"], mines["name"], mines["operator"], strict=True)
        names = {str(mine_id): (str(name), str(operator)) for mine_id, name, operator in rows}
    known = vars(misses(earlier))
    estimate = {name: None if value != value else value for name, value in known.items()}
    return PlanContent(
        plan=made,
        request=request,
        rules=rules,
        district=district.name,
        language=section.language,
        crs=district.crs,
        as_of=section.as_of.isoformat(),
        mines=names,
        precision=precision(visited_blind(made), made.frame),
        estimate=estimate,
    )


def visited_blind(made: RaidPlan) -> list[Site]:
    """The draws that found a place in the plan."""
    return [site for site in made.drawn if site.site_id not in made.missed]


def remember_audits(district: District, request: Request, made: RaidPlan) -> None:
    """Keep the draws of this plan, in place of those of an earlier one for the same first day."""
    day = request.first_day.isoformat()
    sizes = pd.Series([site.stratum for site in made.frame], dtype=object).value_counts()
    rows = [row for row in remembered(district) if row["plan"] != day]
    rows += [
        {"plan": day, "stratum": site.stratum, "frame": int(sizes[site.stratum]), "chance": site.chance}
        | {"site_id": site.site_id, "x": site.x, "y": site.y}
        for site in made.drawn
    ]
    path = audits_file(district)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, json.dumps(rows, ensure_ascii=False, indent=1).encode())


def earlier_audits(district: District, request: Request) -> list[Audit]:
    """Draws of earlier plans with their outcomes, as far as the ledger has them since."""
    rows = [row for row in remembered(district) if row["plan"] < request.first_day.isoformat()]
    if not rows:
        return []
    with open_ledger(district.ledger, district.name, writing=False) as ledger:
        told = [row for row in ledger.rows(OUTCOMES) if row["outcome"] in CONCLUSIVE]
    return [Audit(row["plan"], row["stratum"], row["frame"], row["chance"], answer(row, told)) for row in rows]


def answer(draw: dict[str, Any], told: list[dict[str, Any]]) -> bool | None:
    """Whether the visit to a draw confirmed an offence; None while none came back."""
    here = shapely.Point(draw["x"], draw["y"])
    mine = [
        row
        for row in told
        if row["visited"] >= draw["plan"]
        and (
            row["case_id"] == draw["site_id"]
            if draw["stratum"] == "case"
            else row["geometry"] is not None and shapely.from_wkb(row["geometry"]).dwithin(here, NEAR_DRAW_M)
        )
    ]
    return None if not mine else max(mine, key=lambda row: (row["visited"], row["number"]))["outcome"] == "confirmed"
