"""Ripples: against sets made by hand, fixed in size, fair in what they draw, and the same for the same seeds."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.graphs.ripples import content_seeds, item_nodes, ripple_graph, ripple_sets

N_ENTITIES, N_ITEMS, N_RELATIONS = 8, 5, 2


def knowledge(triples, item_entities=(0, 1, 2, 3, 4)):
    """Items 0..4 are entities 0..4 unless said otherwise; 5..7 are others."""
    names = [f"e{n}" for n in range(N_ENTITIES)]
    rows = np.array(triples, np.int32).reshape(-1, 3)
    graph = KnowledgeGraph(Vocabulary.from_ids(names), ("a", "b"), rows, pa.array(names))
    return ItemKnowledge(graph, np.array(item_entities, np.int64))


def triples_of(sets, row, hop):
    return list(
        zip(
            sets.heads[row, hop].tolist(), sets.relations[row, hop].tolist(), sets.tails[row, hop].tolist(), strict=True
        )
    )


def spread(graph, histories, n_hops=2, n_triples=4, seed=0):
    rows = Sequences.from_lists(histories)
    seeds = np.arange(seed, seed + len(rows)).astype(np.uint64)
    return ripple_sets(ripple_graph(graph), rows, n_hops, n_triples, seeds)


def test_where_all_fit_each_hop_is_the_set_of_equation_2():
    known = knowledge([(0, 0, 5), (0, 1, 6), (1, 0, 5), (5, 1, 2), (6, 0, 3), (2, 0, 7)])
    sets = spread(known, [[0, 1]], n_triples=6)
    assert set(triples_of(sets, 0, 0)) == {(0, 0, 5), (0, 1, 6), (1, 0, 5)}
    assert set(triples_of(sets, 0, 1)) == {(5, 1, 2), (6, 0, 3)}, "once each, though two triples lead to entity 5"
    assert sets.found.tolist() == [True]


def test_few_triples_come_in_turn_each_as_often_or_once_more():
    sets = spread(knowledge([(0, 0, 5), (0, 1, 6), (0, 0, 7)]), [[0]], n_hops=1, n_triples=8)
    counts = {triple: triples_of(sets, 0, 0).count(triple) for triple in set(triples_of(sets, 0, 0))}
    assert sorted(counts.values()) == [2, 3, 3]


def test_where_the_ripple_ends_the_last_hop_stands_for_those_that_follow():
    sets = spread(knowledge([(0, 0, 5), (1, 1, 6)]), [[0, 1]], n_hops=3)
    assert triples_of(sets, 0, 0) == triples_of(sets, 0, 1) == triples_of(sets, 0, 2)
    assert set(triples_of(sets, 0, 0)) == {(0, 0, 5), (1, 1, 6)}


def test_an_entity_that_is_only_a_tail_ends_its_own_branch_alone():
    sets = spread(knowledge([(0, 0, 5), (0, 0, 6), (6, 1, 7)]), [[0]])
    assert set(triples_of(sets, 0, 1)) == {(6, 1, 7)}


def test_an_item_without_triples_stands_for_itself_beside_others_and_alone():
    known = knowledge([(0, 0, 5), (5, 0, 1)], item_entities=(0, 1, -1, 3, -1))
    assert item_nodes(known).tolist() == [0, 1, 8, 3, 9]
    sets = spread(known, [[0, 2, 4], [3]])
    assert set(triples_of(sets, 0, 0)) == {(0, 0, 5), (8, N_RELATIONS, 8), (9, N_RELATIONS, 9)}
    assert set(triples_of(sets, 0, 1)) == {(5, 0, 1)}, "only a seed stands for itself"
    assert set(triples_of(sets, 1, 0)) == set(triples_of(sets, 1, 1)) == {(3, N_RELATIONS, 3)}


def test_without_a_graph_the_history_is_all_there_is():
    sets = spread(knowledge([]), [[0, 3, 3], []], n_triples=4)
    assert set(triples_of(sets, 0, 0)) == {(0, N_RELATIONS, 0), (3, N_RELATIONS, 3)}
    assert sets.found.tolist() == [True, False]
    assert not sets.heads[1].any()


def test_draws_are_distinct_and_every_triple_is_as_likely():
    """M of 12 triples: each with chance M / 12, none twice."""
    known = knowledge([(0, 0, t) for t in range(1, 8)] + [(1, 1, t) for t in range(2, 7)])
    n_rows, n_triples = 4000, 5
    sets = spread(known, [[0, 1]] * n_rows, n_hops=1, n_triples=n_triples)
    places = sets.heads[:, 0].astype(np.int64) * 10 + sets.tails[:, 0]
    assert all(len(set(row)) == n_triples for row in places.tolist())
    _, counts = np.unique(places, return_counts=True)
    expected = n_rows * n_triples / 12
    assert len(counts) == 12
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_a_history_is_a_set_whose_seed_is_its_own():
    rows = Sequences.from_lists([[0, 1, 2], [2, 1, 1, 0], [0, 1], []])
    seeds = content_seeds(rows)
    assert seeds[0] == seeds[1]
    assert len(set(seeds.tolist())) == 3
    np.testing.assert_array_equal(content_seeds(rows.take([2])), seeds[2:3])


def test_no_histories_have_no_ripples():
    sets = spread(knowledge([(0, 0, 5)]), [], n_hops=2, n_triples=3)
    assert sets.heads.shape == sets.tails.shape == (0, 2, 3)


some_triples = st.lists(
    st.tuples(st.integers(0, N_ENTITIES - 1), st.integers(0, 1), st.integers(0, N_ENTITIES - 1)),
    unique=True, max_size=20,
)  # fmt: skip


@given(some_triples, st.lists(st.integers(0, N_ITEMS - 1), max_size=6), st.integers(1, 5), st.integers(0, 99))
def test_every_hop_holds_triples_that_leave_what_the_hop_before_reached(triples, history, n_triples, seed):
    sets = spread(knowledge(triples), [history], n_hops=3, n_triples=n_triples, seed=seed)
    if not history:
        assert not sets.found[0]
        return
    own = set(triples) | {(i, N_RELATIONS, i) for i in range(N_ITEMS) if i not in {h for h, _, _ in triples}}
    front = set(history)
    for hop in range(3):
        found = set(triples_of(sets, 0, hop))
        leaving = {triple for triple in triples if triple[0] in front}
        assert found <= own
        if hop and not leaving:
            assert found == set(triples_of(sets, 0, hop - 1))
            continue
        assert {head for head, _, _ in found} <= front
        front = {tail for _, _, tail in found}


@given(some_triples, st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=6), st.integers(0, 99))
def test_same_seeds_same_ripples_whatever_lies_beside(triples, history, seed):
    known = knowledge(triples)
    alone = spread(known, [history], seed=seed)
    beside = spread(known, [history, [0, 1]], seed=seed)
    for name in ("heads", "relations", "tails"):
        np.testing.assert_array_equal(getattr(alone, name)[0], getattr(beside, name)[0])


def test_triples_lie_in_the_order_of_their_heads():
    graph = ripple_graph(knowledge([(3, 1, 0), (0, 0, 5), (3, 0, 6)]))
    assert graph.n_nodes == N_ENTITIES
    assert graph.offsets.tolist() == [0, 1, 1, 1, 3, 3, 3, 3, 3]
    assert sorted(zip(graph.relations[1:3].tolist(), graph.tails[1:3].tolist(), strict=True)) == [(0, 6), (1, 0)]


@pytest.mark.parametrize("n_hops", [1, 4])
def test_shapes_are_rows_hops_triples(n_hops):
    sets = spread(knowledge([(0, 0, 1), (1, 0, 0)]), [[0], [1], [0, 1]], n_hops=n_hops, n_triples=3)
    assert sets.heads.shape == sets.relations.shape == sets.tails.shape == (3, n_hops, 3)
    assert sets.heads.dtype == np.int32
