"""Faces planted in displacement are found, placed and dated; air, broad sinking and declared faces are not."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from scipy.special import erf
from shapely.geometry import box

from illegalmining.detect import subsidence
from illegalmining.detect.declared_faces import explain
from illegalmining.detect.deformation import read_deformation
from illegalmining.detect.subsidence import detect_subsidence
from illegalmining.detect.subsidence_parameters import SubsidenceParameters
from illegalmining.detect.subsidence_steps import candidate_bowls, cleaned_movement, declared_movement
from illegalmining.detect.tiles import tiles_of
from illegalmining.detect.track import scene_of

WEST, NORTH, PIXEL, SIDE = 500_000.0, 4_000_000.0, 30.0, 100
FIRST, MONITOR, AS_OF = pd.Timestamp("2023-01-01"), "2024-07-05", "2025-12-31"
DAYS = np.arange(0, 900, 12.0)


def day(number: float) -> pd.Timestamp:
    return FIRST + pd.Timedelta(days=number)


def bowl(
    east: float, south: float, sides: tuple[float, float], radius: float, peak: float,
    look: tuple[float, float] = (39.0, 281.0), grid: tuple[int, float] = (SIDE, PIXEL),
) -> np.ndarray:  # fmt: skip
    """Line of sight of an east-west panel, written apart from the library's: W at peak, U = 0.3 r dW/dx."""
    x = np.arange(grid[0]) * grid[1] - east
    y = south - np.arange(grid[0]) * grid[1]

    def share(s: np.ndarray, side: float) -> np.ndarray:
        root = np.sqrt(np.pi) / radius
        return 0.5 * (erf(root * (s + side / 2)) - erf(root * (s - side / 2)))

    down = np.outer(share(y, sides[1]), share(x, sides[0]))
    down *= peak / down.max()
    north_slope, east_slope = np.gradient(down, -grid[1], grid[1])
    incidence, azimuth = np.deg2rad(look)
    level = 0.3 * radius * (east_slope * np.sin(azimuth) + north_slope * np.cos(azimuth))
    return level * np.sin(incidence) - down * np.cos(incidence)


def course(start: float, duration: float, days: np.ndarray = DAYS) -> np.ndarray:
    parts = [1 - np.exp(-5 / 365 * np.clip(days - start - duration * (k + 0.5) / 10, 0, None)) for k in range(10)]
    return np.mean(parts, axis=0)


def air(rng: np.random.Generator, side: int) -> np.ndarray:
    k = np.hypot(np.fft.fftfreq(2 * side)[:, None], np.fft.rfftfreq(2 * side)[None])
    k[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((2 * side, 2 * side))) * k ** (-4 / 3))[:side, :side]
    return rng.uniform(0.004, 0.009) * (field - field.mean()) / field.std() + rng.normal(0, 0.0015, (side, side))


def scene(
    seed: int, *moved: np.ndarray, look: tuple[float, float] = (39.0, 281.0), grid: tuple[int, float] = (SIDE, PIXEL),
    days: np.ndarray = DAYS, noise: float = 1.0,
) -> xr.Dataset:  # fmt: skip
    rng = np.random.default_rng(seed)
    stack = noise * np.stack([air(rng, grid[0]) for _ in days]) + sum(moved, np.zeros((1, 1, 1)))
    stack = (stack - stack[:1]).astype(np.float32)
    centres = np.arange(grid[0]) * grid[1]
    cube = xr.Dataset(
        {"displacement": (("time", "y", "x"), stack)},
        coords={"time": [day(d) for d in days], "y": NORTH - centres, "x": WEST + centres},
        attrs={"incidence_angle": look[0], "azimuth_angle": look[1]},
    )
    return cube.rio.write_crs(32649)


def register(east: float, south: float, sides: tuple[float, float], start: float, stop: float) -> gpd.GeoDataFrame:
    x, y = WEST + east, NORTH - south
    shape = box(x - sides[0] / 2, y - sides[1] / 2, x + sides[0] / 2, y + sides[1] / 2)
    row = {"face_id": "F1", "mine_id": "M1", "start": day(start), "stop": day(stop), "depth_m": 240.0}
    return gpd.GeoDataFrame([{**row, "thickness_m": 1.5, "geometry": shape}], crs=32649)


