"""The commands, nothing else.

Exit status: 0 done, 1 the run failed, 2 the command line or the configuration is wrong, 3 done but some input was set
aside, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from illegalmining.district import District, read_district
from illegalmining.errors import ConfigurationError, IllegalMiningError
from illegalmining.secrets import Redacting, redacted

DONE, FAILED, SET_ASIDE, INTERRUPTED = 0, 1, 3, 130

CHATTY = (
    "numba",
    "matplotlib",
    "rasterio",
    "fiona",
    "botocore",
    "aiobotocore",
    "s3fs",
    "fsspec",
    "distributed",
    "asyncio",
)
"""Libraries that log what no run needs, and some of them what no one should read."""

app = typer.Typer(
    help="Compares what registers allow with what satellites and meters see, and says where to look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DistrictFile = Annotated[Path, typer.Argument(metavar="district.toml", help="the district's configuration")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress on stderr")]
Json = Annotated[bool, typer.Option("--json", help="the result as one JSON object on stdout")]
Preset = Annotated[str, typer.Option(help="kind of district: plateau, humid or quiet")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed gives the same district")]


@app.callback()
def settings(
    debug: Annotated[bool, typer.Option("--debug", help="log everything, and show tracebacks")] = False,
) -> None:
    """Set up logging on stderr."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(Redacting())
    for chatty in (
        "numba",
        "matplotlib",
        "rasterio",
        "fiona",
        "botocore",
        "aiobotocore",
        "s3fs",
        "fsspec",
        "distributed",
        "asyncio",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)


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
def package(
    path: DistrictFile,
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the run of this day")] = None,
    not_before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="no package may be opened before this day")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one package per recipient: its jurisdiction and nothing else, signed, sealed to the recipient's key."""
    from illegalmining.journal import Journal
    from illegalmining.pipelines.package import package as write_packages

    district = read_at(path, as_of)
    made = write_packages(district, Journal(quiet=quiet or as_json), not_before.date() if not_before else None)
    unsealed = [code for code in made.written if code not in made.sealed]
    lines = [f"{len(made.written)} package(s), {len(made.sealed)} sealed: {made.folder}"]
    if unsealed:
        lines += [
            f"not sealed, having no public_key in the register of recipients: {', '.join(unsealed)}; a recipient makes "
            "a key with `illegalmining key FILE` and sends you the public half"
        ]
    lines += [f"no package for {code}: {why}" for code, why in made.aside.items()]
    lines += [f"{len(made.nobodys)} case(s) are in no package: no recipient has their jurisdiction"] * bool(
        made.nobodys
    )
    lines += [f"signed by {made.sender}; tell recipients this by telephone"]
    facts = {"folder": str(made.folder), "written": made.written, "sealed": made.sealed}
    facts["nobodys"] = made.nobodys
    tell(as_json, {**facts, "set_aside": made.aside, "sender": made.sender}, "\n".join(lines))
    raise typer.Exit(SET_ASIDE if made.aside else DONE)


@app.command()
def key(
    path: Annotated[Path, typer.Argument(metavar="KEYFILE", help="new file for the private half")],
    as_json: Json = False,
) -> None:
    """Make a recipient's key: keep the private half, send the public half to the office that makes the packages."""
    from illegalmining.publish.keys import new_identity

    public = new_identity(path)
    text = (
        f"private half: {path}; keep it where only you can read it: without it no package opens\n"
        f"public half, for the column public_key of the register of recipients:\n{public}\n"
        f"packages sealed to it open with: illegalmining open PACKAGE.age --identity {path}"
    )
    tell(as_json, {"file": str(path), "public_key": public}, text)


@app.command("open")
def open_(
    path: Annotated[Path, typer.Argument(metavar="PACKAGE", help="a sealed package (.age), or a package's folder")],
    identity: Annotated[str | None, typer.Option(metavar="KEY", help="your age key, or the file that holds it")] = None,
    sender: Annotated[
        str | None, typer.Option(metavar="KEY", help="public key the package must be signed with, or its file")
    ] = None,
    into: Annotated[Path | None, typer.Option(metavar="DIR", help="new folder for the files")] = None,
    as_json: Json = False,
) -> None:
    """Verify a package and unpack it; whatever was changed, cut short or made for others is refused."""
    from illegalmining.publish.keys import fingerprint
    from illegalmining.publish.opening import open_package
    from illegalmining.publish.text import harmless

    opened = open_package(path, identity=identity, sender=sender, into=into)
    manifest, signer = opened.manifest, fingerprint(opened.manifest["sender"])
    known = "known sender" if opened.known_sender else "first package from this sender: compare this by telephone"
    text = (
        f"{opened.folder}: whole and unchanged; {manifest['cases']} case(s) as of {harmless(manifest['as_of'])}\n"
        f"signed by {signer} ({known})"
    )
    facts = {"folder": str(opened.folder), "cases": manifest["cases"], "as_of": manifest["as_of"]}
    tell(as_json, {**facts, "sender": signer, "known_sender": opened.known_sender}, text)


def read_at(path: Path, as_of: datetime | None) -> District:
    """The district, as of another day where one is given."""
    district = read_district(path)
    return district if as_of is None else district.at(as_of.date())


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


def tell(as_json: bool, result: dict[str, Any], text: str) -> None:
    """The result on stdout, for a program or for a person."""
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else text)


def main() -> None:
    """Run the command line; every error becomes one clean message."""
    try:
        app(standalone_mode=True)
    except IllegalMiningError as error:
        typer.echo(f"illegalmining: {redacted(str(error))}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("illegalmining: interrupted; run the same command again to go on", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(
            f"illegalmining: the run failed: {type(error).__name__}: {redacted(str(error))}; "
            "repeat with `illegalmining --debug ...` for the details a report needs",
            err=True,
        )
        sys.exit(FAILED)
