"""A day's load under rest and under work: how likely each is, hour by hour, once the usual rest is taken away.

A day runs from noon to noon, so that a night is whole. At rest it scatters about the mine's own profile, rises round
the clock or with the profile where rain lifts drainage, and carries a block of maintenance by day. Work adds a block
of hours of any length at any time. All loads are relative to the mine's rest. Pure functions on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.special import gammaln, logsumexp

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HOURS = 24
NOON = 12
TINY = 1e-3
NOTHING = -40.0
"""A term smaller than its sum by more than this many nats adds nothing to a double."""

LEAST_SHAPE = 0.3
"""An hour scatters in proportion to its usual load, but no less than as one of this share of the day's mean."""


@dataclass(frozen=True)
class ShapeParameters:
    """How days differ from the profile of rest.

    tail: degrees of freedom of a whole day's deviation, 4-10. dry_sd: level of a dry day about its expectation,
    relative, 0.03-0.08. wet: mean and spread of the rise of drainage on wet days, relative to rest, up to +60 %.
    pumping: mean and spread of how far that rise keeps to the profile's peaks: 0 where pumps run round the clock, 1
    where all of rest rises alike, 1/share where a tariff holds the pumps and drainage is that share of rest, 0.3-0.6.
    turn: least and largest step where rain sets in or has been pumped. turning: share of wet days on which it does.
    edge: spread of an hour beside a step of the profile, as a share of the step: pumps start early or late.
    service: mean and spread of a block of maintenance, relative to rest. service_blocks: its begin and end, o'clock
    ("real maintenance load is mostly by day": regulators' practice). lengths: hours that a block of work may last.
    step: hours between blocks tried. habit: share of nights that keep a crew's hours. habit_reach: how closely, as a
    power of the overlap. day_bias: how much likelier an oddity lies by day than by night. daylight: hours called day.
    least_known: share of a day's hours that must be known. most: bound of a day, nats.
    """

    tail: float = 6.0
    dry_sd: float = 0.05
    wet: tuple[float, float] = (0.25, 0.20)
    pumping: tuple[float, float] = (1.7, 1.0)
    turn: tuple[float, float] = (0.05, 0.8)
    turning: float = 0.3
    edge: float = 0.5
    service: tuple[float, float] = (0.40, 0.25)
    service_blocks: tuple[tuple[int, int], ...] = ((8, 12), (9, 13), (13, 17), (8, 17))
    lengths: tuple[int, ...] = (5, 7, 9, 12, 16, 24)
    step: int = 2
    habit: float = 0.75
    habit_reach: float = 4.0
    day_bias: float = 3.0
    daylight: tuple[int, int] = (8, 18)
    least_known: float = 0.4
    most: float = 12.0


@dataclass(frozen=True)
class Rest:
    """What a mine draws at rest, relative to `reference_kw`. profile: (B,) by block of hours from noon. effects: (F,)
    rise per unit of each covariate. noise: standard deviation
    of one block, relative to its usual load. together: correlation of
    neighbouring blocks, 0-1. earlier: how much more it drew on its earlier days of rest."""

    reference_kw: float
    profile: Floats
    effects: Floats
    noise: float
    together: float
    earlier: float = 0.0


@dataclass(frozen=True)
class Emissions:
    """Log densities of each day, (D,): dry and wet rest, an oddity, work; maintenance on a dry day and on a wet one.
    blocks: (D, K) the same for work of each block of hours. amount: (D,) most likely lift of the day's mean, relative
    to rest. known: (D,) days that say anything."""

    dry: Floats
    wet: Floats
    odd: Floats
    work: Floats
    service: Floats
    wet_service: Floats
    blocks: Floats
    amount: Floats
    known: Flags


def windows(hours: Floats) -> Floats:
    """Days from noon to noon, (D, 24), from calendar days (D, 24); the last day's second half is unknown."""
    after = np.vstack([hours[1:, :NOON], np.full((1, NOON), np.nan)])
    return np.hstack([hours[:, NOON:], after])


def blocks_of_work(width: int, parameters: ShapeParameters) -> tuple[Floats, Floats]:
    """(K, B) share of each block of hours within each block of work, and how much of the work lies by day, (K,)."""
    starts = range(0, HOURS, parameters.step)
    shapes = [
        [((hour - start) % HOURS) < length for hour in range(HOURS)]
        for length in parameters.lengths
        for start in (starts if length < HOURS else [0])
    ]
    hourly = np.array(shapes, dtype=float)
    return coarse(hourly, width), by_day(hourly, parameters)


