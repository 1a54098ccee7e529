"""The one app, what its commands have in common, and logging."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from illegalmining.district import District, read_district
from illegalmining.secrets import Redacting

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
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def read_at(path: Path, as_of: datetime | None) -> District:
    """The district, as of another day where one is given."""
    district = read_district(path)
    return district if as_of is None else district.at(as_of.date())


def tell(as_json: bool, result: dict[str, Any], text: str) -> None:
    """The result on stdout, for a program or for a person."""
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else text)
