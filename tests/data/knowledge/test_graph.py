"""The knowledge graph as a type: it refuses what contradicts itself."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph, distinct_triples, entity_degrees
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

ENTITIES = Vocabulary.from_ids(["a", "b", "c"])
LABELS = pa.array(["A", "B", "C"])


def graph(triples, labels=LABELS):
    return KnowledgeGraph(ENTITIES, ("likes", "knows"), np.array(triples, np.int32).reshape(-1, 3), labels)


def test_a_graph_says_how_large_it_is():
    made = graph([[0, 0, 1], [1, 1, 2]])
    assert (made.n_entities, made.n_relations, made.n_triples) == (3, 2, 2)
    assert graph([]).n_triples == 0


@pytest.mark.parametrize(
    ("triple", "what"), [([3, 0, 1], "heads"), ([0, 2, 1], "relations"), ([0, 0, -1], "tails of triples must be 0..2")]
)
def test_indices_that_do_not_exist_are_refused(triple, what):
    with pytest.raises(DataError, match=what):
        graph([triple])


def test_every_entity_has_one_label():
    with pytest.raises(DataError, match="3 entities, but 2 labels"):
        graph([], LABELS[:2])


def test_triples_have_three_columns():
    with pytest.raises(DataError, match="shape"):
        KnowledgeGraph(ENTITIES, ("likes",), np.zeros((2, 2), np.int32), LABELS)


def test_entities_know_their_items():
    knowledge = ItemKnowledge(graph([[0, 0, 1]]), np.array([2, -1, 0]))
    assert knowledge.entity_items.tolist() == [2, -1, 0]


def test_two_items_are_not_one_entity():
    with pytest.raises(DataError, match="two items"):
        ItemKnowledge(graph([]), np.array([1, 1]))
    with pytest.raises(DataError, match=r"0\.\.2"):
        ItemKnowledge(graph([]), np.array([3]))


def rows(*triples):
    return np.array(triples, np.int32).reshape(-1, 3)


def test_distinct_triples_are_sorted_by_head_relation_and_tail():
    found = distinct_triples(rows((1, 0, 2), (0, 1, 0), (1, 0, 2), (0, 1, 1), (1, 0, 1)))
    assert found.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 1], [1, 0, 2]]
    assert distinct_triples(rows()).tolist() == []


def test_an_entity_counts_every_triple_once():
    assert entity_degrees(rows((0, 0, 1), (1, 0, 2), (2, 1, 2)), 4).tolist() == [1, 2, 2, 0]
    assert entity_degrees(rows(), 2).tolist() == [0, 0]
