"""Which entity an item is: by links, by its own id, or one of its own."""

import pyarrow as pa
import pytest

from prismrec.data.knowledge.item_entities import item_entities, item_labels
from prismrec.data.knowledge.lines import Reading
from prismrec.data.knowledge.links import Aliases
from prismrec.data.knowledge.settings import KnowledgeSettings, RelationSettings
from prismrec.data.knowledge.statements import under_one_name
from prismrec.data.knowledge.triple_files import find_triples, read_triples
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

ITEMS = Vocabulary.from_ids([30, 10, 20])
GENRE = {"genre": RelationSettings(column="genres")}


@pytest.fixture
def found(tmp_path):
    """`found(links, items, **settings)`: entities, counts and bad rows for a small graph."""
    (tmp_path / "kg.tsv").write_text("m.A\tr\tm.B\n20\tr\tm.C\n", encoding="utf-8")

    def entities(links="", items=ITEMS, aliases=Aliases(), **settings):  # noqa: B008
        if links:
            (tmp_path / "links.tsv").write_text(links, encoding="utf-8")
            settings["item_links"] = str(tmp_path / "links.tsv")
        chosen = KnowledgeSettings(**{"triples": str(tmp_path / "kg.tsv"), **settings})
        reading = Reading()
        statements = read_triples(find_triples(str(tmp_path / "kg.tsv")), Reading())
        statements = under_one_name(statements, aliases, normalise=chosen.normalise)
        names, counts = item_entities(chosen, items, statements, aliases, reading)
        return names, counts, [row.reason for row in reading.bad]

    return entities


def test_links_name_the_entity_and_other_items_are_counted(found):
    names, counts, bad = found("10\tm.A\n99\tm.C\n30\tm.new\n")
    assert names == ["m.new", "m.A", None]
    assert counts == {"linked_items": 2, "links_of_other_items": 1, "items_without_entity": 1}
    assert bad == []


def test_without_links_an_item_may_be_the_entity_of_its_own_id(found):
    assert found()[0] == [None, None, "20"]


def test_relations_make_every_item_an_entity(found):
    names, counts, _ = found("10\tm.A\n", relations=GENRE)
    assert names == ["item:30", "m.A", "item:20"]
    assert counts["items_without_entity"] == 0
    assert found(triples="", relations=GENRE)[0] == ["item:30", "item:10", "item:20"]


def test_text_ids_are_looked_up_as_text(found):
    assert found("a\tm.A\n1\tm.B\n", Vocabulary.from_ids(["1", "a"]))[0] == ["m.B", "m.A"]


def test_links_follow_the_names_of_the_triples(found):
    names, _, bad = found("10\tM.a\n20\tm._A\n30\tm.a\n", normalise=True)
    assert names == [None, "m.a", "m. a"]
    assert bad == ["entity of another item"]
    names, _, _ = found("10\tm.X\n", aliases=Aliases({"m.X": "m.A"}))
    assert names == [None, "m.A", None]


def test_links_that_lie_beside_the_triples_are_found(found, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "kg.txt").write_text("0\tr\t1\n")
    (tmp_path / "m" / "item_index2entity_id.txt").write_text("10\t0\n")
    assert found(triples=str(tmp_path / "m"))[0] == [None, "0", None]
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "kg_final.txt").write_text("0 0 1\n")
    (tmp_path / "k" / "entity_list.txt").write_text("org_id remap_id\nm.A 0\nm.B 1\n")
    (tmp_path / "k" / "relation_list.txt").write_text("org_id remap_id\nr 0\n")
    (tmp_path / "k" / "item_list.txt").write_text("org_id remap_id freebase_id\n30 1 m.B\n")
    assert found(triples=str(tmp_path / "k"))[0] == ["m.B", None, None]


def test_a_graph_that_knows_no_item_is_an_error_that_shows_both_kinds_of_ids(found):
    with pytest.raises(
        DataError, match=r"no item is an entity of the triples: items are such as 7, entities such as 'm.A"
    ):
        found(items=Vocabulary.from_ids([7]))
    with pytest.raises(DataError, match=r"no link is of an item of the log: items are such as 30, .* such as 'm.A'"):
        found("m.A\t10\n")


def test_items_are_called_by_their_name_or_title():
    table = pa.table({"item_id": [1, 2, 3], "title": ["Big", None, "N/A"]})
    assert item_labels(["e1", "e2", None], table) == {"e1": "Big"}
    both = table.append_column("name", pa.array(["The_Big One", "x", "y"]))
    assert item_labels(["e1", None, "e3"], both) == {"e1": "The Big One", "e3": "y"}
    assert item_labels(["e1"], None) == {}
    assert item_labels(["e1"], pa.table({"item_id": [1]})) == {}
