"""MKR's movies and artists: small files by hand, and the known counts of the real ones."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from prismrec.data.catalog import get, mkr
from prismrec.errors import DataError
from prismrec.inputs import prepare_log, read_tables
from prismrec.settings import read_settings

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "movies.dat").write_text("1::Heat (1995)::Action\n2::Jaws (1975)::Thriller\n3::Big (1988)::Comedy\n")
    (tmp_path / "users.dat").write_text("7::F::25::12::48067\n")
    (tmp_path / "ratings.dat").write_text("7::1::5::100\n7::2::2::200\n7::3::4::300\n")
    (tmp_path / "item_index2entity_id.txt").write_text("1\t0\n2\t1\n")
    (tmp_path / "kg.txt").write_text("0\tfilm.film.language\t5\n9\tfilm.film.genre\t5\n1\tfilm.film.star\t6\n")
    (tmp_path / "user_artists.dat").write_text("userID\tartistID\tweight\n2\t1\t10\n2\t8\t7\n4\t2\t3\n")
    return tmp_path


def shared(*names):
    for name in names:
        if not (SHARED / name).exists():
            pytest.skip(f"the data set is not here: {SHARED / name}")
    return SHARED


def test_movies_and_triples_that_the_links_lack_are_left_out_and_counted(folder):
    tables = mkr.read_movies(folder)
    assert tables.clicks["movie_id"].to_pylist() == [1, 2]
    assert tables.items["name"].to_pylist() == ["Heat (1995)", "Jaws (1975)"]
    assert tables.knowledge["triples"]["head"].to_pylist() == ["0", "1"]
    assert tables.knowledge["item_links"].to_pylist() == [{"item": "1", "entity": "0"}, {"item": "2", "entity": "1"}]
    assert tables.notes == (
        "1 ratings of movies that the graph lacks are left out.",
        "1 triples whose head is no movie are left out, as MKR leaves them out.",
    )


def test_all_triples_of_artists_are_kept_and_names_are_taken_where_they_are_known(folder):
    tables = mkr.read_music(folder)
    assert tables.clicks.to_pylist()[-1] == {"user_id": 4, "artist_id": 2, "plays": 3, "source_order": 3}
    assert tables.items.column_names == ["artist_id"]
    assert tables.notes[-1] == "No artists.dat: the artists have no names."
    assert tables.knowledge["triples"].num_rows == 3
    (folder / "artists.dat").write_text("id\tname\turl\tpicture\n1\tCan\tu\tp\n")
    assert mkr.read_music(folder).items.to_pylist() == [
        {"artist_id": 1, "name": "Can"},
        {"artist_id": 2, "name": None},
    ]


def test_languages_are_the_numbers_of_the_graph(folder, tmp_path):
    assert mkr.languages(folder) == {1: ["language 5"]}
    (folder / "kg.txt").unlink()
    assert mkr.languages(folder) == {}


def test_a_folder_named_after_the_data_goes_before_others(folder):
    (folder / "a").mkdir()
    for name in (mkr.LINKS, mkr.GRAPH):
        (folder / name).rename(folder / "a" / name)
    (folder / "mkr-movie").mkdir()
    (folder / "mkr-movie" / mkr.LINKS).write_text("3\t0\n")
    (folder / "mkr-movie" / mkr.GRAPH).write_text("0\tfilm.film.star\t6\n")
    assert mkr.read_movies(folder).items["movie_id"].to_pylist() == [3]


def test_a_row_of_the_graph_with_two_fields_is_named(folder):
    (folder / "kg.txt").write_text("0\tr\t1\n0\t1\n")
    with pytest.raises(DataError, match=r"kg\.txt, row 2: expected 3 fields separated by tabs, got 2"):
        mkr.read_movies(folder)


def test_the_movies_are_those_of_the_paper(tmp_path):
    settings = read_settings(get("mkr-movie", tmp_path / "movie", shared("ml-1m", "mkr-movie")).settings)
    data = prepare_log(*read_tables(settings), settings)
    assert (len(data.users), len(data.items), len(data.histories.values)) == (6036, 2347, 376_887)
    graph = data.knowledge.graph
    assert (graph.n_triples, graph.n_entities, graph.n_relations) == (20_195, 6729, 7)
    assert (data.knowledge.item_entities >= 0).all()
    assert data.item_columns is not None
    labels = graph.labels.take(data.knowledge.item_entities[:3]).to_pylist()
    assert labels == data.item_columns["name"][:3].to_pylist()


def test_the_artists_are_those_of_the_paper(tmp_path):
    written = get("mkr-music", tmp_path / "music", shared("mkr-music", "lastfm-hetrec"))
    settings = read_settings(written.settings)
    data = prepare_log(*read_tables(settings), settings)
    assert (len(data.users), len(data.items), len(data.histories.values)) == (1872, 3846, 21_173)
    graph = data.knowledge.graph
    assert (graph.n_triples, graph.n_entities, graph.n_relations) == (15_518, 9366, 60)
    assert pq.read_table(written.folder / "items.parquet")["name"].null_count == 0
