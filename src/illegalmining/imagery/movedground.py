"""How far a piece of ground moved between two days, from the dates of a displacement source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from illegalmining.imagery.window import Bounds, Opened

EPOCHS = 3
"""Dates averaged at either end: the atmosphere of one alone moves the ground by millimetres."""


@dataclass(frozen=True)
class MovedGround:
    """Cumulative movement in the line of sight.

    moved_mm: (y, x), positive towards the satellite, NaN where either end was not measured. x, y: pixel centres, m.
    first, last: days between which it was reckoned. incidence_deg, azimuth_deg: from the ground to the satellite.
    """

    source: str
    moved_mm: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel_m: float
    first: date
    last: date
    epochs: int
    incidence_deg: float
    azimuth_deg: float


def moved_ground(seen: Opened, bounds: Bounds, first: date, last: date) -> MovedGround | None:
    """Movement from the last dates before `first` to the last ones up to `last`; None where either end is missing."""
    before = [entry for entry, day in enumerate(seen.days) if day < first][-EPOCHS:]
    after = [entry for entry, day in enumerate(seen.days) if first <= day <= last][-EPOCHS:]
    if not before or not after:
        return None
    ends = [seen.read(["displacement"], entries, bounds) for entries in (before, after)]
    if ends[0] is None or ends[1] is None:
        return None
    start, end = (mean_known(part["displacement"].values) for part in ends if part is not None)
    moved = 1000 * (end - start)
    if not np.isfinite(moved).any():
        return None
    incidence, azimuth = seen.look(bounds)
    return MovedGround(
        seen.source.name,
        moved,
        ends[0]["x"].values,
        ends[0]["y"].values,
        abs(float(seen.grid.resolution.x)),
        seen.days[before[-1]],
        seen.days[after[-1]],
        max(len(before), len(after)),
        incidence,
        azimuth,
    )


def mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over time (time, y, x) of what was measured, NaN where nothing was."""
    known = np.isfinite(values).sum(axis=0)
    return np.where(known > 0, np.nansum(values, axis=0) / np.maximum(known, 1), np.nan)
