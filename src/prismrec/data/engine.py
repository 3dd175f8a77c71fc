"""Running Ibis expressions: one small door between the expressions and the engine that evaluates them.

The stages only build expressions; everything that executes goes through here, to DuckDB
(`data.engines.duckdb_engine`) or to Spark (`data.engines.spark_engine`), whichever a table lives on. Errors of an
engine never reach a user as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.data.engines import duckdb_engine
from prismrec.data.engines.contract import Engine
from prismrec.data.engines.duckdb_engine import connect
from prismrec.data.engines.folder_columns import folder_columns
from prismrec.data.engines.settings import DuckDBSettings, EngineName, SparkSettings
from prismrec.errors import DataError

BATCH_ROWS = 1 << 19

_PART = "part-*.parquet"


def open_engine(name: EngineName, duckdb: DuckDBSettings, spark: SparkSettings) -> Any:
    """A connection to an engine: a new one to DuckDB, or the one to Spark that this process has.

    Raises:
        ConfigError: Spark cannot be had with these settings.
        MissingExtraError: Spark or Java is not installed.
    """
    if name == "duckdb":
        return connect(duckdb.threads or None, duckdb.memory_limit or None)
    from prismrec.data.engines.spark_session import connect as connect_spark

    return connect_spark(spark)


def is_spark(backend: Any) -> bool:
    """Whether a connection leads to Spark."""
    return bool(backend.name == "pyspark")


def backend_of(table: Any) -> Any:
    """The engine that a lazy table lives on."""
    return table.get_backend()


def arrow(table: Any) -> pa.Table:
    """Evaluate into an Arrow table."""
    return _engine_of(table).arrow(table)


def batches(table: Any, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Evaluate into a stream of Arrow batches; the engine answers nothing else until the stream ends."""
    return _engine_of(table).batches(table, rows)


def few_rows(table: Any) -> pa.Table:
    """`arrow` for tables that are known to be small: counts, top lists."""
    return _engine_of(table).small(table)


def one_row(table: Any) -> dict[str, Any]:
    """Evaluate a table of one row into Python values by column name; a sum over no rows is None."""
    row = few_rows(table).to_pylist()[0]
    return {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}  # 128-bit sums


def register(backend: Any, table: pa.Table) -> Any:
    """A lazy table over an Arrow table."""
    return _engine(backend).register(backend, table)


def stored(table: Any) -> Any:
    """A lazy table over the evaluated rows, kept on the engine as long as it lives."""
    return _engine_of(table).stored(table)


def stored_in_order(table: Any, name: str, order_by: Sequence[str] = (), first: int = 0) -> Any:
    """`stored`, with a row number.

    Args:
        table: what to store.
        name: of the further int64 column that counts the rows from `first` on.
        order_by: columns whose ascending order the numbers follow, nulls last; any order unless given.
        first: number of the first row.
    """
    return _engine_of(table).stored_in_order(table, name, order_by, first)


def moved(table: Any, backend: Any) -> Any:
    """A lazy table over a copy, on `backend`, of a table that lives elsewhere.

    Raises:
        DataError: a column has a type that the engine cannot hold.
    """
    return _engine(backend).moved(table, backend)


@contextmanager
def held(table: Any) -> Iterator[Any]:
    """`stored` for the length of a `with` block."""
    kept = stored(table)
    try:
        yield kept
    finally:
        drop(kept)


@contextmanager
def held_in_order(table: Any, name: str, order_by: Sequence[str] = (), first: int = 0) -> Iterator[Any]:
    """`stored_in_order` for the length of a `with` block."""
    kept = stored_in_order(table, name, order_by, first)
    try:
        yield kept
    finally:
        drop(kept)


def drop(kept: Any) -> None:
    """Free a table that `stored` made."""
    _engine_of(kept).drop(kept)


def write_parquet(table: Any, path: Path) -> None:
    """Evaluate into one Parquet file, batch by batch in the engine."""
    _engine_of(table).write_parquet(table, path)


