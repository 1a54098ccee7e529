"""What is remembered of watched pixels from date to date."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from illegalmining.detect.candidates import CLEAR, EMPTY, MEANS, ONSET, PLACES
from illegalmining.detect.kernels import Days, Floats


class Watch(NamedTuple):
    """What is remembered of P pixels with K features; S is two candidates and the best of those given up.

    numbers (S + K + 1, P), the candidates' evidence now (nats), what the baseline has drifted and the variance of that,
    and days (2, P), the last clear day and the clear dates judged, looked at on every date, lie pixel beside pixel;
    candidates (P, S, 7 + 2 K), looked at where there is one, record by record, so that what is said of a
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

    @property
    def begun(self) -> npt.NDArray[np.intp]:
        """Pixels that have a candidate or have had one, by their number; of the others every record is empty."""
        return np.flatnonzero((self.candidates[:, :, ONSET] != 0).any(axis=1))

    @property
    def level(self) -> Floats:
        """Evidence now, nats (S, P)."""
        return self.numbers[:PLACES]

    @property
    def drift_variance(self) -> Floats:
        """Its variance (P,)."""
        return self.numbers[-1]

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
