"""Columns of the item table as triples (item, relation, value): one entity per person, place or year."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prismrec.data.ids import one_chunk
from prismrec.data.knowledge.lines import BadRow, Reading
from prismrec.data.knowledge.links import Aliases
from prismrec.data.knowledge.names import is_missing, key_of, most_frequent, name_of, without_annotations
from prismrec.data.knowledge.settings import RelationSettings
from prismrec.data.schema import ITEM_ID
from prismrec.errors import DataError

ITEM_TABLE = "item table"
"""What stands for the file in the quarantine of the item table's values."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What one relation says of the items.

    Attributes:
        relation: its name.
        items: (n,) int64: indices.
        tails: (n,) text: entity ids, `person:tom hanks`.
        spellings: of each entity, how often it is spelt how.
    """

    relation: str
    items: NDArray[np.int64]
    tails: pa.Array
    spellings: Mapping[str, Mapping[str, int]]


def facts_of(relation: str, settings: RelationSettings, table: pa.Table, aliases: Aliases, reading: Reading) -> Facts:
    """The facts of one column; values that name nothing are set aside, those that say so are counted as missing.

    Args:
        relation: its name.
        settings: column and kind.
        table: the item table in the order of the items.
        aliases: of names and entities.
        reading: is told of bad values and counts.

    Raises:
        DataError: the column is missing, or holds neither text nor integers nor lists of them.
    """
    items, values = _values(relation, settings, table)
    coded = values.dictionary_encode()
    codes = np.asarray(coded.indices)
    texts = coded.dictionary.to_pylist()
    ids, names = _entities(relation, settings, texts, aliases)
    missing = np.array([is_missing(text) for text in texts], bool)[codes]
    named = np.array([found is not None for found in ids], bool)[codes]
    _set_aside(relation, settings, items[~missing & ~named], values.filter(pa.array(~missing & ~named)), table, reading)
    reading.n_rows += int((~missing).sum())
    reading.notes.setdefault("missing_values", {})[relation] = int(missing.sum())
    kept = named & ~missing
    counts = np.bincount(codes[kept], minlength=len(texts))
    return Facts(
        relation=relation,
        items=items[kept],
        tails=pa.array(ids, pa.string()).take(pa.array(codes[kept])),
        spellings=_spellings(ids, names, counts),
    )


def best_labels(facts: Sequence[Facts]) -> dict[str, str]:
    """Entity id -> its most frequent spelling over all relations."""
    together: dict[str, dict[str, int]] = {}
    for fact in facts:
        for entity, spellings in fact.spellings.items():
            counts = together.setdefault(entity, {})
            for name, n in spellings.items():
                counts[name] = counts.get(name, 0) + n
    return {entity: most_frequent(counts.items()) for entity, counts in together.items()}


def _values(relation: str, settings: RelationSettings, table: pa.Table) -> tuple[NDArray[np.int64], pa.Array]:
    """Item index and text of every value; nulls have none."""
    if settings.column not in table.column_names:
        present = ", ".join(name for name in table.column_names if name != ITEM_ID)
        raise DataError(f"relation {relation!r}: the item table has no column {settings.column!r}; it has {present}")
    column = table[settings.column]
    values = one_chunk(column) if isinstance(column, pa.ChunkedArray) else column
    items = np.arange(len(values), dtype=np.int64)
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        items, values = items[np.asarray(pc.list_parent_indices(values))], pc.list_flatten(values)
    values = _as_text(relation, settings, values)
    if settings.kind == "person" and settings.separator:  # annotations hold separators: "(novel by A, B)"
        coded = values.dictionary_encode()
        plain = [None if text is None else without_annotations(text) for text in coded.dictionary.to_pylist()]
        values = pa.array(plain, pa.string()).take(coded.indices)
    if settings.separator:
        parts = pc.split_pattern(values, settings.separator)
        items, values = items[np.asarray(pc.list_parent_indices(parts))], pc.list_flatten(parts)
    present = pc.is_valid(values)
    return items[np.asarray(present)], values.filter(present)


def _as_text(relation: str, settings: RelationSettings, values: pa.Array) -> pa.Array:
    kind = values.type
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_null(kind)
    ):
        return values.cast(pa.string())
    raise DataError(
        f"relation {relation!r}: column {settings.column!r} has type {kind}: expected text, integers or lists of them"
    )


def _entities(
    relation: str, settings: RelationSettings, texts: Sequence[str], aliases: Aliases
) -> tuple[list[str | None], list[str]]:
    """Per text the id of its entity, None where it names nothing, and the name as spelt there."""
    space = relation if settings.kind == "text" else settings.kind
    meant = aliases.keys(settings.kind)
    ids: list[str | None] = []
    names: list[str] = []
    for text in texts:
        name = name_of(text, settings.kind)
        key = key_of(name, settings.kind)
        ids.append(aliases.entity(f"{space}:{meant.get(key, key)}") if key else None)
        names.append(name if key not in meant else "")  # the label is a spelling of the name that is meant
    return ids, names


def _spellings(ids: Sequence[str | None], names: Sequence[str], counts: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for entity, name, n in zip(ids, names, counts.tolist(), strict=True):
        if entity is not None and n and name:
            spelt = found.setdefault(entity, {})
            spelt[name] = spelt.get(name, 0) + n
    return found


def _set_aside(
    relation: str,
    settings: RelationSettings,
    items: NDArray[np.int64],
    values: pa.Array,
    table: pa.Table,
    reading: Reading,
) -> None:
    """Values that are there and name nothing; the row is found by its item id."""
    reason = f"no year in the value of {relation!r}" if settings.kind == "year" else f"no name in {relation!r}"
    ids = table[ITEM_ID].take(pa.array(items)).to_pylist()
    for item, value in zip(ids, values.to_pylist(), strict=True):
        row = json.dumps({ITEM_ID: item, settings.column: value}, ensure_ascii=False, default=str)
        reading.bad.append(BadRow(reason, ITEM_TABLE, None, row))


__all__ = ["ITEM_TABLE", "Facts", "best_labels", "facts_of"]
