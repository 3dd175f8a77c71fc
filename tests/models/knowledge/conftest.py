"""Logs beside graphs of knowledge, small enough to reckon with, or where only the graph tells what is liked."""

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary

Rows = Iterable[Iterable[int]]


def graph_of(
    n_entities: int, triples: Iterable[Iterable[int]], relations: tuple[str, ...] = ("a", "b")
) -> KnowledgeGraph:
    names = [f"entity {n}" for n in range(n_entities)]
    rows = np.array(list(triples), np.int32).reshape(-1, 3)
    return KnowledgeGraph(Vocabulary.from_ids(names), relations, rows, pa.array(names))


def log(histories: Rows, n_items: int, knowledge: ItemKnowledge | None) -> PreparedData:
    rows = Sequences.from_lists(list(map(list, histories)))
    items = Vocabulary.from_ids(list(range(n_items)), np.bincount(rows.values, minlength=n_items))
    users = Vocabulary.from_ids(list(range(len(rows))))
    return PreparedData(items, rows, users, rows, knowledge=knowledge)


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., KnowledgeGraph]:
    """`make_graph(n_entities, triples, relations)`."""
    return graph_of


@pytest.fixture(scope="session")
def make_log() -> Callable[..., PreparedData]:
    """`make_log(histories, n_items, knowledge)`."""
    return log


@pytest.fixture(scope="session")
def small() -> PreparedData:
    """Three users, four items of which the last is no entity; entities 3 and 4 are what the items have."""
    triples = [(0, 0, 3), (1, 0, 3), (1, 1, 4), (2, 1, 4), (3, 1, 2), (4, 0, 0)]
    knowledge = ItemKnowledge(graph_of(5, triples), np.array([0, 1, 2, -1]))
    return log([[0, 1, 3], [1, 2, 0], [2, 3]], 4, knowledge)
