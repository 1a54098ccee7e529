"""Meters whose clock is wrong for a while: the same course of the day, hours early or late.

A clock that is set wrong, or keeps summer time on its own, moves the day's course whole and leaves its energy as it
was; a changed way of working does neither. Only a lasting, faithful copy counts. Pure functions on arrays.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Shifts = npt.NDArray[np.int64]

HOURS = 24
WEEK = 7


@dataclass(frozen=True)
class ClockParameters:
    """What counts as a wrong clock.

    hours: errors looked for: settings, summer time, and a clock that runs on Greenwich's time in China. weeks: it must
    last so long. course: standard deviation of the usual course, relative to its mean, without which no error shows.
    left: share of the difference from the usual course that may be left once the clock is put right. same: how nearly
    the energy of a day must stay the same, relative.
    """

    hours: tuple[int, ...] = (-3, -2, -1, 1, 2, 3, -8, 8)
    weeks: int = 2
    course: float = 0.10
    left: float = 0.25
    same: float = 0.15


def clock_errors(load: Floats, parameters: ClockParameters) -> Shifts:
    """Hours by which each day (D, 24) is late, (D,); 0 where the clock is right or nothing can be said."""
    count = len(load) // WEEK
    late = np.zeros(len(load), dtype=np.int64)
    if count < 3 * parameters.weeks:
        return late
    weeks = load[: count * WEEK].reshape(count, WEEK, HOURS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        typical = np.nanmedian(weeks, axis=1)
        level = np.nanmean(typical, axis=1)
        course = typical / level[:, None]
        usual = np.nanmedian(course, axis=0)
        moved = np.nanmean((course[:, None, :] - rolled(usual, parameters.hours)[None]) ** 2, axis=2)
        still = np.nanmean((course - usual) ** 2, axis=1)
        as_usual = np.abs(level / np.nanmedian(level) - 1) < parameters.same
    if not np.isfinite(usual).all() or usual.std() < parameters.course:
        return late
    moved = np.where(np.isfinite(moved), moved, np.inf)
    best = moved.argmin(axis=1)
    copies = (moved.min(axis=1) < parameters.left * still) & as_usual & (still > usual.var() / 4)
    errors = np.where(copies, np.array(parameters.hours)[best], 0)
    begin = 0
    for error, run in groupby(errors):
        length = len(list(run))
        if error and length >= parameters.weeks:
            late[begin * WEEK : (begin + length) * WEEK] = error
            widen(late, load, usual, begin * WEEK, (begin + length) * WEEK)
        begin += length
    return late


def rolled(usual: Floats, hours: tuple[int, ...]) -> Floats:
    """The usual course, late by each number of hours, (S, 24)."""
    return np.array([np.roll(usual, hour) for hour in hours])


def widen(late: Shifts, load: Floats, usual: Floats, begin: int, end: int) -> None:
    """Carry an error found by weeks to the neighbouring days that show it too."""
    error = int(late[begin])
    moved = np.roll(usual, error)
    for days in (range(begin - 1, max(begin - WEEK, -1), -1), range(end, min(end + WEEK, len(load)))):
        for day in days:
            course = load[day] / np.nanmean(load[day]) if np.isfinite(load[day]).any() else load[day]
            if not np.isfinite(course).any() or np.nansum((course - moved) ** 2) > np.nansum((course - usual) ** 2):
                break
            late[day] = error


def put_right(load: Floats, late: Shifts) -> Floats:
    """Days (D, 24) with every hour at its own place; hours that nobody read are unknown."""
    right = np.full(load.size, np.nan)
    source = np.arange(load.size)
    target = source - np.repeat(late, HOURS)
    inside = (target >= 0) & (target < load.size)
    right[target[inside]] = load.reshape(-1)[source[inside]]
    return right.reshape(load.shape)
