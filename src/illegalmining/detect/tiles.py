"""A scene in tiles: what one place needs lies within a few kilometres of it, so memory is bound by a tile's size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from shapely.geometry import Point


@dataclass(frozen=True)
class Tile:
    """Part of a grid. core: rows and columns that it answers for. whole: those it looks at, the core and a margin."""

    core: tuple[slice, slice]
    whole: tuple[slice, slice]

    def of(self, cube: xr.Dataset) -> xr.Dataset:
        """What it looks at."""
        return cube.isel(y=self.whole[0], x=self.whole[1])

    @property
    def inner(self) -> tuple[slice, slice]:
        """The core in rows and columns of what it looks at."""
        rows, columns = (
            slice(core.start - whole.start, core.stop - whole.start)
            for core, whole in zip(self.core, self.whole, strict=True)
        )
        return rows, columns

    def facts(self, dates: int) -> dict[str, Any]:
        """Which it is, by row and column of its first pixel, and what its core comes to with so many dates."""
        rows, columns = self.core
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        return {"tile": f"{rows.start},{columns.start}", "pixel_dates": pixels * dates}

    def answers_for(self, place: Point, cube: xr.Dataset) -> bool:
        """Whether the pixel nearest to a place lies in the core; every place on earth has one such tile."""
        row, column = (int(np.abs(cube[axis].values - at).argmin()) for axis, at in (("y", place.y), ("x", place.x)))
        rows, columns = self.core
        return rows.start <= row < rows.stop and columns.start <= column < columns.stop


def tiles_of(shape: tuple[int, int], side: int, margin: int) -> Iterator[Tile]:
    """Tiles of at most about `side` pixels that share a grid (rows, columns) evenly, each with its margin."""
    counts = [max(1, round(n / side)) for n in shape]
    cuts = [[n * k // count for k in range(count + 1)] for n, count in zip(shape, counts, strict=True)]
    pairs = [list(itertools.pairwise(cut)) for cut in cuts]
    for (top, bottom), (left, right) in itertools.product(*pairs):
        whole = tuple(
            slice(max(low - margin, 0), min(high + margin, n))
            for (low, high), n in zip(((top, bottom), (left, right)), shape, strict=True)
        )
        yield Tile((slice(top, bottom), slice(left, right)), (whole[0], whole[1]))


def grid_over(cubes: Sequence[xr.Dataset]) -> xr.Dataset:
    """Pixel centres of the ground that any of several cubes sees, at the side of their smallest pixel; a single cube's
    are its own."""
    if len(cubes) == 1:
        return cubes[0][["y", "x"]]
    side = min(abs(float(cube["x"][1] - cube["x"][0])) for cube in cubes)
    edges = [edges_of(cube) for cube in cubes]
    west, east = min(one[0] for one in edges), max(one[1] for one in edges)
    south, north = min(one[2] for one in edges), max(one[3] for one in edges)
    x = west + side * (np.arange(round((east - west) / side)) + 0.5)
    y = north - side * (np.arange(round((north - south) / side)) + 0.5)
    return xr.Dataset(coords={"y": y, "x": x})


def edges_of(cube: xr.Dataset) -> tuple[float, float, float, float]:
    """West, east, south and north of a cube's pixels."""
    x, y = (np.sort(cube[axis].values.astype(float)) for axis in ("x", "y"))
    half = (x[1] - x[0]) / 2
    return x[0] - half, x[-1] + half, y[0] - half, y[-1] + half


def part_of(tile: Tile, grid: xr.Dataset, cube: xr.Dataset) -> Tile | None:
    """The tile of a grid in the rows and columns of a cube of the same ground; None where the cube holds none of it."""
    parts = []
    for axis, k in (("y", 0), ("x", 1)):
        line, at = grid[axis].values.astype(float), cube[axis].values.astype(float)
        half = abs(line[1] - line[0]) / 2
        spans = []
        for part in (tile.core[k], tile.whole[k]):
            low, high = sorted((line[part.start], line[part.stop - 1]))
            inside = np.flatnonzero((at >= low - half) & (at < high + half))
            spans.append(slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0))
        parts.append(spans)
    (core_y, whole_y), (core_x, whole_x) = parts
    if min(whole_y.stop - whole_y.start, whole_x.stop - whole_x.start) < 8:
        return None
    return Tile((core_y, core_x), (whole_y, whole_x))


def in_hand(tiles: Sequence[Tile], dates: int, workers: int, megabytes: float, bytes_a_value: float) -> int:
    """How many tiles may be judged at once: one a worker, fewer where the largest would not fit in `megabytes`.

    bytes_a_value: what a value of a tile takes while it is judged. One tile is in hand however little memory there is:
    its size settles what is found, and what is found must not depend on the machine.
    """
    pixels = max(math.prod(part.stop - part.start for part in tile.whole) for tile in tiles)
    return max(1, int(min(workers, megabytes * 1e6 / (pixels * dates * bytes_a_value))))
