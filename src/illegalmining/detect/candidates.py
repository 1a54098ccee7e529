"""The state of a watched pixel, and the kernels that feed it: drift, outlier and candidate changes are weighed.

Between memory and cache, rows are copied through slices: an index such as `at + lane` might be negative for all the
compiler knows, and then nothing is vectorised.

They stand in one module because Numba's cache on disk looks only at the file of the outermost kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from illegalmining.detect.robust_fit import LANES, MOST_TERMS, Days, Floats, kernel, part

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
def normal(distance: np.float32, variance: np.float32, features: int, keep: np.float32) -> np.float32:
    """`keep` times the density of a normal distribution of one variance at a squared distance from its mean."""
    density = keep * np.exp(np.float32(-0.5) * distance / variance)
    each = np.float32(1.0) / np.sqrt(np.float32(6.2831853) * variance)
    for _ in range(features):
        density *= each
    return density


@part
def outlying(raw: np.float32, spread: np.float32, features: int, volume: np.float32) -> np.float32:
    """`volume` times a multivariate Cauchy density without its constant, never so small that it has no logarithm."""
    base = np.float32(1.0) / np.sqrt(np.float32(1.0) + raw / spread)
    density = volume * base
    for _ in range(features):
        density *= base
    return max(density, np.float32(1e-37))


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
    """Update a candidate with one date; `z` in noise units, `quiet` the log density under the baseline, `broad` that of
    an outlier, times the share of outliers.

    A date counts against the candidate where the baseline is more probable by a nat; an outlier counts for neither.
    """
    features = z.shape[0]
    keep, restless, memory = setting[0], setting[2], setting[3]
    away = np.float32(0.0)
    for k in range(features):
        away += (z[k] - watch.mean[s, k, p]) ** 2
    variance = np.float32(1.0) + restless + np.float32(1.0) / watch.certainty[s, p]
    moved = normal(away, variance, features, keep)
    changed = np.log(moved + broad)
    share = moved / (moved + broad)
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
    features = z.shape[0]
    keep, volume, restless, start, drop, spread = setting[0], setting[1], setting[2], setting[4], setting[5], setting[6]
    raw = np.float32(0.0)
    for k in range(z.shape[0]):
        raw += z[k] * z[k]
    broad = outlying(raw, spread, features, volume)
    usual = normal(away * spare, spare, features, keep)
    quiet = np.log(usual + broad)
    for s in range(SLOTS):
        if watch.level[s, p] > EMPTY:
            follow(watch, s, p, z, today, quiet, broad, setting)
            if watch.level[s, p] < drop:
                give_up(watch, s, p)
    wide = np.float32(1.0) + restless + size
    fresh = np.log(normal(raw, wide, features, keep) + broad) - quiet - setting[7]
    worst = 0 if watch.level[0, p] <= watch.level[1, p] else 1
    if fresh > start and fresh > watch.level[worst, p]:
        begin(watch, worst, p, z, today, fresh, size, wide, restless)
    return usual / (usual + broad)


@part
def gather(
    at: int, lanes: int, coefficients: Floats, information: Floats, whitening: Floats, mine: Floats, error: Floats,
    white: Floats,
) -> None:  # fmt: skip
    """Copy a group's baseline into cache: (K, MOST_TERMS), packed halves of (C, C) and (K, K), the pixels last."""
    features, terms, _ = coefficients.shape
    i = 0
    for k in range(features):
        for c in range(terms):
            row = coefficients[k, c, at : at + lanes]
            for lane in range(lanes):
                mine[k, c, lane] = row[lane]
        for m in range(k + 1):
            row = whitening[k, m, at : at + lanes]
            for lane in range(lanes):
                white[i, lane] = row[lane]
            i += 1
    i = 0
    for c in range(terms):
        for m in range(c + 1):
            twice = np.float32(1.0 if c == m else 2.0)
            row = information[c, m, at : at + lanes]
            for lane in range(lanes):
                error[i, lane] = twice * row[lane]
            i += 1


