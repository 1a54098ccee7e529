"""Where offences cluster: expected sites per cell of a square grid, Getis-Ord Gi* and how it changes with time.

The grid lies in the district's working CRS. Cells are compared as equals, which holds while the projection stretches
all of them alike: a 3-degree Gauss-Krüger zone stretches areas by less than 0.1 % anywhere in it. `area_spread`
measures it for any CRS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy.special import ndtr, ndtri
from shapely.geometry.base import BaseGeometry

from illegalmining.tables import HOTSPOTS

Bounds = tuple[float, float, float, float]
Earlier = Iterable[tuple[date, gpd.GeoDataFrame]]


@dataclass(frozen=True)
class HotspotParameters:
    """How the map is cut into cells and clusters are told from chance.

    cell_m: side of a cell, m; None: the first of `sides_m` that needs at most `most_across` cells along the longer side
    of the district. reach: neighbours counted on each side of a cell, cells (1: the eight around it, and itself).
    discovery_rate: share of false discoveries allowed among the cells called significant (Benjamini & Hochberg 1995).
    step_days: length of a step of time, days. most_steps: steps looked back from the as-of day, at most. steady: share
    of steps in which a cell must be significant to be persistent, intensifying or diminishing (science.md: 0.9).
    trend_level: one-sided level of the Mann-Kendall test. least_runs: with fewer earlier runs, one a step, trends are
    taken over the dates of the evidence instead of over runs.
    """

    cell_m: float | None = None
    sides_m: tuple[float, ...] = (50, 100, 250, 500, 1000, 2500, 5000, 10000)
    most_across: int = 64
    reach: int = 1
    discovery_rate: float = 0.05
    step_days: int = 30
    most_steps: int = 24
    steady: float = 0.9
    trend_level: float = 0.05
    least_runs: int = 3


@dataclass(frozen=True)
class CellGrid:
    """A regular grid of square cells, row 0 in the north, anchored at the south-west corner of the district."""

    west: float
    south: float
    side: float
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    @property
    def transform(self) -> Affine:
        """From (column, row) to (x, y) of the working CRS, m."""
        return Affine(self.side, 0.0, self.west, 0.0, -self.side, self.south + self.rows * self.side)

    def flat_index(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Row-major index of the cell that holds each point, -1 outside the grid; edges belong to the cell inside."""
        column = np.floor((x - self.west) / self.side)
        row = self.rows - 1 - np.floor((y - self.south) / self.side)
        column = np.where(x == self.west + self.columns * self.side, self.columns - 1, column)
        row = np.where(y == self.south + self.rows * self.side, 0, row)
        inside = (column >= 0) & (column < self.columns) & (row >= 0) & (row < self.rows)
        return np.where(inside, row * self.columns + column, -1).astype(np.int64)

    def cells(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids, squares) of the kept ones in row-major order; an id names side and south-west corner, so it lasts."""
        x = np.tile(self.west + np.arange(self.columns) * self.side, self.rows)[kept]
        y = np.repeat(self.south + np.arange(self.rows)[::-1] * self.side, self.columns)[kept]
        ids = np.array([f"{self.side:g}mE{e:.0f}N{n:.0f}" for e, n in zip(x, y, strict=True)], dtype=object)
        return ids, shapely.box(x, y, x + self.side, y + self.side)


def hotspots(
    cases: gpd.GeoDataFrame,
    jurisdictions: gpd.GeoDataFrame | None,
    bounds: Bounds,
    crs: Any,
    as_of: date,
    parameters: HotspotParameters | None = None,
    *,
    earlier: Earlier = (),
    within: BaseGeometry | None = None,
) -> gpd.GeoDataFrame:
    """The map's cells: expected sites, Gi*, significance and trend.

    Parameters
    ----------
    cases: `tables.CASES` in `crs`; refuted cases count nothing, and so do those whose centre lies outside `bounds`.
    jurisdictions: `tables.JURISDICTIONS` in `crs`, or None. bounds: xmin, ymin, xmax, ymax, m. as_of: the last day
    looked at. earlier: (as-of day, cases) of earlier runs, see `runs_wanted`. within: only cells whose centre lies in
    it, or that hold a case, are there at all: their neighbours outside count neither as hot nor as cold.

    Returns
    -------
    `tables.HOTSPOTS`, every cell of the grid in row-major order from the north-west, with two columns more:
    `cases_near`, the number of cases in the cell's neighbourhood (against an empty district the normal approximation
    finds a single case significant; whoever draws a cluster asks for two), and `trend_over`, what the steps of the
    trend are: `runs` or `evidence`.

    Gi* as Getis & Ord (1992) and Ord & Getis (1995) define it, the cell itself included; significance after Benjamini &
    Hochberg (1995).

    Examples
    --------
    >>> run = im.read_run(district.out)
    >>> cells = im.hotspot_cells(run.cases, registers.jurisdictions, days.bounds, district.crs, days.as_of)
    >>> inside = run.cases[run.cases.centroid.within(box(*days.bounds))]
    >>> round(float(cells["expected_sites"].sum()), 6) == round(float(inside["probability"].sum()), 6)
    True
    """
    parameters = parameters or HotspotParameters()
    grid = cell_grid(bounds, parameters)
    counted, cell = placed(cases, grid)
    expected = expected_sites(counted, cell, grid)
    ground = ground_of(within, grid) | (expected > 0)
    z = gi_star(expected, parameters.reach, ground)
    p = np.where(ground, ndtr(-z), np.nan)
    number = np.bincount(cell, minlength=grid.rows * grid.columns).reshape(grid.shape)
    steps = run_steps(earlier, expected, grid, as_of, parameters)
    over = "evidence" if steps is None else "runs"
    if steps is None:
        steps = evidence_steps(counted, cell, grid, as_of, parameters)
    kept = ground.ravel()
    ids, squares = grid.cells(kept)
    columns = {
        "cell_id": ids,
        "expected_sites": expected[ground],
        "gi_z": z[ground],
        "p_value": p[ground],
        "significant": benjamini_hochberg(p, parameters.discovery_rate)[ground],
        "trend": trends(steps, ground, parameters)[kept],
        "jurisdiction": jurisdiction_of_cells(jurisdictions, grid)[kept],
        "cases_near": neighbourhood_sum(number, parameters.reach)[ground].astype("int64"),
        "trend_over": np.full(len(ids), over, dtype=object),
    }
    return HOTSPOTS.checked(gpd.GeoDataFrame(columns, geometry=squares, crs=crs))


def area_spread(bounds: Bounds, crs: Any) -> float:
    """Ratio of the largest cell on the ground to the smallest, less 1: how far cells are from equal areas."""
    projection = pyproj.Proj(pyproj.CRS.from_user_input(crs))
    xmin, ymin, xmax, ymax = bounds
    x, y = np.meshgrid(np.linspace(xmin, xmax, 21), np.linspace(ymin, ymax, 21))
    scale = projection.get_factors(*projection(x, y, inverse=True)).areal_scale
    return float(np.max(scale) / np.min(scale) - 1)


def ground_of(within: BaseGeometry | None, grid: CellGrid) -> np.ndarray:
    """(rows, columns) bool: cells whose centre lies in `within`; all of them without it."""
    if within is None:
        return np.ones(grid.shape, dtype=bool)
    if within.is_empty:
        return np.zeros(grid.shape, dtype=bool)
    return rasterize([within], out_shape=grid.shape, transform=grid.transform, fill=0, dtype="uint8").astype(bool)


def cell_grid(bounds: Bounds, parameters: HotspotParameters) -> CellGrid:
    """The grid that covers `bounds`."""
    xmin, ymin, xmax, ymax = bounds
    longer = max(xmax - xmin, ymax - ymin)
    fitting = [side for side in parameters.sides_m if longer / side <= parameters.most_across]
    side = float(parameters.cell_m or (fitting[0] if fitting else parameters.sides_m[-1]))
    # a hair less than a whole cell too many is rounding, not ground
    rows, columns = (max(1, int(np.ceil(length / side - 1e-9))) for length in (ymax - ymin, xmax - xmin))
    return CellGrid(xmin, ymin, side, rows, columns)


def placed(cases: gpd.GeoDataFrame, grid: CellGrid) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """The cases that count, and the flat index of the cell that holds each one's centre."""
    located = cases[cases["status"].ne("refuted") & ~(cases.geometry.isna() | cases.geometry.is_empty)]
    centre = shapely.centroid(located.geometry.to_numpy())
    cell = grid.flat_index(shapely.get_x(centre), shapely.get_y(centre))
    return located[cell >= 0], cell[cell >= 0]


