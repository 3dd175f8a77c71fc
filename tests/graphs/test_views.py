import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.views import PairSettings, ViewGraph, count_pairs, cross_view_graph, view_graph


def slow_pairs(rows, n_nodes, settings):
    """The definition, pair by pair."""
    weigh = {
        "flat": lambda d: 1.0,
        "linear": lambda d: (settings.window + 1 - d) / settings.window,
        "harmonic": lambda d: 1 / d,
    }[settings.distance_weighting]
    matrix = np.zeros((n_nodes, n_nodes))
    for row in rows:
        for i, earlier in enumerate(row):
            for d, later in enumerate(row[i + 1 : i + 1 + settings.window], start=1):
                if earlier == later:
                    matrix[earlier, later] += weigh(d) if settings.self_pairs else 0
                    continue
                matrix[earlier, later] += weigh(d)
                if settings.direction == "symmetric":
                    matrix[later, earlier] += weigh(d)
    return matrix


def dense(graph):
    return graph.to_scipy().toarray()


# ---- counting ----


def test_neighbours_in_a_session_are_joined_as_often_as_they_meet():
    graph = count_pairs(Sequences.from_lists([[0, 1, 0, 2], [1, 0]]), 3, PairSettings())
    assert dense(graph).tolist() == [[0, 3, 1], [3, 0, 0], [1, 0, 0]]


def test_forward_pairs_point_from_the_earlier_to_the_later():
    graph = count_pairs(Sequences.from_lists([[0, 1, 2]]), 3, PairSettings(window=2, direction="forward"))
    assert dense(graph).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]


def test_pairs_never_cross_the_end_of_a_session():
    graph = count_pairs(Sequences.from_lists([[0], [1], [], [2]]), 3, PairSettings(window=5))
    assert graph.n_edges == 0


@pytest.mark.parametrize(
    ("weighting", "expected"), [("flat", [1, 1, 1]), ("linear", [1, 2 / 3, 1 / 3]), ("harmonic", [1, 1 / 2, 1 / 3])]
)
def test_distance_weights_are_those_written_down(weighting, expected):
    settings = PairSettings(window=3, direction="forward", distance_weighting=weighting)
    graph = count_pairs(Sequences.from_lists([[0, 1, 2, 3]]), 4, settings)
    np.testing.assert_allclose(graph.neighbours(0)[1], expected, rtol=1e-6)


def test_a_node_that_meets_itself_counts_only_when_asked():
    rows = Sequences.from_lists([[0, 1, 0]])
    assert count_pairs(rows, 2, PairSettings(window=2)).to_scipy().diagonal().tolist() == [0, 0]
    both = count_pairs(rows, 2, PairSettings(window=2, self_pairs=True))
    assert both.to_scipy().diagonal().tolist() == [1, 0]


