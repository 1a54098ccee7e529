"""What a mine draws at rest, hour by hour: its profile, how rain, season and cold lift it, and how much it scatters.

Days count by how surely they are days of rest; the level is held against what the register and the mine's quietest
days say. Pure functions on arrays, loads relative to a reference of the mine's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from illegalmining.detect.day_shapes import LEAST_SHAPE, TINY, Flags, Floats, Rest


@dataclass(frozen=True)
class RestParameters:
    """What is known of rest beforehand.

    noise: least and largest standard deviation of an hour about its profile, relative. together: largest correlation
    of neighbouring hours. floor_of_full: noise is no less than this share of the step to full load (a closed mine's
    rest is nearly nothing). shape_days: days of evidence that the level is worth to each hour. effect_sd: prior spread
    of a covariate's effect, relative to rest, for each unit of it. effect_days: days whose errors count as one, for
    effects. day_sd, drift_sd: how a day's level scatters, and how far rest drifts from one season to the next,
    relative. loose, loose_sd: how often the register and quiet days mislead about the level, and how far then (log).
    """

    noise: tuple[float, float] = (0.03, 0.15)
    together: float = 0.8
    floor_of_full: float = 0.01
    shape_days: float = 0.5
    effect_sd: float = 0.10
    effect_days: float = 4.0
    day_sd: float = 0.08
    drift_sd: float = 0.08
    loose: float = 0.15
    loose_sd: float = 0.6


@dataclass(frozen=True)
class LevelBelief:
    """What the register and quiet days say of the level, kW: pairs of a centre and its log spread. one_sided: centres
    that rest may lie below without limit, because the mine was never seen at rest."""

    centres: tuple[tuple[float, float], ...]
    one_sided: tuple[bool, ...]


def scatter(load: Floats, full: float, p: RestParameters) -> tuple[float, float]:
    """Noise of one block and the correlation of neighbouring ones, from steps from one day to the next.

    Differences of days forgive a profile that is not known yet; medians forgive days that differ altogether.
    """
    low, high = p.noise
    least = max(low, p.floor_of_full * full)
    usual = np.array([float(np.nanmedian(hour)) if np.isfinite(hour).any() else np.nan for hour in load.T])
    steps = np.diff(load / np.maximum(usual, max(LEAST_SHAPE * float(np.nanmean(usual)), 1e-9)), axis=0)
    if load.shape[1] > 1:
        known_days = np.isfinite(steps).any(axis=1)
        steps = steps[known_days] - np.nanmedian(steps[known_days], axis=1, keepdims=True)
    known = steps[np.isfinite(steps)]
    if known.size < 2 * load.shape[1]:
        return max((low + high) / 2, least), 0.0
    sd = float(1.4826 * np.median(np.abs(known)) / np.sqrt(2))
    beside = steps[:, 1:] * steps[:, :-1]
    calm = np.isfinite(beside) & (np.abs(steps[:, 1:]) < 4 * sd) & (np.abs(steps[:, :-1]) < 4 * sd)
    lag = float(beside[calm].mean() / max(2 * sd**2, 1e-9)) if calm.any() and load.shape[1] > 1 else 0.0
    return float(np.clip(sd, least, max(high, least))), float(np.clip(lag, 0.0, p.together))


def fit_profile(load: Floats, lift: Floats, weight: Floats, p: RestParameters) -> Floats:
    """Weighted mean profile of (D, B) after taking away each day's lift (D,), drawn a little to its own level."""
    left = load - lift[:, None]
    known = np.isfinite(left) & (weight[:, None] > 0)
    mass = np.where(known, weight[:, None], 0.0)
    total = mass.sum(axis=0)
    level = float((mass * np.where(known, left, 0.0)).sum() / max(total.sum(), 1e-9))
    sums = (mass * np.where(known, left, 0.0)).sum(axis=0)
    profile = (sums + p.shape_days * level) / (total + p.shape_days)
    return np.asarray(np.maximum(profile, 0.02 * abs(level)))


