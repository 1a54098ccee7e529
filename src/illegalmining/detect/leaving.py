"""What leaves a tile, and the sheet on which tiles are put together while others are still judged.

Regions are few, and of the ground between them nothing is asked but its evidence. So a worker hands over two planes,
the map of what would have been seen, and the rest only of pixels that a region may hold: a fifth of what it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from illegalmining.detect.baseline import Floats
from illegalmining.detect.change import Maps
from illegalmining.detect.memory import Place
from illegalmining.detect.regions import RegionParameters, smallest_site

WHOLE = ("evidence", "dates")
"""What regions are grown from, pixel by pixel."""
SMALLEST = "smallest_site_m2"
Dismissed = Callable[[Floats], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Left:
    """What leaves a tile. whole: planes (..., Y, X) by name. where: pixels (N,), counted row by row, of which `some`
    (..., N), by name, says more."""

    whole: dict[str, npt.NDArray[Any]]
    where: npt.NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    some: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


def less_dismissed(maps: Maps, dismissed: Dismissed | None) -> Maps:
    """The maps without the evidence of pixels whose shift no mine makes."""
    if dismissed is None:
        return maps
    return replace(maps, evidence=np.where(dismissed(maps.shift), 0, maps.evidence))


def everything(maps: Maps, dismissed: Dismissed | None) -> Left:
    """All maps of a tile."""
    return Left(vars(less_dismissed(maps, dismissed)))


@dataclass(frozen=True)
class ForRegions:
    """What regions are drawn from. dismissed: as in `Stack`. contrast: (K,), and pixel_m2, as `smallest_site` takes
    them."""

    dismissed: Dismissed | None
    contrast: npt.NDArray[np.float64]
    pixel_m2: float
    regions: RegionParameters

    def __call__(self, maps: Maps) -> Left:
        """What leaves a tile."""
        maps = less_dismissed(maps, self.dismissed)
        smallest = smallest_site(maps, self.contrast, self.pixel_m2, self.regions)
        where = np.flatnonzero(beside(np.nan_to_num(maps.evidence) >= self.regions.grow))
        flat = {name: plane.reshape(*plane.shape[:-2], -1) for name, plane in vars(maps).items() if name not in WHOLE}
        some = {name: plane[..., where] for name, plane in flat.items()}
        return Left({name: getattr(maps, name) for name in WHOLE} | {SMALLEST: smallest}, where, some)


def beside(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels (Y, X) of a mask and those that touch them: of these regions are made.

    One that does not join a region by itself belongs to it where six of the nine around it do, of which a tile's edge
    hides three and its corner five: so one at least lies in its own tile.
    """
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    wide = tall.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


@dataclass(frozen=True)
class Sheet:
    """Planes (..., *shape) by name, put together tile by tile in any order; 0 where a tile said nothing of a pixel."""

    shape: tuple[int, int]
    planes: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def put(self, place: Place, left: Left) -> None:
        """Put what left a tile into its place."""
        (top, bottom), (start, end) = place
        for name, values in left.whole.items():
            self.plane(name, values, 2)[..., top:bottom, start:end] = values
        down, across = np.divmod(left.where, end - start)
        for name, values in left.some.items():
            self.plane(name, values, 1)[..., top + down, start + across] = values

    def plane(self, name: str, values: npt.NDArray[Any], inner: int) -> npt.NDArray[Any]:
        """The plane of that name; made, of zeros that take no memory before they are written, as the first of `values`
        are there, whose last `inner` axes are pixels."""
        if name not in self.planes:
            self.planes[name] = np.zeros((*values.shape[: values.ndim - inner], *self.shape), values.dtype)
        return self.planes[name]

    @property
    def maps(self) -> Maps:
        """The planes that are maps."""
        return Maps(**{name: self.planes[name] for name in Maps.__dataclass_fields__})
