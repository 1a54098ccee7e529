"""What is remembered of watched pixels from date to date."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from illegalmining.detect.candidates import (
    CERTAINTY,
    CLEAR,
    DATES,
    DAY,
    EMPTY,
    LAST,
    MEANS,
    ONSET,
    PEAK,
    PEAK_DATES,
    PEAK_DAY,
    PLACES,
)
from illegalmining.detect.kernels import Days, Floats


class Watch(NamedTuple):
    """What is remembered of P pixels with K features; S is two candidates and the best of those given up.

    numbers (S + K + 1, P) and days (2, P), looked at on every date, lie pixel beside pixel, what the properties name
    row by row; candidates (P, S, 7 + 2 K), looked at where there is one, record by record, so that what is said of a
    pixel is found in one place. Few arrays, because whatever a kernel is given by name costs it a count of references,
    which is slow where threads could share it.

    Levels are in noise units, days count from 1970-01-01. A drift of infinite variance has not yet begun.
    """

    numbers: Floats
    days: Days
    candidates: Floats

    @property
    def features(self) -> int:
        """How many features a pixel has."""
        return len(self.numbers) - PLACES - 1

    def whole(self, field: int) -> Days:
        """A whole number of each candidate (S, P)."""
        return self.candidates[:, :, field].T.astype(np.int32)

    @property
    def level(self) -> Floats:
        """Evidence now, nats (S, P)."""
        return self.numbers[:PLACES]

    @property
    def mean(self) -> Floats:
        """The new level (S, K, P)."""
        return self.candidates[:, :, MEANS : MEANS + self.features].transpose(1, 2, 0)

    @property
    def certainty(self) -> Floats:
        """Precision of the new level (S, P)."""
        return self.candidates[:, :, CERTAINTY].T

    @property
    def peak(self) -> Floats:
        """Highest evidence, nats (S, P)."""
        return self.candidates[:, :, PEAK].T

    @property
    def peak_mean(self) -> Floats:
        """The new level then (S, K, P)."""
        return self.candidates[:, :, MEANS + self.features :].transpose(1, 2, 0)

    @property
    def drift(self) -> Floats:
        """What the baseline has drifted (K, P)."""
        return self.numbers[PLACES:-1]

    @property
    def drift_variance(self) -> Floats:
        """Its variance (P,)."""
        return self.numbers[-1]

    @property
    def onset(self) -> Days:
        """First day (S, P)."""
        return self.whole(ONSET)

    @property
    def last(self) -> Days:
        """Last day supported (S, P)."""
        return self.whole(LAST)

    @property
    def dates(self) -> Days:
        """Dates for it less those against, never below 0 (S, P)."""
        return self.whole(DATES)

    @property
    def peak_day(self) -> Days:
        """Day of the highest evidence (S, P)."""
        return self.whole(PEAK_DAY)

    @property
    def peak_dates(self) -> Days:
        """Dates at the highest evidence (S, P)."""
        return self.whole(PEAK_DATES)

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
    numbers = np.zeros((PLACES + features + 1, pixels), np.float32)
    candidates = np.zeros((pixels, PLACES, MEANS + 2 * features), np.float32)
    watch = Watch(numbers, np.zeros((2, pixels), np.int32), candidates)
    watch.level[:] = EMPTY
    watch.drift_variance[:] = np.inf
    return watch