@given(
    rows=st.lists(st.lists(st.integers(0, 6), max_size=12), max_size=8),
    window=st.integers(1, 5),
    direction=st.sampled_from(["forward", "symmetric"]),
    weighting=st.sampled_from(["flat", "linear", "harmonic"]),
    self_pairs=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_counts_equal_the_slow_definition(rows, window, direction, weighting, self_pairs):
    chosen = PairSettings(window=window, direction=direction, distance_weighting=weighting, self_pairs=self_pairs)
    graph = count_pairs(Sequences.from_lists(rows), 7, chosen)
    np.testing.assert_allclose(dense(graph), slow_pairs(rows, 7, chosen), rtol=1e-5)
    assert graph.to_scipy().has_sorted_indices
    assert (graph.weights > 0).all()


def test_the_graph_is_the_same_with_one_thread():
    rng = np.random.default_rng(1)
    rows = Sequences.from_lengths(rng.integers(0, 50, 3000), np.full(300, 10))
    chosen = PairSettings(window=4, distance_weighting="harmonic")
    graph = count_pairs(rows, 50, chosen)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = count_pairs(rows, 50, chosen)
    finally:
        numba.set_num_threads(threads)
    assert alone.weights.tobytes() == graph.weights.tobytes()
    assert alone.indices.tobytes() == graph.indices.tobytes()


@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_index_outside_the_view_is_refused(wrong):
    with pytest.raises(DataError, match=rf"indices 0\.\.2, got .*{wrong}"):
        count_pairs(Sequences.from_lists([[0, wrong]]), 3, PairSettings())


# ---- the type ----


def test_parallel_edges_add_up_and_the_reverse_is_added_on_request():
    edges = ([0, 0, 1, 2], [1, 1, 0, 2], [1.0, 2.0, 4.0, 5.0])
    assert dense(ViewGraph.from_edges(*edges, (3, 3))).tolist() == [[0, 3, 0], [4, 0, 0], [0, 0, 5]]
    assert dense(ViewGraph.from_edges(*edges, (3, 3), symmetric=True)).tolist() == [[0, 7, 0], [7, 0, 0], [0, 0, 5]]


def test_scipy_arrays_go_through_unchanged():
    matrix = sp.random_array((6, 9), density=0.4, rng=np.random.default_rng(2), format="coo")
    graph = ViewGraph.from_scipy(matrix)
    np.testing.assert_allclose(dense(graph), matrix.toarray(), rtol=1e-6)
    assert (graph.n_nodes, graph.n_targets, graph.n_edges) == (6, 9, matrix.nnz)


def test_from_scipy_leaves_its_argument_alone_and_drops_zeros():
    matrix = sp.csr_array((np.array([1.0, 0.0]), np.array([1, 0]), np.array([0, 2, 2])), shape=(2, 2))
    assert ViewGraph.from_scipy(matrix).n_edges == 1
    assert matrix.nnz == 2


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (([0, 1], [1], [1.0, 1.0]), "as many targets and weights as sources: 2, 1, 2"),
        (([0], [2], [1.0]), r"target indices must lie in 0\.\.1, got 2\.\.2"),
        (([-1], [1], [1.0]), r"source indices must lie in 0\.\.1, got -1\.\.-1"),
        (([0], [1], [0.0]), r"edge 0 \(0 -> 1\) has 0.0"),
        (([0, 1], [1, 0], [1.0, np.nan]), r"edge 1 \(1 -> 0\) has nan"),
    ],
)
def test_from_edges_refuses_what_is_no_edge(edges, message):
    sources, targets, weights = edges
    with pytest.raises(DataError, match=message):
        ViewGraph.from_edges(sources, targets, weights, (2, 2))


# ---- from prepared data ----


@pytest.fixture
def data():
    items = Vocabulary.from_ids(["a", "b", "c"], [5, 2, 0])
    colours = Vocabulary.from_ids(["red", "blue"], [4, 3])
    view = View("colour", colours, Sequences.from_lists([[0, 1], [1], [0]]), Sequences.from_lists([[0, 1], [1, 0, 1]]))
    sessions = Sequences.from_lists([[0, 1], [0, 1, 0]])
    return PreparedData(items, sessions, Vocabulary.from_ids([1, 2]), sessions, {"colour": view})


def test_each_view_has_its_graph(data):
    assert dense(view_graph(data, "item", PairSettings()))[0].tolist() == [0, 3, 0]
    assert dense(view_graph(data, "colour", PairSettings())).tolist() == [[0, 3], [3, 0]]


def test_cross_view_edges_weigh_as_the_item_occurs(data):
    graph = cross_view_graph(data, "colour")
    assert dense(graph).tolist() == [[5, 5], [0, 2], [0, 0]]
    assert (graph.n_nodes, graph.n_targets) == (3, 2)


def test_an_unknown_view_is_refused_by_name(data):
    with pytest.raises(ConfigError, match="no view 'shop' here; known views are item, colour"):
        view_graph(data, "shop", PairSettings())
    with pytest.raises(ConfigError, match="no view 'item' here; known views are colour"):
        cross_view_graph(data, "item")
