"""Fast faces lose their middle: what was lost, where and when, speaks for them; fields that are lost at rest do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import binary_dilation, binary_fill_holes

from illegalmining.detect import hidden_faces
from illegalmining.detect.advance import Advance
from illegalmining.detect.deformation import Deformation, last_seen
from illegalmining.detect.face_fit import FittedFace
from illegalmining.detect.lost_core import LostParameters, lost_core, lost_cores, steps_apart
from illegalmining.detect.pim import Panel, look_vector
from illegalmining.detect.subsidence import tracks_of
from illegalmining.detect.subsidence_parameters import SubsidenceParameters
from test_subsidence import DAYS, MONITOR, SIDE, bowl, course, detected, off, register, scene

FAST = FittedFace(
    Panel(1500.0, 1500.0, 90.0, 300.0, 120.0, 110.0, 2.0), Advance(1, 600.0, 120.0), 5.0, (), 1.0, 0.0, 0.0
)
SLOW = replace(FAST, panel=replace(FAST.panel, w0_m=0.15))
MIDDLE = (slice(45, 56), slice(45, 56))
"""Where FAST draws neighbours apart by more than half a wave a pass."""


def lost_where_fast(seed: int, moved: np.ndarray) -> xr.Dataset:
    """A scene whose pixels are lost for good once a neighbour draws away by a quarter of 55.5 mm between passes.

    So are those beside them, which a filter smears, and those they enclose, whose phase hangs on nothing.
    """
    cube, steps = scene(seed, moved), np.diff(moved, axis=0, prepend=moved[:1])
    beside = [np.abs(np.diff(steps, axis=axis, append=np.take(steps, [-1], axis))) for axis in (1, 2)]
    lost = np.logical_or.accumulate(np.maximum(*beside) > 0.0555 / 4, axis=0)
    lost = np.stack([binary_dilation(binary_fill_holes(now)) for now in lost])
    cube["displacement"].values[lost] = np.nan
    return cube.assign(temporal_coherence=(("y", "x"), np.where(lost[-1], 0.3, 0.9).astype(np.float32)))


def field_lost(seed: int, when: int, rows: slice, columns: slice, *moved: np.ndarray) -> xr.Dataset:
    """A scene with a field that is lost from an epoch on, whatever moves."""
    cube = scene(seed, *moved)
    cube["displacement"][when:, rows, columns] = np.nan
    return cube


def still(*fields: tuple[int, slice, slice]) -> Deformation:
    """Ground of 30 m pixels in which fields are lost from epochs on."""
    at = np.arange(SIDE) * 30.0
    x, y = np.meshgrid(at, at[::-1])
    values = np.zeros((len(DAYS), SIDE, SIDE), np.float32)
    for when, rows, columns in fields:
        values[when:, rows, columns] = np.nan
    return Deformation(DAYS, values, x, y, look_vector(39.0, 281.0), 30.0, last_seen(values))


def told(ground: Deformation, face: FittedFace = FAST, nats: float = 1e6, most: float = 1e9) -> float:
    return lost_core(ground, face, nats, [], LostParameters(most_nats=most), 6).nats


def test_a_face_of_which_only_the_rim_was_seen_is_found() -> None:
    """The bowl's peaks stand on its rim, too far from its middle for a fit about them."""
    moved = course(682, 110)[:, None, None] * bowl(1400, 1300, (450, 280), 125, 2.1)
    faces = detected(lost_where_fast(33, moved))["undeclared_face"]
    assert [off(face, 1400, 1300) < 60 for face in faces] == [True]
    assert faces[0]["said"]["lost_core_nats"] == 3.0
    assert faces[0]["said"]["lost_pixels"] > 50


def test_a_field_that_is_lost_at_rest_makes_no_face() -> None:
    """About these, air by chance looks like a faint rim, and any bowl can be thought into what was not seen."""
    for seed in (173, 175):
        assert "undeclared_face" not in detected(field_lost(seed, 60, slice(40, 52), slice(42, 54)))


def test_a_field_lost_beside_a_slow_face_adds_nothing() -> None:
    """80 mm in a year pull no neighbours a quarter wave apart: what was lost there was lost otherwise."""
    moved = course(640, 150)[:, None, None] * bowl(1400, 1300, (280, 100), 110, 0.12)
    found = detected(field_lost(174, 60, slice(36, 42), slice(50, 56), moved))["undeclared_face"]
    assert off(found[0], 1400, 1300) < 100
    assert found[0]["said"]["lost_core_nats"] == 0