def write_dataset(table: Any, folder: Path, files: int, order_by: Sequence[str] = ()) -> None:
    """Evaluate into Parquet files of about equal size, by the engine's own writers; no row passes through Python.

    Args:
        table: what to write.
        folder: an empty folder, or one that is made; it gets part-00000.parquet, part-00001.parquet, ...
        files: how many; those beyond the number of rows are empty.
        order_by: columns that order the rows from file to file and within each, ascending; no order unless given.

    Raises:
        DataError: the folder holds a data set already, or the engine cannot evaluate the table.
    """
    if files < 1:
        raise DataError(f"a data set has at least one file, got files={files}")
    if folder.exists() and any(folder.glob(_PART)):
        raise DataError(f"{folder} holds a data set already: name another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    _engine_of(table).write_dataset(table, folder, files, order_by)


def read_dataset(backend: Any, folder: Path) -> Any:
    """A lazy table over what `write_dataset` wrote, in no particular order of rows.

    Raises:
        DataError: there is no data set in the folder.
    """
    return _dataset(backend, folder, "")


def numbered_dataset(backend: Any, folder: Path, name: str) -> Any:
    """`read_dataset` with the int64 column `name`: the row's 0-based place over all files in the order of their names.

    Places come from the file and the row's number in it, never from a window over all rows.

    Raises:
        DataError: there is no data set in the folder.
    """
    return _dataset(backend, folder, name)


def read_parquet(
    backend: Any, paths: Sequence[Path], place: str = "", first: int = 0, *, with_folders: bool = False
) -> Any:
    """A lazy table over Parquet files of the same columns.

    Args:
        backend: the engine to read with.
        paths: the files.
        place: name of a further int64 column, the row's place over all files in the given order; none where empty.
        first: the place of the first row.
        with_folders: add the columns that folder names such as `day=2020-01-31` spell, as text.

    Raises:
        DataError: a file is no Parquet file.
    """
    starts = list(accumulate((parquet_rows(path) for path in paths), initial=first)) if place else []
    folders = folder_columns(paths) if with_folders else {}
    return _engine(backend).read_parquet(backend, paths, place, starts[:-1], folders)


def can_read(backend: Any, paths: Sequence[Path]) -> bool:
    """Whether the engine reads these Parquet files itself, every type in them included.

    Raises:
        DataError: a file is no Parquet file.
    """
    return _engine(backend).can_read(paths)


def parquet_rows(path: Path) -> int:
    """The number of rows of a Parquet file, from its footer.

    Raises:
        DataError: it is no Parquet file.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path} as Parquet: {error}") from error


def _dataset(backend: Any, folder: Path, place: str) -> Any:
    paths = _parts(folder)
    if can_read(backend, paths):
        return read_parquet(backend, paths, place)
    return moved(read_parquet(connect(), paths, place), backend)  # DuckDB wrote it, with types that Spark lacks


def _parts(folder: Path) -> list[Path]:
    paths = sorted(folder.glob(_PART))
    if not paths:
        raise DataError(f"there is no data set in {folder}: expected files {_PART}")
    return paths


def _engine_of(table: Any) -> Engine:
    return _engine(backend_of(table))


def _engine(backend: Any) -> Engine:
    if not is_spark(backend):
        return duckdb_engine
    from prismrec.data.engines import spark_engine  # its parts that import pyspark do so when they are called

    return spark_engine


__all__ = [
    "arrow",
    "backend_of",
    "batches",
    "can_read",
    "connect",
    "drop",
    "few_rows",
    "held",
    "held_in_order",
    "is_spark",
    "moved",
    "numbered_dataset",
    "one_row",
    "open_engine",
    "parquet_rows",
    "read_dataset",
    "read_parquet",
    "register",
    "stored",
    "stored_in_order",
    "write_dataset",
    "write_parquet",
]
