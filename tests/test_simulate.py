"""The simulator: deterministic by seed, true to the registers it writes, its physics held to published values."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pystac
import pytest
import xarray as xr
from shapely.geometry import box

from illegalmining.district import read_district
from illegalmining.registers.allowed import in_force, status_by_day
from illegalmining.registers.read import Registers, read_registers
from illegalmining.simulate import PRESETS, Preset, simulate_district
from illegalmining.simulate.insar import ORBITS, Panel, panel_series, strip_movement, turbulence
from illegalmining.simulate.plan import Plan, make_plan
from illegalmining.simulate.write import configuration, orbits_of
from illegalmining.tables import FORBIDDING_STATUSES, KINDS, SITES

SMALL = {"size_m": 2400.0, "block_m": 1200.0, "optical_days": 90, "radar_days": 120, "insar_days": 120}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "district"
    simulate_district(folder, replace(PRESETS["plateau"], **SMALL), seed=3)
    return folder


def test_the_same_seed_gives_the_same_bytes_another_does_not(small: Path, tmp_path: Path) -> None:
    simulate_district(tmp_path / "again", replace(PRESETS["plateau"], **SMALL), seed=3)
    simulate_district(tmp_path / "other", replace(PRESETS["plateau"], **SMALL), seed=4)
    first, again, other = digests(small), digests(tmp_path / "again"), digests(tmp_path / "other")
    assert first == again
    images = [name for name in first if name.endswith("red.tif")]
    assert images
    assert all(first[name] != other[name] for name in images)


def test_registers_are_read_without_a_fault(small: Path) -> None:
    quarantine: list[dict[str, object]] = []
    registers = read_registers(read_district(small / "district.toml"), quarantine)
    assert quarantine == []
    assert all(getattr(registers, name) is not None for name in ("concessions", "mines", "meters", "production"))


def test_images_are_a_stac_catalogue_and_contract_cubes(small: Path) -> None:
    items = list(pystac.Catalog.from_file(small / "imagery/s2/catalog.json").get_items(recursive=True))
    assert len(items) > 5
    assert {"red", "nir", "swir16", "scl"} <= set(items[0].assets)
    moved = xr.open_zarr(small / "imagery/insar.zarr", decode_coords="all")
    assert moved["displacement"].dims == ("time", "y", "x")
    assert float(np.abs(moved["displacement"][0]).max()) == 0.0
    radar = xr.open_zarr(small / "imagery/s1.zarr", decode_coords="all")
    assert float(radar["vv"].min()) > 0


def plans(preset: Preset, seeds: range) -> list[Plan]:
    return [make_plan(preset, np.random.default_rng([seed, 1])) for seed in seeds]


@pytest.mark.parametrize("name", ["plateau", "humid"])
def test_every_kind_of_offence_and_lookalike_is_planted(name: str) -> None:
    for plan in plans(PRESETS[name], range(12)):
        assert {site["kind"] for site in plan.sites} == set(KINDS)
        assert {"lawful_pit", "renewal_pending", "declared_face", "construction", "fire"} <= {
            row["kind"] for row in plan.lookalikes
        }


def test_in_a_quiet_district_nobody_offends() -> None:
    for plan in plans(PRESETS["quiet"], range(12)):
        assert plan.sites == []
        assert len(plan.lookalikes) > 8


def test_sites_differ_from_seed_to_seed() -> None:
    places = [
        tuple(site["geometry"].centroid.coords[0] for site in plan.sites) for plan in plans(PRESETS["humid"], range(6))
    ]
    assert len(set(places)) == 6


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[gpd.GeoDataFrame, Registers]]:
    """Sites and registers, as read from disk, of several districts with next to no images."""
    found = []
    few = {"optical_days": 900, "radar_days": 900, "insar_days": 900}
    for seed in (5, 6):
        folder = tmp_path_factory.mktemp("truth") / "district"
        simulate_district(folder, replace(PRESETS["humid"], **few), seed)
        sites = gpd.read_file(folder / "truth" / "sites.gpkg")
        sites["start"] = pd.to_datetime(sites["start"])
        found.append((sites, read_registers(read_district(folder / "district.toml"), [])))
    return found


def test_truth_is_against_the_registers_on_its_dates(truth: list[tuple[gpd.GeoDataFrame, Registers]]) -> None:
    for sites, registers in truth:
        assert set(sites.columns) >= set(SITES.columns)
        for site in sites.itertuples():
            lawful = registers.concessions[in_force(registers.concessions, site.start, site.start)]
            if site.kind == "unlicensed":
                assert not lawful.intersects(site.geometry).any()
            if site.kind == "beyond_boundary":
                share = site.geometry.difference(lawful.union_all()).area / site.geometry.area
                assert 0.1 < share < 0.95
            if site.kind == "active_while_shut":
                days = pd.date_range(site.start, "2026-10-31")
                assert status_by_day(registers.mine_status, site.mine_id, days).isin(FORBIDDING_STATUSES).all()
            if site.kind == "hidden_working_face":
                assert not registers.working_faces.intersects(site.geometry).any()
            if site.kind == "paper_output":
                rows = registers.production.query("mine_id == @site.mine_id and month >= '2026-01'")
                assert rows["tonnes"].min() > 0


def test_panel_moves_as_the_textbook_says() -> None:
    """《矿山开采沉陷学》, worked example 4: at the north-west corner W = 66.4 mm, U towards 135 degrees 80.6 mm.

    150 x 100 m, m = 1, H = 100, q = 0.7, tan beta = 2, b = 0.3; S = 10 on every side leaves 130 x 80 m.
    """
    panel = Panel((0.0, 0.0), 0.0, 130.0, 80.0, 100.0, 1.0, pd.Timestamp("2026-01-01").date(), 1.0)
    corner = np.array([[-50.0]]), np.array([[75.0]])  # of the panel itself, 10 m outside the effective one
    moved = strip_movement(panel, 0.0, 1.0, *corner)
    assert moved.down.item() == pytest.approx(0.0664, rel=0.005)
    south_east = (moved.east.item() - moved.north.item()) / np.sqrt(2)
    assert south_east == pytest.approx(0.0806, rel=0.005)


def test_strips_add_up_to_the_panel() -> None:
    panel = Panel((10.0, -20.0), 33.0, 200.0, 120.0, 250.0, 2.5, pd.Timestamp("2026-01-01").date(), 2.0)
    x, y = np.meshgrid(np.arange(-400, 400, 37.0), np.arange(-400, 400, 41.0))
    whole = strip_movement(panel, 0.0, 1.0, x, y)
    parts = [strip_movement(panel, k / 7, (k + 1) / 7, x, y) for k in range(7)]
    for axis in ("east", "north", "down"):
        np.testing.assert_allclose(sum(getattr(part, axis) for part in parts), getattr(whole, axis), atol=1e-12)


def test_a_panels_volume_is_what_was_taken_out() -> None:
    panel = Panel((0.0, 0.0), 20.0, 180.0, 100.0, 200.0, 2.0, pd.Timestamp("2026-01-01").date(), 2.0)
    x, y = np.meshgrid(np.arange(-800, 800, 10.0), np.arange(-800, 800, 10.0))
    volume = strip_movement(panel, 0.0, 1.0, x, y).down.sum() * 100
    assert volume == pytest.approx(0.7 * 2.0 * 180 * 100, rel=1e-3)
    assert panel.outline.area == pytest.approx(180 * 100)
    assert panel.outline.intersects(box(-10, -10, 10, 10))


def test_turbulent_air_has_the_spectrum_of_turbulence() -> None:
    """Power falls with wavenumber as k^-8/3 (Hanssen 2001), estimated over 20 draws by a fit in the logarithm."""
    rng = np.random.default_rng(8)
    k = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    taper = np.outer(np.hanning(256), np.hanning(256))
    power = sum(np.abs(np.fft.fft2(turbulence(rng, (256, 256), 0.006) * taper)) ** 2 for _ in range(20))
    band = (k > 0.03) & (k < 0.2)
    slope = np.polyfit(np.log(k[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-8 / 3, abs=0.15)
    assert turbulence(rng, (64, 64), 0.006).std() == pytest.approx(0.006, rel=1e-4)


def test_two_orbits_see_one_movement_from_two_sides() -> None:
    """From both lines of sight the sinking and the pull along them are solved for, as the panel moves the ground."""
    preset = replace(PRESETS["quiet"], orbits=2)
    assert tomllib.loads(configuration(preset))["imagery"][-1]["href"] == "imagery/insar-east.zarr"
    assert list(orbits_of(replace(preset, orbits=1))) == ["insar"]
    panel = Panel((0.0, 0.0), 20.0, 300.0, 120.0, 240.0, 2.0, preset.history_from, 3.0)
    x, y = np.array([[60.0, -80.0]]), np.array([[30.0, 50.0]])
    seen = [panel_series(panel, np.array([5000]), preset.history_from, x, y, orbit)[0] for orbit in ORBITS]
    assert np.isclose((ORBITS[1].azimuth - ORBITS[0].azimuth) % 360, 180)
    steep = np.deg2rad([orbit.incidence for orbit in ORBITS])
    towards = np.stack([-np.cos(steep), np.sin(steep) * [1.0, -1.0]], axis=1)
    down, pull = np.linalg.solve(towards, np.stack([part[0] for part in seen]))
    whole, azimuth = strip_movement(panel, 0.0, 1.0, x[0], y[0]), np.deg2rad(ORBITS[0].azimuth)
    np.testing.assert_allclose(down, whole.down, rtol=1e-4)
    np.testing.assert_allclose(pull, whole.east * np.sin(azimuth) + whole.north * np.cos(azimuth), rtol=1e-3)