def habits(width: int, parameters: ShapeParameters) -> Floats:
    """(K, K) weights of the blocks of work that a crew with each habit takes: mostly its own hours, sometimes any."""
    shapes = blocks_of_work(width, parameters)[0]
    shared = np.minimum(shapes[:, None, :], shapes[None, :, :]).sum(axis=2)
    either = np.maximum(shapes[:, None, :], shapes[None, :, :]).sum(axis=2)
    near = (shared / either) ** parameters.habit_reach
    near /= near.sum(axis=1, keepdims=True)
    return np.asarray(parameters.habit * near + (1 - parameters.habit) / len(shapes))


def by_day(hourly: Floats, parameters: ShapeParameters) -> Floats:
    """Share of each shape (K, 24) that lies in daylight."""
    clock = (np.arange(HOURS) + NOON) % HOURS
    light = (clock >= parameters.daylight[0]) & (clock < parameters.daylight[1])
    return np.asarray(hourly[:, light].sum(axis=1) / hourly.sum(axis=1))


def coarse(hourly: Floats, width: int) -> Floats:
    """Means over `width` blocks of equal length, (N, width), of hourly rows (N, 24); NaN where half is unknown."""
    groups = hourly.reshape(len(hourly), width, HOURS // width)
    known = np.isfinite(groups)
    with np.errstate(invalid="ignore"):
        means = np.where(known, groups, 0.0).sum(axis=2) / known.sum(axis=2)
    return np.where(known.mean(axis=2) > 0.5, means, np.nan)


def service_shapes(width: int, parameters: ShapeParameters) -> Floats:
    """(S, B) blocks of maintenance."""
    clock = (np.arange(HOURS) + NOON) % HOURS
    rows = [(clock >= begin) & (clock < end) for begin, end in parameters.service_blocks]
    return coarse(np.array(rows, dtype=float), width)


def course(profile: Floats) -> Floats:
    """A profile over its mean; even where it is nothing."""
    mean = float(profile.mean())
    return np.asarray(np.maximum(profile / mean, LEAST_SHAPE / 10)) if mean > TINY else np.ones(len(profile))


def drainage(profile: Floats, p: ShapeParameters) -> Floats:
    """Course of the water pumped, mean 1: it peaks where the profile does, and more, for the air runs evenly."""
    return np.asarray(np.maximum(1 + p.pumping[0] * (course(profile) - 1), LEAST_SHAPE / 10))


def covariance(rest: Rest, rise: tuple[float, float], p: ShapeParameters) -> Floats:
    """(B, B) of a day at rest: noise that neighbouring hours share, a rise (mean and spread) that pumps make in their
    own hours or round the clock, and pumps that start and stop an hour early or late, which shows where the profile
    steps."""
    width = len(rest.profile)
    lag = np.abs(np.arange(width)[:, None] - np.arange(width)[None, :])
    shape = course(rest.profile)
    pumped, peaks = drainage(rest.profile, p), shape - 1
    held = (rise[0] ** 2 + rise[1] ** 2) * p.pumping[1] ** 2
    lifts = rise[1] ** 2 * np.outer(pumped, pumped) + held * np.outer(peaks, peaks)
    scatter = rest.noise * np.maximum(shape, LEAST_SHAPE)
    before, after = np.abs(shape - np.roll(shape, 1)), np.abs(shape - np.roll(shape, -1))
    edges = np.diag((p.edge * np.maximum(before, after)) ** 2)
    return np.asarray(np.outer(scatter, scatter) * rest.together**lag + lifts + edges)


@dataclass(frozen=True)
class Alike:
    """Days on which the same hours are known, and the shapes as those hours show them.

    rows: which days. known: (B,) hours. some: (K,) blocks of work that touch those hours. work: those, (k, b). bias:
    (k,) log weight of each under an oddity. service: (S, b). turns: (T, b) hours after rain sets in, or before it has
    been pumped.
    """

    rows: npt.NDArray[np.int64]
    known: Flags
    some: Flags
    work: Floats
    bias: Floats
    service: Floats
    turns: Floats


def alike(load: Floats, wanted: Flags, p: ShapeParameters) -> list[Alike]:
    """The wanted days, (D,), grouped by which of their hours are known; days with too few are left out."""
    there = np.isfinite(load)
    rows = np.flatnonzero(wanted & (there.mean(axis=1) >= p.least_known))
    if not len(rows):
        return []
    width = load.shape[1]
    shapes, light = blocks_of_work(width, p)
    service = service_shapes(width, p)
    turns = turning(width)
    patterns, which = np.unique(there[rows], axis=0, return_inverse=True)
    groups = []
    for number, known in enumerate(patterns):
        some = shapes[:, known].sum(axis=1) > 0
        bias = np.log1p((p.day_bias - 1) * light[some])
        own = rows[which.reshape(-1) == number]
        bias -= logsumexp(bias)
        turned = turns[turns[:, known].sum(axis=1) > 0][:, known]
        groups.append(Alike(own, known, some, shapes[some][:, known], bias, service[:, known], turned))
    return groups


def turning(width: int) -> Floats:
    """(T, B) days of which only the later or only the earlier part is lifted."""
    later = np.array([np.arange(width) >= k for k in range(1, width)], dtype=float).reshape(-1, width)
    return np.vstack([later, 1 - later])


def emissions(
    load: Floats, expected: Floats, rest: Rest, groups: list[Alike], amounts: tuple[float, float], p: ShapeParameters
) -> Emissions:
    """Densities of days under each explanation; days in no group say nothing.

    load, expected: (D, B) relative to rest, from noon to noon, NaN where unknown. amounts: least and largest lift that
    is called work, relative to rest.
    """
    days = len(load)
    names = ("dry", "wet", "odd", "work", "service", "wet_service", "amount")
    found = {name: np.zeros(days) for name in names}
    known = np.zeros(days, dtype=bool)
    blocks = np.full((days, len(groups[0].some) if groups else 1), -np.inf)
    pumped = drainage(rest.profile, p)
    dry_spread, wet_spread = covariance(rest, (0.0, p.dry_sd), p), covariance(rest, p.wet, p)
    for group in groups:
        rows, there = group.rows, group.known
        known[rows] = True
        away = load[np.ix_(rows, there)] - expected[np.ix_(rows, there)]
        sides = np.ix_(there, there)
        dry = Quadratic(away, dry_spread[sides], p.tail)
        wet = Quadratic(away - p.wet[0] * pumped[there], wet_spread[sides], p.tail)
        found["dry"][rows], found["wet"][rows] = dry.plain(), wet.plain()
        if len(group.turns):
            turns = group.turns * pumped[there]
            both = np.hstack([dry.with_block(turns, p.turn), wet.with_block(turns, p.turn)])
            turned = log_mean(both, None)
            found["wet"][rows] = np.logaddexp(wet.plain() + np.log1p(-p.turning), turned + np.log(p.turning))
        found["service"][rows] = log_mean(dry.with_normal(group.service, *p.service), None)
        found["wet_service"][rows] = log_mean(wet.with_normal(group.service, *p.service), None)
        work, soaked = dry.with_block(group.work, amounts), wet.with_block(group.work, amounts)
        both = np.asarray(log_sum_of(work, soaked - np.log(4.0)))
        blocks[np.ix_(rows, group.some)] = both
        found["work"][rows] = log_mean(both, None)
        found["odd"][rows] = log_mean(both, group.bias)
        found["amount"][rows] = raised(away, group.work[both.argmax(axis=1)], amounts)
    floor = np.maximum.reduce([found[name] for name in names[:-1]]) - p.most
    for name in names[:-1]:
        found[name] = np.where(known, np.maximum(found[name], floor), 0.0)
    return Emissions(known=known, blocks=np.maximum(blocks, floor[:, None]), **found)


def raised(away: Floats, block: Floats, amounts: tuple[float, float]) -> Floats:
    """What a block (n, b) adds to the mean of each day (n, b): its hours over the others, which rain lifts too."""
    others = 1 - block
    inside = (away * block).sum(axis=1) / block.sum(axis=1)
    outside = (away * others).sum(axis=1) / np.maximum(others.sum(axis=1), TINY)
    return np.asarray(np.clip(inside - outside, *amounts) * block.mean(axis=1))


def log_mean(logs: Floats, weights: Floats | None) -> Floats:
    """Log of the mean over columns of exp(logs), weighted by log weights that sum to one."""
    count = max(logs.shape[1], 1)
    return np.asarray(log_sums(logs, np.full(count, -np.log(count)) if weights is None else weights))


class Quadratic:
    """Days under one multivariate t: how far they lie, and how far once a block of work is taken away."""

    def __init__(self, away: Floats, spread: Floats, tail: float) -> None:
        width = away.shape[1]
        self.inverse = np.asarray(np.linalg.inv(spread), dtype=np.float64)
        self.bent = times(away, self.inverse)
        self.far = np.einsum("nb,nb->n", self.bent, away)
        self.power = (tail + width) / 2
        self.tail = tail
        self.constant = (
            gammaln(self.power)
            - gammaln(tail / 2)
            - 0.5 * width * np.log(tail * np.pi)
            - 0.5 * np.linalg.slogdet(spread)[1]
        )

    def plain(self) -> Floats:
        """Log density, (n,)."""
        return np.asarray(self.constant - self.power * np.log1p(self.far / self.tail))

    def with_normal(self, shapes: Floats, mean: float, sd: float) -> Floats:
        """Log density with each block (K, b) added by a normal amount, (n, K): the spread grows by a rank of one."""
        bent = self.inverse @ shapes.T
        size = np.einsum("kb,bk->k", shapes, bent)
        along = times(self.bent, np.ascontiguousarray(shapes.T)) - mean * size
        far = self.far[:, None] - mean * (2 * along + mean * size) - along**2 / (1 / sd**2 + size)
        return np.asarray(
            self.constant - 0.5 * np.log1p(sd**2 * size) - self.power * np.log1p(np.maximum(far, 0.0) / self.tail)
        )

    def with_block(self, shapes: Floats, amounts: tuple[float, float]) -> Floats:
        """Log density with each block (K, b) added by an unknown amount, (n, K).

        The amount is integrated out (Laplace) under a prior flat in its logarithm between `amounts`.
        """
        size = np.einsum("kb,bc,kc->k", shapes, self.inverse, shapes)
        return np.asarray(
            block_densities(
                times(self.bent, np.ascontiguousarray(shapes.T)),
                self.far,
                size,
                *amounts,
                self.constant,
                self.power,
                self.tail,
            )
        )


# Loops over days and blocks are compiled: they are the cost of judging a mine, and small matrix products would
# otherwise wake a pool of threads for each.


@njit(cache=True)
def times(rows: Floats, matrix: Floats) -> Floats:
    """(n, b) by (b, k)."""
    count, width = rows.shape
    out = np.zeros((count, matrix.shape[1]))
    for n in range(count):
        for b in range(width):
            for k in range(matrix.shape[1]):
                out[n, k] += rows[n, b] * matrix[b, k]
    return out


@njit(cache=True)
def block_densities(
    along: Floats, far: Floats, size: Floats, least: float, most: float, constant: float, power: float, tail: float
) -> Floats:
    """Log densities of days with each block added, (n, K): see `Quadratic.with_block`. along: (n, K) how far each day
    lies in each block's direction."""
    count, blocks = along.shape
    out = np.empty((count, blocks))
    room = 0.5 * np.log(2 * np.pi / size) - np.log(np.log(most / least))
    smallest = np.log(least)
    for n in range(count):
        for k in range(blocks):
            amount, logarithm = least, smallest
            if along[n, k] > least * size[k]:
                amount = min(along[n, k] / size[k], most)
                logarithm = np.log(amount)
            left = max(far[n] - 2 * amount * along[n, k] + amount**2 * size[k], 0.0)
            out[n, k] = constant - power * np.log1p(left / tail) + min(room[k] - logarithm, 0.0)
    return out


@njit(cache=True)
def log_sums(logs: Floats, weights: Floats) -> Floats:
    """Log of the sum over columns of exp(logs + weights), (n,)."""
    out = np.empty(len(logs))
    for n in range(len(logs)):
        top = -np.inf
        for k in range(logs.shape[1]):
            top = max(top, logs[n, k] + weights[k])
        total = 0.0
        for k in range(logs.shape[1]):
            away = logs[n, k] + weights[k] - top
            if away > NOTHING:
                total += np.exp(away)
        out[n] = top + np.log(total) if total > 0 else -np.inf
    return out


@njit(cache=True)
def log_sum_of(left: Floats, right: Floats) -> Floats:
    """log(exp(left) + exp(right)), (n, K)."""
    out = np.empty(left.shape)
    for n in range(left.shape[0]):
        for k in range(left.shape[1]):
            top, away = max(left[n, k], right[n, k]), -abs(left[n, k] - right[n, k])
            out[n, k] = top + np.log1p(np.exp(away)) if away > NOTHING else top
    return out
