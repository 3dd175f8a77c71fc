"""Running Ibis expressions: one small door between the expressions and the engine that evaluates them.

The stages only build expressions; everything that executes goes through here, so that another engine needs another
version of this module alone, and errors of the engine never reach a user as they are.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.operations as ops
import pyarrow as pa

from prismrec.errors import DataError

BATCH_ROWS = 1 << 19


def connect(threads: int | None = None, memory_limit: str | None = None) -> Any:
    """An in-memory DuckDB engine that spills to a temporary folder of its own.

    Args:
        threads: worker threads; all cores unless given.
        memory_limit: what DuckDB may hold before it spills, e.g. "1GB"; DuckDB's own default unless given.
    """
    spill = tempfile.mkdtemp(prefix="prismrec-spill-")
    settings: dict[str, Any] = {"temp_directory": spill}
    if threads is not None:
        settings["threads"] = threads
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    backend = ibis.duckdb.connect(**settings)
    weakref.finalize(backend, _remove_folder, spill)
    return backend


def backend_of(table: Any) -> Any:
    """The engine that a lazy table lives on."""
    return table.get_backend()


def arrow(table: Any) -> pa.Table:
    """Evaluate into an Arrow table."""
    return _relation(table).to_arrow_table()


def batches(table: Any, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Evaluate into a stream of Arrow batches; the engine answers nothing else until the stream ends."""
    with _named_errors():
        yield from _relation(table).to_arrow_reader(rows)


def one_row(table: Any) -> dict[str, Any]:
    """Evaluate a table of one row into Python values by column name; a sum over no rows is None."""
    row = arrow(table).to_pylist()[0]
    return {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}  # 128-bit sums


def statement(backend: Any, sql: str) -> None:
    """Run one statement that returns nothing."""
    with _named_errors():
        backend.con.sql(sql)


def named(backend: Any, name: str) -> Any:
    """A lazy table over a table or view of the engine.

    Described here and not by `backend.table`, which reads the schema through a call that DuckDB 2 deprecates.
    """
    with _named_errors():
        described = backend.con.sql(f"DESCRIBE {name}").fetchall()
    mapper = backend.compiler.type_mapper
    schema = ibis.schema({row[0]: mapper.from_string(row[1], nullable=row[2] == "YES") for row in described})
    return ops.DatabaseTable(name=name, schema=schema, source=backend, namespace=ops.Namespace()).to_expr()


def register(backend: Any, table: pa.Table) -> Any:
    """A lazy table over an Arrow table, without a copy."""
    name = unique_name("arrow")
    with _named_errors():
        backend.con.register(name, table)
    return named(backend, name)


def stored(table: Any) -> Any:
    """A lazy table over the evaluated rows, kept on the engine as long as it lives."""
    backend, name = backend_of(table), unique_name("stored")
    statement(backend, f"CREATE TEMP TABLE {name} AS {backend.compile(table)}")
    return named(backend, name)


@contextmanager
def held(table: Any) -> Iterator[Any]:
    """`stored` for the length of a `with` block."""
    kept = stored(table)
    try:
        yield kept
    finally:
        drop(kept)


def drop(kept: Any) -> None:
    """Free a table that `stored` made."""
    statement(backend_of(kept), f"DROP TABLE {kept.get_name()}")


def write_parquet(table: Any, path: Path) -> None:
    """Evaluate into one Parquet file, batch by batch in the engine."""
    sql = backend_of(table).compile(table)
    statement(backend_of(table), f"COPY ({sql}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)")


def quoted(text: Any) -> str:
    """A SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def unique_name(prefix: str) -> str:
    """A name for a view or table that nobody else has."""
    return f"prismrec_{prefix}_{uuid.uuid4().hex[:12]}"


def _relation(table: Any) -> Any:
    backend = backend_of(table)
    with _named_errors():
        return backend.con.sql(backend.compile(table))


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise DataError(f"the engine could not evaluate the tables: {error}") from error


def _remove_folder(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)


__all__ = [
    "arrow",
    "backend_of",
    "batches",
    "connect",
    "drop",
    "held",
    "named",
    "one_row",
    "quoted",
    "register",
    "statement",
    "stored",
    "unique_name",
    "write_parquet",
]
