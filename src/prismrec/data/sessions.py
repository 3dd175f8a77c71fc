"""From a click log to sessions: dwell filter, gap cuts, repeats, activity bounds, as Ibis expressions.

M2GRL (KDD 2020, section 4): clicks shorter than 2 s are dropped, a user's clicks closer than 30 minutes are one
session. Everything is a window or a group over one user in time order, so a later click never changes an earlier
session. Lists are built as `struct(timestamp, row, item).collect().sort().map(item)`, which DuckDB and Spark both run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import ibis
from pydantic import Field

from prismrec.config import Section
from prismrec.data.dislikes import liked
from prismrec.data.engines.functions import quotient
from prismrec.data.schema import DWELL_SECONDS, ITEM_ID, ROW, SESSION_ID, TIMESTAMP, USER_ID, Interactions

SESSION_NUMBER = "session_number"
"""Which of the user's sessions a click belongs to, counted in time order; `clean` adds it."""

ITEMS = "items"
"""The ordered item list of a session."""

_MICROSECONDS_PER_MINUTE = 60_000_000


class SessionSettings(Section):
    """How a click log becomes sessions."""

    min_dwell_seconds: float = Field(default=2.0, ge=0, description="drop clicks shorter than this, where known (s)")
    session_gap_minutes: float = Field(
        default=30.0, gt=0, description="a pause this long starts a new session (minutes)"
    )
    min_session_length: int = Field(default=2, ge=1, description="drop sessions with fewer clicks than this")
    max_session_length: int = Field(
        default=200, ge=1, description="cut longer sessions into pieces of this many clicks"
    )
    min_item_interactions: int = Field(default=1, ge=1, description="drop items with fewer clicks than this (k-core)")
    min_user_interactions: int = Field(default=1, ge=1, description="drop users with fewer clicks than this (k-core)")
    max_user_interactions: int = Field(default=0, ge=0, description="drop users with more clicks (bots); 0 = no bound")
    max_core_rounds: int = Field(
        default=100, ge=1, description="how often the k-core bounds may be applied until stable"
    )
    collapse_repeats: bool = Field(default=True, description="keep one of several clicks on the same item in a row")
    keep_unclicked_items: bool = Field(
        default=False, description="items only in the item table get an index too, at the end"
    )
    min_rating: float = Field(
        default=0.0,
        description="rows with a lower rating are dislikes, not clicks, as 4 of 5 stars; 0 = all are clicks",
    )
    unknown_items: Literal["keep", "quarantine"] = Field(
        default="keep", description="clicks on items that the item table lacks: kept without views, or quarantined"
    )


DEFAULTS = SessionSettings()


def clean(interactions: Interactions, settings: SessionSettings) -> Interactions:
    """Drop dislikes and short clicks, number each user's sessions, and collapse repeats within a session.

    Gaps are measured between neighbouring clicks *before* repeats go, so reloading a page for an hour is one session.
    Cleaning twice changes nothing; sessions that are numbered already keep their numbers.

    Returns:
        The log with the column `session_number` (int64, from 0 per user).

    Raises:
        ConfigError: `min_rating` is set, but the log has no ratings.
    """
    log = long_enough(parted(interactions, settings), settings)
    if log.has(SESSION_NUMBER):
        table = collapsed(log.table, settings)
    elif log.has(SESSION_ID):
        table = collapsed(_by_session_id(log.table), settings)
    elif log.time_unit == "order":
        table = collapsed(log.table.mutate(**{SESSION_NUMBER: ibis.literal(0, "int64")}), settings)
    else:
        table = _by_gap(log.table, settings)
    return replace(log, table=table)


def parted(interactions: Interactions, settings: SessionSettings) -> Interactions:
    """The log without what its users disliked; one that is cleaned already comes back as it is.

    Raises:
        ConfigError: `min_rating` is set, but the log has no ratings.
    """
    return interactions if interactions.has(SESSION_NUMBER) else liked(interactions, settings.min_rating)


def long_enough(interactions: Interactions, settings: SessionSettings) -> Interactions:
    """The clicks whose dwell is unknown or at least `min_dwell_seconds`."""
    table = interactions.table
    if not interactions.has(DWELL_SECONDS) or settings.min_dwell_seconds == 0:
        return interactions
    kept = table.filter(table[DWELL_SECONDS].isnull() | (table[DWELL_SECONDS] >= settings.min_dwell_seconds))
    return replace(interactions, table=kept)


