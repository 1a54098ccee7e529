"""A hidden Markov chain of a mine at rest, with or without hidden days of work: forward and backward passes.

Scaled recursions after Rabiner (1989), Proc. IEEE 77(2). The last state is work; the others are kinds of rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def with_work(rest: Floats, first: Floats, start: float, stop: float) -> tuple[Floats, Floats]:
    """Transitions (K+1, K+1) and initial probabilities (K+1,) of a chain that may also work.

    rest: (K, K) transitions between kinds of rest, rows sum to 1. first: (K,) how rest begins. start, stop:
    probability a day that work begins and ends.
    """
    kinds = len(first)
    full = np.zeros((kinds + 1, kinds + 1))
    full[:kinds, :kinds] = (1 - start) * rest
    full[:kinds, kinds] = start
    full[kinds, :kinds] = stop * first
    full[kinds, kinds] = 1 - stop
    working = start / (start + stop)
    return full, np.append((1 - working) * first, working)


@njit(cache=True)
def log_likelihood(emission: Floats, transitions: Floats, first: Floats) -> float:
    """Log probability of the days. emission: (D, S) probability densities of each day under each state."""
    days, states = emission.shape
    belief = first.copy()
    total = 0.0
    for day in range(days):
        if day > 0:
            moved = np.zeros(states)
            for i in range(states):
                for j in range(states):
                    moved[j] += belief[i] * transitions[i, j]
            belief = moved
        sum_ = 0.0
        for j in range(states):
            belief[j] *= emission[day, j]
            sum_ += belief[j]
        total += np.log(sum_)
        for j in range(states):
            belief[j] /= sum_
    return total


@njit(cache=True)
def state_probabilities(emission: Floats, transitions: Floats, first: Floats) -> Floats:
    """Probability of each state on each day given all days, (D, S)."""
    days, states = emission.shape
    forward = np.zeros((days, states))
    belief = first.copy()
    for day in range(days):
        if day > 0:
            belief = forward[day - 1] @ transitions
        belief = belief * emission[day]
        forward[day] = belief / belief.sum()
    behind = np.ones(states)
    both = np.zeros((days, states))
    for day in range(days - 1, -1, -1):
        joint = forward[day] * behind
        both[day] = joint / joint.sum()
        behind = transitions @ (emission[day] * behind)
        behind /= behind.sum()
    return both