@part
def expect(
    at: int, lanes: int, memory: Floats, white: Floats, features: int, prior: Floats, years: Floats, size: Floats
) -> None:
    """What may happen to a group's pixels, in noise variances: `years`, the stationary variance of the drift (what one
    more year may differ), and `size`, the prior variance of a change (the contrast looked for against the noise).

    prior: variance of the years, what full memory of the noise adds to it, and the squared contrast.
    """
    row = memory[at : at + lanes]
    for lane in range(lanes):
        years[lane] = prior[0] + prior[1] * row[lane]
        size[lane] = 0.0
    for i in range(len(white)):
        for lane in range(LANES):
            size[lane] += white[i, lane] * white[i, lane]
    for lane in range(LANES):
        wanted = prior[2] * size[lane] / np.float32(features)
        size[lane] = min(max(wanted, np.float32(1.0)), np.float32(400.0))


@part
def predicted_error(t: int, products: Floats, error: Floats, noisier: Floats, worth: Floats) -> None:
    """One over the standard deviation of a date's residuals, from the date's roughness and the baseline's own error.

    Every three products of waves are summed at a time, so that sums are fetched and stored a third as often.
    """
    for lane in range(LANES):
        worth[lane] = 1.0
    for i in range(0, len(products), 3):
        a, b, c = products[i, t], products[i + 1, t], products[i + 2, t]
        for lane in range(LANES):
            worth[lane] += a * error[i, lane] + b * error[i + 1, lane] + c * error[i + 2, lane]
    for lane in range(LANES):
        worth[lane] = np.float32(1.0) / (noisier[t] * np.sqrt(worth[lane]))


@part
def residuals(
    values: Floats, t: int, at: int, lanes: int, waves: Floats, offset: Floats, mine: Floats, white: Floats,
    worth: Floats, local: Floats, unit: Floats,
) -> None:  # fmt: skip
    """Residuals of one date and group in noise units."""
    features = len(local)
    x0, x1, x2, x3, x4 = waves[0, t], waves[1, t], waves[2, t], waves[3, t], waves[4, t]
    for k in range(features):
        common, row = offset[t, k], values[t, k, at : at + lanes]
        for lane in range(lanes):
            local[k, lane] = row[lane] - common
        for lane in range(LANES):
            level = x0 * mine[k, 0, lane] + x1 * mine[k, 1, lane] + x2 * mine[k, 2, lane]
            local[k, lane] -= level + x3 * mine[k, 3, lane] + x4 * mine[k, 4, lane]
    i = 0
    for k in range(features):
        for lane in range(LANES):
            unit[k, lane] = 0.0
        for m in range(k + 1):
            for lane in range(LANES):
                unit[k, lane] += white[i, lane] * local[m, lane]
            i += 1
        for lane in range(LANES):
            unit[k, lane] *= worth[lane]


@part
def wander(
    unit: Floats, drift: Floats, variance: Floats, day: Days, today: np.int32, years: Floats, fading: Floats,
    judged: Floats, stays: Floats, away: Floats, share: Floats,
) -> None:  # fmt: skip
    """Let a group's baselines drift to today; fills the squared distance of the date from them, in the variance of its
    prediction, and `share`: 1 where the date is clear, else 0. What is not clear becomes 0."""
    last = len(fading) - 1
    for lane in range(LANES):
        share[lane] = judged[lane] if np.isfinite(unit[0, lane]) else np.float32(0.0)
        away[lane] = 0.0
    for lane in range(LANES):
        stays[lane] = fading[min(max(today - day[lane], 0), last)]
    for lane in range(LANES):
        clear = share[lane] > 0
        now = years[lane] + stays[lane] * stays[lane] * (variance[lane] - years[lane])
        variance[lane] = now if clear else variance[lane]
        stays[lane] = stays[lane] if clear else np.float32(1.0)
        day[lane] = today if clear else day[lane]
    for k in range(len(unit)):
        for lane in range(LANES):
            unit[k, lane] = unit[k, lane] if share[lane] > 0 else np.float32(0.0)
            drift[k, lane] *= stays[lane]
            away[lane] += (unit[k, lane] - drift[k, lane]) * (unit[k, lane] - drift[k, lane])
    for lane in range(LANES):
        away[lane] *= share[lane] / (np.float32(1.0) + variance[lane])


@part
def settle(unit: Floats, drift: Floats, variance: Floats, share: Floats, gain: Floats) -> None:
    """Kalman update of a group's drift with the share of the date that shows the baseline."""
    for lane in range(LANES):
        gain[lane] = variance[lane] / (variance[lane] + np.float32(1.0)) * share[lane]
        variance[lane] *= np.float32(1.0) - gain[lane]
    for k in range(len(unit)):
        for lane in range(LANES):
            drift[k, lane] += gain[lane] * (unit[k, lane] - drift[k, lane])


