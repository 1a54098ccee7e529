"""A bowl's panel: where it lies, how it is turned, how large it is, and when it began to move.

Movement is a fixed bowl in space times one course in time. The course's amplitude at each pixel is fitted by a panel
(probability integral method) on a plane, by least squares whitened with the measured covariance of the noise. What
movement cannot tell apart (depth and thickness) is held by priors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import fft
from scipy.linalg import cho_factor, solve_triangular
from scipy.optimize import least_squares

from illegalmining.detect.bowls import Peak, Search, Templates, bowl_of, mean_look
from illegalmining.detect.deformation import Nuisance, unit_courses
from illegalmining.detect.pim import Floats, Panel, settled_share, sight


@dataclass(frozen=True)
class InversionParameters:
    """Priors and limits of the inversion.

    radius_m, length_m, width_m, w0_m: medians of a face, m (science.md: H 150 to 700, tan(beta) 1.5 to 2.4; W0 = m q).
    radius_ln, length_ln, width_ln, w0_ln: standard deviations of their logarithms. window_radii: reach of the window,
    radii. pixels_most: pixels used, the rest thinned. extraction_days, per_year, step_days: courses tried; nan: until
    the last epoch. model_error: share of the bowl that the method gets wrong (5 % at Guotun, science.md).
    """

    radius_m: float = 120.0
    length_m: float = 300.0
    width_m: float = 100.0
    w0_m: float = 1.2
    radius_ln: float = 0.5
    length_ln: float = 0.7
    width_ln: float = 0.5
    w0_ln: float = 0.6
    window_radii: float = 3.5
    pixels_most: int = 450
    extraction_days: tuple[float, ...] = (0.0, 30.0, 60.0, 100.0, 150.0, 200.0, 270.0, 360.0, float("nan"))
    per_year: tuple[float, ...] = (3.0, 6.0, 10.0)
    step_days: float = 6.0
    model_error: float = 0.05


@dataclass(frozen=True)
class Course:
    """A course in time. share: (T,) settled share. start: day. start_sd: days. z: its standard deviations."""

    share: Floats
    start: float
    start_sd: float
    z: float


@dataclass(frozen=True)
class Inverted:
    """A panel and its errors. panel: in the CRS. position_sd_m: of its centre. radius_ln_sd: of ln(r)."""

    panel: Panel
    position_sd_m: float
    radius_ln_sd: float
    course: Course
    root_weight: Floats


def rival_nats(series: Floats, nuisance: Nuisance, local: float, courses: Floats) -> float:
    """Largest nats of any of the courses (G, T), of either sign, in one whitened series (T,)."""
    units = nuisance.removed(courses.T)
    size = np.sqrt((units**2).sum(axis=0))
    least = 1e-3 * np.sqrt(((courses * nuisance.root_weight) ** 2).sum(axis=1))
    z = (series @ units) / np.where(size > least, size, np.inf) / local
    return float((z**2).max() / 2)


def rival_courses(days: Floats) -> Floats:
    """Jumps between two epochs and epochs that stand out alone: unwrapping errors and storms, (2 T - 1, T)."""
    count = len(days)
    return np.concatenate([np.tri(count, count, -1).T[:-1], np.eye(count)])


def fit_course(
    search: Search, peak: Peak, templates: Templates, monitor_day: float, parameters: InversionParameters
) -> tuple[Course, float, Floats]:
    """The course at a peak, the nats it leaves after rivals in time, and the epochs' weights (T,)."""
    days = search.movement.days
    weighed = search.weighed(bowl_of(peak.shape, mean_look(search.movement.look), search.movement.pixel_m))
    series = weighed.series[:, peak.row, peak.column]
    local = float(weighed.local[peak.row, peak.column])
    first = float(templates.starts[peak.template])
    found = []
    for start in np.arange(max(first - 90, days[0]), min(first + 90, days[-2]) + 1, parameters.step_days):
        for length in parameters.extraction_days:
            dug = float(days[-1] - start) if np.isnan(length) else length
            found += [(start, settled_share(days - start, dug, rate)) for rate in parameters.per_year]
    shares = np.array([share for _, share in found])
    z = unit_courses(weighed, shares)[0] @ series / local
    best = int(z.argmax())
    starts = np.array([start for start, _ in found])
    likely = np.exp((z.clip(0) ** 2 - z[best] ** 2) / 2)
    middle = float((likely * starts).sum() / likely.sum())
    spread = float(np.sqrt((likely * (starts - middle) ** 2).sum() / likely.sum()))
    course = Course(shares[best], middle, max(spread, parameters.step_days), float(z[best]))
    jump = rival_nats(series, weighed.nuisance, local, rival_courses(days)) - search.parameters.step_handicap
    frozen = shares[:, :].copy()
    frozen[:, days > monitor_day] = np.array([[np.interp(monitor_day, days, share)] for share in shares])
    ended = rival_nats(series, weighed.nuisance, local, frozen)
    left = z[best] ** 2 / 2 - max(jump, ended)
    root_weight = weighed.nuisance.root_weight
    return course, min(peak.ratio, float(left)), root_weight / root_weight.mean()


