"""What outcomes teach: a scale per detector, a shift per kind, the shares of rivals; and how good probabilities are.

Penalised maximum likelihood with shrinkage towards "nothing to correct": a handful of outcomes moves little, hundreds
decide. Pure functions; the ledger brings the outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, xlogy

from illegalmining.cases.fuse import FusionParameters, Term, activity, bounded
from illegalmining.cases.verdict import JudgingParameters
from illegalmining.tables import DETECTORS, KINDS

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Shrinkage:
    """How strongly corrections are held to nothing (chosen on simulated districts apart from those that are reported).

    scale_sd: of a detector's log scale. shift_sd: of the shift all kinds share, nats. kind_sd: of a kind's own shift
    about that, nats. worth: how many outcomes it takes until half of what they teach is believed: one refusal of a sure
    case is no reason to silence its detector. visits: how many visits the assumed share of a rival is worth. folds: of
    the cross-validation. bins: of the reliability curve. decimals: corrections are rounded, so that machines agree.
    """

    scale_sd: float = 1.0
    shift_sd: float = 2.0
    kind_sd: float = 0.5
    worth: float = 5.0
    visits: float = 50.0
    folds: int = 10
    bins: int = 10
    decimals: int = 4


@dataclass(frozen=True)
class Lesson:
    """One conclusive outcome beside what had been said before it.

    reported: the probability given before the visit. against: the probability that the registers forbid what was seen.
    confirmed: whether it was so. found: what else it was, where the inspector says.
    """

    kind: str
    terms: tuple[Term, ...]
    against: float
    reported: float
    confirmed: bool
    found: str | None = None


@dataclass(frozen=True)
class Reliability:
    """How probabilities compare with outcomes. brier, error: mean squared error and calibration error; curve: per bin
    mean probability, share confirmed, its 90 % interval, count."""

    count: int
    brier: float
    error: float
    curve: tuple[tuple[float, float, float, float, int], ...]


def calibrate(
    lessons: Sequence[Lesson], parameters: FusionParameters | None = None, shrinkage: Shrinkage | None = None
) -> FusionParameters:
    """Fusion as outcomes correct it; unchanged where there are none."""
    parameters, shrinkage = parameters or FusionParameters(), shrinkage or Shrinkage()
    if not lessons:
        return parameters
    from scipy.optimize import minimize  # a third of a second, which nights without outcomes can spare

    detectors = [name for name in DETECTORS if any(term.detector == name for one in lessons for term in one.terms)]
    kinds = [name for name in KINDS if any(one.kind == name for one in lessons)]
    design = Design(lessons, detectors, kinds, parameters)
    start = np.zeros(len(detectors) + 1 + len(kinds))
    fitted = minimize(design.loss, start, args=(shrinkage,), method="L-BFGS-B").x
    fitted *= len(lessons) / (len(lessons) + shrinkage.worth)
    scales, common, own = np.split(fitted, [len(detectors), len(detectors) + 1])
    rounded = [round(float(np.exp(value)), shrinkage.decimals) for value in scales]
    shifts = [round(float(common[0] + value), shrinkage.decimals) for value in own]
    every = dict.fromkeys(KINDS, round(float(common[0]), shrinkage.decimals))
    return replace(
        parameters,
        scale=dict(zip(detectors, rounded, strict=True)),
        shift=every | dict(zip(kinds, shifts, strict=True)),
        learned_from=len(lessons),
    )


class Design:
    """The outcomes as arrays: (n, detectors) bounded nats and weights, each case's prior, and whether it was so."""

    def __init__(
        self, lessons: Sequence[Lesson], detectors: list[str], kinds: list[str], parameters: FusionParameters
    ) -> None:
        depth = 2  # a detector speaks at most once for and once against
        self.nats = np.zeros((depth, len(lessons), len(detectors)))
        self.weights = np.zeros_like(self.nats)
        for row, lesson in enumerate(lessons):
            for term in lesson.terms:
                place = (0 if term.log_lr > 0 else 1, row, detectors.index(term.detector))
                self.nats[place], self.weights[place] = bounded(term.log_lr, parameters.artefact), term.weight
        self.prior = np.array([parameters.prior(lesson.kind) for lesson in lessons])
        self.kind = np.array([kinds.index(lesson.kind) for lesson in lessons])
        self.against = np.array([lesson.against for lesson in lessons])
        self.confirmed = np.array([lesson.confirmed for lesson in lessons], dtype=float)
        self.detectors = len(detectors)

    def loss(self, corrections: Numbers, shrinkage: Shrinkage) -> float:
        """Negative log posterior of log scales, the common shift and the kinds' own shifts."""
        scales, common, own = np.split(corrections, [self.detectors, self.detectors + 1])
        counted = (self.weights * self.nats * np.exp(scales)).sum(axis=(0, 2))
        total = self.prior + common[0] + own[self.kind] + counted
        p = np.clip(expit(total) * self.against, 1e-9, 1 - 1e-9)
        likelihood = xlogy(self.confirmed, p) + xlogy(1 - self.confirmed, 1 - p)
        penalty = (
            (scales**2).sum() / shrinkage.scale_sd**2
            + common[0] ** 2 / shrinkage.shift_sd**2
            + (own**2).sum() / shrinkage.kind_sd**2
        )
        return float(penalty / 2 - likelihood.sum())


