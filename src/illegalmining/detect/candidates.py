"""The kernels that feed a new date to the state of a watched pixel: drift, outlier and candidate changes are weighed.

Between memory and cache, rows are copied through slices: an index such as `at + lane` might be negative for all the
compiler knows, and then nothing is vectorised.

They stand in one module because Numba's cache on disk looks only at the file of the outermost kernel.
"""

from __future__ import annotations

import numpy as np

from illegalmining.detect.kernels import LANES, Days, Floats, kernel, part
from illegalmining.detect.robust_fit import MOST_TERMS, MOST_WAVES

SLOTS = 2
"""Candidate onsets kept for each pixel."""

PAST = SLOTS
"""Where the best of the candidates that were given up is kept."""

PLACES = SLOTS + 1
"""Candidates and the best of those given up."""

EMPTY = np.float32(-1e30)
"""Evidence of a candidate that does not exist."""

CERTAINTY, PEAK, ONSET, LAST, DATES, PEAK_DAY, PEAK_DATES, MEANS = 0, 1, 2, 3, 4, 5, 6, 7
"""What a candidate's record holds, and where its new level by feature begins, followed by that at its peak. Days and
numbers of dates are far below the whole numbers that float32 cannot tell apart."""

DAY, CLEAR = 0, 1
"""Rows of a watch's days."""


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
def give_up(record: Floats, s: int) -> None:
    """Remember a candidate that was the best so far."""
    for i in range(record.shape[1]):
        record[PAST, i] = record[s, i]


@part
def compare(
    listed: Days, many: int, unit: Floats, away: Floats, variance: Floats, setting: Floats, quiet: Floats,
    broad: Floats, raw: Floats, share: Floats,
) -> None:  # fmt: skip
    """Of each listed lane the density `quiet` without a change, the density `broad` of an outlier times their share,
    the squared distance `raw` from the baseline, and `share`, in which the date shows the baseline."""
    features = len(unit)
    for i in range(many):
        lane = listed[i]
        far = np.float32(0.0)
        for k in range(features):
            far += unit[k, lane] * unit[k, lane]
        spare = np.float32(1.0) + variance[lane]
        odd = outlying(far, setting[6], features, setting[1])
        usual = normal(away[lane] * spare, spare, features, setting[0])
        raw[lane], broad[lane], quiet[lane] = far, odd, usual + odd
        share[lane] = usual / (usual + odd)


@part
def follow(
    listed: Days, many: int, at: int, today: np.int32, unit: Floats, quiet: Floats, broad: Floats, setting: Floats,
    numbers: Floats, candidates: Floats,
) -> None:  # fmt: skip
    """Update the candidates of the listed lanes with a date; give up those it speaks against too much.

    A date counts against a candidate where the baseline is more probable by a nat; an outlier counts for neither.
    """
    features = len(unit)
    one, worth = np.float32(1.0), np.float32(1.0) / (np.float32(1.0) + setting[2])
    for i in range(many):
        lane = listed[i]
        p = at + lane
        for s in range(SLOTS):
            level = numbers[s, p]
            if level <= EMPTY:
                continue
            record = candidates[p]
            far = np.float32(0.0)
            for k in range(features):
                far += (unit[k, lane] - record[s, MEANS + k]) ** 2
            certainty = record[s, CERTAINTY]
            moved = normal(far, one + setting[2] + one / certainty, features, setting[0])
            gained = np.log((moved + broad[lane]) / quiet[lane])
            share = moved / (moved + broad[lane])
            certainty = min(certainty + share * worth, setting[3] * worth)
            step = min(share * worth / certainty, one)
            for k in range(features):
                record[s, MEANS + k] += step * (unit[k, lane] - record[s, MEANS + k])
            level += gained
            if gained > np.float32(0.0):
                record[s, LAST] = np.float32(today)
                record[s, DATES] += one
            elif gained < -one:
                record[s, DATES] = max(record[s, DATES] - one, np.float32(0.0))
            if level > record[s, PEAK]:
                record[s, PEAK] = level
                for k in range(features):
                    record[s, MEANS + features + k] = record[s, MEANS + k]
                record[s, PEAK_DAY], record[s, PEAK_DATES] = np.float32(today), record[s, DATES]
            if level < setting[5]:
                if record[s, PEAK] > record[PAST, PEAK]:
                    give_up(record, s)
                level, record[s, PEAK] = EMPTY, np.float32(0.0)
            numbers[s, p], record[s, CERTAINTY] = level, certainty


