"""Fixtures every test may use."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import illegalmining as im
from illegalmining.simulate import PRESETS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))  # real data and scorers live there

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SMALL = {"size_m": 2400.0, "block_m": 1200.0, "optical_days": 15, "radar_days": 24, "insar_days": 24}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real measurements beside the checkout; tests that need them are skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data not found: ../shared/data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def small_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small simulated district's inputs; no test changes them."""
    folder = tmp_path_factory.mktemp("small") / "district"
    im.simulate_district(folder, replace(PRESETS["plateau"], **SMALL), seed=7)
    return folder


@pytest.fixture(scope="session")
def small_night(small_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small district after one run; no test changes it."""
    folder = tmp_path_factory.mktemp("night") / "district"
    shutil.copytree(small_inputs, folder)
    im.nightly(im.read_district(folder / "district.toml"))
    return folder
