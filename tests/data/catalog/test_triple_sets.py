"""Graphs alone: small files by hand, and the known counts of the real ones."""

from pathlib import Path

import pytest

from prismrec.data.catalog import get, triple_sets
from prismrec.data.knowledge.reading import read_link_data
from prismrec.errors import DataError
from prismrec.settings import read_settings

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data" / "kg-completion"
COUNTS = {
    "wn18rr": (40_943, 11, 86_835, 3_034, 3_134),
    "nations": (14, 55, 1_592, 199, 201),
    "kinships": (104, 25, 8_544, 1_068, 1_074),
    "umls": (135, 46, 5_216, 652, 661),
}


@pytest.fixture
def openke(tmp_path):
    (tmp_path / "entity2id.txt").write_text("2\r\nword\t0\r\nterm\t1\r\n")
    (tmp_path / "relation2id.txt").write_text("1\nis_a\t0\n")
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}2id.txt").write_text("1\n0 1 0\n")
    return tmp_path


def test_openke_numbers_become_names_and_the_relation_comes_second(openke):
    tables = triple_sets.openke("any")(openke)
    assert tables.clicks is None
    assert list(tables.knowledge) == ["triples", "valid_triples", "test_triples"]
    assert tables.knowledge["triples"].to_pylist() == [{"head": "word", "relation": "is_a", "tail": "term"}]


def test_a_wrong_count_is_an_error(openke):
    (openke / "valid2id.txt").write_text("2\n0 1 0\n")
    with pytest.raises(DataError, match=r"valid2id\.txt says that it has 2 rows, but has others"):
        triple_sets.openke("any")(openke)


def test_named_triples_are_taken_from_the_folder_of_their_name(tmp_path):
    for folder in ("a", "nations"):
        (tmp_path / folder).mkdir()
        for part in ("train", "valid", "test"):
            (tmp_path / folder / f"{part}.txt").write_text(f"{folder}\tr\t{part}\n")
    tables = triple_sets.named("nations")(tmp_path)
    assert tables.knowledge["test_triples"].to_pylist() == [{"head": "nations", "relation": "r", "tail": "test"}]


@pytest.mark.parametrize("name", COUNTS)
def test_the_graphs_have_their_known_counts(name, tmp_path):
    if not SHARED.exists():
        pytest.skip(f"the data set is not here: {SHARED}")
    written = get(name, tmp_path / name, SHARED)
    assert (written.n_clicks, written.n_items, written.n_triples) == (0, 0, COUNTS[name][2])
    settings = read_settings(written.settings)
    assert settings.split.protocol == "link"
    data = read_link_data(settings.knowledge)
    graph = data.graph
    assert (graph.n_entities, graph.n_relations, graph.n_triples, len(data.valid), len(data.test)) == COUNTS[name]
    assert "may NOT be passed on" in (tmp_path / name / "SOURCE.md").read_text()
