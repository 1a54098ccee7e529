"""Writes districts whose inputs are broken on purpose, and asks the command line what it makes of them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import geopandas as gpd
import pandas as pd
from shapely.geometry import Point, box

from illegalmining.cli import main
from illegalmining.district import read_district
from illegalmining.pipelines import check as _check  # noqa: F401  (loaded here, so that forked children have it)
from illegalmining.registers.read import Registers, read_registers

CRS = "EPSG:4546"
BOUNDS = (500000.0, 4100000.0, 501500.0, 4101500.0)
PARCELS = (box(500100, 4100100, 500600, 4100600), box(500800, 4100100, 501300, 4100600))
DAYS = {"history_from": "2025-01-01", "monitor_from": "2026-01-01", "as_of": "2026-06-30"}
MIB = 1 << 20
SPARSE_BYTES = 10 << 30
"""A single row of ten gigabytes, which the disk does not hold."""


@dataclass(frozen=True)
class Said:
    """What a command came to: its exit status, its one message, the quarantine, and the bytes it took at most."""

    code: int
    error: str
    rows: list[dict[str, Any]]
    grown: int = 0

    def of(self, file: str) -> list[dict[str, Any]]:
        """What is said of one file."""
        return [row for row in self.rows if row["file"] == file]

    def text(self) -> str:
        """All that a person would read."""
        return "\n".join([self.error, *(json.dumps(row, ensure_ascii=False) for row in self.rows)])


def licences(**changes: Any) -> gpd.GeoDataFrame:
    """Two good licences; changes replace columns."""
    columns = {
        "licence_no": ["L1", "L2"],
        "holder": ["晋城煤业", "Söhne"],
        "mineral": ["coal", "coal"],
        "method": ["underground", "opencast"],
        "valid_from": ["2015-03-01", "2018-01-01"],
        "valid_to": ["2027-03-01", None],
        **changes,
    }
    return gpd.GeoDataFrame(columns, geometry=list(PARCELS), crs=CRS)


def with_third(**changes: Any) -> gpd.GeoDataFrame:
    """The two good licences and a third, which the changes spoil."""
    shape = changes.pop("geometry", PARCELS[1])
    good = licences()
    third = {**good.iloc[1].drop("geometry").to_dict(), "licence_no": "L3", **changes}
    rows = [*good.drop(columns="geometry").to_dict("records"), third]
    return gpd.GeoDataFrame(pd.DataFrame(rows, dtype=object), geometry=[*PARCELS, shape], crs=CRS)


def write_licences(kind: str, frame: gpd.GeoDataFrame, folder: Path) -> Path:
    """Licences in one of the formats a register office may send."""
    path = folder / f"licences.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "kml":
        frame.to_crs(4326).to_file(path, driver="LIBKML")
    elif kind == "geojson":
        frame.to_crs(4326).to_file(path, COORDINATE_PRECISION=9)
    elif kind in ("csv", "xlsx"):
        table = pd.DataFrame(corners(frame))
        table.to_csv(path, index=False) if kind == "csv" else table.to_excel(path, index=False)
    elif kind == "shp":
        frame.to_file(path, encoding="GBK")
    else:
        frame.to_file(path)
    return path


def corners(frame: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """Licences as a corner table: one row a corner, x the northing, y the easting with its zone prefix."""
    return [
        {**row.drop("geometry").to_dict(), "ring": 1, "point": number, "x": y, "y": x + 37e6, "crs": "EPSG:4525"}
        for _, row in frame.iterrows()
        for number, (x, y) in enumerate(list(row.geometry.exterior.coords)[:-1], start=1)
    ]


def write_district(folder: Path, more: str = "", **registers: str) -> Path:
    """A district of 1.5 km with two counties and two mines, the given registers, and further sections."""
    folder.mkdir(parents=True, exist_ok=True)
    west, south, east, north = BOUNDS
    middle = (west + east) / 2
    counties = {"code": ["E", "W"], "name": ["东", "西"], "parent_code": [None, None], "level": ["county"] * 2}
    halves = [box(middle, south, east, north), box(west, south, middle, north)]
    mines = {"mine_id": ["M1", "M2"], "name": ["a", "b"], "operator": ["a", "b"], "method": ["underground"] * 2}
    if "jurisdictions" not in registers:
        gpd.GeoDataFrame(counties, geometry=halves, crs=CRS).to_parquet(folder / "counties.parquet")
    if "mines" not in registers:
        places = [Point(500300, 4100300), Point(501000, 4100300)]
        gpd.GeoDataFrame(mines, geometry=places, crs=CRS).to_parquet(folder / "mines.parquet")
    named = {"jurisdictions": "counties.parquet", "mines": "mines.parquet", **registers}
    days = "\n".join(f"{key} = {day}" for key, day in DAYS.items())
    listed = "\n".join(f"{key} = {json.dumps(value)}" for key, value in named.items())
    path = folder / "district.toml"
    path.write_text(
        f'[district]\nname = "d"\ncrs = "{CRS}"\nbounds = {list(BOUNDS)}\n{days}\n[registers]\n{listed}\n{more}',
        "utf-8",
    )
    return path


def command(*arguments: str) -> Said:
    """A command in this process, as a person gives it; whatever it lets through as a traceback is a failure."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with mock.patch.object(sys, "argv", ["illegalmining", *arguments]):
                main()
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            traceback.print_exc()
            code = -1
    return Said(int(code or 0), err.getvalue(), [])


