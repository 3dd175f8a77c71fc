"""Ratings against hand-computed figures and scipy's own Levene test on the raw values."""

import numpy as np
import pytest
from scipy import stats

from prismrec.data.profile.ratings import MAX_DISTINCT, ratings_of
from prismrec.data.profile.report import Bin


def rated(make_log, ratings_by_user):
    pairs = [(user, rating) for user, ratings in ratings_by_user.items() for rating in ratings]
    rows = [(user, place, place) for place, (user, _) in enumerate(pairs)]
    return make_log(rows, rating=[rating for _, rating in pairs]).table


def test_distribution_by_hand(make_log):
    found = ratings_of(rated(make_log, {"a": [1.0, 5.0], "b": [3.0, 3.0], "c": [3.0], "d": [None]}))
    assert (found.n, found.missing, found.mean) == (5, 1, 3.0)
    assert found.deviation == pytest.approx((8 / 4) ** 0.5)
    assert found.bins == (Bin(1, 1, 1), Bin(3, 3, 3), Bin(5, 5, 1))
    assert (found.n_users_one_rating, found.n_users_constant) == (1, 1)


def test_without_any_rating_there_is_nothing_to_say(make_log):
    table = rated(make_log, {"a": [1.0, 2.0]})
    assert ratings_of(table.mutate(rating=table.rating.nullif(table.rating))) is None


def test_values_that_are_not_numbers_are_missing(make_log):
    found = ratings_of(rated(make_log, {"a": [1.0, float("nan"), 2.0]}))
    assert (found.n, found.missing) == (2, 1)


def test_many_distinct_values_share_equally_wide_bars(make_log):
    found = ratings_of(rated(make_log, {"a": [float(value) for value in range(401)]}))
    assert len(found.bins) == MAX_DISTINCT
    assert [one.count for one in found.bins] == [10] * 39 + [11]  # the largest value belongs to the last bar
    assert (found.bins[0].low, found.bins[0].high, found.bins[-1].high) == (0, 10, 400)


def test_normal_ratings_lie_on_the_line_and_skewed_ones_do_not(make_log):
    rng = np.random.default_rng(5)
    normal = ratings_of(rated(make_log, {"a": rng.normal(3, 2, 4000).tolist()}))
    skewed = ratings_of(rated(make_log, {"a": rng.exponential(1, 4000).tolist()}))
    straight, bent = (found.quantile_correlation or 0.0 for found in (normal, skewed))
    assert straight > 0.998
    assert 0 < bent < 0.96
    middle_x, middle_y = normal.quantiles[49]
    assert middle_x == pytest.approx(normal.mean)  # the normal's median is its mean
    assert middle_y == pytest.approx(3, abs=0.15)


def test_quantiles_are_those_of_numpy(make_log):
    values = [1.0, 2.0, 2.0, 4.0, 8.0, 16.0]
    own = [point[1] for point in ratings_of(rated(make_log, {"a": values})).quantiles]
    assert own == pytest.approx(np.quantile(values, np.arange(1, 100) / 100))


def planted(scale):
    """Four groups of users with 4, 6, 8 and 10 ratings each, whose deviation is `scale` of the group."""
    rng = np.random.default_rng(11)
    return {
        f"{group}{user}": rng.normal(3, scale(group), 4 + 2 * group).tolist()
        for group in range(4)
        for user in range(8)
    }  # fmt: skip


@pytest.mark.parametrize("scale", [lambda group: 1.0, lambda group: 0.5 + group], ids=["equal", "growing"])
def test_variance_test_is_levenes_about_medians(make_log, scale):
    users = planted(scale)
    groups = [[r for name, ratings in users.items() if name[0] == str(group) for r in ratings] for group in range(4)]
    expected = stats.levene(*groups, center="median")
    found = ratings_of(rated(make_log, users)).variance
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    quarters = [(5, 32), (7, 48), (8, 64), (10, 80)]  # numpy's quartiles of 4, 6, 8, 10: 5.5, 7 and 8.5
    assert [(limit, n) for limit, n, _ in found.groups] == quarters
    assert [deviation for *_, deviation in found.groups] == pytest.approx([np.std(g, ddof=1) for g in groups])
    assert (found.p_value < 1e-6) == (scale(3) > 1)


@pytest.mark.parametrize("scale", [lambda group: 1.0, lambda group: 0.5 + group], ids=["equal", "growing"])
def test_groups_of_items_are_tested_as_those_of_users(make_log, scale):
    by_name = planted(scale)
    rows = [(place % 7, name, rating) for name, ratings in by_name.items() for place, rating in enumerate(ratings)]
    table = make_log([(u, i, t) for t, (u, i, _) in enumerate(rows)], rating=[rating for *_, rating in rows]).table
    of_items, of_users = ratings_of(table).item_variance, ratings_of(rated(make_log, by_name)).variance
    assert (of_items.statistic, of_items.p_value) == pytest.approx((of_users.statistic, of_users.p_value))
    assert [row[:2] for row in of_items.groups] == [row[:2] for row in of_users.groups]


def test_users_with_equal_activity_stay_in_one_group_so_no_test_can_be_made(make_log):
    assert ratings_of(rated(make_log, {"a": [1.0, 2.0], "b": [3.0, 4.0]})).variance is None


def test_ratings_without_scatter_give_no_test_and_no_correlation(make_log):
    found = ratings_of(rated(make_log, {"a": [4.0], "b": [4.0, 4.0], "c": [4.0] * 3}))
    assert found.variance is None
    assert found.item_variance is None
    assert found.quantile_correlation is None
    assert (found.deviation, found.n_users_constant) == (0, 2)
