"""Sub-graphs: which nodes are drawn with which probability, and that all edges among them are there and no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.heterogeneous import HeteroGraph, Relation
from prismrec.graphs.subgraphs import Edges, SubgraphSampler, SubgraphSettings, blocks, draw

CLICKED, CLICKED_BY = ("user", "clicked", "item"), ("item", "clicked_by", "user")
HAS, OF = ("item", "has", "genre"), ("genre", "of", "item")


def both(source: str, name: str, target: str, back: str, rows: list[list[int]], n_targets: int) -> list[Relation]:
    """A relation and its reverse from the targets of each source."""
    turned = [[s for s, row in enumerate(rows) if t in row] for t in range(n_targets)]
    return [
        Relation(source, name, target, Sequences.from_lists(turned)),
        Relation(target, back, source, Sequences.from_lists([sorted(row) for row in rows])),
    ]


def graph_of(had: list[list[int]], n_items: int, genres: list[list[int]], n_genres: int) -> HeteroGraph:
    """Users with the items they had, items with their genres."""
    relations = [
        *both("user", "clicked", "item", "clicked_by", had, n_items),
        *both("item", "has", "genre", "of", genres, n_genres),
    ]
    return HeteroGraph({"user": len(had), "item": n_items, "genre": n_genres}, tuple(relations))


def random_graph(seed: int, n_users: int = 30, n_items: int = 40) -> HeteroGraph:
    rng = np.random.default_rng(seed)
    had = [np.flatnonzero(rng.random(n_items) < 0.2).tolist() for _ in range(n_users)]
    return graph_of(had, n_items, [[int(rng.integers(4))] for _ in range(n_items)], 4)


SMALL = graph_of([[0, 1], [1, 2, 3], [3]], 5, [[0], [0], [1], [1], []], 2)


def sampled(graph: HeteroGraph, seeds: dict[str, list[int]], seed: int = 0, **settings: object):
    sampler = SubgraphSampler(graph, SubgraphSettings(**settings))
    return sampler.sample({name: np.array(nodes) for name, nodes in seeds.items()}, np.random.default_rng(seed))


# ---- equation (2) ----


def test_nodes_are_drawn_by_their_squared_budget():
    budget = np.array([0.0, 1.0, 2.0, 3.0])
    drawn = [int(draw(budget, 1, np.random.default_rng(s))[0]) for s in range(4000)]
    shares = np.bincount(drawn, minlength=4) / 4000
    np.testing.assert_allclose(shares, [0, 1 / 14, 4 / 14, 9 / 14], atol=0.025)  # 14 = 1 + 4 + 9


def test_second_draw_is_by_the_squared_budget_of_those_left():
    budget = np.array([1.0, 2.0, 3.0])
    pairs = [frozenset(draw(budget, 2, np.random.default_rng(s)).tolist()) for s in range(4000)]
    one_then_two, two_then_one = 1 / 14 * 4 / 13, 4 / 14 * 1 / 10
    assert pairs.count(frozenset({0, 1})) / 4000 == pytest.approx(one_then_two + two_then_one, abs=0.015)


@pytest.mark.parametrize(("n", "expected"), [(-1, []), (0, []), (2, [1, 3]), (9, [1, 3])])
def test_nothing_is_drawn_without_a_budget_or_beyond_what_is_wanted(n, expected):
    assert draw(np.array([0.0, 0.5, 0.0, 2.0]), n, np.random.default_rng(0)).tolist() == expected


def test_budget_of_a_neighbour_is_its_share_of_each_drawn_nodes_edges():
    """Of user 0's two items and user 1's three, item 1 has 1/2 + 1/3, item 0 has 1/2, items 2 and 3 have 1/3."""
    squares = np.array([1 / 4, 25 / 36, 1 / 9, 1 / 9, 0])
    sampler = SubgraphSampler(SMALL, SubgraphSettings(nodes_per_type=2, rounds=1))
    counts = np.zeros(5)
    seeds = {"user": np.array([0, 1]), "item": np.array([4])}  # item 4 has no neighbours: one more item is drawn
    for seed in range(4000):
        counts += np.bincount(sampler.sample(seeds, np.random.default_rng(seed)).nodes["item"], minlength=5)
    np.testing.assert_allclose(counts[:4] / 4000, squares[:4] / squares.sum(), atol=0.025)


# ---- what a sub-graph holds ----


def expected_edges(graph: HeteroGraph, nodes: dict[str, np.ndarray], relation: Relation) -> list[tuple[int, int]]:
    """The slow way: every pair of drawn nodes is looked up."""
    pairs = [
        (s, t)
        for t, target in enumerate(nodes[relation.target])
        for s, source in enumerate(nodes[relation.source])
        if source in relation.neighbours[int(target)]
    ]
    return pairs


@given(st.integers(0, 10_000), st.integers(2, 50), st.integers(1, 3), st.sampled_from(["dense", "random"]))
def test_edges_are_all_those_among_the_drawn_nodes(seed, nodes_per_type, rounds, sampling):
    graph = random_graph(seed % 7)
    users = np.random.default_rng(seed).permutation(30)[: min(nodes_per_type, 5)].tolist()
    found = sampled(graph, {"user": users}, seed, nodes_per_type=nodes_per_type, rounds=rounds, sampling=sampling)
    for relation in graph.relations:
        edges = found.edges[relation.key]
        pairs = list(zip(edges.sources.tolist(), edges.targets.tolist(), strict=True))
        assert pairs == expected_edges(graph, found.nodes, relation)


@given(st.integers(0, 10_000), st.integers(5, 50))
def test_no_type_has_more_nodes_than_its_budget_and_seeds_are_there(seed, nodes_per_type):
    found = sampled(random_graph(seed % 5), {"user": [3, 1, 7]}, seed, nodes_per_type=nodes_per_type)
    assert set(found.nodes["user"]) >= {1, 3, 7}
    for nodes in found.nodes.values():
        assert len(nodes) <= nodes_per_type
        assert (np.diff(nodes) > 0).all()


def test_budget_larger_than_the_graph_takes_all_that_can_be_reached():
    found = sampled(SMALL, {"user": [0]}, nodes_per_type=100, rounds=4)
    assert {name: nodes.tolist() for name, nodes in found.nodes.items()} == {
        "user": [0, 1, 2], "item": [0, 1, 2, 3], "genre": [0, 1],
    }  # fmt: skip


def test_same_random_numbers_same_subgraph_and_sampler_keeps_nothing():
    graph = random_graph(1)
    sampler = SubgraphSampler(graph, SubgraphSettings(nodes_per_type=8))
    first, _, again = (sampler.sample({"user": np.array([2])}, np.random.default_rng(s)) for s in (4, 5, 4))
    for name in graph.types:
        np.testing.assert_array_equal(first.nodes[name], again.nodes[name])
    np.testing.assert_array_equal(first.edges[CLICKED].sources, again.edges[CLICKED].sources)


def test_dense_subgraph_has_far_more_edges_than_a_random_one_of_the_same_size():
    rng = np.random.default_rng(0)
    had = [rng.choice(400, size=12, replace=False, p=np.arange(400, 0, -1) / 80_200).tolist() for _ in range(200)]
    graph = graph_of(had, 400, [[i % 5] for i in range(400)], 5)
    dense, spread = (
        sampled(graph, {"user": list(range(10))}, nodes_per_type=40, sampling=kind) for kind in ("dense", "random")
    )
    assert sum(map(len, dense.nodes.values())) == sum(map(len, spread.nodes.values()))
    assert len(dense.edges[CLICKED]) > 2 * len(spread.edges[CLICKED])


def test_random_nodes_are_drawn_whatever_their_type():
    graph = random_graph(0)  # 30 users, 40 items, 4 genres
    counts = dict.fromkeys(graph.types, 0)
    for seed in range(400):
        for name, nodes in sampled(graph, {}, seed, nodes_per_type=10, sampling="random").nodes.items():
            counts[name] += len(nodes)
    total = 400 * (10 + 10 + 4)
    np.testing.assert_allclose([counts[name] / total for name in graph.types], [30 / 74, 40 / 74, 4 / 74], atol=0.02)


def test_too_many_seeds_are_refused():
    with pytest.raises(DataError, match="3 seeds of type 'user' do not fit into a sub-graph with 2 nodes of a type"):
        sampled(SMALL, {"user": [0, 1, 2]}, nodes_per_type=2)


@pytest.mark.parametrize("wrong", [{"nodes_per_type": 1}, {"rounds": 0}, {"sampling": "even"}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SubgraphSettings(**wrong)


def test_kept_edges_are_those_of_the_mask():
    kept = Edges(np.array([5, 6, 7]), np.array([0, 0, 1])).where(np.array([True, False, True]))
    assert (kept.sources.tolist(), kept.targets.tolist(), len(kept)) == ([5, 7], [0, 1], 2)


# ---- blocks of the whole graph ----


@given(st.integers(0, 3), st.integers(1, 400))
def test_blocks_hold_every_edge_once_and_no_more_than_allowed(seed, edges_at_once):
    graph = random_graph(seed)
    found: dict = {relation.key: [] for relation in graph.relations}
    covered: dict = {name: [] for name in graph.types}
    for block in blocks(graph, edges_at_once):
        covered[block.node_type] += range(block.begin, block.end)
        total = sum(map(len, block.edges.values()))
        assert total <= edges_at_once or block.end == block.begin + 1
        for key, edges in block.edges.items():
            found[key] += zip(edges.sources.tolist(), (block.begin + edges.targets).tolist(), strict=True)
    assert covered == {name: list(range(n)) for name, n in graph.n_nodes.items()}
    for relation in graph.relations:
        rows = relation.neighbours
        assert found[relation.key] == [(int(s), t) for t in range(len(rows)) for s in rows[t]]
