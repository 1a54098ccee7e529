"""Images from one grid to another; the ground's coordinates are worked out once for all images of a projection."""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.warp import rio_reproject

from illegalmining.imagery.grids import Overlap

COARSER = 1.5
"""From this many source pixels to a pixel on, they are averaged and no longer interpolated."""
SEEN = 0.5
"""Least weight of pixels that saw something for the mean of four to count, so that gaps neither grow nor shrink."""


def resampled(values: np.ndarray, way: Overlap, source: GeoBox, window: GeoBox, resampling: str) -> np.ndarray:
    """An image on its part of the window; as it is where pixels coincide.

    Missing pixels take no part in a mean, so that they do not spread.

    Parameters
    ----------
    values: (y, x) float32, the source's pixels of `way.source`, NaN where nothing was seen.
    source, window: the grids `way` lies between.
    resampling: `nearest`, or `bilinear`, which averages where the source is much finer.
    """
    if way.coincide:
        return values
    if resampling != "nearest" and way.coarser >= COARSER:
        return rio_reproject(
            np.ascontiguousarray(values),
            np.full(way.shape, np.nan, np.float32),
            source[way.source],
            window[way.target],
            "average",
            src_nodata=np.nan,
            dst_nodata=np.nan,
        )
    assert source.crs is not None, "rasters without a CRS were refused"
    x, y = (axis[way.target] for axis in ground(source.crs, window))
    columns, rows = ~source.affine * (x, y)
    kernel = nearest if resampling == "nearest" else bilinear
    return kernel(np.ascontiguousarray(values), rows - way.source[0].start, columns - way.source[1].start)


@lru_cache(maxsize=32)
def ground(crs: CRS, window: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """x and y in a CRS of every pixel centre of a window, each (y, x), float64."""
    rows, columns = np.mgrid[: window.shape.y, : window.shape.x] + 0.5
    a, b, c, d, e, f, *_ = window.affine
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
