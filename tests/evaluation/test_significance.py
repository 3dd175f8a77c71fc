from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from prismrec.errors import DataError
from prismrec.evaluation.significance import Bootstrap, bootstrap, p_value


def drawn(values, clusters=None, n_resamples=2000, confidence=0.95, seed=0):
    columns = np.array(values, dtype=np.float64)
    users = pa.array(range(len(columns)) if clusters is None else clusters)
    return bootstrap(columns, users, n_resamples, confidence, seed)


def test_the_mean_is_over_queries_not_over_users():
    found = drawn([[1.0], [1.0], [0.0]], clusters=["a", "a", "b"])
    assert found.means.tolist() == [2 / 3]


def test_two_clusters_have_three_possible_means_with_probabilities_one_two_one():
    # User a: values 1, 1; user b: value 0. Draws aa -> 1, ab and ba -> 2/3, bb -> 0.
    means = drawn([[1.0], [1.0], [0.0]], clusters=["a", "a", "b"], n_resamples=8000).resampled[:, 0]
    values, counts = np.unique(means.round(12), return_counts=True)
    assert values.tolist() == [0.0, round(2 / 3, 12), 1.0]
    np.testing.assert_allclose(counts / 8000, [1 / 4, 1 / 2, 1 / 4], atol=0.03)


def test_the_spread_equals_that_of_all_possible_draws():
    values = [0.0, 1.0, 5.0]
    every = [np.mean([values[i] for i in draw]) for draw in product(range(3), repeat=3)]
    found = drawn([[v] for v in values], n_resamples=20_000).resampled[:, 0]
    assert found.mean() == pytest.approx(np.mean(every), abs=0.03)
    assert found.std() == pytest.approx(np.std(every), abs=0.03)


def test_queries_of_one_user_stay_together():
    rng = np.random.default_rng(0)
    user_means = rng.normal(size=50)
    values = np.repeat(user_means, 20)[:, None]
    by_user = drawn(values, clusters=np.repeat(np.arange(50), 20)).resampled.std()
    by_query = drawn(values).resampled.std()
    assert by_user == pytest.approx(user_means.std() / np.sqrt(50), rel=0.1)
    assert by_user > 3 * by_query


def test_the_interval_holds_the_percentiles_of_the_draws():
    rng = np.random.default_rng(0)
    found = drawn(rng.normal(size=(400, 1)), confidence=0.9)
    estimate = found.estimate(0)
    assert estimate.low == pytest.approx(np.quantile(found.resampled[:, 0], 0.05))
    assert estimate.high == pytest.approx(np.quantile(found.resampled[:, 0], 0.95))
    assert estimate.high - estimate.low == pytest.approx(2 * 1.645 / np.sqrt(400), rel=0.15)


def test_a_difference_is_taken_draw_by_draw():
    rng = np.random.default_rng(0)
    easy = rng.normal(size=300)  # how easy a query is moves both models alike
    found = drawn(np.column_stack([easy + 0.05, easy]))
    difference = found.difference(0, 1)
    assert difference.mean == pytest.approx(0.05)
    assert difference.low == pytest.approx(0.05)
    assert difference.high == pytest.approx(0.05)
    assert difference.p_value == 2 / 2001
    alone = found.estimate(0)
    assert alone.low < found.means[1] < alone.high  # unpaired, the same difference drowns


def test_models_that_are_equal_have_p_one():
    values = np.random.default_rng(0).normal(size=(30, 1))
    difference = drawn(np.hstack([values, values])).difference(0, 1)
    assert (difference.mean, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


def test_rounding_in_the_last_bits_is_no_difference():
    resampled = np.random.default_rng(0).normal(size=(200, 1)) + 0.3
    found = Bootstrap(np.array([0.3, 0.3]), np.hstack([resampled, np.nextafter(resampled, 9)]), 0.95)
    assert found.difference(0, 1).p_value == 1


def test_the_p_value_does_not_care_who_is_the_reference():
    found = drawn(np.random.default_rng(3).normal(size=(60, 2)))
    one, other = found.difference(0, 1), found.difference(1, 0)
    assert one.p_value == other.p_value
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


@pytest.mark.parametrize(
    ("at_most_zero", "expected"), [(0, 2 * 1 / 1000), (24, 2 * 25 / 1000), (499, 2 * 500 / 1000), (999, 2 * 1 / 1000)]
)
def test_p_value_is_twice_the_smaller_tail(at_most_zero, expected):
    values = np.concatenate([-np.ones(at_most_zero), np.ones(999 - at_most_zero)])
    assert p_value(values) == pytest.approx(expected)


def test_p_is_below_five_percent_where_the_interval_excludes_zero():
    for shift in np.linspace(0.1, 0.3, 9):
        values = np.random.default_rng(7).normal(shift, 1, size=(100, 1))
        difference = drawn(np.hstack([values, np.zeros((100, 1))])).difference(0, 1)
        assert (difference.p_value < 0.05) == (difference.low > 0)


def test_the_same_seed_gives_the_same_draws_and_another_seed_gives_others():
    values = np.random.default_rng(0).normal(size=(40, 2))
    assert np.array_equal(drawn(values, seed=5).resampled, drawn(values, seed=5).resampled)
    assert not np.array_equal(drawn(values, seed=5).resampled, drawn(values, seed=6).resampled)


def test_a_column_is_drawn_alike_alone_and_beside_others():
    values = np.random.default_rng(0).normal(size=(40, 3))
    together, alone = drawn(values), drawn(values[:, 1:2])
    np.testing.assert_allclose(together.resampled[:, 1], alone.resampled[:, 0], rtol=1e-12)


def test_blocks_of_resamples_do_not_change_the_draws(monkeypatch):
    values = np.random.default_rng(0).normal(size=(40, 2))
    whole = drawn(values).resampled
    monkeypatch.setattr("prismrec.evaluation.significance._BLOCK_BYTES", 8 * 40 * 7)
    np.testing.assert_allclose(drawn(values).resampled, whole, rtol=1e-12)


def test_user_ids_may_be_text_and_in_any_order():
    values = np.random.default_rng(0).normal(size=(6, 1))
    text = drawn(values, clusters=["u1", "u2", "u1", "u3", "u2", "u1"])
    numbers = drawn(values, clusters=[7, 5, 7, 9, 5, 7])
    assert np.array_equal(text.resampled, numbers.resampled)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    covered, n_trials, n_users = 0, 300, 60
    for trial in range(n_trials):
        sizes = rng.integers(1, 6, n_users)
        users = np.repeat(np.arange(n_users), sizes)
        taste = rng.normal(0, 1, n_users)[users]  # queries of a user resemble each other
        estimate = drawn((taste + rng.normal(0, 1, len(users)))[:, None], users, 400, seed=trial).estimate(0)
        covered += estimate.low <= 0 <= estimate.high
    assert 0.90 <= covered / n_trials <= 0.98


def test_no_queries_and_values_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="one cluster per query, got 0 queries, 0 clusters"):
        drawn(np.zeros((0, 1)))
    with pytest.raises(DataError, match="one cluster per query, got 2 queries, 3 clusters"):
        drawn([[1.0], [2.0]], clusters=[1, 2, 3])
    with pytest.raises(DataError, match="the value of query 1, column 0 is nan"):
        drawn([[1.0], [np.nan]])
