"""How likely an outline leaves a boundary, when neither is known to the metre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True)
class Position:
    """How well places are known.

    image_sd_m: outline of what a sensor saw, standard deviation, m (Sentinel-2 geolocation and a pixel's mixing,
    about 10 m). register_sd_m: a licence's corners, m. blur_m: how far a pixel's footprint carries a sharp edge
    outward, m: taken off before anything counts as outside. outside_m2: the least area beyond a boundary that counts
    as leaving it, m2 (0.05 ha, the smallest site the surface detectors are asked to see). steps: points of the
    quadrature over the offset.
    """

    image_sd_m: float = 10.0
    register_sd_m: float = 5.0
    blur_m: float = 10.0
    outside_m2: float = 500.0
    steps: int = 15


@dataclass(frozen=True)
class Outside:
    """probability: that at least the counting area lies outside. area_m2: median; low/high: 5 % and 95 %."""

    probability: float
    area_m2: float
    low_m2: float
    high_m2: float


def area_outside(outline: BaseGeometry, allowed: BaseGeometry, position: Position, outline_sd_m: float) -> Outside:
    """Integrate the area of `outline` outside `allowed` over the offset between the two.

    The offset is normal with the outline's and the register's standard deviations combined; a positive offset
    moves the boundary outward.
    """
    sd = float(np.hypot(outline_sd_m, position.register_sd_m))
    offsets = position.blur_m + sd * norm.ppf((np.arange(position.steps) + 0.5) / position.steps)
    areas = np.array([outline.difference(allowed.buffer(offset)).area for offset in offsets])
    low, median, high = np.quantile(areas, [0.05, 0.5, 0.95])
    return Outside(float((areas >= position.outside_m2).mean()), float(median), float(low), float(high))
