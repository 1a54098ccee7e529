"""The whole way on a small simulated district: outputs, resumption, determinism, exit codes."""

from __future__ import annotations

import filecmp
import hashlib
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyrage
import pytest
from typer.testing import CliRunner

from illegalmining.checkpoint import only_run
from illegalmining.cli import app, main
from illegalmining.district import read_district
from illegalmining.imagery.open import open_source
from illegalmining.journal import Journal
from illegalmining.pipelines.nightly import nightly
from illegalmining.publish.results import read_cases
from illegalmining.tables import CASES, DETECTIONS, HOTSPOTS

PUBLISHED = (
    "cases.parquet",
    "cases.gpkg",
    "cases.csv",
    "cases.xlsx",
    "cases.kml",
    "cases.gpx",
    "detections.parquet",
    "hotspots.parquet",
    "hotspots.gpkg",
    "hotspots.tif",
    "hotspots.html",
    "hotspots.pdf",
    "coverage.tif",
    "quarantine.csv",
    "run.json",
)


def invoke(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, list(arguments))
    return outcome.exit_code, outcome.output


@pytest.fixture(scope="module")
def inputs(small_inputs: Path) -> Path:
    """A small district's inputs; no test changes them."""
    return small_inputs


def copy(inputs: Path, folder: Path) -> Path:
    shutil.copytree(inputs, folder)
    return folder / "district.toml"


@pytest.fixture(scope="module")
def night(small_night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small district after one run: its folder."""
    return copy(small_night, tmp_path_factory.mktemp("night") / "district").parent


def out_of(folder: Path) -> Path:
    return read_district(folder / "district.toml").out


def test_everything_the_contract_names_is_published(night: Path) -> None:
    assert [name for name in PUBLISHED if not (out_of(night) / name).is_file()] == []


@pytest.mark.parametrize(
    ("name", "table"), [("cases", CASES), ("detections", DETECTIONS), ("hotspots", HOTSPOTS)], ids=lambda v: str(v)[:10]
)
def test_tables_keep_the_contract(night: Path, name: str, table) -> None:
    frame = gpd.read_parquet(out_of(night) / f"{name}.parquet")
    assert len(table.faults(frame)) == 0
    assert frame.crs == read_district(night / "district.toml").crs


def test_cases_come_most_probable_first_each_with_evidence_that_exists(night: Path) -> None:
    cases = read_cases(out_of(night))
    assert cases["probability"].is_monotonic_decreasing
    known = set(gpd.read_parquet(out_of(night) / "detections.parquet")["detection_id"])
    for evidence in cases["evidence"]:
        terms = json.loads(evidence)
        assert terms
        assert {term["detection_id"] for term in terms} <= known


def test_run_json_names_inputs_stages_and_versions(night: Path) -> None:
    record = json.loads((out_of(night) / "run.json").read_text())
    assert "registers/concessions.gpkg" in record["inputs"]
    assert all(len(value) == 64 for value in record["inputs"].values())
    assert record["pixel_dates"] > 0
    assert record["peak_memory_bytes"] > 0
    assert {"registers", "publish"} <= {stage["stage"] for stage in record["stages"]}


def test_a_second_run_does_no_detection_work_and_changes_no_byte(night: Path) -> None:
    before = contents(out_of(night))
    code, output = invoke("run", str(night / "district.toml"), "--quiet")
    assert code in (0, 3), output
    record = json.loads((out_of(night) / "run.json").read_text())
    detecting = [stage for stage in record["stages"] if "remembered" in stage]
    assert detecting
    assert all(stage["remembered"] for stage in detecting)
    assert contents(out_of(night)) == before


def contents(out: Path) -> dict[str, str]:
    """Digest of every output but `run.json`, which alone holds the time; bytes would take pytest hours to compare."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.iterdir())
        if path.is_file() and path.name != "run.json"
    }


def stages_of(folder: Path, as_of: date) -> tuple[dict[str, bool], Path]:
    """Run a district as of a day; which of its sources were remembered, and where the results are."""
    district, journal = read_district(folder / "district.toml").at(as_of), Journal(quiet=True)
    nightly(district, journal, frozenset({"surface", "radar", "subsidence"}))
    found = {stage["stage"].split(": ")[1]: stage["remembered"] for stage in journal.stages if "remembered" in stage}
    return found, district.out


