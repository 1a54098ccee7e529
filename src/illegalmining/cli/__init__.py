"""The commands, nothing else.

Exit status: 0 done, 1 the run failed, 2 the command line or the configuration is wrong, 3 done but some input was set
aside, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from illegalmining.cli import batch, casework, handover  # noqa: F401 - each adds its commands to the one app
from illegalmining.cli.common import FAILED, INTERRUPTED, app
from illegalmining.errors import IllegalMiningError
from illegalmining.secrets import redacted

__all__ = ["app", "main"]


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
