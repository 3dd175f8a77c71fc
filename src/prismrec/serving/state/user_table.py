"""Stored histories from a click table, so that a service knows its users from its first request on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import ibis
import pyarrow as pa

from prismrec.data import engine
from prismrec.data.schema import ITEM_ID, ROW, TIMESTAMP, USER_ID, Interactions
from prismrec.errors import ConfigError
from prismrec.serving.state.ids import id_text
from prismrec.serving.state.store import Event, State

_BATCH = 10_000
"""Events of one transaction: enough to make its cost small, and few enough that others get their turn."""

_SECONDS = "seconds"


def load_histories(state: State, interactions: Interactions, last: int) -> int:
    """Store the last clicks of every user of a table.

    May be run again, after it was interrupted or when the table has grown: a click that is stored is not stored twice.
    What makes a click the same is user, item and time, so a user's clicks on one item at one time are one. Where the
    table's times are an order without distance, a click's time is its place in the user's order: before everything
    that the service will see.

    The engine sorts, and spills where memory is short; of the rows only a batch at a time is held here. The state
    keeps of each user what it keeps of anyone (`kept_events`), and forgets nobody who is in the table: whoever is to
    be forgotten must leave the table first.

    Args:
        state: where to.
        interactions: the clicks, as `inputs.read_tables` reads them from a settings file.
        last: how many clicks of each user, the latest.

    Returns:
        How many events were new.

    Raises:
        ConfigError: `last` is below 1.
        DataError: the table cannot be evaluated, or an id is too long; the batches before are stored.
        StateError: the database refuses; the batches before are stored.
    """
    if last < 1:
        raise ConfigError(f"the last {last} clicks of each user are asked for: expected 1 or more")
    batches = engine.batches(_latest(interactions, last), _BATCH)
    return sum(state.append(list(_events(batch))) for batch in batches)


def _latest(interactions: Interactions, last: int) -> Any:
    """The last clicks of each user in their order; user by user, so that a batch touches few places of the state."""
    table = interactions.table
    backwards = ibis.window(group_by=USER_ID, order_by=[ibis.desc(TIMESTAMP), ibis.desc(ROW)])
    forwards = ibis.window(group_by=USER_ID, order_by=[TIMESTAMP, ROW])
    is_order = interactions.time_unit == "order"
    seconds = ibis.row_number().over(forwards) if is_order else table[TIMESTAMP] / 1_000_000
    numbered = table.select(
        **{name: _plain(table[name]) for name in (USER_ID, ITEM_ID)},
        **{TIMESTAMP: table[TIMESTAMP], ROW: table[ROW], _SECONDS: seconds.cast("float64")},
        places_from_the_end=ibis.row_number().over(backwards),
    )
    return numbered.filter(numbered.places_from_the_end < last).order_by(USER_ID, TIMESTAMP, ROW)


def _plain(ids: Any) -> Any:
    """UUIDs as text, as the state holds them."""
    return ids.cast("string") if ids.type().is_uuid() else ids


def _events(batch: pa.RecordBatch) -> Iterator[Event]:
    columns = (batch.column(name).to_pylist() for name in (USER_ID, ITEM_ID, TIMESTAMP, _SECONDS))
    for user_id, item_id, timestamp, seconds in zip(*columns, strict=True):
        yield Event(user_id, item_id, seconds, _event_id(item_id, timestamp))


def _event_id(item_id: Any, timestamp: int) -> str:
    """What makes a click of a user the same: equal wherever in the table it stands, and however often it is read."""
    click = f"{timestamp} {id_text(item_id)}"
    return f"table:{hashlib.blake2b(click.encode(), digest_size=12).hexdigest()}"


__all__ = ["load_histories"]
