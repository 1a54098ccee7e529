"""Areas beyond a ground by crossings of edges, against GEOS's overlay."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

from illegalmining.cases.overlap import Outlines, areas_beyond, shared_areas

EAST, NORTH = 500_000.0, 4_100_000.0


def ragged(rng: np.random.Generator, corners: int, radius: float) -> BaseGeometry:
    """A star about a random place, with a hole or a second part now and then; corners as far off as a map's are."""
    x, y = EAST + rng.uniform(0, 200), NORTH + rng.uniform(0, 200)
    turn, reach = np.sort(rng.uniform(0, 2 * np.pi, corners)), radius * rng.uniform(0.4, 1.0, corners)
    star = shapely.buffer(Polygon(np.column_stack([x + reach * np.cos(turn), y + reach * np.sin(turn)])), 0)
    if rng.random() < 0.3:
        star = star.difference(Point(x, y).buffer(radius / 4))
    if rng.random() < 0.2:
        star = star.union(Point(x + rng.uniform(-200, 200), y).buffer(radius / 3))
    return star


def test_areas_agree_with_an_overlay() -> None:
    rng = np.random.default_rng(11)
    outlines = np.array([ragged(rng, rng.integers(4, 20), rng.uniform(10, 100)) for _ in range(4000)], dtype=object)
    grounds = np.array([ragged(rng, rng.integers(4, 40), rng.uniform(10, 300)) for _ in range(500)], dtype=object)
    ground = rng.integers(0, len(grounds), len(outlines))
    cut, held = Outlines.of(outlines), Outlines.of(grounds)
    expected = shapely.area(shapely.difference(outlines, grounds[ground]))
    assert areas_beyond(cut, held, ground) == pytest.approx(expected, abs=1e-5)
    shared = shared_areas(
        cut.xy, cut.rings, cut.first, cut.bounds, held.xy, held.rings, held.first, held.bounds, ground
    )
    assert not np.isnan(shared).any(), "nothing here touches: no pair is left to GEOS"
    crossing = np.isfinite(shared) & (shared > 0) & (expected > 0)
    assert crossing.sum() > 1000


SQUARE = box(0, 0, 100, 100)
TOUCHING = {
    "the same": (SQUARE, SQUARE),
    "half, along an edge": (SQUARE, box(50, 0, 150, 100)),
    "beside it": (SQUARE, box(100, 0, 200, 100)),
    "a corner on an edge": (SQUARE, Polygon([(100, 50), (160, 20), (160, 80)])),
    "within, at an edge": (box(0, 20, 30, 40), SQUARE),
    "around, at an edge": (SQUARE, box(0, 20, 30, 40)),
    "corners on corners": (SQUARE, Polygon([(0, 0), (100, 0), (100, 100)])),
    "in the hole": (box(40, 40, 60, 60), SQUARE.difference(box(30, 30, 70, 70))),
    "filling the hole": (box(30, 30, 70, 70), SQUARE.difference(box(30, 30, 70, 70))),
    "a part within and a part without": (MultiPolygon([box(200, 0, 220, 20), box(10, 10, 20, 20)]), SQUARE),
    "a part without and a part within": (MultiPolygon([box(10, 10, 20, 20), box(200, 0, 220, 20)]), SQUARE),
    "no ground left": (SQUARE, Polygon()),
}


@pytest.mark.parametrize("name", TOUCHING)
def test_edges_that_touch_change_nothing(name: str) -> None:
    outline, ground = (translate(one, EAST, NORTH) for one in TOUCHING[name])
    taken = Outlines.of(np.array([outline, SQUARE], dtype=object))  # a second one, so that scratch is used again
    held = Outlines.of(np.array([Polygon(), ground], dtype=object))
    found = areas_beyond(taken, held, np.array([1, 0]))
    assert found == pytest.approx([outline.difference(ground).area, SQUARE.area], abs=1e-6)


def test_only_polygons_are_outlines() -> None:
    with pytest.raises(ValueError, match="polygons"):
        Outlines.of(np.array([Point(0, 0)], dtype=object))