def amplitudes(values: Floats, seen: Floats, share: Floats, days: Floats, root_weight: Floats) -> tuple[Floats, Floats]:
    """Amplitude of a course and its unit variance per pixel: values, seen (T, P) -> (P,), (P,); nan where unknown."""
    nuisance = [np.ones_like(days), days / max(days[-1], 1.0)]
    design = np.stack([*nuisance, share], axis=1) * root_weight[:, None]
    weights = seen.astype(float)
    normal = np.einsum("ti,tp,tj->pij", design, weights, design) + 1e-9 * np.eye(3)
    inverse = np.linalg.inv(normal)
    moment = np.einsum("ti,tp->pi", design, weights * values * root_weight[:, None])
    amplitude = np.einsum("pi,pi->p", inverse[:, -1], moment)
    return amplitude, inverse[:, -1, -1]


def noise_covariance(search: Search, rows: Floats, columns: Floats) -> Floats:
    """Correlation (P, P) of the noise between pixels, from the measured spectrum."""
    lags = fft.irfft2(search.whitening.power, search.whitening.shape)
    lags = lags / lags[0, 0]
    return lags[np.subtract.outer(rows, rows), np.subtract.outer(columns, columns)]


def invert(
    search: Search, peak: Peak, course: Course, root_weight: Floats, parameters: InversionParameters
) -> Inverted | None:
    """The panel under a peak; None where too few pixels are left to say."""
    movement = search.movement
    x0, y0 = float(movement.x[peak.row, peak.column]), float(movement.y[peak.row, peak.column])
    reach = max(parameters.window_radii * peak.shape.radius_m, 400.0) + peak.shape.length_m / 2
    near = np.hypot(movement.x - x0, movement.y - y0) < reach
    rows, columns = np.nonzero(near & search.known)
    thin = int(np.ceil(len(rows) / parameters.pixels_most))
    rows, columns = rows[::thin], columns[::thin]
    seen = np.isfinite(movement.values[:, rows, columns])
    level, variance = amplitudes(search.values[:, rows, columns], seen, course.share, movement.days, root_weight)
    usable = variance < 25 * np.median(variance) if len(rows) else np.zeros(0, bool)
    if usable.sum() < 15:
        return None
    rows, columns, level, variance = (part[usable] for part in (rows, columns, level, variance))
    x, y = movement.x[rows, columns] - x0, movement.y[rows, columns] - y0
    raw = np.sqrt(variance * np.median(np.var(search.values[:, rows, columns] * root_weight[:, None], axis=0)))
    sd = np.minimum(raw, np.sqrt(variance * np.mean(noise_scale(search, root_weight) ** 2)))
    covariance = noise_covariance(search, rows, columns) * np.outer(sd, sd)
    covariance += np.diag(0.05 * sd**2 + (parameters.model_error * level) ** 2)
    factor = cho_factor(covariance + 1e-12 * np.eye(len(sd)), lower=True)[0]
    look = mean_look(movement.look)
    ground = np.stack([np.ones_like(x), x / reach, y / reach], axis=1) * sd.mean()

    def panel_of(p: Floats) -> Panel:
        length, width, radius, w0 = np.exp(np.clip(p[3:7], -7.0, 8.5))
        return Panel(p[0] * 100, p[1] * 100, np.rad2deg(p[2]), length, width, radius, w0)

    middle = np.log([parameters.length_m, parameters.width_m, parameters.radius_m, parameters.w0_m])
    spread = np.array([parameters.length_ln, parameters.width_ln, parameters.radius_ln, parameters.w0_ln])

    def misfit(p: Floats) -> Floats:
        left = level - sight(panel_of(p), x, y, look) - ground @ p[7:]
        return np.concatenate(
            [solve_triangular(factor, left, lower=True), (p[3:7] - middle) / spread, p[:2] / 3, p[7:] / 3]
        )

    fits = []
    for azimuth in (0.2, 1.0, 1.8, 2.6):
        begin = np.concatenate([[0.0, 0.0, azimuth], middle - [0, 0, 0, 1.0], np.zeros(3)])
        fits.append(least_squares(misfit, begin, max_nfev=40))
    best = min(fits, key=lambda fit: fit.cost)
    errors = np.linalg.pinv(best.jac.T @ best.jac)
    panel = panel_of(best.x)
    if np.hypot(panel.x, panel.y) > peak.shape.radius_m + peak.shape.length_m / 2 + 100.0:
        return None
    turned = panel.azimuth_deg + (90.0 if panel.width_m > panel.length_m else 0.0)
    longer, shorter = max(panel.length_m, panel.width_m), min(panel.length_m, panel.width_m)
    panel = replace(
        panel, x=panel.x + x0, y=panel.y + y0, azimuth_deg=float(turned % 180), length_m=longer, width_m=shorter
    )
    position = float(np.sqrt((errors[0, 0] + errors[1, 1]) / 2) * 100)
    return Inverted(panel, position, float(np.sqrt(errors[5, 5])), course, root_weight)


def noise_scale(search: Search, root_weight: Floats) -> Floats:
    """Noise of one weighted epoch in every row of a thinned scene, without unit."""
    thin = max(1, search.known.shape[0] // 50)
    weighted = search.values[:, ::thin, ::thin] * root_weight[:, None, None]
    steps = np.diff(weighted, axis=0) / np.sqrt(2)
    return 1.4826 * np.median(np.abs(steps), axis=0)