def sessions(interactions: Interactions, settings: SessionSettings) -> Any:
    """The sessions of a log that `clean` returned (any other log is cleaned first).

    Returns:
        Ibis table with user_id, session_number (int64), piece (int64; above 0 in sessions that were too long) and
        items (list): at least `min_session_length`, at most `max_session_length` of them, in time order.
    """
    log = _numbered(interactions, settings)
    in_session = ibis.window(group_by=[USER_ID, SESSION_NUMBER], order_by=[TIMESTAMP, ROW])
    placed = log.mutate(place=ibis.row_number().over(in_session))
    pieces = placed.mutate(piece=quotient(placed.place, settings.max_session_length).cast("int64"))
    lists = item_lists(pieces, (USER_ID, SESSION_NUMBER, "piece"))  # cut before listing: a bot's session may be endless
    return lists.filter(lists[ITEMS].length() >= settings.min_session_length)


def session_lists(interactions: Interactions, settings: SessionSettings) -> Any:
    """All sessions with their items in time order, however short or long: user_id, session_number, items."""
    return item_lists(_numbered(interactions, settings), (USER_ID, SESSION_NUMBER))


def item_lists(table: Any, by: tuple[str, ...]) -> Any:
    """One row per group with its items in time order; equal times are in the order of the input."""
    entry = ibis.struct({"t": table[TIMESTAMP], "r": table[ROW], "i": table[ITEM_ID]})
    grouped = table.group_by(list(by)).aggregate(entries=entry.collect())
    in_order = grouped.entries.sort().map(lambda e: e.i)
    return grouped.select(*by, **{ITEMS: in_order})


def _numbered(interactions: Interactions, settings: SessionSettings) -> Any:
    """The table of a clean log."""
    return (interactions if interactions.has(SESSION_NUMBER) else clean(interactions, settings)).table


def _by_gap(table: Any, settings: SessionSettings) -> Any:
    """Number the sessions by their gaps and collapse repeats: one window, one filter, one running sum."""
    gap = round(settings.session_gap_minutes * _MICROSECONDS_PER_MINUTE)
    before = ibis.window(group_by=USER_ID, order_by=[TIMESTAMP, ROW])
    marked = table.mutate(
        cut=(table[TIMESTAMP] - table[TIMESTAMP].lag().over(before) >= gap).fill_null(False),
        repeat=(table[ITEM_ID] == table[ITEM_ID].lag().over(before)).fill_null(False),
    )
    if settings.collapse_repeats:
        marked = marked.filter(marked.cut | ~marked.repeat)  # a repeat never cuts, so the numbers do not change
    so_far = ibis.cumulative_window(group_by=USER_ID, order_by=[TIMESTAMP, ROW])
    return marked.mutate(**{SESSION_NUMBER: marked.cut.cast("int64").sum().over(so_far)}).drop("cut", "repeat")


def _by_session_id(table: Any) -> Any:
    """Number given sessions by their first click; their clicks may interleave (two tabs, two devices)."""
    first = table.mutate(first=table[TIMESTAMP].min().over(ibis.window(group_by=[USER_ID, SESSION_ID])))
    rank = ibis.dense_rank().over(ibis.window(group_by=USER_ID, order_by=["first", SESSION_ID]))
    return first.mutate(**{SESSION_NUMBER: rank.cast("int64")}).drop("first")


def collapsed(table: Any, settings: SessionSettings) -> Any:
    """Without the clicks that repeat the click before them in their numbered session."""
    if not settings.collapse_repeats:
        return table
    in_session = ibis.window(group_by=[USER_ID, SESSION_NUMBER], order_by=[TIMESTAMP, ROW])
    marked = table.mutate(repeat=(table[ITEM_ID] == table[ITEM_ID].lag().over(in_session)).fill_null(False))
    return marked.filter(~marked.repeat).drop("repeat")


__all__ = [
    "DEFAULTS",
    "ITEMS",
    "SESSION_NUMBER",
    "SessionSettings",
    "clean",
    "collapsed",
    "item_lists",
    "long_enough",
    "parted",
    "session_lists",
    "sessions",
]
