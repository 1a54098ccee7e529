"""A process that has imported everything and started no thread: each run it is asked for is a fork of it.

Lines on stdin: `run FOLDER` answers with the id of a child that runs the district; `wait ID` with how it ended. A fork
of a process that has threads, as the tests' own, would wait for them for ever.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import h5netcdf  # noqa: F401
import odc.geo.xr  # noqa: F401
import pyogrio  # noqa: F401
import zarr  # noqa: F401

from illegalmining.district import read_district
from illegalmining.journal import Journal
from illegalmining.pipelines.nightly import nightly

ONLY = frozenset({"surface", "subsidence"})
"""Detectors that are run: one that goes on from what it left, and one that does not."""


def tell(number: int) -> None:
    """Answer with a number."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def serve() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "wait":
            _, status = os.waitpid(int(rest), 0)
            tell(os.waitstatus_to_exitcode(status))
            continue
        child = os.fork()
        if child == 0:
            code = 1
            try:
                nightly(read_district(Path(rest) / "district.toml"), Journal(quiet=True), ONLY)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        tell(child)


if __name__ == "__main__":
    serve()
