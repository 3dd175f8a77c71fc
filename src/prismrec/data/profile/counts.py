"""How much there is, and who and what is at the top."""

from __future__ import annotations

import uuid
from typing import Any

from prismrec.data.profile.aggregates import all_rows, one_row
from prismrec.data.profile.report import Counts, TopEntry
from prismrec.data.schema import ITEM_ID, USER_ID, Interactions, ItemTable
from prismrec.errors import DataError

NAME_COLUMNS = ("name", "title")
"""Columns of an item table that hold a readable name, in order of preference."""


def counts_of(interactions: Interactions) -> Counts:
    """Totals, density and what reading set aside.

    Raises:
        DataError: the log is empty.
    """
    table = interactions.table
    row = one_row(
        table.aggregate(
            n_interactions=table.count(), n_users=table[USER_ID].nunique(), n_items=table[ITEM_ID].nunique()
        )
    )
    if row["n_interactions"] == 0:
        raise DataError("there is nothing to profile: the log has no usable row")
    pairs = table.select(USER_ID, ITEM_ID).distinct()
    n_pairs = one_row(pairs.aggregate(n=pairs.count()))["n"]
    density = n_pairs / (row["n_users"] * row["n_items"])
    return Counts(
        **row,
        n_pairs=n_pairs,
        density=density,
        sparsity=1 - density,
        repeat_share=1 - n_pairs / row["n_interactions"],
        quarantined=_quarantined(interactions),
    )


def top(table: Any, column: str, k: int, total: int, items: ItemTable | None = None) -> tuple[TopEntry, ...]:
    """The k values of an id column with the most rows, ties by id; with names where the item table has them."""
    largest = table.group_by(column).aggregate(n=table.count())
    rows = all_rows(largest.order_by([largest.n.desc(), largest[column]]).limit(k))
    ids = [row[column] for row in rows]
    names = _names(items, ids) if items is not None and column == ITEM_ID else {}
    return tuple(TopEntry(plain(i), row["n"], row["n"] / total, names.get(i)) for i, row in zip(ids, rows, strict=True))


def plain(external_id: Any) -> Any:
    """An id as a person knows it: 16 bytes are a UUID."""
    return uuid.UUID(bytes=external_id) if isinstance(external_id, bytes) and len(external_id) == 16 else external_id


def _names(items: ItemTable, ids: list[Any]) -> dict[Any, str]:
    table = items.table
    column = next((name for name in NAME_COLUMNS if name in table.columns), None)
    if column is None or not ids:
        return {}
    rows = all_rows(table.filter(table[ITEM_ID].isin(ids)).select(ITEM_ID, column))
    return {row[ITEM_ID]: str(row[column]) for row in rows if row[column] is not None}


def _quarantined(interactions: Interactions) -> dict[str, int]:
    table = interactions.quarantined
    if table is None:
        return {}
    rows = all_rows(table.group_by("reason").aggregate(n=table.count()).order_by("reason"))
    return {str(row["reason"]): row["n"] for row in rows}


__all__ = ["NAME_COLUMNS", "counts_of", "plain", "top"]
