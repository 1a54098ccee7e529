"""Hidden Markov chains of days: likelihood, states given all days, and when a state was first entered.

Scaled recursions after Rabiner (1989), Proc. IEEE 77(2). Emissions are densities, (D, S); transitions are (S, S) with
rows that sum to 1; `first` is how the chain begins, (S,).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


@njit(cache=True)
def log_likelihood(emission: Floats, transitions: Floats, first: Floats) -> float:
    """Log probability of the days."""
    days, states = emission.shape
    belief, moved = first.copy(), np.zeros(states)
    total = 0.0
    for day in range(days):
        if day > 0:
            for j in range(states):
                moved[j] = 0.0
                for i in range(states):
                    moved[j] += belief[i] * transitions[i, j]
            belief, moved = moved, belief
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


@njit(cache=True)
def not_yet(emission: Floats, transitions: Floats, first: Floats, state: int) -> Floats:
    """Probability, given all days, that `state` was not entered up to and with each day, (D,)."""
    days, states = emission.shape
    behind = np.ones((days, states))
    scale_behind = np.zeros(days)
    for day in range(days - 2, -1, -1):
        step = transitions @ (emission[day + 1] * behind[day + 1])
        size = step.sum()
        behind[day] = step / size
        scale_behind[day] = scale_behind[day + 1] + np.log(size)
    total = np.log((first * emission[0] * behind[0]).sum()) + scale_behind[0]
    none = np.zeros(days)
    belief = first.copy()
    scale = 0.0
    for day in range(days):
        if day > 0:
            belief = belief @ transitions
        belief = belief * emission[day]
        belief[state] = 0.0
        size = belief.sum()
        if size <= 0.0:
            break
        belief = belief / size
        scale += np.log(size)
        none[day] = np.exp(min(scale + np.log((belief * behind[day]).sum()) + scale_behind[day] - total, 0.0))
    return none
