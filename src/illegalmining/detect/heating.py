"""Heaters charged in certain hours as the cold asks: load that is new on a meter and nobody's work.

Night storage heaters fill the cheap hours of cold nights and nothing of warm ones; so do direct heaters on a timer.
Their load follows the cold, night after night, and never rests; a mine's work does neither. Both are looked at in the
same way: a block of hours added to the usual day, whose hours and height are learned and paid for. Pure functions on
arrays, loads relative to the meter's usual load.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

import numpy as np
import pandas as pd
from numba import njit
from scipy.special import logsumexp, ndtr

from illegalmining.detect.day_densities import Quadratic, sizes, times
from illegalmining.detect.day_shapes import NOON, Added, Flags, Floats, coarse, steps_of

Course = tuple[Floats, Floats]
"""Mean and standard deviation of each day's load, (D,) each, as a share of its height."""

STILL = 1e-6
FINER = 7
"""Heights looked at from the step below to the step above."""
WARM = 0.01
"""Days of less than this share of a cold day's load are warm: nothing is charged."""


@dataclass(frozen=True)
class HeatingParameters:
    """What is known of heaters beforehand.

    share: of other meters on which so much load is heaters', 0.02-0.1 where coal stoves are being replaced. lengths:
    hours a night that they, or a crew, take, least and most (cheap tariffs last 7-10 hours). bases_c: daily means below
    which houses are heated, degrees (heating seasons in China begin at 5, degree days are counted from 18). unit_c:
    degrees below that count as one. error_c: how far what the houses ask for lies from the measured daily mean,
    degrees. coldest_day: of the year, where nobody measured (mid January in China's coal basins). seasons: where nobody
    measured, cosines of the year's angle above which it is cold. rated: in the same unit, how far below that heaters
    are full. measured: share of days whose mean must be known. season_error: standard deviation of a day's cold about
    its season, in the same unit (4 of 15 degrees). scatter: standard deviation of a night's charge or work about its
    expectation, relative. heights: least and largest, as shares of usual load, and steps between. odd: share of days
    with a block of any hours and height for reasons of their own.
    """

    share: float = 0.05
    lengths: tuple[int, int] = (4, 12)
    bases_c: tuple[float, ...] = (5.0, 10.0, 15.0, 18.0)
    unit_c: float = 15.0
    error_c: float = 1.5
    coldest_day: int = 18
    seasons: tuple[float, ...] = (-0.3, 0.0, 0.3, 0.6)
    rated: tuple[float, ...] = (0.6, np.inf)
    measured: float = 0.8
    season_error: float = 0.25
    scatter: float = 0.15
    heights: tuple[float, float, int] = (0.15, 30.0, 16)
    odd: float = 0.005


def cold(days: pd.DatetimeIndex, weather: pd.DataFrame | None, p: HeatingParameters) -> list[Course]:
    """What the cold of each night asks for, one course for each notion of when heating begins and when it is at its
    most. A night lies between two days, and nobody knows which of them its charge follows."""
    season = np.cos(2 * np.pi * (days.dayofyear.to_numpy() - p.coldest_day) / 365.25)
    error, middles = np.full(len(days), p.season_error), [season - share for share in p.seasons]
    if weather is not None and "temperature_c" in weather:
        known = weather["temperature_c"].reindex(days)
        if known.notna().mean() > p.measured:
            today = known.interpolate(limit_direction="both").to_numpy(float)
            after = np.append(today[1:], today[-1])
            error = np.hypot(p.error_c, (after - today) / 2) / p.unit_c
            middles = [(base - (today + after) / 2) / p.unit_c for base in p.bases_c]
    return [held(middle, error, rated) for middle in middles for rated in p.rated]


def held(middle: Floats, sd: Floats, rated: float) -> Course:
    """Mean and standard deviation of normal values held between zero and `rated`."""
    low, low_square = above(middle, sd)
    high, high_square = above(middle - rated, sd) if np.isfinite(rated) else (0.0 * low, 0.0 * low)
    mean = low - high
    square = low_square - high_square - (2 * rated * high if np.isfinite(rated) else 0.0)
    warm = mean < WARM
    return np.where(warm, 0.0, mean), np.where(warm, 0.0, np.sqrt(np.maximum(square - mean**2, 0.0)))


