"""Sequential evidence for a lasting change: each new date updates a small state of each pixel in constant time.

Three explanations of a clear date compete: the baseline holds; something that is neither (a leaked cloud) was seen;
or the ground has moved to a new level that later dates share. The state keeps, for each of two candidate onsets, the
log ratio of the predictive densities (Adams & MacKay 2007, arXiv:0710.3742, pruned to two run lengths) and the new
level, with a short memory so that a pit which grows or a slope which regrows is followed. The baseline may itself
drift: years differ, so what it shares from date to date is followed by a Kalman filter with a small stationary
variance, and a shift no larger than the usual difference of years is never evidence, however long it lasts. Feeding
dates one by one or all together gives the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log, pi

import numpy as np
import numpy.typing as npt
from numba import njit

from illegalmining.detect.baseline import FAST, LANES, Baseline, Days, Floats
from illegalmining.detect.candidates import EMPTY, Watch, weigh

FADED_DAYS = 1500
"""Gap between clear dates after which nothing is left of a drift, days."""


@dataclass(frozen=True)
class MonitorParameters:
    """How evidence is gathered.

    outlier: share of clear dates that show neither baseline nor change, 0.001-0.1 (scene classifications leak 2-5 %).
    outlier_spread: typical distance of such dates, in noise units. contrast: typical size of the change looked for, in
    the feature's unit. restless: extra variance of the changed ground, in noise variances (a bare face has no season
    to follow, and is worked on). memory_dates: dates over which the new level is remembered. search: what looking at
    every date for an onset costs, nats. start: evidence of a first date from which a candidate is kept, nats. drop:
    evidence below which a candidate is given up, nats. year: variance of the difference between years, in noise
    variances, for a long history. lingering: what full correlation of the noise from date to date adds to it.
    drift_days: time over which such differences fade. late_season: odds that a lasting difference is a season that came
    late or not at all, against a change of the ground. season_tail: degrees of freedom of a pixel's look over the year.
    """

    outlier: float = 0.03
    outlier_spread: float = 8.0
    contrast: float = 0.5
    restless: float = 2.0
    memory_dates: float = 5.0
    search: float = 3.0
    start: float = -5.0
    drop: float = -7.0
    year: float = 1.0
    lingering: float = 3.0
    drift_days: float = 120.0
    late_season: float = 0.2
    season_tail: float = 5.0


def unit_volume(features: int, spread: float) -> float:
    """Log density at the centre of a multivariate Cauchy distribution of the given spread."""
    half = (features + 1) / 2
    return lgamma(half) - half * log(pi) - features * log(spread)


@njit(nogil=True, cache=True, fastmath=FAST)
def gather(
    at: int, lanes: int, coefficients: Floats, information: Floats, whitening: Floats, mine: Floats, error: Floats,
    white: Floats,
) -> None:  # fmt: skip
    """Copy a group's baseline into cache: (K, C), (C, C) and (K, K), each with the group's pixels last."""
    features, terms, _ = coefficients.shape
    for lane in range(lanes):
        for k in range(features):
            for c in range(terms):
                mine[k, c, lane] = coefficients[k, c, at + lane]
            for m in range(k + 1):
                white[k, m, lane] = whitening[k, m, at + lane]
        for c in range(terms):
            for m in range(c + 1):
                error[c, m, lane] = information[c, m, at + lane] * np.float32(1.0 if c == m else 2.0)


@njit(nogil=True, cache=True, fastmath=FAST)
def residuals(
    values: Floats, t: int, at: int, lanes: int, design: Floats, offset: Floats, noisier: Floats, mine: Floats,
    error: Floats, white: Floats, local: Floats, unit: Floats,
) -> None:  # fmt: skip
    """Residuals of one date and group in noise units, given the date's roughness and the baseline's own error."""
    features, terms, _ = mine.shape
    for k in range(features):
        if lanes == LANES:
            for lane in range(LANES):
                local[k, lane] = values[t, k, at + lane] - offset[t, k]
        else:
            for lane in range(lanes):
                local[k, lane] = values[t, k, at + lane] - offset[t, k]
        for c in range(terms):
            x = design[t, c]
            for lane in range(LANES):
                local[k, lane] -= x * mine[k, c, lane]
    for lane in range(LANES):
        local[features, lane] = 1.0
    for c in range(terms):
        for m in range(c + 1):
            xx = design[t, c] * design[t, m]
            for lane in range(LANES):
                local[features, lane] += xx * error[c, m, lane]
    for lane in range(LANES):
        local[features, lane] = np.float32(1.0) / (noisier[t] * np.sqrt(local[features, lane]))
    for k in range(features):
        for lane in range(LANES):
            unit[k, lane] = 0.0
        for m in range(k + 1):
            for lane in range(LANES):
                unit[k, lane] += white[k, m, lane] * local[m, lane]
        for lane in range(LANES):
            unit[k, lane] *= local[features, lane]


@njit(nogil=True, cache=True, fastmath=FAST)
def wander(
    unit: Floats, drift: Floats, variance: Floats, day: Days, today: np.int32, years: Floats, fading: Floats,
    judged: npt.NDArray[np.bool_], away: Floats, share: Floats,
) -> None:  # fmt: skip
    """Let a group's baselines drift to today; fills the squared distance of the date from them, in the variance of its
    prediction, and `share`: 1 where the date is clear, else 0."""
    features = unit.shape[0]
    last = fading.shape[0] - 1
    for lane in range(LANES):
        clear = judged[lane] and np.isfinite(unit[0, lane])
        share[lane] = np.float32(1.0) if clear else np.float32(0.0)
        away[lane] = 0.0
        if clear:
            stays = fading[min(max(today - day[lane], 0), last)]
            variance[lane] = years[lane] + stays * stays * (variance[lane] - years[lane])
            day[lane] = today
            for k in range(features):
                drift[k, lane] *= stays
                away[lane] += (unit[k, lane] - drift[k, lane]) ** 2
            away[lane] /= np.float32(1.0) + variance[lane]


@njit(nogil=True, cache=True, fastmath=FAST)
def settle(unit: Floats, drift: Floats, variance: Floats, share: Floats) -> None:
    """Kalman update of a group's drift with the share of the date that shows the baseline."""
    for lane in range(LANES):
        gain = variance[lane] / (variance[lane] + np.float32(1.0)) * share[lane]
        variance[lane] *= np.float32(1.0) - gain
        if share[lane] > 0:
            for k in range(unit.shape[0]):
                drift[k, lane] += gain * (unit[k, lane] - drift[k, lane])


