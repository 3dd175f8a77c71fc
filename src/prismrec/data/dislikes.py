"""Rows whose rating says that an item was not liked: no clicks to learn from, but negatives that a user has seen.

They are parted from the log where it is cleaned and go with it through every split (`Interactions.disliked`). A split
holds rows back by their time, so of these rows only those before a user's last training click are used: what happens
later changes no training data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from prismrec.data import engine
from prismrec.data.encoding import index_table
from prismrec.data.schema import ITEM_ID, RATING, ROW, TIMESTAMP, USER_ID, Interactions
from prismrec.data.sequences import Sequences
from prismrec.data.views import rows_of_pairs
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError

_COLUMNS = (USER_ID, ITEM_ID, TIMESTAMP, ROW, RATING)


def liked(interactions: Interactions, min_rating: float) -> Interactions:
    """Part the rows with a lower rating from the log; rows without a rating stay in it.

    Args:
        interactions: the log; one that is parted already comes back as it is.
        min_rating: the least rating of a click, 0 for all rows.

    Raises:
        ConfigError: the log has no ratings.
    """
    if min_rating == 0 or interactions.disliked is not None:
        return interactions
    if not interactions.has(RATING):
        raise ConfigError(
            f"sessions.min_rating is {min_rating:g}, but the log has no ratings: name their column with "
            "data.columns.rating, or leave min_rating out"
        )
    table = interactions.table
    low = (table[RATING] < min_rating).fill_null(False)
    return replace(interactions, table=table.filter(~low), disliked=table.filter(low).select(*_COLUMNS))


def disliked_items(
    interactions: Interactions, users: Vocabulary, items: Vocabulary
) -> tuple[Sequences | None, dict[str, int]]:
    """What each user disliked before the last training click, over known items, and counts of it.

    Args:
        interactions: the training log, ids not encoded.
        users: its users.
        items: its items.

    Returns:
        one row per user: item indices, ascending, none that the user clicked on too; None where nothing was parted.
    """
    if interactions.disliked is None:
        return None, {}
    table, log = interactions.disliked, interactions.table
    early = known_dislikes(interactions).select(USER_ID, ITEM_ID).distinct()
    early = early.anti_join(log.select(USER_ID, ITEM_ID), [USER_ID, ITEM_ID])
    backend = engine.backend_of(table)
    rows, nodes = index_table(backend, users, "user_index"), index_table(backend, items, "item_index")
    known = early.join(rows, early[USER_ID] == rows.id).select("user_index", ITEM_ID)
    pairs = engine.arrow(known.join(nodes, known[ITEM_ID] == nodes.id).select("user_index", "item_index"))
    owners, disliked = (np.asarray(pairs[name].to_numpy()) for name in ("user_index", "item_index"))
    found = rows_of_pairs(owners, disliked, len(users))
    n_rows = engine.one_row(_counted(table))["n"]
    return found, {"rows": int(n_rows), "items_of_users": len(pairs), "users": int((found.lengths > 0).sum())}


def known_dislikes(interactions: Interactions) -> Any:
    """Lazy: the rows parted from the log that lie before their user's last row in it; None where none were parted."""
    if interactions.disliked is None:
        return None
    table, log = interactions.disliked, interactions.table
    ends = log.group_by(USER_ID).aggregate(end=log[TIMESTAMP].max())
    early = table.join(ends, USER_ID)
    return early.filter(early[TIMESTAMP] < early.end).select(*table.columns)


def _counted(table: Any) -> Any:
    return table.aggregate(n=table.count())


__all__ = ["disliked_items", "known_dislikes", "liked"]
