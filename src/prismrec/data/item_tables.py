"""What a log and its item table say of each other: ids of one type on one engine, unknown items, columns in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis
import pyarrow as pa

from prismrec.data import engine
from prismrec.data.alignment import in_ids_of
from prismrec.data.encoding import as_ids, index_table, storable
from prismrec.data.quarantine import FILE, REASON, ROW_JSON, row_json
from prismrec.data.schema import ITEM_ID, ROW, Interactions, ItemTable
from prismrec.data.sessions import SessionSettings
from prismrec.data.vocabulary import Vocabulary


def aligned(items: ItemTable, interactions: Interactions) -> ItemTable:
    """The item table on the log's engine, its ids of the log's type.

    Text ids that are no integers cannot occur in a log of integers: they go, counted in the notes as
    `ids_of_another_type`.

    Raises:
        DataError: the two types have nothing in common.
    """
    table, n_other = in_ids_of(items.table, ITEM_ID, interactions.table[ITEM_ID], "item")
    return replace(items, table=table, notes={**items.notes, **n_other})


def without_unknown(
    interactions: Interactions, items: ItemTable, settings: SessionSettings
) -> tuple[Interactions, dict[str, int]]:
    """Count the clicks on items that the item table lacks; with `unknown_items` "quarantine", set them aside.

    Returns:
        The log, and how many `interactions` on how many `items` are unknown.
    """
    strange = interactions.table.anti_join(items.table.select(ITEM_ID), ITEM_ID)
    counts = engine.one_row(strange.aggregate(interactions=strange.count(), items=strange[ITEM_ID].nunique()))
    if settings.unknown_items == "keep" or not counts["interactions"]:
        return interactions, counts
    bad = _unknown_rows(strange, interactions)
    if interactions.quarantined is not None:
        bad = interactions.quarantined.union(bad, distinct=False)
    known = interactions.table.semi_join(items.table.select(ITEM_ID), ITEM_ID)
    known = known.select(*interactions.table.columns)  # a plain table again: an open join takes no further predicates
    return replace(interactions, table=known, quarantined=bad), counts


def columns_in_order(table: Any, vocabulary: Vocabulary) -> pa.Table:
    """The item table's columns, row i for item i; nulls where the table lacks the item."""
    index = index_table(engine.backend_of(table), vocabulary, "item_index")
    sides = [c for c in table.columns if c != ITEM_ID]
    joined = index.left_join(table, index.id == table[ITEM_ID]).order_by("item_index")
    rows = engine.arrow(joined.select(*sides)) if sides else pa.table({})
    return rows.add_column(0, ITEM_ID, [vocabulary.ids]) if sides else pa.table({ITEM_ID: vocabulary.ids})


def unclicked_ids(table: Any, item_codes: Any) -> pa.Array:
    """The ids that only the item table holds, sorted."""
    fresh = table.anti_join(item_codes, table[ITEM_ID] == item_codes.id).order_by(ITEM_ID)
    return as_ids(engine.arrow(fresh.select(id=storable(fresh[ITEM_ID])))["id"])


def _unknown_rows(strange: Any, interactions: Interactions) -> Any:
    row = row_json(strange, [c for c in strange.columns if c != ROW])
    source = ibis.literal(str(interactions.notes.get("source", "interactions")))
    return strange.select(**{REASON: ibis.literal("unknown item"), FILE: source, ROW: strange[ROW], ROW_JSON: row})


__all__ = ["aligned", "columns_in_order", "unclicked_ids", "without_unknown"]
