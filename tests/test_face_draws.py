"""How sure a fitted face is: the intervals hold the truth as often as they say, and two tops are both drawn."""

from __future__ import annotations

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import multivariate_t
from shapely.geometry import box

from illegalmining.detect.advance import Advance, advancing, dug_by
from illegalmining.detect.deformation import Nuisance
from illegalmining.detect.face_draws import Drawn, DrawParameters, Top, drawn
from illegalmining.detect.face_fit import FaceFitParameters, FittedFace, Window, fit_face, problem_of
from illegalmining.detect.face_noise import MeasuredNoise, in_measured_noise
from illegalmining.detect.hidden_faces import is_declared
from illegalmining.detect.inversion import long_side_first
from illegalmining.detect.pim import Panel, look_vector
from illegalmining.detect.subsidence_parameters import SubsidenceParameters

DAYS, NOISE, BEGUN = np.arange(0, 720, 24.0), 0.006, 300.0
LOOK = look_vector(39.0, 258.0)
PRIOR = FaceFitParameters(model_error=0.0, ground_share=0.0)
STRIPS = 40


def fitted(panel: Panel, advance: Advance, per_year: float, rng: np.random.Generator, said: float = 1.0) -> FittedFace:
    """The face in a window of 80 m pixels, independent noise, `said` to be so many times it, and an unknown plane."""
    at = np.arange(-480.0, 481.0, 80.0)
    x, y = (part.ravel() for part in np.meshgrid(at, at[::-1]))
    values = advancing(panel, advance, per_year, DAYS, x, y, LOOK, STRIPS)
    values = values + NOISE * rng.standard_normal(values.shape)
    pixels = (1 - PRIOR.own_noise) * np.eye(len(x))
    window = Window(x, y, values, np.ones(values.shape, bool), pixels, said * NOISE)
    dug = dug_by(panel, advance, DAYS[-1])
    off = {"x": dug.x + 20, "y": dug.y - 20, "azimuth_deg": dug.azimuth_deg + 15, "w0_m": 0.7 * dug.w0_m}
    begin = replace(dug, **off, length_m=1.2 * dug.length_m, width_m=1.2 * dug.width_m)
    nuisance = Nuisance.of(DAYS, np.ones(len(DAYS)), 1.5)
    return fit_face(problem_of(window, DAYS, LOOK, nuisance, BEGUN, begin.radius_m, PRIOR), begin)


def any_face(rng: np.random.Generator) -> tuple[Panel, Advance, float]:
    """A face as the priors have them, which moves the ground by 50 mm or more."""
    length, width, radius, w0, duration, rate = np.exp(PRIOR.middle + PRIOR.spread * rng.standard_normal(6))
    x, y = PRIOR.place_m * rng.standard_normal(2)
    panel = Panel(x, y, rng.uniform(0, 180), length, width, radius, w0)
    begun = BEGUN + PRIOR.start_days * rng.standard_normal()
    advance = Advance(int(rng.choice([1, -1])), begun, duration)
    dug = dug_by(panel, advance, DAYS[-1])
    middle = np.array([dug.x]), np.array([dug.y])
    seen = advancing(panel, advance, rate, DAYS[[0, -1]], *middle, LOOK, PRIOR.strips)
    return (panel, advance, rate) if np.ptp(seen) >= 0.05 else any_face(rng)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Faces drawn from the priors themselves: 90 % intervals then hold 90 % of them, whatever the posterior's form, and
    though the noise is said to be half as large again as it is."""
    rng, held = np.random.default_rng(7), []
    for _ in range(24):
        panel, advance, rate = any_face(rng)
        face = in_measured_noise(fitted(panel, advance, rate, rng, 1.5), MeasuredNoise())
        draws = drawn(face, DAYS[-1], (1000.0, 2000.0), DrawParameters())
        dug = long_side_first(dug_by(panel, advance, DAYS[-1]))
        volume = dug.length_m * dug.width_m * dug.w0_m
        truth = {"x": dug.x + 1000, "y": dug.y + 2000, "length_m": dug.length_m, "width_m": dug.width_m}
        truth |= {"radius_m": dug.radius_m, "w0_m": dug.w0_m, "volume_m3": volume, "start": advance.start}
        truth["advance_m_day"] = panel.length_m / advance.duration
        bounds = {name: draws.quantiles(name) for name in truth}
        held.append([bounds[name][0] <= value <= bounds[name][2] for name, value in truth.items()])
    assert 0.83 < np.mean(held) < 0.97


def test_a_face_that_may_advance_from_either_end_is_drawn_from_both() -> None:
    """Dug at once, it says nothing of the end it was dug from."""
    rng = np.random.default_rng(3)
    face = fitted(Panel(20.0, -30.0, 70.0, 320.0, 110.0, 110.0, 0.8), Advance(0, BEGUN, 10.0), 5.0, rng)
    draws = drawn(face, DAYS[-1], (0.0, 0.0), DrawParameters())
    low, _middle, high = draws.quantiles("azimuth_deg")
    assert low < 70 < high
    assert high - low < 20
    assert draws.weight.sum() == pytest.approx(1)
    again = drawn(face, DAYS[-1], (0.0, 0.0), DrawParameters())
    np.testing.assert_array_equal(draws.length_m, again.length_m)
    other = drawn(face, DAYS[-1], (0.0, 0.0), replace(DrawParameters(), seed=5))
    assert other.quantiles("length_m") == pytest.approx(draws.quantiles("length_m"), rel=0.1)


def test_azimuths_on_both_sides_of_north_have_a_narrow_interval() -> None:
    azimuth = np.array([178.0, 179.0, 0.0, 1.0, 2.0])
    draws = Drawn(np.full(5, 0.2), azimuth, *[azimuth] * 9)
    low, middle, high = draws.quantiles("azimuth_deg")
    assert middle % 180 == pytest.approx(0.0, abs=1e-6)
    assert (low, high) == (pytest.approx(middle - 2), pytest.approx(middle + 2))


def test_density_of_a_t_distribution_against_scipy() -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((10, 10))
    precision, middle = root @ root.T + np.eye(10), rng.standard_normal(10)
    at = rng.standard_normal((6, 10))
    expected = multivariate_t(middle, np.linalg.inv(precision), df=6).logpdf(at)
    np.testing.assert_allclose(Top(middle, precision, 1, 1.0).log_density(at, 6.0), expected)


@pytest.mark.parametrize(
    ("starts", "moved_m", "may_be"),
    [((400, 420), 0.0, True), ((100, 420), 0.0, True), ((100, 120), 0.0, False), ((400, 420), 300.0, False)],
    ids=["at its time", "perhaps at its time", "long before it", "elsewhere"],
)
def test_a_face_is_the_declared_one_where_its_start_need_not_be_anothers(
    starts: tuple[float, float], moved_m: float, may_be: bool
) -> None:
    declared = SimpleNamespace(start=380.0, stop=500.0, geometry=box(-100, -50, 100, 50))
    found = SimpleNamespace(panel=Panel(moved_m, 0.0, 90.0, 120.0, 60.0, 100.0, 0.5))
    others = {part.name: np.zeros(2) for part in fields(Drawn)}
    dug = Drawn(**others | {"weight": np.array([0.8, 0.2]), "start": np.array(starts, float)})
    assert is_declared(found, dug, declared, SubsidenceParameters()) is may_be  # type: ignore[arg-type]
