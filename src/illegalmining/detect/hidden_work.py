"""Did a mine that must rest work? Its daily loads under a chain of kinds of rest, and under one that also works.

Rest is a level with noise that rain raises for days and lets fall again, that maintenance raises for single days, and
whose hours night tariffs shift without changing the day. Work adds a share of the step from rest to full load, comes
and goes from one day to the next, and need not lift the quietest hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import t as student

from illegalmining.detect.load import Flags, Floats, Levels
from illegalmining.detect.markov import log_likelihood, state_probabilities, with_work


@dataclass(frozen=True)
class WorkParameters:
    """The two explanations.

    tail: degrees of freedom of a day's deviation, 3-6. wet: levels of a wet drainage, relative to rest, up to +60 %.
    wet_spread: spread of a day around its wet level. wet_start: probability a day that rain lifts the level. wet_stay,
    wet_fall: that it holds, that it falls one level. service: mean and spread of the extra of a day with maintenance,
    relative to rest. service_start, service_again: probability of such a day after another day, after one of its kind.
    shifted: share of days whose quietest hours are emptied by a night tariff. low_spread: spread of the quietest hours
    around their level, relative to rest. low_least: quietest hours a tariff can leave, relative to rest, below it.
    fractions: shares of the step from rest to full load. fraction_spread: spread of a day around its share, relative.
    least_step: a step smaller than this, relative to rest, is not called work. flat: share of work that lifts all
    hours of the day alike. starts, stops: probabilities a day that work begins and ends. rest_grid: candidate rest
    levels. rest_sd: how well quiet days, and a register's safety load, tell rest (log). loose_sd, loose: spread of rest
    where they mislead, and how often they do. floor: density no day falls below (what no model knows).
    temper: weight of a day's evidence, as days follow each other, 0.2-0.7. most: bound, nats.
    """

    tail: float = 4.0
    wet: tuple[float, ...] = (0.12, 0.25, 0.40, 0.60)
    wet_spread: float = 0.07
    wet_start: float = 0.08
    wet_stay: float = 0.55
    wet_fall: float = 0.38
    service: tuple[float, float] = (0.15, 0.10)
    service_start: float = 0.10
    service_again: float = 0.10
    shifted: float = 0.15
    low_spread: float = 0.12
    low_least: float = 0.8
    fractions: tuple[float, ...] = (0.1, 0.15, 0.22, 0.33, 0.5, 0.75, 1.0, 1.3)
    fraction_spread: float = 0.25
    least_step: float = 0.15
    flat: float = 0.4
    starts: tuple[float, ...] = (0.01, 0.05, 0.25)
    stops: tuple[float, ...] = (0.02, 0.1, 0.5)
    rest_grid: int = 11
    rest_sd: tuple[float, float] = (0.08, 0.20)
    loose_sd: float = 0.5
    loose: float = 0.15
    floor: float = 1e-3
    temper: float = 0.55
    most: float = 12.0


@dataclass(frozen=True)
class HiddenWork:
    """What was found. log_lr: nats for work. working: (D,) probability of work. rest_kw: rest level. fraction: share of
    the step from rest to full load on days of work. rain: (D,) expected relative rise of drainage."""

    log_lr: float
    working: Floats
    rest_kw: float
    fraction: float
    rain: Floats


def rest_chain(parameters: WorkParameters) -> tuple[Floats, Floats]:
    """Transitions between kinds of rest and how it begins: dry, a day of maintenance, then the wet levels."""
    p, wet = parameters, len(parameters.wet)
    moves = np.zeros((2 + wet, 2 + wet))
    moves[0, 1], moves[0, 2:] = p.service_start, p.wet_start / wet
    moves[1, 1], moves[1, 2:] = p.service_again, p.wet_start / wet
    for k in range(wet):
        moves[2 + k, 2 + k] = p.wet_stay
        moves[2 + k, 1 + k if k > 0 else 0] += p.wet_fall
        moves[2 + k, 3 + k :] = p.wet_start / wet
    moves[:, 0] += 1 - moves.sum(axis=1)
    first = np.full(2 + wet, 0.1 / wet)
    first[:2] = 0.8, 0.1
    return moves, first


def density(value: Floats, mean: float, spread: float | Floats, tail: float) -> Floats:
    """Student's t density; `tail` degrees of freedom."""
    return np.asarray(student.pdf((value - mean) / spread, tail) / spread)


def rest_emission(rise: Floats, low: Floats, noise: float, p: WorkParameters) -> Floats:
    """Densities of each day under each kind of rest, (D, 2 + wet). rise, low: relative to rest, NaN where unknown."""
    columns = []
    kinds = [(0.0, noise, 0.0), (p.service[0], p.service[1], 0.0)]
    kinds += [(level, float(np.hypot(noise, p.wet_spread * (1 + level))), level) for level in p.wet]
    # Below rest is rest too: the level is a low one, and nothing below it speaks for anything.
    above = np.maximum(rise, 0.0)
    for mean, spread, lift in kinds:
        even = density(low, lift, float(np.hypot(p.low_spread, p.wet_spread * lift)), p.tail)
        emptied = ((low < lift) & (low > -p.low_least)) / (p.low_least + lift)
        shape = (1 - p.shifted) * even + p.shifted * emptied
        columns.append(day_density(density(above, mean, spread, p.tail), shape, p))
    return np.column_stack(columns)


