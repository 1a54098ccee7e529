"""Ground laid bare, from radar images, by day and night and through cloud.

The feature is backscatter in decibels, averaged over a few pixels against speckle. Felling can raise it first and lower
it later, a face of broken rock raises it, smooth spoil and water lower it: any lasting change counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from illegalmining.detect.baseline import BaselineParameters, Floats
from illegalmining.detect.change import ChangeParameters, days_of
from illegalmining.detect.changed_ground import PixelGrid, Stack, judged_or_said
from illegalmining.detect.findings import Findings, Remark, Unjudged
from illegalmining.detect.memory import Archive, Scale
from illegalmining.detect.monitor import MonitorParameters
from illegalmining.detect.regions import RegionParameters, Standing, Telling

POLARISATIONS = ("vv", "vh")


@dataclass(frozen=True)
class RadarParameters:
    """How radar images are judged.

    change: baseline and evidence, in decibels; ground without a season keeps to 0.2 to 0.3 dB from year to year (dense
    forest, on which radars are calibrated), fields do not, and what lingers is moisture more than a year. regions:
    outlines and nats; a pixel is already the mean of its neighbours, so that less evidence around it starts a region,
    and speckle wants all recent dates. looks: side of the window averaged against speckle, odd, pixels. darkest: power
    below which the signal is the instrument's own noise (Sentinel-1: -30 dB). mineral, built: VV of the brightest spot
    of a pit, dB (broken rock in C band: -12 to -5), and of ground full of buildings, whose walls and ground send the
    signal straight back (-5 to 1). differing: how far either departs from that, dB.
    """

    change: ChangeParameters = field(
        default_factory=lambda: ChangeParameters(
            BaselineParameters(harmonics=1, smallest_noise=0.3),
            MonitorParameters(contrast=3.0, outlier=0.005, restless=1.0, year=0.2, season_share=0.15, lingering=2.0),
            halo=1,
        )
    )
    regions: RegionParameters = field(
        default_factory=lambda: RegionParameters(
            seed=3.0, shared_m2=900.0, leak=5.0, transient=16.0, newest_dates=7, seasons=None
        )
    )
    looks: int = 3
    darkest: float = 1e-3
    mineral: float = -8.0
    built: float = -2.0
    differing: float = 1.3


@dataclass(frozen=True)
class Backscatter:
    """Power of each polarisation to decibels (T, K, P), averaged over the window and missing where the pixel is."""

    looks: int
    darkest: float

    @property
    def scale(self) -> Scale:
        """Fifths of a decibel from the instrument's noise up."""
        return Scale(float(10 * np.log10(self.darkest)), 0.2)

    def __call__(self, *bands: npt.NDArray) -> Floats:
        decibels = [self.decibels(np.asarray(band, np.float32)) for band in bands]
        values = np.stack(decibels, axis=1)
        missing = np.asarray(~np.isfinite(values).all(axis=1))
        values[np.broadcast_to(missing[:, None], values.shape)] = np.nan
        return values

    def decibels(self, power: Floats) -> Floats:
        """Mean power of the window without missing pixels, in decibels, (T, Y, X)."""
        there = np.isfinite(power) & (power > 0)
        size = (1, self.looks, self.looks)
        total = ndimage.uniform_filter(np.where(there, power, 0).astype(np.float32), size, mode="constant")
        share = ndimage.uniform_filter(there.astype(np.float32), size, mode="constant")
        mean = total / np.maximum(share, np.float32(1e-6))
        return np.where(there, 10 * np.log10(np.maximum(mean, np.float32(self.darkest))), np.nan).astype(np.float32)


def built_up(standing: Standing, names: tuple[str, ...], parameters: RadarParameters) -> float:
    """Nats by which the brightest spot looks more like buildings than like a pit; from 0 up.

    A pixel is the mean power of a window, of which a small building fills only a share. A slope that faces the sensor
    is bright whatever covers it, so a pit may be as bright as its ground was.
    """
    if "vv" not in names or not len(standing.level):
        return 0.0
    level, expected = (values[:, names.index("vv")] for values in (standing.level, standing.usual))
    spot = level.argmax()
    brightest, usual = float(level[spot]), float(expected[spot])
    share = np.array([filled(standing.inside, parameters.looks), 1.0])
    built = 10 * np.log10(share * 10 ** (parameters.built / 10) + (1 - share) * 10 ** (usual / 10))
    mineral = max(parameters.mineral, usual)
    told = ((brightest - mineral) ** 2 - (brightest - built) ** 2) / (2 * parameters.differing**2)
    return max(0.0, float(told[built > mineral].max(initial=0.0)))


def filled(inside: npt.NDArray[np.bool_], looks: int) -> float:
    """Share of a window, 0-1, that a building fills where it fills most, if this region (Y, X) is one.

    Walls are so bright that every pixel has changed whose window holds one pixel of them: the building is the region
    less half a window all around, one pixel at least.
    """
    building = ndimage.binary_erosion(inside, np.ones((looks, looks), bool), border_value=1)
    share = ndimage.uniform_filter(building.astype(np.float64), looks, mode="nearest")
    return float(max(share.max(), 1 / looks**2))


def radar_stack(
    cube: xr.Dataset, history_from: Any, monitor_from: Any, as_of: Any, parameters: RadarParameters | None = None
) -> Stack:
    """A radar cube as the detector of surface change looks at it; nothing is read yet.

    cube: dims (time, y, x), `vv` and/or `vh` in linear power (gamma0), lazy or not; dates as in `surface_stack`.

    Returns
    -------
    The stack for `monitor`; its features are decibels, averaged over a few pixels against speckle.

    Raises
    ------
    Unjudged
        The cube holds neither polarisation, or too few dates.

    Examples
    --------
    >>> cube = im.open_source("sentinel-1", district)
    >>> im.radar_stack(cube, days.history_from, days.monitor_from, days.as_of).telling.unit
    'dB'
    >>> im.radar_stack(cube, days.history_from, days.history_from, days.as_of)
    Traceback (most recent call last):
        ...
    illegalmining.detect.findings.Unjudged: 0 date(s) of history and ...
    """
    parameters = parameters or RadarParameters()
    names = tuple(name for name in POLARISATIONS if name in cube)
    if not names:
        raise Unjudged(
            Remark("no_band", {"bands": ", ".join(POLARISATIONS)}),
            f"the cube holds none of the bands {', '.join(POLARISATIONS)}; found {', '.join(map(str, cube))}",
        )
    period, when = days_of(cube.time, history_from, monitor_from, as_of)
    when.enough(parameters.change.baseline.fewest)
    features = Backscatter(parameters.looks, parameters.darkest)
    return Stack(
        detector="radar",
        bands=[cube[name].isel(time=period) for name in names],
        features=features,
        scale=features.scale,
        when=when,
        grid=PixelGrid.of(cube),
        telling=Telling(names, "dB", np.asarray, partial(built_up, names=names, parameters=parameters)),
        dismissed=None,
        contrast=parameters.change.monitor.contrast,
        change=parameters.change,
        regions=parameters.regions,
    )


def detect_radar(
    cube: xr.Dataset,
    history_from: Any,
    monitor_from: Any,
    as_of: Any,
    parameters: RadarParameters | None = None,
    archive: Archive | None = None,
) -> Findings:
    """Regions whose backscatter has changed for good since `monitor_from`; cube as in `radar_stack`, dates and archive
    as in `detect_surface`."""
    ready = partial(radar_stack, cube, history_from, monitor_from, as_of, parameters)
    return judged_or_said(ready, cube.rio.crs, archive)