def fit_effects(load: Floats, profile: Floats, covariates: Floats, weight: Floats, p: RestParameters) -> Floats:
    """Ridge regression of each day's mean lift on the covariates (D, F): (F,) relative rise per unit."""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(load)
        lift = np.where(known, load - profile, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    mass = np.where(known.any(axis=1), weight, 0.0) / p.effect_days
    mass = mass + TINY**3
    lift = lift - np.average(lift, weights=mass)
    centred = covariates - np.average(covariates, axis=0, weights=mass)
    error = np.average(lift**2, weights=mass) + TINY
    for _ in range(2):
        gram = (centred * mass[:, None]).T @ centred / error + np.eye(centred.shape[1]) / p.effect_sd**2
        effects = np.linalg.solve(gram, (centred * mass[:, None]).T @ lift / error)
        error = np.average((lift - centred @ effects) ** 2, weights=mass) + TINY**2
    return np.asarray(effects)


def of_the_night(covariates: Floats, width: int) -> Floats:
    """What lifts a day from noon to noon, (D, F): the mean of the two calendar days it touches."""
    after = np.vstack([covariates[1:], covariates[-1:]])
    return np.asarray((covariates + after) / 2 if width > 1 else covariates)


def drift(load: Floats, lift: Floats, weight: Floats, quiet: Flags, p: RestParameters) -> float:
    """How much more a mine drew on its earlier days of rest than on those that are judged, as far as both tell."""
    known = np.isfinite(load)
    mean = np.where(known, load, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1) - lift
    then, now = weight * quiet * known.any(axis=1), weight * ~quiet * known.any(axis=1)
    if then.sum() < 1 or now.sum() < 1:
        return 0.0
    doubt = p.day_sd**2 * p.effect_days * (1 / then.sum() + 1 / now.sum())
    return float((np.average(mean, weights=then) - np.average(mean, weights=now)) / (1 + doubt / p.drift_sd**2))


def expected(rest: Rest, covariates: Floats, quiet: Flags) -> Floats:
    """(D, B) expected at rest without rain that no covariate knows, relative. quiet: (D,) earlier days of rest."""
    today = covariates @ rest.effects
    tomorrow = np.append(today[1:], today[-1:])
    width = len(rest.profile)
    after_midnight = np.arange(width) >= width / 2 if width > 1 else np.zeros(1, dtype=bool)
    lift = np.where(after_midnight, tomorrow[:, None], today[:, None])
    return np.asarray(rest.profile + lift + (rest.earlier * quiet)[:, None])


def level_prior(rest: Rest, belief: LevelBelief, p: RestParameters) -> float:
    """Log prior density of the level of rest."""
    level = np.log(max(float(rest.profile.mean()) * rest.reference_kw, 1e-6))
    total = -0.5 * (rest.earlier / p.drift_sd) ** 2
    for (centre, spread), one_sided in zip(belief.centres, belief.one_sided, strict=True):
        away = level - np.log(max(centre, 1e-6))
        if one_sided:
            total += -0.5 * max(away, 0.0) ** 2 / spread**2
            continue
        near = np.log((1 - p.loose) / spread) - 0.5 * (away / spread) ** 2
        far = np.log(p.loose / p.loose_sd) - 0.5 * (away / p.loose_sd) ** 2
        total += float(logsumexp([near, far]))
    return total


def first_guesses(load: Floats, calm: Flags) -> list[Floats]:
    """Profiles to begin from: the usual day, the quietest days, and the quietest of each hour."""
    known = load[np.isfinite(load).all(axis=1)]
    if len(known) == 0:
        known = np.where(np.isfinite(load), load, np.nanmedian(load))
    means = known.mean(axis=1)
    quiet = known[means <= np.quantile(means, 0.25)]
    guesses = [np.median(known, axis=0), np.median(quiet, axis=0), np.quantile(known, 0.1, axis=0)]
    if calm.any() and np.isfinite(load[calm]).any(axis=0).all():
        guesses.append(np.nanmedian(load[calm], axis=0))
    return guesses
