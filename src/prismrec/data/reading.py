"""Tables as they lie there, under canonical names: ids unchanged, times in microseconds, bad rows set aside.

Reading stays lazy: one pass counts what is bad, everything else happens when the stages after it ask for rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import ibis

from prismrec.data import engine, texts
from prismrec.data.engine import connect
from prismrec.data.engines.functions import finite
from prismrec.data.quarantine import Split, split
from prismrec.data.schema import (
    DWELL_SECONDS,
    EVENT,
    ITEM_ID,
    LINKED_ID,
    RATING,
    ROW,
    SESSION_ID,
    TIMESTAMP,
    USER_ID,
    InteractionColumns,
    Interactions,
    ItemTable,
    TimestampUnit,
    UserLinks,
    UserTable,
)
from prismrec.data.sources import PLACE, Source, open_source
from prismrec.data.timestamps import Moments, read_moments
from prismrec.errors import DataError

Reasons = list[tuple[Any, str]]

_CANONICAL = InteractionColumns()


def read_interactions(
    source: Any,
    columns: InteractionColumns = _CANONICAL,
    *,
    timestamp_unit: TimestampUnit = "auto",
    max_bad_share: float = 0.05,
    connection: Any = None,
) -> Interactions:
    """Read a click log.

    Args:
        source: a path, folder or glob of Parquet or CSV files, "duckdb:///file.db::table", an Ibis table, or a pandas,
            Polars or Arrow table.
        columns: which column is what.
        timestamp_unit: "auto" finds the unit from the whole column and says so in `notes`; "order" takes any
            increasing number that says which click came first, but not how long after.
        max_bad_share: share of bad rows up to which they are set aside and the run goes on.
        connection: the engine to read with, as `connect` gives it.

    Raises:
        DataError: nothing to read, a column is missing, ids are floats, the time unit cannot be told, or too many rows
            are bad.
    """
    opened = open_source(source, connection)
    named = {role: column for role, column in columns if column}
    opened.require(named.values())
    table = opened.table
    ids = _Ids(opened, [named[role] for role in ("user", "item", "session") if role in named])
    moments = read_moments(table, columns.time, timestamp_unit, opened.name, max_bad_share)
    values = {USER_ID: ids.value(columns.user), ITEM_ID: ids.value(columns.item), TIMESTAMP: moments.value}
    reasons = [*ids.reasons(columns.user, "user id"), *ids.reasons(columns.item, "item id"), *_time_reasons(moments)]
    for name, column, extra in _optional(table, columns, ids):
        values[name] = column
        reasons.extend(extra)
    parted = split(opened, reasons, max_bad_share)
    good = parted.good.select(**values, **{ROW: parted.good[PLACE]})
    notes = {**_notes(opened, parted), "timestamps": moments.note}
    return Interactions(good, moments.time_unit, parted.bad, notes)


def read_items(
    source: Any, item_column: str = "item_id", *, max_bad_share: float = 0.05, connection: Any = None
) -> ItemTable:
    """Read an item table: one row per item, any side columns.

    The item column is renamed to item_id. Of several rows with one id the first is kept, the others are set aside. In
    text files, columns of whole numbers become integers (only if every value comes back exactly); the rest stays text.

    Raises:
        DataError: as for `read_interactions`.
    """
    return ItemTable(*_read_entities("item", source, item_column, max_bad_share, connection))


def read_users(
    source: Any, user_column: str = "user_id", *, max_bad_share: float = 0.05, connection: Any = None
) -> UserTable:
    """Read a user table: one row per user, any side columns; as `read_items`, with the column renamed to user_id.

    Raises:
        DataError: as for `read_interactions`.
    """
    return UserTable(*_read_entities("user", source, user_column, max_bad_share, connection))


def read_user_links(source: Any, *, max_bad_share: float = 0.05, connection: Any = None) -> UserLinks:
    """Read pairs of users: a table of two columns of user ids, whatever their names; a pair may come both ways round.

    Rows without one of the two ids are set aside, and those that link a user to themselves.

    Raises:
        DataError: as for `read_interactions`, or the table does not have two columns.
    """
    opened = open_source(source, connection)
    columns = [column for column in opened.table.columns if column != PLACE]
    if len(columns) != 2:
        raise DataError(
            f"{opened.name} has {len(columns)} columns ({', '.join(columns)}): links of users are a table of two, "
            "a user id in each"
        )
    ids = _Ids(opened, columns)
    one, other = (ids.value(column) for column in columns)
    reasons = [reason for column in columns for reason in ids.reasons(column, "user id")]
    to_oneself = one.cast("string") == other.cast("string")
    parted = split(opened, [*reasons, (to_oneself, "user linked to themselves")], max_bad_share)
    good = parted.good.select(**{USER_ID: one, LINKED_ID: other})
    return UserLinks(good, parted.bad, _notes(opened, parted))


def _read_entities(
    entity: Literal["item", "user"], source: Any, column: str, max_bad_share: float, connection: Any
) -> tuple[Any, Any, dict[str, Any]]:
    """A table of one row per item or user: the good rows, those set aside, and what reading found."""
    opened = open_source(source, connection)
    opened.require([column])
    table, key = opened.table, f"{entity}_id"
    sides = [c for c in table.columns if c not in (column, PLACE)]
    if key in sides:
        raise DataError(f"{opened.name} has a column {key!r} beside the {entity} column {column!r}: rename or drop it")
    ids = _Ids(opened, [column], sides)
    order = ibis.window(group_by=table[column], order_by=table[PLACE])
    reasons = [*ids.reasons(column, f"{entity} id"), (ibis.row_number().over(order) > 0, f"duplicate {entity} id")]
    parted = split(opened, reasons, max_bad_share)
    good = parted.good.select(**{key: ids.value(column)}, **{c: ids.value(c) for c in sides})
    return good, parted.bad, _notes(opened, parted)


class _Ids:
    """How id columns are read: as they are, except that text files may hold whole numbers."""

    def __init__(self, source: Source, columns: Iterable[str], sides: Iterable[str] = ()) -> None:
        self._table = source.table
        for column in columns:
            _refuse_unsuitable(source, column)
        self._whole = _whole_number_columns(source.table, [*columns, *sides]) if source.is_text else set()

    def value(self, column: str) -> Any:
        """The column as integers where every value is one, else unchanged."""
        values = self._table[column]
        if column in self._whole:
            return values.try_cast("int64")
        kind = values.type()
        if kind.is_integer():
            return values.cast("uint64" if kind.is_uint64() else "int64")
        return values

    def reasons(self, column: str, what: str) -> Iterator[tuple[Any, str]]:
        """Why a row is bad because of this id."""
        values = self._table[column]
        missing = values.isnull() | (values == "") if values.type().is_string() else values.isnull()
        yield missing, f"missing {what}"


def _refuse_unsuitable(source: Source, column: str) -> None:
    kind = source.table[column].type()
    if kind.is_integer() or kind.is_string() or kind.is_uuid():
        return
    advice = "cast it where the table is made, to integers or text"
    if kind.is_floating():
        advice = (
            "a float id may have lost digits already: read it as text or integers where the table is made "
            "(pandas: dtype 'Int64' or 'string')"
        )
    raise DataError(f"{source.name}: column {column!r} has type {kind}, which is no id: {advice}")


def _whole_number_columns(table: Any, columns: list[str]) -> set[str]:
    """The text columns in which every value is a 64-bit integer that prints as it came ("007" does not)."""

    def counts(column: str) -> tuple[Any, Any]:
        text = table[column]
        present = text.notnull() & (text != "")
        exact = (text.try_cast("int64").cast("string") == text).fill_null(False)
        return present.sum(), (present & ~exact).sum()

    aggregates = {}
    for i, column in enumerate(columns):
        aggregates[f"present_{i}"], aggregates[f"other_{i}"] = counts(column)
    found = engine.one_row(table.aggregate(**aggregates))
    return {c for i, c in enumerate(columns) if found[f"present_{i}"] and not found[f"other_{i}"]}


def _time_reasons(moments: Moments) -> Reasons:
    return [
        (moments.missing, "missing time"),
        (moments.unparsable, "unparsable time"),
        (moments.impossible, "impossible time"),
    ]


def _optional(table: Any, columns: InteractionColumns, ids: _Ids) -> Iterator[tuple[str, Any, Reasons]]:
    if columns.dwell:
        value, reasons = _number(table, columns.dwell, "dwell")
        yield DWELL_SECONDS, value, [*reasons, (value < 0, "negative dwell")]
    if columns.event:
        yield EVENT, table[columns.event], []
    if columns.rating:
        yield RATING, *_number(table, columns.rating, "rating")
    if columns.session:
        yield SESSION_ID, ids.value(columns.session), list(ids.reasons(columns.session, "session id"))


def _number(table: Any, column: str, what: str) -> tuple[Any, Reasons]:
    """A number per row, null where missing; anything that is there and no finite number is a reason."""
    values = table[column]
    if not (values.type().is_numeric() or values.type().is_string()):
        raise DataError(f"column {column!r} has type {values.type()}: expected numbers for the {what}")
    is_text = values.type().is_string()
    missing = values.isnull() | (values == "") if is_text else values.isnull()
    number = texts.number(values) if is_text else values.cast("float64")
    value = finite(number)
    unparsable = ~missing & value.isnull() & ~number.isnan().fill_null(False)  # NaN is a number that is missing
    return value, [(unparsable, f"unparsable {what}")]


def _notes(source: Source, parted: Split) -> dict[str, Any]:
    return {
        "source": source.name,
        "files": len(source.files),
        "rows": parted.n_rows,
        "bad_rows": parted.n_bad,
        "bad_by_reason": parted.by_reason,
    }


__all__ = ["connect", "read_interactions", "read_items", "read_user_links", "read_users"]
