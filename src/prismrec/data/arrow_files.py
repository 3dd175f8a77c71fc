"""Tables in Arrow files: written a batch at a time, memory-mapped where they are read.

A table is laid down in batches of `BATCH_ROWS` rows however it came; a mapped one is written again byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from prismrec.errors import ArtifactError

BATCH_ROWS = 262_144
"""Rows that are written at a time and lie together."""


def write_table(path: Path, table: pa.Table | pa.RecordBatchReader) -> None:
    """Write one Arrow IPC file; the caller makes it appear whole or not at all.

    Args:
        path: of the file.
        table: a table, in memory or mapped, or a stream of batches: of a stream one batch is in memory at a time, and
            dictionary-encoded columns are written as their values, since each batch may bring a dictionary of its own.
    """
    if isinstance(table, pa.Table):
        schema, batches = table.schema, iter(table.unify_dictionaries().to_batches())
    else:
        schema = pa.schema([field.with_type(_plain_type(field.type)) for field in table.schema])
        batches = (_plain(batch, schema) for batch in table)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in _equal_batches(batches):
            writer.write_batch(batch)


def map_table(path: Path) -> pa.Table:
    """Memory-map what `write_table` wrote.

    Raises:
        ArtifactError: the file is missing or damaged; names it.
    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"cannot read the table {path}: {error}") from error


class TableRows:
    """Looks rows up by number in a table of several batches.

    Arrow's own `take` first copies every column of such a table into one piece, at every call.
    """

    def __init__(self, table: pa.Table) -> None:
        """Bind the table; nothing is copied."""
        self._batches = table.to_batches()
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def take(self, rows: ArrayLike) -> list[dict[str, Any]]:
        """The rows as column -> value, in the order asked for; O(rows asked for)."""
        places = np.asarray(rows, np.int64)
        owners = np.searchsorted(self._starts, places, side="right") - 1
        found: list[dict[str, Any]] = [{}] * len(places)
        for owner in np.unique(owners).tolist():
            here = np.flatnonzero(owners == owner)
            taken = self._batches[owner].take(pa.array(places[here] - self._starts[owner])).to_pylist()
            for place, row in zip(here.tolist(), taken, strict=True):
                found[place] = row
        return found


def _equal_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, `BATCH_ROWS` in every batch but the last."""
    parts: list[pa.RecordBatch] = []
    n_waiting = 0
    for batch in batches:
        while batch.num_rows:
            part = batch.slice(0, BATCH_ROWS - n_waiting)
            batch = batch.slice(part.num_rows)
            parts.append(part)
            n_waiting += part.num_rows
            if n_waiting == BATCH_ROWS:
                yield _one_batch(parts)
                parts, n_waiting = [], 0
    if parts:
        yield _one_batch(parts)


def _one_batch(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [c.dictionary_decode() if isinstance(c, pa.DictionaryArray) else c for c in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


__all__ = ["BATCH_ROWS", "TableRows", "map_table", "write_table"]
