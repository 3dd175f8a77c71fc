"""Arrays that lie in files without a name: as large as the disk has room, and gone with the process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from prismrec.data.vocabulary import UUID_TYPE, id_array
from prismrec.errors import ArtifactError

_LARGE = 1 << 31
"""Bytes of text that 32-bit offsets no longer address."""


class Scratch:
    """Makes arrays whose pages the system may write to disk and drop."""

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder for the files; the system's temporary one unless given."""
        self._folder = folder

    def array(self, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """(n,) of a type, zeros.

        Raises:
            ArtifactError: there is no room for it.
        """
        if n == 0:
            return np.zeros(0, dtype)
        with self._named(), tempfile.TemporaryFile(dir=self._folder) as file:
            _reserve(file.fileno(), n * np.dtype(dtype).itemsize)
            return np.asarray(np.memmap(file, dtype, "r+", shape=(n,)))

    def ids(self, n: int, kind: pa.DataType, chunks: Iterable[pa.Array]) -> pa.Array:
        """n ids that come in chunks of a type, as one array of an id type.

        Raises:
            ArtifactError: there is no room for them.
            DataError: they are no ids.
        """
        kind, arrays = id_array(pa.array([], kind)).type, (id_array(chunk) for chunk in chunks)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._text(n, arrays)
        width = 16 if kind == UUID_TYPE else 8
        data, place = self.array(n * width, np.uint8), 0
        for array in arrays:
            raw = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width :][: len(array) * width]
            data[place : place + len(raw)] = raw
            place += len(raw)
        return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(data)])

    def table(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
        """A table of batches.

        Raises:
            ArtifactError: there is no room for it.
        """
        with self._named(), tempfile.TemporaryFile(dir=self._folder) as file:
            with pa.ipc.new_file(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            stored = np.asarray(np.memmap(file, np.uint8, "r"))
        return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(stored))).read_all()

    def _text(self, n: int, chunks: Iterable[pa.Array]) -> pa.Array:
        ends, row = self.array(n + 1, np.int64), 0
        with self._named(), tempfile.TemporaryFile(dir=self._folder) as file:
            for chunk in chunks:
                text = chunk.cast(pa.large_string())
                offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset :][: len(text) + 1]
                file.write(memoryview(text.buffers()[2] or b"")[offsets[0] : offsets[-1]])
                ends[row + 1 : row + 1 + len(text)] = ends[row] + offsets[1:] - offsets[0]
                row += len(text)
            file.flush()
            data = np.asarray(np.memmap(file, np.uint8, "r")) if ends[row] else np.zeros(0, np.uint8)
        if ends[row] < _LARGE:
            short = self.array(n + 1, np.int32)
            short[:] = ends
            return pa.StringArray.from_buffers(n, pa.py_buffer(short), pa.py_buffer(data))
        return pa.LargeStringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(data))

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ArtifactError(
                f"cannot keep what is read in {self._folder or tempfile.gettempdir()}: {error}"
            ) from error


def _reserve(file: int, n_bytes: int) -> None:
    """Take the room on the disk, so that a lack of it is known now and not at a write; macOS cannot."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, n_bytes)
    else:
        os.ftruncate(file, n_bytes)


__all__ = ["Scratch"]
