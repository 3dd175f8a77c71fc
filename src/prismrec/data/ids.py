"""What an id is: an integer, a string or a UUID, as an Arrow array, a Python value, and a key that sorts like Arrow."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from prismrec.errors import DataError

UUID_TYPE = pa.binary(16)
"""UUIDs are kept as their 16 bytes and come back as `uuid.UUID`."""

KEY_TYPES = {"integer": int, "string": str, "uuid": bytes}
"""Kind of ids -> what `comparable` makes of such an id."""

KIND_NAMES = {"integer": "integers", "string": "strings", "uuid": "UUIDs"}
"""Kind of ids -> what they are called."""

_DIGITS = re.compile(r"-?[0-9]{1,20}")
"""What an integer id of 64 bits looks like as text."""


def id_array(ids: Sequence[Any] | pa.Array | pa.ChunkedArray) -> pa.Array:
    """Ids as an Arrow array of one of the supported id types, unchanged in value.

    Raises:
        DataError: the type is not usable as an id; floats are refused, since a large id would lose digits.
    """
    array = ids if isinstance(ids, (pa.Array, pa.ChunkedArray)) else _from_python(ids)
    if isinstance(array, pa.ChunkedArray):
        array = one_chunk(array)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = id_kind(array.type)
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
    values = [comparable(i) for i in ids]
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


def id_kind(kind: pa.DataType) -> str:
    """What ids of an Arrow type are: "integer", "string", "uuid", or "other" where no id has this type."""
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if kind == UUID_TYPE:
        return "uuid"
    return "string" if pa.types.is_null(kind) else "other"  # nothing but missing ids, or no id at all


def plain_integer(text: str) -> int:
    """The integer that plain digits spell: Python's own reading takes spaces, underscores and other scripts' digits.

    Raises:
        ValueError: the text is more than 20 digits with at most a minus before them.
    """
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"{text[:50]!r} is no plain integer")
    return int(text)


def comparable(external_id: Any) -> Any:
    """An id as a plain Python value: a UUID as its bytes, a numpy scalar as the number that it is."""
    if isinstance(external_id, uuid.UUID):
        return external_id.bytes
    if isinstance(external_id, np.generic):
        return external_id.item()
    return external_id


def external(value: Any) -> Any:
    """An Arrow value as the id that users know: 16 bytes are a UUID."""
    return uuid.UUID(bytes=value) if isinstance(value, bytes) else value


def joined(ids: pa.Array, fresh: pa.Array) -> pa.Array:
    """Both one after the other, in the type of the first if that holds all of them, else in that of the second.

    Raises:
        DataError: neither type holds all ids.
    """
    for kind in (ids.type, fresh.type):
        try:
            return pa.concat_arrays([ids.cast(kind), fresh.cast(kind)])
        except pa.ArrowInvalid:  # an unsigned id beyond 2^63, a negative one, or more text than 32-bit offsets address
            continue
    raise DataError("negative ids and ids of 2^63 and above have no integer type in common: read the id column as text")


def sort_key(value: Any) -> Any:
    """What sorts like Arrow sorts: text by its UTF-8 bytes; a lone surrogate, which no id holds, stays encodable."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array; copied only where it lies in several."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


__all__ = [
    "KEY_TYPES",
    "KIND_NAMES",
    "UUID_TYPE",
    "comparable",
    "external",
    "id_array",
    "id_kind",
    "joined",
    "one_chunk",
    "plain_integer",
    "sort_key",
]
