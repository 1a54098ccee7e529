"""Closed forms against SciPy's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from illegalmining.cases.evaluate import share_interval
from illegalmining.detect.densities import student_log_density


@pytest.mark.parametrize("tail", [1.0, 3.0, 8.5])
def test_student_as_scipy_has_it(tail: float) -> None:
    at = np.linspace(-60, 60, 401)
    np.testing.assert_allclose(student_log_density(at, tail), stats.t.logpdf(at, tail), rtol=1e-12)


@pytest.mark.parametrize(("part", "whole"), [(3, 7), (48, 296), (0, 5), (5, 5)])
def test_jeffreys_as_scipy_has_it(part: int, whole: int) -> None:
    low, high = stats.beta.ppf([0.05, 0.95], part + 0.5, whole - part + 0.5)
    expected = (0.0 if part == 0 else low), (1.0 if part == whole else high)
    np.testing.assert_allclose(share_interval(part, whole), expected, rtol=1e-12)
