"""All of it together: files and columns become one graph over the items, with a report and a quarantine."""

import pyarrow as pa
import pytest

from prismrec.config import build
from prismrec.data.knowledge.reading import read_knowledge, read_link_data
from prismrec.data.knowledge.settings import KnowledgeSettings
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError

ITEMS = Vocabulary.from_ids(["big", "alien", "heat"])
COLUMNS = pa.table(
    {
        "item_id": ["big", "alien", "heat"],
        "name": ["Big (1988)", "Alien (1979)", None],
        "stars": ["Tom_Hanks", "Sigourney Weaver|tom hanks", "?!"],
        "makers": [["Tom Hanks (producer)"], None, ["Michael Mann"]],
    }
)
RELATIONS = {
    "star": {"column": "stars", "separator": "|", "kind": "person"},
    "maker": {"column": "makers", "kind": "person"},
}


def settings(**values):
    return build(KnowledgeSettings, values)


def triples(graph):
    """(label, relation, label), sorted."""
    labels = graph.labels.to_pylist()
    return sorted((labels[h], graph.relations[r], labels[t]) for h, r, t in graph.triples.tolist())


def test_columns_of_the_item_table_become_a_graph():
    found = read_knowledge(settings(relations=RELATIONS), ITEMS, COLUMNS, max_bad_share=0.5)
    graph = found.knowledge.graph
    assert triples(graph) == [
        ("Alien (1979)", "star", "Sigourney Weaver"),
        ("Alien (1979)", "star", "Tom Hanks"),
        ("Big (1988)", "maker", "Tom Hanks"),
        ("Big (1988)", "star", "Tom Hanks"),
        ("item:heat", "maker", "Michael Mann"),
    ]
    assert graph.entities.ids_of(found.knowledge.item_entities) == ["item:big", "item:alien", "item:heat"]
    assert found.quarantine.to_pylist()[0]["reason"] == "no name in 'star'"
    report = found.report
    assert (report["rows"], report["bad_rows"], report["entities"], report["triples"]) == (6, 1, 6, 5)
    assert report["bad_by_reason"] == {"no name in 'star'": 1}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "kg.tsv").write_text("m.big\tdirected_by\tm.marshall\nm.big\tdirected_by\tm.marshall\nbroken\n")
    (tmp_path / "links.tsv").write_text("big\tm.big\nrare\tm.x\n")
    (tmp_path / "labels.tsv").write_text("m.marshall\tPenny Marshall\n")
    return {
        "triples": str(tmp_path / "kg.tsv"),
        "item_links": str(tmp_path / "links.tsv"),
        "labels": str(tmp_path / "labels.tsv"),
    }


def test_triples_and_columns_are_one_graph(files, tmp_path):
    (tmp_path / "aliases.tsv").write_text("person:tom hanks\tm.marshall\n")
    chosen = settings(**files, aliases=str(tmp_path / "aliases.tsv"), relations=RELATIONS)
    found = read_knowledge(chosen, ITEMS, COLUMNS, max_bad_share=0.5)
    graph, report = found.knowledge.graph, found.report
    assert ("Big (1988)", "star", "Penny Marshall") in triples(graph), "labels that are given go before all others"
    assert ("Big (1988)", "directed_by", "Penny Marshall") in triples(graph)
    assert graph.entities.ids_of(found.knowledge.item_entities) == ["m.big", "item:alien", "item:heat"]
    assert (report["repeated_triples"], report["linked_items"], report["links_of_other_items"]) == (1, 1, 1)
    assert len(found.quarantine) == 2


def test_items_that_no_triple_speaks_of_are_no_entities(files):
    found = read_knowledge(settings(**files), ITEMS, None, max_bad_share=0.5)
    assert found.knowledge.item_entities.tolist() == [found.knowledge.graph.entities.index_of("m.big"), -1, -1]
    assert found.report["items_without_entity"] == 2


def test_good_input_leaves_no_quarantine():
    chosen = settings(relations={"name": "name"})
    assert read_knowledge(chosen, ITEMS, COLUMNS).quarantine is None


def test_too_many_bad_rows_stop_the_run(files):
    with pytest.raises(DataError, match=r"1 of 6 rows of the knowledge graph are bad .*kg\.tsv row 3: malformed line"):
        read_knowledge(settings(**files), ITEMS, None)


def test_relations_need_an_item_table():
    with pytest.raises(ConfigError, match="relations star, maker are columns of the item table, but no item table"):
        read_knowledge(settings(relations=RELATIONS), ITEMS, None)


def test_rare_entities_can_be_left_out():
    chosen = settings(relations=RELATIONS, min_entity_degree=2)
    found = read_knowledge(chosen, ITEMS, COLUMNS, max_bad_share=0.5)
    assert {tail for _, _, tail in triples(found.knowledge.graph)} == {"Tom Hanks"}
    assert found.report["rare_entities"] == 2
    assert (found.knowledge.item_entities >= 0).all(), "items stay"


def test_link_data_share_their_indices(tmp_path):
    for part, text in {"train": "a\tr\tb\nb\ts\tc\n", "valid": "c\tr\ta\n", "test": "d\tr\ta\n"}.items():
        (tmp_path / f"{part}.txt").write_text(text)
    places = {f"{name}triples": str(tmp_path / f"{part}.txt")
              for name, part in {"": "train", "valid_": "valid", "test_": "test"}.items()}  # fmt: skip
    data = read_link_data(settings(**places))
    ids = data.graph.entities.ids.to_pylist()
    assert sorted(ids) == ["a", "b", "c", "d"]
    assert [ids[data.valid[0, 0]], ids[data.test[0, 0]]] == ["c", "d"]
    assert (data.graph.n_triples, data.report["valid_triples"], data.report["test_triples"]) == (2, 1, 1)
    assert data.quarantine is None


def test_link_data_need_triples_and_may_lack_held_out_ones(files):
    with pytest.raises(ConfigError, match=r"there are no triples: set knowledge\.triples"):
        read_link_data(settings())
    data = read_link_data(settings(**files), max_bad_share=0.5)
    assert (len(data.valid), len(data.test)) == (0, 0)
    assert len(data.quarantine) == 1
    assert data.graph.labels[data.graph.entities.index_of("m.marshall")].as_py() == "Penny Marshall"


def test_rare_entities_go_unless_held_out_triples_may_be_about_them(files):
    data = read_link_data(settings(**files, min_entity_degree=2), max_bad_share=0.5)
    assert (data.graph.n_triples, data.graph.n_entities, data.graph.n_relations) == (0, 0, 0)
    with pytest.raises(
        ConfigError, match=r"knowledge\.min_entity_degree would drop entities that the held-out triples"
    ):
        read_link_data(settings(**files, min_entity_degree=2, test_triples=files["triples"]))