def detected(cube: xr.Dataset, faces: gpd.GeoDataFrame | None = None) -> dict[str, list[dict[str, Any]]]:
    """Rows by question."""
    found = detect_subsidence(cube, faces, FIRST, MONITOR, AS_OF).detections
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found.to_dict("records"):
        row["said"] = json.loads(row["attributes"])
        rows.setdefault(row["said"]["question"], []).append(row)
    return rows


def off(row: dict[str, Any], east: float, south: float) -> float:
    centre = row["geometry"].centroid
    return float(np.hypot(centre.x - WEST - east, centre.y - NORTH + south))


@pytest.mark.parametrize(("seed", "peak"), [(101, 0.08), (102, 0.15), (103, 0.22)])
def test_a_hidden_face_is_found_placed_and_dated(seed: int, peak: float) -> None:
    moved = course(640, 150)[:, None, None] * bowl(1400, 1300, (280, 100), 110, peak)
    best = detected(scene(seed, moved))["undeclared_face"][0]
    assert best["log_lr"] > 3
    assert off(best, 1400, 1300) < 60
    assert abs((best["first_seen"] - day(640)).days) < 62
    assert best["said"]["peak_mm"] == pytest.approx(1000 * peak, rel=0.35)
    assert best["said"]["depth_low_m"] < 220 < best["said"]["depth_high_m"]


def test_a_face_whose_middle_lost_coherence_is_found() -> None:
    moved = course(640, 150)[:, None, None] * bowl(1400, 1300, (280, 100), 110, 0.25)
    cube = scene(110, moved)
    cube["displacement"][60:, 40:47, 43:51] = np.nan
    assert off(detected(cube)["undeclared_face"][0], 1400, 1300) < 100


def lost_from(cube: xr.Dataset, when: int, rows: slice, columns: slice) -> xr.Dataset:
    """The cube with pixels that unwrapping lost on an epoch: no value from then on, and their coherence spoilt."""
    cube["displacement"][when:, rows, columns] = np.nan
    coherence = np.full((SIDE, SIDE), 0.9, np.float32)
    coherence[rows, columns] = 0.3
    return cube.assign(temporal_coherence=(("y", "x"), coherence))


@pytest.mark.parametrize("seed", [151, 152])
def test_a_declared_face_that_lost_its_middle_was_dug(seed: int) -> None:
    """A fast bowl keeps only its rim: no filter over lost pixels may read them as ground at rest."""
    moved = course(590, 90)[:, None, None] * bowl(1500, 1500, (200, 120), 125, 1.0)
    cube = lost_from(scene(seed, moved), 52, slice(44, 57), slice(44, 57))
    found = detected(cube, register(1500, 1500, (200, 120), 590, 680))
    assert found["declared_face"][0]["log_lr"] < -3
    assert set(found) == {"declared_face"}


def test_a_declared_face_begun_late_is_not_called_absent() -> None:
    """Register: from day 640. Work: from day 730; little of it has been seen by day 888."""
    moved = course(730, 200)[:, None, None] * bowl(1500, 1500, (300, 100), 120, 0.15)
    assert "declared_face_never_moved" not in detected(scene(153, moved), register(1500, 1500, (300, 100), 640, 840))


def test_work_after_the_stop_is_said_and_decay_is_not() -> None:
    sides, faces = (300.0, 100.0), register(1500, 1500, (300, 100), 380, 560)
    own = course(380, 180)[:, None, None] * bowl(1500, 1500, sides, 120, 0.3)
    more = course(690, 120)[:, None, None] * bowl(1500, 1500, sides, 120, 0.2)
    assert "declared_face_past_stop" not in detected(scene(154, own), faces)
    again = detected(scene(155, own, more), faces)
    assert again["declared_face_past_stop"][0]["log_lr"] > 1
    assert abs((again["declared_face_past_stop"][0]["first_seen"] - day(690)).days) < 80


@pytest.mark.parametrize(("seed", "per_year"), [(156, 0.8), (157, 2.0)])
def test_old_workings_that_settle_are_no_face(seed: int, per_year: float) -> None:
    """Worked out before the first epoch: fast at first, slower and slower since."""
    settling = (1 - np.exp(-per_year * DAYS / 365))[:, None, None] * bowl(1400, 1300, (280, 200), 110, 0.25)
    assert "undeclared_face" not in detected(scene(seed, settling))


