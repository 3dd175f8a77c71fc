"""External ids to dense indices and back: one vocabulary per node type, from the log to the answer.

Ids stay what they are (64-bit integers, strings, UUIDs) in an Arrow array; an index is a place in it. A new
vocabulary is ordered by falling count (ties by id), so that the rows a kernel touches most lie together in cache. It
only ever grows at its end: retraining keeps the index of every known id.

Looking an id up is a binary search over a stored sort order: nothing is built when a bundle is opened, and 100 M
string ids never become a Python dict.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.errors import ArtifactError, DataError, UnknownIdError

UUID_TYPE = pa.binary(16)
"""UUIDs are kept as their 16 bytes and come back as `uuid.UUID`."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Ids and how often each occurred in training.

    Attributes:
        ids: Arrow array of n distinct ids: int64, uint64, string or 16-byte UUIDs.
        counts: (n,) int64.
    """

    ids: pa.Array
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.ids.null_count:
            raise DataError(f"a vocabulary cannot hold a missing id ({self.ids.null_count} found)")
        if len(self.ids) != len(self.counts):
            raise DataError(f"{len(self.ids)} ids but {len(self.counts)} counts")

    @classmethod
    def from_ids(cls, ids: Sequence[Any] | pa.Array, counts: Any = None) -> Vocabulary:
        """A vocabulary in the given order; counts are zero unless given.

        Raises:
            DataError: an id is missing, appears twice, or has an unsupported type.
        """
        array = id_array(ids)
        if pc.count_distinct(array).as_py() != len(array):
            twice = pc.value_counts(array).filter(pc.greater(pc.value_counts(array).field("counts"), 1))
            raise DataError(f"id {twice[0]['values'].as_py()!r} appears more than once in the vocabulary")
        return cls(array, np.zeros(len(array), np.int64) if counts is None else np.asarray(counts, np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sort_order(self) -> NDArray[np.int64]:
        """(n,) int64: the indices in the order of their ids."""
        return np.asarray(pc.sort_indices(self.ids)).astype(np.int64)

    def index_of(self, external_id: Any) -> int:
        """The index of one id; `numpy` scalars and Python values are the same id.

        Raises:
            UnknownIdError: the vocabulary does not hold it.
        """
        index = self.find(external_id)
        if index == UNKNOWN:
            raise UnknownIdError(f"unknown id {external_id!r}: it is not among the {len(self)} known ids")
        return index

    def find(self, external_id: Any) -> int:
        """The index of one id, or -1."""
        key = _comparable(external_id)
        if type(key) is not _KEY_TYPES[_kind(self.ids.type)]:
            return UNKNOWN
        order = self.sort_order
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            if _sort_key(self.ids[int(order[middle])].as_py()) < _sort_key(key):
                low = middle + 1
            else:
                high = middle
        found = low < len(order) and self.ids[int(order[low])].as_py() == key
        return int(order[low]) if found else UNKNOWN

    def indices_of(self, ids: Sequence[Any] | pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """(n,) int64 indices of many ids, -1 where unknown; hashes the whole vocabulary once per call."""
        array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else id_array(ids)
        if len(array) == 0 or _kind(array.type) != _kind(self.ids.type):
            return np.full(len(array), UNKNOWN, np.int64)
        found = pc.index_in(array.cast(self.ids.type), value_set=self.ids)
        return np.asarray(found.fill_null(UNKNOWN)).astype(np.int64)

    def id_of(self, index: int) -> Any:
        """The external id at an index, in its own Python type."""
        value = self.ids[index].as_py()
        return uuid.UUID(bytes=value) if self.ids.type == UUID_TYPE else value

    def ids_of(self, indices: Any) -> list[Any]:
        """The external ids at many indices."""
        values = self.ids.take(pa.array(np.asarray(indices, np.int64))).to_pylist()
        return [uuid.UUID(bytes=v) for v in values] if self.ids.type == UUID_TYPE else values

    def extended(self, other: Vocabulary) -> Vocabulary:
        """This vocabulary with the ids of `other` that it lacks appended in their order; counts are those of `other`.

        Known ids keep their index (warm start); an id that `other` lacks keeps its place with count 0.
        """
        if _kind(self.ids.type) != _kind(other.ids.type):
            raise DataError(f"ids changed their type: {self.ids.type} before, {other.ids.type} now")
        places = self.indices_of(other.ids)
        fresh = places == UNKNOWN
        ids = pa.concat_arrays([self.ids, other.ids.filter(pa.array(fresh)).cast(self.ids.type)])
        places[fresh] = len(self) + np.arange(fresh.sum())
        counts = np.zeros(len(ids), np.int64)
        counts[places] = other.counts
        return Vocabulary(ids, counts)

    def save(self, path: Path) -> None:
        """Write one Arrow IPC file that `load` memory-maps."""
        table = pa.table({"id": self.ids, "count": self.counts, "sort_order": self.sort_order})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Memory-map what `save` wrote.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            ids, counts, order = (table.column(name) for name in ("id", "count", "sort_order"))
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise ArtifactError(f"cannot read the vocabulary {path}: {error}") from error
        vocabulary = cls(_one_chunk(ids), _one_chunk(counts).to_numpy())
        vocabulary.__dict__["sort_order"] = _one_chunk(order).to_numpy()
        return vocabulary


def id_array(ids: Sequence[Any] | pa.Array) -> pa.Array:
    """Ids as an Arrow array of one of the supported id types, unchanged in value.

    Raises:
        DataError: the type is not usable as an id; floats are refused, since a large id would lose digits.
    """
    if isinstance(ids, pa.Array):
        array = ids
    elif len(ids) and isinstance(ids[0], uuid.UUID):
        array = pa.array([i.bytes for i in ids], UUID_TYPE)
    else:
        try:
            array = pa.array([i.item() if isinstance(i, np.generic) else i for i in ids])
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataError(f"ids must all be of one type (integers, strings or UUIDs): {error}") from error
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = _kind(array.type)
    if kind == "integer":
        return array if array.type == pa.uint64() else array.cast(pa.int64())
    if kind == "string":
        return array.cast(pa.large_string() if array.type == pa.large_string() else pa.string())
    if kind in ("uuid", "null"):
        return array
    raise DataError(
        f"ids of type {array.type} are not supported: use integers, strings or UUIDs"
        + (" (a float id has already lost digits: read the column as text)" if pa.types.is_floating(array.type) else "")
    )


_KEY_TYPES = {"integer": int, "string": str, "uuid": bytes, "null": type(None), "other": object}


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    if kind == UUID_TYPE:
        return "uuid"
    return "null" if pa.types.is_null(kind) else "other"


def _comparable(external_id: Any) -> Any:
    if isinstance(external_id, uuid.UUID):
        return external_id.bytes
    if isinstance(external_id, np.generic):
        return external_id.item()
    return external_id


def _sort_key(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value  # Arrow sorts text by its UTF-8 bytes


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


__all__ = ["UUID_TYPE", "Vocabulary", "id_array"]
