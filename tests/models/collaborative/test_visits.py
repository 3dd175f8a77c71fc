"""Random walks: what they count against exact chances, what is kept, whose items are related."""

import numpy as np
import pytest
from numba import set_num_threads

from prismrec.models.collaborative.adjacency import UserItemGraph
from prismrec.models.collaborative.visits import Visited, Walks, important_neighbours, related_items

MANY = Walks(n_walks=20_000, length=3, seed=1)


@pytest.fixture(scope="module")
def graph(make_log):
    """Users 0-2 and items 3-6 as nodes: u0 - i3, i4; u1 - i4, i5; u2 has nothing and nobody has i6."""
    return UserItemGraph(make_log([[0, 1, 0], [1, 2], []], 4), "cpu")


def expected_visits(graph, start, walks):
    """(n_nodes,) visits, from the powers of the matrix of steps."""
    chances = np.zeros((graph.n_nodes, graph.n_nodes))
    for node in range(graph.n_nodes):
        near = graph.neighbours[graph.indptr[node] : graph.indptr[node + 1]]
        chances[node, near] = 1 / max(len(near), 1)
    place, visits = np.eye(graph.n_nodes)[start], np.zeros(graph.n_nodes)
    for _ in range(walks.length):
        place = place @ chances
        visits += place
    visits[start] = 0
    return visits * walks.n_walks


def counts_of(visited, start, n_nodes):
    counts = np.zeros(n_nodes)
    np.add.at(counts, visited.nodes[start], visited.counts[start])
    return counts


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5])
def test_counts_are_what_uniform_steps_lead_to(graph, start):
    visited = important_neighbours(graph, MANY, 6)
    expected = expected_visits(graph, start, MANY)
    np.testing.assert_allclose(counts_of(visited, start, 7), expected, atol=5 * np.sqrt(MANY.n_walks))
    assert expected.max() > 5000


def test_visits_add_up_and_the_start_is_none_of_them(graph):
    one_step = important_neighbours(graph, Walks(n_walks=50, length=1, seed=1), 6)
    assert one_step.counts.sum(1).tolist() == [50, 50, 0, 50, 50, 50, 0]
    assert set(one_step.nodes[0, :2].tolist()) == {3, 4}
    assert one_step.nodes[3, 0] == 0
    two_steps = important_neighbours(graph, Walks(n_walks=50, length=2, seed=1), 6)
    assert two_steps.counts[0].sum() < 100  # some return to u0, which does not count
    assert not (two_steps.counts * (two_steps.nodes == np.arange(7)[:, None])).any()


def test_most_visited_come_first_and_only_as_many_as_asked_for(graph):
    whole, cut = (important_neighbours(graph, MANY, n) for n in (6, 2))
    assert (np.diff(whole.counts, axis=1) <= 0).all()
    assert np.array_equal(cut.nodes, whole.nodes[:, :2])
    assert np.array_equal(cut.counts, whole.counts[:, :2])


def test_equal_counts_stand_by_rising_number(make_log):
    ring = UserItemGraph(make_log([[0, 1, 2, 3]], 4), "cpu")
    visited = important_neighbours(ring, Walks(n_walks=1, length=1, seed=1), 4)
    assert visited.nodes[0].tolist()[1:] == [0, 0, 0]  # one was visited, the rest is the start
    several = important_neighbours(ring, Walks(n_walks=9, length=1, seed=1), 4)
    order = sorted(zip(-several.counts[0], several.nodes[0], strict=True))
    assert [node for _, node in order] == several.nodes[0].tolist()


def test_weights_are_shares_of_what_was_kept():
    visited = Visited(np.array([[4, 5], [1, 1]], np.int32), np.array([[3, 1], [0, 0]], np.int32))
    assert visited.weights.tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert visited.weights.dtype == np.float32


def test_related_items_are_near_and_never_had(graph):
    related = related_items(graph, MANY, 3, 0)
    assert related.nodes[0, 0] == 2  # u0 -> i1 -> u1 -> i2; i0 and i1 are their own
    assert related.counts[0, 1:].tolist() == [0, 0]
    assert related.counts[0, 0] == pytest.approx(expected_visits(graph, 0, MANY)[5], rel=0.1)
    assert related.nodes[1, 0] == 0
    assert not related.counts[2].any()
    assert related.nodes.shape == (3, 3)


def test_nearest_related_items_are_skipped(make_log):
    """u0 shares i0 with three users; i2 is had by all of them, i3 by one."""
    graph = UserItemGraph(make_log([[0], [0, 2], [0, 2], [0, 2, 3]], 4), "cpu")
    whole, skipped = (related_items(graph, MANY, 2, n) for n in (0, 1))
    assert whole.nodes[0].tolist() == [2, 3]
    assert (skipped.nodes[0, 0], skipped.counts[0, 1]) == (3, 0)


def test_same_seed_same_visits_on_any_number_of_threads(groups):
    graph = UserItemGraph(groups, "cpu")
    walks = Walks(n_walks=20, length=4, seed=5)
    one = important_neighbours(graph, walks, 8)
    set_num_threads(1)
    same = important_neighbours(graph, walks, 8)
    other = important_neighbours(graph, Walks(20, 4, 6), 8)
    assert np.array_equal(one.nodes, same.nodes)
    assert np.array_equal(one.counts, same.counts)
    assert not np.array_equal(one.counts, other.counts)


def test_walks_stay_in_their_component(groups):
    graph = UserItemGraph(groups, "cpu")
    visited = important_neighbours(graph, Walks(50, 4, 1), 30)
    group = np.concatenate([np.arange(40) % 2, np.arange(20) % 2])
    assert (group[visited.nodes] == group[:, None]).all()