def test_a_night_computes_only_what_its_new_dates_bear_on(tiny_inputs: Path, tmp_path: Path) -> None:
    """A day without a scene computes nothing; an optical scene leaves radar and movement as they are; and detections
    are those of a district that was never run before."""
    folder, day = tmp_path / "d", timedelta(days=1)
    shutil.copytree(tiny_inputs, folder)
    district = read_district(folder / "district.toml")
    seen = {
        one.name: open_source(one, district)["time"].values.astype("datetime64[D]").tolist()
        for one in district.configuration.imagery
    }
    others = {*seen["sentinel-1"], *seen["insar"]}
    scene = min(one for one in seen["sentinel-2"] if one > date(2026, 3, 1) and not others & {one, one - day})
    computed, _ = stages_of(folder, scene - 2 * day)
    assert computed == dict.fromkeys(seen, False)
    quiet, _ = stages_of(folder, scene - day)
    assert quiet == dict.fromkeys(seen, True), "nothing was new but the day"
    new, grown = stages_of(folder, scene)
    assert new == {**quiet, "sentinel-2": False}
    shutil.copytree(tiny_inputs, tmp_path / "fresh")
    _, at_once = stages_of(tmp_path / "fresh", scene)
    for name in ("detections.parquet", "coverage.tif"):
        assert (grown / name).read_bytes() == (at_once / name).read_bytes()
    other = min(one for one in others if one > scene)
    moved, _ = stages_of(folder, other)
    assert not any(moved[name] for name, days in seen.items() if other in days), "its own date makes a source new"


def test_other_workers_and_a_fresh_folder_give_the_same_bytes(night: Path, inputs: Path, tmp_path: Path) -> None:
    path = copy(inputs, tmp_path / "district")
    text = path.read_text()
    assert "[compute]" not in text
    path.write_text(text + "\n[compute]\nworkers = 1\n")
    invoke("run", str(path), "--quiet")
    assert contents(out_of(path.parent)) == contents(out_of(night))


def test_only_one_run_holds_a_district(night: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["illegalmining", "run", str(night / "district.toml"), "--quiet"])
    with only_run(night / "state"), pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "another run holds this district" in capsys.readouterr().err


def test_a_source_that_cannot_be_read_is_set_aside_and_the_rest_goes_on(inputs: Path, tmp_path: Path) -> None:
    path = copy(inputs, tmp_path / "district")
    text = path.read_text()
    assert "insar.zarr" in text
    path.write_text(text.replace("insar.zarr", "nowhere.zarr"))
    code, output = invoke("run", str(path), "--quiet", "--only", "subsidence", "--only", "power")
    assert code == 3, output
    assert "nowhere.zarr" in (out_of(path.parent) / "quarantine.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "nowhere.toml"], 2, "no such file"),
        (["simulate", "x", "--preset", "moon"], 2, "no such preset"),
        (["run", "{district}", "--only", "smell"], 2, "no such detector"),
        (["run", "{district}", "--as-of", "2001-01-01"], 2, "choose a later day"),
        (["open", "nowhere.age"], 1, "no such package"),
        (["open", "nowhere.age", "--identity", "nowhere.txt"], 2, "illegalmining key"),
        (["package", "{district}"], 1, "holds no finished run"),
    ],
)
def test_a_wrong_command_is_one_clean_message(inputs, tmp_path, monkeypatch, capsys, arguments, code, says) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [argument.format(district=inputs / "district.toml") for argument in arguments]
    monkeypatch.setattr("sys.argv", ["illegalmining", *filled])
    with pytest.raises(SystemExit) as stop:
        main()
    message = capsys.readouterr().err
    assert stop.value.code == code
    assert says in message
    assert "Traceback" not in message


def test_check_writes_nothing_but_the_quarantine_report(inputs: Path, tmp_path: Path) -> None:
    path = copy(inputs, tmp_path / "district")
    code, _ = invoke("check", str(path), "--quiet")
    assert code in (0, 3)
    assert [file.name for file in out_of(path.parent).iterdir()] == ["quarantine.csv"]
    assert not (path.parent / "state").exists()


def test_evaluate_scores_a_run_as_json(night: Path) -> None:
    code, output = invoke("evaluate", str(night / "district.toml"), str(night / "truth" / "sites.gpkg"), "--json")
    assert code == 0
    scores = json.loads(output)
    assert scores["sites"] == len(gpd.read_file(night / "truth" / "sites.gpkg"))
    assert 0 <= scores["found"] <= scores["sites"]


