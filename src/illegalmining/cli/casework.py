"""Commands about cases: what lies behind them, who goes there, what was found; and closures known by name."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from illegalmining.cli.common import DONE, SET_ASIDE, DistrictFile, Json, Quiet, app, read_at, tell
from illegalmining.district import read_district
from illegalmining.errors import ConfigurationError


@app.command()
def link(path: DistrictFile, as_json: Json = False) -> None:
    """Propose mines for closures known by name only; a person decides in the file this writes."""
    from illegalmining.pipelines.link import link as propose

    done = propose(read_district(path))
    for row in done.candidates.itertuples() if not as_json else []:
        typer.echo(
            f"{row.score:5.1f}  {row.name} ({row.county or '-'})  ->  {row.mine_id} {row.mine_name}: {row.because}"
        )
    for name in done.alone if not as_json else []:
        typer.echo(f"    -  {name}: no candidate")
    told = f"{done.linked} linked, {done.waiting} to decide, {len(done.alone)} without candidate"
    tell(
        as_json,
        {"decisions": str(done.path), "linked": done.linked, "waiting": done.waiting, "alone": done.alone},
        f"{told}\nwrite yes or no into the column decision of {done.path}; it is obeyed from the next run on",
    )


@app.command()
def explain(
    path: DistrictFile,
    case_id: Annotated[str, typer.Argument(metavar="CASE_ID", help="the case, as in cases.csv")],
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the run of this day")] = None,
    as_json: Json = False,
) -> None:
    """Show everything behind one case, and how to reproduce it."""
    from illegalmining.pipelines.explain import as_text
    from illegalmining.pipelines.explain import explain as laid_open

    district = read_at(path, as_of)
    told = laid_open(district, case_id)
    typer.echo(json.dumps(told, ensure_ascii=False, default=str) if as_json else as_text(told))


@app.command()
def plan(
    path: DistrictFile,
    teams: Annotated[int, typer.Option(metavar="N", help="how many teams drive out each day")],
    days: Annotated[int, typer.Option(metavar="D", help="on how many days")],
    base: Annotated[str, typer.Option("--from", metavar="LON,LAT", help="the teams' base, degrees, longitude first")],
    underground: Annotated[
        int | None, typer.Option(metavar="N", help="teams trained for underground; half of them where not said")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="first day; the day after the run's where not said")
    ] = None,
    audit_share: Annotated[float, typer.Option(help="share of visits drawn blind over low scores, 0 to 0.5")] = 0.1,
    sight: Annotated[float, typer.Option(metavar="M", help="sites this near see each other's inspection, m")] = 1000.0,
    dossiers: Annotated[
        bool, typer.Option("--dossiers/--no-dossiers", help="write a dossier for each case visited")
    ] = True,
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the run of this day")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Plan raids on the open cases: who drives where and when, for phones and receivers."""
    from illegalmining.journal import Journal
    from illegalmining.pipelines.plan import Asked
    from illegalmining.pipelines.plan import plan as write_plan
    from illegalmining.raid.rules import Rules

    if not 0 <= audit_share <= 0.5:
        raise ConfigurationError(f"--audit-share {audit_share:g}: expected 0 to 0.5, for example 0.1")
    if not 0 <= sight <= 20_000:
        raise ConfigurationError(f"--sight {sight:g}: expected 0 to 20000 metres")
    district = read_at(path, as_of)
    lon, lat = degrees(base)
    asked = Asked(teams, days, lon, lat, underground, start.date() if start else None)
    rules = Rules(audit_share=audit_share, sight_m=sight)
    done = write_plan(district, asked, Journal(quiet=quiet or as_json), rules, dossiers)
    made = done.plan
    tell(
        as_json,
        {"folder": str(done.folder), "visits": made.visits, "value": made.value, "bound": made.bound},
        f"{made.visits} visits on {len(made.tours)} team days; {made.expected:.1f} confirmations expected; weighted by "
        f"danger {made.value:.1f}, no plan exceeds {made.bound:.1f}\nplan: {done.folder / 'plan.html'}",
    )


def degrees(text: str) -> tuple[float, float]:
    """LON,LAT as two numbers."""
    try:
        lon, lat = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(f"--from {text}: expected LON,LAT in degrees, for example 111.02,37.05") from error
    return lon, lat


@app.command()
def verify(
    path: DistrictFile,
    outcomes: Annotated[
        Path, typer.Argument(metavar="OUTCOMES", help="field outcomes: CSV, XLSX, or a tablet's GeoPackage")
    ],
    as_json: Json = False,
) -> None:
    """Record field outcomes, with the hashes of their photos, and recalibrate.

    Outcomes that contradict each other are all kept; their case stays open until a visit with settles = yes.
    """
    from illegalmining.pipelines.verify import verify as record_outcomes

    district = read_district(path)
    done = record_outcomes(district, outcomes)
    for row in done.set_aside if not as_json else []:
        typer.echo(f"{row['file']}: row {row['row'] or '-'}: {row['field'] or '-'}: {row['rule']}: {row['why']}")
    told = f"{done.recorded} outcome(s) recorded, {done.known} known already, {len(done.set_aside)} set aside"
    lines = [told, *[f"{done.unvisited} row(s) of the form are blank: not visited"] * bool(done.unvisited)]
    lines += [f"{done.photos} photo(s) hashed"] * bool(done.photos)
    lines += [
        f"CONFLICT in case {case_id}, which stays open and teaches nothing until a visit with settles = yes: "
        f"{'; '.join(visits)}"
        for case_id, visits in done.conflicts.items()
    ]
    tell(
        as_json, asdict(done), "\n".join([*lines, done.calibration, f"reliability: {district.out / 'reliability.svg'}"])
    )
    raise typer.Exit(SET_ASIDE if done.set_aside else DONE)
