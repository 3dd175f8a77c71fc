"""The log and the item table become training data: sessions, histories and views over dense indices.

    interactions -> codes -> clean -> activity bounds -> session lists -> vocabularies -> flat arrays -> views

Everything up to the flat arrays is lazy Ibis on the engine; Python sees Arrow batches, never a list of ids. Peak memory
is what the engine may hold plus 4 bytes per click for the sessions, the histories and each view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data import engine
from prismrec.data.activity import has_bounds, within_bounds
from prismrec.data.dislikes import disliked_items
from prismrec.data.encoding import CODE, Encoding, codes_of, encoded, encoding
from prismrec.data.item_tables import aligned, columns_in_order, unclicked_ids, without_unknown
from prismrec.data.prepared import PreparedData, View
from prismrec.data.ragged import within_lengths, without_repeats
from prismrec.data.rating_bounds import NO_BOUNDS, RatingSettings, within_rating_bounds
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, SESSION_ID, UNKNOWN, USER_ID, USERS, Interactions, ItemTable
from prismrec.data.sequences import Sequences
from prismrec.data.sessions import (
    DEFAULTS,
    ITEMS,
    SESSION_NUMBER,
    SessionSettings,
    clean,
    item_lists,
    long_enough,
    parted,
    session_lists,
)
from prismrec.data.user_tables import checked_user_views, user_side
from prismrec.data.views import ViewSettings, build_view
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError


def prepare(
    interactions: Interactions,
    items: ItemTable | None = None,
    views: Mapping[str, str | ViewSettings] | None = None,
    settings: SessionSettings = DEFAULTS,
    *,
    base: Mapping[str, Vocabulary] | None = None,
    user_views: Mapping[str, str | ViewSettings] | None = None,
    ratings: RatingSettings = NO_BOUNDS,
) -> PreparedData:
    """Turn a click log into training data.

    Args:
        interactions: the log; only what may be trained on. The tables of users and links that it has are used.
        items: the item table, for views and side columns.
        views: view name -> column of the item table, or `ViewSettings` for multi-valued and shortened columns.
        settings: thresholds.
        base: older vocabularies by view name, "item" and "user": their ids keep their index, new ones come after.
        user_views: view name -> column of the user table, or `ViewSettings`.
        ratings: which users and items to leave out because of how their ratings scatter.

    Raises:
        ConfigError: bounds of ratings where there are none, views without an item table, user views without a user
            table, or a view with a name that is taken.
        DataError: a view's column is missing, or no interaction is left.
    """
    chosen = checked_views(views or {}, has_items=items is not None)
    of_users = checked_user_views(user_views or {}, item_views=chosen, has_users=interactions.users is not None)
    known = base or {}
    interactions = parted(interactions, settings)
    unknown = {"interactions": 0, "items": 0}
    if items is not None:
        items = aligned(items, interactions)
        interactions, unknown = without_unknown(interactions, items, settings)
    interactions, scattered = within_rating_bounds(interactions, ratings)
    with _sessionised(interactions, settings) as found:
        users = encoding(found.user_codes, _clicks_by_user(found.lists), known.get(USERS))
        unclicked = unclicked_ids(items.table, found.item_codes) if items and settings.keep_unclicked_items else None
        nodes = encoding(found.item_codes, _clicks_by_item(found.lists), known.get(ITEM_VIEW), unclicked)
        sessions, histories = _sequences(found, users, nodes, settings)
    built: dict[str, View] = {}
    if items is not None:
        for name, view in chosen.items():
            built[name] = build_view(name, view, items.table, nodes.vocabulary, sessions, known.get(name))
    side = user_side(interactions, users.vocabulary, of_users, known)
    disliked, n_disliked = disliked_items(interactions, users.vocabulary, nodes.vocabulary)
    return PreparedData(
        items=nodes.vocabulary,
        sessions=sessions,
        users=users.vocabulary,
        histories=histories,
        views=built,
        item_columns=None if items is None else columns_in_order(items.table, nodes.vocabulary),
        report={
            **_report(interactions, items, unknown, found.counts, sessions, histories, built, nodes.vocabulary),
            **side.report,
            **({"ratings": scattered} if scattered else {}),
            **({"disliked": n_disliked} if n_disliked else {}),
        },
        quarantine={name: table.quarantined for name, table in set_aside(interactions, items).items()},
        user_views=side.views,
        user_links=side.links,
        disliked=disliked,
    )


def checked_views(views: Mapping[str, str | ViewSettings], *, has_items: bool) -> dict[str, ViewSettings]:
    """The views in full, a column's name standing for a view of that column.

    Raises:
        ConfigError: a view with a reserved name, or views without an item table.
    """
    reserved = {ITEM_VIEW, USERS}.intersection(views)
    if reserved:
        raise ConfigError(f"a view cannot be called {sorted(reserved)[0]!r}: the name is taken; choose another")
    if views and not has_items:
        raise ConfigError(f"views {', '.join(views)} are columns of the item table, but no item table was given")
    return {name: ViewSettings(column=view) if isinstance(view, str) else view for name, view in views.items()}


@dataclass(frozen=True)
class _Found:
    """What the engine holds while the arrays are fetched."""

    log: Interactions  # coded and cleaned, lazy
    user_codes: Any
    item_codes: Any
    lists: Any  # stored: user_id (code), session_number, items (codes)
    counts: dict[str, dict[str, int]]


@contextmanager
def _sessionised(interactions: Interactions, settings: SessionSettings) -> Iterator[_Found]:
    long = long_enough(interactions, settings)
    n_read = _n_rows(interactions.table)
    n_long = n_read if long is interactions else _n_rows(long.table)
    with ExitStack() as stack:
        users, items = (stack.enter_context(codes_of(interactions.table[c])) for c in (USER_ID, ITEM_ID))
        log = clean(encoded(interactions, users, items), settings)
        if has_bounds(settings):
            stored = stack.enter_context(engine.held(log.table))
            log, activity = within_bounds(replace(log, table=stored), settings)
            log = clean(log, settings)  # what stood between two clicks on one item may be gone
        else:
            log, activity = within_bounds(log, settings)
        lists = stack.enter_context(engine.held(session_lists(log, settings)))
        found = _list_counts(lists, settings)
        steps = steps_of(n_read, n_long, activity["interactions"], found["clicks"])
        yield _Found(log, users, items, lists, {"interactions": steps, "activity": activity, "sessions": found})


def steps_of(n_read: int, n_long: int, n_outside: int, n_kept: int) -> dict[str, int]:
    """Where the interactions went: read, dwelt upon long enough, dropped by the activity bounds, left.

    Raises:
        DataError: none is left.
    """
    steps = {
        "read": n_read,
        "short_dwell": n_read - n_long,
        "repeats": n_long - n_outside - n_kept,
        "outside_activity_bounds": n_outside,
        "kept": n_kept,
    }
    if not n_kept:
        raise DataError(f"no interaction is left to train on: {_in_words(steps)}; loosen the thresholds")
    return steps


def _list_counts(lists: Any, settings: SessionSettings) -> dict[str, int]:
    length = lists[ITEMS].length()
    row = engine.one_row(
        lists.aggregate(
            found=lists.count(),
            too_short=(length < settings.min_session_length).sum(),
            cut=(length > settings.max_session_length).sum(),
            clicks=length.sum(),
        )
    )
    return {name: int(value or 0) for name, value in row.items()}


def _clicks_by_user(lists: Any) -> Any:
    return lists.group_by(**{CODE: lists[USER_ID]}).aggregate(n=lists[ITEMS].length().sum())


def _clicks_by_item(lists: Any) -> Any:
    clicks = lists.select(**{CODE: lists[ITEMS].unnest()})
    return clicks.group_by(CODE).aggregate(n=clicks.count())


def _sequences(
    found: _Found, users: Encoding, items: Encoding, settings: SessionSettings
) -> tuple[Sequences, Sequences]:
    """Sessions within the length bounds, by user and time, and per user all items in time order.

    Users of an older vocabulary without a click now have an empty history.
    """
    n_users, n_lists, n_values = len(users.vocabulary), *(found.counts["sessions"][n] for n in ("found", "clicks"))
    ordered = _with_user_index(found.lists, users).order_by("user_index", SESSION_NUMBER)
    uncut, n_clicks = _fetch(ordered, items, n_users, n_lists, n_values)
    flat = uncut.values
    if found.log.has(SESSION_ID):  # given sessions may interleave, so their order is not the order of the clicks
        lists = _with_user_index(item_lists(found.log.table, (USER_ID,)), users)
        n_active = int((users.index_of_code != UNKNOWN).sum())
        flat = _fetch(lists.order_by("user_index"), items, n_users, n_active, n_values)[0].values
    sessions = within_lengths(uncut, settings.min_session_length, settings.max_session_length)
    histories = Sequences.from_lengths(flat, n_clicks)
    return sessions, without_repeats(histories) if settings.collapse_repeats else histories


def _with_user_index(lists: Any, users: Encoding) -> Any:
    codes = pa.table({CODE: np.arange(len(users.index_of_code), dtype=np.int32), "user_index": users.index_of_code})
    index = engine.register(engine.backend_of(lists), codes)
    return lists.join(index, lists[USER_ID] == index[CODE])


def _fetch(
    lists: Any, items: Encoding, n_users: int, n_lists: int, n_values: int
) -> tuple[Sequences, NDArray[np.int64]]:
    """Ordered lists of item codes as flat arrays of item indices, and the number of values of each user."""
    values, lengths = np.empty(n_values, np.int32), np.empty(n_lists, np.int64)
    by_user = np.zeros(n_users, np.int64)
    row = value = 0
    for batch in engine.batches(lists.select("user_index", ITEMS)):
        column = batch.column(ITEMS)
        own = np.diff(column.offsets.to_numpy())
        codes = column.flatten().to_numpy()
        values[value : value + len(codes)] = items.index_of_code[codes]
        lengths[row : row + len(own)] = own
        np.add.at(by_user, batch.column("user_index").to_numpy(), own)
        row, value = row + len(own), value + len(codes)
    return Sequences.from_lengths(values, lengths), by_user


def _report(
    interactions: Interactions,
    items: ItemTable | None,
    unknown: dict[str, int],
    counts: dict[str, dict[str, int]],
    sessions: Sequences,
    histories: Sequences,
    views: Mapping[str, View],
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    """Counts of every stage, fit for JSON."""
    return {
        "input": dict(interactions.notes),
        "item_table": {} if items is None else dict(items.notes),
        "unknown_items": unknown,
        **counts,
        "prepared": {
            "users": int((histories.lengths > 0).sum()),
            "items": int((vocabulary.counts > 0).sum()),
            "unclicked_items": int((vocabulary.counts == 0).sum()),
            "sessions": len(sessions),
            "clicks_in_sessions": len(sessions.values),
            "clicks_in_histories": len(histories.values),
        },
        "views": {
            name: {
                "nodes": len(view.nodes),
                "items_with_a_node": int((view.item_nodes.lengths > 0).sum()),
                "values": len(view.sessions.values),
            }
            for name, view in views.items()
        },
    }


def set_aside(interactions: Interactions, items: ItemTable | None) -> dict[str, Any]:
    """The tables of which reading set rows aside, by name."""
    tables = {
        "interactions": interactions,
        "items": items,
        "users": interactions.users,
        "user_links": interactions.user_links,
    }
    return {name: table for name, table in tables.items() if table is not None and table.quarantined is not None}


def _n_rows(table: Any) -> int:
    return int(engine.one_row(table.aggregate(n=table.count()))["n"])


def _in_words(steps: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in steps.items())


__all__ = ["USERS", "checked_views", "prepare", "set_aside", "steps_of"]
