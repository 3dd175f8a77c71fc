"""DuckDB as the engine: in this process, on all cores, spilling to disk.

Nothing goes through Ibis's own execution, which calls what DuckDB 2 deprecates: the SQL is compiled by Ibis and run
on DuckDB's connection.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.operations as ops
import pyarrow as pa

from prismrec.data.engines.contract import FolderColumns
from prismrec.errors import DataError


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
    backend.con.execute("SET TimeZone = 'UTC'")  # how moments are written as text
    weakref.finalize(backend, _remove_folder, spill)
    return backend


def small(table: Any) -> pa.Table:
    """Evaluate a table of few rows."""
    return arrow(table)


def arrow(table: Any) -> pa.Table:
    """Evaluate into an Arrow table."""
    return _relation(table).to_arrow_table()


def batches(table: Any, rows: int) -> Iterator[pa.RecordBatch]:
    """Evaluate into a stream of Arrow batches of at most so many rows."""
    with _named_errors():
        yield from _relation(table).to_arrow_reader(rows)


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


def moved(table: Any, backend: Any) -> Any:
    """A copy in memory of a table on another connection or on another engine."""
    if table.get_backend().name == "pyspark":
        from prismrec.data.engines import spark_engine

        return register(backend, spark_engine.arrow(table))
    if table.get_backend().name == "duckdb":
        return register(backend, arrow(table))
    return register(backend, table.to_pyarrow())


def stored(table: Any) -> Any:
    """The evaluated rows as a temporary table."""
    backend, name = table.get_backend(), unique_name("stored")
    statement(backend, f"CREATE TEMP TABLE {name} AS {backend.compile(table)}")
    return named(backend, name)


def stored_in_order(table: Any, name: str, order_by: Sequence[str], first: int) -> Any:
    """The evaluated rows as a temporary table, numbered by a window over all of them."""
    place = ibis.row_number().over(ibis.window(order_by=list(order_by))) if order_by else ibis.row_number()
    return stored(table.mutate(**{name: (place + first).cast("int64")}))


def drop(kept: Any) -> None:
    """Free a table that `stored` made."""
    statement(kept.get_backend(), f"DROP TABLE {kept.get_name()}")


def write_parquet(table: Any, path: Path) -> None:
    """Evaluate into one Parquet file."""
    backend = table.get_backend()
    statement(backend, _copy(backend.compile(table), path))


def write_dataset(table: Any, folder: Path, files: int, order_by: Sequence[str]) -> None:
    """Evaluate once into a temporary table, which keeps the order of its rows, and write ranges of it."""
    kept = stored(table.order_by(list(order_by)) if order_by else table)
    backend, name = kept.get_backend(), kept.get_name()
    try:
        with _named_errors():
            n_rows = backend.con.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0]
        bounds = [n_rows * number // files for number in range(files + 1)]
        for number in range(files):
            rows = f"SELECT * FROM {name} WHERE rowid >= {bounds[number]} AND rowid < {bounds[number + 1]}"
            statement(backend, _copy(rows, folder / f"part-{number:05d}.parquet"))
    finally:
        drop(kept)


def can_read(paths: Sequence[Path]) -> bool:
    """DuckDB reads every type of Parquet."""
    return True


def read_parquet(backend: Any, paths: Sequence[Path], place: str, firsts: Sequence[int], folders: FolderColumns) -> Any:
    """A view over Parquet files; the place of a row is that of its file's first row and its number in the file."""
    files = ", ".join(quoted(path) for path in paths)
    numbered = f", ({list(firsts)})[CAST(file_index + 1 AS BIGINT)] + file_row_number AS {identifier(place)}"
    view = unique_name("parquet")
    statement(
        backend,
        f"CREATE TEMP VIEW {view} AS SELECT *{numbered if place else ''} "
        f"FROM read_parquet([{files}], hive_partitioning = {bool(folders)}, hive_types_autocast = false)",
    )
    return named(backend, view)


def quoted(text: Any) -> str:
    """A SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def unique_name(prefix: str) -> str:
    """A name for a view or table that nobody else has."""
    return f"prismrec_{prefix}_{uuid.uuid4().hex[:12]}"


def _copy(sql: str, path: Path) -> str:
    return f"COPY ({sql}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)"


def _relation(table: Any) -> Any:
    backend = table.get_backend()
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
    "batches",
    "can_read",
    "connect",
    "drop",
    "identifier",
    "moved",
    "named",
    "quoted",
    "read_parquet",
    "register",
    "small",
    "statement",
    "stored",
    "stored_in_order",
    "unique_name",
    "write_dataset",
    "write_parquet",
]
