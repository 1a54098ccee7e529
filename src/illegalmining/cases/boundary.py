"""How likely an outline leaves a boundary or an elevation range, when neither is known to the metre."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from shapely.geometry.base import BaseGeometry

from illegalmining.cases.overlap import Outlines, areas_beyond

Numbers = NDArray[np.float64]
THREADS = 2
"""Threads that move edges and cut outlines."""


@dataclass(frozen=True)
class Position:
    """How well places are known.

    image_sd_m: outline of what a sensor saw, standard deviation, m (Sentinel-2 geolocation and a pixel's mixing,
    about 10 m). register_sd_m: a licence's corners where the register does not say, m. blur_m: how far a pixel's
    footprint carries a sharp edge outward, m: taken off before anything counts as outside. outside_m2: the least area
    beyond a boundary that counts as leaving it, m2 (0.05 ha, the smallest site the surface detectors are asked to
    see). steps: points of the quadrature over the offset.
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


def area_outside(
    outline: BaseGeometry, allowed: BaseGeometry, position: Position, outline_sd_m: float, register_sd_m: float = -1.0
) -> Outside:
    """Integrate the area of `outline` outside `allowed` over the offset between the two.

    The offset is normal with the outline's and the register's standard deviations combined; a positive offset
    moves the boundary outward. `register_sd_m`: the boundary's own; negative for `position`'s.
    """
    one = np.zeros(1, dtype=np.int64)
    register_sd = position.register_sd_m if register_sd_m < 0 else register_sd_m
    sd = np.hypot([outline_sd_m], register_sd)
    least = np.array([position.outside_m2])
    grounds = np.array([allowed], dtype=object)
    return areas_outside(np.array([outline], dtype=object), one, grounds, sd, least, position)[0]


def areas_outside(
    outlines: NDArray[Any],
    ground: NDArray[np.int64],
    grounds: NDArray[Any],
    sd_m: Numbers,
    least_m2: Numbers,
    position: Position,
) -> list[Outside]:
    """`area_outside` for many outlines over few grounds.

    Only outlines near a boundary are integrated: deep inside none of the offsets brings a part out, far outside none
    brings a part in.

    Parameters
    ----------
    outlines: (n,). ground: (n,) which of the (m,) `grounds` each is held against. sd_m: (n,) of the offset between
    the two. least_m2: (n,) area that counts as outside.
    """
    quantiles = ndtri((np.arange(position.steps) + 0.5) / position.steps)
    size = shapely.area(outlines)
    areas = np.zeros((len(outlines), position.steps))
    reach = position.blur_m + sd_m * np.abs(quantiles).max()
    shapely.prepare(grounds)
    meets = shapely.intersects(grounds[ground], outlines)
    near = shapely.distance(outlines, shapely.boundary(grounds)[ground]) <= reach
    areas[~meets & ~near] = size[~meets & ~near, None]
    asked = np.flatnonzero(near)
    if len(asked):
        areas[asked] = integrated(outlines[asked], ground[asked], grounds, sd_m[asked], quantiles, position.blur_m)
    probability = (areas >= least_m2[:, None]).mean(axis=1)
    bounds = np.quantile(areas, [0.05, 0.5, 0.95], axis=1)
    columns = (probability, bounds[1], bounds[0], bounds[2])
    return [Outside(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def integrated(
    outlines: NDArray[Any],
    ground: NDArray[np.int64],
    grounds: NDArray[Any],
    sd_m: Numbers,
    quantiles: Numbers,
    blur_m: float,
) -> Numbers:
    """Area of each outline beyond its ground's edge moved outward by each quantile of the offset: (n, quantiles), m2.

    An edge is moved once for all outlines that ask for the same move.
    """
    areas = np.empty((len(outlines), len(quantiles)))
    used, place = np.unique(np.column_stack([ground, sd_m]), axis=0, return_inverse=True)
    bases, spreads = grounds[used[:, 0].astype(np.int64)], used[:, 1]
    cut, held = Outlines.of(outlines), place.ravel()

    def integrate(step: int) -> None:
        moved = shapely.buffer(bases, blur_m + spreads * quantiles[step], quad_segs=16)
        areas[:, step] = areas_beyond(cut, Outlines.of(moved), held)

    with ThreadPoolExecutor(THREADS) as pool:  # GEOS and the kernel let other threads run
        list(pool.map(integrate, range(len(quantiles))))
    return areas


def outside_elevations(
    ground_m: float, depth_m: float, depth_sd_m: float, top_m: float, bottom_m: float, slack_m: float, deepest_m: float
) -> float:
    """Probability that a face at a depth below ground lies outside a licence's elevation range.

    Two hypotheses, equally likely before: anywhere within the range, or anywhere else down to `deepest_m`. A depth that
    is hardly known therefore says nothing, however narrow the range. NaN limits are open; a NaN ground gives 0.
    `slack_m`: how far beyond a limit still counts as within.
    """
    if not np.isfinite([ground_m, depth_m]).all() or np.isnan([top_m, bottom_m]).all():
        return 0.0
    upper = 0.0 if np.isnan(top_m) else max(ground_m - top_m - slack_m, 0.0)
    lower = deepest_m if np.isnan(bottom_m) else min(ground_m - bottom_m + slack_m, deepest_m)
    if not 0.0 < lower - upper < deepest_m:
        return 0.0
    sd = max(depth_sd_m, np.finfo(float).tiny)
    at = ndtr((np.array([0.0, upper, lower, deepest_m]) - depth_m) / sd)
    within = (at[2] - at[1]) / (lower - upper)
    beyond = (at[1] - at[0] + at[3] - at[2]) / (deepest_m - lower + upper)
    return float(beyond / (within + beyond)) if within + beyond > 0 else 0.0
