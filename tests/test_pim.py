"""The probability integral method against the textbook, its limits and conservation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from illegalmining.detect.advance import (
    Advance,
    advancing,
    dug_by,
    strip_gradients,
    strip_share_gradient,
    strip_shares,
    strip_sights,
    strips,
)
from illegalmining.detect.pim import (
    Look,
    Panel,
    knothe,
    line_of_sight,
    look_vector,
    movement,
    outline,
    over_dip,
    settled_share,
    sight,
    sight_gradient,
    tilt,
)

TEXTBOOK = Panel(0.0, 0.0, 0.0, 150.0 - 20.0, 100.0 - 20.0, 100.0 / 2.0, 0.7)
"""Worked example 4: 150 x 100 m, x north, m 1, H 100, q 0.7, tan(beta) 2, S 10 on every side, b 0.3."""


def test_textbook_values_at_the_corner() -> None:
    """W 66.4 mm, i 5.37 mm/m, K 0.31e-3 /m, U 80.6 mm, strain 4.7 mm/m in direction 135 degrees."""
    step = 0.01
    towards = np.array([np.sin(np.deg2rad(135)), np.cos(np.deg2rad(135))])
    at = np.array([-50.0, 75.0]) + np.arange(-1, 2)[:, None] * step * towards
    down = movement(TEXTBOOK, at[:, 0], at[:, 1]).down
    moved = movement(TEXTBOOK, at[:, 0], at[:, 1])
    outward = moved.east * towards[0] + moved.north * towards[1]
    assert down[1] * 1000 == pytest.approx(66.4, rel=0.005)
    assert (down[2] - down[0]) / (2 * step) * 1000 == pytest.approx(5.37, rel=0.005)
    assert (down[2] - 2 * down[1] + down[0]) / step**2 * 1000 == pytest.approx(0.31, abs=0.005)
    assert outward[1] * 1000 == pytest.approx(80.6, rel=0.005)
    assert (outward[2] - outward[0]) / (2 * step) * 1000 == pytest.approx(4.7, abs=0.05)


def test_a_wide_panel_settles_by_w0_and_tilts_by_w0_over_r_at_its_edge() -> None:
    wide = Panel(100.0, 200.0, 30.0, 4000.0, 4000.0, 150.0, 1.4)
    assert movement(wide, np.array(100.0), np.array(200.0)).down == pytest.approx(1.4, rel=1e-6)
    angle = np.deg2rad(30.0)
    edge = np.array([100.0 + 2000 * np.sin(angle), 200.0 + 2000 * np.cos(angle)])
    down, along, across = tilt(wide, edge[0], edge[1])
    assert down == pytest.approx(0.7, rel=1e-6)
    assert along == pytest.approx(-1.4 / 150, rel=1e-6)
    assert across == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("azimuth", [0.0, 37.0, 90.0, 140.0])
def test_the_bowl_holds_the_volume_dug(azimuth: float) -> None:
    panel = Panel(10.0, -30.0, azimuth, 300.0, 80.0, 120.0, 0.9)
    x, y = np.meshgrid(np.arange(-1000, 1000, 10.0), np.arange(-1000, 1000, 10.0))
    moved = movement(panel, x, y)
    assert moved.down.sum() * 100 == pytest.approx(0.9 * 300 * 80, rel=1e-4)
    assert moved.east.sum() == pytest.approx(0.0, abs=1e-6)
    assert outline(panel).area == pytest.approx(300 * 80)
    assert outline(panel).centroid.x == pytest.approx(10.0)


def test_horizontal_movement_is_b_r_times_the_slope_of_the_bowl() -> None:
    """Against numerical differentiation, at points off every axis."""
    panel = Panel(0.0, 0.0, 63.0, 250.0, 120.0, 90.0, 1.1, horizontal=0.25)
    x, y = np.array([40.0, -90.0, 150.0]), np.array([-70.0, 20.0, 110.0])
    step = 0.01
    slope_east = (movement(panel, x + step, y).down - movement(panel, x - step, y).down) / (2 * step)
    slope_north = (movement(panel, x, y + step).down - movement(panel, x, y - step).down) / (2 * step)
    moved = movement(panel, x, y)
    np.testing.assert_allclose(moved.east, 0.25 * 90 * slope_east, rtol=1e-5)
    np.testing.assert_allclose(moved.north, 0.25 * 90 * slope_north, rtol=1e-5)


def test_sinking_is_away_from_the_satellite() -> None:
    look = look_vector(39.0, 90.0)
    panel = Panel(0.0, 0.0, 0.0, 200.0, 200.0, 100.0, 1.0)
    centre = sight(panel, np.array(0.0), np.array(0.0), look)
    west = line_of_sight(movement(panel, np.array(-150.0), np.array(0.0)), look)
    east = line_of_sight(movement(panel, np.array(150.0), np.array(0.0)), look)
    down = movement(panel, np.array(0.0), np.array(0.0)).down
    assert centre == pytest.approx(-np.cos(np.deg2rad(39.0)) * down)
    assert west > east  # the ground west of the panel moves east, towards a satellite in the east


def test_settling_in_time() -> None:
    days = np.linspace(-100, 4000, 400)
    share = settled_share(days, 240.0, 4.0)
    parts = np.mean([knothe(days - (k + 0.5) * 240 / 2000, 4.0) for k in range(2000)], axis=0)
    np.testing.assert_allclose(share, parts, atol=1e-5)
    assert (share[days <= 0] == 0).all()
    assert (np.diff(share) >= 0).all()
    assert share[-1] == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(settled_share(days, 0.0, 4.0), knothe(days, 4.0))


def nudged(panel: Panel, name: str, step: float) -> Panel:
    return replace(panel, **{name: getattr(panel, name) + step})


@pytest.mark.parametrize(
    ("place", "name", "step"),
    [
        (0, "x", 0.01),
        (1, "y", 0.01),
        (2, "azimuth_deg", np.rad2deg(1e-5)),
        (3, "length_m", 0.01),
        (4, "width_m", 0.01),
        (5, "radius_m", 0.01),
        (6, "w0_m", 1e-4),
    ],
)
def test_derivatives_against_differences(place: int, name: str, step: float) -> None:
    panel = Panel(20.0, -10.0, 33.0, 250.0, 90.0, 110.0, 1.1)
    look = Look(*(np.asarray(part) for part in (-0.5, 0.2, 0.8)))
    x, y = np.random.default_rng(5).uniform(-300, 300, (2, 60))
    radians = 1e-5 if name == "azimuth_deg" else step
    value, by = sight_gradient(panel, x, y, look)
    parts, by_parts = strip_gradients(panel, -1, x, y, look, 5)
    expected = sight(nudged(panel, name, step), x, y, look) - sight(nudged(panel, name, -step), x, y, look)
    strips_expected = (
        strip_gradients(nudged(panel, name, step), -1, x, y, look, 5)[0]
        - strip_gradients(nudged(panel, name, -step), -1, x, y, look, 5)[0]
    )
    np.testing.assert_allclose(value, sight(panel, x, y, look), atol=1e-12)
    np.testing.assert_allclose(by[place], expected / (2 * radians), atol=1e-6 * np.abs(by[place]).max())
    np.testing.assert_allclose(
        by_parts[:, place], strips_expected / (2 * radians), atol=1e-6 * np.abs(by_parts[:, place]).max()
    )
    np.testing.assert_allclose(parts.sum(axis=0), value, atol=1e-12)


def test_a_face_that_has_been_dug_has_moved_the_ground_as_its_panel() -> None:
    """Strips far in the past sum to the panel; while it is dug, the far end has not moved."""
    panel = Panel(0.0, 0.0, 90.0, 600.0, 100.0, 60.0, 1.0)
    look = look_vector(39.0, 281.0)
    x, y = np.array([-250.0, 0.0, 250.0]), np.zeros(3)
    advance = Advance(1, 0.0, 200.0)
    moved = advancing(panel, advance, 5.0, np.array([100.0, 1e5]), x, y, look, 12)
    np.testing.assert_allclose(moved[1], sight(panel, x, y, look), rtol=1e-6)
    assert moved[0, 0] < moved[0, 1] < 0
    assert abs(moved[0, 2]) < 1e-3 * abs(moved[0, 0])
    half = dug_by(panel, advance, 100.0)
    assert (half.x, half.length_m) == (pytest.approx(-150.0), pytest.approx(300.0))


def inclined(dip: float, towards: float = 90.0) -> Panel:
    """150 x 100 m at 200 m, its long side north, in a seam that dips."""
    return over_dip(Panel(0.0, 0.0, 0.0, 150.0, 100.0, 100.0, 1.4), dip, towards, 200.0, 0.7)


def deepest(panel: Panel) -> tuple[float, float]:
    """The point of most subsidence, and how much, m."""
    x = np.arange(-300.0, 300.0, 0.5)
    down = movement(panel, x, np.zeros_like(x)).down
    return float(x[down.argmax()]), float(down.max())


def test_a_level_seam_is_that_of_the_level_panel() -> None:
    assert replace(inclined(0.0), skew=0.0, drift_east=0.0, drift_north=0.0) == inclined(0.0)
    x = np.linspace(-300.0, 300.0, 61)
    moved = movement(inclined(0.0), x, np.zeros_like(x))
    np.testing.assert_allclose(moved.down, moved.down[::-1], atol=1e-12)
    np.testing.assert_allclose(moved.east, -moved.east[::-1], atol=1e-12)


def test_over_an_inclined_seam_the_deepest_point_lies_down_the_dip() -> None:
    """By about H cot(theta), theta = 90 - 0.7 x 20: 49.9 m; the bowl reaches further there, and W0 has cos(dip)."""
    place, depth = deepest(inclined(20.0))
    assert place == pytest.approx(200.0 / np.tan(np.deg2rad(76.0)), abs=6.0)
    assert deepest(inclined(20.0, 270.0)) == (pytest.approx(-place, abs=0.51), pytest.approx(depth))
    assert deepest(inclined(10.0))[0] < place
    sides = movement(inclined(20.0), np.array([place - 120.0, place + 120.0]), np.zeros(2)).down
    assert sides[1] > sides[0]
    wide = movement(replace(inclined(20.0), length_m=2000.0, width_m=2000.0), np.zeros(1), np.zeros(1))
    assert wide.down[0] == pytest.approx(1.4 * np.cos(np.deg2rad(20.0)), rel=1e-6)
    assert wide.east[0] == pytest.approx(-wide.down[0] / np.tan(np.deg2rad(76.0)), rel=1e-6)


def test_dip_along_the_panel_is_dip_across_it_turned() -> None:
    x, y = np.meshgrid(np.linspace(-200.0, 200.0, 9), np.linspace(-200.0, 200.0, 9))
    square = Panel(0.0, 0.0, 0.0, 120.0, 120.0, 100.0, 1.4)
    east, north = (over_dip(square, 15.0, towards, 200.0, 0.7) for towards in (90.0, 0.0))
    assert (east.x, east.y) == (pytest.approx(north.y), pytest.approx(0.0, abs=1e-9))
    assert (east.drift_east, east.width_m) == (pytest.approx(north.drift_north), pytest.approx(north.length_m))
    one = movement(replace(east, skew=0.0), x, y)
    other = movement(replace(north, skew=0.0), y, x)
    np.testing.assert_allclose(one.down, other.down, atol=1e-12)
    np.testing.assert_allclose(one.east, other.north, atol=1e-12)


def test_strips_of_an_inclined_panel_are_the_panel() -> None:
    look, panel = look_vector(39.0, 258.0), inclined(25.0, 60.0)
    x, y = np.meshgrid(np.linspace(-300.0, 300.0, 7), np.linspace(-300.0, 300.0, 7))
    seen = strip_sights(panel, 1, x, y, look, 6).sum(axis=0)
    np.testing.assert_allclose(seen, sight(panel, x, y, look), atol=1e-12)


@pytest.mark.parametrize("direction", [1, -1])
def test_strips_reckoned_together_are_the_strips_one_by_one(direction: int) -> None:
    panel, look = Panel(30.0, -20.0, 25.0, 330.0, 110.0, 120.0, 1.3), look_vector(39.0, 258.0)
    x, y = np.meshgrid(np.linspace(-400.0, 400.0, 9), np.linspace(-300.0, 300.0, 7))
    one_by_one = [sight(strip, x, y, look) for strip in strips(panel, direction, 5)]
    np.testing.assert_allclose(strip_sights(panel, direction, x, y, look, 5), one_by_one, atol=1e-12)


@pytest.mark.parametrize("count", [1, 6, 40])
def test_strips_are_dug_evenly_however_many_they_are(count: int) -> None:
    """Their mean is the whole panel's settling, whose closed form is checked against Knothe's law elsewhere."""
    days, advance = np.linspace(0.0, 500.0, 40), Advance(1, 50.5, 150.0)
    whole = settled_share(days - 50.5, 150.0, 4.0)
    np.testing.assert_allclose(strip_shares(days, advance, 4.0, count).mean(axis=0), whole, atol=1e-12)


def test_shares_of_strips_change_as_their_derivatives_say() -> None:
    days, advance = np.linspace(0.0, 500.0, 40), Advance(1, 50.5, 150.0)
    by = strip_share_gradient(days, advance, 4.0, 5)
    for place, (low, high, width) in enumerate(
        (
            ((replace(advance, start=50.4), 4.0), (replace(advance, start=50.6), 4.0), 0.2),
            ((replace(advance, duration=149.9), 4.0), (replace(advance, duration=150.1), 4.0), 0.2),
            ((advance, 4.0 * np.exp(-1e-4)), (advance, 4.0 * np.exp(1e-4)), 2e-4),
        )
    ):
        expected = (strip_shares(days, *high, 5) - strip_shares(days, *low, 5)) / width
        np.testing.assert_allclose(by[place], expected, atol=2e-5)
