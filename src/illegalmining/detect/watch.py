"""What is remembered of watched pixels from date to date."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from illegalmining.detect.candidates import (
    CLEAR,
    DATES,
    DAY,
    DAY_ROWS,
    EMPTY,
    LAST,
    ONSET,
    PEAK_DATES,
    PEAK_DAY,
    PLACES,
)
from illegalmining.detect.robust_fit import Days, Floats


class Watch(NamedTuple):
    """What is remembered of P pixels with K features; S is two candidates and the best of those given up.

    numbers (10 + 7 K, P) and days (17, P), row by row what the properties name: two arrays, because whatever a kernel
    is given by name costs it a count of references, which is slow where threads could share it.

    Levels are in noise units, days count from 1970-01-01. A drift of infinite variance has not yet begun.
    """

    numbers: Floats
    days: Days

    @property
    def features(self) -> int:
        """How many features a pixel has."""
        return (len(self.numbers) - 3 * PLACES - 1) // (2 * PLACES + 1)

    def rows(self, place: int, features: int) -> Floats:
        """What a candidate has one of (S, P), or one for each feature (S, K, P): rows after `place` and `features`."""
        first = place * PLACES + features * PLACES * self.features
        return self.numbers[first : first + PLACES]

    def means(self, place: int, features: int) -> Floats:
        """The same of what it has for each feature (S, K, P)."""
        first, count = place * PLACES + features * PLACES * self.features, PLACES * self.features
        return self.numbers[first : first + count].reshape(PLACES, self.features, -1)

    @property
    def level(self) -> Floats:
        """Evidence now, nats (S, P)."""
        return self.rows(0, 0)

    @property
    def mean(self) -> Floats:
        """The new level (S, K, P)."""
        return self.means(1, 0)

    @property
    def certainty(self) -> Floats:
        """Precision of the new level (S, P)."""
        return self.rows(1, 1)

    @property
    def peak(self) -> Floats:
        """Highest evidence, nats (S, P)."""
        return self.rows(2, 1)

    @property
    def peak_mean(self) -> Floats:
        """The new level then (S, K, P)."""
        return self.means(3, 1)

    @property
    def drift(self) -> Floats:
        """What the baseline has drifted (K, P)."""
        return self.numbers[-1 - self.features : -1]

    @property
    def drift_variance(self) -> Floats:
        """Its variance (P,)."""
        return self.numbers[-1]

    @property
    def onset(self) -> Days:
        """First day (S, P)."""
        return self.days[ONSET:LAST]

    @property
    def last(self) -> Days:
        """Last day supported (S, P)."""
        return self.days[LAST:DATES]

    @property
    def dates(self) -> Days:
        """Dates for it less those against, never below 0 (S, P)."""
        return self.days[DATES:PEAK_DAY]

    @property
    def peak_day(self) -> Days:
        """Day of the highest evidence (S, P)."""
        return self.days[PEAK_DAY:PEAK_DATES]

    @property
    def peak_dates(self) -> Days:
        """Dates at the highest evidence (S, P)."""
        return self.days[PEAK_DATES:DAY]

    @property
    def day(self) -> Days:
        """Last clear day (P,)."""
        return self.days[DAY]

    @property
    def clear(self) -> Days:
        """Clear dates judged (P,)."""
        return self.days[CLEAR]


def unwatched(pixels: int, features: int) -> Watch:
    """The state before the first monitored date."""
    numbers = np.zeros((3 * PLACES + 1 + (2 * PLACES + 1) * features, pixels), np.float32)
    watch = Watch(numbers, np.zeros((DAY_ROWS, pixels), np.int32))
    watch.level[:] = EMPTY
    watch.drift_variance[:] = np.inf
    return watch
