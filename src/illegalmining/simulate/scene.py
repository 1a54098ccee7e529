"""What lies on the ground: a grid, covers, relief, and the day on which every pixel of a pit is dug."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
from rasterio.features import geometry_mask
from rasterio.transform import from_origin
from scipy import ndimage
from shapely.geometry import Polygon

from illegalmining.simulate.plan import Pit, Plan
from illegalmining.simulate.preset import Preset

Floats = npt.NDArray[np.float32]
FOREST, GRASS, CROPS, BARE, VILLAGE, WATER = range(6)
NEVER = 10**6


@dataclass(frozen=True)
class Grid:
    """North-up grid of a district: `shape` (rows, columns), `pixel` in m, `west` and `north` its corner."""

    west: float
    north: float
    pixel: float
    shape: tuple[int, int]

    @property
    def transform(self):  # type: ignore[no-untyped-def]
        return from_origin(self.west, self.north, self.pixel, self.pixel)

    @property
    def x(self) -> npt.NDArray[np.floating]:
        return self.west + self.pixel * (np.arange(self.shape[1]) + 0.5)

    @property
    def y(self) -> npt.NDArray[np.floating]:
        return self.north - self.pixel * (np.arange(self.shape[0]) + 0.5)

    def inside(self, outline: Polygon) -> npt.NDArray[np.bool_]:
        """Pixels whose centre lies in the outline."""
        return ~geometry_mask([outline], self.shape, self.transform)


def grid_of(preset: Preset, pixel: float) -> Grid:
    """The district's grid at a pixel size."""
    side = round(preset.size_m / pixel)
    return Grid(preset.origin[0], preset.origin[1] + side * pixel, pixel, (side, side))


def smooth(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Floats:
    """Smooth noise of unit variance; `scale` in pixels."""
    coarse = max(1.0, scale / 4)
    small = (int(np.ceil(shape[0] / coarse)) + 8, int(np.ceil(shape[1] / coarse)) + 8)
    field = ndimage.gaussian_filter(rng.standard_normal(small), scale / coarse, mode="wrap")
    field = ndimage.zoom(field, coarse, order=1)[: shape[0], : shape[1]]
    return ((field - field.mean()) / field.std()).astype(np.float32)


@dataclass(frozen=True)
class Ground:
    """cover: class of each pixel. relief: elevation, m. shade: factor of terrain light. grain: lasting reflectance
    differences of a pixel. parcel: number of the field a crop pixel belongs to."""

    grid: Grid
    cover: npt.NDArray[np.int8]
    relief: Floats
    shade: Floats
    grain: Floats
    parcel: npt.NDArray[np.int32]


def make_ground(preset: Preset, plan: Plan, grid: Grid, seed: int) -> Ground:
    """Covers from relief and noise; villages at yards, water in reservoirs. The same land for every sensor's grid."""
    rng = np.random.default_rng([seed, 11])
    fine = round(preset.size_m / 10)
    relief = 1100 + 60 * smooth(rng, (fine, fine), 70) + 12 * smooth(rng, (fine, fine), 15)
    wet, kind = smooth(rng, (fine, fine), 40), smooth(rng, (fine, fine), 25)
    cover = np.full((fine, fine), GRASS, np.int8)
    cover[(wet > 0.2) & (kind > -0.3)] = FOREST
    cover[(kind < -0.45) & (wet < 0.8)] = CROPS
    cover[(kind > 1.5) & (wet < -0.5)] = BARE
    grain = smooth(rng, (fine, fine), 3) * 0.6 + rng.standard_normal((fine, fine)).astype(np.float32) * 0.5
    rows, columns = np.indices((fine, fine))
    parcel = ((rows + (wet * 6).astype(int)) // 9 * 997 + (columns + (kind * 6).astype(int)) // 14).astype(np.int32)
    step_y, step_x = np.gradient(ndimage.gaussian_filter(relief, 3), 10.0)
    shade = np.clip(1 + 0.6 * (step_x - step_y), 0.6, 1.3)
    base = grid_of(preset, 10.0)
    for mine in plan.mines:
        cover[base.inside(mine.yard)] = VILLAGE
    for happening in plan.events:
        if happening.kind == "reservoir":
            cover[base.inside(happening.outline)] = WATER
    layers = [coarser(layer, grid) for layer in (cover, relief, shade, grain, parcel)]
    return Ground(grid, *(layer.astype(t) for layer, t in zip(layers, ("i1", "f4", "f4", "f4", "i4"), strict=True)))


def coarser(layer: npt.NDArray, grid: Grid) -> npt.NDArray:
    """A 10 m layer on a coarser grid, nearest."""
    rows = np.minimum(((np.arange(grid.shape[0]) + 0.5) * grid.pixel / 10).astype(int), layer.shape[0] - 1)
    columns = np.minimum(((np.arange(grid.shape[1]) + 0.5) * grid.pixel / 10).astype(int), layer.shape[1] - 1)
    return layer[np.ix_(rows, columns)]


def dug_day(grid: Grid, pits: list[Pit], since: date, rng: np.random.Generator) -> tuple[npt.NDArray, npt.NDArray]:
    """(day since `since` on which each pixel is dug, number of its pit); `NEVER` and -1 where nobody digs."""
    day = np.full(grid.shape, NEVER, np.int32)
    number = np.full(grid.shape, -1, np.int16)
    x, y = np.meshgrid(grid.x, grid.y)
    for k, pit in enumerate(pits):
        inside = grid.inside(pit.outline)
        reach = np.hypot(x[inside] - pit.centre[0], y[inside] - pit.centre[1])
        order = np.clip(reach / max(reach.max(initial=1.0), 1.0) + rng.normal(0, 0.05, reach.shape), 0, 1) ** 2
        day[inside] = (pit.start - since).days + order * (pit.end - pit.start).days
        number[inside] = k
    return day, number
