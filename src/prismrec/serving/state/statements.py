"""What the state says to its database, each statement built once; databases differ in upserts and locks alone."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from prismrec.serving.state.tables import CHANGES, EVENTS, ITEMS

USERS_AT_ONCE = 16
"""Histories that one statement asks for: a batch of requests waits for the server a few times, not for each user."""

_USER_LOCKS = 0x505249  # any number that nobody else in that database pairs with another as a lock
_N_USER_LOCKS = 64
_LATEST_FIRST = (EVENTS.c.timestamp.desc(), EVENTS.c.arrival.desc())


def latest_events(users: Sequence[str], limit: int) -> tuple[sa.Select, dict[str, Any]]:
    """The latest events of up to `USERS_AT_ONCE` users as (place of the user, item id), oldest first.

    Returns:
        The statement, for one user or for as many as it takes, and its parameters; "" is nobody's id text.
    """
    n_users = 1 if len(users) == 1 else USERS_AT_ONCE
    asked = [*users, *[""] * (n_users - len(users))]
    return _latest_of(n_users), {**{f"user_{place}": user for place, user in enumerate(asked)}, "limit": limit}


def lock_users(connection: sa.Connection, users: Iterable[str]) -> None:
    """Keep other transactions off these users (id texts) until this one ends; SQLite has one writer anyway.

    Two transactions that wrote to the same users in another order would wait for each other. All take these locks
    first, in one order. There are few of them, since a server holds only some thousands: users share them.
    """
    if connection.dialect.name == "postgresql":
        places = sorted({zlib.crc32(user.encode()) % _N_USER_LOCKS for user in users})
        connection.execute(_LOCK_USERS, {"space": _USER_LOCKS, "places": places})


@cache
def _latest_of(n_users: int) -> sa.Select:
    """The latest events of users, as (place of the user, item id), oldest first: one walk over the index for each."""
    latest = [
        sa.select(sa.literal_column(str(place)).label("place"), EVENTS.c.timestamp, EVENTS.c.arrival, EVENTS.c.item_id)
        .where(EVENTS.c.user_id == sa.bindparam(f"user_{place}"))
        .order_by(*_LATEST_FIRST)
        .limit(sa.bindparam("limit"))
        .subquery()
        for place in range(n_users)
    ]
    every = sa.union_all(*map(sa.select, latest)).subquery()
    return sa.select(every.c.place, every.c.item_id).order_by(every.c.place, every.c.timestamp, every.c.arrival)


def _insert_events(insert: Any) -> Any:
    return insert(EVENTS).on_conflict_do_nothing().execution_options(preserve_rowcount=True)


def _upsert_items(insert: Any) -> Any:
    statement = insert(ITEMS)
    new = {name: statement.excluded[name] for name in ("number", "changed", "document")}
    return statement.on_conflict_do_update(index_elements=[ITEMS.c.item_id], set_=new)


_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
INSERT_EVENTS = {name: _insert_events(insert) for name, insert in _INSERT.items()}
UPSERT_ITEMS = {name: _upsert_items(insert) for name, insert in _INSERT.items()}

_FIRST_TOO_MANY = (
    sa.select(EVENTS.c.timestamp, EVENTS.c.arrival)
    .where(EVENTS.c.user_id == sa.bindparam("user"))
    .order_by(*_LATEST_FIRST)
    .limit(1)
    .offset(sa.bindparam("kept"))
)
TRIM = EVENTS.delete().where(
    EVENTS.c.user_id == sa.bindparam("user"),
    sa.tuple_(EVENTS.c.timestamp, EVENTS.c.arrival) <= _FIRST_TOO_MANY.scalar_subquery(),
)
"""Walks over the `kept` latest entries of the user's index and no further: little beside the wait for the disk."""

FORGET = EVENTS.delete().where(EVENTS.c.user_id == sa.bindparam("user"))

CHANGE_NUMBER = sa.select(CHANGES.c.number)
COUNT_UP = CHANGES.update().values(number=CHANGES.c.number + sa.bindparam("n_changes")).returning(CHANGES.c.number)
CHANGED_ITEMS = sa.select(ITEMS).where(ITEMS.c.number > sa.bindparam("after")).order_by(ITEMS.c.number)
_LOCK_USERS = sa.text("SELECT pg_advisory_xact_lock(:space, place) FROM unnest(CAST(:places AS integer[])) AS place")


__all__ = [
    "CHANGED_ITEMS",
    "CHANGE_NUMBER",
    "COUNT_UP",
    "FORGET",
    "INSERT_EVENTS",
    "TRIM",
    "UPSERT_ITEMS",
    "USERS_AT_ONCE",
    "latest_events",
    "lock_users",
]