def above(middle: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """First and second moment of what of normal values is above zero."""
    chance, density = ndtr(middle / sd), np.exp(-0.5 * (middle / sd) ** 2) / np.sqrt(2 * np.pi)
    return middle * chance + sd * density, (middle**2 + sd**2) * chance + middle * sd * density


def timer_blocks(width: int, p: HeatingParameters) -> Floats:
    """(K, B) share of each block of hours from noon that a timer, or a crew, may take."""
    hours = np.arange(24)
    lengths = range(p.lengths[0], p.lengths[1] + 1)
    rows = [((hours - NOON - begin) % 24 < length) for length in lengths for begin in hours]
    return np.unique(coarse(np.array(rows, dtype=float), width), axis=0)


class NewLoad:
    """Days whose every hour is known, under a usual day, and what a block of hours added to them makes of them.

    away: (D, B) load less the usual, NaN where unknown. spread: (B, B) covariance of a usual day. tail: of the t.
    under: a load that is part of the usual, as its course has it.
    """

    def __init__(
        self, away: Floats, spread: Floats, tail: float, p: HeatingParameters, under: Added | None = None
    ) -> None:
        self.p, self.tail = p, tail
        self.rows = np.flatnonzero(np.isfinite(away).all(axis=1))
        self.blocks = timer_blocks(away.shape[1], p)
        self.heights = np.geomspace(*p.heights)
        shape = (len(self.rows), len(self.blocks))
        self.far, self.along, self.size = np.empty((len(self.rows), 1)), np.empty(shape), np.empty(shape)
        levels = np.zeros(len(away)) if under is None else steps_of(under.sd)
        across = np.ascontiguousarray(self.blocks.T)
        for level in np.unique(levels[self.rows]):
            some = levels[self.rows] == level
            left, wider = away[self.rows[some]], spread
            if under is not None:
                left = left - np.outer(under.mean[self.rows[some]], under.block)
                wider = spread + under.covariance(level)
            days = Quadratic(left, wider, tail)
            self.far[some, 0], self.along[some] = days.far, times(days.bent, across)
            self.size[some] = sizes(across, days.inverse)
        self.power = (tail + away.shape[1]) / 2
        every = np.ones(len(self.rows))
        self.steady = [self.over(height, every, 0 * every) for height in self.heights]
        choices = len(self.heights) * len(self.blocks)
        self.odd = np.log(p.odd / choices) + logsumexp(self.steady, axis=(0, 2), keepdims=True)[0]

    def over(self, height: float, mean: Floats, sd: Floats) -> Floats:
        """(n, K) log density of each day with each block over that without, of this height and course, (n,)."""
        expected, variance = height * mean[:, None], height**2 * (sd**2 + (self.p.scatter * mean) ** 2)[:, None]
        grown = 1 + variance * self.size
        off = self.along - expected * self.size
        far = self.far - expected * (self.along + off) - off**2 * variance / grown
        there = -self.power * np.log1p(np.maximum(far, 0.0) / self.tail) - 0.5 * np.log(grown)
        return np.asarray(there + self.power * np.log1p(self.far / self.tail))

    def gain(self, over: Floats) -> Floats:
        """(n, K) the same, where any day may be odd."""
        usual = np.log1p(-self.p.odd)
        return np.asarray(np.logaddexp(over + usual, self.odd) - np.logaddexp(usual, self.odd))

    def heaters(self, courses: list[Course], begins: Flags) -> Added | None:
        """Heaters that suit the days best; begins: (D,) days from which they may be there. None where none do better
        than nothing."""
        first = begins[self.rows]
        if not first.any():
            return None
        prior = np.where(first, -np.log(max(first.sum(), 1)), -np.inf)[:, None]
        found: list[float] = []
        best = (-np.inf, 0, 0.0, 0, 0)
        for number, course in enumerate(courses):
            for height in self.heights[::2]:
                onward = self.onward(height, course) + prior
                found.append(float(logsumexp(onward)))
                at = divmod(int(onward.argmax()), len(self.blocks))
                best = max(best, (float(onward[at]), number, float(height), *at))
        nats = float(logsumexp(found)) - np.log(len(found) * len(self.blocks))
        _, number, height, day, block = best
        mean, sd = courses[number]
        between = height * (self.heights[1] / self.heights[0]) ** np.linspace(-1, 1, FINER)
        height = max(between, key=lambda finer: self.onward(finer, courses[number])[day, block])
        there = height * (np.arange(len(begins)) >= self.rows[day])
        scatter = there * np.hypot(sd, self.p.scatter * mean)
        return Added(self.blocks[block], there * mean, scatter, nats) if nats > 0 else None

    def onward(self, height: float, course: Course) -> Floats:
        """(n, K) log density of the days with each block from each day on, over that without."""
        mean, sd = course
        gained = self.gain(self.over(height, mean[self.rows], sd[self.rows]))
        return np.asarray(gained[::-1].cumsum(axis=0)[::-1])

    def work(self, chains: list[tuple[float, float, float]], judged: Flags, amounts: tuple[float, float]) -> float:
        """Nats for campaigns of work of one height, within `amounts`, and hours on judged days, (D,). chains:
        probabilities a day that a campaign begins and ends, and the share of its nights that are worked."""
        kept = judged[self.rows]
        found = []
        within = (self.heights >= amounts[0]) & (self.heights <= amounts[1])
        for over in compress(self.steady, within):
            worked = np.exp(np.minimum(self.gain(over), MOST_EXPONENT))
            worked[~kept] = 1.0
            found += [campaigns(worked, *chain) for chain in chains]
        return float(logsumexp(found)) - np.log(len(found) * len(self.blocks)) if found else -np.inf


MOST_EXPONENT = 300.0
"""Of a ratio of densities that is still a number."""


@njit(cache=True)
def campaigns(worked: Floats, begin: float, end: float, duty: float) -> Floats:
    """(K,) log probability of the days over that without work, under campaigns; worked: (n, K) ratio of densities."""
    days, blocks = worked.shape
    total = np.zeros(blocks)
    for k in range(blocks):
        outside, inside = 1.0 - begin, begin
        for day in range(days):
            if day > 0:
                outside, inside = outside * (1.0 - begin) + inside * end, outside * begin + inside * (1.0 - end)
            inside *= 1.0 - duty + duty * worked[day, k]
            sum_ = outside + inside
            total[k] += np.log(sum_)
            outside, inside = outside / sum_, inside / sum_
    return total
