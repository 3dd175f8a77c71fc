from itertools import combinations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.evaluation.lists import Catalogue, coverage, exposures, gini, list_values, novelty, view_spread

# Items 0..4 and their genres; item 4 has none.
GENRES = Sequences.from_lists([[0], [0, 1], [1], [2], []])


def lists_of(*rows):
    return np.array(rows, dtype=np.int32)


def test_novelty_is_the_mean_surprise_in_bits():
    counts = np.array([8, 4, 2, 2])  # 16 in all: 1, 2, 3 and 3 bits
    values = novelty(lists_of([0, 1, 2]), counts, (1, 2, 3))
    assert [v.tolist() for v in values] == [[1.0], [(1 + 2) / 2], [(1 + 2 + 3) / 3]]


def test_novelty_of_an_item_that_never_occurred_is_that_of_one_that_did_once():
    (value,) = novelty(lists_of([1]), np.array([7, 0]), (1,))
    assert value[0] == pytest.approx(log2(7))


def test_novelty_of_a_short_list_is_the_mean_over_what_was_shown():
    (value,) = novelty(lists_of([0, 1, -1, -1]), np.array([8, 8]), (4,))
    assert value.tolist() == [1.0]


def test_novelty_of_an_empty_list_is_zero():
    (value,) = novelty(lists_of([-1, -1]), np.array([8, 8]), (2,))
    assert value.tolist() == [0.0]


def test_diversity_is_the_mean_jaccard_distance_over_all_pairs():
    # Pairs of (0, 1, 2): {0}~{0,1} share 1 of 2; {0}~{1} none; {0,1}~{1} 1 of 2.
    diversity, distinct = view_spread(lists_of([0, 1, 2]), GENRES, (1, 2, 3))
    assert diversity.tolist() == [[0.0, 1 / 2, (1 / 2 + 1 + 1 / 2) / 3]]
    assert distinct.tolist() == [[1, 2, 2]]


def test_an_item_without_nodes_shares_nothing():
    diversity, distinct = view_spread(lists_of([4, 4, 0]), GENRES, (2, 3))
    assert diversity.tolist() == [[1.0, 1.0]]
    assert distinct.tolist() == [[0, 1]]


def test_lists_that_end_early_are_measured_on_what_they_hold():
    diversity, distinct = view_spread(lists_of([0, 3, -1, -1]), GENRES, (2, 4))
    assert diversity.tolist() == [[1.0, 1.0]]
    assert distinct.tolist() == [[2, 2]]


def test_a_list_length_beyond_the_catalogue_means_the_whole_list():
    diversity, distinct = view_spread(lists_of([0, 2]), GENRES, (2, 50))
    assert diversity.tolist() == [[1.0, 1.0]]
    assert distinct.tolist() == [[2, 2]]


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=3, unique=True), min_size=6, max_size=6),
    st.permutations(range(6)),
    st.integers(1, 6),
)
def test_spread_equals_a_slow_count_over_sets(nodes, items, k):
    diversity, distinct = view_spread(lists_of(items), Sequences.from_lists(nodes), (k,))
    sets = [set(nodes[item]) for item in items[:k]]
    distances = [1 - len(a & b) / len(a | b) if a | b else 1.0 for a, b in combinations(sets, 2)]
    assert diversity[0, 0] == pytest.approx(np.mean(distances) if distances else 0.0)
    assert distinct[0, 0] == len(set().union(*sets))


def test_exposure_counts_each_item_once_per_list_that_shows_it():
    shown = exposures(lists_of([2, 0, 1], [2, 1, -1]), 4, (1, 3))
    assert shown.tolist() == [[0, 0, 2, 0], [1, 2, 2, 0]]


def test_gini_is_zero_when_all_items_are_shown_alike_and_n_minus_one_over_n_when_one_takes_all():
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([0, 9, 0])) == pytest.approx(2 / 3)
    assert gini(np.array([1, 3])) == pytest.approx((-1 * 1 + 1 * 3) / (2 * 4))
    assert gini(np.zeros(3, np.int64)) == 0


def test_gini_equals_the_mean_absolute_difference():
    shown = np.array([4, 0, 7, 1, 1])
    slow = sum(abs(a - b) for a in shown for b in shown) / (2 * len(shown) * shown.sum())
    assert gini(shown) == pytest.approx(slow)


def test_coverage_is_the_share_of_items_that_anyone_saw():
    assert coverage(np.array([2, 0, 0, 1])) == 2 / 4
    assert coverage(np.zeros(0, np.int64)) == 0


def test_list_values_are_named_by_view_and_list_length():
    catalogue = Catalogue(np.array([8, 4, 2, 1, 1]), {"genre": GENRES})
    values = list_values(lists_of([0, 1, 2], [3, 4, 0]), catalogue, (2, 3))
    assert set(values) == {f"{n}@{k}" for n in ("novelty", "genre_diversity", "genre_distinct") for k in (2, 3)}
    assert values["genre_diversity@2"].tolist() == [1 / 2, 1.0]
    assert values["novelty@2"].tolist() == [(1 + 2) / 2, (4 + 4) / 2]


def test_a_view_of_another_catalogue_is_refused():
    with pytest.raises(DataError, match="view 'genre' has nodes for 5 items, but 3 are ranked"):
        Catalogue(np.array([1, 1, 1]), {"genre": GENRES})
