"""The item graph against the paper's picture of it, and against a count by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.item_graph import heaviest, item_graph
from prismrec.graphs.views import ViewGraph

HISTORIES = st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=6)


def dense(graph: ViewGraph) -> np.ndarray:
    return np.asarray(graph.to_scipy().toarray())


def counted(rows: list[list[int]], n_items: int, steps: int) -> np.ndarray:
    """How often each pair of different items stands within so many steps, pair by pair."""
    pairs: Counter[tuple[int, int]] = Counter()
    for row in rows:
        for place, item in enumerate(row):
            for other in row[place + 1 : place + 1 + steps]:
                if other != item:
                    pairs[item, other] += 1
                    pairs[other, item] += 1
    counts = np.zeros((n_items, n_items))
    for (item, other), n in pairs.items():
        counts[item, other] = n
    return counts


def test_each_item_meets_its_next_three_in_both_directions():
    graph = dense(item_graph(Sequences.from_lists([[0, 1, 2, 3, 4]]), 5, neighbours=0))
    third, quarter = 1 / 3, 1 / 4
    assert graph == pytest.approx(
        np.array(
            [
                [0, third, third, third, 0],
                [quarter, 0, quarter, quarter, quarter],
                [quarter, quarter, 0, quarter, quarter],
                [quarter, quarter, quarter, 0, quarter],
                [0, third, third, third, 0],
            ]
        )
    )


def test_edges_of_several_histories_add_up_before_rows_are_divided():
    graph = dense(item_graph(Sequences.from_lists([[0, 1], [1, 0], [0, 2]]), 3, neighbours=0))
    assert graph == pytest.approx(np.array([[0, 2 / 3, 1 / 3], [1, 0, 0], [1, 0, 0]]))


@given(HISTORIES, st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_rows_are_counts_divided_by_their_sum(rows, steps):
    counts = counted(rows, 7, steps)
    expected = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    graph = dense(item_graph(Sequences.from_lists(rows), 7, neighbours=0, steps=steps))
    np.testing.assert_allclose(graph, expected, rtol=1e-6)


def test_items_that_nobody_had_have_empty_rows():
    graph = item_graph(Sequences.from_lists([[0, 1], [2]]), 5, neighbours=0)
    assert np.diff(graph.indptr).tolist() == [1, 1, 0, 0, 0]
    assert graph.n_targets == 5


def test_only_the_heaviest_edges_are_kept_and_ties_go_to_the_lower_item():
    graph = ViewGraph.from_edges([0, 0, 0, 0, 1], [1, 2, 3, 4, 0], [1.0, 5.0, 1.0, 2.0, 1.0], (5, 5))
    kept = heaviest(graph, 3)
    assert dense(kept)[0].tolist() == [0, 1, 5, 0, 2]
    assert dense(kept)[1].tolist() == [1, 0, 0, 0, 0]


def test_cut_rows_still_add_up_to_one():
    histories = Sequences.from_lists([[0, 1, 2, 3], [0, 1], [3, 0, 1]])
    graph = item_graph(histories, 4, neighbours=2)
    assert np.diff(graph.indptr).max() == 2
    np.testing.assert_allclose(dense(graph).sum(1), 1, rtol=1e-6)


def test_the_graph_knows_nothing_of_the_future():
    histories = Sequences.from_lists([[0, 1, 2], [2, 0]])
    with_future = Sequences.from_lists([[0, 1, 2, 3], [2, 0, 4]])
    trained = dense(item_graph(histories, 5, neighbours=0))
    assert trained[3].sum() == trained[4].sum() == 0
    assert not np.array_equal(trained, dense(item_graph(with_future, 5, neighbours=0)))


def test_indices_outside_the_catalogue_are_refused():
    with pytest.raises(DataError, match=r"indices 0\.\.1, got 0\.\.2"):
        item_graph(Sequences.from_lists([[0, 2]]), 2, neighbours=0)