def test_packages_go_to_their_recipients_and_open_there(night: Path, tmp_path: Path) -> None:
    """From the results of a run to the recipient's desk, by the commands alone."""
    path = copy(night, tmp_path / "district")
    mine = pyrage.x25519.Identity.generate()
    codes = sorted(gpd.read_file(path.parent / "registers" / "jurisdictions.gpkg")["code"])
    rows = [f"{codes[0]},一科,{mine.to_public()}", f"{codes[1]},二科,", "000000,nowhere,"]
    (path.parent / "registers" / "recipients.csv").write_text("\n".join(["code,name,public_key", *rows]) + "\n")
    code, output = invoke("package", str(path), "--json", "--not-before", "2026-11-01")
    assert code == 3, output
    told = json.loads(output)
    assert (told["written"], told["sealed"], list(told["set_aside"])) == (codes, [codes[0]], ["000000"])
    out = out_of(path.parent)
    cases = read_cases(out)
    packed = {one: pd.read_csv(out / "packages" / one / "cases.csv")["case_id"].tolist() for one in codes}
    for one in codes:
        assert packed[one] == cases.loc[cases["jurisdiction"] == one, "case_id"].tolist()
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    sealed = shutil.copy(out / "packages" / f"{codes[0]}.age", inbox)
    (tmp_path / "key.txt").write_text(f"{mine}\n")
    code, output = invoke("open", sealed, "--identity", str(tmp_path / "key.txt"), "--json")
    assert code == 0, output
    assert json.loads(output)["sender"] == told["sender"]
    assert filecmp.cmp(inbox / codes[0] / "hotspots.pdf", out / "packages" / codes[0] / "hotspots.pdf", shallow=False)
    code, output = invoke("open", str(out / "packages" / codes[1]), "--json")
    assert json.loads(output)["known_sender"]
    log = (path.parent / "state" / "access.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in log] == ["packaged", "packaged", "opened"]


def test_a_plan_leads_to_the_cases_and_the_form_comes_back(night: Path, tmp_path: Path, monkeypatch) -> None:
    """From the results of a run to the teams' papers and back, by the commands alone."""
    path = copy(night, tmp_path / "district")
    monkeypatch.setenv("ILLEGALMINING_PLAN_SEED", "5")
    base = gpd.read_file(path.parent / "registers" / "jurisdictions.gpkg").to_crs(4326).total_bounds
    where = f"{base[0]:.4f},{base[1]:.4f}"
    code, output = invoke("plan", str(path), "--teams", "2", "--days", "1", "--from", where, "--json")
    assert code == 0, output
    told = json.loads(output)
    assert 0 < told["value"] <= told["bound"] + 1e-9
    folder = Path(told["folder"])
    assert {file.name for file in folder.iterdir()} == {
        "plan.html", "plan.gpx", "plan.gpkg", "plan.json", "outcomes.gpkg", "outcomes.csv", "dossiers"
    }  # fmt: skip
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.rglob("*"))
    form = pd.read_csv(folder / "outcomes.csv")
    assert {f"{case_id}.pdf" for case_id in form["case_id"]} == {file.name for file in (folder / "dossiers").iterdir()}
    assert set(form["case_id"]) <= set(read_cases(out_of(path.parent))["case_id"])
    form = form.astype(object)
    form.loc[0, ["outcome", "visited", "reason"]] = ["confirmed", "2026-11-02", "fresh face, warm fan"]
    form.to_csv(tmp_path / "back.csv", index=False)
    code, output = invoke("verify", str(path), str(tmp_path / "back.csv"), "--json")
    assert (code, json.loads(output)["recorded"]) == (0, 1), output


def test_a_changed_package_is_one_clean_message(night: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    path = copy(night, tmp_path / "district")
    invoke("package", str(path), "--quiet")
    package = next((out_of(path.parent) / "packages").glob("*/"))
    (package / "cases.csv").write_text("nothing here\n")
    monkeypatch.setattr("sys.argv", ["illegalmining", "open", str(package)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "cases.csv was changed" in capsys.readouterr().err


def test_an_existing_dask_scheduler_gives_the_same_bytes(night: Path, inputs: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    path = copy(inputs, tmp_path / "district")
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        code, output = invoke("run", str(path), "--quiet", "--scheduler", cluster.scheduler_address)
    assert code in (0, 3), output
    assert contents(out_of(path.parent)) == contents(out_of(night))
