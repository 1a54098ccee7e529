"""Which grid a source is brought to: its own where it fits the district, else the district's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, bbox_union, box
from odc.geo.overlap import compute_reproject_roi

from illegalmining.district import District
from illegalmining.errors import InputError

SAME_SIZE = 1e-3
"""Pixel sizes that differ by less than this share are one size."""
SUBPIXEL = 0.02
"""Pixels shifted by less than this share of a pixel lie on one grid."""
BLOCK_BYTES = 500e6
"""One block with all its dates and bands, about; the last of a row may be half as wide again."""
BLOCK_STEP, LARGEST_BLOCK = 128, 512
"""Sides of blocks are whole numbers of this many pixels, so that blocks read for one purpose fit another's."""


HISTORY_PIECE = 16
"""Dates of the history in one chunk."""
MOST_PIXELS = 10_000_000_000
"""A grid of more is no district's but a wrong pixel size: Shanxi at 10 m has 1.6 thousand million."""
FINEST_SHARE = 64.0
"""Source pixels along a side of a grid's pixel: drone images of 0.2 m on a grid of 10 m have 50."""
Roi = tuple[slice, slice]


@dataclass(frozen=True)
class Overlap:
    """Which pixels of a source fall on which of a target (rows, columns).

    coincide: pixel falls on pixel, nothing need be resampled. coarser: source pixels along a side of a target pixel.
    """

    source: Roi
    target: Roi
    coincide: bool
    coarser: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the target that are touched."""
        rows, columns = self.target
        return rows.stop - rows.start, columns.stop - columns.start


@lru_cache(maxsize=65536)
def overlap(source: GeoBox, target: GeoBox, pasting: bool = True) -> Overlap | None:
    """How a source lies on a target; None where they do not meet. pasting: whether pixels may be found to coincide."""
    way = compute_reproject_roi(source, target, padding=None if pasting else 1)
    from_rows, from_columns = (slice(part.start, part.stop) for part in way.roi_src)
    rows, columns = (slice(part.start, part.stop) for part in way.roi_dst)
    if min(part.stop - part.start for part in (from_rows, from_columns, rows, columns)) <= 0:
        return None
    same = (from_rows.stop - from_rows.start, from_columns.stop - from_columns.start)
    found = Overlap((from_rows, from_columns), (rows, columns), False, float(way.scale))
    return replace(found, coincide=way.paste_ok and way.read_shrink == 1 and same == found.shape)


@lru_cache(maxsize=65536)
def overlap_of_part(source: GeoBox, part: GeoBox, grid: GeoBox) -> Overlap | None:
    """How a source lies on a part of a grid; None where they do not meet.

    Whether pixels are taken as they are, interpolated or averaged is settled by the grid as a whole, so that a pixel
    does not depend on the part it is read with.
    """
    whole = overlap(source, grid)
    if whole is None:
        return None
    way = overlap(source, part, whole.coincide and keep_step(source, grid))
    return None if way is None else replace(way, coarser=whole.coarser)


def keep_step(source: GeoBox, grid: GeoBox) -> bool:
    """Whether pixels that coincide at one side of the grid still do at the other."""
    step = ~source.affine * grid.affine
    drift = max(abs(step.a - 1) * grid.shape.x, abs(step.e - 1) * grid.shape.y)
    return bool(drift < SUBPIXEL)


@lru_cache(maxsize=64)
def crs_from(wkt: str) -> CRS:
    """A CRS, by its code where it has one: short to print, and equal to others of that code."""
    crs = CRS(wkt)
    return CRS(f"EPSG:{crs.epsg}") if crs.epsg else crs


def district_crs(district: District) -> CRS:
    """The district's CRS as the grids' library has it."""
    return crs_from(district.crs.to_wkt())


def district_extent(district: District) -> Geometry:
    """The district's bounds as a polygon."""
    return box(*district.configuration.district.bounds, district_crs(district))


def choose_grid(boxes: Iterable[GeoBox], resolution: float | None, district: District) -> GeoBox:
    """The grid for rasters on the given grids (`in_words_of` the district's CRS), one entry a raster.

    Rasters in the district's CRS with the wanted pixel size (unspecified: their finest) keep their own pixels, those of
    the most frequent grid; a half-pixel shift would blur every edge. Without any, the district's own grid is used.
    """
    counted = Counter(boxes)
    crs = district_crs(district)
    sizes = {grid: ground_size(grid, crs, district) for grid in counted}
    wanted = resolution if resolution is not None else min(sizes.values())
    refuse_bulk(wanted, min(sizes.values()), district)
    own: Counter[GeoBox] = Counter()
    for grid, count in counted.items():
        fits = abs(sizes[grid] - wanted) <= SAME_SIZE * wanted
        if fits and is_north_up(grid) and grid.crs == crs:
            own[own_pixels(grid, district)] += count
    if own:
        return min(own, key=lambda grid: (-own[grid], grid.affine.c, grid.affine.f))
    grid = district.geobox(wanted if resolution is not None else round_size(wanted))
    return GeoBox(grid.shape, grid.affine, crs)


