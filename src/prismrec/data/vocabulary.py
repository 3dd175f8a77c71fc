"""External ids to dense indices and back: one vocabulary per node type, from the log to the answer.

Ids stay what they are (64-bit integers, strings, UUIDs) in an Arrow array; an index is a place in it. A new
vocabulary is ordered by falling count (ties by id), so that the rows a kernel touches most lie together in cache. It
only ever grows at its end: retraining keeps the index of every known id.

Looking an id up is a binary search over a stored sort order: nothing is built when a bundle is opened, and 100 M
string ids never become a Python dict.
"""

from __future__ import annotations

import bisect
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

from prismrec.data.blocks import row_blocks
from prismrec.data.ids import (
    KEY_TYPES,
    KIND_NAMES,
    UUID_TYPE,
    comparable,
    external,
    id_array,
    id_kind,
    joined,
    one_chunk,
    plain_integer,
    sort_key,
)
from prismrec.data.schema import UNKNOWN
from prismrec.errors import ArtifactError, DataError, UnknownIdError

_FEW = 4  # ids asked for are few where the vocabulary holds more than so many times as many


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
        vocabulary._refuse_repeats()
        return vocabulary

    def _refuse_repeats(self) -> None:
        """Equal ids are neighbours in the sort order: no hash table, which would take several times the memory."""
        width = 2 * (self.ids.nbytes // max(1, len(self)) + 16)
        for rows in row_blocks(len(self) - 1, width):
            run = self.ids.take(pa.array(self.sort_order[rows.start : rows.stop + 1]))
            same = pc.equal(run[1:], run[:-1])
            if pc.any(same, min_count=0).as_py():
                twice = run[pc.index(same, True).as_py()].as_py()
                raise DataError(f"id {external(twice)!r} appears more than once in the vocabulary")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sort_order(self) -> NDArray[np.int64]:
        """(n,) int64: the indices in the order of their ids."""
        return np.asarray(pc.sort_indices(self.ids)).view(np.int64)

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
        key = comparable(external_id)
        if type(key) is not KEY_TYPES[id_kind(self.ids.type)]:
            return UNKNOWN
        key = sort_key(key)
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
        keys = [comparable(external_id) for external_id in external_ids]
        if keys and id_kind(self.ids.type) == "integer" and all(type(key) is int for key in keys):
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
        return type(comparable(external_id)) is KEY_TYPES[id_kind(self.ids.type)]

    @property
    def kind_name(self) -> str:
        """What the ids are, in words: integers, strings or UUIDs."""
        return KIND_NAMES[id_kind(self.ids.type)]

    def parsed(self, text: str) -> Any:
        """The id that a text from a command line or an address stands for: text, integer or UUID, as the ids are.

        Integers are plain digits, a minus before them at most. Text that cannot be such an id comes back as it is, and
        is then unknown.
        """
        read: dict[str, Callable[[str], Any]] = {"string": str, "integer": plain_integer, "uuid": uuid.UUID}
        try:
            return read[id_kind(self.ids.type)](text)
        except ValueError:
            return text

    @cached_property
    def _reader(self) -> Callable[[int], Any]:
        """The id at an index as something that sorts like Arrow sorts it, straight from the Arrow buffers.

        An Arrow scalar per comparison would make a look-up three times as slow.
        """
        if id_kind(self.ids.type) == "integer":
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
        """(n,) int64 indices of many ids, -1 where unknown or missing.

        Where few are asked for these are hashed and the vocabulary passes by; else the vocabulary is hashed, at some 85
        bytes an id: 8.5 GB for 100 M texts.

        Raises:
            DataError: the ids are of a type that is not usable as an id.
        """
        array = id_array(ids)
        if len(array) == 0 or id_kind(array.type) != id_kind(self.ids.type):
            return np.full(len(array), UNKNOWN, np.int64)
        if id_kind(array.type) == "integer" and array.type != self.ids.type:  # beyond the other's range is unknown
            fits = (
                pc.less(array, pa.scalar(2**63, pa.uint64()))
                if array.type == pa.uint64()
                else pc.greater_equal(array, 0)
            )
            array = pc.if_else(fits, array, pa.scalar(None, array.type))
        asked = array.cast(self.ids.type)
        if _FEW * len(asked) < len(self):
            return self._found(asked)
        return _places_in(self.ids, asked).astype(np.int64)

    def _found(self, asked: pa.Array) -> NDArray[np.int64]:
        """Indices of some ids, found by going through the vocabulary."""
        coded = asked.dictionary_encode()
        place_of_code = np.full(len(coded.dictionary) + 1, UNKNOWN, np.int64)  # the last is that of a missing id
        codes = _places_in(coded.dictionary, self.ids)
        known = np.flatnonzero(codes != UNKNOWN)
        place_of_code[codes[known]] = known
        return np.asarray(place_of_code[np.asarray(coded.indices.fill_null(len(coded.dictionary)))])

    def id_of(self, index: int) -> Any:
        """The external id at an index, in its own Python type."""
        return external(self.ids[index].as_py())

    def ids_of(self, indices: Any) -> list[Any]:
        """The external ids at many indices."""
        return [external(value) for value in self.ids.take(pa.array(np.asarray(indices, np.int64))).to_pylist()]

    def extended(self, other: Vocabulary) -> Vocabulary:
        """This vocabulary with the ids of `other` that it lacks appended in their order; counts are those of `other`.

        Known ids keep their index (warm start); an id that `other` lacks keeps its place with count 0.

        Raises:
            DataError: the ids are of another type than before.
        """
        if len(self) == 0:
            return Vocabulary(other.ids, other.counts)
        if len(other) and id_kind(self.ids.type) != id_kind(other.ids.type):
            raise DataError(f"ids changed their type: {self.ids.type} before, {other.ids.type} now")
        places = self.indices_of(other.ids)
        fresh = places == UNKNOWN
        ids = joined(self.ids, other.ids.filter(pa.array(fresh)))
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
            vocabulary = cls(one_chunk(ids), one_chunk(counts).to_numpy())
        except (OSError, pa.ArrowInvalid, KeyError, DataError) as error:
            raise ArtifactError(f"cannot read the vocabulary {path}: {error}") from error
        vocabulary.__dict__["sort_order"] = one_chunk(order).to_numpy()
        return vocabulary


def _places_in(values: pa.Array, asked: pa.Array) -> NDArray[np.int32]:
    """(n,) int32: where the asked ids stand among distinct values, -1 where they do not; hashes the values."""
    return np.asarray(pc.index_in(asked, value_set=values).fill_null(UNKNOWN))


__all__ = ["UUID_TYPE", "Vocabulary", "id_array"]
