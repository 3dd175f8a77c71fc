"""Curves against values worked out by hand and against slow independent versions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.profile.curves import curve, curve_of, doubling_bins, gini, lorenz, nearest_rank
from prismrec.data.profile.report import Bin

SIZES, COUNTS = np.array([1, 2, 5]), np.array([2, 1, 1])  # the values 1, 1, 2, 5: together 9


def test_curve_of_four_values_by_hand():
    found = curve(SIZES, COUNTS)
    assert (found.n, found.mean, found.median, found.p90, found.maximum) == (4, 9 / 4, 1, 5, 5)
    # ranks 1..4: (2 * (1*1 + 2*1 + 3*2 + 4*5) - 5 * 9) / (4 * 9)
    assert found.gini == pytest.approx((2 * 29 - 45) / 36)
    assert found.bins == (Bin(1, 1, 2), Bin(2, 3, 1), Bin(4, 7, 1))
    assert found.lorenz == ((0, 0), (1 / 4, 5 / 9), (2 / 4, 7 / 9), (1, 1))
    # a tenth of the four is 0.4 of the largest
    assert found.top_10_percent == pytest.approx(0.4 * 5 / 9)


def test_gini_is_zero_when_all_are_alike_and_near_one_when_one_has_all():
    assert gini(np.array([7]), np.array([100])) == 0
    assert gini(np.array([1, 10**9]), np.array([999, 1])) == pytest.approx(0.999, abs=1e-5)


values = st.lists(st.integers(1, 1000), min_size=1, max_size=60)


@given(values)
def test_gini_is_half_the_relative_mean_difference(sample):
    sizes, counts = np.unique(sample, return_counts=True)
    x = np.array(sample)
    expected = np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())
    assert gini(sizes, counts) == pytest.approx(expected, abs=1e-12)


@given(values)
def test_lorenz_is_the_running_share_of_the_largest(sample):
    sizes, counts = np.unique(sample, return_counts=True)
    x = np.sort(sample)[::-1]
    for share, part in lorenz(sizes, counts):
        assert part == pytest.approx(x[: round(share * len(x))].sum() / x.sum())


@given(values)
def test_bins_hold_every_value_once(sample):
    sizes, counts = np.unique(sample, return_counts=True)
    for one in doubling_bins(sizes, counts):
        assert one.count == sum(one.low <= value <= one.high for value in sample)
    assert sum(one.count for one in doubling_bins(sizes, counts)) == len(sample)


@pytest.mark.parametrize(("share", "value"), [(0.01, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.76, 5), (1.0, 5)])
def test_nearest_rank_is_the_least_value_that_reaches_the_share(share, value):
    assert nearest_rank(SIZES, COUNTS, share) == value


def test_bins_without_a_value_stay_visible():
    assert [one.count for one in doubling_bins(np.array([1, 9]), np.array([3, 1]))] == [3, 0, 0, 1]


def test_powers_of_two_open_their_bin():
    for power in (2, 4, 8, 2**40):
        assert doubling_bins(np.array([power]), np.array([1]))[-1].low == power


def test_long_curves_keep_their_ends():
    sizes = np.arange(1, 2001)
    points = curve(sizes, np.ones(2000, np.int64)).lorenz
    assert len(points) <= 200
    assert (points[0], points[-1]) == ((0, 0), (1, 1))


def test_groups_are_counted_in_the_engine(make_log):
    log = make_log([("a", 1, 0), ("a", 2, 1), ("b", 1, 2), ("a", 1, 3)])
    assert [one.count for one in curve_of(log.table, ("user_id",)).bins] == [1, 1]  # b has 1, a has 3
    assert curve_of(log.table, ("user_id", "item_id")).n == 3
