"""Tables in databases: DuckDB files are attached, everything else that Ibis connects to is fetched through Arrow."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import ibis
from ibis.common.exceptions import IbisError, TableNotFound

from prismrec.data import engine
from prismrec.data.engines.duckdb_engine import identifier, named, quoted, statement, unique_name
from prismrec.errors import DataError

_DUCKDB = "duckdb://"
_REMOTE = ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "wasbs", "hdfs", "http", "https", "ftp", "file")


def read_database(address: str, backend: Any) -> Any:
    """The table at "duckdb:///file.db::table" or "sqlite:///file.db::table", as a lazy table on `backend`.

    Raises:
        DataError: the address names no table, or the database cannot be opened.
    """
    database, separator, table = address.partition("::")
    scheme = address.partition("://")[0]
    if scheme in _REMOTE and not separator:
        raise DataError(
            f"cannot read {address}: files are read from disks alone, with either engine; mount what {scheme}:// "
            "leads to where every machine sees it, or copy it, and give the path"
        )
    if not separator or not table:
        raise DataError(f"{address} names no table: write DATABASE::TABLE, such as duckdb:///shop.db::clicks")
    if database.startswith(_DUCKDB):
        return _attached(Path(database.removeprefix(_DUCKDB)), table, backend)
    return _fetched(database, table, backend)


def _attached(path: Path, table: str, backend: Any) -> Any:
    file = path if path.exists() else Path(str(path).lstrip("/"))  # duckdb:///shop.db means the file beside us
    if not file.exists():
        raise DataError(f"there is no DuckDB file at {path}")
    alias, view = unique_name("database"), unique_name("table")
    name = ".".join(identifier(part) for part in table.split("."))
    try:
        statement(backend, f"ATTACH {quoted(file)} AS {alias} (READ_ONLY)")
        statement(backend, f"CREATE TEMP VIEW {view} AS SELECT * FROM {alias}.{name}")
    except DataError as error:
        raise DataError(f"cannot read the table {table!r} of {file}: {error}") from error
    return named(backend, view)


def _fetched(database: str, table: str, backend: Any) -> Any:
    """Integers travel as text: Ibis may take a column with nulls through floats, and large ids would lose digits."""
    try:
        source = ibis.connect(database).table(table)
        whole = [name for name, kind in source.schema().items() if kind.is_integer()]
        rows = source.mutate(**{name: source[name].cast("string") for name in whole}).to_pyarrow()
    except (IbisError, TableNotFound, ImportError, OSError, ValueError, sqlite3.Error) as error:
        raise DataError(f"cannot read the table {table!r} of {database}: {error}") from error
    fetched = engine.register(backend, rows)
    return fetched.mutate(**{name: fetched[name].cast(source[name].type()) for name in whole})


__all__ = ["read_database"]
