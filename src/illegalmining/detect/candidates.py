"""The state of a watched pixel, and the kernels that feed it: drift, outlier and candidate changes are weighed.

They stand in one module because Numba's cache on disk looks only at the file of the outermost kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from illegalmining.detect.robust_fit import LANES, Days, Floats, kernel, part

SLOTS = 2
"""Candidate onsets kept for each pixel."""

PAST = SLOTS
"""Where the best of the candidates that were given up is kept."""

EMPTY = np.float32(-1e30)
"""Evidence of a candidate that does not exist."""


class Watch(NamedTuple):
    """What is remembered of P pixels with K features; S is two candidates and the best of those given up.

    level (S, P): evidence now, nats. mean (S, K, P), certainty (S, P): the new level in noise units and its precision.
    onset, last, dates (S, P): first day (from 1970-01-01), last day it was supported, dates for it less those against,
    never below 0.
    peak (S, P), peak_mean (S, K, P), peak_day, peak_dates (S, P): highest evidence, and level, day and dates then.
    drift (K, P), drift_variance (P,): what the baseline has drifted, in noise units; infinite variance: not yet begun.
    day (P,): last clear day. clear (P,): clear dates judged.
    """

    level: Floats
    mean: Floats
    certainty: Floats
    onset: Days
    last: Days
    dates: Days
    peak: Floats
    peak_mean: Floats
    peak_day: Days
    peak_dates: Days
    drift: Floats
    drift_variance: Floats
    day: Days
    clear: Days


def unwatched(pixels: int, features: int) -> Watch:
    """The state before the first monitored date."""
    each, levels, days = (SLOTS + 1, pixels), (SLOTS + 1, features, pixels), np.int32
    return Watch(
        level=np.full(each, EMPTY, np.float32),
        mean=np.zeros(levels, np.float32),
        certainty=np.zeros(each, np.float32),
        onset=np.zeros(each, days),
        last=np.zeros(each, days),
        dates=np.zeros(each, days),
        peak=np.zeros(each, np.float32),
        peak_mean=np.zeros(levels, np.float32),
        peak_day=np.zeros(each, days),
        peak_dates=np.zeros(each, days),
        drift=np.zeros((features, pixels), np.float32),
        drift_variance=np.full(pixels, np.inf, np.float32),
        day=np.zeros(pixels, days),
        clear=np.zeros(pixels, days),
    )


@part
def mixture(
    distance: np.float32, variance: np.float32, features: np.float32, keep: np.float32, broad: np.float32
) -> np.float32:
    """Log of (1 - e) Normal(distance; variance) + e broad: `keep` is 1 - e, `broad` already holds its share and log."""
    normal = keep - np.float32(0.5) * (features * np.log(np.float32(6.2831853) * variance) + distance / variance)
    if normal > broad:
        return normal + np.log1p(np.exp(broad - normal))
    return broad + np.log1p(np.exp(normal - broad))


@part
def give_up(watch: Watch, s: int, p: int) -> None:
    """Empty a candidate's place; remember it where it was the best so far."""
    if watch.level[s, p] > EMPTY and watch.peak[s, p] > watch.peak[PAST, p]:
        watch.peak[PAST, p] = watch.peak[s, p]
        watch.peak_mean[PAST, :, p] = watch.peak_mean[s, :, p]
        watch.peak_day[PAST, p] = watch.peak_day[s, p]
        watch.onset[PAST, p] = watch.onset[s, p]
        watch.last[PAST, p] = watch.last[s, p]
        watch.peak_dates[PAST, p] = watch.peak_dates[s, p]
    watch.level[s, p] = EMPTY
    watch.peak[s, p] = 0.0


@part
def begin(
    watch: Watch,
    s: int,
    p: int,
    z: Floats,
    today: np.int32,
    evidence: np.float32,
    size: np.float32,
    wide: np.float32,
    restless: np.float32,
) -> None:
    """A new candidate: the ground moved on this date."""
    give_up(watch, s, p)
    for k in range(z.shape[0]):
        watch.mean[s, k, p] = z[k] * size / wide
        watch.peak_mean[s, k, p] = watch.mean[s, k, p]
    watch.level[s, p] = evidence
    watch.certainty[s, p] = np.float32(1.0) / size + np.float32(1.0) / (np.float32(1.0) + restless)
    watch.onset[s, p] = today
    watch.peak_day[s, p] = today
    watch.peak_dates[s, p] = 1
    watch.last[s, p] = today
    watch.dates[s, p] = 1
    watch.peak[s, p] = max(evidence, np.float32(0.0))


