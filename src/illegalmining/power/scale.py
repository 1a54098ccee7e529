"""Meters whose scale changes: from one day on every hour is read so many times as high, and nothing else changes.

A current transformer is exchanged for one of another ratio, or a register's multiplier is entered wrongly: all load of
the meter steps by one factor, by day and by night, at rest and at work alike. Work that begins or ends adds or takes
away kilowatts and so changes the day's course. Only a step that is a factor and no sum counts, and a load
without a course shows none. Pure functions on arrays.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HOURS = 24


@dataclass(frozen=True)
class ScaleParameters:
    """What counts as a change of scale.

    window: days before and after that must agree, and least apart that two changes lie. fewest: days after that do
    at the end of the readings. known: least share of them with whole hours. least: smallest factor looked for;
    transformer ratios step by 1.25 and more (preferred primary currents of IEC 61869-2: 10, 12.5, 15, 20, 25, 30,
    40, 50, 60, 75 and their multiples). left: share of what a sum leaves of the step that a factor may leave.
    spread: how nearly alike the factor of every hour must be, as a log standard deviation. sharp: share of the days
    on either side that lie nearer to their own level than to the other. most: changes of one meter beyond which its
    load is of another kind.
    """

    window: int = 21
    fewest: int = 5
    known: float = 0.6
    least: float = 1.2
    left: float = 0.1
    spread: float = 0.05
    sharp: float = 0.9
    most: int = 3


def scale_of_days(load: Floats, parameters: ScaleParameters) -> Floats:
    """Factor by which each day (D, 24) is read, relative to the scale most days have, (D,); 1 where nothing changes."""
    whole = np.asarray((np.isfinite(load) & (load > 0)).all(axis=1))
    changes = steps(load, whole, parameters)
    if not changes or len(changes) > parameters.most:
        return np.ones(len(load))
    factor = np.ones(len(load))
    for day, step in changes:
        factor[day:] *= step
    levels, index = np.unique(factor, return_inverse=True)
    factor /= levels[np.bincount(index, weights=whole).argmax()]
    # Back to the old transformer, as nearly as two estimates of a step tell.
    return np.where(np.abs(np.log(factor)) < np.log(parameters.least) / 2, 1.0, factor)


def steps(load: Floats, whole: npt.NDArray[np.bool_], p: ScaleParameters) -> list[tuple[int, float]]:
    """First day and factor of each change, in order; the clearest of those that lie within a window of each other."""
    found: list[tuple[float, int, float]] = []
    for day in candidates(load, whole, p):
        step = one_step(load, whole, day, p)
        if step is not None:
            found.append((step[1], day, step[0]))
    # Of neighbouring days that all fit, the one with the fewest days on the wrong side is the day of the change.
    kept: list[tuple[int, float]] = []
    for _, day, factor in sorted(found):
        if all(abs(day - other) >= p.window for other, _ in kept):
            kept.append((day, factor))
    return sorted(kept)


def candidates(load: Floats, whole: npt.NDArray[np.bool_], p: ScaleParameters) -> list[int]:
    """Days from which the quietest and the middle hour of the following days are higher, or lower, by a factor."""
    if len(load) < 3 * p.window:
        return []
    ordered = np.sort(load, axis=1)
    measures = [np.where(whole, ordered[:, 0], np.nan), np.where(whole, ordered[:, HOURS // 2], np.nan)]
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        # Medians of blocks that do not overlap are cheap, and a step shows between every second of them.
        blocks = [each[: len(load) // p.window * p.window].reshape(-1, p.window) for each in measures]
        medians = np.log(np.array([np.nanmedian(each, axis=1) for each in blocks]))
        late = np.log(np.array([np.nanmedian(each[-p.fewest :]) for each in measures]))[:, None]
        if not together(np.hstack([medians[:, 2:] - medians[:, :-2], late - medians[:, -2:]]), p).any():
            return []
        rise = np.log(np.array([after_over_before(each, p) for each in measures]))
    return np.flatnonzero(together(rise, p)).tolist()


def together(rise: Floats, p: ScaleParameters) -> npt.NDArray[np.bool_]:
    """Where all measures (2, N) rise, or all fall, by the least factor."""
    least = np.log(p.least)
    return np.asarray((rise >= least).all(axis=0) | (rise <= -least).all(axis=0))


def after_over_before(values: Floats, p: ScaleParameters) -> Floats:
    """Median of the window that begins on each day over that of the window before, (D,); NaN where days are too few."""
    longer = np.append(values, np.full(p.window - p.fewest, np.nan))
    medians = np.nanmedian(np.lib.stride_tricks.sliding_window_view(longer, p.window), axis=1)
    ratio = np.full(len(values), np.nan)
    ratio[p.window : len(medians)] = medians[p.window :] / medians[: -p.window]
    return ratio


def one_step(load: Floats, whole: npt.NDArray[np.bool_], day: int, p: ScaleParameters) -> tuple[float, float] | None:
    """(factor, days that lie nearer to the other side) if all load steps by a factor on this day, else None."""
    before, after = slice(day - p.window, day), slice(day, day + p.window)
    if min(whole[before].mean(), whole[after].mean()) < p.known:
        return None
    first, then = load[before][whole[before]], load[after][whole[after]]
    old, new = np.median(first, axis=0), np.median(then, axis=0)
    ratios = np.log(new / old)
    factor = float(np.exp(np.median(ratios)))
    as_factor = float(((new - factor * old) ** 2).sum())
    as_sum = float((((new - old) - (new - old).mean()) ** 2).sum())
    nearer = np.abs(np.log(first.mean(axis=1) / old.mean())) < abs(np.log(factor)) / 2
    later = np.abs(np.log(then.mean(axis=1) / new.mean())) < abs(np.log(factor)) / 2
    alike = ratios.std() < p.spread and as_factor < p.left * as_sum
    if not alike or min(nearer.mean(), later.mean()) < p.sharp or abs(np.log(factor)) < np.log(p.least):
        return None
    strays = (~nearer).sum() + (~later).sum()
    return factor, float(strays) + as_factor / as_sum