@part
def begin(
    listed: Days, many: int, at: int, today: np.int32, unit: Floats, raw: Floats, quiet: Floats, broad: Floats,
    size: Floats, setting: Floats, numbers: Floats, candidates: Floats, watched: Floats,
) -> None:  # fmt: skip
    """A new candidate for the listed lanes that show a change which began on this date, in place of the weaker one;
    `watched` becomes 1 where there is a candidate, else 0."""
    features = len(unit)
    one, rough, least = np.float32(1.0), np.float32(1.0) + setting[2], np.exp(setting[4] + setting[7])
    for i in range(many):
        lane = listed[i]
        p = at + lane
        wide = rough + size[lane]
        ratio = (normal(raw[lane], wide, features, setting[0]) + broad[lane]) / quiet[lane]
        fresh = np.log(ratio) - setting[7] if ratio > least else EMPTY
        s = 0 if numbers[0, p] <= numbers[1, p] else 1
        if fresh > setting[4] and fresh > numbers[s, p]:
            record = candidates[p]
            if numbers[s, p] > EMPTY and record[s, PEAK] > record[PAST, PEAK]:
                give_up(record, s)
            for k in range(features):
                mean = unit[k, lane] * size[lane] / wide
                record[s, MEANS + k], record[s, MEANS + features + k] = mean, mean
            numbers[s, p], record[s, PEAK] = fresh, max(fresh, np.float32(0.0))
            record[s, CERTAINTY] = one / size[lane] + one / rough
            record[s, ONSET], record[s, LAST], record[s, PEAK_DAY] = (
                np.float32(today),
                np.float32(today),
                np.float32(today),
            )
            record[s, DATES], record[s, PEAK_DATES] = one, one
        watched[lane] = one if max(numbers[0, p], numbers[1, p]) > EMPTY else np.float32(0.0)


@part
def fetch(row: Floats, lanes: int, into: Floats) -> None:
    """Copy a row into cache; of a whole group the compiler knows how long it is."""
    if lanes == LANES:
        for lane in range(LANES):
            into[lane] = row[lane]
    else:
        for lane in range(lanes):
            into[lane] = row[lane]


@part
def gather(
    at: int, lanes: int, coefficients: Floats, errors: Floats, whitening: Floats, mine: Floats, error: Floats,
    white: Floats,
) -> None:  # fmt: skip
    """Copy a group's baseline into cache: (K, MOST_TERMS), its own error by wave, packed half of (K, K)."""
    features, terms, _ = coefficients.shape
    i = 0
    for k in range(features):
        for c in range(terms):
            fetch(coefficients[k, c, at : at + lanes], lanes, mine[k, c])
        for m in range(k + 1):
            fetch(whitening[k, m, at : at + lanes], lanes, white[i])
            i += 1
    for w in range(len(errors)):
        fetch(errors[w, at : at + lanes], lanes, error[w])


@part
def add_seasons(mine: Floats, terms: int, white: Floats, share: np.float32, years: Floats, wave: Floats) -> None:
    """Add a share of the squares of a group's waves, in noise units, to `years`; `wave` is for its own use."""
    for c in range(1, terms):
        i = 0
        for k in range(len(mine)):
            for lane in range(LANES):
                wave[lane] = 0.0
            for m in range(k + 1):
                for lane in range(LANES):
                    wave[lane] += white[i, lane] * mine[m, c, lane]
                i += 1
            for lane in range(LANES):
                years[lane] += share * wave[lane] * wave[lane]


@part
def expect(
    at: int, lanes: int, memory: Floats, mine: Floats, terms: int, white: Floats, prior: Floats, years: Floats,
    size: Floats,
) -> None:  # fmt: skip
    """What may happen to a group's pixels, in noise variances: `years`, the stationary variance of the drift (what one
    more year may differ), and `size`, the prior variance of a change (the contrast looked for against the noise).

    prior: variance of the years where nothing else tells it, what full memory of the noise adds to it, what a wave of
    one noise unit in one feature adds to it, and the squared contrast.
    """
    features = len(mine)
    row = memory[at : at + lanes]
    for lane in range(lanes):
        years[lane] = prior[0] + prior[1] * row[lane]
    if prior[2] > 0:
        add_seasons(mine, terms, white, prior[2], years, size)
    for lane in range(LANES):
        size[lane] = 0.0
    for i in range(len(white)):
        for lane in range(LANES):
            size[lane] += white[i, lane] * white[i, lane]
    for lane in range(LANES):
        wanted = prior[3] * size[lane] / np.float32(features)
        size[lane] = min(max(wanted, np.float32(1.0)), np.float32(400.0))


