"""Medians over the pixels of a tile, exact and without sorting: the middle is closed in on by counting.

The bits of a float, read as a whole number and turned round below zero, are in the order of the floats; whole numbers
are counted many at a time, and what is missing is above them all and never counted.
"""

from __future__ import annotations

import numpy as np

from illegalmining.detect.kernels import Days, Floats, kernel, part

MISSING = np.int32(0x7FFFFFFF)
"""Key of what is missing, above all others."""

LOWEST = np.int32(-0x80000000)
"""Below all keys."""

HALVING = 4
"""Every so many counts the bracket of keys is halved, so that no distribution takes long."""


@part
def key_of(bits: np.int32) -> np.int32:
    """Key of a float's bits, and of a key the bits of its float."""
    return np.int32(bits ^ (np.int32(bits >> np.int32(31)) & MISSING))


@part
def make_keys(keys: Days) -> int:
    """Turn the bits of floats (N,) into keys, in place; returns how many are finite."""
    finite = np.float32(0.0)
    for i in range(len(keys)):
        there = (keys[i] & MISSING) < np.int32(0x7F800000)
        keys[i] = key_of(keys[i]) if there else MISSING
        finite += np.float32(there)
    return int(finite)


@part
def up_to(keys: Days, pivot: np.int32) -> int:
    """How many keys (fewer than 2^24) are at most a pivot."""
    count = np.float32(0.0)
    for i in range(len(keys)):
        count += np.float32(keys[i] <= pivot)
    return int(count)


@part
def beside(keys: Days, pivot: np.int32, pair: Days) -> None:
    """The highest key up to a pivot and the lowest beyond it, into `pair` (2,)."""
    low, high = LOWEST, MISSING
    for i in range(len(keys)):
        low = max(low, keys[i] if keys[i] <= pivot else LOWEST)
        high = min(high, MISSING if keys[i] <= pivot else keys[i])
    pair[0], pair[1] = low, high


@part
def some_ends(keys: Days, pair: Days) -> None:
    """The lowest and the highest of nine keys, without what is missing, into `pair` (2,)."""
    low, high = MISSING, LOWEST
    for i in range(0, len(keys), max(1, len(keys) // 8)):
        low = min(low, keys[i])
        high = max(high, keys[i] if keys[i] < MISSING else LOWEST)
    pair[0], pair[1] = low, high


@part
def middle_of(keys: Days, finite: int, pair: Days, numbers: Floats) -> np.float32:
    """The median of the floats behind keys (N,), of which some are finite; of an even count the mean of the middle two.

    pair (2,) and numbers, the same memory as floats, are for its own use. A pivot is where the key looked for would be
    were values evenly spread over the bracket, from `low`, below which are too few, to `high`.
    """
    target, counts = (finite + 1) // 2, 0
    low, high, under, upto = LOWEST, MISSING, 0, finite
    some_ends(keys, pair)
    first, last = pair[0], pair[1]
    while upto != target and high - low > 1:
        pivot = np.int32((np.int64(low) + np.int64(high)) // 2)
        if counts < 2:
            pivot = last if counts else first
        elif counts % HALVING and low > LOWEST and high < MISSING:
            pair[0], pair[1] = key_of(low), key_of(high)
            share = (np.float32(target - under) + np.float32(0.5)) / np.float32(upto - under)
            numbers[0] += share * (numbers[1] - numbers[0])
            pivot = key_of(pair[0])
        pivot = np.int32(min(max(pivot, low + 1), high - 1))
        counts += 1
        count = up_to(keys, pivot)
        if count < target:
            low, under = pivot, count
        else:
            high, upto = pivot, count
    beside(keys, np.int32(min(high, MISSING - 1)), pair)
    whole = upto == target and finite % 2 == 0
    pair[0], pair[1] = key_of(pair[0]), key_of(pair[1] if whole else pair[0])
    return (numbers[0] + numbers[1]) / np.float32(2.0)


@kernel
def medians_kernel(values: Floats, step: int, found: Floats) -> None:
    """Medians (T, K) of every `step`-th of the pixels of `values` (T, K, P), NaN where none is finite."""
    dates, features, pixels = values.shape
    looked = np.zeros((pixels + step - 1) // step, np.float32)
    numbers = np.zeros(2, np.float32)
    keys, pair = looked.view(np.int32), numbers.view(np.int32)
    for t in range(dates):
        for k in range(features):
            row = values[t, k, ::step]
            for i in range(len(looked)):
                looked[i] = row[i]
            finite = make_keys(keys)
            found[t, k] = middle_of(keys, finite, pair, numbers) if finite else np.float32(np.nan)


@kernel
def spreads_kernel(
    values: Floats, step: int, design: Floats, fitted: Floats, worth: Floats, middle: Floats, spread: Floats,
    counts: Days,
) -> None:  # fmt: skip
    """Medians (T, K) of residuals in units of each pixel's scale, medians of their distances from those, and how many
    there are (T,), over every `step`-th of the pixels of `values` (T, K, P).

    design (T, C). fitted (K, C, N) and worth (K, N), 1 / scale, of those N pixels.
    """
    dates, features, _ = values.shape
    some = worth.shape[1]
    residual, looked = np.zeros(some, np.float32), np.zeros(some, np.float32)
    numbers = np.zeros(2, np.float32)
    keys, pair = looked.view(np.int32), numbers.view(np.int32)
    for t in range(dates):
        for k in range(features):
            row = values[t, k, ::step]
            for i in range(some):
                residual[i] = row[i]
            for c in range(design.shape[1]):
                x = design[t, c]
                for i in range(some):
                    residual[i] -= x * fitted[k, c, i]
            for i in range(some):
                residual[i] *= worth[k, i]
                looked[i] = residual[i]
            finite = make_keys(keys)
            counts[t] = finite if k == 0 else counts[t]
            if finite == 0:
                middle[t, k] = spread[t, k] = np.float32(np.nan)
                continue
            centre = middle_of(keys, finite, pair, numbers)
            for i in range(some):
                looked[i] = abs(residual[i] - centre)
            middle[t, k], spread[t, k] = centre, middle_of(keys, make_keys(keys), pair, numbers)
