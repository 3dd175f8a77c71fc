"""A graph as text is read again as the same graph."""

import numpy as np
import pyarrow as pa

from prismrec.data.knowledge.export import export_knowledge
from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph
from prismrec.data.knowledge.reading import read_knowledge
from prismrec.data.knowledge.settings import KnowledgeSettings
from prismrec.data.vocabulary import Vocabulary

ITEMS = Vocabulary.from_ids([7, 8])


def knowledge(label="Cee"):
    graph = KnowledgeGraph(
        Vocabulary.from_ids(["b", "a", "c"], [2, 1, 1]),
        ("r", "s"),
        np.array([[0, 0, 1], [0, 1, 2]], np.int32),
        pa.array(["Bee", "Ay", label]),
    )
    return ItemKnowledge(graph, np.array([2, -1]))


def test_written_as_text_and_read_again_it_is_the_same(tmp_path):
    written = export_knowledge(knowledge(), ITEMS, tmp_path)
    assert [path.name for path in written] == ["triples.tsv", "labels.tsv", "item_links.tsv"]
    places = {name: str(tmp_path / f"{name}.tsv") for name in ("triples", "labels", "item_links")}
    found = read_knowledge(KnowledgeSettings(**places), ITEMS, None)
    assert found.quarantine is None
    assert found.knowledge.graph.triples.tolist() == knowledge().graph.triples.tolist()
    assert found.knowledge.graph.labels.to_pylist() == ["Bee", "Ay", "Cee"]
    assert found.knowledge.item_entities.tolist() == [2, -1]


def test_a_tab_in_a_name_parts_no_fields(tmp_path):
    export_knowledge(knowledge("C\tee\n"), ITEMS, tmp_path)
    assert (tmp_path / "labels.tsv").read_text().splitlines()[-1] == "c\tC ee "


def test_a_graph_without_items_has_no_links(tmp_path):
    alone = ItemKnowledge(knowledge().graph, np.zeros(0, np.int64))
    written = export_knowledge(alone, Vocabulary.from_ids(pa.array([], pa.string())), tmp_path)
    assert [path.name for path in written] == ["triples.tsv", "labels.tsv"]
