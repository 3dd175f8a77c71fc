"""What a service remembers: the events of users, and the items added or removed since training.

One SQLAlchemy Core code for SQLite (a file, the default) and PostgreSQL (a url). What a call acknowledged by returning
survives `kill -9`, and with either database's defaults a power cut. Any number of threads and processes may use one
database; open a `State` in each process, never across a fork.

Ids are kept as JSON text (`ids`): 7 and "7" differ; a UUID comes back as its text.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from prismrec.errors import ConfigError, DataError
from prismrec.retrieval.request import NewItem
from prismrec.serving.state.engine import Database, StateError, open_database
from prismrec.serving.state.group_commit import GroupCommit
from prismrec.serving.state.ids import id_of, id_text
from prismrec.serving.state.statements import (
    CHANGE_NUMBER,
    CHANGED_ITEMS,
    COUNT_UP,
    FORGET,
    INSERT_EVENTS,
    TRIM,
    UPSERT_ITEMS,
    USERS_AT_ONCE,
    latest_events,
    lock_users,
)
from prismrec.serving.state.tables import migrate

KEPT_EVENTS = 1000
"""How many events of a user are kept unless set otherwise: far more than a query looks back."""

_WRITERS = {"sqlite": 1, "postgresql": 4}
"""Transactions that a process appends with at once: SQLite has one writer anyway, a server works on several."""

_LATEST_TIMESTAMP = 1e11
"""The year 5138 in seconds: a number beyond it counts something finer."""

_Row = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """A user met an item.

    Attributes:
        user_id, item_id: external ids: integers, text or UUIDs.
        timestamp: seconds since 1970 UTC; the time of its arrival where None.
        event_id: what makes a repeated delivery the same event, within its user; without one, each delivery counts.
    """

    user_id: Any
    item_id: Any
    timestamp: float | None = None
    event_id: str | None = None


@dataclass(frozen=True)
class ItemChanges:
    """How the items stand that changed after some number.

    Attributes:
        number: the number of the latest change: what to ask with next time.
        upserted: items as they are now, the earliest change first.
        deleted: ids of items that are gone, those that only the bundle held among them.
        upserted_at: when each of `upserted` was, in seconds since 1970; no part of equality.
    """

    number: int
    upserted: tuple[NewItem, ...] = ()
    deleted: tuple[Any, ...] = ()
    upserted_at: tuple[float, ...] = field(default=(), compare=False)


class State:
    """Events and items in a database, durable, shared by all workers of a service."""

    def __init__(self, database: Database, kept_events: int) -> None:
        """Use `State.open`."""
        self._database = database
        self._kept_events = kept_events
        self._append = GroupCommit(self._append_all, writers=_WRITERS[database.dialect])

    @classmethod
    def open(cls, url: str, kept_events: int = KEPT_EVENTS) -> State:
        """Connect, and create or update the tables.

        Args:
            url: "sqlite:///relative.db", "sqlite:////absolute.db", or "postgresql://user:password@host/database".
            kept_events: how many events of each user are kept, the latest; older ones go in the same transaction.

        Raises:
            ConfigError: the url is none of these, or nothing would be kept.
            MissingExtraError: PostgreSQL without its driver.
            ArtifactError: the database cannot be reached (StateError), or was written by a newer version.
        """
        if kept_events < 1:
            raise ConfigError(f"kept_events is {kept_events}: at least 1 event of a user must be kept")
        database = open_database(url)
        with ExitStack() as on_error:
            on_error.callback(database.close)
            with database.writing() as connection:
                migrate(connection)
            on_error.pop_all()
        return cls(database, kept_events)

    def append(self, events: Sequence[Event]) -> int:
        """Store events; all are on disk when this returns, or none is. Threads that append at once share a commit.

        An event whose `event_id` its user has already is not stored again; that holds as long as the first one is
        among the user's kept events. Per user the latest `kept_events` stay.

        Returns:
            How many were new.

        Raises:
            DataError: an id or a timestamp is unusable; nothing is stored.
            StateError: the database refuses; nothing is stored.
        """
        now = time.time()
        rows = [_row(event, now) for event in events]
        return self._append(rows) if rows else 0

    def histories(self, user_ids: Iterable[Any], limit: int) -> dict[Any, list[Any]]:
        """The latest item ids of users, oldest first: by timestamp, equal ones by arrival. Empty for unknown users.

        Raises:
            DataError: a user id is unusable, or the limit is negative.
            StateError: the database refuses.
        """
        if limit < 0:
            raise DataError(f"the limit of a history is {limit}: expected 0 or more")
        texts = {user_id: id_text(user_id, "user id") for user_id in user_ids}
        found: dict[Any, list[Any]] = {user_id: [] for user_id in texts}
        with self._database.reading() as connection:
            for start in range(0, len(found), USERS_AT_ONCE):
                users = list(found)[start : start + USERS_AT_ONCE]
                for place, item in connection.execute(*latest_events([texts[user] for user in users], limit)):
                    found[users[place]].append(id_of(item))
        return found

    def forget(self, user_id: Any) -> int:
        """Remove all that is stored of a user, event ids too; returns how many events there were.

        SQLite overwrites the bytes (secure_delete) and empties its log where no reader is in the way, else with the
        next one; PostgreSQL frees them when it vacuums.

        Raises:
            DataError: the user id is unusable.
            StateError: the database refuses.
        """
        text = id_text(user_id, "user id")
        with self._database.writing() as connection:
            lock_users(connection, [text])
            n_events = connection.execute(FORGET, {"user": text}).rowcount
        self._database.empty_log()
        return n_events

    def put_items(self, items: Sequence[NewItem]) -> int:
        """Upsert items; returns the number of the latest change, which `changes` then knows.

        Raises:
            DataError: an id is unusable, or a column is no JSON value; nothing is stored.
            StateError: the database refuses; nothing is stored.
        """
        return self._change({id_text(item.item_id): _document(item) for item in items})

    def delete_items(self, item_ids: Iterable[Any]) -> int:
        """Delete items, known here or not: a tombstone stays until the item is upserted again. Returns as `put_items`.

        Raises:
            DataError: an id is unusable; nothing is stored.
            StateError: the database refuses; nothing is stored.
        """
        return self._change({id_text(item_id): None for item_id in item_ids})

    def changes(self, after: int = 0) -> ItemChanges:
        """The items that changed after a number, each once, as it is now; one look at one row where none did.

        An `after` that lies ahead of this database (it was replaced) is told everything, under a lower number.

        Raises:
            StateError: the database refuses.
        """
        with self._database.reading() as connection:
            number = connection.execute(CHANGE_NUMBER).scalar_one()
            if number == after:
                return ItemChanges(number)
            rows = connection.execute(CHANGED_ITEMS, {"after": after if after < number else 0}).all()
        latest = max([number, *(row.number for row in rows)])  # PostgreSQL may have seen newer ones in the second look
        return ItemChanges(
            number=latest,
            upserted=tuple(NewItem(item_id=id_of(r.item_id), **json.loads(r.document)) for r in rows if r.document),
            deleted=tuple(id_of(r.item_id) for r in rows if not r.document),
            upserted_at=tuple(r.changed for r in rows if r.document),
        )

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _append_all(self, batches: Sequence[list[_Row]]) -> list[int]:
        """Insert every batch in one transaction; how many rows of each were new."""
        insert = INSERT_EVENTS[self._database.dialect]
        users = sorted({row["user_id"] for batch in batches for row in batch})
        with self._database.writing() as connection:
            lock_users(connection, users)
            n_new = [connection.execute(insert, batch).rowcount for batch in batches]
            connection.execute(TRIM, [{"user": user, "kept": self._kept_events} for user in users])
        return n_new

    def _change(self, documents: Mapping[str, str | None]) -> int:
        """Write documents and tombstones by id text under the next numbers.

        Adding to the counter locks its row until the commit, so numbers are committed in their order: who saw one has
        seen all below it.
        """
        with self._database.writing() as connection:
            now = time.time()
            last = connection.execute(COUNT_UP, {"n_changes": len(documents)}).scalar_one()
            first = last - len(documents) + 1
            rows = [
                {"item_id": text, "number": first + i, "changed": now, "document": document}
                for i, (text, document) in enumerate(documents.items())
            ]
            if rows:
                connection.execute(UPSERT_ITEMS[self._database.dialect], rows)
        return int(last)


def _row(event: Event, now: float) -> _Row:
    timestamp = now if event.timestamp is None else float(event.timestamp)
    if not (math.isfinite(timestamp) and abs(timestamp) < _LATEST_TIMESTAMP):
        raise DataError(f"the timestamp {event.timestamp!r} is no time: expected seconds since 1970")
    return {
        "user_id": id_text(event.user_id, "user id"),
        "item_id": id_text(event.item_id),
        "timestamp": timestamp,
        "event_id": None if event.event_id is None else id_text(event.event_id, "event id"),
    }


def _document(item: NewItem) -> str:
    try:
        return json.dumps({"views": item.views, "columns": item.columns}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"item {item.item_id!r}: its columns must be JSON values, finite numbers: {error}") from error


__all__ = ["KEPT_EVENTS", "Event", "ItemChanges", "State", "StateError"]