def test_lost_pixels_speak_for_a_fast_face_where_it_is_and_after_it_began() -> None:
    gone = 58  # day 696
    assert told(still((gone, *MIDDLE))) > 10
    assert told(still()) == 0
    assert told(still((gone, *MIDDLE)), SLOW) < 0.5
    assert told(still((45, *MIDDLE))) == 0, "lost before the face began"
    left, right = (slice(45, 56), slice(45, 50)), (slice(45, 56), slice(50, 56))
    assert told(still((gone, *left), (0, *right))) > told(still((gone, *left))) + 1, "never seen says nothing"
    assert told(still((gone, slice(10, 21), slice(10, 21)))) == 0, "lost elsewhere"


def test_lost_pixels_say_less_where_ground_at_rest_is_lost_as_well() -> None:
    fields = [(58, slice(row, row + 11), slice(k, k + 11)) for row in (2, 18, 74, 87) for k in (2, 20, 38, 56, 74, 88)]
    alone = told(still((58, *MIDDLE)))
    assert told(still((58, *MIDDLE), *fields)) < 0.25 * alone, "lost in patches as large"
    pixels = [(58, slice(row, row + 1), slice(k, k + 1)) for row in range(1, 99, 4) for k in range(1, 40, 2)]
    assert told(still((58, *MIDDLE), *pixels)) < 0.8 * alone, "one in twenty is lost"


def test_lost_pixels_add_at_most_what_movement_says() -> None:
    ground = still((58, *MIDDLE))
    assert told(ground, nats=1.7) == 1.7
    assert told(ground, nats=-1.0) == 0
    assert told(ground, most=3.0) == 3.0


def test_cores_are_compact_and_were_seen_before() -> None:
    field, line = (60, slice(20, 28), slice(30, 38)), (60, slice(70, 72), slice(10, 30))
    found = lost_cores(still(field, line, (20, slice(50, 58), slice(80, 88))), 550.0, LostParameters())
    assert [(core.row, core.column) for core in found] == [(24, 34)]
    assert 3.5 * 30 * np.sqrt(2) < found[0].reach_m < 5 * 30 * np.sqrt(2)


def test_steps_between_neighbours_are_told_in_quarter_waves() -> None:
    moved = np.zeros((3, 3, 3))
    moved[1:, 1, 1] = 0.03
    moved[2, 0, 0] = -0.01
    assert steps_apart(moved, 0.01) == pytest.approx(np.array([[1, 3, 0], [3, 3, 3], [0, 3, 0]]))


def test_what_is_lost_is_told_from_gaps_and_from_what_was_hardly_seen() -> None:
    values = np.full((20, 1, 5), np.nan, np.float32)
    values[:12, 0, 0] = values[:, 0, 1] = values[:18, 0, 2] = values[::3, 0, 3] = 0.0
    values[5:8, 0, 1] = np.nan
    assert last_seen(values).tolist() == [[12, 20, 20, 0, 0]]
    assert last_seen(np.isfinite(values[:12]) * 1.0).tolist() == [[12] * 5]


def begun_from(cube: xr.Dataset, faces: gpd.GeoDataFrame | None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How far from (1500, 1500) fits of bowls that no declared face explains begin, m."""
    began: list[float] = []

    def note(heard: Any, *_: Any) -> None:
        peak = heard[0].peak
        began.append(float(np.hypot(30.0 * peak.column - 1500, 30.0 * peak.row - 1500)))

    monkeypatch.setattr(hidden_faces, "invert", note)
    parameters = SubsidenceParameters()
    tracks, monitor_day = tracks_of({"": cube}, faces, pd.Timestamp(MONITOR), parameters)
    hidden_faces.undeclared_faces(tracks, monitor_day, parameters)
    return began


def test_what_a_declared_face_lost_is_no_place_for_another_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two faces 400 m apart, one of which lost its middle; where it is declared, that ground is its own."""
    own = course(590, 60)[:, None, None] * bowl(1500, 1500, (300, 160), 125, 1.6)
    beside = course(660, 120)[:, None, None] * bowl(1500, 1900, (250, 100), 100, 0.15)
    cube = lost_where_fast(172, own + beside)
    told = begun_from(cube, register(1500, 1500, (300, 160), 590, 650), monkeypatch)
    assert len(told) >= 1
    assert min(told) > 250
    assert min(begun_from(cube, None, monkeypatch)) < 60
