"""How much of many outlines lies beyond the ground each is held against, without building the shapes of the parts.

By Green's theorem the area two polygons share is the integral of x dy along the parts of each one's edges that run
within the other. Along an edge only the crossings change whether it runs within, so each adds or takes the rest of its
edge, in any order: no sorting, no overlay. Where an edge touches instead of crossing, GEOS is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]

TOUCH_M = 1e-6
"""A corner nearer than this to a line that it may lie on is not decided by a sign, m."""

kernel = njit(nogil=True, cache=True, error_model="numpy")


@dataclass(frozen=True)
class Outlines:
    """Polygons as coordinates: exteriors run counter-clockwise, holes clockwise.

    shapes: (n,) shapely polygons or multipolygons. xy: (vertices, 2), m. rings: (rings + 1,) first vertex of each.
    first: (n + 1,) first ring of each shape. bounds: (n, 4).
    """

    shapes: NDArray[Any]
    xy: Numbers
    rings: Places
    first: Places
    bounds: Numbers

    @classmethod
    def of(cls, shapes: NDArray[Any]) -> Outlines:
        """Take shapes apart. Raises ValueError where one is no polygon."""
        kind, xy, offsets = shapely.to_ragged_array(shapely.orient_polygons(shapes))
        if kind not in (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON):
            raise ValueError(f"outlines are polygons, not {kind.name}")
        rings, *parts = (np.asarray(one, dtype=np.int64) for one in offsets)
        first = parts[0] if len(parts) == 1 else parts[0][parts[1]]
        return cls(shapes, np.ascontiguousarray(xy[:, :2]), rings, first, shapely.bounds(shapes))


def areas_beyond(outlines: Outlines, grounds: Outlines, ground: Places) -> Numbers:
    """The area of each outline outside the ground beside it, m2.

    Parameters
    ----------
    outlines: n of them. ground: (n,) which of the `grounds` each is held against.
    """
    sizes = shapely.area(outlines.shapes)
    shared = shared_areas(
        outlines.xy, outlines.rings, outlines.first, outlines.bounds,
        grounds.xy, grounds.rings, grounds.first, grounds.bounds, ground,
    )  # fmt: skip
    beyond = np.where(np.isinf(shared), 0.0, np.clip(sizes - shared, 0.0, sizes))
    open_ = np.flatnonzero(np.isnan(shared))
    beyond[open_] = shapely.area(shapely.difference(outlines.shapes[open_], grounds.shapes[ground[open_]]))
    return beyond


@kernel
def shared_areas(
    xy: Numbers, rings: Places, first: Places, bounds: Numbers,
    other_xy: Numbers, other_rings: Places, other_first: Places, other_bounds: Numbers, other: Places,
) -> Numbers:  # fmt: skip
    """The area each shape shares with its other, m2: infinite where it lies all within, NaN where edges touch."""
    shared = np.zeros(len(first) - 1)
    turns = np.zeros(len(other_xy), dtype=np.int64)
    for i in range(len(shared)):
        j = other[i]
        box, round_ = bounds[i], other_bounds[j]
        if not (box[0] <= round_[2] and box[2] >= round_[0] and box[1] <= round_[3] and box[3] >= round_[1]):
            continue
        for at in range(other_rings[other_first[j]], other_rings[other_first[j + 1]]):
            turns[at] = 0
        shared[i] = shared_area(
            xy, rings, first[i], first[i + 1], box, other_xy, other_rings, other_first[j], other_first[j + 1], turns
        )
    return shared


@kernel
def shared_area(
    xy: Numbers, rings: Places, first: int, end: int, box: Numbers,
    other_xy: Numbers, other_rings: Places, other_first: int, other_end: int, turns: Places,
) -> float:  # fmt: skip
    """One pair of `shared_areas`; `turns` is the others' scratch: crossings into the shape less those out of it."""
    x0, y0 = box[0], box[1]
    area, enclosed = 0.0, True
    for ring in range(first, end):
        within = is_within(xy[rings[ring], 0], xy[rings[ring], 1], other_xy, other_rings, other_first, other_end)
        begun = within
        enclosed &= begun == 1
        for at in range(rings[ring], rings[ring + 1] - 1):
            px, py, qx, qy = xy[at, 0] - x0, xy[at, 1] - y0, xy[at + 1, 0] - x0, xy[at + 1, 1] - y0
            area += within * 0.5 * (qy - py) * (px + qx)
            for other in range(other_first, other_end):
                for be in range(other_rings[other], other_rings[other + 1] - 1):
                    ax, ay = other_xy[be, 0] - x0, other_xy[be, 1] - y0
                    bx, by = other_xy[be + 1, 0] - x0, other_xy[be + 1, 1] - y0
                    if (
                        max(ax, bx) < min(px, qx) - TOUCH_M
                        or min(ax, bx) > max(px, qx) + TOUCH_M
                        or max(ay, by) < min(py, qy) - TOUCH_M
                        or min(ay, by) > max(py, qy) + TOUCH_M
                    ):
                        continue
                    p = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
                    q = (bx - ax) * (qy - ay) - (by - ay) * (qx - ax)
                    a = (qx - px) * (ay - py) - (qy - py) * (ax - px)
                    b = (qx - px) * (by - py) - (qy - py) * (bx - px)
                    if min(abs(p), abs(q)) <= TOUCH_M * (abs(bx - ax) + abs(by - ay)) or min(abs(a), abs(b)) <= (
                        TOUCH_M * (abs(qx - px) + abs(qy - py))
                    ):
                        return np.nan
                    if (p > 0) == (q > 0) or (a > 0) == (b > 0):
                        continue
                    t, u = p / (p - q), a / (a - b)
                    enclosed = False
                    into = 1 if q > 0 else -1
                    within += into
                    area += into * 0.5 * (1 - t) * (qy - py) * (px + t * (qx - px) + qx)
                    turns[be] -= into
                    area -= into * 0.5 * (1 - u) * (by - ay) * (ax + u * (bx - ax) + bx)
        if within != begun:
            return np.nan
    for other in range(other_first, other_end):
        within = is_within(other_xy[other_rings[other], 0], other_xy[other_rings[other], 1], xy, rings, first, end)
        for be in range(other_rings[other], other_rings[other + 1] - 1):
            enclosed &= within == 0
            area += (
                within
                * 0.5
                * (other_xy[be + 1, 1] - other_xy[be, 1])
                * (other_xy[be, 0] + other_xy[be + 1, 0] - 2 * x0)
            )
            within += turns[be]
    return np.inf if enclosed else area


@kernel
def is_within(x: float, y: float, xy: Numbers, rings: Places, first: int, end: int) -> int:
    """1 where a point lies within a shape, else 0: how often a ray to the east leaves it (half-open edges)."""
    odd = 0
    for ring in range(first, end):
        for at in range(rings[ring], rings[ring + 1] - 1):
            above, below = xy[at, 1] > y, xy[at + 1, 1] > y
            if above != below:
                share = (y - xy[at, 1]) / (xy[at + 1, 1] - xy[at, 1])
                odd ^= int(x < xy[at, 0] + share * (xy[at + 1, 0] - xy[at, 0]))
    return odd
