"""Hidden Markov chains of days: likelihood, states given all days, and when a state was first entered.

Scaled recursions after Rabiner (1989), Proc. IEEE 77(2). Emissions are densities, (D, S); transitions are (S, S) with
rows that sum to 1; `first` is how the chain begins, (S,).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


UNSCALED = 8
"""Days that a belief is carried without being brought back to a sum of one: their product stays far from nothing."""


@njit(cache=True)
def log_likelihoods(emission: Floats, transitions: Floats, first: Floats) -> Floats:
    """Log probability of the days under each of several chains, (C,): transitions (C, S, S), first (C, S)."""
    days, states = emission.shape
    chains = len(first)
    moves, belief = np.empty((states, states, chains)), np.empty((states, chains))
    for c in range(chains):
        for i in range(states):
            belief[i, c] = first[c, i] * emission[0, i]
            for j in range(states):
                moves[i, j, c] = transitions[c, i, j]
    moved, total = np.empty((states, chains)), np.zeros(chains)
    for day in range(1, days):
        # The innermost loop runs over chains, which know nothing of each other, to be vectorised.
        for j in range(states):
            for c in range(chains):
                moved[j, c] = 0.0
            for i in range(states):
                for c in range(chains):
                    moved[j, c] += belief[i, c] * moves[i, j, c]
            for c in range(chains):
                moved[j, c] *= emission[day, j]
        belief, moved = moved, belief
        if day % UNSCALED == 0:
            for c in range(chains):
                sum_ = belief[:, c].sum()
                total[c] += np.log(sum_)
                belief[:, c] /= sum_
    for c in range(chains):
        total[c] += np.log(belief[:, c].sum())
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
