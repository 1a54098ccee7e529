"""Ground that several sources see is judged once: their evidence adds, and one that is wrong does no harm."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from illegalmining.detect.findings import Findings, detections
from illegalmining.detect.subsidence import detect_subsidence, detect_together
from illegalmining.detect.subsidence_parameters import SubsidenceParameters
from illegalmining.detect.tiles import grid_over, part_of, tiles_of
from illegalmining.district import read_district
from illegalmining.journal import Journal
from illegalmining.pipelines.subsidence_watch import subsidence_watch
from test_subsidence import AS_OF, DAYS, FIRST, MONITOR, NORTH, PIXEL, SIDE, WEST, bowl, course, off, register, scene

EAST = {"look": (35.0, 101.0), "grid": (75, 40.0)}
EAST_DAYS = np.arange(7.0, 880, 12.0)
Face = tuple[float, float, tuple[float, float], float, float, float]
"""East, south, sides, radius, peak, m, and day of its start."""


def moved(faces: tuple[Face, ...], east: bool) -> list[np.ndarray]:
    """What faces move the ground as one source sees it."""
    days, how = (EAST_DAYS, EAST) if east else (DAYS, {})
    return [course(start, 150, days)[:, None, None] * bowl(*shape, **how) for *shape, start in faces]


def both(seed: int, *faces: Face, noise: float = 1.0) -> dict[str, xr.Dataset]:
    """Two sources of other looks, pixels, epochs and air."""
    west = scene(seed, *moved(faces, False), noise=noise)
    east = scene(seed + 1000, *moved(faces, True), days=EAST_DAYS, noise=noise, **EAST)
    return {"west": west, "east": east}


def found(
    cubes: dict[str, xr.Dataset], faces: gpd.GeoDataFrame | None = None, parameters: SubsidenceParameters | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Rows of all sources by question."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, one in detect_together(cubes, faces, FIRST, MONITOR, AS_OF, parameters).items():
        for row in one.detections.to_dict("records"):
            row |= {"said": json.loads(row["attributes"]), "source": name}
            rows.setdefault(row["said"]["question"], []).append(row)
        rows.setdefault("remarks", []).extend((name, remark.key) for remark in one.remarks)
    return rows


def alone(cubes: dict[str, xr.Dataset], name: str) -> dict[str, Any] | None:
    """The face one source finds by itself."""
    rows = found({name: cubes[name]}).get("undeclared_face", [])
    return rows[0] if rows else None


@pytest.mark.parametrize("seed", [301, 302, 303])
def test_a_face_seen_twice_is_one_detection_with_the_sum_of_the_evidence(seed: int) -> None:
    cubes = both(seed, (1400, 1300, (280, 100), 110, 0.09, 640))
    west, east, rows = alone(cubes, "west"), alone(cubes, "east"), found(cubes)["undeclared_face"]
    assert west is not None
    assert east is not None
    assert len(rows) == 1
    both_say = rows[0]["said"]
    assert both_say["sources"] == ["east", "west"]
    nats = [one["said"]["z"] ** 2 / 2 for one in (west, east, rows[0])]
    assert nats[2] == pytest.approx(nats[0] + nats[1], rel=0.15)
    assert off(rows[0], 1400, 1300) < 60
    area, single = (
        np.prod([np.diff(said["intervals_90"][name])[0] for name in ("x", "y")]) for said in (both_say, west["said"])
    )  # not each side alone: a face that settles all at once is none of the model's, and two sources show that better
    assert area < 0.8 * single
    assert not found(cubes)["remarks"]


@pytest.mark.parametrize("seed", [310, 311])
def test_a_face_too_weak_for_each_is_found_by_both(seed: int) -> None:
    cubes = both(seed, (1400, 1300, (280, 100), 110, 0.05, 640), noise=4.0)
    assert alone(cubes, "west") is None
    assert alone(cubes, "east") is None
    rows = found(cubes)["undeclared_face"]
    assert len(rows) == 1
    assert off(rows[0], 1400, 1300) < 100


def test_what_both_say_is_surer_than_what_each_says() -> None:
    cubes = both(310, (1400, 1300, (280, 100), 110, 0.07, 640), noise=4.0)
    each = [one["log_lr"] for name in cubes if (one := alone(cubes, name))]
    assert found(cubes)["undeclared_face"][0]["log_lr"] > max(each) + 0.5


def test_one_source_is_judged_as_ever() -> None:
    cubes = both(303, (1400, 1300, (280, 100), 110, 0.09, 640))
    single = detect_subsidence(cubes["west"], None, FIRST, MONITOR, AS_OF)
    together = detect_together({"west": cubes["west"]}, None, FIRST, MONITOR, AS_OF)["west"]
    assert single.detections.equals(together.detections)
    xr.testing.assert_identical(single.smallest_site_m2, together.smallest_site_m2)


def test_a_source_of_the_other_sign_does_not_hide_a_face() -> None:
    cubes = both(304, (1400, 1300, (280, 100), 110, 0.15, 640))
    cubes["east"]["displacement"] *= -1
    rows = found(cubes)["undeclared_face"]
    assert len(rows) == 1
    assert rows[0]["source"] == "west"
    assert rows[0]["said"]["contradicted_by"] == ["east"]
    assert off(rows[0], 1400, 1300) < 60


def test_a_source_that_sees_declared_faces_rise_is_left_out_and_said() -> None:
    cubes = both(305, (1000, 1000, (300, 100), 120, 0.4, 560), (2000, 1900, (250, 90), 100, 0.15, 640))
    cubes["east"]["displacement"] *= -1
    said = found(cubes, register(1000, 1000, (300, 100), 560, 710))
    assert said["remarks"] == [("east", "opposite_movement")]
    assert off(said["undeclared_face"][0], 2000, 1900) < 100
    assert [row["source"] for row in said["declared_face"]] == ["west"]


def test_a_declared_face_and_its_neighbour_are_told_from_the_ground_of_both() -> None:
    cubes = both(306, (1500, 1500, (300, 100), 120, 0.5, 560), (1500, 1800, (250, 90), 100, 0.15, 640))
    faces = register(1500, 1500, (300, 100), 560, 710)
    said = found(cubes, faces)
    assert len(said["declared_face"]) == 1
    assert said["declared_face"][0]["log_lr"] < -1
    assert len(said["undeclared_face"]) == 1
    assert said["undeclared_face"][0]["said"]["sources"] == ["east", "west"]
    assert off(said["undeclared_face"][0], 1500, 1800) < 60
    single = found({"west": cubes["west"]}, faces)["undeclared_face"][0]["said"]["intervals_90"]
    for name in ("x", "y"):
        assert np.diff(said["undeclared_face"][0]["said"]["intervals_90"][name]) < np.diff(single[name])


def test_a_declared_face_that_neither_saw_move_is_said_once() -> None:
    said = found(both(307), register(1500, 1500, (300, 100), 560, 710))
    assert len(said["declared_face_never_moved"]) == 1
    assert "undeclared_face" not in said


def test_a_face_that_one_source_does_not_reach_is_found() -> None:
    """The eastern source ends 900 m from the west; tiles are those of the ground that either sees."""
    cubes = both(308, (1700, 1300, (280, 100), 110, 0.12, 640))
    cubes["east"] = cubes["east"].isel(x=slice(0, 23))
    small = SubsidenceParameters(tile_m=1500.0, margin_m=1200.0)
    rows = found(cubes, None, small)["undeclared_face"]
    assert len(rows) == 1
    assert "sources" not in rows[0]["said"]
    assert off(rows[0], 1700, 1300) < 60


def test_a_source_with_too_few_epochs_is_said_and_the_other_judged() -> None:
    cubes = both(309, (1400, 1300, (280, 100), 110, 0.12, 640))
    cubes["east"] = cubes["east"].isel(time=slice(0, 5))
    said = found(cubes)
    assert said["remarks"] == [("east", "few_epochs")]
    assert len(said["undeclared_face"]) == 1


def test_air_is_no_face_to_two_sources() -> None:
    for seed in (320, 321, 322):
        assert "undeclared_face" not in found(both(seed))


def test_grids_that_do_not_agree_share_tiles() -> None:
    cubes = both(311)
    grid = grid_over(list(cubes.values()))
    west, north = float(grid["x"][0]) - PIXEL / 2, float(grid["y"][0]) + PIXEL / 2
    assert (west, north) == (WEST - 20.0, NORTH + 20.0), "the wider pixel reaches further"
    assert grid.sizes["x"] >= SIDE
    for cube in cubes.values():
        count = np.zeros((cube.sizes["y"], cube.sizes["x"]), int)
        for tile in tiles_of((grid.sizes["y"], grid.sizes["x"]), 40, 12):
            part = part_of(tile, grid, cube)
            assert part is not None
            count[part.core] += 1
        assert (count == 1).all()


DISTRICT = """[district]
name = "Two looks"
crs = "EPSG:32649"
bounds = [499985, 3999000, 501015, 4000015]
history_from = 2023-01-01
monitor_from = 2024-07-05
as_of = 2025-12-31

