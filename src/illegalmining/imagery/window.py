"""A few dates of a small piece of ground from a source opened once: nothing but the window's own pixels is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from illegalmining.district import District, ImagerySource
from illegalmining.imagery import cube, mosaic
from illegalmining.imagery.bands import STATIC
from illegalmining.imagery.cubefile import open_file, raw_cube
from illegalmining.imagery.egms import is_egms
from illegalmining.imagery.look import with_look
from illegalmining.imagery.mintpy import is_mintpy
from illegalmining.imagery.open import dated_files, open_source
from illegalmining.imagery.opera import opera_products
from illegalmining.imagery.stac import stac_layers
from illegalmining.imagery.stack import stack_layers
from illegalmining.registers.quarantine import SetAside, relative_name

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Opened:
    """A source opened for looking at pieces of it.

    days: sorted, in the period. plans: by band. whole: the lazy cube of sources that come in no other way (OPERA,
    EGMS, MintPy); its blocks are read and cut. attrs: facts of the whole. behind: what lies behind each day.
    """

    source: ImagerySource
    district: District
    grid: GeoBox
    days: list[date]
    plans: dict[str, Any]
    attrs: dict[str, Any]
    behind: dict[date, list[str]]
    whole: xr.Dataset | None = None

    @property
    def bands(self) -> list[str]:
        """Bands, in the contract's order."""
        return list(self.plans) if self.whole is None else [str(name) for name in self.whole.data_vars]

    def window(self, bounds: Bounds) -> GeoBox | None:
        """The pixels within bounds (district's CRS, m); None where the source has none there."""
        rows, columns = self.pixels(bounds)
        return None if rows.stop <= rows.start or columns.stop <= columns.start else self.grid[rows, columns]

    def pixels(self, bounds: Bounds) -> tuple[slice, slice]:
        """Rows and columns of the pixels within bounds."""
        west, south, east, north = bounds
        left, top = ~self.grid.affine * (west, north)
        right, bottom = ~self.grid.affine * (east, south)
        height, width = self.grid.shape.yx
        return (
            slice(max(0, math.floor(top)), min(height, math.ceil(bottom))),
            slice(max(0, math.floor(left)), min(width, math.ceil(right))),
        )

    def read(self, bands: Sequence[str], entries: Sequence[int], bounds: Bounds) -> xr.Dataset | None:
        """Bands of some dates within bounds, in memory, as `open_source` promises; None where there are no pixels."""
        grid = self.window(bounds)
        if grid is None:
            return None
        times = np.array([self.days[entry] for entry in entries], "datetime64[ns]")
        seen = xr.Dataset(coords={"time": times, **xr_coords(grid)}, attrs=self.attrs)
        for band in bands:
            if band in STATIC:
                seen[band] = (("y", "x"), self.still(band, grid, bounds), {"grid_mapping": "spatial_ref"})
            else:
                images = [self.image(band, entry, grid, bounds) for entry in entries]
                moving = np.stack(images) if images else np.empty((0, *grid.shape.yx), np.float32)
                seen[band] = (("time", "y", "x"), moving, {"grid_mapping": "spatial_ref"})
        return seen

    def image(self, band: str, entry: int, grid: GeoBox, bounds: Bounds) -> np.ndarray:
        """One band of one date (y, x)."""
        if self.whole is not None:
            rows, columns = self.pixels(bounds)
            return np.asarray(self.whole[band].isel(time=entry, y=rows, x=columns).values)
        plan = self.plans[band]
        read = mosaic.read if isinstance(plan, mosaic.BandPlan) else cube.read
        return np.asarray(read(plan, [entry], grid)[0])

    def still(self, band: str, grid: GeoBox, bounds: Bounds) -> np.ndarray:
        """One band without time (y, x)."""
        if self.whole is None:
            return self.image(band, 0, grid, bounds)
        rows, columns = self.pixels(bounds)
        return np.asarray(self.whole[band].isel(y=rows, x=columns).values)

    def look(self, bounds: Bounds) -> tuple[float, float]:
        """Mean incidence and azimuth angle within bounds, degrees; as `with_look` assumes where no one states them."""
        stated = [band for band in ("incidence_angle", "azimuth_angle") if band in self.bands]
        seen = self.read(stated, [], bounds)
        assert seen is not None, "asked of a window that has pixels"
        seen = with_look(seen, SetAside([], self.source.href))
        incidence, azimuth = (
            np.deg2rad(seen[name].values if name in seen else seen.attrs[name])
            for name in ("incidence_angle", "azimuth_angle")
        )
        east, north = np.nanmean(np.sin(azimuth)), np.nanmean(np.cos(azimuth))
        return float(np.rad2deg(np.nanmean(incidence))), float(np.rad2deg(np.arctan2(east, north)) % 360)

    def files(self, entries: Sequence[int]) -> list[Path]:
        """Local files behind some dates."""
        names = {name for entry in entries for name in self.behind.get(self.days[entry], [])}
        return sorted(path for name in names if "://" not in name and (path := Path(name)).is_file())


def opened(source: ImagerySource, district: District) -> Opened:
    """A source, opened once: catalogues and headers are read, pixels are not.

    Raises
    ------
    InputError
        As `open_source`.
    """
    aside = SetAside([], relative_name(district, district.resolve(source.href)))
    behind = dated_files(source, district) if source.sensor != "displacement" else {}
    if source.source == "cube" and not by_product(source, district):
        raw = raw_cube(open_file(district.resolve(source.href)), source)
        grid, days, plans = cube.planned(raw, source, district, aside)
        return Opened(source, district, grid, days, plans, raw.attrs, behind)
    if source.source != "cube" and source.sensor != "displacement":
        layers = stac_layers if source.source == "stac" else stack_layers
        made = mosaic.planned(layers(source, district, []), source, district, aside)
        return Opened(source, district, made.grid, made.days, made.plans, {}, behind)
    whole = open_source(source, district, [])
    days = [stamp.item() for stamp in whole["time"].values.astype("datetime64[D]")]
    return Opened(source, district, whole.odc.geobox, days, {}, dict(whole.attrs), behind, whole)


def by_product(source: ImagerySource, district: District) -> bool:
    """Whether a cube of movement is in a form of its own (OPERA, EGMS, MintPy)."""
    if source.sensor != "displacement":
        return False
    address = district.resolve(source.href)
    if "://" not in address and (opera_products(address) or is_egms(Path(address))):
        return True
    return is_mintpy(open_file(address))
