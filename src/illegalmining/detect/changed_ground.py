"""A cube made ready for a detector, judged pixel by pixel, and drawn as regions: the three steps of surface and radar.

`surface.surface_stack` and `radar.radar_stack` say what a sensor's features are and what a change of theirs means;
`monitor` and `regions` are the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from affine import Affine

from illegalmining.detect.baseline import Floats
from illegalmining.detect.change import (
    ChangeParameters,
    Days,
    Features,
    Histories,
    Leave,
    Maps,
    Remembered,
    judge_stack,
)
from illegalmining.detect.findings import Findings, Unjudged, detections
from illegalmining.detect.leaving import SMALLEST, ForRegions, Sheet, everything
from illegalmining.detect.memory import Archive, Layout, Memory, Scale
from illegalmining.detect.regions import RegionParameters, Telling, region_rows, smallest_site
from illegalmining.errors import InputError

UNITS = {
    "evidence": "nats",
    "now": "nats",
    "onset": "",
    "last": "",
    "stood": "days",
    "dates": "dates",
    "temper": "1",
    "clear": "dates",
}
"""Units of the maps, but for those in the feature's own."""
DATES = ("onset", "last")


@dataclass(frozen=True)
class PixelGrid:
    """Where pixels lie: centres y (Y,) and x (X,), m, and their CRS. transform: from (column, row) to (x, y)."""

    y: xr.DataArray
    x: xr.DataArray
    crs: Any
    transform: Affine

    @classmethod
    def of(cls, cube: xr.Dataset) -> PixelGrid:
        """The grid of a cube."""
        return cls(cube.y, cube.x, cube.rio.crs, cube.rio.transform(recalc=True))

    @property
    def pixel_m2(self) -> float:
        """Area of a pixel, m2."""
        return abs(self.transform.a * self.transform.e)

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of the pixel at a place.

        Raises
        ------
        InputError
            It lies outside.
        """
        column, row = (int(np.floor(at)) for at in ~self.transform @ (x, y))
        if not (0 <= row < len(self.y) and 0 <= column < len(self.x)):
            raise InputError(f"({x:g}, {y:g}) lies outside the cube; give metres in its CRS {self.crs}")
        return row, column

    def map(self, values: npt.NDArray, name: str) -> xr.DataArray:
        """Values (Y, X) as a map."""
        array = xr.DataArray(values, dims=("y", "x"), coords={"y": self.y, "x": self.x}, name=name)
        return array.rio.write_crs(self.crs)


@dataclass(frozen=True)
class Stack:
    """A cube as one detector looks at it.

    detector: its name. bands: arrays (T, Y, X) of the dates `when` names, lazy or not. features: bands to features
    (T, K, Y, X). scale: how a feature is written in one byte. grid: where the pixels lie. telling: names and units of
    the K features. dismissed: pixels (Y, X) whose shift (K, Y, X) no mine makes; None: there are none. contrast: change
    of a typical site, in the features' unit. change, regions: parameters.
    """

    detector: str
    bands: list[xr.DataArray]
    features: Features
    scale: Scale
    when: Days
    grid: PixelGrid
    telling: Telling
    dismissed: Callable[[Floats], npt.NDArray[np.bool_]] | None
    contrast: float
    change: ChangeParameters
    regions: RegionParameters

    @property
    def contrasts(self) -> npt.NDArray[np.float64]:
        """The change of a typical site in each feature (K,)."""
        return np.full(len(self.telling.names), self.contrast)

    @property
    def layout(self) -> Layout:
        """What a memory of it must hold."""
        terms = 1 + 2 * self.change.baseline.harmonics
        return Layout((len(self.grid.y), len(self.grid.x)), len(self.telling.names), terms, self.change.tile)


@dataclass(frozen=True)
class ChangedGround:
    """A stack judged pixel by pixel; `maps` and `series` are for looking, the rest is what `regions` draws from."""

    stack: Stack
    judged: Maps
    histories: Histories | Remembered

    @property
    def maps(self) -> xr.Dataset:
        """What monitoring found of each pixel, dims (y, x) and, for `shift` and `noise`, (feature, y, x).

        evidence: for one lasting change, nats, NaN where not judged. now: what is left of it at the end, nats. onset,
        last: its first and last day, NaT where there is none. stood: days between. dates: clear dates for it less
        those against. shift: new level minus baseline, in the feature's unit (log reflectance, NDVI or dB). noise:
        standard deviation of a feature. temper: worth of a date against an independent one. clear: clear dates judged.
        """
        names = list(self.stack.telling.names)
        changed = np.nan_to_num(self.judged.evidence) > 0
        data: dict[str, Any] = {}
        for name, values in vars(self.judged).items():
            if name in DATES:
                days = np.where(changed, values.astype("datetime64[D]"), np.datetime64("NaT"))
                values = days.astype("datetime64[ns]")
            dims = ("y", "x") if values.ndim == 2 else ("feature", "y", "x")
            data[name] = (dims, values, {"units": UNITS[name]} if UNITS.get(name) else {})
        grid = self.stack.grid
        return xr.Dataset(data, {"feature": names, "y": grid.y, "x": grid.x}).rio.write_crs(grid.crs)

    def series(self, x: float, y: float) -> pd.DataFrame:
        """What the pixel at a place showed, and what its baseline expected, date by date.

        x, y: metres in the cube's CRS. Only pixels with at least `ChangeParameters.keep` nats keep their series.

        Returns
        -------
        One row a clear date (index `date`); columns in pairs (feature, `observed` or `expected`), in the natural unit
        (reflectance, NDVI or dB).

        Raises
        ------
        InputError
            The place lies outside the cube, or its pixel has too little evidence.
        """
        evidence = np.nan_to_num(self.judged.evidence)
        row, column = self.stack.grid.pixel(x, y)
        keep = self.stack.change.keep
        if evidence[row, column] < keep:
            raise InputError(
                f"the pixel at ({x:g}, {y:g}) has {evidence[row, column]:.1f} nats; series are kept from {keep:g} "
                "nats: look at maps.evidence for a pixel that has changed"
            )
        inside = np.zeros(evidence.shape, bool)
        inside[row, column] = True
        bring = self.stack.telling.natural
        observed, expected = (bring(values[0]) for values in self.histories.of(inside))
        clear = np.isfinite(observed[:, 0])
        columns = {}
        for k, name in enumerate(self.stack.telling.names):
            columns[name, "observed"], columns[name, "expected"] = observed[clear, k], expected[clear, k]
        dates = pd.DatetimeIndex(self.stack.when.days[clear].astype("datetime64[D]"), name="date")
        return pd.DataFrame(columns, index=dates)


def monitor(stack: Stack, memory: Memory | None = None) -> ChangedGround:
    """Fit each pixel's baseline on the history, then feed every monitored date, in order, to its state.

    The state of a pixel holds the log ratio of two predictive densities: the ground has moved to a new level, against
    the baseline still holds (Adams & MacKay 2007, arXiv:0710.3742, cut to two candidate onsets).

    Parameters
    ----------
    stack : from `surface_stack` or `radar_stack`; read tile by tile.
    memory : what earlier runs left; dates that are in it are not read again, and the result is the same without one.

    Returns
    -------
    Evidence in nats and what belongs to it: `maps` as a dataset (y, x), `series` of one pixel as a table.

    Examples
    --------
    >>> corner = im.open_source("sentinel-2", district).isel(y=slice(0, 64), x=slice(0, 64))
    >>> ground = im.monitor(im.surface_stack(corner, days.history_from, days.monitor_from, days.as_of))
    >>> ground.maps["evidence"].shape, ground.maps["evidence"].attrs["units"]
    ((64, 64), 'nats')
    >>> ground.maps["shift"].dims
    ('feature', 'y', 'x')
    """
    sheet, histories = sheet_of(stack, partial(everything, dismissed=stack.dismissed), memory)
    return ChangedGround(stack, sheet.maps, histories)


def regions(ground: ChangedGround) -> Findings:
    """Regions whose evidence outweighs having looked everywhere, and what would have been seen where.

    Pixels with evidence that touch are a region. It is worth the mean of its pixels times the independent measurements
    in it, less the log of the places in 100 km2 at which chance could have made one, and never more than the clear
    dates behind it are worth against cloud that leaked through the mask.

    Returns
    -------
    `detections`: `tables.DETECTIONS`, outlines in the cube's CRS, `log_lr` in nats. `smallest_site_m2`: (y, x), the
    smallest site that would have been reported, m2, NaN where blind.

    Examples
    --------
    >>> corner = im.open_source("sentinel-2", district).isel(y=slice(0, 64), x=slice(0, 64))
    >>> ground = im.monitor(im.surface_stack(corner, days.history_from, days.monitor_from, days.as_of))
    >>> findings = im.regions(ground)
    >>> findings.smallest_site_m2.shape
    (64, 64)
    >>> bool((findings.detections["detector"] == "surface").all())
    True
    """
    stack = ground.stack
    smallest = smallest_site(ground.judged, stack.contrasts, stack.grid.pixel_m2, stack.regions)
    return drawn(ground, smallest)


def drawn(ground: ChangedGround, smallest: Floats) -> Findings:
    """The regions of the ground, and the map `smallest` (Y, X), m2, of what would have been seen."""
    stack, grid = ground.stack, ground.stack.grid
    rows = region_rows(
        stack.detector, ground.judged, ground.histories, stack.when, grid.transform, stack.telling, stack.regions
    )
    return Findings(detections(rows, grid.crs), grid.map(smallest, SMALLEST))


def sheet_of(stack: Stack, leave: Leave, memory: Memory | None) -> tuple[Sheet, Histories | Remembered]:
    """What left each tile, put together, and the series of pixels that changed."""
    sheet = Sheet(stack.layout.shape)
    histories = judge_stack(
        stack.bands, stack.features, stack.when, stack.change, stack.scale, leave, sheet.put, memory
    )
    return sheet, histories


def watched(stack: Stack, memory: Memory | None) -> Findings:
    """What `regions` says of `monitor`, to the byte, while no more leaves a tile than regions are drawn from."""
    leave = ForRegions(stack.dismissed, stack.contrasts, stack.grid.pixel_m2, stack.regions)
    sheet, histories = sheet_of(stack, leave, memory)
    with memory.settling() if memory else nullcontext():
        return drawn(ChangedGround(stack, sheet.maps, histories), sheet.planes[SMALLEST])


def judged_or_said(ready: Callable[[], Stack], crs: Any, archive: Archive | None) -> Findings:
    """What is found on the stack that is made ready, or why it cannot be.

    archive: where earlier runs left what they know.
    """
    try:
        stack = ready()
    except Unjudged as error:
        return Findings(detections([], crs), None, (error.remark,))
    if archive is None:
        return watched(stack, None)
    with archive.open(stack.when.days, stack.when.history, stack.layout) as memory:
        return watched(stack, memory)
