"""A rival of every change: the ground follows its own season, in a year that runs ahead of the others or behind them.

Sowing, weather and the choice of crop move a field's season by weeks, so that it lies bare when it never did before.
Its spring told how far: a field that greened weeks early is reaped weeks early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from illegalmining.detect.baseline import DAYS_A_YEAR, Floats, season
from illegalmining.detect.change import Days
from illegalmining.detect.kernels import kernel

HARMONICS = 2
"""Waves a year that a baseline has at most."""

YEAR = 365
"""Days before a change whose lead is the season's own; what came earlier was another season."""

Doubles = npt.NDArray[np.float64]

LOOKS = 3
"""Clear dates in a row whose median is what was seen."""


@dataclass(frozen=True)
class MovedSeasonParameters:
    """How far seasons move, and how closely the ground keeps to its course when they do.

    season_sd: standard deviation of a year's lead over the others, days (sowing, weather and crops: 2-4 weeks).
    ripening_sd: standard deviation of what a lead changes within a season, days (1-2 weeks). furthest: largest lead
    tried, days. step: between the leads tried, days. around: from a day of the year, what was seen before counts as
    seen then, days (two revisits, half of them cloudy). course_sd: how far the ground keeps to its own course when its
    season moves, in the feature's unit. course_tail: degrees of freedom of that. course_days: time over which such a
    departure fades, days: one that stands for longer is seen again. core: quantile of the dates' departures that
    speaks for a region, so that a leaked cloud is none. field_m2: size of a field whose season moves as one.
    """

    season_sd: float = 20.0
    ripening_sd: float = 10.0
    furthest: int = 180
    step: int = 4
    around: int = 10
    course_sd: float = 0.1
    course_tail: float = 10.0
    course_days: float = 120.0
    core: float = 0.8
    field_m2: float = 2e4


def moved_season_nats(
    seen: Floats,
    usual: Floats,
    when: Days,
    stands: tuple[float, float],
    noise: Floats,
    area_m2: float,
    parameters: MovedSeasonParameters,
) -> float:
    """Nats for new ground against a season that moved; below 0 where a moved season tells all that was seen.

    Both explanations share what was seen before the change, whose lead is free. After it, the moved season must keep to
    its course with a lead near that one; new ground need not. seen, usual: (T, K), what the region showed (NaN where
    not clear) and what was expected. stands: onset of half of the region, last day that supports it. noise: variance of
    each feature (K,). area_m2: within which one field is looked for.
    """
    onset, last = stands
    leads = np.arange(-parameters.furthest, parameters.furthest + 1.0, parameters.step)
    clear = np.isfinite(seen[:, 0]) & (when.days >= onset - YEAR) & (when.days <= last)
    asked = np.flatnonzero(clear & (np.arange(len(seen)) >= when.history))
    before = when.days[asked] < onset
    if before.all():
        return math.inf
    costs = misfits(seen, usual, when, asked, leads, noise + parameters.course_sd**2, parameters)
    spring = costs[:, before].sum(axis=1) + 0.5 * (leads / parameters.season_sd) ** 2
    ripened = 0.5 * ((leads[:, None] - leads[None]) / parameters.ripening_sd) ** 2
    again = 1.0 + (last - onset) / parameters.course_days
    after = again * np.quantile(costs[:, ~before], parameters.core, axis=1, method="lower")
    moved = ((spring[:, None] + ripened).min(axis=0) + after).min()
    return float(moved - spring.min() - math.log(area_m2 / parameters.field_m2))


def misfits(
    seen: Floats,
    usual: Floats,
    when: Days,
    asked: npt.NDArray[np.intp],
    leads: npt.NDArray[np.float64],
    variance: Floats,
    parameters: MovedSeasonParameters,
) -> npt.NDArray[np.float64]:
    """Nats (L, N) that each of the dates `asked` speaks against a season with each lead (Student-t).

    The season is the baseline's waves, or what was seen in the history about that day of the year: a field that is
    reaped within a week moves faster than waves. What a date shares with its surroundings does not move.
    """
    days = when.days.astype(np.float64)
    design = season(days, HARMONICS).astype(np.float64)
    course = np.asarray(np.linalg.lstsq(design, usual.astype(np.float64), rcond=None)[0], np.float64)
    own = np.asarray(seen - usual + design @ course, np.float64)
    weights = 1.0 / np.asarray(variance, np.float64)
    moved = season((leads[:, None] + days[asked]).ravel(), HARMONICS).astype(np.float64)
    away = np.empty((len(leads), len(asked)))
    waves_kernel(own[asked], moved.reshape(*away.shape, -1), course, weights, away)
    known, then = looked_before(own[: when.history], days)
    before_kernel(own[asked], days[asked], known, then, leads, weights, float(parameters.around), away)
    return np.asarray(0.5 * (parameters.course_tail + len(variance)) * np.log1p(away / parameters.course_tail))


@kernel
def waves_kernel(own: Doubles, moved: Doubles, course: Doubles, weights: Doubles, away: Doubles) -> None:
    """Fill `away` (L, N) with what a date's look (N, K) is away from the waves `course` (C, K) at the days of `moved`
    (L, N, C)."""
    for at in range(len(moved)):
        for n in range(len(own)):
            total = 0.0
            for k in range(len(weights)):
                wave = 0.0
                for c in range(len(course)):
                    wave += moved[at, n, c] * course[c, k]
                total += (own[n, k] - wave) ** 2 * weights[k]
            away[at, n] = total


@kernel
def before_kernel(
    own: Doubles,
    days: Doubles,
    known: Doubles,
    then: Doubles,
    leads: Doubles,
    weights: Doubles,
    around: float,
    away: Doubles,
) -> None:
    """Lower `away` (L, N) to what a date's look (N, K) is away from a look of the history (U, K), where a lead brings
    the one's day of the year within `around` of the other's; leads (L,) ascend. `around` is less than half a year.
    """
    for n in range(len(own)):
        for u in range(len(known)):
            past = 0.0
            for k in range(len(weights)):
                past += (own[n, k] - known[u, k]) ** 2 * weights[k]
            apart = then[u] - days[n]
            turns = round(apart / DAYS_A_YEAR)
            for years in range(turns - 1, turns + 2):
                middle = apart - years * DAYS_A_YEAR
                first = np.searchsorted(leads, middle - around)
                last = np.searchsorted(leads, middle + around, side="right")
                for at in range(first, last):
                    away[at, n] = min(away[at, n], past)


def looked_before(
    history: npt.NDArray[np.float64], days: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What was seen (U, K) and when (U,): medians of clear dates in a row, which one leaked cloud does not move."""
    clear = np.flatnonzero(np.isfinite(history[:, 0]))
    if len(clear) < LOOKS:
        return np.empty((0, history.shape[1])), np.empty(0)
    runs = np.lib.stride_tricks.sliding_window_view(history[clear], LOOKS, axis=0)
    return np.median(runs, axis=2), days[clear[LOOKS // 2 : -(LOOKS // 2)]]
