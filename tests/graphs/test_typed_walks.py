"""Walks over typed edges: only along edges, evenly, and every pair under the right path."""

from itertools import pairwise

import numpy as np
import pytest

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.graphs.heterogeneous import HeteroGraph, Relation, heterogeneous_graph
from prismrec.graphs.typed_walks import TypedWalks, meta_paths


@pytest.fixture
def graph():
    """Users 0..2 are nodes 0..2, items 0..3 are 3..6, genres 0..1 are 7..8; item 3 has nothing."""
    histories = Sequences.from_lists([[0, 1], [1, 2, 1], [2]])
    genres = View(
        "genre", Vocabulary.from_ids(["g", "h"]), Sequences.from_lists([[0], [0, 1], [1], []]), histories
    )  # sessions of the view play no part here
    items, users = Vocabulary.from_ids(list("abcd")), Vocabulary.from_ids(list("uvw"))
    return heterogeneous_graph(PreparedData(items, histories, users, histories, {"genre": genres}))


EDGES = {(0, 3), (0, 4), (1, 4), (1, 5), (2, 5), (3, 7), (4, 7), (4, 8), (5, 8)}
BOTH_WAYS = EDGES | {(b, a) for a, b in EDGES}


def type_of(node):
    return "user" if node < 3 else "item" if node < 7 else "genre"


def words(graph, path):
    """The types that a path goes through."""
    relations = [graph.relations[number] for number in path]
    return (relations[0].target, *(relation.source for relation in relations))


def test_paths_are_all_that_can_follow_one_another(graph):
    paths = meta_paths(graph, 2)
    assert sorted(words(graph, path) for path in paths.steps) == sorted(
        [
            ("user", "item"), ("item", "user"), ("item", "genre"), ("genre", "item"),
            ("user", "item", "user"), ("user", "item", "genre"), ("genre", "item", "user"), ("genre", "item", "genre"),
            ("item", "user", "item"), ("item", "genre", "item"),
        ]
    )  # fmt: skip


def test_each_path_is_found_step_by_step(graph):
    paths = meta_paths(graph, 3)
    for number, steps in enumerate(paths.steps):
        place = len(paths)
        for step in steps:
            place = paths.after[place, step]
        assert place == number == paths.number(*steps)
    assert (paths.after >= 0).sum() == len(paths)


def test_a_path_that_cannot_be_is_refused(graph):
    with pytest.raises(KeyError, match=r"\(0, 0\)"):
        meta_paths(graph, 2).number(0, 0)


def test_too_many_paths_are_refused():
    nothing = Sequences.from_lists([[0]])
    loops = tuple(Relation("user", f"knows {n}", "user", nothing) for n in range(20))
    with pytest.raises(DataError, match=r"20 relations make more than 100000 meta-paths of 4 steps: take fewer"):
        meta_paths(HeteroGraph({"user": 1}, loops), 4)


def test_a_graph_without_edges_is_refused():
    empty = Relation("item", "is", "item", Sequences.from_lists([[], []]))
    with pytest.raises(DataError, match="walks need edges: the graph of 2 nodes has none"):
        TypedWalks(HeteroGraph({"item": 2}, (empty,)), 2)


def test_walks_start_where_there_are_edges(graph):
    assert TypedWalks(graph, 2).starts.tolist() == [0, 1, 2, 3, 4, 5, 7, 8]


def test_pairs_of_one_step_are_edges_under_their_relation(graph):
    walks = TypedWalks(graph, 1)
    pairs = walks.pairs(np.tile(walks.starts, 50), 10, seed=1)
    assert set(zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True)) == BOTH_WAYS
    for x, y, path in zip(*pairs, strict=True):
        assert words(graph, walks.paths.steps[path]) == (type_of(x), type_of(y))


def test_pairs_of_a_walk_are_all_places_within_reach_but_returns(graph):
    walks = TypedWalks(graph, 3)
    one = walks.pairs(np.array([0]), 6, seed=4)
    steps = [walks.paths.steps[path] for path in one.paths]
    near = [(x, y) for x, y, path in zip(one.sources, one.targets, steps, strict=True) if len(path) == 1]
    route = [near[0][0], *(y for _, y in near)]
    assert all(edge in BOTH_WAYS for edge in pairwise(route))
    assert len(route) == 6
    expected = [
        (route[a], route[b], tuple(map(type_of, route[a : b + 1])))
        for a in range(6) for b in range(a + 1, min(a + 3, 5) + 1) if route[a] != route[b]
    ]  # fmt: skip
    met = zip(one.sources, one.targets, steps, strict=True)
    assert [(x, y, words(graph, path)) for x, y, path in met] == expected


def test_all_neighbours_of_all_relations_are_equally_likely(graph):
    walks = TypedWalks(graph, 1)
    pairs = walks.pairs(np.full(20_000, 4), 2, seed=2)  # item 1 has users 0 and 1, genres 0 and 1
    shares = np.bincount(pairs.targets, minlength=9) / 20_000
    np.testing.assert_allclose(shares[[0, 1, 7, 8]], 0.25, atol=0.015)


def test_a_walk_ends_where_no_edge_leads_on():
    one_way = Relation("user", "follows", "user", Sequences.from_lists([[], [0]]))  # from node 1 to node 0
    walks = TypedWalks.__new__(TypedWalks)
    walks._max_steps, walks.paths = 2, meta_paths(HeteroGraph({"user": 2}, (one_way,)), 2)
    walks._offsets, walks._neighbours = np.array([0, 0, 1]), np.array([0], np.int32)
    walks._relations = np.array([0], np.int16)
    pairs = walks.pairs(np.array([1, 0]), 5, seed=0)
    assert (pairs.sources.tolist(), pairs.targets.tolist()) == ([1], [0])


def test_a_walk_depends_on_seed_and_number_alone(graph):
    walks = TypedWalks(graph, 2)
    starts = np.tile(walks.starts, 3)
    one, same, other = (walks.pairs(starts, 8, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert len(one.sources) != len(other.sources) or (one.targets != other.targets).any()
    fewer = walks.pairs(starts[:5], 8, 1)
    assert (one.targets[: len(fewer.targets)] == fewer.targets).all()
