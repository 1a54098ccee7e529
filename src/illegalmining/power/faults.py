"""Faults of meters in an hourly series: what is a gap, a dead register or a reset, and no load of anybody.

Pure functions on arrays; a fault becomes NaN and is counted, never evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FaultParameters:
    """What counts as a fault.

    over_capacity: load beyond this multiple of the contracted capacity is none (transformers bear 1.3 for hours).
    wrong_capacity: a meter above its capacity in more than this share of hours has a wrong capacity, not faults.
    lone: an hour above this multiple of both its neighbours and of the usual peak is a catch-up or a reset, 3-10.
    usual_peak: quantile of the hours that stands for the usual peak. zero_hours: zeros this long are a dead register,
    hours. zero_share: where more of the readings than this are zero, zero is the meter's way of saying nothing runs.
    """

    over_capacity: float = 1.5
    wrong_capacity: float = 0.02
    lone: float = 5.0
    usual_peak: float = 0.99
    zero_hours: int = 3
    zero_share: float = 0.2


def over_capacity(load_kw: Floats, capacity_kva: float, parameters: FaultParameters) -> Flags:
    """Hours whose load no transformer of this capacity can pass; none where the capacity is unknown or wrong."""
    if not np.isfinite(capacity_kva) or capacity_kva <= 0:
        return np.zeros(load_kw.shape, dtype=bool)
    beyond = np.nan_to_num(load_kw) > parameters.over_capacity * capacity_kva
    known = max(1, int(np.isfinite(load_kw).sum()))
    return beyond if beyond.sum() <= parameters.wrong_capacity * known else np.zeros(load_kw.shape, dtype=bool)


def lone_peaks(load_kw: Floats, parameters: FaultParameters) -> Flags:
    """Single hours far above their neighbours and the usual peak: energy of a gap booked at once, a register reset."""
    if np.isfinite(load_kw).sum() == 0:
        return np.zeros(load_kw.shape, dtype=bool)
    filled = np.nan_to_num(load_kw)
    before = np.concatenate([[0.0], filled[:-1]])
    after = np.concatenate([filled[1:], [0.0]])
    usual = float(np.nanquantile(load_kw, parameters.usual_peak))
    beside = np.maximum(np.maximum(before, after), usual)
    return (filled > parameters.lone * beside) & (filled > 0)


def zero_blocks(load_kw: Floats, parameters: FaultParameters) -> Flags:
    """Runs of zeros at a meter that otherwise always draws something: a dead register or a cut."""
    zero = load_kw == 0
    if zero.sum() == 0 or zero.sum() > parameters.zero_share * np.isfinite(load_kw).sum():
        return np.zeros(load_kw.shape, dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], zero.astype(np.int8), [0]])))
    blocks = np.zeros(load_kw.shape, dtype=bool)
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        blocks[begin:end] = end - begin >= parameters.zero_hours
    return blocks
