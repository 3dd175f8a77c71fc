"""Ids of side tables in the type of the log's: what can be brought over is, what cannot occur goes, counted."""

import uuid

import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.alignment import in_ids_of
from prismrec.data.reading import connect, read_interactions
from prismrec.errors import DataError

DAY = 1_577_836_800


def ids_of_log(*users, connection):
    clicks = pa.table({"user_id": list(users), "item_id": ["x"] * len(users), "timestamp": [DAY] * len(users)})
    return read_interactions(clicks, connection=connection).table.user_id


def aligned(values, *users):
    """The ids that are left of a side table, and what is noted."""
    connection = connect(threads=1)
    table = engine.register(connection, pa.table({"id": values}))
    found, notes = in_ids_of(table, "id", ids_of_log(*users, connection=connection), "user")
    return found.order_by("id").to_pyarrow()["id"], notes


def test_ids_of_one_type_stay_and_nothing_is_noted():
    assert aligned(["b", "a"], "a")[0].to_pylist() == ["a", "b"]
    found, notes = aligned([2, 1], 1)
    assert (found.to_pylist(), notes) == ([1, 2], {})


def test_integers_meet_a_log_of_text():
    assert aligned([7, 10], "7")[0].to_pylist() == ["10", "7"]


def test_text_that_is_no_integer_cannot_be_in_a_log_of_integers_and_goes():
    found, notes = aligned(["7", "07", "x", None, "12"], 7)
    assert found.to_pylist() == [7, 12]
    assert notes == {"ids_of_another_type": 3}


def test_narrow_integers_take_the_width_of_the_log():
    found, _ = aligned(pa.array([3], pa.int8()), 3)
    assert found.type == pa.int64()


def test_a_table_of_another_engine_is_brought_over():
    here, there = connect(threads=1), connect(threads=1)
    ids = ids_of_log("a", connection=here)
    table, _ = in_ids_of(engine.register(there, pa.table({"id": ["a"]})), "id", ids, "user")
    assert table.get_backend() is here
    assert table.to_pyarrow()["id"].to_pylist() == ["a"]


def test_types_that_have_nothing_in_common_are_named():
    values = pa.array([uuid.UUID(int=1).bytes], pa.binary(16)).cast(pa.uuid())
    with pytest.raises(DataError, match="user ids are int64 in the interactions and uuid in the user table: make them"):
        aligned(values, 1)
