"""Vocabularies as tables on the engine: ids in their final order, their index being their place; never in Python.

The order is that of `encoding.encoding` and `Vocabulary.extended`: the ids of an older vocabulary keep their index,
then all others by falling count, ties by id.
"""

from __future__ import annotations

import hashlib
from itertools import chain
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.data import engine
from prismrec.data.engines.spark_types import as_stored
from prismrec.data.schema import ITEM_ID
from prismrec.data.sharded.stages import Stage
from prismrec.data.vocabulary import UUID_TYPE, Vocabulary
from prismrec.errors import DataError

ORDER = ("order", "id")
"""The columns that order a vocabulary. `order` is the negative count, or, for known ids, far below any of those."""

INDEX = "index"

_KNOWN_FIRST = 1 << 62
_MOST_NODES = 1 << 31
_IDS_AT_ONCE = 1 << 20


def whole_number(column: Any) -> Any:
    """A sum as int64: DuckDB adds integers in 128 bits and would write them as floats; Ibis takes them for int64."""
    return column.cast("decimal(38, 0)").cast("int64")


def ranked(counts: Any, unclicked: Any = None, base: Any = None) -> Any:
    """Lazy table (id, count, order) of a vocabulary, to be written in the order of `ORDER`.

    Args:
        counts: table (id, n int64) of the ids that occur.
        unclicked: table (id) of further ids, which come with count 0.
        base: table (id, base_index) of an older vocabulary, whose ids keep their index.
    """
    rows = counts.select("id", count=counts.n)
    if unclicked is not None:
        rows = rows.union(unclicked.select("id", count=ibis.literal(0, "int64")), distinct=False)
    if base is None:
        return rows.mutate(order=-rows["count"])
    kind = _common_type(base, rows)
    rows = rows.mutate(id=rows.id.cast(kind))
    known = base.select("base_index", base_id=base.id.cast(kind))
    joined = rows.outer_join(known, rows.id == known.base_id)
    falling = ibis.coalesce(joined["count"], ibis.literal(0, "int64"))
    first = joined.base_index - ibis.literal(_KNOWN_FIRST, "int64")
    return joined.select(
        id=ibis.coalesce(joined.id, joined.base_id), count=falling, order=ibis.coalesce(first, -falling)
    )


def indexed(vocabulary: Stage, backend: Any, name: str) -> Any:
    """Lazy table (id, count, `name` int32) of a vocabulary that was written.

    Raises:
        DataError: it has 2^31 ids or more, beyond what a 4-byte index can say.
    """
    if vocabulary.rows >= _MOST_NODES:
        raise DataError(
            f"{vocabulary.name}: {vocabulary.rows:,} ids, but an index of 32 bits counts to {_MOST_NODES - 1:,}: raise "
            "sessions.min_item_interactions or min_user_interactions"
        )
    table = vocabulary.numbered(backend, INDEX)
    return table.select("id", "count", **{name: table[INDEX].cast("int32")})


def unclicked_in(items: Any, ids_of_log: Any) -> Any:
    """Lazy table (id) of the items that only the item table holds.

    Args:
        ids_of_log: table (id) of every item of the log, before any click was dropped.
    """
    fresh = items.select(id=items[ITEM_ID])
    return fresh.anti_join(ids_of_log.select("id"), "id")


def distinct_count_of(table: Any, column: str) -> Any:
    """Lazy table (id, n) of a column's values and how often each occurs."""
    return table.group_by(id=table[column]).aggregate(n=table.count())


def write_base(vocabulary: Vocabulary, path: Path, *, for_spark: bool) -> None:
    """An older vocabulary as one Parquet file (id, base_index), a million ids at a time, in types the engine reads."""
    batches = (_base_rows(vocabulary, start, for_spark) for start in range(0, max(len(vocabulary), 1), _IDS_AT_ONCE))
    first = next(batches)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for rows in chain([first], batches):
            writer.write_table(rows)


def _base_rows(vocabulary: Vocabulary, start: int, for_spark: bool) -> pa.Table:
    ids = vocabulary.ids[start : start + _IDS_AT_ONCE]
    if ids.type == UUID_TYPE:
        ids = pa.ExtensionArray.from_storage(pa.uuid(), ids)
    rows = pa.table({"id": ids, "base_index": np.arange(start, start + len(ids))})
    return as_stored(rows) if for_spark else rows


def digest_of(vocabulary: Vocabulary) -> str:
    """A digest of the ids and their order."""
    digest = hashlib.sha256(str(vocabulary.ids.type).encode())
    for start in range(0, len(vocabulary), _IDS_AT_ONCE):
        batch = pa.record_batch([vocabulary.ids[start : start + _IDS_AT_ONCE]], names=["id"])
        digest.update(batch.serialize())
    return digest.hexdigest()


def counted(table: Any) -> dict[str, int]:
    """How many ids of a vocabulary occur."""
    return {"occurring": int(engine.one_row(table.aggregate(n=(table["count"] > 0).sum()))["n"] or 0)}


def _common_type(base: Any, rows: Any) -> Any:
    """The type of the older ids if that holds the new ones, else theirs.

    Raises:
        DataError: the ids have nothing in common.
    """
    before, now = (table.id.type().copy(nullable=True) for table in (base, rows))
    if before == now:
        return before
    if not (before.is_integer() and now.is_integer()):
        raise DataError(f"ids changed their type: {before} before, {now} now")
    for kind, table in ((before, rows), (now, base)):
        ends = engine.one_row(table.aggregate(low=table.id.min(), high=table.id.max()))
        low, high = (0, 1 << 64) if kind.is_uint64() else (-(1 << 63), 1 << 63)
        if ends["low"] is None or low <= ends["low"] <= ends["high"] < high:
            return kind
    raise DataError("negative ids and ids of 2^63 and above have no integer type in common: read the id column as text")


__all__ = [
    "INDEX",
    "ORDER",
    "counted",
    "digest_of",
    "distinct_count_of",
    "indexed",
    "ranked",
    "unclicked_in",
    "whole_number",
    "write_base",
]
