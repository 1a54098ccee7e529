"""`import illegalmining as im`: few names, light to import, each with an example that runs, and the batch's own."""

from __future__ import annotations

import ast
import doctest
import inspect
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import illegalmining as im

MOST_NAMES = 25
HEAVY = {"dask", "geopandas", "illegalmining.district", "numba", "numpy", "pandas", "pydantic", "scipy", "xarray"}


def fresh(code: str) -> str:
    """What a new process prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_face_is_small_and_complete() -> None:
    assert len(im.__all__) <= MOST_NAMES
    assert im.__all__ == sorted(im.__all__)
    assert set(im.__all__) == set(im._HOMES) <= set(dir(im))
    for name in im.__all__:
        assert callable(getattr(im, name))
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        im.no_such_name  # noqa: B018


def test_a_name_is_never_that_of_a_module() -> None:
    """Importing `illegalmining.x` would put the module in the place of a function x."""
    folder = Path(im.__file__).parent
    assert not set(im.__all__) & {path.stem for path in folder.iterdir()}


def test_editors_and_the_interpreter_find_the_same_thing() -> None:
    tree = ast.parse(Path(im.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            there = "" if alias.asname is None else f":{alias.name}"
            seen[alias.asname or alias.name] = f"{node.module.removeprefix('illegalmining.')}{there}"
    assert seen == im._HOMES


def test_importing_imports_nothing_else() -> None:
    code = "import json, sys, illegalmining; print(json.dumps(sorted(sys.modules)))"
    assert not HEAVY & set(json.loads(fresh(code)))
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        fresh("import illegalmining")
        with_package = time.perf_counter() - begun
        fresh("pass")
        took.append(with_package - (time.perf_counter() - begun - with_package))
    assert statistics.median(took) <= 0.5, "the promise; a few hundredths on a machine at rest"


def test_a_night_with_nothing_new_is_spared_what_it_does_not_use() -> None:
    """Each of these takes a tenth of a second or more to import, on top of every command that reads the pipeline."""
    code = "import json, sys, illegalmining.pipelines.nightly; print(json.dumps(sorted(sys.modules)))"
    spared = {
        "distributed",
        "matplotlib",
        "ortools",
        "pypinyin",
        "pystac",
        "pystac_client",
        "scipy.optimize",
        "scipy.stats",
    }
    assert not spared & set(json.loads(fresh(code)))


@pytest.mark.parametrize("name", im.__all__)
def test_every_name_is_typed_and_documented(name: str) -> None:
    found = getattr(im, name)
    assert "Examples\n" in inspect.cleandoc(found.__doc__)
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(parameter.annotation is not inspect.Parameter.empty for parameter in signature.parameters.values())


@pytest.fixture(scope="module")
def desk(small_night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small `demo` in it, after its night."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(small_night, folder / "demo")
    return folder


@pytest.mark.parametrize("name", ["", *im.__all__])
def test_examples_are_true(name: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    names: dict[str, object] = {}
    setting = doctest.DocTestParser().get_doctest(im.__doc__, names, "illegalmining", im.__file__, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(setting, clear_globs=False)
    if name:
        names = dict(setting.globs)
        found = getattr(im, name)
        example = doctest.DocTestParser().get_doctest(found.__doc__, names, name, inspect.getsourcefile(found), 0)
        assert example.examples
        runner.run(example)
    assert runner.failures == 0


def test_a_night_is_rebuilt_step_by_step(small_inputs: Path, small_night: Path, tmp_path: Path) -> None:
    """The same functions in the same order, in a folder where nothing has run, give what the batch wrote."""
    shutil.copytree(small_inputs, tmp_path / "district")
    district = im.read_district(tmp_path / "district" / "district.toml")
    days = district.configuration.district
    period = days.history_from, days.monitor_from, days.as_of
    registers = im.read_registers(district).in_order()
    assert isinstance(registers.mines, gpd.GeoDataFrame)

    optical = im.monitor(im.surface_stack(im.open_source("sentinel-2", district), *period))
    radar = im.monitor(im.radar_stack(im.open_source("sentinel-1", district), *period))
    assert isinstance(optical.maps, xr.Dataset)
    assert optical.maps["evidence"].dtype == np.float32
    profiles = im.read_meters(district, registers.meters)
    assert isinstance(profiles, pd.DataFrame)
    findings = [
        im.regions(optical),
        im.regions(radar),
        im.detect_subsidence(im.open_source("insar", district), registers.working_faces, *period),
        im.detect_power(
            profiles, registers.meters, registers.mines, registers.mine_status, registers.production, *period[1:]
        ),
    ]
    found = im.gather(findings, district.crs)
    cases = im.decide(found, registers, district).cases
    alone = im.fuse(im.judge(found, registers, days.language))
    cells = im.hotspot_cells(cases, registers.jurisdictions, days.bounds, district.crs, days.as_of)
    seen = [one.smallest_site_m2 for one in findings if one.smallest_site_m2 is not None]
    coverage = im.smallest_site(seen, days.bounds, district.crs)

    run = im.read_run(im.read_district(small_night / "district.toml").out)
    assert len(cases) > 0
    path = tmp_path / "ours.parquet"
    for ours, theirs in ((found, run.detections), (cases, run.cases), (cells, run.hotspots)):
        ours.to_parquet(path)
        pd.testing.assert_frame_equal(gpd.read_parquet(path), theirs, check_exact=True)
    np.testing.assert_array_equal(coverage.values, run.coverage.values)
    assert alone["probability"].tolist() == cases["probability"].tolist()