def expected_sites(cases: gpd.GeoDataFrame, cell: np.ndarray, grid: CellGrid) -> np.ndarray:
    """(rows, columns): the sum of the probabilities of the cases in each cell."""
    weight = cases["probability"].to_numpy(float)
    return np.bincount(cell, weight, minlength=grid.rows * grid.columns).astype(float).reshape(grid.shape)


def gi_star(values: np.ndarray, reach: int = 1, ground: np.ndarray | None = None) -> np.ndarray:
    """Gi* of a grid with binary weights over a square neighbourhood, the cell itself included.

    Parameters
    ----------
    values: (rows, columns), or (steps, rows, columns), compared with the mean and spread of all steps. reach: cells on
    each side. ground: (rows, columns) bool, the cells there are; None: all.

    Returns
    -------
    Standard deviations in the shape of `values`; 0 where nothing can differ (a constant grid, a neighbourhood that is
    the grid) and off the ground.
    """
    if ground is None:
        ground = np.ones(values.shape[-2:], dtype=bool)
    there = values[..., ground]
    if not there.size:
        return np.zeros(values.shape)
    count = neighbourhood_sum(ground, reach)
    total = neighbourhood_sum(np.where(ground, values, 0.0), reach)
    z = gi_star_z(total, count, count, float(there.mean()), float(there.std()), there.size)
    return np.where(ground, z, 0.0)


