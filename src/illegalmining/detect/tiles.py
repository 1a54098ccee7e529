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


def in_hand(tiles: Sequence[Tile], dates: int, workers: int, megabytes: float, bytes_a_value: float) -> int:
    """How many tiles may be judged at once: one a worker, fewer where the largest would not fit in `megabytes`.

    bytes_a_value: what a value of a tile takes while it is judged. One tile is in hand however little memory there is:
    its size settles what is found, and what is found must not depend on the machine.
    """
    pixels = max(math.prod(part.stop - part.start for part in tile.whole) for tile in tiles)
    return max(1, int(min(workers, megabytes * 1e6 / (pixels * dates * bytes_a_value))))
