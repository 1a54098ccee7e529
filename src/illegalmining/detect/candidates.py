"""The state of a watched pixel, and how a date that stands out is weighed between baseline, outlier and change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from illegalmining.detect.baseline import FAST, Days, Floats

SLOTS = 2
"""Candidate onsets kept for each pixel."""

PAST = SLOTS
"""Where the best of the candidates that were given up is kept."""

EMPTY = np.float32(-1e30)
"""Evidence of a candidate that does not exist."""


class Watch(NamedTuple):
    """What is remembered of P pixels with K features; S is two candidates and the best of those given up.

    level (S, P): evidence now, nats. mean (S, K, P), certainty (S, P): the new level in noise units and its precision.
    onset, last, dates (S, P): first day (from 1970-01-01), last day it was supported, supporting dates. peak (S, P),
    peak_mean (S, K, P), peak_day: highest evidence, level and day then. drift (K, P), drift_variance (P,): what the
    baseline has drifted, in noise units; infinite variance: not yet begun. day (P,): last clear day. clear (P,): clear
    dates judged.
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
        drift=np.zeros((features, pixels), np.float32),
        drift_variance=np.full(pixels, np.inf, np.float32),
        day=np.zeros(pixels, days),
        clear=np.zeros(pixels, days),
    )


@njit(nogil=True, cache=True, fastmath=FAST, inline="always")
def mixture(
    distance: np.float32, variance: np.float32, features: np.float32, keep: np.float32, broad: np.float32
) -> np.float32:
    """Log of (1 - e) Normal(distance; variance) + e broad: `keep` is 1 - e, `broad` already holds its share and log."""
    normal = keep - np.float32(0.5) * (features * np.log(np.float32(6.2831853) * variance) + distance / variance)
    if normal > broad:
        return normal + np.log1p(np.exp(broad - normal))
    return broad + np.log1p(np.exp(normal - broad))


@njit(nogil=True, cache=True, fastmath=FAST)
def give_up(watch: Watch, s: int, p: int) -> None:
    """Empty a candidate's place; remember it where it was the best so far."""
    if watch.level[s, p] > EMPTY and watch.peak[s, p] > watch.peak[PAST, p]:
        watch.peak[PAST, p] = watch.peak[s, p]
        watch.peak_mean[PAST, :, p] = watch.peak_mean[s, :, p]
        watch.peak_day[PAST, p] = watch.peak_day[s, p]
        watch.onset[PAST, p] = watch.onset[s, p]
        watch.last[PAST, p] = watch.last[s, p]
        watch.dates[PAST, p] = watch.dates[s, p]
    watch.level[s, p] = EMPTY
    watch.peak[s, p] = 0.0


@njit(nogil=True, cache=True, fastmath=FAST)
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
    watch.last[s, p] = today
    watch.dates[s, p] = 1
    watch.peak[s, p] = max(evidence, np.float32(0.0))


@njit(nogil=True, cache=True, fastmath=FAST)
def follow(
    watch: Watch, s: int, p: int, z: Floats, today: np.int32, quiet: np.float32, broad: np.float32, setting: Floats
) -> None:
    """Update a candidate with one date; `z` in noise units, `quiet` the log density under the baseline."""
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
    if watch.level[s, p] > watch.peak[s, p]:
        watch.peak[s, p] = watch.level[s, p]
        watch.peak_mean[s, :, p] = watch.mean[s, :, p]
        watch.peak_day[s, p] = today


@njit(nogil=True, cache=True, fastmath=FAST)
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