def gi_star_z(
    weighted_sum: np.ndarray, weights: np.ndarray, squared_weights: np.ndarray, mean: float, spread: float, n: int
) -> np.ndarray:
    """Gi* = (Σw·y - ȳ·Σw) / (s·sqrt((n·Σw² - (Σw)²)/(n-1))), Getis & Ord 1992, Ord & Getis 1995 (science.md).

    Parameters
    ----------
    weighted_sum, weights, squared_weights: Σw·y, Σw and Σw² of each place, itself included. mean, spread: mean and
    population standard deviation of all n values.
    """
    scale = spread * np.sqrt(np.maximum(n * squared_weights - weights**2, 0.0) / max(n - 1, 1))
    # a spread of rounding errors is no spread
    usable = scale > 1e-12 * max(abs(mean), np.finfo(float).tiny)
    z = np.zeros(np.shape(weighted_sum))
    np.divide(weighted_sum - mean * weights, scale, out=z, where=usable)
    return z


def neighbourhood_sum(values: np.ndarray, reach: int) -> np.ndarray:
    """Sum over the square of side 2·reach + 1 round each cell, cut at the grid's edge; (…, rows, columns)."""
    return along(along(values, reach, axis=-1), reach, axis=-2)


def along(values: np.ndarray, reach: int, axis: int) -> np.ndarray:
    """Sum over 2·reach + 1 cells along one axis, by shifted additions: no running sum, so no drift."""
    moved = np.moveaxis(values, axis, -1)
    total = moved.astype(float)
    for shift in range(1, min(reach, moved.shape[-1] - 1) + 1):
        total[..., shift:] += moved[..., :-shift]
        total[..., :-shift] += moved[..., shift:]
    return np.moveaxis(total, -1, axis)


def benjamini_hochberg(p: np.ndarray, rate: float) -> np.ndarray:
    """Which of many tests hold when a share `rate` of false discoveries is allowed; NaN is no test.

    Only values up to `rate` can pass, so only those are sorted: a million cells cost milliseconds.
    """
    tests = int(np.isfinite(p).sum())
    small = np.sort(p[p <= rate])
    below = np.flatnonzero(small <= rate * np.arange(1, len(small) + 1) / max(tests, 1))
    return p <= small[below[-1]] if len(below) else np.zeros(p.shape, dtype=bool)


def trends(steps: np.ndarray, ground: np.ndarray, parameters: HotspotParameters) -> np.ndarray:
    """How each cell's Gi* went over the steps of time, one of `tables.TRENDS`; flat, row-major.

    Gi* of a step is taken against the mean and spread of all cells in all steps, so a district that heats up as a whole
    is seen to (the emerging hot spots of ArcGIS, whole-cube definition).

    Parameters
    ----------
    steps: (steps, rows, columns) expected sites, the last one ending on the as-of day.
    """
    trend = np.full(ground.size, "none", dtype=object)
    if not len(steps):
        return trend
    z = gi_star(steps, parameters.reach, ground).reshape(len(steps), -1)
    p = np.where(ground.ravel(), ndtr(-z), np.nan)
    significant = benjamini_hochberg(p, parameters.discovery_rate)
    ever = significant.any(axis=0)
    trend[ever] = classify(z[:, ever], significant[:, ever], parameters)
    return trend


def runs_wanted(days: Iterable[date], as_of: date, parameters: HotspotParameters | None = None) -> list[date]:
    """Of the days of earlier runs those a trend is taken over, oldest first: the last one of each step of time.

    Runs within the step that ends on the as-of day say what today's says, and are left out.
    """
    parameters = parameters or HotspotParameters()
    latest: dict[int, date] = {}
    for day in sorted(days):
        step = (as_of - day).days // parameters.step_days
        if 1 <= step < parameters.most_steps:
            latest[step] = day
    return [latest[step] for step in sorted(latest, reverse=True)]


