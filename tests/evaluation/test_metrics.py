"""Every formula as a sum of fractions that a reader can check."""

from math import log2

import numpy as np
import pytest

from prismrec.evaluation.metrics import (
    METRICS,
    MISSED,
    TruthRanks,
    auc,
    average_precision,
    f1,
    hit_rate,
    metric_values,
    n_hits,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)

# Query 0: truths at ranks 1, 4 and one missed. Query 1: one truth at rank 3. Query 2: one truth, missed.
TRUTHS = TruthRanks(
    ranks=np.array([1, 4, MISSED, 3, MISSED]),
    n_truths=np.array([3, 1, 1]),
    n_negatives=np.array([8, 9, 9]),
)


def check(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_places_count_from_one_within_each_query():
    assert TRUTHS.place.tolist() == [1, 2, 3, 1, 1]
    assert TRUTHS.query.tolist() == [0, 0, 0, 1, 2]


@pytest.mark.parametrize(("k", "hits"), [(1, [1, 0, 0]), (3, [1, 1, 0]), (4, [2, 1, 0]), (100, [2, 1, 0])])
def test_a_truth_at_rank_k_is_a_hit_at_k(k, hits):
    check(n_hits(TRUTHS, k), hits)


def test_hit_rate_is_one_however_many_truths_are_hit():
    check(hit_rate(TRUTHS, 4), [1, 1, 0])
    check(hit_rate(TRUTHS, 2), [1, 0, 0])


def test_precision_divides_by_the_length_of_the_list():
    check(precision(TRUTHS, 4), [2 / 4, 1 / 4, 0])
    check(precision(TRUTHS, 100), [2 / 100, 1 / 100, 0])  # even where the catalogue has fewer items


def test_recall_divides_by_all_truths_those_that_cannot_be_found_included():
    check(recall(TRUTHS, 4), [2 / 3, 1 / 1, 0])
    check(recall(TRUTHS, 1), [1 / 3, 0, 0])


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    p, r = 2 / 4, 2 / 3
    check(f1(TRUTHS, 4)[:1], [2 * p * r / (p + r)])
    check(f1(TRUTHS, 4)[2:], [0])


def test_ndcg_divides_by_the_best_that_as_many_truths_could_get():
    gained = 1 / log2(2) + 1 / log2(5)
    check(ndcg(TRUTHS, 4), [gained / (1 / log2(2) + 1 / log2(3) + 1 / log2(4)), 1 / log2(4), 0])


def test_ndcg_of_a_list_shorter_than_the_truths_can_still_be_one():
    check(ndcg(TRUTHS, 1), [1, 0, 0])
    check(ndcg(TRUTHS, 2)[:1], [1 / (1 + 1 / log2(3))])


def test_reciprocal_rank_looks_at_the_first_truth_alone():
    check(reciprocal_rank(TRUTHS, 4), [1 / 1, 1 / 3, 0])
    check(reciprocal_rank(TRUTHS, 2), [1, 0, 0])


def test_average_precision_sums_precision_at_each_hit():
    check(average_precision(TRUTHS, 4), [(1 / 1 + 2 / 4) / 3, (1 / 3) / 1, 0])
    check(average_precision(TRUTHS, 2), [(1 / 1) / 2, 0, 0])  # at most two could be found


def test_auc_is_the_share_of_non_truths_below_and_a_missed_truth_is_below_all():
    # Query 0: none of 8 above the first truth; 4 - 2 = 2 of 8 above the second; the third is missed.
    check(auc(TRUTHS), [(1 + 6 / 8 + 0) / 3, 1 - 2 / 9, 0])


def test_auc_without_any_non_truth_is_one_for_a_found_truth():
    check(auc(TruthRanks(np.array([1, 2]), np.array([2]), np.array([0]))), [1])


def test_a_perfect_ranking_gets_one_everywhere_at_k_equal_to_the_number_of_truths():
    perfect = TruthRanks(np.array([1, 2, 3]), np.array([3]), np.array([7]))
    for name, metric in METRICS.items():
        assert metric(perfect, 3).tolist() == [1.0], name


def test_values_are_named_by_metric_and_list_length():
    values = metric_values(TRUTHS, (10, 50))
    assert set(values) == {f"{name}@{k}" for name in METRICS for k in (10, 50)} | {"AUC"}
    assert all(len(column) == 3 and column.dtype == np.float64 for column in values.values())
    check(values["HR@10"], [1, 1, 0])
    check(values["recall@10"], [2 / 3, 1, 0])


def test_no_metric_leaves_the_unit_interval_on_random_ranks():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 200)
    ranks = np.concatenate([np.sort(rng.choice(30, size, replace=False)) + 1 for size in sizes])
    values = metric_values(TruthRanks(ranks, sizes, 30 - sizes), (1, 5, 10, 40))
    for name, column in values.items():
        assert column.min() >= 0, name
        assert column.max() <= 1 + 1e-12, name
