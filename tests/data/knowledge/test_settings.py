"""The settings of a knowledge graph, short and in full."""

import pytest

from prismrec.config import build
from prismrec.data.knowledge.settings import KnowledgeSettings, RelationSettings
from prismrec.errors import ConfigError
from prismrec.settings import read_settings


def test_a_column_name_is_short_for_a_relation():
    found = build(KnowledgeSettings, {"relations": {"genre": "genres", "director": {"column": "d", "kind": "person"}}})
    assert found.relations == {
        "genre": RelationSettings(column="genres"),
        "director": RelationSettings(column="d", kind="person"),
    }


def test_a_graph_is_given_by_triples_or_by_relations():
    assert not KnowledgeSettings().is_given
    assert KnowledgeSettings(triples="kg.tsv").is_given
    assert build(KnowledgeSettings, {"relations": {"genre": "genres"}}).is_given


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tripels": "x"}, "unknown key 'tripels'; did you mean 'triples'"),
        ({"relations": {"a": {"column": "b", "kind": "persn"}}}, "relations.a.kind"),
        ({"relations": ["genres"]}, "relations"),
        ({"control": "random"}, "control"),
        ({"min_entity_degree": 0}, "min_entity_degree"),
    ],
)
def test_wrong_settings_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        build(KnowledgeSettings, values)


def test_paths_are_relative_to_the_file_that_names_them(tmp_path):
    text = '[knowledge]\ntriples = "kg.tsv"\nitem_links = "links.tsv"\nlabels = "/names.tsv"\n'
    (tmp_path / "shop.toml").write_text(text)
    found = read_settings(tmp_path / "shop.toml").knowledge
    assert found.triples == str(tmp_path / "kg.tsv")
    assert found.item_links == str(tmp_path / "links.tsv")
    assert (found.labels, found.aliases) == ("/names.tsv", "")
