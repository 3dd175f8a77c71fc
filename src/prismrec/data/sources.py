"""Where tables come from: files, folders, globs, databases, and tables already in memory, as one lazy table.

Every row gets its 1-based place in the whole input, so that equal times keep the order of the file and a quarantined
row can be found again. CSV is read as text, column by column as the header names them: what a value is, is decided
once the whole column has been seen.

Spark reads Parquet files itself. Everything else (text files, databases, tables in memory, and Parquet with types that
Spark lacks) goes once through DuckDB into Parquet in the work folder, as a stream: so a malformed line, a quote or a
type is read in one way, whichever engine prepares the data.
"""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from prismrec.data import engine
from prismrec.data.csv_files import Malformed, read_csv_files
from prismrec.data.databases import read_database
from prismrec.errors import DataError

PLACE = "prismrec_place"
"""The row's place in the whole input, beside the input's own columns."""

_PARQUET = (".parquet", ".pq")
_TEXT = (".csv", ".tsv", ".txt", ".dat")
_COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class InputFile:
    """One file of the input, and the place of its first row in the whole."""

    name: str
    first: int


@dataclass(frozen=True)
class Source:
    """An opened input: its own columns and `prismrec_place`, still lazy."""

    name: str
    table: Any  # ibis.Table
    files: tuple[InputFile, ...]
    malformed: Malformed = ()
    is_text: bool = False  # from CSV: every column is text

    def require(self, columns: Iterable[str]) -> None:
        """Check that the columns exist.

        Raises:
            DataError: names the input, the missing column and the nearest ones there are.
        """
        present = [c for c in self.table.columns if c != PLACE]
        for column in columns:
            if column not in present:
                near = difflib.get_close_matches(column, present, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {', '.join(present)}"
                raise DataError(f"{self.name} has no column {column!r}; {hint}")


def open_source(source: Any, connection: Any = None) -> Source:
    """Open any kind of input.

    Args:
        source: a path, folder or glob of Parquet or CSV files (.gz too), "duckdb:///file.db::table" or another
            database that Ibis connects to, an Ibis table, or a pandas, Polars or Arrow table.
        connection: the engine to read with; a new one unless given.

    Raises:
        DataError: nothing is there, or it cannot be read.
    """
    if connection is not None and engine.is_spark(connection):
        return _on_spark(source, connection)
    if isinstance(source, ibis.Table):
        return _from_ibis(source, connection)
    backend = connection if connection is not None else engine.connect()
    if is_address(source):
        return _numbered(read_database(source, backend), source)
    if isinstance(source, str | Path):
        return _from_files(str(source), backend)
    if hasattr(source, "__arrow_c_stream__"):
        return _from_memory(source, backend)
    raise DataError(
        f"cannot read a {type(source).__name__} as a table: give a path, a glob, an Ibis table, "
        "or a pandas, Polars or Arrow table"
    )


def is_address(source: Any) -> bool:
    """Whether this names a table in a database, and no file."""
    return isinstance(source, str) and "://" in source


def _on_spark(source: Any, backend: Any) -> Source:
    """Parquet straight by Spark, a table of Spark as it is, everything else by DuckDB and from there to Spark."""
    if isinstance(source, ibis.Table) and engine.is_spark(engine.backend_of(source)):
        table = source if engine.backend_of(source) is backend else engine.moved(source, backend)
        return _numbered(table, "the Ibis table")
    if isinstance(source, str | Path) and not is_address(source):
        paths = files_of(str(source))
        if all(map(_is_parquet, paths)) and engine.can_read(backend, paths):
            return _from_parquet(str(source), paths, backend)
    opened = open_source(source, engine.backend_of(source) if isinstance(source, ibis.Table) else None)
    return replace(opened, table=engine.moved(opened.table, backend))


def _from_files(text: str, backend: Any) -> Source:
    paths = files_of(text)
    kinds = {_is_parquet(path) for path in paths}
    if len(kinds) > 1:
        raise DataError(f"{text} holds Parquet and text files: give a glob of one kind, such as {text}/*.parquet")
    if kinds == {True}:
        return _from_parquet(text, paths, backend)
    table, counts, malformed = read_csv_files(paths, backend, PLACE)
    return Source(text, table, _input_files(paths, counts), malformed, is_text=True)


def files_of(text: str) -> list[Path]:
    """The files that a path, a folder or a glob names, in the order they are read in.

    Raises:
        DataError: there are none.
    """
    path = Path(text)
    if path.is_dir():
        found = [
            p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith((".", "_")) and _is_data(p)
        ]
    elif path.exists():
        found = [path]
    else:
        found = [Path(p) for p in sorted(glob.glob(text, recursive=True)) if Path(p).is_file()]
    if not found:
        raise DataError(
            f"nothing to read at {text}: expected Parquet ({', '.join(_PARQUET)}) or text files ({', '.join(_TEXT)})"
        )
    return found


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix.lower() in _COMPRESSED else path.suffix.lower()


def _is_parquet(path: Path) -> bool:
    return _suffix(path) in _PARQUET


def _is_data(path: Path) -> bool:
    return _suffix(path) in (*_PARQUET, *_TEXT)


def _from_parquet(name: str, paths: list[Path], backend: Any) -> Source:
    table = engine.read_parquet(backend, paths, PLACE, 1, with_folders=True)
    return Source(name, table, _input_files(paths, [engine.parquet_rows(path) for path in paths]))


def _input_files(paths: list[Path], counts: list[int]) -> tuple[InputFile, ...]:
    firsts = np.concatenate([[1], 1 + np.cumsum(counts)]).tolist()
    return tuple(InputFile(str(path), first) for path, first in zip(paths, firsts, strict=False))


def _from_ibis(table: Any, connection: Any) -> Source:
    backend = engine.backend_of(table)
    if backend.name == "duckdb" and connection in (None, backend):
        return _numbered(table, "the Ibis table")
    target = connection if connection is not None else engine.connect()
    return _from_memory(table.to_pyarrow(), target, "the Ibis table")


def _from_memory(source: Any, backend: Any, name: str = "") -> Source:
    try:
        table = pa.table(source)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"cannot turn the {type(source).__name__} into an Arrow table: {error}") from error
    label = name or f"the {type(source).__module__.split('.')[0]} table"
    places = pa.array(np.arange(1, table.num_rows + 1, dtype=np.int64))
    return Source(label, engine.register(backend, table.append_column(PLACE, places)), (InputFile(label, 1),))


def _numbered(table: Any, name: str) -> Source:
    """Stored: a query may give its rows in another order the next time."""
    return Source(name, engine.stored_in_order(table, PLACE, first=1), (InputFile(name, 1),))


__all__ = ["PLACE", "InputFile", "Source", "files_of", "is_address", "open_source"]
