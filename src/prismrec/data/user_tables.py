"""What is known of the users beside their clicks, over the users of the training log: views of them, and links.

Both come with the log (`Interactions.users`, `Interactions.user_links`), so every split of it has them; which users
there are, and how active, is counted from the training rows alone. Users whom the log lacks are left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prismrec.data import engine
from prismrec.data.alignment import in_ids_of
from prismrec.data.encoding import index_table
from prismrec.data.prepared import UserView
from prismrec.data.schema import ITEM_VIEW, LINKED_ID, USER_ID, USERS, Interactions
from prismrec.data.sequences import Sequences
from prismrec.data.view_values import ViewSettings
from prismrec.data.views import nodes_of, rows_of_pairs
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError


@dataclass(frozen=True, eq=False)
class UserSide:
    """Views and links over the indices of one vocabulary of users.

    Attributes:
        views: by name, in configured order.
        links: one row per user: the users linked to them, ascending; None where no table of links was given.
        report: counts, fit for JSON; empty where no table was given.
    """

    views: Mapping[str, UserView] = field(default_factory=dict)
    links: Sequences | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


def checked_user_views(
    user_views: Mapping[str, str | ViewSettings], *, item_views: Mapping[str, Any], has_users: bool
) -> dict[str, ViewSettings]:
    """The views of users in full, a column's name standing for a view of that column.

    Raises:
        ConfigError: a view has a reserved name or that of a view of the items, or there is no user table.
    """
    for name in user_views:
        if name in (ITEM_VIEW, USERS):
            raise ConfigError(f"a user view cannot be called {name!r}: the name is taken; choose another")
        if name in item_views:
            raise ConfigError(f"{name!r} is a view of the items and of the users: give one of them another name")
    if user_views and not has_users:
        raise ConfigError(
            f"user views {', '.join(user_views)} are columns of the user table, but no user table was given"
        )
    return {name: ViewSettings(column=view) if isinstance(view, str) else view for name, view in user_views.items()}


def user_side(
    interactions: Interactions,
    users: Vocabulary,
    views: Mapping[str, ViewSettings],
    base: Mapping[str, Vocabulary],
) -> UserSide:
    """Views and links of the users of a training log.

    Args:
        interactions: the log with its tables of users and links, ids not encoded.
        users: the users of the training log; their clicks weigh the nodes of the views.
        views: checked, by name.
        base: older vocabularies by name; nodes of views found there keep their index.

    Raises:
        DataError: ids of another type than the log's, a missing column, or values that cannot be node ids.
    """
    built: dict[str, UserView] = {}
    links: Sequences | None = None
    report: dict[str, Any] = {}
    ids = interactions.table[USER_ID]
    if interactions.users is not None:
        table, other = in_ids_of(interactions.users.table, USER_ID, ids, "user")
        built = {n: UserView(n, *nodes_of(n, v, table, users, base.get(n), "user")) for n, v in views.items()}
        report["user_table"] = {**interactions.users.notes, **other, **_met(table, users)}
        report["user_views"] = {
            name: {"nodes": len(view.nodes), "users_with_a_node": int((view.user_nodes.lengths > 0).sum())}
            for name, view in built.items()
        }
    if interactions.user_links is not None:
        links, counts = _links(interactions.user_links.table, ids, users)
        report["user_links"] = {**interactions.user_links.notes, **counts}
    return UserSide(built, links, report)


def _met(table: Any, users: Vocabulary) -> dict[str, int]:
    """How many users of the table the log has, and how many only the table."""
    index = index_table(engine.backend_of(table), users, "user_index")
    n_known = _n_rows(table.semi_join(index, table[USER_ID] == index.id))
    return {"users_of_the_log": n_known, "other_users": _n_rows(table) - n_known}


def _links(table: Any, ids: Any, users: Vocabulary) -> tuple[Sequences, dict[str, int]]:
    """Links between known users, both ways, and how many there are and were."""
    n_rows = _n_rows(table)
    for column in (USER_ID, LINKED_ID):
        table, _ = in_ids_of(table, column, ids, "user")
    backend = engine.backend_of(table)
    one, other = (index_table(backend, users, place) for place in ("user_index", "linked_index"))
    known = table.join(one, table[USER_ID] == one.id).select("user_index", LINKED_ID)
    known = known.join(other, known[LINKED_ID] == other.id).select("user_index", "linked_index")
    pairs = engine.arrow(known)
    begins, ends = (pairs[name].to_numpy().astype(np.int64) for name in ("user_index", "linked_index"))
    both = np.unique(np.concatenate([begins * len(users) + ends, ends * len(users) + begins]))
    rows, linked = (part.astype(np.int32) for part in np.divmod(both, max(1, len(users))))
    links = rows_of_pairs(rows, linked, len(users))
    counts = {
        "links": len(both) // 2,
        "rows_of_other_users": n_rows - len(begins),
        "users_with_a_link": int((links.lengths > 0).sum()),
    }
    return links, counts


def _n_rows(table: Any) -> int:
    return int(engine.one_row(table.aggregate(n=table.count()))["n"])


__all__ = ["UserSide", "checked_user_views", "user_side"]
