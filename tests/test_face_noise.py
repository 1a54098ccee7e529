"""The noise that a face's intervals rest on is that of its own window, and so is the error of the method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import null_space, subspace_angles

from illegalmining.detect.advance import Advance, advancing, dug_by
from illegalmining.detect.deformation import Nuisance
from illegalmining.detect.face_fit import Beside, FaceFitParameters, FittedFace, Window, fit_face, problem_of
from illegalmining.detect.face_noise import MeasuredNoise, Rest, measured_factors, restricted_nats, with_factors
from illegalmining.detect.pim import Floats, Panel, look_vector

DAYS, NOISE, BEGUN = np.arange(0, 720, 24.0), 0.006, 300.0
LOOK, HOW = look_vector(39.0, 258.0), FaceFitParameters()
FACE, WORK = Panel(20.0, -10.0, 35.0, 260.0, 110.0, 120.0, 1.5), Advance(1, 320.0, 130.0)


def fitted(noisier: float, error: float, rng: np.random.Generator) -> FittedFace:
    """A face in a window whose noise is `noisier` times what is said of it, and an `error` of its bowl in places."""
    at = np.arange(-480.0, 481.0, 80.0)
    x, y = (part.ravel() for part in np.meshgrid(at, at[::-1]))
    values = advancing(FACE, WORK, 5.0, DAYS, x, y, LOOK, 60)
    apart = np.hypot(np.subtract.outer(x, x), np.subtract.outer(y, y))
    smooth = np.linalg.cholesky(np.exp(-0.5 * (apart / FACE.radius_m) ** 2) + 1e-6 * np.eye(len(x)))
    values = values * (1 + error * (smooth @ rng.standard_normal(len(x))))
    values = values + noisier * NOISE * rng.standard_normal(values.shape)
    window = Window(x, y, values, np.ones(values.shape, bool), (1 - HOW.own_noise) * np.eye(len(x)), NOISE)
    nuisance = Nuisance.of(DAYS, np.ones(len(DAYS)), 1.5)
    begin = replace(dug_by(FACE, WORK, DAYS[-1]), x=0.0, y=0.0, w0_m=1.2)
    return fit_face(problem_of(window, DAYS, LOOK, nuisance, BEGUN, begin.radius_m, HOW), begin)


def told_of(face: FittedFace) -> float:
    """The error of the method that the face's window shows."""
    return measured_factors(face.optima[0], FACE.radius_m, MeasuredNoise())[0]


@pytest.mark.parametrize("noisier", [0.7, 1.0, 1.5])
def test_the_noise_is_that_of_the_window(noisier: float) -> None:
    """845 values: its variance is known to 5 %."""
    face = fitted(noisier, 0.0, np.random.default_rng(3))
    _, (factor,) = measured_factors(face.optima[0], FACE.radius_m, MeasuredNoise())
    quiet = np.hypot(face.optima[0].problem.window.x, face.optima[0].problem.window.y) > 450
    loose = face.optima[0].problem.window
    ground = np.stack([np.ones_like(loose.x), loose.x, loose.y])
    project = null_space(ground)
    factor = np.tril(factor)  # what lies above the diagonal of a factor means nothing
    whole = project.T @ (factor @ factor.T) @ project
    away = project.T @ np.diag(quiet.astype(float)) @ project
    assert np.trace(whole @ away) / np.trace(away) == pytest.approx(noisier**2, rel=0.15)


def test_the_error_of_the_method_is_small_where_the_face_fits_and_large_where_it_does_not() -> None:
    """An error of one course in time is spread over the five that are told apart: 0.15 / sqrt(5) = 0.067 in each."""
    rng, told = np.random.default_rng(4), {}
    for error in (0.0, 0.15):
        told[error] = np.median([told_of(fitted(1.0, error, rng)) for _ in range(3)])
    assert told[0.0] < 0.02
    assert 0.034 < told[0.15] < 0.134


def test_restricted_likelihood_is_that_of_what_the_fit_cannot_take_up() -> None:
    rng, courses, pixels, columns = np.random.default_rng(5), 2, 12, 3
    rest = Rest(
        rng.standard_normal((courses, pixels)), rng.standard_normal((courses, pixels, columns)), np.ones(pixels)
    )

    def by_contrasts(factor: Floats) -> float:
        whole = np.kron(factor @ factor.T, np.eye(courses))
        kept = null_space(rest.by.swapaxes(0, 1).reshape(-1, columns).T)
        seen, inside = kept.T @ rest.left.T.ravel(), kept.T @ whole @ kept
        noise = seen @ np.linalg.solve(inside, seen) / len(seen)
        return -0.5 * (len(seen) * np.log(noise) + np.linalg.slogdet(inside)[1])

    factors = [np.linalg.cholesky(part @ part.T + np.eye(pixels)) for part in rng.standard_normal((2, pixels, pixels))]
    told = [restricted_nats([rest], np.zeros((0, 1 + columns)), [factor])[0] for factor in factors]
    assert told[0] - told[1] == pytest.approx(by_contrasts(factors[0]) - by_contrasts(factors[1]))


def test_faces_beside_can_take_up_the_same_in_other_noise() -> None:
    rng, problem = np.random.default_rng(6), fitted(1.0, 0.0, np.random.default_rng(6)).optima[0].problem
    level = problem.data.level
    raw = rng.standard_normal((*level.shape, 4))
    along = np.linalg.qr(np.vstack([problem.whitened(raw).reshape(-1, 4), rng.standard_normal((3, 4))]))[0]
    problem = replace(problem, beside=Beside((0 * level,), np.zeros(3), along))
    part = rng.standard_normal((len(problem.factor), len(problem.factor)))
    other = with_factors(problem, [np.linalg.cholesky(part @ part.T + np.eye(len(part)))])
    assert other.beside is not None
    size = problem.whitened(raw).reshape(-1, 4)
    coefficients = np.linalg.lstsq(along[: len(size)], size, rcond=None)[0]
    expected = np.vstack([other.whitened(raw).reshape(-1, 4), along[len(size) :] @ coefficients])
    assert subspace_angles(other.beside.along, expected).max() < 1e-6