@part
def recall(watch: Watch, at: int, lanes: int, years: Floats, drift: Floats, variance: Floats, day: Days) -> None:
    """Copy a group's drift into cache; one that has not begun starts from its stationary variance."""
    known, last = watch.drift_variance[at : at + lanes], watch.day[at : at + lanes]
    for lane in range(lanes):
        variance[lane] = known[lane] if known[lane] < np.float32(1e30) else years[lane]
        day[lane] = last[lane]
    for k in range(len(drift)):
        row = watch.drift[k, at : at + lanes]
        for lane in range(lanes):
            drift[k, lane] = row[lane]


@part
def remember(watch: Watch, at: int, lanes: int, drift: Floats, variance: Floats, day: Days, clear: Days) -> None:
    """Copy a group's drift back into the state."""
    known, last = watch.drift_variance[at : at + lanes], watch.day[at : at + lanes]
    counted = watch.clear[at : at + lanes]
    for lane in range(lanes):
        known[lane] = variance[lane]
        last[lane] = day[lane]
        counted[lane] = clear[lane]
    for k in range(len(drift)):
        row = watch.drift[k, at : at + lanes]
        for lane in range(lanes):
            row[lane] = drift[k, lane]


@kernel
def monitor_kernel(
    watch: Watch, values: Floats, waves: Floats, products: Floats, days: Days, offset: Floats, noisier: Floats,
    coefficients: Floats, information: Floats, whitening: Floats, memory: Floats, fitted: Days, prior: Floats,
    setting: Floats, fading: Floats,
) -> None:  # fmt: skip
    """Feed dates (T, K, P) to the state; arrays as in `Baseline`, `fitted` (P,) clear dates behind it, `prior` as in
    `expect`, `fading` the part of the drift that is left after 0, 1, 2, ... days."""
    times, features, pixels = values.shape
    local = np.zeros((features, LANES), np.float32)
    unit = np.zeros((features, LANES), np.float32)
    mine = np.zeros((features, MOST_TERMS, LANES), np.float32)
    error = np.zeros((len(products), LANES), np.float32)
    white = np.zeros((features * (features + 1) // 2, LANES), np.float32)
    drift = np.zeros((features, LANES), np.float32)
    variance = np.zeros(LANES, np.float32)
    years = np.zeros(LANES, np.float32)
    size = np.zeros(LANES, np.float32)
    worth = np.zeros(LANES, np.float32)
    stays = np.zeros(LANES, np.float32)
    away = np.zeros(LANES, np.float32)
    share = np.zeros(LANES, np.float32)
    gain = np.zeros(LANES, np.float32)
    here = np.zeros(LANES, np.float32)
    day = np.zeros(LANES, np.int32)
    clear = np.zeros(LANES, np.int32)
    watched = np.zeros(LANES, np.bool_)
    z = np.zeros(features, np.float32)
    odd = np.float32(features + 3)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        here[:] = 0.0
        behind, counted = fitted[at : at + lanes], watch.clear[at : at + lanes]
        one, two = watch.level[0, at : at + lanes], watch.level[1, at : at + lanes]
        for lane in range(lanes):
            here[lane] = np.float32(1.0) if behind[lane] > 0 else np.float32(0.0)
            clear[lane] = counted[lane]
            watched[lane] = one[lane] > EMPTY or two[lane] > EMPTY
        gather(at, lanes, coefficients, information, whitening, mine, error, white)
        expect(at, lanes, memory, white, features, prior, years, size)
        recall(watch, at, lanes, years, drift, variance, day)
        for t in range(times):
            predicted_error(t, products, error, noisier, worth)
            residuals(values, t, at, lanes, waves, offset, mine, white, worth, local, unit)
            wander(unit, drift, variance, day, days[t], years, fading, here, stays, away, share)
            for lane in range(LANES):
                clear[lane] += np.int32(share[lane])
            for lane in range(lanes):
                if share[lane] > 0 and (watched[lane] or away[lane] > odd):
                    for k in range(features):
                        z[k] = unit[k, lane]
                    p, spare = at + lane, np.float32(1.0) + variance[lane]
                    share[lane] = weigh(watch, p, z, days[t], away[lane], spare, size[lane], setting)
                    watched[lane] = watch.level[0, p] > EMPTY or watch.level[1, p] > EMPTY
            settle(unit, drift, variance, share, gain)
        remember(watch, at, lanes, drift, variance, day, clear)
