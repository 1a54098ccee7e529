"""A face beside a declared one, fitted together with it: found, told from it, and its intervals hold both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import Point

from illegalmining.detect.advance import Advance, advancing, dug_by
from illegalmining.detect.declared_faces import Declared, DeclaredParameters
from illegalmining.detect.deformation import Nuisance
from illegalmining.detect.face_draws import DrawParameters, drawn
from illegalmining.detect.face_fit import FaceFitParameters, Window, problem_of
from illegalmining.detect.inversion import long_side_first
from illegalmining.detect.joint_fit import Together, fit_beside, fit_declared
from illegalmining.detect.joint_scene import JointParameters, Scene, near
from illegalmining.detect.pim import Panel, look_vector, outline

DAYS, NOISE, MONITOR = np.arange(0, 720, 24.0), 0.006, 360.0
LOOK, ORIGIN = look_vector(39.0, 258.0), (1000.0, 2000.0)
FIT = FaceFitParameters(model_error=0.0, ground_share=0.0)
OPEN, JOINT = DeclaredParameters(), JointParameters(face=FIT)
DECLARED = Panel(0.0, 0.0, 60.0, 280.0, 110.0, 130.0, 0.9)
WORKED = Advance(-1, 380.0, 150.0)


def scene(rng: np.random.Generator, hidden: list[tuple[Panel, Advance]], dug: Panel = DECLARED) -> Scene:
    """A window of 80 m pixels about a declared face, of which `dug` is dug, in independent noise."""
    at = np.arange(-800.0, 801.0, 80.0)
    x, y = (part.ravel() for part in np.meshgrid(at, at[::-1]))
    values = NOISE * rng.standard_normal((len(DAYS), len(x)))
    for panel, advance in [(dug, WORKED), *hidden]:
        values = values + advancing(panel, advance, 5.0, DAYS, x, y, LOOK, FIT.strips)
    pixels = (1 - FIT.own_noise) * np.eye(len(x))
    window = Window(x, y, values, np.ones(values.shape, bool), pixels, NOISE)
    problem = problem_of(window, DAYS, LOOK, Nuisance.of(DAYS, np.ones(len(DAYS)), 1.5), MONITOR, 130.0, FIT)
    placed = replace(DECLARED, x=ORIGIN[0], y=ORIGIN[1])
    empty = np.zeros((len(DAYS), 1, 1))
    within = (slice(0, 1), slice(0, 1))
    face = Declared("F", "M", outline(placed), placed, 380.0, 530.0, False, within, empty, empty[0])
    steps = np.arange(-525.0, 526.0, JOINT.grid_m)
    places = [(e, n) for e in steps for n in steps if near(face, ORIGIN[0] + e, ORIGIN[1] + n, (face,), JOINT)]
    return Scene(problem, (), (face,), ORIGIN, np.array(places), len(places) * JOINT.grid_m**2)


def beside(rng: np.random.Generator) -> tuple[Panel, Advance]:
    """A face 250 m beside the declared one."""
    turned = np.deg2rad(DECLARED.azimuth_deg + rng.choice([90, -90]))
    sizes = rng.uniform((180, 70, 90, 0.3), (320, 130, 170, 1.2))
    panel = Panel(250 * np.sin(turned), 250 * np.cos(turned), DECLARED.azimuth_deg, *sizes)
    return panel, Advance(int(rng.choice([1, -1])), float(rng.uniform(380, 560)), float(rng.uniform(80, 200)))


def test_derivatives_of_faces_together_against_differences() -> None:
    rng = np.random.default_rng(5)
    _, together, p = fit_declared(scene(rng, []), OPEN, JOINT)
    inclined = replace(together.problems[0].like, skew=0.2, drift_east=0.1)
    both = Together((*together.problems, replace(together.problems[0], like=inclined)))
    p = np.concatenate([p, p + 0.05])
    steps = 1e-5 * np.eye(len(p))
    by = np.stack([(both.misfit(p + step) - both.misfit(p - step)) / 2e-5 for step in steps], axis=1)
    np.testing.assert_allclose(both.jacobian(p), by, atol=2e-4 * np.abs(by).max())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_declared_face_alone_hides_no_other(seed: int) -> None:
    """Nor one that is thicker, softer above, turned and moved within what registers leave open."""
    rng = np.random.default_rng(seed)
    off = {"x": 15.0, "y": -10.0, "azimuth_deg": 61.0, "radius_m": 160.0, "w0_m": 0.5, "length_m": 270.0}
    for dug in (DECLARED, replace(DECLARED, **off)):
        assert fit_beside(scene(rng, [], dug), MONITOR, 3.0, OPEN, JOINT) is None


def test_a_face_beside_a_declared_one_is_found_and_its_intervals_hold_it() -> None:
    rng, held, away = np.random.default_rng(11), [], []
    for _ in range(6):
        panel, advance = beside(rng)
        found = fit_beside(scene(rng, [(panel, advance)]), MONITOR, 3.0, OPEN, JOINT)
        assert found is not None
        assert found.nats > 20
        draws = drawn(found.face, DAYS[-1], ORIGIN, DrawParameters())
        dug = long_side_first(dug_by(panel, advance, DAYS[-1]))
        truth = {"x": dug.x + ORIGIN[0], "y": dug.y + ORIGIN[1], "length_m": dug.length_m, "width_m": dug.width_m}
        truth |= {"radius_m": dug.radius_m, "w0_m": dug.w0_m, "volume_m3": dug.length_m * dug.width_m * dug.w0_m}
        truth |= {"start": advance.start, "advance_m_day": panel.length_m / advance.duration}
        bounds = {name: draws.quantiles(name) for name in truth}
        held += [bounds[name][0] <= value <= bounds[name][2] for name, value in truth.items()]
        middle = Point(bounds["x"][1], bounds["y"][1])
        away.append(middle.distance(Point(truth["x"], truth["y"])))
    assert np.mean(held) > 0.8
    assert max(away) < 60


def test_what_a_declared_face_leaves_open_widens_the_intervals() -> None:
    """The same fit as if the declared face were known: surer of the place than the data allow."""
    turned = np.deg2rad(150)
    hidden = Panel(160 * np.sin(turned), 160 * np.cos(turned), 60.0, 250.0, 90.0, 120.0, 0.4)
    found = fit_beside(scene(np.random.default_rng(4), [(hidden, Advance(1, 420.0, 120.0))]), MONITOR, 3.0, OPEN, JOINT)
    assert found is not None
    best = found.face.optima[0]
    assert best.problem.beside is not None
    held = replace(best.problem.beside, along=best.problem.beside.along[:, :0])
    as_if_known = replace(best, jacobian=replace(best.problem, beside=held).jacobian(best.p))
    wide, narrow = (np.sqrt(np.diag(np.linalg.inv(one.precision))) for one in (best, as_if_known))
    assert (wide >= narrow * (1 - 1e-9)).all()
    assert wide[1] > 1.1 * narrow[1], "the place, towards the declared face"
