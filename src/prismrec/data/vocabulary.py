"""External ids to dense indices and back: one vocabulary per node type, from the log to the answer.

Ids stay what they are (64-bit integers, strings, UUIDs) in an Arrow array; an index is a place in it. A new
vocabulary is ordered by falling count (ties by id), so that the rows a kernel touches most lie together in cache. It
only ever grows at its end: retraining keeps the index of every known id.

Looking an id up is a binary search over a stored sort order: nothing is built when a bundle is opened, and 100 M
string ids never become a Python dict.
"""

from __future__ import annotations

import bisect
import re
import uuid
from collections.abc import Callable, Sequence
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


_DIGITS = re.compile(r"-?[0-9]{1,20}")
"""What an integer id of 64 bits looks like as text."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Ids and how often each occurred in training.

    Attributes:
        ids: Arrow array of n distinct ids: int64, uint64, string or 16-byte UUIDs; other widths and encodings of
            integers and text become one of these.
        counts: (n,) int64.
    """

    ids: pa.Array
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", id_array(self.ids))
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
        vocabulary = cls(array, np.zeros(len(array), np.int64) if counts is None else np.asarray(counts, np.int64))
        if pc.count_distinct(array).as_py() != len(array):
            occurrences = pc.value_counts(array)
            twice = occurrences.filter(pc.greater(occurrences.field("counts"), 1)).field("values")
            raise DataError(f"id {_external(twice[0].as_py())!r} appears more than once in the vocabulary")
        return vocabulary

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
            hint = "" if self.accepts(external_id) else f"; ids here are {self.kind_name}"
            raise UnknownIdError(f"unknown id {external_id!r}: it is not among the {len(self)} known ids{hint}")
        return index

    def find(self, external_id: Any) -> int:
        """The index of one id, or -1."""
        key = _comparable(external_id)
        if type(key) is not _KEY_TYPES[_kind(self.ids.type)]:
            return UNKNOWN
        key = _sort_key(key)
        read = self._reader
        place = bisect.bisect_left(self.sort_order, key, key=read)
        if place == len(self):
            return UNKNOWN
        index = int(self.sort_order[place])
        return index if read(index) == key else UNKNOWN

    def find_all(self, external_ids: Sequence[Any]) -> NDArray[np.int64]:
        """(n,) int64: `find` for a few ids at once; of ids of several types each is looked up as what it is.

        Integers take one search together, far faster than one by one; `indices_of` is for very many.
        """
        keys = [_comparable(external_id) for external_id in external_ids]
        if keys and _kind(self.ids.type) == "integer" and all(type(key) is int for key in keys):
            integers = self.ids.to_numpy()
            low, high = np.iinfo(integers.dtype).min, np.iinfo(integers.dtype).max
            if len(integers) and all(low <= key <= high for key in keys):
                wanted = np.array(keys, integers.dtype)
                places = np.searchsorted(integers, wanted, sorter=self.sort_order)
                found = self.sort_order[np.minimum(places, len(integers) - 1)]
                return np.where(integers[found] == wanted, found, UNKNOWN)
        return np.array([self.find(key) for key in keys], np.int64)

    def accepts(self, external_id: Any) -> bool:
        """Whether an id has the type that the ids here have."""
        return type(_comparable(external_id)) is _KEY_TYPES[_kind(self.ids.type)]

    @property
    def kind_name(self) -> str:
        """What the ids are, in words: integers, strings or UUIDs."""
        return _KIND_NAMES[_kind(self.ids.type)]

    def parsed(self, text: str) -> Any:
        """The id that a text from a command line or an address stands for: text, integer or UUID, as the ids are.

        Integers are plain digits, a minus before them at most. Text that cannot be such an id comes back as it is, and
        is then unknown.
        """
        read: dict[str, Callable[[str], Any]] = {"string": str, "integer": _plain_integer, "uuid": uuid.UUID}
        try:
            return read[_kind(self.ids.type)](text)
        except ValueError:
            return text

    @cached_property
    def _reader(self) -> Callable[[int], Any]:
        """The id at an index as something that sorts like Arrow sorts it, straight from the Arrow buffers.

        An Arrow scalar per comparison would make a look-up three times as slow.
        """
        if _kind(self.ids.type) == "integer":
            integers = memoryview(self.ids.to_numpy())
            return lambda index: integers[index]
        start = self.ids.offset
        if self.ids.type == UUID_TYPE:
            fixed = memoryview(self.ids.buffers()[1] or b"").cast("B")
            return lambda index: bytes(fixed[16 * (start + index) : 16 * (start + index + 1)])
        _, places, text = self.ids.buffers()
        ends = memoryview(places or b"").cast("B").cast("q" if self.ids.type == pa.large_string() else "i")
        letters = memoryview(text or b"").cast("B")
        return lambda index: bytes(letters[ends[start + index] : ends[start + index + 1]])

    def indices_of(self, ids: Sequence[Any] | pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """(n,) int64 indices of many ids, -1 where unknown or missing; hashes the whole vocabulary once per call.

        Raises:
            DataError: the ids are of a type that is not usable as an id.
        """
        array = id_array(ids)
        if len(array) == 0 or _kind(array.type) != _kind(self.ids.type):
            return np.full(len(array), UNKNOWN, np.int64)
        if _kind(array.type) == "integer" and array.type != self.ids.type:  # beyond the other's range is unknown
            fits = (
                pc.less(array, pa.scalar(2**63, pa.uint64()))
                if array.type == pa.uint64()
                else pc.greater_equal(array, 0)
            )
            array = pc.if_else(fits, array, pa.scalar(None, array.type))
        found = pc.index_in(array.cast(self.ids.type), value_set=self.ids)
        return np.asarray(found.fill_null(UNKNOWN)).astype(np.int64)

    def id_of(self, index: int) -> Any:
        """The external id at an index, in its own Python type."""
        return _external(self.ids[index].as_py())

    def ids_of(self, indices: Any) -> list[Any]:
        """The external ids at many indices."""
        return [_external(value) for value in self.ids.take(pa.array(np.asarray(indices, np.int64))).to_pylist()]

    def extended(self, other: Vocabulary) -> Vocabulary:
        """This vocabulary with the ids of `other` that it lacks appended in their order; counts are those of `other`.

        Known ids keep their index (warm start); an id that `other` lacks keeps its place with count 0.

        Raises:
            DataError: the ids are of another type than before.
        """
        if len(self) == 0:
            return Vocabulary(other.ids, other.counts)
        if len(other) and _kind(self.ids.type) != _kind(other.ids.type):
            raise DataError(f"ids changed their type: {self.ids.type} before, {other.ids.type} now")
        places = self.indices_of(other.ids)
        fresh = places == UNKNOWN
        ids = _joined(self.ids, other.ids.filter(pa.array(fresh)))
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
            vocabulary = cls(_one_chunk(ids), _one_chunk(counts).to_numpy())
        except (OSError, pa.ArrowInvalid, KeyError, DataError) as error:
            raise ArtifactError(f"cannot read the vocabulary {path}: {error}") from error
        vocabulary.__dict__["sort_order"] = _one_chunk(order).to_numpy()
        return vocabulary


def id_array(ids: Sequence[Any] | pa.Array | pa.ChunkedArray) -> pa.Array:
    """Ids as an Arrow array of one of the supported id types, unchanged in value.

    Raises:
        DataError: the type is not usable as an id; floats are refused, since a large id would lose digits.
    """
    array = ids if isinstance(ids, (pa.Array, pa.ChunkedArray)) else _from_python(ids)
    if isinstance(array, pa.ChunkedArray):
        array = _one_chunk(array)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = _kind(array.type)
    if kind == "integer":
        return array if array.type == pa.uint64() else array.cast(pa.int64())
    if kind == "string":
        return array if array.type == pa.large_string() else array.cast(pa.string())
    if kind == "uuid":
        return array
    raise DataError(
        f"ids of type {array.type} are not supported: use integers, strings or UUIDs"
        + (" (a float id has already lost digits: read the column as text)" if pa.types.is_floating(array.type) else "")
    )


def _from_python(ids: Sequence[Any]) -> pa.Array:
    values = [_comparable(i) for i in ids]
    n_uuids = sum(isinstance(i, uuid.UUID) for i in ids)
    if 0 < n_uuids < sum(value is not None for value in values):
        raise DataError("ids must all be of one type (integers, strings or UUIDs): UUIDs came among others")
    if n_uuids:
        return pa.array(values, UUID_TYPE)
    try:
        return pa.array(values)
    except OverflowError:
        return _from_large_integers(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise DataError(f"ids must all be of one type (integers, strings or UUIDs): {error}") from error


def _from_large_integers(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.uint64())
    except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"integer ids must fit into 64 bits, all signed or all unsigned: {error}") from error


_KEY_TYPES = {"integer": int, "string": str, "uuid": bytes}
_KIND_NAMES = {"integer": "integers", "string": "strings", "uuid": "UUIDs"}


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if kind == UUID_TYPE:
        return "uuid"
    return "string" if pa.types.is_null(kind) else "other"  # nothing but missing ids, or no id at all


def _plain_integer(text: str) -> int:
    """Python's own reading takes spaces, underscores, other scripts' digits, and any length."""
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"{text[:50]!r} is no plain integer")
    return int(text)


def _comparable(external_id: Any) -> Any:
    if isinstance(external_id, uuid.UUID):
        return external_id.bytes
    if isinstance(external_id, np.generic):
        return external_id.item()
    return external_id


def _external(value: Any) -> Any:
    return uuid.UUID(bytes=value) if isinstance(value, bytes) else value


def _joined(ids: pa.Array, fresh: pa.Array) -> pa.Array:
    """Both one after the other, in the type of the first if that holds all of them, else in that of the second."""
    for kind in (ids.type, fresh.type):
        try:
            return pa.concat_arrays([ids.cast(kind), fresh.cast(kind)])
        except pa.ArrowInvalid:  # an unsigned id beyond 2^63, a negative one, or more text than 32-bit offsets address
            continue
    raise DataError("negative ids and ids of 2^63 and above have no integer type in common: read the id column as text")


def _sort_key(value: Any) -> Any:
    """Arrow sorts text by its UTF-8 bytes; a lone surrogate, which no id holds, stays encodable."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


__all__ = ["UUID_TYPE", "Vocabulary", "id_array"]