def run_steps(
    earlier: Earlier, today: np.ndarray, grid: CellGrid, as_of: date, parameters: HotspotParameters
) -> np.ndarray | None:
    """(steps, rows, columns) expected sites as the earlier runs had them, and today's; None where runs are too few."""
    cases_of = dict(earlier)
    wanted = runs_wanted(cases_of, as_of, parameters)
    if len(wanted) < parameters.least_runs:
        return None
    return np.stack([*(expected_sites(*placed(cases_of[day], grid), grid) for day in wanted), today])


def evidence_steps(
    cases: gpd.GeoDataFrame, cell: np.ndarray, grid: CellGrid, as_of: date, parameters: HotspotParameters
) -> np.ndarray:
    """(steps, rows, columns) expected sites by the dates of today's evidence."""
    active = activity(cases, as_of, parameters)
    if not len(active):
        return np.zeros((0, *grid.shape))
    return np.stack([expected_sites(cases[on], cell[on], grid) for on in active])


def activity(cases: gpd.GeoDataFrame, as_of: date, parameters: HotspotParameters) -> np.ndarray:
    """(steps, cases) bool: whether a case was active in a step; the last step ends on the as-of day.

    Steps go back to the first evidence, `most_steps` at most. Without cases there are no steps.
    """
    if cases.empty:
        return np.zeros((0, 0), dtype=bool)
    last_day = pd.Timestamp(as_of)
    begun = (last_day - cases["first_seen"].min()).days + 1
    steps = int(np.clip(np.ceil(begun / parameters.step_days), 1, parameters.most_steps))
    ends = last_day - pd.to_timedelta(np.arange(steps)[::-1] * parameters.step_days, unit="D")
    starts = ends - pd.Timedelta(days=parameters.step_days - 1)
    first = cases["first_seen"].to_numpy()[None]
    last = cases["last_seen"].fillna(last_day).to_numpy()[None]
    return (first <= ends.to_numpy()[:, None]) & (last >= starts.to_numpy()[:, None])


def classify(z: np.ndarray, significant: np.ndarray, parameters: HotspotParameters) -> np.ndarray:
    """The word for each cell that was significant in some step (science.md).

    Parameters
    ----------
    z, significant: (steps, cells).
    """
    steady = significant.mean(axis=0) >= parameters.steady
    slope = mann_kendall(z)
    threshold = float(-ndtri(parameters.trend_level))
    only_last = significant[-1] & (significant.sum(axis=0) == 1)
    choices = [only_last, steady & significant[-1] & (slope > threshold), steady & (slope < -threshold), steady]
    return np.select(choices, ["new", "intensifying", "diminishing", "persistent"], "sporadic").astype(object)


def mann_kendall(series: np.ndarray) -> np.ndarray:
    """The Mann-Kendall statistic of each column, standard deviations, with ties (Mann 1945, Kendall 1975).

    Parameters
    ----------
    series: (steps, cells). Returns 0 where all values are equal or there are fewer than two steps.
    """
    n = len(series)
    concordance = np.zeros(series.shape[1])
    ties = np.zeros(series.shape[1])
    for i in range(n):
        equal = (series == series[i]).sum(axis=0)
        # summed over the members of a group of t ties, (t-1)(2t+5) gives the group's t(t-1)(2t+5)
        ties += (equal - 1) * (2 * equal + 5)
        concordance += np.sign(series[i + 1 :] - series[i]).sum(axis=0)
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    z = np.zeros(series.shape[1])
    np.divide(concordance - np.sign(concordance), np.sqrt(variance), out=z, where=variance > 0)
    return z


def jurisdiction_of_cells(jurisdictions: gpd.GeoDataFrame | None, grid: CellGrid) -> np.ndarray:
    """Code of the jurisdiction that holds each cell's centre, None where none does; of several, the smallest."""
    codes = np.full(grid.rows * grid.columns, None, dtype=object)
    if jurisdictions is None or jurisdictions.empty:
        return codes
    # drawn from large to small, so that a town overwrites its county
    ordered = jurisdictions.assign(area=jurisdictions.area).sort_values(["area", "code"], ascending=[False, True])
    shapes = [(shape, rank) for rank, shape in enumerate(ordered.geometry, 1) if shape is not None]
    drawn = rasterize(shapes, out_shape=grid.shape, transform=grid.transform, fill=0, dtype="int32").ravel()
    codes[drawn > 0] = ordered["code"].to_numpy(object)[drawn[drawn > 0] - 1]
    return codes
