"""Side views: columns of the item table as nodes of their own, and the item sessions mapped to them.

Columns of the user table become nodes in the same way (`data.user_tables`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data import engine
from prismrec.data.encoding import CODE, codes_of, encoding, index_table
from prismrec.data.engines.functions import parts
from prismrec.data.prepared import View
from prismrec.data.ragged import without_missing, without_repeats
from prismrec.data.schema import ITEM_ID, UNKNOWN, USER_ID
from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.data.view_values import ViewSettings
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

_VALUES_AT_ONCE = 1 << 20

Entity = Literal["item", "user"]

_KEYS: dict[Entity, str] = {"item": ITEM_ID, "user": USER_ID}
_PLACES: dict[Entity, str] = {"item": "item_index", "user": "user_index"}


def build_view(
    name: str, settings: ViewSettings, table: Any, items: Vocabulary, sessions: Sequences, base: Vocabulary | None
) -> View:
    """Build one view.

    Args:
        table: lazy item table with item_id, on the engine.
        items: the item vocabulary; its counts weigh the nodes.
        sessions: item sessions.
        base: older vocabulary of the view, whose nodes keep their index.

    Raises:
        DataError: the column is missing or cannot be node ids.
    """
    nodes, item_nodes = nodes_of(name, settings, table, items, base)
    return View(name, nodes, item_nodes, mapped(sessions, item_nodes))


def nodes_of(
    name: str,
    settings: ViewSettings,
    table: Any,
    owners: Vocabulary,
    base: Vocabulary | None,
    entity: Entity = "item",
) -> tuple[Vocabulary, Sequences]:
    """The nodes of a column of the item or user table, and which of them each item or user has.

    Args:
        table: lazy, with item_id or user_id, on the engine.
        owners: the vocabulary of the items or users; its counts weigh the nodes.
        base: older vocabulary of the nodes, which keep their index.
        entity: whose table it is.

    Raises:
        DataError: the column is missing or cannot be node ids.
    """
    backend, place = engine.backend_of(table), _PLACES[entity]
    index = index_table(backend, owners, place)
    clicks = engine.register(backend, pa.table({place: np.arange(len(owners), dtype=np.int32), "n": owners.counts}))
    with engine.held(pairs_of(name, settings, table, index, entity)) as pairs, codes_of(pairs.value) as codes:
        coded = pairs.join(codes, pairs.value == codes.id).select(place, CODE)
        weighed = coded.join(clicks, place)
        counts = weighed.group_by(CODE).aggregate(n=weighed.n.sum())
        nodes = encoding(codes, counts, base)
        edges = engine.arrow(coded.select(place, CODE))
    owner_nodes = rows_of_pairs(edges[place].to_numpy(), nodes.index_of_code[edges[CODE].to_numpy()], len(owners))
    return nodes.vocabulary, owner_nodes


def mapped(sessions: Sequences, item_nodes: Sequences) -> Sequences:
    """Sessions of items as sessions of their nodes, consecutive repeats collapsed; row i stays row i."""
    expand = _expand_many if item_nodes.lengths.max(initial=0) > 1 else _expand_single
    pieces, lengths = [np.zeros(0, np.int32)], np.zeros(len(sessions), np.int64)
    for start, stop in _chunks(sessions):
        nodes = without_repeats(expand(sessions.slice(start, stop), item_nodes))
        pieces.append(nodes.values)
        lengths[start:stop] = nodes.lengths
    return Sequences.from_lengths(np.concatenate(pieces), lengths)


def _expand_single(sessions: Sequences, item_nodes: Sequences) -> Sequences:
    node_of_item = np.full(len(item_nodes), UNKNOWN, np.int32)
    node_of_item[item_nodes.lengths > 0] = item_nodes.values
    return without_missing(Sequences(node_of_item[sessions.values], sessions.offsets))


def _expand_many(sessions: Sequences, item_nodes: Sequences) -> Sequences:
    counts = item_nodes.lengths[sessions.values]
    values = item_nodes.values[ragged_positions(item_nodes.offsets[sessions.values], counts)]
    ends = np.concatenate([[0], np.cumsum(counts)])
    return Sequences(values, ends[sessions.offsets])


def _chunks(sessions: Sequences) -> list[tuple[int, int]]:
    """Runs of rows that hold about `_VALUES_AT_ONCE` values."""
    total = int(sessions.offsets[-1])
    marks = np.searchsorted(sessions.offsets, np.arange(_VALUES_AT_ONCE, total, _VALUES_AT_ONCE))
    edges = np.unique(np.concatenate([[0], marks, [len(sessions)]])).tolist()
    return list(pairwise(edges))


def pairs_of(name: str, settings: ViewSettings, table: Any, index: Any, entity: Entity = "item") -> Any:
    """Lazy table of the distinct (item_index or user_index, value) of those in `index`; missing values have no row.

    Args:
        index: their ids and indices, columns id and item_index or user_index.
    """
    key, place = _KEYS[entity], _PLACES[entity]
    if settings.column not in table.columns:
        present = ", ".join(c for c in table.columns if c != key)
        raise DataError(f"view {name!r}: the {entity} table has no column {settings.column!r}; it has {present}")
    known = table.select(owner_key=table[key], value=_values(name, settings, table[settings.column]))
    joined = index.join(known, index.id == known.owner_key).select(place, "value").distinct()
    present_value = joined.value.notnull()
    if joined.value.type().is_string():
        present_value &= joined.value != ""
    return joined.filter(present_value)


def _values(name: str, settings: ViewSettings, column: Any) -> Any:
    if settings.separator and column.type().is_string():
        column = parts(column, settings.separator).map(lambda part: part.strip())
    elif settings.separator:
        raise DataError(f"view {name!r}: column {settings.column!r} has type {column.type()}; only text can be split")
    values = column.unnest() if column.type().is_array() else column
    if settings.prefix:
        values = values.cast("string").substr(0, settings.prefix)
    kind = values.type()
    if not (kind.is_string() or kind.is_integer() or kind.is_uuid()):
        raise DataError(
            f"view {name!r}: column {settings.column!r} has type {kind}: expected text, integers or lists of them"
        )
    if kind.is_integer():
        return values.cast("uint64" if kind.is_uint64() else "int64")
    return values


def rows_of_pairs(owners: NDArray[np.int32], nodes: NDArray[np.int32], n_owners: int) -> Sequences:
    """Pairs as one row of nodes per owner, ascending: the most clicked node first."""
    order = np.lexsort([nodes, owners])
    return Sequences.from_lengths(nodes[order], np.bincount(owners, minlength=n_owners))


__all__ = ["Entity", "ViewSettings", "build_view", "mapped", "nodes_of", "pairs_of", "rows_of_pairs"]
