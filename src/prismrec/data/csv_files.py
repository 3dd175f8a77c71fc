"""Text files as tables of text: the header names the columns, malformed lines are set aside and counted."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from prismrec.data import engine
from prismrec.data.engines.duckdb_engine import identifier, named, quoted, statement, unique_name
from prismrec.errors import DataError

_DELIMITERS = (",", "\t", ";", "|")
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class MalformedLine:
    """A line that is not a row: wrong number of fields, broken quotes, not UTF-8."""

    reason: str
    file: str
    row: int
    text: str


Malformed = tuple[MalformedLine, ...]


@dataclass(frozen=True)
class _Header:
    columns: tuple[str, ...]
    delimiter: str


def read_csv_files(paths: list[Path], backend: Any, place: str) -> tuple[Any, list[int], Malformed]:
    """Read files of one header into one table of text on the engine.

    Args:
        place: name of the column that gets the 1-based place of each row in the whole input, malformed rows counted.

    Returns:
        The table; the rows of each file, malformed ones included; the malformed lines.

    Raises:
        DataError: a file is empty, unreadable, or its header differs from the first file's.
    """
    header = _read_header(paths[0])
    name = unique_name("csv")
    columns = ", ".join(f"{identifier(c)} VARCHAR" for c in header.columns)
    statement(backend, f"CREATE TEMP TABLE {name} ({columns}, {place} BIGINT)")
    counts, malformed, first = [], [], 1
    for path in paths:
        if _read_header(path) != header:
            raise DataError(f"{path} has other columns than {paths[0]}: {', '.join(_read_header(path).columns)}")
        n_rows, lines = _append(backend, name, path, header, first)
        counts.append(n_rows)
        malformed.extend(lines)
        first += n_rows
    return named(backend, name), counts, tuple(malformed)


def _read_header(path: Path) -> _Header:
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            line = stream.read(_LONGEST_HEADER).split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} as UTF-8 text: {error}") from error
    if not line.strip():
        raise DataError(f"{path} is empty: expected a header line that names the columns")
    delimiter = max(_DELIMITERS, key=line.count)
    columns = tuple(next(csv.reader(io.StringIO(line), delimiter=delimiter)))
    twice = {c.lower() for c in columns if [d.lower() for d in columns].count(c.lower()) > 1}
    if twice:
        raise DataError(f"{path} names the column {sorted(twice)[0]!r} more than once")
    return _Header(columns, delimiter)


def _append(backend: Any, name: str, path: Path, header: _Header, first: int) -> tuple[int, list[MalformedLine]]:
    """Append one file's rows; a row's place leaves room for the malformed rows before it."""
    rejects, scan = unique_name("rejects"), unique_name("scan")
    fields = ", ".join(f"{quoted(c)}: 'VARCHAR'" for c in header.columns)
    options = (
        f"auto_detect = false, header = true, delim = {quoted(header.delimiter)}, quote = '\"', escape = '\"', "
        f"nullstr = '', columns = {{{fields}}}, store_rejects = true, "
        f"rejects_table = '{rejects}', rejects_scan = '{scan}'"
    )
    staged = unique_name("staged")
    try:
        statement(backend, f"CREATE TEMP TABLE {staged} AS SELECT * FROM read_csv({quoted(path)}, {options})")
    except DataError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    lines = _malformed_lines(backend, rejects, path)
    good = int(engine.one_row(named(backend, staged).count().name("n").as_table())["n"])
    statement(backend, f"INSERT INTO {name} {_placed_sql(backend, staged, lines, first)}")
    for table in (staged, rejects, scan):
        statement(backend, f"DROP TABLE {table}")
    return good + len(lines), lines


def _malformed_lines(backend: Any, rejects: str, path: Path) -> list[MalformedLine]:
    """One entry per line that was lost; a quote that never closes swallows the lines after it too."""
    found = engine.arrow(named(backend, rejects).select("line", "error_type", "csv_line").order_by("line"))
    lines: dict[int, MalformedLine] = {}
    for entry in found.to_pylist():
        reason = f"malformed line: {entry['error_type'].lower()}"
        for offset, text in enumerate(entry["csv_line"].strip("\r\n").splitlines() or [""]):
            row = int(entry["line"]) - 1 + offset  # line 1 is the header
            lines.setdefault(row, MalformedLine(reason, str(path), row, text))
    return list(lines.values())


def _placed_sql(backend: Any, staged: str, lines: list[MalformedLine], first: int) -> str:
    """The place of the k-th good row: k, plus one for every malformed row before it."""
    if not lines:
        return f"SELECT *, rowid + {first} FROM {staged}"
    rows = np.sort(np.array([line.row for line in lines], np.int64))
    # The k-th good row (from 0) stands behind i malformed ones if the i-th of them is row k + i or earlier.
    starts, n_each = np.unique(rows - np.arange(1, len(rows) + 1), return_counts=True)
    bounds = engine.register(backend, pa.table({"start": starts, "shift": np.cumsum(n_each)})).get_name()
    return (
        f"SELECT rows.* EXCLUDE (k), k + {first} + coalesce(shift, 0) "
        f"FROM (SELECT *, rowid AS k FROM {staged}) AS rows "
        f"ASOF LEFT JOIN {bounds} AS bounds ON rows.k >= bounds.start"
    )


__all__ = ["Malformed", "MalformedLine", "read_csv_files"]