@part
def follow(
    watch: Watch, s: int, p: int, z: Floats, today: np.int32, quiet: np.float32, broad: np.float32, setting: Floats
) -> None:
    """Update a candidate with one date; `z` in noise units, `quiet` the log density under the baseline.

    A date counts against the candidate where the baseline is more probable by a nat; an outlier counts for neither.
    """
    features = z.shape[0]
    keep, restless, memory = setting[0], setting[2], setting[3]
    away = np.float32(0.0)
    for k in range(features):
        away += (z[k] - watch.mean[s, k, p]) ** 2
    variance = np.float32(1.0) + restless + np.float32(1.0) / watch.certainty[s, p]
    changed = mixture(away, variance, features, keep, broad)
    share = np.float32(1.0) - np.exp(broad - changed)
    worth = np.float32(1.0) / (np.float32(1.0) + restless)
    watch.certainty[s, p] = min(watch.certainty[s, p] + share * worth, memory * worth)
    step = min(share * worth / watch.certainty[s, p], np.float32(1.0))
    for k in range(features):
        watch.mean[s, k, p] += step * (z[k] - watch.mean[s, k, p])
    watch.level[s, p] += changed - quiet
    if changed > quiet:
        watch.last[s, p] = today
        watch.dates[s, p] += 1
    elif quiet - changed > np.float32(1.0):
        watch.dates[s, p] = max(watch.dates[s, p] - 1, 0)
    if watch.level[s, p] > watch.peak[s, p]:
        watch.peak[s, p] = watch.level[s, p]
        watch.peak_mean[s, :, p] = watch.mean[s, :, p]
        watch.peak_day[s, p] = today
        watch.peak_dates[s, p] = watch.dates[s, p]


@part
def weigh(
    watch: Watch, p: int, z: Floats, today: np.int32, away: np.float32, spare: np.float32, size: np.float32,
    setting: Floats,
) -> np.float32:  # fmt: skip
    """Weigh the explanations of a clear date that stands out; returns the share of the date that shows the baseline."""
    features = np.float32(z.shape[0])
    keep, volume, restless, start, drop, spread = setting[0], setting[1], setting[2], setting[4], setting[5], setting[6]
    raw = np.float32(0.0)
    for k in range(z.shape[0]):
        raw += z[k] * z[k]
    broad = volume - np.float32(0.5) * (features + np.float32(1.0)) * np.log1p(raw / spread)
    quiet = mixture(away * spare, spare, features, keep, broad)
    for s in range(SLOTS):
        if watch.level[s, p] > EMPTY:
            follow(watch, s, p, z, today, quiet, broad, setting)
            if watch.level[s, p] < drop:
                give_up(watch, s, p)
    wide = np.float32(1.0) + restless + size
    fresh = mixture(raw, wide, features, keep, broad) - quiet - setting[7]
    worst = 0 if watch.level[0, p] <= watch.level[1, p] else 1
    if fresh > start and fresh > watch.level[worst, p]:
        begin(watch, worst, p, z, today, fresh, size, wide, restless)
    return np.float32(1.0) - np.exp(broad - quiet)


@part
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


@part
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


@part
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


@part
def settle(unit: Floats, drift: Floats, variance: Floats, share: Floats) -> None:
    """Kalman update of a group's drift with the share of the date that shows the baseline."""
    for lane in range(LANES):
        gain = variance[lane] / (variance[lane] + np.float32(1.0)) * share[lane]
        variance[lane] *= np.float32(1.0) - gain
        if share[lane] > 0:
            for k in range(unit.shape[0]):
                drift[k, lane] += gain * (unit[k, lane] - drift[k, lane])


@part
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


@kernel
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
    variance = np.zeros(LANES, np.float32)
    away = np.zeros(LANES, np.float32)
    share = np.zeros(LANES, np.float32)
    years = np.zeros(LANES, np.float32)
    day = np.zeros(LANES, np.int32)
    clear = np.zeros(LANES, np.int32)
    watched = np.zeros(LANES, np.bool_)
    here = np.zeros(LANES, np.bool_)
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
