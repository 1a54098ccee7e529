"""Same inputs, same bytes, whatever the workers, the chunks and the order; and a night's work is its own.

Rows of registers and readings and the items of a catalogue are shuffled in `test_killed.py`; other machines are in
`test_scale.py`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from illegalmining.detect import change
from illegalmining.district import read_district
from illegalmining.imagery import grids
from illegalmining.journal import Journal
from illegalmining.pipelines import watching
from illegalmining.pipelines.nightly import nightly
from illegalmining.power.readings import read_profiles
from wide_district import FEW, days_between, write_scene, write_wide

SIDE, AS_OF = 300, date(2026, 5, 31)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wide(tmp_path_factory.mktemp("same") / "d", SIDE, AS_OF, 25, FEW).parent


def run(folder: Path) -> dict[str, str]:
    """Run the district; digest of every output but `run.json`."""
    district = read_district(folder / "district.toml")
    nightly(district, Journal(quiet=True))
    return digests_below(district.out)


def digests_below(out: Path) -> dict[str, str]:
    """Digest of every output but `run.json`."""
    return {
        file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.rglob("*"))
        if file.is_file() and file.name != "run.json"
    }


def record(folder: Path) -> dict[str, Any]:
    return json.loads((read_district(folder / "district.toml").out / "run.json").read_text())


@pytest.fixture(scope="module")
def expected(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By one worker, as sources are stored."""
    folder = tmp_path_factory.mktemp("expected") / "d"
    shutil.copytree(inputs, folder)
    with (folder / "district.toml").open("a") as stream:
        stream.write("\n[compute]\nworkers = 1\n")
    found = run(folder)
    assert record(folder)["cases"] > 0
    return found


def test_four_workers_and_small_chunks_change_no_byte(
    inputs: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(inputs, tmp_path / "d")
    with (tmp_path / "d" / "district.toml").open("a") as stream:
        stream.write("\n[compute]\nworkers = 4\n")
    monkeypatch.setattr(grids, "BLOCK_BYTES", 1e6)
    monkeypatch.setattr(grids, "HISTORY_PIECE", 3)
    blocks: list[int] = []

    def small(band: Any, parameters: Any) -> list[Any]:
        cut = [change.edges(length, parameters.tile) for length in band.shape[1:]]
        blocks.append(len(cut[0]) * len(cut[1]))
        return [(rows, columns) for columns in cut[1] for rows in cut[0]]

    monkeypatch.setattr(change, "block_places", small)
    assert run(tmp_path / "d") == expected
    assert blocks == [4]


def test_files_in_another_order_change_no_byte(inputs: Path, expected: dict[str, str], tmp_path: Path) -> None:
    """The names of a stack's files say in which order they are met."""
    shutil.copytree(inputs, tmp_path / "d")
    files = sorted((tmp_path / "d" / "s2").glob("*.tif"))
    for number, file in zip(np.random.default_rng(4).permutation(len(files)), files, strict=True):
        file.rename(file.with_name(f"{chr(ord('a') + number)}_{file.name}"))
    assert run(tmp_path / "d") == expected


def test_readings_in_other_files_are_the_same_readings(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-01", periods=24 * 30, freq="h")
    random = np.random.default_rng(3)
    rows = pd.concat(
        pd.DataFrame({"meter_id": f"m{n}", "time": times, "kwh": random.uniform(5, 50, len(times)).round(2)})
        for n in range(3)
    )
    told = []
    for name, parts in (("one", 1), ("many", 7)):
        (tmp_path / name).mkdir()
        order = np.random.default_rng(parts).permutation(len(rows)) if parts > 1 else np.arange(len(rows))
        for number, at in enumerate(np.array_split(order, parts)):
            rows.iloc[at].to_parquet(tmp_path / name / f"{parts - number}.parquet", index=False)
        pattern = str(tmp_path / name / "*.parquet")
        told.append(read_profiles(pattern, "Asia/Shanghai", date(2026, 1, 1), date(2026, 1, 30), [], None))
    assert len(told[0]) == 90
    pd.testing.assert_frame_equal(told[0], told[1])


def test_a_new_date_costs_that_date_and_nothing_new_costs_nothing(inputs: Path, tmp_path: Path) -> None:
    """Pixel-dates that a night reads are those of its new scenes, however long the history is."""
    shutil.copytree(inputs, tmp_path / "d")
    folder = tmp_path / "d"
    pixels = SIDE * SIDE
    dates = len(days_between(date(2025, 1, 2), AS_OF, 25))
    run(folder)
    assert record(folder)["pixel_dates"] == pixels * dates
    before = run(folder)
    assert record(folder)["pixel_dates"] == 0
    assert not tiles_of_last_run(folder)
    write_scene(folder / "s2", AS_OF - timedelta(days=1), SIDE, FEW)
    after = run(folder)
    assert record(folder)["pixel_dates"] == pixels
    assert len(tiles_of_last_run(folder)) == 1
    assert after != before
    shutil.rmtree(folder / "state")
    shutil.rmtree(folder / "out")
    assert run(folder) == after


def test_results_of_long_ago_are_dropped_and_come_back_the_same(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "KEPT", 1)
    shutil.copytree(inputs, tmp_path / "d")
    home = tmp_path / "d" / "state" / "findings" / "surface-s2"

    def results(day: date) -> dict[str, str]:
        district = read_district(tmp_path / "d" / "district.toml").at(day)
        nightly(district, Journal(quiet=True))
        assert not list((tmp_path / "d" / "state").rglob("*.partial"))
        seen = digests_below(district.out)
        return {name: seen[name] for name in ("detections.parquet", "coverage.tif")}  # the ledger knows of later days

    days = [date(2026, 2, 20) + timedelta(days=30 * night) for night in range(4)]
    first, kept = results(days[0]), {path.name for path in home.iterdir() if path.is_dir()}
    for number, day in enumerate(days[1:], 2):
        results(day)
        assert len([path for path in home.iterdir() if path.is_dir()]) == min(2, number)
    assert not kept & {path.name for path in home.iterdir()}, "the newest stay"
    shutil.rmtree(tmp_path / "d" / "out" / days[0].isoformat())
    assert results(days[0]) == first


def tiles_of_last_run(folder: Path) -> list[dict[str, Any]]:
    """Lines of the log that say which tiles were done, how long it took and by whom."""
    lines = [json.loads(line) for line in (folder / "state" / "log.jsonl").read_text("utf-8").splitlines()]
    last = [line for line in lines if line["run"] == lines[-1]["run"]]
    told = [line for line in last if line["event"] == "tile"]
    assert all({"stage", "tile", "seconds", "worker"} <= line.keys() for line in told)
    return told
