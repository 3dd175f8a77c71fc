"""Spark as the engine: on this machine or on a cluster, for logs that outgrow one machine.

Spark evaluates a query anew each time it is asked, so what is stored is written to Parquet in the work folder. What is
fetched goes the same way: it comes back file by file, in order, without passing through the memory of Java. Rows are
numbered by the file they lie in and their place there, so no numbering needs all rows on one executor.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.data.engines import duckdb_engine
from prismrec.data.engines.contract import FolderColumns
from prismrec.data.engines.shared_disk import require_shared
from prismrec.data.engines.spark_errors import named_errors
from prismrec.data.engines.spark_session import running, without_version_warnings
from prismrec.data.engines.spark_types import (
    as_declared,
    as_stored,
    declared,
    kept_type,
    reads_directly,
    spark_schema,
    stored_type,
)
from prismrec.errors import DataError

_FIRST_PART = "part-00000.parquet"
_PATH, _FIRST, _ROW = "prismrec_path", "prismrec_first", "prismrec_row"
_SCHEME = r"^[a-z0-9]+:/+"
_GLOB = re.compile(r"([\\{}\[\]*?])")


def small(table: Any) -> pa.Table:
    """Evaluate a table of few rows, which Spark's driver collects."""
    with named_errors(), without_version_warnings():
        return as_declared(_frame(table).toArrow(), table.schema())


def arrow(table: Any) -> pa.Table:
    """Evaluate into an Arrow table."""
    with _written(table) as files:
        parts = [_read(file) for file in files]
    return as_declared(pa.concat_tables(parts), table.schema())


def batches(table: Any, rows: int) -> Iterator[pa.RecordBatch]:
    """Evaluate to disk, and read that in batches of at most so many rows."""
    schema = table.schema()
    with _written(table) as files:
        for file in files:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(rows):
                    yield from as_declared(pa.Table.from_batches([batch]), schema).to_batches()


def register(backend: Any, table: pa.Table) -> Any:
    """A lazy table over a copy of the Arrow table in the work folder."""
    schema = declared(table.schema, "the Arrow table")
    name, folder = _new_folder("arrow")
    folder.mkdir()
    pq.write_table(as_stored(table), folder / _FIRST_PART)
    return _named(backend, _lying_in(folder, backend, schema), name, schema)


def moved(table: Any, backend: Any) -> Any:
    """A copy in the work folder of a table on DuckDB or on another session of Spark; streams, never whole in memory."""
    given = table.schema()
    schema = ibis.schema({name: kept_type(kind, f"column {name!r}") for name, kind in given.items()})
    name, folder = _new_folder("moved")
    if table.get_backend().name == "pyspark":
        with named_errors():
            _frame(table).write.parquet(_address(folder))
    else:
        folder.mkdir()
        stored = {c: table[c].cast(stored_type(kind)) for c, kind in given.items()}
        duckdb_engine.write_parquet(table.select(**stored), folder / _FIRST_PART)
    return _named(backend, _lying_in(folder, backend, schema), name, schema)


def stored(table: Any) -> Any:
    """The evaluated rows as Parquet files in the work folder."""
    backend, schema = table.get_backend(), table.schema()
    name, folder = _new_folder("stored")
    with named_errors():
        _frame(table).write.parquet(_address(folder))
    return _named(backend, _lying_in(folder, backend, schema), name, schema)


def stored_in_order(table: Any, name: str, order_by: Sequence[str], first: int) -> Any:
    """Written in the order of the files and within them, then numbered by where each row lies."""
    backend, schema = table.get_backend(), table.schema()
    view, folder = _new_folder("stored")
    with named_errors():
        _frame(table.order_by(list(order_by)) if order_by else table).write.parquet(_address(folder))
    files = _files(folder)
    starts = list(accumulate((pq.read_metadata(file).num_rows for file in files), initial=first))
    frame = _placed(backend, schema, files, name, starts[:-1])
    return _named(backend, frame, view, ibis.schema({**schema, name: "int64"}))


def drop(kept: Any) -> None:
    """Free a table that `stored` or `stored_in_order` made."""
    name = kept.get_name()
    with named_errors():
        kept.get_backend()._session.catalog.dropTempView(name)
    shutil.rmtree(running().work_folder / name, ignore_errors=True)


def write_parquet(table: Any, path: Path) -> None:
    """Evaluate into one Parquet file, which one executor writes."""
    require_shared(table.get_backend()._session, path.parent)
    scratch = path.with_name(f".{path.name}.{_unique_name('writing')}")
    try:
        with named_errors():
            _frame(table).coalesce(1).write.parquet(_address(scratch))
        _files(scratch)[0].replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_dataset(table: Any, folder: Path, files: int, order_by: Sequence[str]) -> None:
    """Evaluate into files that the executors write side by side; in order, each has a range of the rows."""
    from pyspark.sql import functions

    require_shared(table.get_backend()._session, folder)
    order = [functions.col(_quoted(column)).asc_nulls_last() for column in order_by]
    scratch = folder / f".{_unique_name('writing')}"
    try:
        with named_errors():
            frame = _frame(table)
            parts = frame.repartitionByRange(files, *order).sortWithinPartitions(*order) if order else None
            (parts or frame.repartition(files)).write.parquet(_address(scratch))
        written = _files(scratch)
        empty = pq.read_schema(written[0]).empty_table()
        for number, file in enumerate(written):
            file.replace(folder / f"part-{number:05d}.parquet")
        for number in range(len(written), files):  # Spark writes nothing for a range without rows
            pq.write_table(empty, folder / f"part-{number:05d}.parquet")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def can_read(paths: Sequence[Path]) -> bool:
    """Whether Spark reads every type of these files as it is declared.

    Raises:
        DataError: a file is no Parquet file.
    """
    return all(reads_directly(_metadata(path)) for path in paths)


