"""Movies with writers, certificates and languages; and the graph that comes of the real ones."""

from pathlib import Path

import pytest

from prismrec.data.catalog import get, movielens_knowledge
from prismrec.inputs import prepare_log, read_tables
from prismrec.settings import read_settings

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "movies.dat").write_text("1::Heat (1995)::Action\n2::Jaws (1975)::Thriller\n3::Big (1988)::Comedy\n")
    (tmp_path / "users.dat").write_text("7::F::25::12::48067\n")
    (tmp_path / "ratings.dat").write_text("7::1::5::100\n")
    rows = "1::T::1995::R::x::Drama::Ann Lee::Bo Ek (novel by Cy, Di), Ann Lee::C D::plot::poster\n"
    rows += "2::T::1995::N/A::x::Drama::N/A::N/A::nan::p::q\n"
    (tmp_path / "movies_extrainfos.dat").write_text(rows)
    return tmp_path


def test_commas_within_parentheses_part_no_writers(folder):
    items = movielens_knowledge.read(folder).items
    assert items["writers"].to_pylist() == [["Bo Ek (novel by Cy, Di)", "Ann Lee"], None, None]
    assert items["certificate"].to_pylist() == ["R", None, None]
    assert "languages" not in items.column_names


def test_languages_come_with_the_graph_of_mkr(folder):
    (folder / "item_index2entity_id.txt").write_text("3\t0\n")
    (folder / "kg.txt").write_text("0\tfilm.film.language\t5\n")
    tables = movielens_knowledge.read(folder)
    assert tables.items["languages"].to_pylist() == [None, None, ["language 5"]]
    assert tables.notes[-1] == "Languages of 1 movies are numbers of MKR's graph: it does not name them."


def test_the_graph_of_the_real_movies(tmp_path):
    for name in ("ml-1m", "mkr-movie"):
        if not (SHARED / name).exists():
            pytest.skip(f"the data set is not here: {SHARED / name}")
    settings = read_settings(get("movielens-1m-knowledge", tmp_path / "ml", SHARED).settings)
    assert "director = { column =" in (tmp_path / "ml" / "prismrec.toml").read_text()
    data = prepare_log(*read_tables(settings), settings)
    graph = data.knowledge.graph
    assert graph.relations == ("actor", "certificate", "director", "genre", "language", "writer", "year")
    woody = graph.entities.index_of("person:woody allen")
    assert graph.labels[woody].as_py() == "Woody Allen"
    known_for = {graph.relations[r] for r in graph.triples[graph.triples[:, 2] == woody, 1]}
    assert known_for == {"actor", "director", "writer"}
    assert data.histories.lengths.min() >= 30
    assert data.disliked is not None
