"""Inverses, the two controls and the counts of a graph, by hand and as properties."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph, entity_degrees
from prismrec.data.vocabulary import Vocabulary
from prismrec.graphs.knowledge import (
    absent,
    controlled,
    has_inverses,
    shuffled,
    statistics,
    with_inverses,
    without_inverses,
)


def graph(triples, n_entities=6, relations=("r", "s")):
    rows = np.unique(np.array(triples, np.int32).reshape(-1, 3), axis=0)
    ids = [f"e{i}" for i in range(n_entities)]
    return KnowledgeGraph(
        Vocabulary.from_ids(ids, entity_degrees(rows, n_entities)), relations, rows, pa.array([i.upper() for i in ids])
    )


def random_graph(n_triples=400, n_entities=120, seed=5):
    rng = np.random.default_rng(seed)
    columns = (rng.integers(0, n_entities, n_triples), rng.integers(0, 2, n_triples), rng.integers(0, 40, n_triples))
    return graph(np.stack(columns, axis=1), n_entities)


CHAIN = graph([[0, 0, 1], [1, 1, 2], [3, 0, 3]])
some_triples = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 5)), max_size=12)


def test_inverses_point_back_under_a_name_of_their_own():
    both = with_inverses(CHAIN)
    assert both.relations == ("r", "s", "inverse of r", "inverse of s")
    assert both.triples.tolist() == [[0, 0, 1], [1, 1, 2], [1, 2, 0], [2, 3, 1], [3, 0, 3], [3, 2, 3]]
    assert both.entities.counts.tolist() == [2, 4, 2, 2, 0, 0]
    assert (has_inverses(both), has_inverses(CHAIN), has_inverses(graph([], relations=()))) == (True, False, False)


@given(some_triples)
def test_inverses_come_and_go(triples):
    one = graph(triples)
    both = with_inverses(one)
    assert both.n_triples == 2 * one.n_triples
    assert with_inverses(both) is both
    assert without_inverses(both).triples.tolist() == one.triples.tolist()
    assert without_inverses(one) is one


def counts(one, column):
    return Counter(one.triples[:, column].tolist())


def test_shuffled_keeps_every_count_and_hardly_any_triple():
    one = random_graph()
    other = shuffled(one, seed=3)
    assert [counts(other, column) for column in range(3)] == [counts(one, column) for column in range(3)]
    same = set(map(tuple, one.triples.tolist())) & set(map(tuple, other.triples.tolist()))
    assert len(same) < 0.1 * one.n_triples
    assert len(np.unique(other.triples, axis=0)) == other.n_triples
    assert (other.relations, other.labels) == (one.relations, one.labels)


def test_shuffled_is_as_its_seed_says():
    one = random_graph()
    assert shuffled(one, 3).triples.tolist() == shuffled(one, 3).triples.tolist()
    assert shuffled(one, 3).triples.tolist() != shuffled(one, 4).triples.tolist()


def test_shuffled_inverses_are_those_of_the_shuffled_triples():
    other = shuffled(with_inverses(random_graph()), 3)
    assert has_inverses(other)
    assert with_inverses(without_inverses(other)).triples.tolist() == other.triples.tolist()
    assert without_inverses(other).triples.tolist() == shuffled(random_graph(), 3).triples.tolist()


@given(some_triples, st.integers(0, 3))
def test_shuffled_never_invents_and_never_repeats(triples, seed):
    one = graph(triples)
    other = shuffled(one, seed)
    for column in range(3):
        assert counts(other, column) <= counts(one, column)
    assert len(np.unique(other.triples, axis=0)) == other.n_triples


def test_absent_has_everything_but_triples():
    none = absent(CHAIN)
    assert (none.n_triples, none.n_entities, none.relations) == (0, 6, ("r", "s"))
    assert none.entities.counts.sum() == 0


def test_a_control_leaves_the_items_where_they_are():
    knowledge = ItemKnowledge(random_graph(), np.array([4, -1, 7]))
    assert controlled(knowledge, "none") is knowledge
    assert controlled(knowledge, "shuffled", 2).graph.triples.tolist() == shuffled(knowledge.graph, 2).triples.tolist()
    assert controlled(knowledge, "absent").graph.n_triples == 0
    for control in ("shuffled", "absent"):
        assert controlled(knowledge, control).item_entities is knowledge.item_entities


def test_statistics_of_a_small_graph_by_hand():
    one = graph([[0, 0, 4], [1, 0, 4], [1, 1, 3], [2, 1, 2]], n_entities=7)
    found = statistics(ItemKnowledge(one, np.array([0, 1, 2, 5, -1])), top=2)
    assert (found.entities, found.n_relations, found.triples) == (7, 2, 4)
    assert (found.median_degree, found.maximum_degree) == (1.0, 2)  # degrees 1, 2, 1, 1, 2 of those with a triple
    assert found.components == 2
    assert found.largest_component == pytest.approx(4 / 5)
    assert found.sinks == 2  # 3 and 4
    assert (found.items, found.linked_items, found.items_without_triples) == (5, 4, 1)
    assert [(r.name, r.triples, r.heads, r.tails) for r in found.relations] == [("r", 2, 2, 1), ("s", 2, 2, 2)]
    assert [(e.label, e.triples, e.items) for e in found.most_connected] == [("E4", 2, 2), ("E3", 1, 1)]


def test_statistics_of_a_graph_without_triples():
    found = statistics(ItemKnowledge(absent(CHAIN), np.array([0])))
    assert (found.median_degree, found.maximum_degree, found.components, found.largest_component) == (0.0, 0, 0, 0.0)
    assert found.items_without_triples == 1


def test_shuffled_permutes_relations_and_tails_each_on_its_own():
    rng = np.random.default_rng(1)
    columns = (rng.integers(0, 100, 300), rng.integers(0, 20, 300), rng.integers(0, 40, 300))
    one = graph(np.stack(columns, axis=1), 120, relations=tuple(f"r{i}" for i in range(20)))
    other = shuffled(one, seed=3)
    for pair in ([0, 1], [1, 2], [0, 2]):  # head and relation, relation and tail, head and tail
        before = set(map(tuple, one.triples[:, pair].tolist()))
        kept = np.mean([tuple(row) in before for row in other.triples[:, pair].tolist()])
        assert kept < 0.4
