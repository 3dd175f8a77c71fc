"""Ids and their counts as a stream of batches: read from Parquet files, and laid down in files that are memory-mapped.

What a vocabulary of 100 M ids needs in one piece is addressed, not held: each batch is appended to plain files (values,
or text and where each id ends), and Arrow arrays over these files are its buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prismrec.data.blocks import row_blocks
from prismrec.data.ids import id_array, id_kind
from prismrec.errors import DataError

_ROWS = 262_144  # ids that are read at a time

_MOST_TEXT = 2**31 - 1  # bytes that 32-bit offsets address


def from_parquet(files: Iterable[Path], id: str = "id", count: str = "count") -> Iterator[tuple[pa.Array, pa.Array]]:
    """Ids and counts from Parquet files, file after file and row after row, a bounded number at a time.

    Raises:
        DataError: a file cannot be read, or lacks a column; names the file.
    """
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS, columns=[id, count]):
                    yield batch.column(id), batch.column(count)
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise DataError(f"cannot read ids from {path}, columns {id!r} and {count!r}: {error}") from error


def spooled(folder: Path, batches: Iterable[tuple[Any, Any]]) -> tuple[pa.Array, NDArray[np.int64]]:
    """All ids and counts of a stream as memory-mapped arrays over files in `folder`.

    The files may be removed while the arrays are in use.

    Returns:
        (n,) ids, and (n,) int64 counts.

    Raises:
        DataError: an id is missing or of another type than those before it, or counts are of another length.
    """
    with _Spool(folder) as spool:
        for ids, counts in batches:
            spool.add(id_array(ids), np.ascontiguousarray(counts, np.int64))
    return spool.ids(), np.frombuffer(_mapped(folder / "counts"), np.int64)


class _Spool:
    """Files that batches are appended to, and what is known so far: type and number of ids, length of their text."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._type = pa.string()  # that of no ids at all
        self._n = 0
        self._n_bytes = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            files = [stack.enter_context(open(self._folder / name, "wb")) for name in ("values", "ends", "counts")]
            self._values, self._ends, self._counts = files
            self._ends.write(np.zeros(1, np.int64).data)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, ids: pa.Array, counts: NDArray[np.int64]) -> None:
        """Append a batch."""
        if ids.null_count:
            row = self._n + int(np.flatnonzero(np.asarray(ids.is_null()))[0])
            raise DataError(f"a vocabulary cannot hold a missing id (the first is that of index {row})")
        if len(ids) != len(counts):
            raise DataError(f"{len(ids)} ids but {len(counts)} counts from index {self._n} on")
        if not len(ids):
            return
        if self._n and ids.type != self._type:
            raise DataError(f"ids changed their type at index {self._n}: {self._type} before, {ids.type} now")
        self._type = ids.type
        if id_kind(ids.type) == "string":
            self._add_text(ids)
        else:
            width = ids.type.bit_width // 8
            self._values.write(memoryview(ids.buffers()[1])[ids.offset * width : (ids.offset + len(ids)) * width])
        self._counts.write(counts.data)
        self._n += len(ids)

    def _add_text(self, ids: pa.Array) -> None:
        _, places, text = ids.buffers()
        width = np.int64 if ids.type == pa.large_string() else np.int32
        ends = np.frombuffer(places, width)[ids.offset : ids.offset + len(ids) + 1].astype(np.int64)
        self._values.write(memoryview(text or b"")[ends[0] : ends[-1]])
        self._ends.write((ends[1:] - ends[0] + self._n_bytes).data)
        self._n_bytes += int(ends[-1] - ends[0])

    def ids(self) -> pa.Array:
        """The array over the files."""
        values = _mapped(self._folder / "values")
        if id_kind(self._type) != "string":
            return pa.Array.from_buffers(self._type, self._n, [None, values])
        kind = pa.large_string() if self._n_bytes > _MOST_TEXT else self._type
        ends = self._folder / "ends"
        if kind == pa.string():
            ends = _narrowed(ends, self._n + 1)
        return pa.Array.from_buffers(kind, self._n, [None, _mapped(ends), values])


def _narrowed(path: Path, n: int) -> Path:
    """64-bit offsets as 32-bit ones, in a file beside."""
    wide, narrow = np.memmap(path, np.int64, "r", shape=(n,)), path.with_suffix(".narrow")
    with open(narrow, "wb") as file:
        for rows in row_blocks(n, 12):
            file.write(wide[rows].astype(np.int32).data)
    return narrow


def _mapped(path: Path) -> pa.Buffer:
    """A file as a buffer; an empty one cannot be mapped."""
    if not path.stat().st_size:
        return pa.py_buffer(b"")
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


__all__ = ["from_parquet", "spooled"]