[registers]
jurisdictions = "jurisdictions.gpkg"
"""
SOURCE = """
[[imagery]]
name = "{0}"
sensor = "displacement"
source = "cube"
href = "{0}.nc"
"""


def write_cube(path: Path, seed: int, later: int = 0) -> None:
    """A little ground that trembles; later: days."""
    rng, at = np.random.default_rng(seed), np.arange(34) * PIXEL
    moved = rng.normal(0, 0.003, (len(DAYS), 34, 34)).astype(np.float32)
    cube = xr.Dataset(
        {"displacement": (("time", "y", "x"), moved)},
        coords={"time": FIRST + pd.to_timedelta(DAYS + later, "D"), "y": NORTH - at, "x": WEST + at},
        attrs={"incidence_angle": 39.0, "azimuth_angle": 281.0},
    )
    path.unlink(missing_ok=True)
    cube.rio.write_crs(32649).to_netcdf(path, engine="h5netcdf")


def test_a_night_gives_all_sources_to_one_call_and_remembers_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("west", "east")):
        write_cube(tmp_path / f"{name}.nc", seed)
    (tmp_path / "district.toml").write_text(DISTRICT + SOURCE.format("west") + SOURCE.format("east"), "utf-8")
    calls: list[list[str]] = []

    def note(cubes: dict[str, xr.Dataset], **_: Any) -> dict[str, Findings]:
        calls.append(list(cubes))
        return {name: Findings(detections([], cube.rio.crs)) for name, cube in cubes.items()}

    monkeypatch.setattr("illegalmining.pipelines.subsidence_watch.detect_together", note)

    def night() -> tuple[list[str], list[str]]:
        """Sources that were judged, and files that were set aside."""
        journal, registers = Journal(), SimpleNamespace(working_faces=None, files={})
        watched = subsidence_watch(read_district(tmp_path / "district.toml"), registers, journal, {"subsidence"})
        return [one.about["name"] for one in watched], [row["file"] for row in journal.quarantine]

    assert night() == (["west", "east"], [])
    assert calls == [["west", "east"]]
    assert night() == (["west", "east"], [])
    assert len(calls) == 1, "nothing new"
    write_cube(tmp_path / "east.nc", 5)
    night()
    assert calls[1:] == [["west", "east"]], "what one source says rests on the others too"
    (tmp_path / "east.nc").unlink()
    (tmp_path / "east.nc").write_bytes(b"broken")
    assert night() == (["west"], ["east.nc"])
    assert calls[2:] == [["west"]]


def test_a_date_of_one_source_has_every_source_judged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cube(tmp_path / "west.nc", 0)
    write_cube(tmp_path / "east.nc", 1, later=3)
    text = DISTRICT + SOURCE.format("west") + SOURCE.format("east")

    def nothing(cubes: dict[str, xr.Dataset], **_: Any) -> dict[str, Findings]:
        return {name: Findings(detections([], cube.rio.crs)) for name, cube in cubes.items()}

    monkeypatch.setattr("illegalmining.pipelines.subsidence_watch.detect_together", nothing)

    def remembered_on(day: int) -> list[bool]:
        """Whether the west and the east were remembered, so many days after the west's last date."""
        as_of = (FIRST + pd.Timedelta(days=int(DAYS[-1]) + day)).date()
        (tmp_path / "district.toml").write_text(text.replace("2025-12-31", str(as_of)), "utf-8")
        journal = Journal()
        registers = SimpleNamespace(working_faces=None, files={})
        subsidence_watch(read_district(tmp_path / "district.toml"), registers, journal, {"subsidence"})
        return [stage["remembered"] for stage in journal.stages]

    assert remembered_on(1) == [False, False]
    assert remembered_on(2) == [True, True], "a day that brings no date"
    assert remembered_on(3) == [False, False], "a day that brings one of the east"