def test_a_slide_that_creeps_is_no_face() -> None:
    """Down a slope that faces the satellite the ground comes towards it; it creeps all the time, more in spring."""
    x, y = np.meshgrid(np.arange(SIDE) * PIXEL, np.arange(SIDE) * PIXEL)
    patch = np.exp(-((x - 1400) ** 2 / 90**2 + (y - 1300) ** 2 / 180**2))
    creep = 0.08 * DAYS / 365 + 0.008 * np.sin(2 * np.pi * DAYS / 365)
    for seed, towards in ((158, 1.0), (159, -1.0)):
        assert "undeclared_face" not in detected(scene(seed, towards * creep[:, None, None] * patch))


def test_tiles_answer_for_every_pixel_once_and_look_over_their_sides() -> None:
    count = np.zeros((103, 57), int)
    tiles = list(tiles_of(count.shape, 40, 12))
    for tile in tiles:
        count[tile.core] += 1
        seen = np.zeros(count.shape, bool)
        seen[tile.whole] = True
        assert seen[tile.core].all()
        assert np.ones(count.shape)[tile.whole][tile.inner].shape == count[tile.core].shape
    assert (count == 1).all()
    assert len(tiles) == 3


def test_as_many_tiles_are_in_hand_as_fit_into_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tiles and four workers; which tiles there are, and so what is found, does not depend on the memory."""
    inside, most, seen = threading.Lock(), [0, 0], []
    judge = subsidence.judged

    def slowly(cubes: dict[str, xr.Dataset], *more: Any) -> Any:
        cube = cubes[""]
        with inside:
            most[0] += 1
            most[1] = max(most)
            seen.append(cube["displacement"].shape)
        time.sleep(0.2)
        try:
            return judge({"": cube.isel(y=slice(0, 10), x=slice(0, 10))}, *more)
        finally:
            with inside:
                most[0] -= 1

    monkeypatch.setattr(subsidence, "judged", slowly)
    small = SubsidenceParameters(tile_m=1500.0, margin_m=300.0, fewest_pixels=10**6)
    tile_mb = 60 * 60 * len(DAYS) * subsidence.BYTES_A_VALUE / 1e6  # 50 pixels, and a margin of 10 on two of four sides
    cube, shapes = scene(161), []
    for megabytes, tiles in ((math.inf, 4), (2.5 * tile_mb, 2), (0.001, 1)):
        most[:], seen[:] = [0, 0], []
        detect_subsidence(cube, None, FIRST, MONITOR, AS_OF, small, 4, megabytes)
        assert most == [0, tiles]
        shapes.append(sorted(seen))
    assert shapes == [[(75, 60, 60)] * 4] * 3


def test_a_face_on_the_side_of_a_tile_is_found_once() -> None:
    moved = course(640, 150)[:, None, None] * bowl(1500, 1300, (280, 100), 110, 0.15)
    small = SubsidenceParameters(tile_m=1500.0, margin_m=1200.0)
    found = detect_subsidence(scene(160, moved), None, FIRST, MONITOR, AS_OF, small)
    assert len(found.detections) == 1
    assert found.smallest_site_m2 is not None
    assert np.isfinite(found.smallest_site_m2.values).all()
    assert off(found.detections.iloc[0].to_dict(), 1500, 1300) < 60
    # W at the middle of a square panel (science.md) of the prior face: 2 m, q 0.7, 300 m deep, tan(beta) 2
    side = np.sqrt(found.smallest_site_m2.min())
    assert 2.0 * 0.7 * erf(np.sqrt(np.pi) * side / (2 * 150)) ** 2 > 0.97 * small.least_peak_mm / 1000


def test_air_and_broad_sinking_are_no_faces() -> None:
    x, y = np.meshgrid(np.arange(SIDE) * PIXEL, np.arange(SIDE) * PIXEL)
    broad = -np.exp(-((x - 1500) ** 2 + (y - 1500) ** 2) / (2 * 800**2))
    water = (0.05 * np.clip(DAYS - 600, 0, None) / 365)[:, None, None] * broad
    jump = (DAYS >= 700)[:, None, None] * bowl(900, 900, (200, 200), 100, 0.02)
    for seed, moved in ((120, water), (121, jump), (122, np.zeros((1, 1, 1)))):
        assert all(row["log_lr"] < 1.6 for row in detected(scene(seed, moved)).get("undeclared_face", []))


def test_a_declared_face_explains_its_movement_and_not_its_neighbours() -> None:
    own = course(560, 200)[:, None, None] * bowl(1500, 1500, (300, 100), 120, 0.5)
    hidden = course(640, 120)[:, None, None] * bowl(1500, 1800, (250, 90), 100, 0.15)
    faces = register(1500, 1500, (300, 100), 560, 760)
    alone, both = detected(scene(130, own), faces), detected(scene(131, own, hidden), faces)
    assert alone["declared_face"][0]["log_lr"] < -1
    assert alone["declared_face"][0]["mine_id"] == "M1"
    assert "undeclared_face" not in alone
    assert off(both["undeclared_face"][0], 1500, 1800) < 100


def test_steps_one_by_one_lead_to_the_bowl_that_is_hidden() -> None:
    own = course(560, 200)[:, None, None] * bowl(1000, 1000, (300, 100), 120, 0.4)
    hidden = course(640, 120)[:, None, None] * bowl(2000, 1900, (250, 90), 100, 0.15)
    cube, faces = scene(132, own, hidden), register(1000, 1000, (300, 100), 560, 760)
    cleaned, declared = cleaned_movement(cube), declared_movement(cube, faces)
    assert cleaned.rio.crs == declared.rio.crs == cube.rio.crs
    assert cleaned["movement"].dims == cube["displacement"].dims
    assert 0.001 < float(cleaned["epoch_noise"].median()) < 0.01
    assert declared["face_id"].values.tolist() == ["F1"]
    here = {"x": WEST + 1000, "y": NORTH - 1000}
    assert float(declared.isel(time=-1).sel(here, method="nearest").item()) == pytest.approx(own[-1, 33, 33], rel=0.1)
    left = cube.assign(displacement=cube["displacement"] - declared.sum("face_id"))
    bowls = candidate_bowls(left, MONITOR)
    assert bowls.crs == cube.rio.crs
    assert np.hypot(bowls.geometry.x[0] - WEST - 2000, bowls.geometry.y[0] - NORTH + 1900) < 90
    assert not len(candidate_bowls(left, AS_OF)), "nothing may begin on the last day"


def test_a_declared_face_in_an_inclined_seam_is_expected_down_the_dip() -> None:
    """Dip 20 degrees eastward at 240 m: the bowl lies 240 cot(90 - 0.7 x 20) = 60 m east of the face in plan."""
    parameters = SubsidenceParameters()
    ground, faces = read_deformation(scene(191), parameters.deformation), register(1500, 1500, (300, 100), 500, 700)
    search = scene_of(ground, parameters.deformation, parameters.search)
    faces["depth_m"] = 240.0
    level = explain(search, faces, FIRST, parameters.declared)[0].panel
    inclined = faces.assign(dip_deg=20.0, dip_towards_deg=90.0)
    panel = explain(search, inclined, FIRST, parameters.declared)[0].panel
    assert (panel.x - level.x, panel.y - level.y) == (pytest.approx(59.8, abs=0.1), pytest.approx(0.0, abs=1e-6))
    unsaid = faces.assign(dip_deg=np.nan, dip_towards_deg=np.nan)
    assert explain(search, unsaid, FIRST, parameters.declared)[0].panel == level


def test_a_declared_face_that_never_moved_is_said() -> None:
    found = detected(scene(140), register(1500, 1500, (300, 100), 560, 760))
    assert 0 < found["declared_face_never_moved"][0]["log_lr"] <= 6
    assert "declared_face" not in found


def test_too_few_epochs_are_said_and_the_ground_is_blind() -> None:
    found = detect_subsidence(scene(150).isel(time=slice(0, 5)), None, FIRST, MONITOR, AS_OF)
    assert len(found.detections) == 0
    assert found.remarks[0] == ("few_epochs", {"epochs": 5, "needed": 8})
    assert found.smallest_site_m2 is not None
    assert np.isnan(found.smallest_site_m2.values).all()


def test_mexico_city_has_no_hidden_face(shared_data: Path) -> None:
    cube = xr.open_dataset(shared_data / "insar" / "mexico_city.nc", decode_coords="all")
    for monitor in ("2018-01-01", "2018-04-01"):
        found = detect_subsidence(cube, None, "2018-01-01", monitor, "2018-07-31").detections
        assert not (found["log_lr"] > 1.6).any()