def learned_rivals(
    lessons: Sequence[Lesson], parameters: JudgingParameters | None = None, shrinkage: Shrinkage | None = None
) -> JudgingParameters:
    """How often bare ground turns out to be a building site or nature's work, from what inspectors wrote."""
    parameters, shrinkage = parameters or JudgingParameters(), shrinkage or Shrinkage()
    visited = [lesson for lesson in lessons if lesson.kind == "unlicensed"]

    def share(name: str, assumed: float) -> float:
        seen = sum(1 for lesson in visited if not lesson.confirmed and lesson.found == name)
        return round((assumed * shrinkage.visits + seen) / (shrinkage.visits + len(visited)), shrinkage.decimals)

    return replace(
        parameters,
        construction=share("construction", parameters.construction),
        nature=share("nature", parameters.nature),
    )


def foretold(lesson: Lesson, parameters: FusionParameters) -> float:
    """The probability that these parameters give a lesson's case."""
    return activity(lesson.kind, list(lesson.terms), parameters) * lesson.against


def cross_validated(lessons: Sequence[Lesson], shrinkage: Shrinkage | None = None) -> Numbers:
    """Probability of every lesson's case by a calibration that has not seen its outcome."""
    shrinkage = shrinkage or Shrinkage()
    folds = min(shrinkage.folds, len(lessons))
    given = np.zeros(len(lessons))
    for fold in range(folds):
        taught = calibrate([one for i, one in enumerate(lessons) if i % folds != fold], shrinkage=shrinkage)
        for i in range(fold, len(lessons), folds):
            given[i] = foretold(lessons[i], taught)
    return given


def reliability(given: Numbers, confirmed: NDArray[np.bool_], shrinkage: Shrinkage | None = None) -> Reliability:
    """Probabilities against outcomes: Brier score, expected calibration error, and the reliability curve.

    Parameters
    ----------
    given : (n,) probabilities, 0-1, said before the outcome was known. confirmed: (n,) whether it was so.

    Returns
    -------
    Brier score: mean of (p - outcome)^2. Calibration error: mean over bins, weighted by their counts, of the distance
    between mean probability and share confirmed. Intervals are 90 % Jeffreys. NaN where there is nothing to compare.

    Examples
    --------
    >>> told = im.reliability(np.array([0.9, 0.9, 0.1]), np.array([True, True, False]))
    >>> round(told.brier, 4), round(told.error, 4)
    (0.01, 0.1)
    """
    shrinkage = shrinkage or Shrinkage()
    if not len(given):
        return Reliability(0, float("nan"), float("nan"), ())
    place = np.minimum((given * shrinkage.bins).astype(int), shrinkage.bins - 1)
    curve, error = [], 0.0
    for one in np.unique(place):
        here = place == one
        count, hits = int(here.sum()), int(confirmed[here].sum())
        mean, share = float(given[here].mean()), hits / count
        low, high = betaincinv(hits + 0.5, count - hits + 0.5, [0.05, 0.95])
        curve.append((round(mean, 4), round(share, 4), round(float(low), 4), round(float(high), 4), count))
        error += count / len(given) * abs(mean - share)
    return Reliability(len(given), float(np.mean((given - confirmed) ** 2)), float(error), tuple(curve))