def refuse_bulk(wanted: float, finest: float, district: District) -> None:
    """Raise `InputError` where pixels are so fine that a district of them, or one block, would fill the memory."""
    xmin, ymin, xmax, ymax = district.configuration.district.bounds
    pixels = (xmax - xmin) * (ymax - ymin) / wanted**2
    if not pixels <= MOST_PIXELS:
        raise InputError(
            f"pixels of {wanted:.3g} m would cut the district into {pixels:.2g}, expected at most {MOST_PIXELS:.0e}: "
            "check the georeference, or give the source's resolution in district.toml"
        )
    if finest * FINEST_SHARE < wanted:
        raise InputError(
            f"a raster has pixels of {finest:.3g} m on a grid of {wanted:.3g} m, expected at least "
            f"{wanted / FINEST_SHARE:.3g} m: check its georeference, or coarsen it first"
        )


def is_north_up(grid: GeoBox) -> bool:
    """Whether rows run south, columns east, and pixels are square."""
    transform = grid.affine
    square = math.isclose(transform.a, -transform.e, rel_tol=SAME_SIZE)
    return transform.b == 0 == transform.d and transform.a > 0 and square


def own_pixels(grid: GeoBox, district: District) -> GeoBox:
    """The grid carried on over the whole district: every pixel whose centre lies within the bounds."""
    size_x, size_y = grid.affine.a, -grid.affine.e
    xmin, ymin, xmax, ymax = district.configuration.district.bounds
    first, last = within((xmin - grid.affine.c) / size_x, (xmax - grid.affine.c) / size_x)
    top, bottom = within((grid.affine.f - ymax) / size_y, (grid.affine.f - ymin) / size_y)
    corner = Affine(size_x, 0.0, grid.affine.c + first * size_x, 0.0, -size_y, grid.affine.f - top * size_y)
    return GeoBox((max(1, bottom - top), max(1, last - first)), corner, district_crs(district))


def within(low: float, high: float) -> tuple[int, int]:
    """Whole pixels [first, last) whose centres lie in [low, high), in pixels; near misses count as hits."""
    return math.ceil(low - 0.5 - SUBPIXEL), math.ceil(high - 0.5 - SUBPIXEL)


def ground_size(grid: GeoBox, crs: CRS, district: District) -> float:
    """Pixel size in metres of the district's CRS, measured where the district lies."""
    size = math.sqrt(abs(grid.affine.determinant))
    if grid.crs == crs:
        return size
    extent = district_extent(district)
    assert grid.crs is not None, "rasters without a CRS were refused"
    there = extent.to_crs(grid.crs)
    return size * math.sqrt(extent.area / there.area)


def round_size(size: float) -> float:
    """A pixel size as a person would state it: 9.97 m, the stretch of a projection, is 10 m."""
    return float(f"{size:.2g}") if size < 100 else float(round(size / 10) * 10)


def middle_of(roi: Roi, most: int) -> Roi:
    """The middle of a window, at most `most` pixels along a side."""
    rows, columns = roi
    return middle(rows, most), middle(columns, most)


def middle(part: slice, most: int) -> slice:
    """The middle of a range, at most `most` long."""
    start = part.start + max(0, (part.stop - part.start - most) // 2)
    return slice(start, min(part.stop, start + most))


def blocks(shape: tuple[int, int], dates: int, bands: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunk sizes along y and x so that a block with all dates and bands stays about under `BLOCK_BYTES`.

    The side is 128, 256 or 512 pixels, counted from the north-west corner.
    """
    most = math.sqrt(BLOCK_BYTES / (4.0 * max(1, dates) * max(1, bands)))
    side = BLOCK_STEP
    while 2 * side <= min(most, LARGEST_BLOCK):
        side *= 2
    return split(shape[0], side), split(shape[1], side)


def pieces(days: Sequence[date], since: date, together: int = 1) -> tuple[int, ...]:
    """Chunk sizes along time: the history in a few, every later date by itself, or as many as are stored `together`.

    So a night that needs one new date reads that date.
    """
    past = sum(day < since for day in days)
    whole, rest = divmod(past, HISTORY_PIECE)
    later, left = divmod(len(days) - past, together)
    return (*(HISTORY_PIECE,) * whole, *((rest,) if rest else ()), *(together,) * later, *((left,) if left else ()))


def split(length: int, side: int) -> tuple[int, ...]:
    """A length in parts of `side`; a remainder of less than half a side joins the last."""
    parts = max(1, (2 * length + side) // (2 * side))
    return (*(side,) * (parts - 1), length - side * (parts - 1))


def meets(extents: Sequence[Geometry], district: District, what: str) -> None:
    """Check that something lies in the district.

    Raises
    ------
    InputError
        Nothing does; names both extents in the district's CRS.
    """
    there = district_extent(district)
    # The district goes to the source's CRS and not the other way: a raster of the whole earth has no UTM coordinates.
    if any(extent.intersection(there.to_crs(extent.crs)).area > 0 for extent in extents if extent.crs is not None):
        return
    hull = bbox_union(extent.to_crs(there.crs).boundingbox for extent in extents if there.crs is not None)
    raise InputError(
        f"{what}: nothing of it lies in the district. It covers {rounded(hull.bbox)}, the district's bounds are "
        f"{rounded(there.boundingbox.bbox)} in {district.configuration.district.crs}: check href, bounds and crs"
    )


def rounded(bounds: Sequence[float]) -> str:
    """Bounds to the metre."""
    return "[" + ", ".join(f"{edge:.0f}" for edge in bounds) + "]"
