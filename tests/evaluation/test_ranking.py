import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.errors import TrainingError
from prismrec.evaluation.metrics import MISSED
from prismrec.evaluation.ranking import rank


def ranking(scores, truths, excluded=None, k=3, dtype=np.float32):
    scores = np.array(scores, dtype=dtype)
    excluded = Sequences.from_lists(excluded or [[]] * len(scores))
    return rank(scores, excluded, Sequences.from_lists(truths), k, np.arange(len(scores)))


def test_rank_is_one_more_than_the_number_of_better_items():
    found = ranking([[0.1, 0.9, 0.5, 0.3]], [[3]])
    assert found.truths.ranks.tolist() == [3]
    assert found.truths.n_negatives.tolist() == [3]


def test_ties_are_broken_against_the_truth():
    assert ranking([[0.5, 0.5, 0.5, 0.1]], [[0]]).truths.ranks.tolist() == [3]
    assert ranking([[0.0] * 10], [[0]]).truths.ranks.tolist() == [10]


def test_two_truths_that_tie_take_the_places_after_the_non_truths_they_tie_with():
    found = ranking([[0.5, 0.5, 0.5, 0.9]], [[0, 1]])
    assert found.truths.ranks.tolist() == [3, 4]


def test_ranks_of_several_truths_rise_whatever_their_order():
    assert ranking([[0.1, 0.9, 0.5, 0.3]], [[0, 1, 3]]).truths.ranks.tolist() == [1, 3, 4]


def test_a_truth_outside_the_catalogue_is_missed_and_still_counts_as_a_truth():
    found = ranking([[0.1, 0.9]], [[-1, 0]])
    assert found.truths.ranks.tolist() == [2, MISSED]
    assert found.truths.n_truths.tolist() == [2]
    assert found.truths.n_negatives.tolist() == [1]


def test_excluded_items_are_not_ranked():
    found = ranking([[0.1, 0.9, 0.5, 0.3]], [[0]], excluded=[[1, 2, 1]])
    assert found.truths.ranks.tolist() == [2]
    assert found.truths.n_negatives.tolist() == [1]
    assert found.lists.tolist() == [[3, 0, -1]]


def test_an_excluded_truth_is_missed_and_counted():
    found = ranking([[0.1, 0.9, 0.5]], [[1, 0]], excluded=[[1]])
    assert found.truths.ranks.tolist() == [2, MISSED]
    assert found.n_seen_truths == 1


def test_a_list_longer_than_the_catalogue_ends_in_minus_one():
    assert ranking([[0.1, 0.9]], [[0]], k=4).lists.tolist() == [[1, 0, -1, -1]]


def test_equal_scores_are_listed_by_rising_index():
    assert ranking([[0.5, 0.9, 0.5, 0.5, 0.9]], [[0]], k=4).lists.tolist() == [[1, 4, 0, 2]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error_that_names_query_and_item(bad):
    scores = np.zeros((3, 4), np.float32)
    scores[2, 1] = bad
    truths = Sequences.from_lists([[0], [0], [0]])
    with pytest.raises(TrainingError, match=rf"query 12 scores item index 1 as {bad}, but scores must be finite"):
        rank(scores, Sequences.from_lists([[], [], []]), truths, 2, np.array([10, 11, 12]))


def test_scores_that_cannot_be_written_to_are_copied():
    scores = np.broadcast_to(np.array([0.1, 0.9, 0.5], np.float32), (2, 3))
    excluded, truths = Sequences.from_lists([[1], []]), Sequences.from_lists([[0], [0]])
    found = rank(scores, excluded, truths, 1, np.arange(2))
    assert found.truths.ranks.tolist() == [2, 3]
    assert found.lists.tolist() == [[2], [1]]


def test_double_precision_scores_keep_their_order():
    close = [1.0, 1.0 + 1e-12, 0.0]  # equal in float32
    assert ranking([close], [[1]], dtype=np.float64).truths.ranks.tolist() == [1]


def slow_ranks(scores, truths, excluded):
    """Sort candidates by falling score, non-truths first among equals; read off the places of the truths."""
    candidates = [i for i in range(len(scores)) if i not in excluded]
    order = sorted(candidates, key=lambda i: (-scores[i], i in truths, i))
    return sorted(order.index(t) + 1 if t in order else MISSED for t in truths)


def slow_list(scores, excluded, k):
    order = sorted((i for i in range(len(scores)) if i not in excluded), key=lambda i: (-scores[i], i))
    return (order + [-1] * k)[:k]


@settings(max_examples=200)
@given(
    scores=st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    truths=st.sets(st.integers(-1, 11), min_size=1, max_size=5),
    excluded=st.lists(st.integers(0, 11), max_size=6),
    k=st.integers(1, 15),
)
def test_ranks_and_lists_equal_a_slow_sort(scores, truths, excluded, k):
    n_items = len(scores)
    truths = [t for t in truths if t < n_items] or [0]
    excluded = [e for e in excluded if e < n_items]
    found = ranking([scores], [truths], excluded=[excluded], k=k)
    assert found.truths.ranks.tolist() == slow_ranks(scores, truths, excluded)
    assert found.lists.tolist() == [slow_list(scores, excluded, k)]
    n_truth_candidates = len(set(truths) - set(excluded) - {-1})
    assert found.truths.n_negatives.tolist() == [n_items - len(set(excluded)) - n_truth_candidates]


def test_many_rows_equal_one_row_at_a_time():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 20, (50, 40)).astype(np.float32)
    truths = [rng.choice(40, rng.integers(1, 6), replace=False) for _ in range(50)]
    excluded = [rng.choice(40, rng.integers(0, 9), replace=False) for _ in range(50)]
    together = ranking(scores, truths, excluded, k=10)
    for row in range(50):
        alone = ranking(scores[row : row + 1], truths[row : row + 1], excluded[row : row + 1], k=10)
        start = int(together.truths.n_truths[:row].sum())
        assert together.truths.ranks[start : start + len(truths[row])].tolist() == alone.truths.ranks.tolist()
        assert together.lists[row].tolist() == alone.lists[0].tolist()
