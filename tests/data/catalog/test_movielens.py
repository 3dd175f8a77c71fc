"""MovieLens rows by hand: order, titles, people, and rows that are not in the expected form."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data.catalog import movielens
from prismrec.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "movies.dat").write_bytes(
        "1::Misérables, Les (1995)::Drama|Musical\n2::Untitled::Drama\n".encode("latin-1")
    )
    (tmp_path / "users.dat").write_text("7::F::25::12::48067-1234\n")
    (tmp_path / "ratings.dat").write_text("7::2::4::100\n7::1::5::100\n7::3::1::99\n2::1::3::500\n")
    return tmp_path


def test_ratings_are_by_user_and_time_and_ties_keep_the_order_of_the_file(folder):
    clicks = movielens.read(folder).clicks
    assert clicks["user_id"].to_pylist() == [2, 7, 7, 7]
    assert clicks["movie_id"].to_pylist() == [1, 3, 2, 1]
    assert clicks["rating"].to_pylist() == [3, 1, 4, 5]


def test_a_given_position_goes_before_the_timestamps(folder):
    columns = {"user_id": [7, 7, 7], "movie_id": [1, 2, 3], "rating": [5, 4, 3], "timestamp": [9, 9, 9]}
    pq.write_table(pa.table({**columns, "pos": [2, 0, 1]}), folder / "ratings.parquet")
    assert movielens.read(folder).clicks["movie_id"].to_pylist() == [2, 3, 1]


def test_titles_give_years_and_latin_1_text_is_read(folder):
    items = movielens.read(folder).items.to_pylist()
    assert items[0] == {"movie_id": 1, "name": "Misérables, Les (1995)", "year": 1995, "genres": ["Drama", "Musical"]}
    assert items[1]["year"] is None


def test_directors_and_actors_are_lists_and_unknown_ones_are_missing(folder):
    rows = "1::T::1995::R::x::Drama::Ann Lee, Bo Ek, Ann Lee::w::C D::plot::poster\n"
    rows += "2::T::1995::R::x::Drama::N/A::w::nan::p::q\n"
    (folder / "movies_extrainfos.dat").write_text(rows, encoding="utf-8")
    items = movielens.read(folder).items
    assert items["directors"].to_pylist() == [["Ann Lee", "Bo Ek"], None]
    assert items["actors"].to_pylist() == [["C D"], None]


def test_users_have_their_occupation_in_words(folder):
    user = movielens.read(folder).users.to_pylist()[0]
    assert user == {"user_id": 7, "gender": "F", "age_from": 25, "occupation": "programmer", "zip_code": "48067-1234"}


def test_a_short_row_is_named(folder):
    (folder / "movies.dat").write_text("1::Heat (1995)::Action\n2::Broken\n")
    with pytest.raises(DataError, match=r"movies\.dat, row 2: expected 3 fields separated by '::', got 2"):
        movielens.read(folder)
