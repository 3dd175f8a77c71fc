"""Sixteen levels: as near to the values as a slow search finds, and digits that add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.retrieval.index.quantisation import digits, quantisation_levels


def error(values, levels):
    """Mean squared distance of values to their nearest level."""
    return float(np.min((values[:, None] - levels[None]) ** 2, axis=1).mean())


def test_few_distinct_values_are_all_levels():
    levels = quantisation_levels(np.array([[3.0, 7], [1, 7], [3, 7]], np.float32))
    assert levels.shape == (2, 16)
    assert np.unique(levels[0]).tolist() == [1, 3]
    assert np.unique(levels[1]).tolist() == [7]


def test_levels_rise_and_are_means_of_what_is_nearest_to_them():
    values = np.random.default_rng(0).normal(size=(5000, 1)).astype(np.float32)
    levels = quantisation_levels(values)[0]
    assert (np.diff(levels) > 0).all()
    nearest = np.argmin(np.abs(values - levels), axis=1)
    means = np.array([values[nearest == i].mean() for i in range(16)])
    np.testing.assert_allclose(levels, means, atol=0.02)


@pytest.mark.parametrize("draw", ["normal", "exponential", "standard_cauchy"])
def test_levels_are_better_than_equal_steps(draw):
    values = getattr(np.random.default_rng(1), draw)(size=4000).astype(np.float32)
    steps = np.linspace(values.min(), values.max(), 33)[1::2]
    assert error(values, quantisation_levels(values[:, None])[0]) < 0.8 * error(values, steps)


def test_error_on_a_normal_column_is_that_of_the_best_quantiser():
    """Max (1960), table I: 16 levels leave 0.0095 of the variance."""
    values = np.random.default_rng(2).normal(size=20_000).astype(np.float32)
    assert error(values, quantisation_levels(values[:, None])[0]) == pytest.approx(0.0095, rel=0.15)


def test_digits_by_hand():
    """256 steps of 1 from 100: step 0x3A is 3 and 10; the last digit stands in the middle of its step."""
    assert digits(np.array([100 + 0x3A], np.float32), 100, 100 + 256).tolist() == [[100 + 0x30, 10.5]]


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=60),
)
def test_digits_add_up_and_take_at_most_sixteen_values_each(values):
    column = np.array(values, np.float32)
    low, high = float(column.min()), float(column.max())
    parts = digits(column, low, high)
    np.testing.assert_allclose(parts.sum(axis=1), column, atol=(high - low) / 500 + 1e-5)
    assert all(len(np.unique(part)) <= 16 for part in parts.T)


def test_digits_of_a_constant_are_that_constant():
    np.testing.assert_allclose(digits(np.full(3, 2.5, np.float32), 2.5, 2.5).sum(axis=1), 2.5)
