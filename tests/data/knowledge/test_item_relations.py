"""Columns of the item table as facts: several values, people in several jobs, years, bad values."""

import json

import pyarrow as pa
import pytest

from prismrec.data.knowledge.item_relations import best_labels, facts_of
from prismrec.data.knowledge.lines import Reading
from prismrec.data.knowledge.links import Aliases
from prismrec.data.knowledge.settings import RelationSettings
from prismrec.errors import DataError

TABLE = pa.table(
    {
        "item_id": [10, 11, 12, 13],
        "genres": pa.array([["Drama", "drama"], [], None, ["Comedy", ""]], pa.list_(pa.string())),
        "directors": ["Joel_Coen, Ethan Coen", "J.J. Abrams", "N/A", None],
        "writers": ["Ann Lee (novel by Bo Ek, Cy), Joel Coen (story by", "J. J. Abrams", "(none)", "ANN LEE"],
        "released": ["22 Nov 1995", "1984-1986", "soon", "nan"],
        "year": pa.array([1995, None, 12, 2001], pa.int64()),
        "price": [1.5, 2.0, 3.0, 4.0],
    }
)


def facts(relation, aliases=Aliases(), table=TABLE, **settings):  # noqa: B008
    reading = Reading()
    found = facts_of(relation, RelationSettings(**settings), table, aliases, reading)
    return list(zip(found.items.tolist(), found.tails.to_pylist(), strict=True)), found, reading


def test_lists_give_a_fact_per_value_and_text_is_of_its_relation():
    pairs, _, reading = facts("genre", column="genres")
    assert pairs == [(0, "genre:drama"), (0, "genre:drama"), (3, "genre:comedy")]
    assert (reading.n_rows, reading.notes) == (3, {"missing_values": {"genre": 1}})


def test_one_person_is_one_entity_in_every_relation():
    directed, one, _ = facts("director", column="directors", separator=",", kind="person")
    written, other, _ = facts("writer", column="writers", separator=",", kind="person")
    assert directed == [(0, "person:joel coen"), (0, "person:ethan coen"), (1, "person:j j abrams")]
    assert written == [(0, "person:ann lee"), (0, "person:joel coen"), (1, "person:j j abrams"), (3, "person:ann lee")]
    labels = best_labels([one, other])
    assert labels["person:joel coen"] == "Joel Coen"
    assert labels["person:ann lee"] == "ANN LEE", "both spellings occur once: the first by text"


def test_a_value_that_names_nobody_is_missing_where_it_says_so_and_else_set_aside():
    _, _, reading = facts("director", column="directors", separator=",", kind="person")
    assert (reading.bad, reading.notes["missing_values"]) == ([], {"director": 1})
    table = pa.table({"item_id": [1, 2], "directors": ["?!", "Ann"]})
    pairs, _, reading = facts("director", column="directors", kind="person", table=table)
    assert pairs == [(1, "person:ann")]
    assert [(row.reason, row.file, row.row) for row in reading.bad] == [("no name in 'director'", "item table", None)]
    assert json.loads(reading.bad[0].text) == {"item_id": 1, "directors": "?!"}


def test_years_are_found_in_dates_and_numbers_and_their_absence_is_bad():
    pairs, _, reading = facts("released", column="released", kind="year")
    assert pairs == [(0, "year:1995"), (1, "year:1984")]
    assert [row.reason for row in reading.bad] == ["no year in the value of 'released'"]
    assert reading.notes["missing_values"] == {"released": 1}
    pairs, _, reading = facts("year", column="year", kind="year")
    assert pairs == [(0, "year:1995"), (3, "year:2001")]
    assert json.loads(reading.bad[0].text) == {"item_id": 12, "year": "12"}


def test_aliases_make_one_entity_of_two_names_which_is_called_as_is_meant():
    aliases = Aliases({"ethan_coen": "Joel Coen", "person:j j abrams": "m.0jj"})
    pairs, found, _ = facts("director", aliases, column="directors", separator=",", kind="person")
    assert pairs == [(0, "person:joel coen"), (0, "person:joel coen"), (1, "m.0jj")]
    assert best_labels([found]) == {"person:joel coen": "Joel Coen", "m.0jj": "J.J. Abrams"}


def test_dictionaries_and_large_text_are_text():
    coded = pa.array(["a", None, "a"]).dictionary_encode()
    for values in (coded, pa.array(["a", None, "a"], pa.large_string())):
        table = pa.table({"item_id": [1, 2, 3], "tag": values})
        assert facts("tag", column="tag", table=table)[0] == [(0, "tag:a"), (2, "tag:a")]


def test_a_column_that_is_not_there_or_no_text_is_an_error_that_names_it():
    with pytest.raises(DataError, match="relation 'star': the item table has no column 'stars'; it has genres, dir"):
        facts("star", column="stars")
    with pytest.raises(DataError, match="relation 'price': column 'price' has type double: expected text"):
        facts("price", column="price")
