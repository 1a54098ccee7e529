"""Did a mine that must rest work? Its days under a chain of kinds of rest, and under one with campaigns of work.

Both chains know dry and wet rest and oddities that only look like work (tests, overhauls, pumping after a failure):
rare, short, by day rather than by night. Work comes in campaigns, within which it takes some nights and spares others.
Each chain may choose the profile of rest that suits it best; the register and the mine's quiet days hold it back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from illegalmining.detect.day_densities import times
from illegalmining.detect.day_shapes import (
    Added,
    Alike,
    Emissions,
    Flags,
    Floats,
    Rest,
    ShapeParameters,
    alike,
    block_densities,
    emissions,
    habits,
)
from illegalmining.detect.markov import log_likelihoods, not_yet, state_probabilities
from illegalmining.detect.rest_profile import (
    LevelBelief,
    RestParameters,
    drift,
    expected,
    first_guesses,
    fit_effects,
    fit_profile,
    level_prior,
    of_the_night,
    scatter,
)

DRY, WET, ODD, CALM_DRY, CALM_WET, WORK = range(6)


@dataclass(frozen=True)
class WorkParameters:
    """The two explanations.

    shapes, rest: of a day, of the profile. wet_start, wet_stop: probability a day that drainage becomes wet, dry.
    odd_start, odd_stay: probability a day that an oddity begins, and goes on another day. service: share of days with
    maintenance before a mine's own weekdays are known. service_days: days of evidence that share is worth. begins,
    ends: probabilities a day that a campaign begins and ends. duties: shares of a campaign's nights that are worked.
    amounts: least and largest lift called work, as shares of the step to full load. least_amount: no smaller lift
    is called work, relative to rest. refined, rounds, settled: how many
    profiles are refined, how often, and until which gain, nats. temper: weight of a day's evidence, as days
    resemble each other, 0.5-1. most: bound, nats. sure: probability within the interval of dates. unbroken_amount: work
    on every day alike is seen from this share of the step to full load on, as a daily mean. unbroken_share: how often
    a mine works so, for every one whose rest is no longer what it was. most_unbroken: bound of such evidence, nats:
    pumps, or a village on the mine's meter, may draw the same.
    """

    shapes: ShapeParameters = field(default_factory=ShapeParameters)
    rest: RestParameters = field(default_factory=RestParameters)
    wet_start: float = 0.06
    wet_stop: float = 0.25
    odd_start: float = 0.004
    odd_stay: float = 0.25
    service: float = 0.12
    service_days: float = 4.0
    begins: tuple[float, ...] = (0.003, 0.02)
    ends: tuple[float, ...] = (0.01, 0.06)
    duties: tuple[float, ...] = (0.3, 0.6, 0.95)
    amounts: tuple[float, float] = (0.07, 1.5)
    least_amount: float = 0.10
    refined: int = 2
    rounds: int = 3
    settled: float = 0.3
    temper: float = 0.8
    most: float = 12.0
    sure: float = 0.9
    unbroken_amount: float = 0.3
    unbroken_share: float = 0.1
    most_unbroken: float = 3.0


@dataclass(frozen=True)
class RestingDays:
    """What is to be judged. load: (D, B) kW in blocks from noon to noon, NaN where unknown. counted: (D,) days on which
    work is forbidden. quiet: (D,) earlier days on which the mine was seen at rest. covariates: (D, F) what lifts rest.
    weekday: (D,) 0-6. full_kw: step of a block from rest to full work. reference_kw: a first idea of rest. besides: a
    load that is there at rest and at work alike."""

    load: Floats
    counted: Flags
    quiet: Flags
    covariates: Floats
    weekday: npt.NDArray[np.int64]
    full_kw: float
    reference_kw: float
    belief: LevelBelief
    besides: Added | None = None


@dataclass(frozen=True)
class HiddenWork:
    """What was found. log_lr: nats for work. working: (D,) probability of work. expected_kw, spread_kw: (D,) daily mean
    at rest and its standard deviation. amount_kw: (D,) block of work most likely on each day, as a daily mean.
    first_day, last_day: (low, high) index of the first and last day of work. rest: under the better explanation."""

    log_lr: float
    working: Floats
    expected_kw: Floats
    spread_kw: Floats
    amount_kw: Floats
    first_day: tuple[int, int]
    last_day: tuple[int, int]
    rest: Rest


def rest_chain(p: WorkParameters) -> tuple[Floats, Floats]:
    """Transitions and beginning of dry rest, wet rest and oddities."""
    moves = np.array(
        [
            [(1 - p.odd_start) * (1 - p.wet_start), (1 - p.odd_start) * p.wet_start, p.odd_start],
            [(1 - p.odd_start) * p.wet_stop, (1 - p.odd_start) * (1 - p.wet_stop), p.odd_start],
            [0.0, 0.0, p.odd_stay],
        ]
    )
    wet = p.wet_start / (p.wet_start + p.wet_stop)
    moves[ODD, :2] = (1 - p.odd_stay) * np.array([1 - wet, wet])
    first = np.array([(1 - p.odd_start) * (1 - wet), (1 - p.odd_start) * wet, p.odd_start])
    return moves, first


def work_chain(p: WorkParameters, begin: float, end: float, duty: float) -> tuple[Floats, Floats]:
    """The same with campaigns: two more kinds of rest, within a campaign, and work."""
    rest, first = rest_chain(p)
    wet = np.array([1 - p.wet_start, p.wet_start]), np.array([p.wet_stop, 1 - p.wet_stop])
    usual = first[:2] / first[:2].sum()
    moves = np.zeros((6, 6))
    moves[:3, :3] = (1 - begin) * rest
    for state, onward in ((DRY, wet[0]), (WET, wet[1]), (ODD, usual)):
        moves[state, CALM_DRY:WORK] = begin * (1 - duty) * onward
        moves[state, WORK] = begin * duty
    for state, onward in ((CALM_DRY, wet[0]), (CALM_WET, wet[1]), (WORK, usual)):
        moves[state, :2] = end * onward
        moves[state, CALM_DRY:WORK] = (1 - end) * (1 - duty) * onward
        moves[state, WORK] = (1 - end) * duty
    return moves, np.concatenate([(1 - begin) * first, begin * (1 - duty) * usual, [begin * duty]])


def hidden_work(days: RestingDays, parameters: WorkParameters) -> HiddenWork:
    """Weigh work against rest over the days a mine must rest; days before the first and after the last are skipped."""
    judge = Judge(days, parameters)
    null, work = judge.both()
    work = judge.accustomed(work)
    found = judge.told(work, null.score)
    without = unbroken(days, null, parameters)
    return found if without is None or without.log_lr <= found.log_lr else without


def unbroken(days: RestingDays, null: Explanation, p: WorkParameters) -> HiddenWork | None:
    """Work on every day alike, which no day of rest among them betrays: a load far above what the register and earlier
    days say of rest. None where there is none."""
    known = [centre for centre, _ in days.belief.centres] + [days.reference_kw] * bool(days.quiet.any())
    amount = float(null.rest.profile.mean()) * days.reference_kw - max(known)
    if amount < p.unbroken_amount * days.full_kw or all(days.belief.one_sided):
        return None
    width = days.load.shape[1]
    height = np.where(days.counted, amount / days.reference_kw, 0.0)
    every = Added(np.ones(width), height, np.zeros(len(height)), 0.0)
    judge = Judge(replace(days, besides=every), p)
    rest = judge.settle(judge.guesses, working=False)
    gained = rest.score + np.log(p.unbroken_share) - null.score
    there = days.counted & np.isfinite(days.load).any(axis=1)
    begin, end = (int(day) for day in np.flatnonzero(there)[[0, -1]])
    level = np.asarray(expected(rest.rest, days.covariates, days.quiet).mean(axis=1) * days.reference_kw)
    return HiddenWork(
        min(evidence(gained, p), p.most_unbroken),
        there.astype(float),
        level,
        np.full(len(level), p.shapes.dry_sd * days.reference_kw),
        np.where(there, amount, 0.0),
        (begin, begin),
        (end, end),
        rest.rest,
    )


@dataclass(frozen=True)
class Explanation:
    """A profile of rest with the score of the days under it, and the chain that suits them best."""

    score: float
    rest: Rest
    chain: tuple[Floats, Floats]
    found: Emissions
    usual: Floats


def score_of(explanation: Explanation) -> float:
    """For choosing the best."""
    return explanation.score


class Judge:
    """The days of one mine, relative to its reference, ready to be explained."""

    def __init__(self, days: RestingDays, parameters: WorkParameters) -> None:
        self.days, self.p = days, parameters
        self.load = days.load / days.reference_kw
        if days.besides is not None:
            self.load = self.load - np.outer(days.besides.mean, days.besides.block)
        full = days.full_kw / days.reference_kw
        self.amounts = amounts_of_work(days, parameters)
        resting = np.where((days.counted | days.quiet)[:, None], self.load, np.nan)
        self.lifts = of_the_night(days.covariates, self.load.shape[1])
        self.noise, self.together = scatter(np.where(days.counted[:, None], self.load, np.nan), full, parameters.rest)
        starts = first_guesses(resting[days.counted | days.quiet], days.quiet[days.counted | days.quiet])
        self.guesses = [self.resting(start, np.zeros(days.covariates.shape[1])) for start in starts]
        self.span = np.flatnonzero(days.counted)
        choices = product(parameters.begins, parameters.ends, parameters.duties)
        self.chains = [work_chain(parameters, *choice) for choice in choices]
        self.stacked = np.array([moves for moves, _ in self.chains]), np.array([first for _, first in self.chains])
        self.groups: list[Alike] = alike(self.load, days.counted | days.quiet, parameters.shapes, days.besides)
        self.seen: dict[int, tuple[Rest, Emissions, Floats]] = {}

    def both(self) -> tuple[Explanation, Explanation]:
        """The best explanations without work and with it. Each gets every profile the other has found: an explanation
        that was searched less well would be evidence for the other."""
        null = self.settle(self.guesses, working=False)
        work = self.settle([*self.guesses, null.rest], working=True)
        null = max(null, self.refined(self.explained(work.rest, working=False), working=False), key=score_of)
        return null, max(work, self.explained(null.rest, working=True), key=score_of)

    def settle(self, starts: list[Rest], working: bool) -> Explanation:
        """The best profile under one explanation: the most promising ones are refined until they settle."""
        begun = sorted((self.explained(start, working) for start in starts), key=score_of)
        return max((self.refined(start, working) for start in begun[-self.p.refined :]), key=score_of)

    def refined(self, best: Explanation, working: bool) -> Explanation:
        """A profile refined by the days that it calls rest, as long as that helps."""
        for _ in range(self.p.rounds):
            weight, resting = self.rest_weight(best)
            lift = self.lifts @ best.rest.effects
            earlier = drift(self.load, lift, weight, self.days.quiet, self.p.rest)
            moved = earlier * self.days.quiet
            profile = fit_profile(self.load, lift + moved, weight, self.p.rest)
            effects = fit_effects(self.load - moved[:, None], profile, self.lifts, resting, self.p.rest)
            found = self.explained(self.resting(profile, effects, earlier), working)
            if found.score <= best.score + self.p.settled:
                return max(best, found, key=score_of)
            best = found
        return best

    def resting(self, profile: Floats, effects: Floats, earlier: float = 0.0) -> Rest:
        """A candidate for what the mine draws at rest."""
        return Rest(self.days.reference_kw, profile, effects, self.noise, self.together, earlier)

    def densities(self, rest: Rest) -> tuple[Emissions, Floats]:
        """Emissions of all days, and log densities of dry and wet rest with maintenance by weekday, (D, 2).

        Remembered: both explanations look at most profiles.
        """
        if id(rest) not in self.seen:
            usual = expected(rest, self.days.covariates, self.days.quiet)
            found = emissions(self.load, usual, rest, self.groups, self.amounts, self.p.shapes)
            self.seen[id(rest)] = rest, found, with_service(found, self.days, self.p)
        return self.seen[id(rest)][1:]

    def matrix(self, found: Emissions, usual: Floats, working: bool) -> tuple[Floats, float]:
        """Densities of the days to be judged, (D, S), scaled, and the log of the scale."""
        columns = [*usual.T, found.odd] + ([*usual.T, found.work] if working else [])
        logs = np.column_stack(columns)[self.span[0] : self.span[-1] + 1]
        logs[~self.days.counted[self.span[0] : self.span[-1] + 1]] = 0.0
        top = logs.max(axis=1, keepdims=True)
        return np.exp(logs - top), float(top.sum())

    def explained(self, rest: Rest, working: bool) -> Explanation:
        """Score of the days under a profile: their likelihood, quiet days' and the register's word on the level."""
        found, usual = self.densities(rest)
        matrix, scale = self.matrix(found, usual, working)
        quiet = float(either(usual, self.p)[self.days.quiet].sum())
        fixed = scale + quiet + level_prior(rest, self.days.belief, self.p.rest)
        if not working:
            chain = rest_chain(self.p)
            score = float(log_likelihoods(matrix, chain[0][None], chain[1][None])[0])
            return Explanation(score + fixed, rest, chain, found, usual)
        mean, chain = self.mean_score(matrix)
        return Explanation(mean + fixed, rest, chain, found, usual)

    def accustomed(self, work: Explanation) -> Explanation:
        """The same explanation when a crew keeps its hours: what repeats night after night is no chance."""
        kept = np.ascontiguousarray(habits(self.load.shape[1], self.p.shapes).T)
        blocks, top = block_densities(work.found)
        by_habit = np.log(times(blocks, kept)) + top[:, None]
        by_habit[~work.found.known] = 0.0
        matrix, _ = self.matrix(work.found, work.usual, working=True)
        fixed = work.score - self.mean_score(matrix)[0]
        span = slice(self.span[0], self.span[-1] + 1)
        column = matrix[:, WORK].copy()
        with np.errstate(divide="ignore"):
            shift = np.where(self.days.counted[span], np.log(column) - work.found.work[span], 0.0)
        best, scores = (-np.inf, 0, work.chain), []
        for habit in range(by_habit.shape[1]):
            matrix[:, WORK] = np.exp(np.where(self.days.counted[span], by_habit[span, habit] + shift, 0.0))
            score, chain = self.mean_score(matrix)
            scores.append(score)
            best = max(best, (score, habit, chain), key=lambda found: found[0])
        mean = float(np.logaddexp.reduce(scores) - np.log(len(scores)))
        usual = replace(work.found, work=by_habit[:, best[1]])
        return replace(work, score=fixed + mean, found=usual, chain=best[2])

    def mean_score(self, matrix: Floats) -> tuple[float, tuple[Floats, Floats]]:
        """Log likelihood of the days over all habits of campaigns, and the chain that suits them best."""
        scores = log_likelihoods(matrix, *self.stacked)
        return float(np.logaddexp.reduce(scores) - np.log(len(scores))), self.chains[int(scores.argmax())]

    def rest_weight(self, told: Explanation) -> tuple[Floats, Floats]:
        """How surely each day shows plain, dry rest, and rest of any kind, (D,)."""
        found, usual, chain = told.found, told.usual, told.chain
        matrix, _ = self.matrix(found, usual, working=len(chain[1]) > CALM_DRY)
        states = state_probabilities(matrix, *chain)
        kinds = [DRY, CALM_DRY] if states.shape[1] > CALM_DRY else [DRY]
        wet = [WET, CALM_WET] if states.shape[1] > CALM_DRY else [WET]
        weight, soaked = np.zeros(len(self.load)), np.zeros(len(self.load))
        weight[self.span[0] : self.span[-1] + 1] = states[:, kinds].sum(axis=1)
        soaked[self.span[0] : self.span[-1] + 1] = (
            states[:, wet].sum(axis=1) * self.days.counted[self.span[0] : self.span[-1] + 1]
        )
        soaked *= np.exp(np.minimum(found.wet - usual[:, 1], 0.0))
        weight *= self.days.counted * np.exp(np.minimum(found.dry - usual[:, 0], 0.0))
        weight[self.days.quiet] = np.exp(np.minimum(found.dry - np.logaddexp(*usual.T), 0.0))[self.days.quiet]
        weight = np.where(found.known, np.maximum(weight, 1e-6), 0.0)
        return weight, np.where(found.known, np.minimum(weight + soaked, 1.0), 0.0)

    def told(self, work: Explanation, rest_score: float) -> HiddenWork:
        """The days of work under the better explanation with work, held against the score of rest."""
        found = work.found
        matrix, _ = self.matrix(found, work.usual, working=True)
        states = state_probabilities(matrix, *work.chain)
        begin, end = self.span[0], self.span[-1] + 1
        judged = self.days.counted[begin:end] & found.known[begin:end]
        working = np.zeros(len(self.load))
        working[begin:end] = np.where(judged, states[:, WORK], 0.0)
        wet = np.zeros(len(self.load))
        wet[begin:end] = states[:, WET] + states[:, CALM_WET]
        scale = self.days.reference_kw
        spread = np.sqrt(self.p.shapes.dry_sd**2 + wet * self.p.shapes.wet[1] ** 2)
        level = expected(work.rest, self.days.covariates, self.days.quiet).mean(axis=1) + wet * self.p.shapes.wet[0]
        if (besides := self.days.besides) is not None:
            level += besides.mean * besides.block.mean()
            spread = np.hypot(spread, besides.sd * besides.block.mean())
        return HiddenWork(
            evidence(work.score - rest_score, self.p),
            working,
            level * scale,
            spread * scale,
            found.amount * scale,
            self.when(not_yet(matrix, *work.chain, WORK), begin),
            self.until(matrix, work.chain, begin, end),
            work.rest,
        )

    def when(self, none: Floats, begin: int) -> tuple[int, int]:
        """Interval of the first day of work from the probability that there was none yet."""
        outside = (1 - self.p.sure) / 2
        begun = (1 - none) / max(1 - none[-1], 1e-9)
        low, high = np.searchsorted(begun, [outside, 1 - outside])
        return int(begin + min(low, len(none) - 1)), int(begin + min(high, len(none) - 1))

    def until(self, matrix: Floats, chain: tuple[Floats, Floats], begin: int, end: int) -> tuple[int, int]:
        """Interval of the last day of work: the first day of the chain that runs backward."""
        moves = chain[0]
        steady = np.linalg.matrix_power(moves, 4096)[0]
        backward = moves.T * steady[None, :] / np.maximum(steady[:, None], 1e-12)
        backward /= backward.sum(axis=1, keepdims=True)
        low, high = self.when(not_yet(np.ascontiguousarray(matrix[::-1]), backward, steady, WORK), 0)
        return end - 1 - high, end - 1 - low


def amounts_of_work(days: RestingDays, p: WorkParameters) -> tuple[float, float]:
    """Least and largest lift that is called work, relative to the reference."""
    low, high = (share * days.full_kw / days.reference_kw for share in p.amounts)
    least = max(low, p.least_amount)
    return least, max(high, 3 * least)


def evidence(gained: float, p: WorkParameters) -> float:
    """Nats of a difference of log densities: tempered and bounded."""
    return float(np.clip(p.temper * gained, -p.most, p.most))


def either(usual: Floats, p: WorkParameters) -> Floats:
    """Log density of a day of rest, dry or now and then wet, of those of each, (D, 2)."""
    return np.asarray(np.logaddexp(usual[:, 0], usual[:, 1] + np.log(p.wet_start)))


def with_service(found: Emissions, days: RestingDays, p: WorkParameters) -> Floats:
    """Log densities of dry and of wet rest, (D, 2), when some weekdays bring maintenance, whatever the weather: the
    share of each weekday is the mine's own."""
    plain, served = np.column_stack([found.dry, found.wet]), np.column_stack([found.service, found.wet_service])
    judged = (days.counted | days.quiet) & found.known
    without, with_it = either(plain, p), either(served, p)
    surely = np.exp(np.minimum(with_it - np.logaddexp(without, with_it), 0.0)) * judged
    share = np.zeros(len(plain))
    for weekday in range(7):
        there = days.weekday == weekday
        share[there] = (surely[there].sum() + p.service * p.service_days) / (judged[there].sum() + p.service_days)
    share = np.clip(share, 0.01, 0.95)[:, None]
    mixed = np.logaddexp(plain + np.log1p(-share), served + np.log(share))
    return np.where(found.known[:, None], mixed, 0.0)
