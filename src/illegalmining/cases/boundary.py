"""How likely an outline leaves a boundary or an elevation range, when neither is known to the metre."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

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
    """Of n outlines, (n,) each.

    probability: that at least the area that counts lies outside, 0-1. area_m2: median area outside; low/high: 5 % and
    95 %.
    """

    probability: Numbers
    area_m2: Numbers
    low_m2: Numbers
    high_m2: Numbers

    @property
    def columns(self) -> dict[str, Numbers]:
        """The same as columns of `tables.JUDGEMENTS`."""
        return {
            "p_outside": self.probability,
            "area_outside_m2": self.area_m2,
            "area_outside_low_m2": self.low_m2,
            "area_outside_high_m2": self.high_m2,
        }


def areas_outside(
    outlines: NDArray[Any],
    ground: NDArray[np.int64],
    grounds: NDArray[Any],
    sd_m: Numbers,
    least_m2: Numbers,
    position: Position,
) -> Outside:
    """Integrate the area of outlines outside the grounds beside them over the offset between the two.

    The offset is normal with the outline's and the register's standard deviations combined; a positive offset moves the
    boundary outward.

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
    return Outside(probability, bounds[1], bounds[0], bounds[2])


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
    ground_m: Numbers,
    depth_m: Numbers,
    depth_sd_m: Numbers,
    top_m: Numbers,
    bottom_m: Numbers,
    slack_m: float,
    deepest_m: float,
) -> Numbers:
    """Probability that each of n faces at a depth below ground lies outside its licence's elevation range.

    Two hypotheses, equally likely before: anywhere within the range, or anywhere else down to `deepest_m`. A depth that
    is hardly known therefore says nothing, however narrow the range. NaN limits are open; a NaN ground or depth gives
    0. `slack_m`: how far beyond a limit still counts as within.
    """
    upper = np.where(np.isnan(top_m), 0.0, np.maximum(ground_m - top_m - slack_m, 0.0))
    lower = np.where(np.isnan(bottom_m), deepest_m, np.minimum(ground_m - bottom_m + slack_m, deepest_m))
    limited = ~(np.isnan(top_m) & np.isnan(bottom_m)) & (lower - upper > 0.0) & (lower - upper < deepest_m)
    asked = np.flatnonzero(limited & np.isfinite(ground_m) & np.isfinite(depth_m))
    upper, lower, depth = upper[asked], lower[asked], depth_m[asked]
    sd = np.maximum(depth_sd_m[asked], np.finfo(float).tiny)
    edges = np.stack([np.zeros(len(asked)), upper, lower, np.full(len(asked), deepest_m)])
    at = ndtr((edges - depth) / sd)
    within = (at[2] - at[1]) / (lower - upper)
    beyond = (at[1] - at[0] + at[3] - at[2]) / (deepest_m - lower + upper)
    outside = np.zeros(len(ground_m))
    outside[asked] = np.divide(beyond, within + beyond, out=np.zeros(len(asked)), where=within + beyond > 0)
    return outside
