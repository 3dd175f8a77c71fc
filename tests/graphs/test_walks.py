from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import chisquare

from prismrec.config import build
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.views import ViewGraph
from prismrec.graphs.walks import WalkSettings, random_walks

JD = Path(__file__).parents[2] / ".." / "shared" / "data" / "jd-item-graph" / "graph.csv"

# 0-1, 0-2, 1-2 make a triangle; 2-3, 3-4, 2-4 another; 4-5 hangs on
EDGES = [(0, 1, 1.0), (0, 2, 2.0), (1, 2, 3.0), (2, 3, 1.0), (3, 4, 2.0), (2, 4, 0.5), (4, 5, 1.5)]


def small_graph(symmetric=True):
    sources, targets, weights = zip(*EDGES, strict=True)
    return ViewGraph.from_edges(sources, targets, weights, (6, 6), symmetric=symmetric)


def exact_step(graph, before, here, p, q):
    """The probabilities of the paper, by definition."""
    weights = graph.to_scipy().toarray()
    alpha = np.array([1 / p if x == before else (1.0 if weights[before, x] else 1 / q) for x in range(len(weights))])
    mass = weights[here] * alpha
    return mass / mass.sum()


def observed_steps(walks, before, here, n_nodes):
    counts = np.zeros(n_nodes)
    matrix = walks.values.reshape(len(walks), -1)
    for i in range(matrix.shape[1] - 2):
        rows = (matrix[:, i] == before) & (matrix[:, i + 1] == here)
        counts += np.bincount(matrix[rows, i + 2], minlength=n_nodes)
    return counts


def p_value(graph, walks, before, here, p, q):
    expected = exact_step(graph, before, here, p, q)
    counts = observed_steps(walks, before, here, len(expected))
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert counts.sum() > 2000
    return chisquare(counts[possible], expected[possible] * counts.sum()).pvalue


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.25, 4.0), (4.0, 0.25), (2.0, 3.0)])
def test_second_steps_follow_the_papers_probabilities(p, q):
    graph = small_graph()
    walks = random_walks(graph, WalkSettings(walks_per_node=5000, walk_length=12, p=p, q=q))
    for before, here in [(0, 2), (1, 2), (3, 2), (4, 2), (2, 4), (5, 4), (0, 1)]:
        assert p_value(graph, walks, before, here, p, q) > 1e-4, (before, here)


def test_the_test_above_would_notice_swapped_parameters():
    graph = small_graph()
    walks = random_walks(graph, WalkSettings(walks_per_node=5000, walk_length=12, p=2.0, q=3.0))
    assert p_value(graph, walks, 0, 2, 3.0, 2.0) < 1e-8


def test_first_steps_follow_the_weights_alone():
    walks = random_walks(small_graph(), WalkSettings(walks_per_node=20_000, walk_length=2, p=0.1, q=10))
    first = walks.values.reshape(-1, 2)
    counts = np.bincount(first[first[:, 0] == 2, 1], minlength=6)[[0, 1, 3, 4]]
    assert chisquare(counts, np.array([2, 3, 1, 0.5]) / 6.5 * counts.sum()).pvalue > 1e-4


def test_in_a_directed_graph_nearness_is_read_along_the_edge():
    # from 0 over 1 to 2 (an edge 0 -> 2) or 3 (only an edge 3 -> 0): q pushes away from 3
    graph = ViewGraph.from_edges([0, 1, 1, 0, 3, 2], [1, 2, 3, 2, 0, 0], np.ones(6), (4, 4))
    walks = random_walks(graph, WalkSettings(walks_per_node=8000, walk_length=9, q=4.0))
    assert p_value(graph, walks, 0, 1, 1.0, 4.0) > 1e-4


def test_every_step_is_an_edge_and_every_node_starts_the_same_number_of_walks():
    graph = small_graph()
    walks = random_walks(graph, WalkSettings(walks_per_node=7, walk_length=5, p=0.5, q=2))
    weights = graph.to_scipy().toarray()
    for row in walks:
        assert (weights[row[:-1], row[1:]] > 0).all()
    assert [row[0] for row in walks.to_lists()] == list(range(6)) * 7


def test_a_walk_ends_where_no_edge_leads_on_and_never_starts_there():
    walks = random_walks(small_graph(symmetric=False), WalkSettings(walks_per_node=2, walk_length=50))
    rows = walks.to_lists()
    assert {row[0] for row in rows} == {0, 1, 2, 3, 4}
    assert {row[-1] for row in rows} == {5}
    assert min(len(row) for row in rows) == 2


def test_same_seed_same_walks_whatever_the_threads():
    settings = WalkSettings(walks_per_node=50, walk_length=20, p=0.5, q=2.0)
    together = random_walks(small_graph(), settings)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = random_walks(small_graph(), settings)
    finally:
        numba.set_num_threads(threads)
    assert alone.values.tobytes() == together.values.tobytes()
    other = random_walks(small_graph(), settings.model_copy(update={"seed": 2}))
    assert other.values.tobytes() != together.values.tobytes()


def test_walks_refuse_a_graph_between_two_views():
    with pytest.raises(DataError, match="within one view, but 2 nodes lead to 3 others"):
        random_walks(ViewGraph.from_edges([0], [2], [1.0], (2, 3)), WalkSettings())


def test_walks_refuse_a_graph_without_edges():
    with pytest.raises(DataError, match="the graph of 2 nodes has none"):
        random_walks(ViewGraph.from_scipy(sp.csr_array((2, 2))), WalkSettings())


@pytest.mark.parametrize("values", [{"p": 0.0}, {"q": -1.0}, {"walk_length": 1}, {"walks_per_node": 0}])
def test_settings_refuse_walks_that_cannot_be(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(WalkSettings, values)


def test_walks_on_a_real_item_graph_stay_on_its_edges():
    if not JD.exists():
        pytest.skip(f"the item graph is not at {JD}")
    sources, targets, weights = np.loadtxt(JD).T
    graph = ViewGraph.from_edges(sources, targets, weights, (34_048, 34_048), symmetric=True)
    walks = random_walks(graph, WalkSettings(walks_per_node=3, walk_length=20, p=0.5, q=2.0))
    connected = int((np.diff(graph.indptr) > 0).sum())
    assert len(walks) == 3 * connected
    assert set(walks.lengths.tolist()) == {20}  # every edge goes both ways, so no walk is stuck
    steps = walks.values.reshape(-1, 20)
    edges = set(zip(graph.to_scipy().tocoo().row.tolist(), graph.indices.tolist(), strict=True))
    assert set(zip(steps[:500, :-1].ravel().tolist(), steps[:500, 1:].ravel().tolist(), strict=True)) <= edges