@part
def predicted_error(t: int, doubled: Floats, error: Floats, noisier: Floats, worth: Floats) -> None:
    """One over the standard deviation of a date's residuals, from the date's roughness and the baseline's own error."""
    w0, w1, w2, w3, w4 = doubled[0, t], doubled[1, t], doubled[2, t], doubled[3, t], doubled[4, t]
    w5, w6, w7, w8, rough = doubled[5, t], doubled[6, t], doubled[7, t], doubled[8, t], noisier[t]
    for lane in range(LANES):
        own = w0 * error[0, lane] + w1 * error[1, lane] + w2 * error[2, lane] + w3 * error[3, lane]
        own += w4 * error[4, lane] + w5 * error[5, lane] + w6 * error[6, lane] + w7 * error[7, lane]
        worth[lane] = np.float32(1.0) / (rough * np.sqrt(np.float32(1.0) + own + w8 * error[8, lane]))


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
def recall(
    numbers: Floats, days: Days, at: int, lanes: int, years: Floats, drift: Floats, variance: Floats, day: Days,
    watched: Floats,
) -> None:  # fmt: skip
    """Copy a group's drift into cache; one that has not begun starts from its stationary variance. `watched` is 1 where
    there is a candidate, else 0."""
    known, last = numbers[-1, at : at + lanes], days[DAY, at : at + lanes]
    one, two = numbers[0, at : at + lanes], numbers[1, at : at + lanes]
    for lane in range(lanes):
        variance[lane] = known[lane] if known[lane] < np.float32(1e30) else years[lane]
        day[lane] = last[lane]
        watched[lane] = np.float32(1.0) if max(one[lane], two[lane]) > EMPTY else np.float32(0.0)
    for k in range(len(drift)):
        row = numbers[k - 1 - len(drift), at : at + lanes]
        for lane in range(lanes):
            drift[k, lane] = row[lane]


@part
def remember(
    numbers: Floats, days: Days, at: int, lanes: int, drift: Floats, variance: Floats, day: Days, clear: Floats
) -> None:
    """Copy a group's drift back into the state."""
    known, last, counted = numbers[-1, at : at + lanes], days[DAY, at : at + lanes], days[CLEAR, at : at + lanes]
    for lane in range(lanes):
        known[lane] = variance[lane]
        last[lane] = day[lane]
        counted[lane] += np.int32(clear[lane])
    for k in range(len(drift)):
        row = numbers[k - 1 - len(drift), at : at + lanes]
        for lane in range(lanes):
            row[lane] = drift[k, lane]


@kernel
def monitor_kernel(
    numbers: Floats, known: Days, candidates: Floats, values: Floats, waves: Floats, doubled: Floats, days: Days,
    offset: Floats, noisier: Floats, coefficients: Floats, errors: Floats, whitening: Floats, memory: Floats,
    fitted: Days, prior: Floats, setting: Floats, fading: Floats,
) -> None:  # fmt: skip
    """Feed dates (T, K, P) to the state, `numbers`, `known` (the days) and `candidates` of a `Watch`; arrays as in
    `Baseline`, `doubled` as in `fit_kernel`, `fitted` (P,) clear dates behind the baseline, `prior` as in `expect`,
    `fading` the part of the drift that is left after 0, 1, 2, ... days."""
    times, features, pixels = values.shape
    local = np.zeros((features, LANES), np.float32)
    unit = np.zeros((features, LANES), np.float32)
    mine = np.zeros((features, MOST_TERMS, LANES), np.float32)
    error = np.zeros((MOST_WAVES, LANES), np.float32)
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
    quiet = np.zeros(LANES, np.float32)
    broad = np.zeros(LANES, np.float32)
    raw = np.zeros(LANES, np.float32)
    clear = np.zeros(LANES, np.float32)
    watched = np.zeros(LANES, np.float32)
    day = np.zeros(LANES, np.int32)
    stands = np.zeros(LANES, np.int32)
    listed = np.zeros(LANES, np.int32)
    odd = np.float32(features + 3)
    for at in range(0, pixels, LANES):
        lanes = min(LANES, pixels - at)
        here[:], clear[:] = 0.0, 0.0
        behind = fitted[at : at + lanes]
        for lane in range(lanes):
            here[lane] = np.float32(1.0) if behind[lane] > 0 else np.float32(0.0)
        gather(at, lanes, coefficients, errors, whitening, mine, error, white)
        expect(at, lanes, memory, mine, coefficients.shape[1], white, prior, years, size)
        recall(numbers, known, at, lanes, years, drift, variance, day, watched)
        for t in range(times):
            predicted_error(t, doubled, error, noisier, worth)
            residuals(values, t, at, lanes, waves, offset, mine, white, worth, local, unit)
            wander(unit, drift, variance, day, days[t], years, fading, here, stays, away, share)
            for lane in range(LANES):
                clear[lane] += share[lane]
                stands[lane] = np.int32(1) if (watched[lane] * share[lane] > 0) | (away[lane] > odd) else np.int32(0)
            many = 0
            for lane in range(lanes):
                listed[many] = lane
                many += stands[lane]
            if many:
                compare(listed, many, unit, away, variance, setting, quiet, broad, raw, share)
                follow(listed, many, at, days[t], unit, quiet, broad, setting, numbers, candidates)
                begin(listed, many, at, days[t], unit, raw, quiet, broad, size, setting, numbers, candidates, watched)
            settle(unit, drift, variance, share, gain)
        remember(numbers, known, at, lanes, drift, variance, day, clear)