def work_emission(rise: Floats, low: Floats, noise: float, step: float, p: WorkParameters) -> Floats:
    """Densities of each day under work that lifts the day by `step` (relative to rest), (D,)."""
    load = density(np.maximum(rise, 0.0), step, float(np.hypot(noise, p.fraction_spread * step)), p.tail)
    within = ((low > -p.low_spread) & (low < 1.3 * step)) / (1.3 * step + p.low_spread)
    shape = (1 - p.flat) * density(low, 0.0, p.low_spread, p.tail) + p.flat * within
    return day_density(load, shape, p)


def day_density(load: Floats, shape: Floats, p: WorkParameters) -> Floats:
    """Load and shape of a day together, where known, never below the floor."""
    both = np.where(np.isfinite(load), load, 1.0) * np.where(np.isfinite(shape) & np.isfinite(load), shape, 1.0)
    return np.maximum(both, p.floor)


def rest_levels(levels: Levels, safety_kw: float, p: WorkParameters) -> tuple[Floats, Floats]:
    """Candidate rest levels, kW, and their log prior, from the mine's quiet days and the register's safety load."""
    centres = [levels.quiet_kw] + ([safety_kw] if safety_kw > 0 else [])
    lowest = min(centres) * (0.8 if levels.two or safety_kw > 0 else 0.6)
    grid = np.exp(np.linspace(np.log(max(lowest, 0.3 * levels.quiet_kw)), np.log(1.15 * max(centres)), p.rest_grid))
    grid = np.unique(np.append(grid, levels.quiet_kw))
    prior = np.zeros(len(grid))
    for centre, spread in zip(centres, p.rest_sd, strict=False):
        away = np.log(grid / centre)
        if centre == levels.quiet_kw and not levels.two:
            prior += np.where(away > 0, -0.5 * (away / spread) ** 2, 0.0)
            continue
        prior += np.logaddexp(
            np.log((1 - p.loose) / spread) - 0.5 * (away / spread) ** 2,
            np.log(p.loose / p.loose_sd) - 0.5 * (away / p.loose_sd) ** 2,
        )
    return grid, prior - logsumexp(prior)


def hidden_work(
    mean_kw: Floats, low_kw: Floats, counted: Flags, levels: Levels, safety_kw: float, parameters: WorkParameters
) -> HiddenWork:
    """Weigh work against rest over the days a mine must rest.

    mean_kw, low_kw: (D,) consecutive days, NaN where unknown. counted: (D,) days on which work is forbidden; the
    others are skipped. Unknown rest level, share of load and habits of work are marginalised.
    """
    p = parameters
    moves, first = rest_chain(p)
    grid, prior = rest_levels(levels, safety_kw, p)
    mean_kw = np.where(counted, mean_kw, np.nan)
    null: list[float] = []
    found: list[tuple[float, float, float, float, float]] = []
    for rest, weight in zip(grid, prior, strict=True):
        rise, low = relative(mean_kw, low_kw, rest, levels)
        resting = rest_emission(rise, low, levels.noise, p)
        null.append(weight + p.temper * log_likelihood(resting, moves, first))
        for fraction in p.fractions:
            step = fraction * max(levels.work_kw / rest - 1, p.least_step / p.fractions[-1])
            if step < p.least_step:
                continue
            emission = np.column_stack([resting, work_emission(rise, low, levels.noise, step, p)])
            for start in p.starts:
                for stop in p.stops:
                    score = weight + p.temper * log_likelihood(emission, *with_work(moves, first, start, stop))
                    found.append((score, rest, fraction, start, stop))
    choices = len(p.fractions) * len(p.starts) * len(p.stops)
    if not found:
        return HiddenWork(0.0, np.zeros(len(mean_kw)), float(grid[0]), 0.0, np.zeros(len(mean_kw)))
    log_lr = float(logsumexp([row[0] for row in found]) - np.log(choices) - logsumexp(null))
    return most_likely(max(found), float(np.clip(log_lr, -p.most, p.most)), mean_kw, low_kw, levels, p)


def relative(mean_kw: Floats, low_kw: Floats, rest: float, levels: Levels) -> tuple[Floats, Floats]:
    """Rise of a day and of its quietest hours above rest, relative to rest."""
    return mean_kw / rest - 1, low_kw / rest - levels.low_share


def most_likely(
    best: tuple[float, float, float, float, float],
    log_lr: float,
    mean_kw: Floats,
    low_kw: Floats,
    levels: Levels,
    p: WorkParameters,
) -> HiddenWork:
    """The days of work under the most likely explanation (score, rest, fraction, start, stop)."""
    _, rest, fraction, start, stop = best
    moves, first = rest_chain(p)
    rise, low = relative(mean_kw, low_kw, rest, levels)
    step = fraction * (levels.work_kw / rest - 1)
    emission = np.column_stack(
        [rest_emission(rise, low, levels.noise, p), work_emission(rise, low, levels.noise, step, p)]
    )
    states = state_probabilities(emission, *with_work(moves, first, start, stop))
    working = np.where(np.isfinite(mean_kw), states[:, -1], 0.0)
    resting = states[:, :-1] / np.maximum(states[:, :-1].sum(axis=1, keepdims=True), 1e-12)
    rain = resting[:, 2:] @ np.array(p.wet)
    seen = working > 0.5
    share = float(np.median(rise[seen])) / max(levels.work_kw / rest - 1, 1e-6) if seen.any() else fraction
    return HiddenWork(log_lr, working, rest, share, rain)
