"""A graph on disk is the graph that was there, and what is damaged says so."""

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.knowledge.stored import load_knowledge, save_knowledge
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError


@pytest.fixture
def knowledge():
    graph = KnowledgeGraph(
        Vocabulary.from_ids(["b", "a", "c"], [2, 1, 1]),
        ("r", "s"),
        np.array([[0, 0, 1], [0, 1, 2]], np.int32),
        pa.array(["Bee", "Ay", "Cee"]),
    )
    return ItemKnowledge(graph, np.array([2, -1]))


def test_saved_and_loaded_are_equal(knowledge, tmp_path):
    save_knowledge(knowledge, tmp_path / "k")
    found = load_knowledge(tmp_path / "k")
    assert found.graph.entities.ids.to_pylist() == ["b", "a", "c"]
    assert found.graph.entities.counts.tolist() == [2, 1, 1]
    assert found.graph.relations == ("r", "s")
    assert found.graph.triples.tolist() == knowledge.graph.triples.tolist()
    assert found.graph.labels.to_pylist() == ["Bee", "Ay", "Cee"]
    assert found.item_entities.tolist() == [2, -1]
    assert found.entity_items.tolist() == [-1, -1, 0]


def test_a_missing_file_is_named(knowledge, tmp_path):
    save_knowledge(knowledge, tmp_path / "k")
    (tmp_path / "k" / "triples.npy").unlink()
    with pytest.raises(ArtifactError, match=r"cannot read the knowledge graph in .*triples\.npy"):
        load_knowledge(tmp_path / "k")


def test_arrays_that_do_not_belong_together_are_refused(knowledge, tmp_path):
    save_knowledge(knowledge, tmp_path / "k")
    np.save(tmp_path / "k" / "item_entities.npy", np.array([9]))
    with pytest.raises(ArtifactError, match=r"entities of items must be 0\.\.2, got 9\.\.9"):
        load_knowledge(tmp_path / "k")
