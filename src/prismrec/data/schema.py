"""The names of the columns, spelled once, and the two tables every stage speaks of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from prismrec.config import Section

USER_ID = "user_id"
ITEM_ID = "item_id"
TIMESTAMP = "timestamp"
DWELL_SECONDS = "dwell_seconds"
EVENT = "event"
RATING = "rating"
SESSION_ID = "session_id"
LINKED_ID = "linked_id"
"""The other user of a link."""

ROW = "source_row"
"""1-based place of the row in its input: the tie-break of equal timestamps, and what a quarantine names."""

UNKNOWN = -1
"""The index of an id that the vocabulary does not hold."""

ITEM_VIEW = "item"
"""The view of the items themselves; every other view is a column of the item table."""

USERS = "user"
"""The vocabulary of users, where others have the names of their views."""

TimestampUnit = Literal["auto", "s", "ms", "us", "ns", "datetime", "order"]


class InteractionColumns(Section):
    """Which column of the user's table is what. Optional columns are left out by leaving them empty."""

    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"
    dwell: str = ""
    event: str = ""
    rating: str = ""
    session: str = ""


@dataclass(frozen=True)
class UserTable:
    """One row per user: user_id and what else is known of them, as a lazy Ibis table on the engine that read it."""

    table: Any  # ibis.Table
    quarantined: Any = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UserLinks:
    """Pairs of users who belong together (friends, a household): user_id and linked_id, as a lazy Ibis table.

    A link has no direction: (a, b) and (b, a) are the same one.
    """

    table: Any  # ibis.Table
    quarantined: Any = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Interactions:
    """A click log with canonical column names, as a lazy Ibis table on the engine that read it.

    Columns: user_id, item_id (any id type, unchanged), timestamp (int64, microseconds since 1970 UTC; with
    `time_unit` "order" any increasing number), source_row (int64), and those of dwell_seconds, event, rating,
    session_id that the input has. Bad rows are already gone: they are in `quarantined`, and counted in `notes`.

    What is known of the users beside their clicks goes with the log, through every split of it: `users`, `user_links`,
    and `disliked`, the rows with a rating below the least of a click (user_id, item_id, timestamp, source_row, rating).
    """

    table: Any  # ibis.Table
    time_unit: str = "us"  # "us", or "order" where times carry order but no distance
    quarantined: Any = None  # ibis.Table of the rows set aside: reason, file, source_row, row (JSON); None = none
    notes: dict[str, Any] = field(default_factory=dict)  # what reading found: rows, bad rows by reason, unit
    users: UserTable | None = None
    user_links: UserLinks | None = None
    disliked: Any = None  # ibis.Table; None where no rows were parted by their rating

    def has(self, column: str) -> bool:
        """Whether the log carries this optional column."""
        return column in self.table.columns


@dataclass(frozen=True)
class ItemTable:
    """One row per item: item_id and any side columns, as a lazy Ibis table on the engine that read it."""

    table: Any  # ibis.Table
    quarantined: Any = None
    notes: dict[str, Any] = field(default_factory=dict)


__all__ = [
    "DWELL_SECONDS",
    "EVENT",
    "ITEM_ID",
    "ITEM_VIEW",
    "LINKED_ID",
    "RATING",
    "ROW",
    "SESSION_ID",
    "TIMESTAMP",
    "UNKNOWN",
    "USERS",
    "USER_ID",
    "InteractionColumns",
    "Interactions",
    "ItemTable",
    "TimestampUnit",
    "UserLinks",
    "UserTable",
]
