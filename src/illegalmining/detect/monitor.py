"""Sequential evidence for a lasting change: each new date updates a small state of each pixel in constant time.

Three explanations of a clear date compete: the baseline holds; something that is neither (a leaked cloud) was seen;
or the ground has moved to a new level that later dates share. The state keeps, for each of two candidate onsets, the
log ratio of the predictive densities (Adams & MacKay 2007, arXiv:0710.3742, pruned to two run lengths) and the new
level, with a short memory so that a pit which grows or a slope which regrows is followed. The baseline may itself
drift: years differ, so what it shares from date to date is followed by a Kalman filter with a small stationary
variance, and a shift no larger than the usual difference of years is never evidence, however long it lasts. Feeding
dates one by one or all together gives the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gamma, pi

import numpy as np
import numpy.typing as npt

from illegalmining.detect.baseline import Baseline, doubled, whole_quads
from illegalmining.detect.candidates import monitor_kernel
from illegalmining.detect.kernels import Floats
from illegalmining.detect.robust_fit import MOST_TERMS, MOST_WAVES
from illegalmining.detect.watch import Watch

FADED_DAYS = 1500
"""Gap between clear dates after which nothing is left of a drift, days."""


@dataclass(frozen=True)
class MonitorParameters:
    """How evidence is gathered.

    outlier: share of clear dates that show neither baseline nor change, 0.001-0.1 (scene classifications leak 2-5 %).
    outlier_spread: typical distance of such dates, in noise units. contrast: typical size of the change looked for, in
    the feature's unit. restless: extra variance of the changed ground, in noise variances (a bare face has no season
    to follow, and is worked on). memory_dates: dates over which the new level is remembered. search: what looking at
    every date for an onset costs, nats. start: evidence of a first date from which a candidate is kept, nats. drop:
    evidence below which a candidate is given up, nats. year: variance of the difference between years, in noise
    variances, for a long history. season_share: what the season adds to it, as a share of the season's own variance:
    a course that keeps its shape and runs 20 days early or late departs by 0.12 of that, steady ground by nothing.
    lingering: what full correlation of the noise from date to date adds to it. drift_days: time over which such
    differences fade. late_season: odds that a lasting difference is a season that came late or not at all, against a
    change of the ground. season_tail: degrees of freedom of a pixel's look over the year. least: evidence up to which
    a pixel is held unchanged, nats.
    """

    outlier: float = 0.03
    outlier_spread: float = 8.0
    contrast: float = 0.5
    restless: float = 2.0
    memory_dates: float = 5.0
    search: float = 3.0
    start: float = -5.0
    drop: float = -7.0
    year: float = 1.0
    season_share: float = 0.0
    lingering: float = 3.0
    drift_days: float = 120.0
    late_season: float = 0.2
    season_tail: float = 5.0
    least: float = 1.0


def centre_density(features: int, spread: float) -> float:
    """Density at the centre of a multivariate Cauchy distribution of the given spread."""
    half = (features + 1) / 2
    return gamma(half) / pi**half / spread**features


@cache
def fading(drift_days: float) -> Floats:
    """What is left of a drift after 0, 1, 2, ... days."""
    return np.exp(-np.arange(FADED_DAYS) / drift_days).astype(np.float32)


def update(
    watch: Watch,
    values: Floats,
    design: Floats,
    days: npt.NDArray[np.int32],
    shared: tuple[Floats, Floats],
    baseline: Baseline,
    history_years: float,
    parameters: MonitorParameters,
) -> None:
    """Feed dates in order, in place.

    values: (T, K, P), NaN where not clear. design: (T, C) and days: (T,) of the same dates. shared: offset (T, K) and
    noisiness (T,) of each date, from `weather`. history_years: length of the history behind the baseline.
    """
    features = values.shape[1]
    setting = np.array(
        [
            1.0 - parameters.outlier,
            parameters.outlier * centre_density(features, parameters.outlier_spread),
            parameters.restless,
            parameters.memory_dates,
            parameters.start,
            parameters.drop,
            parameters.outlier_spread**2,
            parameters.search,
        ],
        np.float32,
    )
    few = 1.0 + 1.0 / max(history_years, 0.5)
    by_wave = parameters.season_share * few / (2 * features)  # half a wave's square is its variance
    prior = np.array([parameters.year * few, parameters.lingering * few, by_wave, parameters.contrast**2], np.float32)
    monitor_kernel(
        *watch,
        values,
        whole_quads(design, MOST_TERMS),
        whole_quads(doubled(design), MOST_WAVES),
        days,
        *shared,
        baseline.coefficients,
        baseline.errors,
        baseline.whitening,
        baseline.memory,
        baseline.clear,
        prior,
        setting,
        fading(parameters.drift_days).copy(),  # threads that count references to one array wait for one another
    )
