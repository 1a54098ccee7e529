"""On a cluster of processes as on one machine: the same bytes, over TLS, with bounded memory, whoever dies."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import rasterio
from typer.testing import CliRunner

from bad_input import command
from cluster import ARRAYS, PAGES, Cluster, ask, certify, cluster, handed_out, most_held, pages_cleared
from illegalmining import compute
from illegalmining.cli import app
from illegalmining.compute import check_workers
from illegalmining.district import read_district
from illegalmining.errors import ConfigurationError
from illegalmining.pipelines.province import Asked, province
from wide_district import FEW, write_wide

SIDE, AS_OF = 640, date(2026, 6, 30)
BLOCKS = 9
"""640 pixels of 10 m along a side, read by 256."""
IN_HAND = 2
"""Tiles a worker of one thread has been given at a time: one it judges, one that waits."""
MEMORY_BYTES = 1.2e9
ONLY = ("--only", "surface")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A district of several blocks, one of whose scenes turns out broken when its pixels are read."""
    path = write_wide(tmp_path_factory.mktemp("scale") / "district", SIDE, AS_OF, 25, FEW)
    scene = sorted((path.parent / "s2").glob("*.tif"))[7]
    with rasterio.open(scene) as raster:
        at, length = (int(raster.get_tag_item(f"BLOCK_{fact}_1_1", "TIFF", bidx=1)) for fact in ("OFFSET", "SIZE"))
    content = bytearray(scene.read_bytes())
    content[at : at + length] = b"\xff" * length
    scene.write_bytes(content)
    return path.parent


def copy(inputs: Path, folder: Path, more: str = "") -> Path:
    shutil.copytree(inputs, folder)
    path = folder / "district.toml"
    path.write_text(path.read_text() + f"\n[compute]\nworkers = 1\n{more}")
    return path


def results(path: Path) -> dict[str, str]:
    """Digest of every output but `run.json`."""
    out = read_district(path).out
    return {
        file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.rglob("*"))
        if file.is_file() and file.name != "run.json"
    }


