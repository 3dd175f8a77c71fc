"""Triples as texts: packed in blocks, counted, and brought under one name."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.knowledge.links import Aliases
from prismrec.data.knowledge.statements import Statements, under_one_name

names = st.sampled_from(["Tom_Hanks", "tom hanks", "Big", "BIG", "m.1"])
triples = st.lists(st.tuples(names, st.sampled_from(["r", "s"]), names), min_size=1, max_size=12)


def statements(rows, labels=None, size=2):
    blocks = [rows[i : i + size] for i in range(0, len(rows), size)]
    columns = [tuple(pa.array([row[i] for row in block], pa.string()) for i in range(3)) for block in blocks]
    return Statements.from_columns(columns, labels or {})


def rows_of(found):
    return [tuple(row.values()) for row in found.table.to_pylist()]


@given(triples, st.integers(1, 5))
def test_blocks_are_put_together_in_order(rows, size):
    assert rows_of(statements(rows, size=size)) == rows


def test_no_blocks_are_no_triples():
    found = statements([])
    assert (rows_of(found), found.occurrences()) == ([], {})
    assert found.table.column_names == ["head", "relation", "tail"]


def test_an_entity_occurs_as_head_and_as_tail():
    assert statements([("a", "r", "b"), ("b", "r", "c"), ("a", "s", "a")]).occurrences() == {"a": 3, "b": 2, "c": 1}


def test_without_need_nothing_is_touched():
    found = statements([("a", "r", "b")])
    assert under_one_name(found, Aliases(), normalise=False) is found


def test_spellings_are_one_entity_called_by_the_most_frequent():
    found = statements([("Tom_Hanks", "r", "Big"), ("tom hanks", "r", "BIG"), ("Tom Hanks", "s", "BIG")])
    one = under_one_name(found, Aliases(), normalise=True)
    assert rows_of(one) == [("tom hanks", "r", "big"), ("tom hanks", "r", "big"), ("tom hanks", "s", "big")]
    assert one.labels == {"tom hanks": "Tom Hanks", "big": "BIG"}


def test_aliases_are_of_ids_unless_names_are_normalised():
    found = statements([("m.1", "r", "M.1")], labels={"m.1": "One"})
    exact = under_one_name(found, Aliases({"m.1": "m.2"}), normalise=False)
    assert (rows_of(exact), exact.labels) == ([("m.2", "r", "M.1")], {"m.2": "One"})
    loose = under_one_name(found, Aliases({"M.1": "Two"}), normalise=True)
    assert rows_of(loose) == [("two", "r", "two")]


@given(triples)
def test_one_name_keeps_the_number_of_triples_and_their_relations(rows):
    one = under_one_name(statements(rows), Aliases(), normalise=True)
    assert [row[1] for row in rows_of(one)] == [row[1] for row in rows]
    assert set(one.occurrences()) <= {"tom hanks", "big", "m.1"}
