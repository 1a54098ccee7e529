"""What is remembered of a stack from one night to the next, tile by tile; where it is kept is not known here.

A tile's memory is its baseline, the state of its watch, and a record of what was seen, one byte a value, from which
the series of a region are drawn. Arrays have the pixel last, as everywhere among the kernels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from illegalmining.detect.baseline import Baseline, Floats
from illegalmining.detect.watch import Watch

Place = tuple[tuple[int, int], tuple[int, int]]
"""First and past-last row, first and past-last column of a tile."""

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scale:
    """How a feature is written in one byte: 0 is missing, 1 is `lowest`, each further number `step` more."""

    lowest: float
    step: float

    def write(self, values: Floats) -> Codes:
        """Codes of values (T, ...), date by date to spare memory; what lies beyond the scale is written as its end."""
        written = np.zeros(values.shape, np.uint8)
        for codes, date in zip(written, values, strict=True):
            steps = np.clip(np.rint((date - self.lowest) / self.step), 0, 254) + 1
            codes[:] = np.where(np.isfinite(date), steps, 0)
        return written

    def read(self, codes: Codes) -> Floats:
        """Values of codes, NaN where missing."""
        values = self.lowest + (codes.astype(np.float32) - 1) * np.float32(self.step)
        return np.where(codes > 0, values, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Layout:
    """What a memory must hold: the stack's rows and columns, its features, terms of the season, side of a tile."""

    shape: tuple[int, int]
    features: int
    terms: int
    tile: int


class Memory(Protocol):
    """The memory of one stack."""

    @property
    def dates(self) -> int:
        """How many of its dates, from the first, are in it; 0: not even a baseline."""

    def recall(self, place: Place) -> tuple[Baseline, Watch]:
        """Baseline and watch of a tile after the first `dates` dates."""

    def keep(self, place: Place, baseline: Baseline, watch: Watch, codes: Codes, offset: Floats) -> None:
        """Keep a tile after all dates; `codes` (T, K, P) and `offset` (T, K) are those of the dates fed now."""

    def keep_unseen(self, place: Place, watch: Watch) -> None:
        """Keep a tile of which the dates fed now show nothing; `watch` as it was recalled."""

    def settling(self) -> AbstractContextManager[None]:
        """Inside the block, what was kept of all tiles goes to the disk while its owner does something else."""

    def of(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> tuple[Codes, Floats]:
        """Codes (N, T, K) of all dates, and expected values (N, T, K), of N pixels by their rows and columns."""


class Archive(Protocol):
    """Where memories are kept between runs."""

    def open(self, days: npt.NDArray[np.int32], history: int, layout: Layout) -> AbstractContextManager[Memory | None]:
        """The memory that goes furthest for these dates; what is kept in it lasts once the block ends without error."""