def read_parquet(backend: Any, paths: Sequence[Path], place: str, firsts: Sequence[int], folders: FolderColumns) -> Any:
    """A view over Parquet files; the place of a row is that of its file's first row and its number in the file.

    Raises:
        DataError: a file has other columns than the first one, or a type that Spark cannot hold.
    """
    schema = declared(pq.read_schema(paths[0]), str(paths[0]))
    for path in paths[1:]:
        other = declared(pq.read_schema(path), str(path))
        if other != schema:
            raise DataError(f"{path} has other columns than {paths[0]}: {_described(other)}; not {_described(schema)}")
    twice = sorted({name for name in folders if name in schema})
    if twice:
        raise DataError(f"{paths[0]} has a column {twice[0]!r}, which its folder names too: rename one of them")
    name, further = _unique_name("parquet"), {**dict.fromkeys(folders, "string"), **({place: "int64"} if place else {})}
    frame = _placed(backend, schema, paths, place, firsts, folders)
    return _named(backend, frame, name, ibis.schema({**schema, **further}))


def _placed(
    backend: Any,
    schema: ibis.Schema,
    files: Sequence[Path],
    place: str,
    firsts: Sequence[int],
    folders: FolderColumns = MappingProxyType({}),
) -> Any:
    """Files with what is known of each: its folders' columns, and where it starts, which gives each row's place."""
    from pyspark.sql import functions

    with named_errors(), without_version_warnings():
        placed = [
            file.parent.resolve() / file.name for file in files
        ]  # Spark takes ".." by the letter, links or no links
        frame = _reader(backend, schema).parquet(*map(_literal, placed))
        if not place and not folders:
            return frame
        known = {**folders, **({_FIRST: firsts} if place else {})}
        columns = [functions.col(_quoted(name)) for name in schema.names]
        path = functions.regexp_replace("_metadata.file_path", _SCHEME, "/")
        numbered = frame.select(*columns, path.alias(_PATH), functions.col("_metadata.row_index").alias(_ROW))
        found = [re.sub(_SCHEME, "/", uri) for uri in frame.inputFiles()]
        numbers = {str(file): number for number, file in enumerate(placed)}
        order = [numbers[unquote(uri)] for uri in found]
        facts = pa.table({_PATH: found, **{name: [values[n] for n in order] for name, values in known.items()}})
        joined = numbered.join(functions.broadcast(backend._session.createDataFrame(facts)), _PATH)
        places = [(functions.col(_ROW) + functions.col(_FIRST)).alias(place)] if place else []
        return joined.select(*columns, *(functions.col(_quoted(name)) for name in folders), *places)


def _frame(table: Any) -> Any:
    """The Spark DataFrame of an expression, in the types that Ibis says it has."""
    from pyspark.sql import functions

    backend = table.get_backend()
    frame = backend._session.sql(backend.compile(table))
    wanted = spark_schema(table.schema())
    columns = []
    for field, given in zip(wanted, frame.schema, strict=True):
        column = functions.col(_quoted(field.name))
        is_same = field.dataType.simpleString() == given.dataType.simpleString()
        columns.append(column if is_same else column.cast(field.dataType).alias(field.name))
    return frame.select(*columns)


def _lying_in(folder: Path, backend: Any, schema: ibis.Schema) -> Any:
    """The DataFrame of the Parquet files in a folder."""
    with named_errors():
        return _reader(backend, schema).parquet(_address(folder))


def _reader(backend: Any, schema: ibis.Schema) -> Any:
    return backend._session.read.schema(spark_schema(schema))


def _named(backend: Any, frame: Any, name: str, schema: ibis.Schema) -> Any:
    """A lazy table over a DataFrame, with the types it was declared with."""
    with named_errors():
        frame.createOrReplaceTempView(name)
    return ops.DatabaseTable(name=name, schema=schema, source=backend, namespace=ops.Namespace()).to_expr()


@contextmanager
def _written(table: Any) -> Iterator[list[Path]]:
    """The evaluated rows as files in their order, for the length of a `with` block."""
    _, folder = _new_folder("fetched")
    try:
        with named_errors():
            _frame(table).write.parquet(_address(folder))
        yield _files(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    """What Spark wrote, in the order of its partitions."""
    return sorted(folder.glob("part-*"))


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path} as Parquet: {error}") from error


def _read(file: Path) -> pa.Table:
    with pq.ParquetFile(file) as opened:
        return opened.read()


def _new_folder(kind: str) -> tuple[str, Path]:
    """A name for a view, and the folder of its rows."""
    name = _unique_name(kind)
    return name, running().work_folder / name


def _unique_name(kind: str) -> str:
    return f"prismrec_{kind}_{uuid.uuid4().hex[:12]}"


def _address(path: Path) -> str:
    """A path on the disks that all machines see: without the scheme it lies on a cluster's own file system, as HDFS."""
    return f"file://{path.absolute()}"


def _literal(path: Path) -> str:
    """A path that Spark does not take for a glob."""
    return _GLOB.sub(r"\\\1", _address(path))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _described(schema: ibis.Schema) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in schema.items())


__all__ = [
    "arrow",
    "batches",
    "can_read",
    "drop",
    "moved",
    "read_parquet",
    "register",
    "small",
    "stored",
    "stored_in_order",
    "write_dataset",
    "write_parquet",
]