def check(path: Path) -> Said:
    """`illegalmining check`, and the quarantine it wrote."""
    said = command("check", str(path), "--quiet")
    return Said(said.code, said.error, quarantine_of(path) if said.code in (0, 3) else [])


def quarantine_of(path: Path) -> list[dict[str, Any]]:
    """The quarantine of the district's run, empty cells as None."""
    table = pd.read_csv(read_district(path).out / "quarantine.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == ["file", "row", "field", "value", "rule", "why"]
    return [{name: value or None for name, value in row.items()} for row in table.to_dict("records")]


def registers_of(path: Path) -> Registers:
    """The registers that are left."""
    return read_registers(read_district(path), [])


def assert_clear(said: Said) -> None:
    """One message or a report, never a traceback, and always what to do."""
    assert said.code in (0, 1, 2, 3), said.error
    assert "Traceback" not in said.error
    assert "the run failed" not in said.error, f"an error nobody foresaw: {said.error}"
    if said.code in (1, 2):
        assert len(said.error.strip().splitlines()) == 1, f"more than one message: {said.error}"
    for row in said.rows:
        assert all(row[name] for name in ("file", "rule", "why")), row


def bounded(act: Callable[[], Said], most: int = 1024 * MIB) -> Said:
    """What `act` says in a child process that may take no more than `most` bytes beyond what this one has."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + 3 * most, size + 3 * most))
            Path("/proc/self/clear_refs").write_text("5")
            begun = peak()
            said = act()
            facts = [said.code, said.error, said.rows, peak() - begun]
        except BaseException:
            facts = [-1, traceback.format_exc(), [], 0]
        with os.fdopen(writer, "w") as stream:
            json.dump(facts, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    assert text, f"the process died of signal {os.waitstatus_to_exitcode(status)}"
    said = Said(*json.loads(text))
    assert said.grown < most, f"took {said.grown / MIB:.0f} MiB"
    return said


def peak() -> int:
    """The most memory this process has held since its counter was last cleared, bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def sparse(path: Path, start: bytes = b"", size: int = SPARSE_BYTES) -> Path:
    """A file of ten gigabytes of zeros after its start."""
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(size)
    return path


def flipped(content: bytes, seed: int, many: int = 40) -> bytes:
    """Bytes with some of them changed, all over."""
    import numpy as np

    changed = bytearray(content)
    random = np.random.default_rng(seed)
    for at in random.integers(0, len(changed), many):
        changed[at] ^= int(random.integers(1, 256))
    return bytes(changed)
