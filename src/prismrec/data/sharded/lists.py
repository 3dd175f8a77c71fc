"""Sequences as tables on the engine: lists of item indices from a log, and their images in a side view.

Rows are written in the order of their user's `place`, a fixed scattering of the user indices: any run of neighbouring
rows is then a fair sample of active and idle users, so that any number of readers can cut the rows where they like.
"""

from __future__ import annotations

from typing import Any

import ibis

from prismrec.data import engine
from prismrec.data.schema import ITEM_ID, ROW, TIMESTAMP, USER_ID, Interactions
from prismrec.data.sessions import (
    ITEMS,
    SESSION_NUMBER,
    SessionSettings,
    collapsed,
    item_lists,
    sessions,
)
from prismrec.data.sharded.layout import ITEM_PLACE, ROW_NUMBER

PLACE = "place"
BY_PLACE = (PLACE, SESSION_NUMBER, "piece")
"""The order of item sequences; histories have session and piece 0."""

_SCATTER, _WORD = 2_654_435_761, 1 << 32
"""2^32 divided by the golden ratio, odd: multiples of it modulo 2^32 never meet and lie evenly (Knuth, TAOCP 6.4)."""


def with_indices(log: Any, users: Any, items: Any) -> Any:
    """A clean log with user and item indices in the place of ids.

    Args:
        users, items: tables (id, user_index) and (id, item_index).
    """
    known_users = users.select("user_index", user_key="id")
    known_items = items.select("item_index", item_key="id")
    joined = log.join(known_users, log[USER_ID] == known_users.user_key)
    joined = joined.join(known_items, joined[ITEM_ID] == known_items.item_key)
    return joined.select(TIMESTAMP, ROW, SESSION_NUMBER, **{USER_ID: joined.user_index, ITEM_ID: joined.item_index})


def session_rows(log: Any, settings: SessionSettings) -> Any:
    """Sessions within the length bounds (`sessions.sessions`), to be written in the order `BY_PLACE`.

    Columns: place, user_index, session_number, piece, items.
    """
    lists = sessions(Interactions(log), settings)
    return _placed(lists, lists[SESSION_NUMBER], lists.piece)


def history_rows(log: Any, settings: SessionSettings) -> Any:
    """Whole histories in time order, with the columns of `session_rows`."""
    table = log.mutate(**{SESSION_NUMBER: ibis.literal(0, "int32")})
    lists = item_lists(collapsed(table, settings), (USER_ID,))
    return _placed(lists, ibis.literal(0), ibis.literal(0))


def session_counts(log: Any, settings: SessionSettings) -> dict[str, int]:
    """How many sessions there are before the length bounds, and what the bounds do to them."""
    lengths = log.group_by([USER_ID, SESSION_NUMBER]).aggregate(n=log.count())
    row = engine.one_row(
        lengths.aggregate(
            found=lengths.count(),
            too_short=(lengths.n < settings.min_session_length).sum(),
            cut=(lengths.n > settings.max_session_length).sum(),
            clicks=lengths.n.sum(),
        )
    )
    return {name: int(value or 0) for name, value in row.items()}


def mapped_rows(rows: Any, edges: Any) -> Any:
    """Item sequences as sequences of their nodes, consecutive repeats collapsed: what `views.mapped` does.

    A row that meets no node is left out.

    Args:
        rows: item sequences, numbered by `row`.
        edges: table (item, node) of a side view.

    Returns:
        columns row, items; to be written in the order of `row`.
    """
    clicks = rows.select(ROW_NUMBER, ITEMS).unnest(ITEMS, offset="position")
    met = clicks.join(edges, clicks[ITEMS] == edges["item"]).select(ROW_NUMBER, "position", "node")
    in_row = ibis.window(group_by=ROW_NUMBER, order_by=["position", "node"])
    marked = met.mutate(repeat=(met.node == met.node.lag().over(in_row)).fill_null(False))
    kept = marked.filter(~marked.repeat)
    entry = ibis.struct({"p": kept.position, "n": kept.node})
    grouped = kept.group_by(ROW_NUMBER).aggregate(entries=entry.collect())
    return grouped.select(ROW_NUMBER, **{ITEMS: grouped.entries.sort().map(lambda e: e.n)})


def in_item_order(items: Any, index: Any) -> Any:
    """The side columns of the item table by item index, to be written in the order of `ITEM_PLACE`.

    Args:
        index: table (id, prismrec_index).
    """
    sides = [c for c in items.columns if c != ITEM_ID]
    numbers = index.rename(prismrec_id="id").select("prismrec_id", ITEM_PLACE)
    return numbers.left_join(items, [("prismrec_id", ITEM_ID)]).select(ITEM_PLACE, *sides)


def node_counts(rows: Any) -> Any:
    """Lazy table (node, n): how often each node occurs in sequences."""
    values = rows.select(node=rows[ITEMS].unnest())
    return values.group_by("node").aggregate(n=values.count())


def _placed(lists: Any, session: Any, piece: Any) -> Any:
    user = lists[USER_ID].cast("int64")
    return lists.select(
        **{
            PLACE: (user * ibis.literal(_SCATTER, "int64")) % ibis.literal(_WORD, "int64"),
            "user_index": lists[USER_ID],
            SESSION_NUMBER: session.cast("int32"),
            "piece": piece.cast("int32"),
            ITEMS: lists[ITEMS],
        }
    )


__all__ = [
    "BY_PLACE",
    "ITEM_PLACE",
    "PLACE",
    "ROW_NUMBER",
    "history_rows",
    "in_item_order",
    "mapped_rows",
    "node_counts",
    "session_counts",
    "session_rows",
    "with_indices",
]
