"""DuckDB behind the door: limits that hold, names that are quoted, errors without its own classes."""

import ibis
import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.engines.duckdb_engine import identifier, named, quoted, statement
from prismrec.data.engines.settings import DuckDBSettings, SparkSettings
from prismrec.errors import DataError


def setting(backend, name):
    return backend.con.sql(f"SELECT current_setting('{name}')").fetchall()[0][0]


def test_the_settings_bound_the_engine():
    backend = engine.open_engine("duckdb", DuckDBSettings(memory_limit="512MiB", threads=1), SparkSettings())
    assert (setting(backend, "memory_limit"), setting(backend, "threads")) == ("512.0 MiB", 1)
    assert setting(backend, "TimeZone") == "UTC"


def test_names_and_texts_are_quoted():
    backend = engine.connect(threads=1)
    column, text = identifier('a "b'), quoted("it's")
    statement(backend, f"CREATE TABLE shop AS SELECT {text} AS {column}")
    assert engine.arrow(named(backend, "shop")).to_pydict() == {'a "b': ["it's"]}


def test_a_table_is_stored_until_it_is_dropped():
    table = engine.register(engine.connect(threads=1), pa.table({"n": [3, 1, 2]}))
    with engine.held_in_order(table, "place", ("n",), first=1) as placed:
        assert engine.arrow(placed).to_pydict() == {"n": [1, 2, 3], "place": [1, 2, 3]}
    with pytest.raises(DataError, match=r"the engine could not evaluate the tables: .*does not exist"):
        engine.arrow(placed)


def test_a_table_moves_from_one_connection_to_another():
    table = engine.register(engine.connect(threads=1), pa.table({"n": [1, 2]})).mutate(m=ibis._.n + 1)
    other = engine.connect(threads=1)
    moved = engine.moved(table, other)
    assert engine.backend_of(moved) is other
    assert engine.arrow(moved).to_pydict() == {"n": [1, 2], "m": [2, 3]}