@pytest.fixture(scope="module")
def alone(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one machine makes of the district."""
    path = copy(inputs, tmp_path_factory.mktemp("alone") / "d")
    said = CliRunner().invoke(app, ["run", str(path), "--quiet", *ONLY])
    assert said.exit_code == 3, said.output
    rows = pd.read_csv(read_district(path).out / "quarantine.csv")
    assert rows["rule"].str.contains("pixels can be read").sum() >= 1
    return results(path)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as made:
        yield made


def tiles(path: Path) -> list[dict[str, Any]]:
    log = path.parent / "state" / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.is_file() else []
    return [line for line in lines if line["event"] == "tile"]


def test_a_province_on_a_tls_cluster_gives_one_machines_bytes_and_one_failure_stops_nobody(
    inputs: Path, alone: dict[str, str], two_workers: Cluster, tmp_path: Path
) -> None:
    more = two_workers.certificates.configured()
    good = copy(inputs, tmp_path / "p" / "good", more)
    (tmp_path / "p" / "broken").mkdir()
    (tmp_path / "p" / "broken" / "district.toml").write_text("[district]\n")
    summary = tmp_path / "told.json"
    words = ["province", str(tmp_path / "p"), "--scheduler", two_workers.address, "--summary", str(summary)]
    said = CliRunner().invoke(app, [*words, *ONLY])
    assert said.exit_code == 1, said.output
    told = json.loads(summary.read_text())
    assert (told["asked"], told["done"], told["set_aside"], told["failed"]) == (2, 0, 1, 1)
    broken, fine = told["districts"]
    assert "district.name: missing" in broken["why"]
    assert (broken["status"], fine["status"]) == (2, 3)
    assert fine["cases"] == told["cases"] > 0
    assert "1 of 2 districts done, 1 failed" in said.output
    assert results(good) == alone
    done = tiles(good)
    assert len(done) == BLOCKS
    assert {one["stage"] for one in done} == {"surface: s2"}
    assert all(one["seconds"] > 0 for one in done)
    assert len({one["worker"] for one in done}) == 2
    assert max(ask(two_workers, most_held).values()) < MEMORY_BYTES


def test_a_worker_killed_on_the_way_costs_its_tiles_and_changes_nothing(
    inputs: Path, alone: dict[str, str], two_workers: Cluster, tmp_path: Path
) -> None:
    path = copy(inputs, tmp_path / "d", two_workers.certificates.configured())
    before = len(ask(two_workers, handed_out, of_scheduler=True))
    victim = next(iter(ask(two_workers, os.getpid).values()))
    words = [sys.executable, "-m", "illegalmining", "run", str(path), "--quiet", *ONLY]
    run = subprocess.Popen([*words, "--scheduler", two_workers.address], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not tiles(path):
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(victim, signal.SIGKILL)
    done = len(tiles(path))
    assert done < BLOCKS, "nothing was left to lose"
    _, said = run.communicate(timeout=240)
    assert run.returncode == 3, said
    assert results(path) == alone
    names = [one["tile"] for one in tiles(path)]
    assert sorted(names) == sorted(set(names))
    assert len(names) == BLOCKS
    again = len(ask(two_workers, handed_out, of_scheduler=True)) - before - BLOCKS
    assert 1 <= again <= IN_HAND


def test_another_authoritys_certificate_is_no_way_in(inputs: Path, two_workers: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "district.toml"
    path.write_text((inputs / "district.toml").read_text() + "\n[compute]\n" + certify(tmp_path / "own").configured())
    said = command("run", str(path), "--quiet", "--scheduler", two_workers.address)
    assert said.code == 2
    assert "no Dask scheduler answers" in said.error
    assert "tls_ca, tls_cert, tls_key" in said.error
    assert "Traceback" not in said.error


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('tls_ca = "a.pem"\n', "belong together; found only tls_ca"),
        ('scheduler = "tcp://h:1"\ntls_ca = "a"\ntls_cert = "b"\ntls_key = "c"\n', "for a tls:// scheduler"),
    ],
)
def test_half_a_set_of_certificates_is_refused(inputs: Path, tmp_path: Path, keys: str, says: str) -> None:
    path = tmp_path / "district.toml"
    path.write_text((inputs / "district.toml").read_text() + "\n[compute]\n" + keys)
    with pytest.raises(ConfigurationError, match=says):
        read_district(path)


def test_certificates_that_are_not_there_are_named(inputs: Path, tmp_path: Path) -> None:
    path = tmp_path / "district.toml"
    keys = 'scheduler = "tls://127.0.0.1:1"\ntls_ca = "a.pem"\ntls_cert = "b.pem"\ntls_key = "c.pem"\n'
    path.write_text((inputs / "district.toml").read_text() + "\n[compute]\n" + keys)
    with pytest.raises(ConfigurationError, match=r"a\.pem: no such file"):
        compute.security(read_district(path))


class Answering:
    """A client whose one worker answers as it is told to."""

    def __init__(self, answer: tuple[str, bool]) -> None:
        self.answer = answer

    def wait_for_workers(self, count: int, timeout: float) -> None: ...

    def run(self, question: Any, path: str) -> dict[str, tuple[str, bool]]:
        return {"tls://w:1": self.answer}


def test_workers_of_another_version_or_without_the_files_are_refused(inputs: Path) -> None:
    district = read_district(inputs / "district.toml")
    version, seen = compute.standing_of(str(district.path))
    assert seen
    check_workers(Answering((version, True)), district)
    with pytest.raises(ConfigurationError, match=r"has illegalmining 0\.0\.0"):
        check_workers(Answering(("0.0.0", True)), district)
    with pytest.raises(ConfigurationError, match="mount the district's folder"):
        check_workers(Answering((version, False)), district)


def test_a_worker_uses_again_what_arrays_gave_back(two_workers: Cluster, tmp_path: Path, inputs: Path) -> None:
    """Dask's own setting has every page of every array handed back and cleared anew."""
    program = "import cluster; from illegalmining import compute; print(cluster.pages_cleared()); compute.keep_freed()"
    program += "; print(cluster.pages_cleared())"
    found = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    as_dask = {**os.environ, **found, "MALLOC_TRIM_THRESHOLD_": "65536"}
    words = [sys.executable, "-c", program]
    said = subprocess.run(words, env=as_dask, capture_output=True, text=True, check=True).stdout
    before, after = map(int, said.split())
    if before < ARRAYS * PAGES:
        pytest.skip("this C library keeps what is freed, or has no such setting")
    assert after < before / 5
    path = copy(inputs, tmp_path / "d", two_workers.certificates.configured())
    command("run", str(path), "--quiet", *ONLY, "--scheduler", two_workers.address)
    assert max(ask(two_workers, pages_cleared).values()) < before / 5


def test_a_district_ended_from_without_is_told_by_its_signal_and_the_next_one_is_run(
    inputs: Path, alone: dict[str, str], tmp_path: Path
) -> None:
    paths = [copy(inputs, tmp_path / "p" / name) for name in ("first", "second")]
    summary, asked = tmp_path / "told.json", Asked(at_once=1, only=("surface",))
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(province, [tmp_path / "p"], asked, summary, lambda line: None)
        until = time.monotonic() + 120
        while not tiles(paths[0]):
            assert time.monotonic() < until
            time.sleep(0.02)
        (district,) = multiprocessing.active_children()
        os.kill(district.pid or 0, signal.SIGKILL)
        first, second = told.result()["districts"]
    assert (first["status"], first["result"]) == (-signal.SIGKILL, "failed")
    assert first["why"] == "ended by signal 9; run it again, it goes on where it stopped"
    assert second["result"] == "set_aside"
    assert results(paths[1]) == alone
    told_again = province([tmp_path / "p"], asked, summary, lambda line: None)
    assert [one["result"] for one in told_again["districts"]] == ["set_aside"] * 2
    assert results(paths[0]) == alone


@pytest.mark.parametrize(("named", "says"), [("nowhere", "no such file"), (".", "no district.toml in it")])
def test_a_province_without_districts_is_one_clean_message(tmp_path: Path, named: str, says: str) -> None:
    said = command("province", str(tmp_path / named))
    assert said.code == 2
    assert says in said.error
