"""A day's load under rest and under work: how likely each is, hour by hour, once the usual rest is taken away.

A day runs from noon to noon, so that a night is whole. At rest it scatters about the mine's own profile, rises round
the clock or with the profile where rain lifts drainage, and carries a block of maintenance by day. Work adds a block
of hours of any length at any time. All loads are relative to the mine's rest. Pure functions on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from illegalmining.detect.day_densities import Quadratic, Scaled, both

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HOURS = 24
NOON = 12
TINY = 1e-3
LEAST_OCTAVES = 3
"""Scatter this many times halved is none."""
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
class Added:
    """A load besides rest, in certain hours, relative to `reference_kw`. block: (B,) share of each block of hours.
    mean, sd: (D,) of each day's height; every hour scatters by itself as much as all do together. nats: log density of
    the days with it over that without, whatever its hours, height and first day."""

    block: Floats
    mean: Floats
    sd: Floats
    nats: float

    def covariance(self, sd: float) -> Floats:
        """(B, B) of days whose height scatters so much."""
        return np.asarray(sd**2 * (np.outer(self.block, self.block) + np.diag(self.block**2)))


@dataclass(frozen=True)
class Emissions:
    """Log densities of each day, (D,): dry and wet rest, an oddity, work; maintenance on a dry day and on a wet one.
    parts: densities of work of each block of hours, which `block_densities` joins. floor: (D,) log density below which
    none is taken for less likely. amount: (D,) most likely lift of the day's mean, relative to rest. known: (D,) days
    that say anything."""

    dry: Floats
    wet: Floats
    odd: Floats
    work: Floats
    service: Floats
    wet_service: Floats
    parts: list[tuple[Alike, Scaled]]
    floor: Floats
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
    been pumped. besides: (b, b) covariance that a load besides rest adds, 0 where there is none.
    """

    rows: npt.NDArray[np.int64]
    known: Flags
    some: Flags
    work: Floats
    bias: Floats
    service: Floats
    turns: Floats
    besides: Floats


def alike(load: Floats, wanted: Flags, p: ShapeParameters, besides: Added | None = None) -> list[Alike]:
    """The wanted days, (D,), grouped by which of their hours are known, and by how much a load besides rest scatters;
    days with too few hours are left out."""
    there = np.isfinite(load)
    rows = np.flatnonzero(wanted & (there.mean(axis=1) >= p.least_known))
    if not len(rows):
        return []
    width = load.shape[1]
    shapes, light = blocks_of_work(width, p)
    service = service_shapes(width, p)
    turns = turning(width)
    scatter = np.zeros(len(load)) if besides is None else steps_of(besides.sd)
    patterns, which = np.unique(np.column_stack([there, scatter])[rows], axis=0, return_inverse=True)
    groups = []
    for number, (*hours, sd) in enumerate(patterns):
        known = np.array(hours, dtype=bool)
        some = shapes[:, known].sum(axis=1) > 0
        bias = np.log1p((p.day_bias - 1) * light[some])
        own = rows[which.reshape(-1) == number]
        bias -= logsumexp(bias)
        turned = turns[turns[:, known].sum(axis=1) > 0][:, known]
        widened = np.zeros((width, width)) if besides is None else besides.covariance(sd)
        groups.append(
            Alike(
                own, known, some, shapes[some][:, known], bias, service[:, known], turned, widened[np.ix_(known, known)]
            )
        )
    return groups


def steps_of(sd: Floats) -> Floats:
    """Standard deviations in steps of half an octave: few groups of days, and none far off."""
    top = float(sd.max(initial=0.0))
    if top == 0.0:
        return np.zeros(len(sd))
    octaves = np.round(2 * np.log2(np.maximum(sd / top, 1e-9))) / 2
    return np.where(octaves < -LEAST_OCTAVES, 0.0, top * 2.0**octaves)


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
    parts = []
    pumped = drainage(rest.profile, p)
    dry_spread, wet_spread = covariance(rest, (0.0, p.dry_sd), p), covariance(rest, p.wet, p)
    for group in groups:
        rows, there = group.rows, group.known
        known[rows] = True
        away = load[np.ix_(rows, there)] - expected[np.ix_(rows, there)]
        sides = np.ix_(there, there)
        dry = Quadratic(away, dry_spread[sides] + group.besides, p.tail)
        wet = Quadratic(away - p.wet[0] * pumped[there], wet_spread[sides] + group.besides, p.tail)
        found["dry"][rows], found["wet"][rows] = dry.plain(), wet.plain()
        if len(group.turns):
            turns = group.turns * pumped[there]
            turned = both(dry.with_block(turns, p.turn), wet.with_block(turns, p.turn)).log_mean() - np.log(2.0)
            found["wet"][rows] = np.logaddexp(wet.plain() + np.log1p(-p.turning), turned + np.log(p.turning))
        found["service"][rows] = dry.with_normal(group.service, *p.service).log_mean()
        found["wet_service"][rows] = wet.with_normal(group.service, *p.service).log_mean()
        work = both(dry.with_block(group.work, amounts), wet.with_block(group.work, amounts), 0.25)
        parts.append((group, work))
        found["work"][rows] = work.log_mean()
        found["odd"][rows] = work.log_mean(np.exp(group.bias))
        found["amount"][rows] = raised(away, group.work[work.densities.argmax(axis=1)], amounts)
    floor = np.maximum.reduce([found[name] for name in names[:-1]]) - p.most
    for name in names[:-1]:
        found[name] = np.where(known, np.maximum(found[name], floor), 0.0)
    return Emissions(known=known, parts=parts, floor=floor, **found)


def block_densities(found: Emissions) -> tuple[Floats, Floats]:
    """(D, K) densities of work of each block of hours over exp(top), and top, (D,)."""
    days, blocks = len(found.known), len(found.parts[0][0].some) if found.parts else 1
    densities, top = np.zeros((days, blocks)), np.zeros(days)
    for group, work in found.parts:
        densities[np.ix_(group.rows, group.some)], top[group.rows] = work.densities, work.scale
    held = np.maximum(top, found.floor)
    return np.maximum(densities * np.exp(top - held)[:, None], np.exp(found.floor - held)[:, None]), held


def raised(away: Floats, block: Floats, amounts: tuple[float, float]) -> Floats:
    """What a block (n, b) adds to the mean of each day (n, b): its hours over the others, which rain lifts too."""
    others = 1 - block
    inside = (away * block).sum(axis=1) / block.sum(axis=1)
    outside = (away * others).sum(axis=1) / np.maximum(others.sum(axis=1), TINY)
    return np.asarray(np.clip(inside - outside, *amounts) * block.mean(axis=1))
