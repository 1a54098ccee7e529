"""Images from one grid to another; the ground's coordinates are worked out once for all images of a projection."""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from illegalmining.imagery.grids import Overlap

COARSER = 1.5
"""From this many source pixels to a pixel on, they are averaged and no longer interpolated."""
SEEN = 0.5
"""Least weight of pixels that saw something for the mean of four to count, so that gaps neither grow nor shrink."""


def resampled(
    values: np.ndarray, way: Overlap, source: GeoBox, window: GeoBox, grid: GeoBox, resampling: str
) -> np.ndarray:
    """An image on its part of the window; as it is where pixels coincide.

    Missing pixels take no part in a mean, so that they do not spread. A pixel's value is the same whatever the window.

    Parameters
    ----------
    values: (y, x) float32, the source's pixels of `way.source`, NaN where nothing was seen.
    source, window: the grids `way` lies between. grid: what `window` is a part of.
    resampling: `nearest`, or `bilinear`, which averages where the source is much finer.
    """
    if way.coincide:
        return values
    assert source.crs is not None, "rasters without a CRS were refused"
    top, left = way.source[0].start, way.source[1].start
    rows, columns = way.target
    if resampling != "nearest" and way.coarser >= COARSER:
        x, y = ground(source.crs, window, grid, 0.0)
        corners = slice(rows.start, rows.stop + 1), slice(columns.start, columns.stop + 1)
        across, down = ~source.affine * (x[corners], y[corners])
        return average(np.ascontiguousarray(values), down - top, across - left)
    x, y = (axis[way.target] for axis in ground(source.crs, window, grid, 0.5))
    across, down = ~source.affine * (x, y)
    kernel = nearest if resampling == "nearest" else bilinear
    return kernel(np.ascontiguousarray(values), down - top, across - left)


@lru_cache(maxsize=32)
def ground(crs: CRS, window: GeoBox, grid: GeoBox, within: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y in a CRS, float64: of every pixel's centre (`within` 0.5) of a window, each (y, x), or of every corner
    (`within` 0), each (y + 1, x + 1).

    Reckoned from the grid's own corner, because a window's corner is rounded.
    """
    first_column, first_row = (round(at) for at in ~grid.affine * (window.affine.c, window.affine.f))
    more = 1 if within == 0.0 else 0
    rows, columns = np.mgrid[: window.shape.y + more, : window.shape.x + more]
    rows, columns = rows + first_row + within, columns + first_column + within
    a, b, c, d, e, f, *_ = grid.affine
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    assert window.crs is not None, "a district has a CRS"
    if window.crs == crs:
        return x, y
    there = np.asarray(window.crs.transformer_to_crs(crs)(x, y))
    return there[0], there[1]


@numba.njit(nogil=True, cache=True)
def nearest(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The pixel that holds each place; places in pixels from the upper left corner, NaN outside."""
    height, width = values.shape
    out = np.full(rows.shape, np.float32(np.nan), np.float32)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            row, column = np.floor(rows[i, j]), np.floor(columns[i, j])
            if 0 <= row < height and 0 <= column < width:
                out[i, j] = values[int(row), int(column)]
    return out


@numba.njit(nogil=True, cache=True)
def bilinear(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The weighted mean of the four pixels around each place, of those that saw something."""
    height, width = values.shape
    out = np.full(rows.shape, np.float32(np.nan), np.float32)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            row, column = rows[i, j] - 0.5, columns[i, j] - 0.5
            if not (-1 < row < height and -1 < column < width):
                continue
            top, left = int(np.floor(row)), int(np.floor(column))
            total, weights = 0.0, 0.0
            for r in range(top, top + 2):
                for c in range(left, left + 2):
                    weight = (1 - abs(row - r)) * (1 - abs(column - c))
                    if weight > 0 and 0 <= r < height and 0 <= c < width and not np.isnan(values[r, c]):
                        total += weight * values[r, c]
                        weights += weight
            if weights >= SEEN:
                out[i, j] = total / weights
    return out


@numba.njit(nogil=True, cache=True)
def average(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The mean of the source pixels below each pixel, by the share of them that it covers, of those that saw something.

    rows, columns: of the pixels' corners, each (y + 1, x + 1), in source pixels from the upper left corner. A pixel
    that lies askew on the source is taken for the upright rectangle around it.
    """
    height, width = values.shape
    out = np.full((rows.shape[0] - 1, rows.shape[1] - 1), np.float32(np.nan), np.float32)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            top = min(rows[i, j], rows[i, j + 1], rows[i + 1, j], rows[i + 1, j + 1])
            bottom = max(rows[i, j], rows[i, j + 1], rows[i + 1, j], rows[i + 1, j + 1])
            left = min(columns[i, j], columns[i, j + 1], columns[i + 1, j], columns[i + 1, j + 1])
            right = max(columns[i, j], columns[i, j + 1], columns[i + 1, j], columns[i + 1, j + 1])
            total, weights = 0.0, 0.0
            for r in range(max(0, int(np.floor(top))), min(height, int(np.ceil(bottom)))):
                high = min(bottom, r + 1.0) - max(top, float(r))
                for c in range(max(0, int(np.floor(left))), min(width, int(np.ceil(right)))):
                    weight = high * (min(right, c + 1.0) - max(left, float(c)))
                    if weight > 0 and not np.isnan(values[r, c]):
                        total += weight * values[r, c]
                        weights += weight
            if weights > 0:
                out[i, j] = total / weights
    return out
