"""What could have been seen where: the smallest site that any sensor would have shown, and where all were blind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.warp import Resampling, reproject


@dataclass(frozen=True)
class CoverageParameters:
    """The common grid and when one of its cells counts as seen.

    resolution_m: side of a cell, m; None: that of the coarsest map, within [`finest_m`, `coarsest_m`]. seen_share: a
    cell is blind unless at least this share of it was seen, so that a few clear pixels do not make a clean field.
    """

    resolution_m: float | None = None
    finest_m: float = 30.0
    coarsest_m: float = 100.0
    seen_share: float = 0.5


def smallest_site(
    maps: list[xr.DataArray],
    bounds: tuple[float, float, float, float],
    crs: Any,
    parameters: CoverageParameters | None = None,
) -> xr.DataArray:
    """The smallest site that would have been seen at each place, by the sensor that sees best there.

    Parameters
    ----------
    maps: one per source, dims (y, x), m2, NaN where blind, each on its own grid with a CRS; may be empty.
    bounds: xmin, ymin, xmax, ymax of the district in `crs`, m.

    Returns
    -------
    `smallest_site_m2`, dims (y, x), float32, m2, north up; NaN where every sensor was blind.

    Examples
    --------
    >>> coverage = im.smallest_site([], (0, 0, 300, 600), "EPSG:4546")
    >>> coverage.shape, bool(coverage.isnull().all())  # 30 m cells, and nobody looked
    ((20, 10), True)
    """
    parameters = parameters or CoverageParameters()
    grid = common_grid(maps, bounds, crs, parameters)
    best = np.full(grid.shape, np.nan, dtype="float32")
    for source in maps:
        best = np.fmin(best, brought_to(source, grid, parameters.seen_share))
    coverage = wrap_xr(best, grid, nodata=float("nan")).rename("smallest_site_m2")
    return coverage.assign_attrs(units="m2", long_name="smallest site that would have been seen; NaN where blind")


def common_grid(
    maps: list[xr.DataArray], bounds: tuple[float, float, float, float], crs: Any, parameters: CoverageParameters
) -> GeoBox:
    """The grid all maps are brought to, anchored at the south-west corner of the district."""
    sides = [abs(float(source.odc.geobox.resolution.x)) for source in maps]
    coarsest = float(np.clip(max(sides, default=0.0), parameters.finest_m, parameters.coarsest_m))
    side = parameters.resolution_m or coarsest
    xmin, ymin, xmax, ymax = bounds
    rows, columns = (max(1, int(np.ceil(length / side - 1e-9))) for length in (ymax - ymin, xmax - xmin))
    north_up = Affine(side, 0.0, xmin, 0.0, -side, ymin + rows * side)
    return GeoBox((rows, columns), north_up, pyproj.CRS.from_user_input(crs).to_wkt())


def brought_to(source: xr.DataArray, grid: GeoBox, seen_share: float) -> np.ndarray:
    """A map on the common grid, float32: the mean of what was seen in a cell, NaN where too little was seen."""
    values = np.asarray(source.transpose("y", "x").values, dtype="float32")
    seen = np.isfinite(values)
    share = averaged(seen.astype("float32"), source, grid)
    # the mean over seen pixels only: the sum where blind counts nothing, over the share that was seen
    total = averaged(np.where(seen, values, 0).astype("float32"), source, grid)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share >= seen_share, total / share, np.nan).astype("float32")


def averaged(values: np.ndarray, source: xr.DataArray, grid: GeoBox) -> np.ndarray:
    """Area means on the common grid; 0 outside the source."""
    own = source.odc.geobox
    result = np.zeros(grid.shape, dtype="float32")
    reproject(
        values,
        result,
        src_transform=own.transform,
        src_crs=str(own.crs),
        dst_transform=grid.transform,
        dst_crs=str(grid.crs),
        resampling=Resampling.average,
        init_dest_nodata=False,
    )
    return result
