"""Ground laid bare or covered with spoil, from optical images.

Features are the logarithms of reflectances: coal is dark and limestone bright in every band, vegetation indices are
differences of them, and the covariance of their noise tells haze from soil. A cube that holds only an index is judged
by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from illegalmining.detect.baseline import Floats
from illegalmining.detect.change import ChangeParameters, days_of
from illegalmining.detect.changed_ground import PixelGrid, Stack, judged_or_said
from illegalmining.detect.findings import Findings, Remark, Unjudged
from illegalmining.detect.memory import Archive, Scale
from illegalmining.detect.regions import RegionParameters, Standing, Telling

BANDS = ("green", "red", "nir", "swir16", "swir22")


@dataclass(frozen=True)
class SurfaceParameters:
    """How optical images are judged.

    change: baseline and evidence. regions: outlines and nats. clear_classes: Sentinel-2 scene classes that show ground
    (4 vegetation, 5 bare, 6 water, 7 unclassified). darkest: reflectance below which the logarithm is cut, where the
    atmospheric correction is as large as the signal (Sentinel-2: 0.005 to 0.02). contrast: change of a typical pit, log
    reflectance. index_contrast: the same for a cube of NDVI alone. greener: rise of ln(nir / red), or of NDVI
    (index_greener), that no mine makes: a crop where another was expected. index_course_sd: how far a field's NDVI
    keeps to its own course when its season moves. mineral, roof: ln(swir16 / nir) of bare rock, soil and coal, which
    reflect as much or more at 1.6 um as in the near infrared (0 to 0.4), and of paint, plastic and sheet metal, which
    reflect less. barest: share of a region's pixels, the least green, whose material is looked at. differing: how far
    materials of either kind depart from that.
    """

    change: ChangeParameters = field(default_factory=ChangeParameters)
    regions: RegionParameters = field(default_factory=RegionParameters)
    clear_classes: tuple[int, ...] = (4, 5, 6, 7)
    darkest: float = 0.01
    contrast: float = 0.5
    index_contrast: float = 0.3
    greener: float = 0.15
    index_greener: float = 0.05
    index_course_sd: float = 0.06
    mineral: float = 0.1
    roof: float = -0.1
    barest: float = 1 / 3
    differing: float = 0.05


@dataclass(frozen=True)
class OpticalFeatures:
    """Reflectances, and the scene classes where there are any, to features (T, K, Y, X)."""

    logarithmic: bool
    classified: bool
    parameters: SurfaceParameters

    @property
    def scale(self) -> Scale:
        """2 % steps of reflectance up to 1.6, or 0.008 of NDVI: finer than a plot shows."""
        return Scale(float(np.log(self.parameters.darkest)), 0.02) if self.logarithmic else Scale(-1.0, 0.008)

    def __call__(self, *bands: npt.NDArray) -> Floats:
        measured = bands[:-1] if self.classified else bands
        values = np.stack([np.asarray(band, np.float32) for band in measured], axis=1)
        missing = np.asarray(~np.isfinite(values).all(axis=1))
        if self.logarithmic:
            missing |= (values <= 0).all(axis=1)
            values = np.log(np.maximum(values, np.float32(self.parameters.darkest)))
        if self.classified:
            classes = np.nan_to_num(np.asarray(bands[-1], np.float32))
            missing |= ~np.isin(classes.astype(np.uint8), self.parameters.clear_classes)
        values[np.broadcast_to(missing[:, None], values.shape)] = np.nan
        return values


def surface_stack(
    cube: xr.Dataset, history_from: Any, monitor_from: Any, as_of: Any, parameters: SurfaceParameters | None = None
) -> Stack:
    """An optical cube as the detector of surface change looks at it; nothing is read yet.

    cube: dims (time, y, x), reflectance 0-1 in any of green, red, nir, swir16, swir22 (or blue alone, or `ndvi`), and
    perhaps `scl`; lazy or not. Baselines are fitted from `history_from`; every date from `monitor_from` to `as_of`
    inclusive is judged.

    Returns
    -------
    The stack for `monitor`; its features are logarithms of reflectances, or NDVI as it is.

    Raises
    ------
    Unjudged
        The cube holds no band that can be judged, or too few dates.

    Examples
    --------
    >>> cube = im.open_source("sentinel-2", district)
    >>> stack = im.surface_stack(cube, days.history_from, days.monitor_from, days.as_of)
    >>> stack.telling.names
    ('green', 'red', 'nir', 'swir16', 'swir22')
    """
    parameters = parameters or SurfaceParameters()
    names = (
        tuple(name for name in BANDS if name in cube) or tuple(name for name in ("ndvi", "blue") if name in cube)[:1]
    )
    if not names:
        raise Unjudged(
            Remark("no_band", {"bands": ", ".join(BANDS)}),
            f"the cube holds none of the bands {', '.join(BANDS)}, ndvi, blue; found {', '.join(map(str, cube))}",
        )
    period, when = days_of(cube.time, history_from, monitor_from, as_of)
    when.enough(parameters.change.baseline.fewest)
    logarithmic, classified = names != ("ndvi",), "scl" in cube
    contrast = parameters.contrast if logarithmic else parameters.index_contrast
    features = OpticalFeatures(logarithmic, classified, parameters)
    unit, natural = ("reflectance", np.exp) if logarithmic else ("NDVI", np.asarray)
    regions = parameters.regions if logarithmic else with_course(parameters.regions, parameters.index_course_sd)
    return Stack(
        detector="surface",
        bands=[cube[name].isel(time=period) for name in (*names, *(("scl",) if classified else ()))],
        features=features,
        scale=features.scale,
        when=when,
        grid=PixelGrid.of(cube),
        telling=Telling(names, unit, natural, partial(roofed, names=names, parameters=parameters)),
        dismissed=partial(greener, names=names, parameters=parameters),
        contrast=contrast,
        change=with_contrast(parameters.change, contrast),
        regions=regions,
    )


def detect_surface(
    cube: xr.Dataset,
    history_from: Any,
    monitor_from: Any,
    as_of: Any,
    parameters: SurfaceParameters | None = None,
    archive: Archive | None = None,
) -> Findings:
    """Regions where the ground has changed for good since `monitor_from`.

    Cube and dates as in `surface_stack`. archive: where earlier runs left what they know; the result is the same
    without one.
    """
    ready = partial(surface_stack, cube, history_from, monitor_from, as_of, parameters)
    return judged_or_said(ready, cube.rio.crs, archive)


def greener(shift: Floats, names: tuple[str, ...], parameters: SurfaceParameters) -> npt.NDArray[np.bool_]:
    """Where (Y, X) the ground has become greener by more than chance: not a mine's doing."""
    if names == ("ndvi",):
        return shift[0] > parameters.index_greener
    if "nir" in names and "red" in names:
        return shift[names.index("nir")] - shift[names.index("red")] > parameters.greener
    return np.zeros(shift.shape[1:], bool)


def roofed(standing: Standing, names: tuple[str, ...], parameters: SurfaceParameters) -> float:
    """Nats by which what stands there looks more like a roof than like ground laid bare; never below 0.

    Leaves reflect less at 1.6 um too, and pixels on the rim hold some: the least green third is looked at.
    """
    level = standing.level
    if "nir" not in names or "swir16" not in names or not len(level):
        return 0.0
    if "red" in names:
        green = level[:, names.index("nir")] - level[:, names.index("red")]
        level = level[green <= np.quantile(green, parameters.barest)]
    slope = float(np.median(level[:, names.index("swir16")] - level[:, names.index("nir")]))
    from_mine, from_roof = slope - parameters.mineral, slope - parameters.roof
    return max(0.0, (from_mine**2 - from_roof**2) / (2 * parameters.differing**2))


def with_course(regions: RegionParameters, course_sd: float) -> RegionParameters:
    """The same parameters, for a feature that keeps to its course as closely as this."""
    return replace(regions, seasons=regions.seasons and replace(regions.seasons, course_sd=course_sd))


def with_contrast(change: ChangeParameters, contrast: float) -> ChangeParameters:
    """The same parameters, looking for changes of another size."""
    return replace(change, monitor=replace(change.monitor, contrast=contrast))
