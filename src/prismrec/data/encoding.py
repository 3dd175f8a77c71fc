"""External ids to dense indices inside the engine: a log of ids becomes a log of 4-byte codes, and codes a vocabulary.

Codes are the places of the ids in sorted order. The whole pipeline runs on them; only when sessions are known, and with
them what is left of each id, do the vocabularies get their final order (falling count, ties by id).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data import engine
from prismrec.data.engines.functions import unhex
from prismrec.data.schema import ITEM_ID, UNKNOWN, USER_ID, Interactions
from prismrec.data.vocabulary import UUID_TYPE, Vocabulary, id_array

CODE = "code"


@dataclass(frozen=True, eq=False)
class Encoding:
    """The vocabulary of one column, and where each code went.

    Attributes:
        vocabulary: ids by falling count, or known ids first where an older vocabulary was given.
        index_of_code: (last code that something is left of + 1,) int32; -1 for codes that nothing is left of.
    """

    vocabulary: Vocabulary
    index_of_code: NDArray[np.int32]


@contextmanager
def codes_of(column: Any) -> Iterator[Any]:
    """Stored table (id, code int32) of the distinct values of a column, in the order of their ids."""
    with engine.held_in_order(column.name("id").as_table().distinct(), CODE, ("id",)) as numbered:
        yield numbered.mutate(**{CODE: numbered[CODE].cast("int32")})


def encoded(interactions: Interactions, user_codes: Any, item_codes: Any) -> Interactions:
    """The log with user and item codes in the place of their ids."""
    table = interactions.table
    users = user_codes.select(user_key="id", user_code=CODE)
    items = item_codes.select(item_key="id", item_code=CODE)
    joined = table.join(users, [(USER_ID, "user_key")]).join(items, [(ITEM_ID, "item_key")])
    others = [c for c in table.columns if c not in (USER_ID, ITEM_ID)]
    return replace(
        interactions,
        table=joined.select(**{USER_ID: joined.user_code, ITEM_ID: joined.item_code}, **{c: joined[c] for c in others}),
    )


def encoding(codes: Any, counts: Any, base: Vocabulary | None = None, unclicked: pa.Array | None = None) -> Encoding:
    """Order the ids by falling count, ties by id.

    Args:
        codes: table (id, code).
        counts: table (code, n) of the codes that are left.
        base: older vocabulary whose ids keep their index; new ids come after them.
        unclicked: further ids with count 0, after all others.
    """
    ranked = codes.join(counts, CODE).order_by([ibis.desc("n"), ibis.asc(CODE)])
    rows = engine.arrow(ranked.select(id=storable(ranked.id), code=ranked[CODE], n=ranked.n.cast("int64")))
    ids, n_left = as_ids(rows["id"]), rows.num_rows
    total = rows["n"].to_numpy()
    if unclicked is not None:
        ids = pa.concat_arrays([ids, unclicked.cast(ids.type)])
        total = np.concatenate([total, np.zeros(len(unclicked), np.int64)])
    fresh = Vocabulary.from_ids(ids, total)
    vocabulary = fresh if base is None else base.extended(fresh)
    places = np.arange(n_left) if base is None else vocabulary.indices_of(ids[:n_left])
    left = rows[CODE].to_numpy()
    index_of_code = np.full(left.max(initial=-1) + 1, UNKNOWN, np.int32)
    index_of_code[left] = places
    return Encoding(vocabulary, index_of_code)


def storable(ids: Any) -> Any:
    """An id column as Arrow can hold it: UUIDs as their 16 bytes."""
    return unhex(ids.cast("string").replace("-", "")) if ids.type().is_uuid() else ids


def as_ids(column: pa.ChunkedArray) -> pa.Array:
    """One Arrow array of a supported id type, out of what `storable` gave."""
    if pa.types.is_binary(column.type):
        column = column.cast(UUID_TYPE)
    if pa.types.is_string(column.type) and column.nbytes >= 2**31:
        column = column.cast(pa.large_string())  # 32-bit offsets end here
    return id_array(column.combine_chunks())


def index_table(backend: Any, vocabulary: Vocabulary, name: str) -> Any:
    """Lazy table (id, `name` int32) of a vocabulary on the engine."""
    ids = vocabulary.ids
    if ids.type == UUID_TYPE:
        ids = pa.ExtensionArray.from_storage(pa.uuid(), ids)
    return engine.register(backend, pa.table({"id": ids, name: np.arange(len(vocabulary), dtype=np.int32)}))


__all__ = ["CODE", "Encoding", "as_ids", "codes_of", "encoded", "encoding", "index_table", "storable"]
