"""Medians by counting against medians by sorting, and the robust fit against the likelihood it maximises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from illegalmining.detect.baseline import BaselineParameters, fit_with, season
from illegalmining.detect.medians import medians_kernel, spreads_kernel


def by_sorting(values: np.ndarray) -> float:
    """Median of what is finite, NaN of nothing."""
    there = np.sort(values[np.isfinite(values)])
    if not len(there):
        return np.nan
    low, high = there[(len(there) - 1) // 2], there[len(there) // 2]
    return (low + high) / np.float32(2)


floats = st.floats(width=32, allow_nan=True, allow_infinity=True, min_value=None, max_value=None)
few = st.sampled_from([-1.5, -0.0, 0.0, 1e-30, 2.0, 2.0, 3e9, np.nan, np.inf])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(row=st.lists(floats, min_size=1, max_size=40) | st.lists(few, min_size=1, max_size=40), step=st.integers(1, 3))
def test_medians_are_those_of_sorting(row: list[float], step: int) -> None:
    values = np.array(row, np.float32)[None, None]
    values[np.abs(values) > 1e38] = np.nan  # of two such the mean is beyond a float
    found = np.empty((1, 1), np.float32)
    medians_kernel(values, step, found)
    np.testing.assert_array_equal(found[0, 0], np.float32(by_sorting(values[0, 0, ::step])))


@pytest.mark.parametrize("kind", ["normal", "clouds", "two levels", "powers"])
def test_medians_of_many_pixels_are_those_of_sorting(kind: str) -> None:
    generator = np.random.default_rng(7)
    values = generator.standard_normal((3, 2, 4097)).astype(np.float32)
    if kind == "clouds":
        values[generator.random(values.shape) < 0.4] += 300
    if kind == "two levels":
        values = np.where(values > 0.1, np.float32(5), np.float32(-5))
    if kind == "powers":
        values = np.float32(10) ** np.round(values * 8).astype(np.float32) * np.sign(values)
    values[generator.random(values.shape) < 0.3] = np.nan
    found = np.empty((3, 2), np.float32)
    medians_kernel(values, 1, found)
    np.testing.assert_array_equal(found, [[by_sorting(row) for row in date] for date in values])


def test_spreads_are_medians_of_what_is_left() -> None:
    generator = np.random.default_rng(8)
    values = generator.standard_normal((4, 2, 600)).astype(np.float32)
    values[generator.random(values.shape) < 0.3] = np.nan
    design = season(np.array([3.0, 50.0, 170.0, 300.0]), 1)
    fitted = generator.standard_normal((2, 3, 200)).astype(np.float32)
    worth = generator.uniform(1, 9, (2, 200)).astype(np.float32)
    middle, spread = np.empty((2, 4, 2), np.float32)
    counts = np.empty(4, np.int32)
    spreads_kernel(values, 3, design, fitted, worth, middle, spread, counts)
    residual = (values[:, :, ::3] - np.einsum("tc,kcp->tkp", design, fitted)) * worth
    np.testing.assert_allclose(middle, np.nanmedian(residual, axis=2), atol=1e-5)
    away = np.abs(residual - np.nanmedian(residual, axis=2)[:, :, None])
    np.testing.assert_allclose(spread, np.nanmedian(away, axis=2), atol=1e-5)
    np.testing.assert_array_equal(counts, np.isfinite(residual[:, 0]).sum(axis=1))


@pytest.mark.parametrize("features", [1, 3])
def test_the_fit_settles_where_the_students_likelihood_is_highest(features: int) -> None:
    generator = np.random.default_rng(9)
    days = np.sort(generator.uniform(0, 1100, 90))
    design = season(days, 2)
    values = generator.standard_t(3, (90, features, 5)).astype(np.float32) * 0.1
    values[generator.random((90, 1, 5)).repeat(features, axis=1) < 0.3] = np.nan
    values[generator.random((90, 1, 5)).repeat(features, axis=1) < 0.05] += 3.0
    prior = generator.standard_normal((features, 5)).astype(np.float32)
    ridge = np.array([0, 1, 1, 1, 1], np.float32)
    found, _, scales, _ = fit_with(values, design, ridge, prior, BaselineParameters(rounds=80, smallest_noise=1e-3))
    for p in range(5):
        clear = np.isfinite(values[:, 0, p])
        left = values[clear, :, p] - design[clear] @ found[:, :, p].T
        weight = (3 + features) / (3 + (left**2 / scales[:, p] ** 2).sum(axis=1))
        pull = ridge * (prior - found[:, :, p])
        gradient = (design[clear] * weight[:, None]).T @ left + pull.T
        np.testing.assert_allclose(gradient, 0, atol=2e-3)
        np.testing.assert_allclose((weight[:, None] * left**2).sum(axis=0) / weight.sum(), scales[:, p] ** 2, rtol=1e-3)


@pytest.mark.parametrize(("features", "most"), [(1, 0.03), (6, 0.02)])
def test_few_rounds_of_the_fit_come_near_to_where_it_settles(features: int, most: float) -> None:
    generator = np.random.default_rng(10)
    design = season(np.arange(110) * 10.0, 2)
    values = (0.1 * generator.standard_normal((110, features, 2000))).astype(np.float32)
    values += np.where(generator.random((110, 1, 2000)) < 0.05, np.float32(1.2), np.float32(0))
    values[generator.random((110, 1, 2000)).repeat(features, axis=1) < 0.33] = np.nan
    ridge, prior = np.ones(5, np.float32), np.zeros((features, 5), np.float32)
    few, settled = (fit_with(values, design, ridge, prior, BaselineParameters(rounds=n)) for n in (4, 60))
    away = (few[0] - settled[0]) / settled[2][:, None]
    assert np.sqrt((away**2).mean()) < most, "in units of the noise's scale"
    assert np.abs(few[2] / settled[2] - 1).mean() < 0.05