@njit(nogil=True, cache=True, fastmath=FAST)
def recall(watch: Watch, at: int, lanes: int, years: Floats, drift: Floats, variance: Floats, day: Days) -> None:
    """Copy a group's drift into cache; one that has not begun starts from its stationary variance."""
    for lane in range(LANES):
        day[lane], variance[lane] = 0, 0.0
        drift[:, lane] = 0.0
        if lane < lanes:
            p = at + lane
            begun = watch.drift_variance[p] < np.float32(1e30)
            variance[lane] = watch.drift_variance[p] if begun else years[lane]
            day[lane] = watch.day[p]
            drift[:, lane] = watch.drift[:, p]


@njit(nogil=True, cache=True, fastmath=FAST)
def monitor_kernel(
    watch: Watch, values: Floats, design: Floats, days: Days, offset: Floats, noisier: Floats, coefficients: Floats,
    information: Floats, whitening: Floats, year: Floats, size: Floats, setting: Floats, fading: Floats,
    judged: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    """Feed dates (T, K, P) to the state; arrays as in `Baseline`, `year` and `size` (P,) prior variances, `fading` the
    part of the drift that is left after 0, 1, 2, ... days."""
    times, features, pixels = values.shape
    local = np.zeros((features + 1, LANES), np.float32)
    unit = np.zeros((features, LANES), np.float32)
    mine = np.zeros((features, design.shape[1], LANES), np.float32)
    error = np.zeros((design.shape[1], design.shape[1], LANES), np.float32)
    white = np.zeros((features, features, LANES), np.float32)
    drift = np.zeros((features, LANES), np.float32)
    variance, away, share, years = np.zeros((4, LANES), np.float32)
    day, clear = np.zeros((2, LANES), np.int32)
    watched, here = np.zeros((2, LANES), np.bool_)
    z = np.zeros(features, np.float32)
    odd = np.float32(features + 3)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        for lane in range(LANES):
            p = min(at + lane, pixels - 1)
            here[lane] = lane < lanes and judged[p]
            years[lane] = year[p]
            clear[lane] = watch.clear[p]
            watched[lane] = watch.level[0, p] > EMPTY or watch.level[1, p] > EMPTY
        gather(at, lanes, coefficients, information, whitening, mine, error, white)
        recall(watch, at, lanes, years, drift, variance, day)
        for t in range(times):
            residuals(values, t, at, lanes, design, offset, noisier, mine, error, white, local, unit)
            wander(unit, drift, variance, day, days[t], years, fading, here, away, share)
            for lane in range(lanes):
                clear[lane] += np.int32(share[lane])
                if share[lane] > 0 and (watched[lane] or away[lane] > odd):
                    for k in range(features):
                        z[k] = unit[k, lane]
                    p, spare = at + lane, np.float32(1.0) + variance[lane]
                    share[lane] = weigh(watch, p, z, days[t], away[lane], spare, size[p], setting)
                    watched[lane] = watch.level[0, p] > EMPTY or watch.level[1, p] > EMPTY
            settle(unit, drift, variance, share)
        for lane in range(lanes):
            p = at + lane
            watch.clear[p], watch.day[p], watch.drift_variance[p] = clear[lane], day[lane], variance[lane]
            watch.drift[:, p] = drift[:, lane]


def update(
    watch: Watch,
    values: Floats,
    design: Floats,
    days: npt.NDArray[np.int32],
    shared: tuple[Floats, Floats],
    baseline: Baseline,
    history_years: float,
    parameters: MonitorParameters,
) -> None:
    """Feed dates in order, in place.

    values: (T, K, P), NaN where not clear. design: (T, C) and days: (T,) of the same dates. shared: offset (T, K) and
    noisiness (T,) of each date, from `weather`. history_years: length of the history behind the baseline.
    """
    features = values.shape[1]
    setting = np.array(
        [
            np.log1p(-parameters.outlier),
            np.log(parameters.outlier) + unit_volume(features, parameters.outlier_spread),
            parameters.restless,
            parameters.memory_dates,
            parameters.start,
            parameters.drop,
            parameters.outlier_spread**2,
            parameters.search,
        ],
        np.float32,
    )
    years, size = differing_years(baseline, history_years, parameters), prior_size(baseline, parameters)
    monitor_kernel(
        watch,
        values,
        design,
        days,
        *shared,
        baseline.coefficients,
        baseline.information,
        baseline.whitening,
        years,
        size,
        setting,
        np.exp(-np.arange(FADED_DAYS) / parameters.drift_days).astype(np.float32),
        baseline.clear > 0,
    )


def differing_years(baseline: Baseline, years: float, parameters: MonitorParameters) -> Floats:
    """Stationary variance (P,) of the drift: what one more year may differ from the mean of the years fitted."""
    few = 1.0 + 1.0 / max(years, 0.5)
    return ((parameters.year + parameters.lingering * baseline.memory) * few).astype(np.float32)


def prior_size(baseline: Baseline, parameters: MonitorParameters) -> Floats:
    """Prior variance (P,) of a change, in noise variances: the typical contrast against each pixel's noise."""
    precision = np.einsum("kmp,kmp->p", baseline.whitening, baseline.whitening) / baseline.whitening.shape[0]
    return np.clip(parameters.contrast**2 * precision, 1.0, 400.0).astype(np.float32)
