"""Commands that compute: a night, a province, a simulated district, and how good a night was."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from illegalmining.cli.common import (
    DONE,
    FAILED,
    SET_ASIDE,
    DistrictFile,
    Json,
    Preset,
    Quiet,
    Seed,
    app,
    read_at,
    tell,
)
from illegalmining.district import District, read_district
from illegalmining.errors import ConfigurationError


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="where the demo district is written")],
    preset: Preset = "plateau",
    seed: Seed = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a complete simulated district into DIR, run it, and print where the map is."""
    path = directory / "district.toml"
    if not path.exists():
        path = simulated(directory, preset, seed, quiet)
    district = read_district(path)
    outcome = run_district(district, quiet)
    scores = scored(district, directory / "truth" / "sites.gpkg")
    found = f"{scores.found} of {scores.sites} planted sites found, {scores.false_alarms} false alarm(s)"
    tell(
        as_json,
        {"map": str(outcome.page), "cases": len(outcome.cases), "scores": scores.as_dict()},
        f"{len(outcome.cases)} cases; {found}\nmap: {outcome.page}",
    )
    raise typer.Exit(SET_ASIDE if outcome.set_aside else DONE)


@app.command()
def run(
    path: DistrictFile,
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="look as of this day")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="DETECTOR", help="run only this detector")] = None,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="an existing Dask scheduler")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """The whole batch: read, detect, judge, fuse, rank, publish; resumable."""
    district = read_at(path, as_of)
    if scheduler is not None:
        district = district.on(scheduler)
    outcome = run_district(district, quiet, only)
    aside = f"\n{outcome.set_aside} input(s) set aside: {district.out / 'quarantine.csv'}" if outcome.set_aside else ""
    tell(
        as_json,
        {"map": str(outcome.page), "cases": len(outcome.cases), "set_aside": outcome.set_aside},
        f"{len(outcome.cases)} cases\nmap: {outcome.page}{aside}",
    )
    raise typer.Exit(SET_ASIDE if outcome.set_aside else DONE)


@app.command()
def province(
    districts: Annotated[
        list[Path], typer.Argument(metavar="DISTRICT...", help="district.toml files, or folders that hold districts")
    ],
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="an existing Dask scheduler")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="how many districts are run side by side")] = 2,
    summary: Annotated[Path, typer.Option(metavar="FILE", help="what became of each district")] = Path("province.json"),
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="look as of this day")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="DETECTOR", help="run only this detector")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """The whole batch for many districts, on one Dask cluster; one that fails does not stop the others."""
    from illegalmining.pipelines.province import Asked, as_text
    from illegalmining.pipelines.province import province as run_all

    asked = Asked(scheduler, at_once, as_of.date() if as_of else None, tuple(only or ()))
    told = run_all(
        districts, asked, summary, (lambda line: None) if quiet or as_json else partial(typer.echo, err=True)
    )
    tell(as_json, told, as_text(told, summary))
    raise typer.Exit(FAILED if told["failed"] else SET_ASIDE if told["set_aside"] else DONE)


@app.command()
def check(path: DistrictFile, quiet: Quiet = False, as_json: Json = False) -> None:
    """Read and validate every input; write nothing but the quarantine report."""
    from illegalmining.journal import Journal
    from illegalmining.pipelines.check import check_inputs

    district = read_district(path)
    rows = check_inputs(district, Journal(quiet=quiet or as_json))
    for row in rows if not as_json else []:
        typer.echo(f"{row['file']}: row {row['row'] or '-'}: {row['field'] or '-'}: {row['rule']}: {row['why']}")
    report = str(district.out / "quarantine.csv")
    tell(as_json, {"set_aside": len(rows), "report": report}, f"{len(rows)} input(s) set aside: {report}")
    raise typer.Exit(SET_ASIDE if rows else DONE)


@app.command()
def status(path: DistrictFile, as_json: Json = False) -> None:
    """Show the last run, what was set aside, the cases, what could be seen, and which answers are overdue."""
    from illegalmining.pipelines import status as standing

    district = read_district(path)
    told = standing.status(district)
    tell(as_json, standing.as_dict(told), standing.as_text(told, district))


@app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="where the district is written")],
    preset: Preset = "plateau",
    seed: Seed = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write only the simulated inputs of `demo`."""
    path = simulated(directory, preset, seed, quiet or as_json)
    tell(as_json, {"district": str(path)}, f"district: {path}")


@app.command()
def evaluate(
    path: DistrictFile,
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH.gpkg", help="known sites: site_id, kind, mine_id, start, stop")
    ],
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the run of this day")] = None,
    as_json: Json = False,
) -> None:
    """Score the cases of a run against known sites."""
    from illegalmining.cases.evaluate import report

    district = read_at(path, as_of)
    scores = scored(district, truth)
    tell(as_json, scores.as_dict(), report(scores))


def simulated(directory: Path, preset: str, seed: int, quiet: bool) -> Path:
    """Simulate a district into an empty folder."""
    from illegalmining.journal import Journal
    from illegalmining.simulate import PRESETS
    from illegalmining.simulate import simulate as simulate_into

    if preset not in PRESETS:
        raise ConfigurationError(f"--preset {preset}: no such preset; choose one of {', '.join(PRESETS)}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(f"{directory}: is not an empty folder; choose another or remove it")
    with Journal(quiet=quiet).stage(f"simulate {preset}, seed {seed}"):
        return simulate_into(directory, preset=preset, seed=seed)


def run_district(district: District, quiet: bool, only: list[str] | None = None) -> Any:
    """Run the nightly batch; `only` names detectors."""
    from illegalmining.journal import Journal
    from illegalmining.pipelines.nightly import WATCHES, nightly

    unknown = sorted(set(only or []) - WATCHES)
    if unknown:
        raise ConfigurationError(
            f"--only {', '.join(unknown)}: no such detector; choose of {', '.join(sorted(WATCHES))}"
        )
    return nightly(district, Journal(quiet=quiet), frozenset(only) if only else WATCHES)


def scored(district: District, truth: Path) -> Any:
    """The scores of the district's last run against a file of known sites."""
    from illegalmining.cases.evaluate import score
    from illegalmining.publish.results import read_cases, read_sites

    return score(read_cases(district.out), read_sites(truth, district.crs))
