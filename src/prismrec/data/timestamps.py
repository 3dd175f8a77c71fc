"""Time columns of any kind as int64 microseconds since 1970 UTC; the unit is found from the whole column or given.

Epoch numbers are told apart by magnitude: the years 1990 to now are 6.3e8..1.8e9 in seconds and a thousand times more
in each finer unit, so the ranges cannot overlap. Where the column does not fall into one range, the unit must be given.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ibis

from prismrec.data import engine, texts
from prismrec.data.engines.functions import microseconds, quotient
from prismrec.data.schema import TimestampUnit
from prismrec.errors import DataError

EARLIEST_SECONDS = 631_152_000
"""1990-01-01: no click log is older."""

_FUTURE_SECONDS = 2 * 86_400
"""Clocks and time zones may run ahead this much."""

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_NAMES = {"s": "epoch seconds", "ms": "epoch milliseconds", "us": "epoch microseconds", "ns": "epoch nanoseconds"}


@dataclass(frozen=True)
class Moments:
    """How a time column is read.

    Attributes:
        missing, unparsable, impossible: boolean expressions over the table.
        value: int64 expression, valid where the other three are false.
        time_unit: "us", or "order" where times carry order but no distance.
        note: what was found, for the report.
    """

    missing: Any
    unparsable: Any
    impossible: Any
    value: Any
    time_unit: str
    note: str


def read_moments(table: Any, column: str, unit: TimestampUnit, where: str, max_bad_share: float) -> Moments:
    """Find out how to read the time column.

    Args:
        where: the input's name, for messages.
        max_bad_share: how much of the column may lie outside the detected unit's range.

    Raises:
        DataError: the unit cannot be told, or contradicts the column's type.
    """
    values = table[column]
    kind = values.type()
    if kind.is_timestamp() or kind.is_date():
        if unit not in ("auto", "datetime", "order"):
            raise DataError(
                f"{where}: column {column!r} holds datetimes, but timestamp_unit is {unit!r}: leave it 'auto'"
            )
        return _datetimes(values.isnull(), microseconds(values), unit)
    if kind.is_string():
        return _text_moments(table, column, unit, where, max_bad_share)
    if not kind.is_numeric():
        raise DataError(
            f"{where}: column {column!r} has type {kind}, which is no time: expected datetimes or epoch numbers"
        )
    if unit == "datetime":
        raise DataError(
            f"{where}: column {column!r} holds numbers, but timestamp_unit is 'datetime': use s, ms, us or ns"
        )
    whole = values.cast("int64") if kind.is_integer() else ibis.null("int64")
    approximate = values.cast("float64")
    missing = approximate.isnull() | approximate.isnan()  # engines differ in whether NaN is null
    numbers = _Numbers(missing, ibis.ifelse(missing, ibis.null("float64"), approximate), whole)
    return _number_moments(table, numbers, column, unit, where, max_bad_share)


@dataclass(frozen=True)
class _Numbers:
    missing: Any
    approximate: Any  # float64
    exact: Any  # int64 where the value is whole


def _text_moments(table: Any, column: str, unit: TimestampUnit, where: str, max_bad_share: float) -> Moments:
    text = table[column]
    missing = text.isnull() | (text == "")
    number, moment = texts.number(text), texts.moment(text)
    number = ibis.ifelse(number.isnan(), ibis.null("float64"), number)
    if unit == "auto":
        counts = table.aggregate(numbers=number.notnull().sum(), moments=moment.notnull().sum())
        found = engine.one_row(counts)
        is_datetime = (found["moments"] or 0) > (found["numbers"] or 0)
    else:
        is_datetime = unit == "datetime"
    if is_datetime:
        return _datetimes(missing, moment, unit)
    return _number_moments(
        table, _Numbers(missing, number, texts.whole_number(text)), column, unit, where, max_bad_share
    )


def _datetimes(missing: Any, micros: Any, unit: TimestampUnit) -> Moments:
    low, high = (bound * 1_000_000 for bound in _bounds())
    ordered = unit == "order"
    return Moments(
        missing=missing,
        unparsable=~missing & micros.isnull(),
        impossible=ibis.literal(False) if ordered else ~micros.between(low, high),
        value=micros,
        time_unit="order" if ordered else "us",
        note="timestamps read as datetimes, those without a zone as UTC"
        + (", for their order only" if ordered else ""),
    )


def _number_moments(
    table: Any, numbers: _Numbers, column: str, unit: TimestampUnit, where: str, max_bad_share: float
) -> Moments:
    if unit == "order":
        whole = ibis.coalesce(
            numbers.exact,
            ibis.ifelse(
                numbers.approximate == numbers.approximate.floor(), numbers.approximate.try_cast("int64"), None
            ),
        )
        unparsable = ~numbers.missing & whole.isnull()
        return Moments(
            numbers.missing,
            unparsable,
            ibis.literal(False),
            whole,
            "order",
            "timestamps read as an order without distance",
        )
    found = _detect(table, numbers, column, where, max_bad_share) if unit == "auto" else unit
    scale = _PER_SECOND[found]
    low, high = _bounds()
    possible = numbers.approximate.between(low * scale, high * scale)
    exact = numbers.exact * (1_000_000 // scale) if scale <= 1_000_000 else quotient(numbers.exact, scale // 1_000_000)
    rounded = (numbers.approximate * (1_000_000 / scale)).round().cast("int64")
    return Moments(
        missing=numbers.missing,
        unparsable=~numbers.missing & numbers.approximate.isnull(),
        impossible=~possible,
        value=ibis.ifelse(possible, ibis.coalesce(exact, rounded), ibis.null("int64")),  # no overflow outside the range
        time_unit="us",
        note=f"timestamps read as {_NAMES[found]}, "
        + ("detected from the whole column" if unit == "auto" else "as given"),
    )


def _detect(table: Any, numbers: _Numbers, column: str, where: str, max_bad_share: float) -> str:
    low, high = _bounds()
    value = numbers.approximate
    inside = {u: value.between(low * scale, high * scale).sum() for u, scale in _PER_SECOND.items()}
    found = engine.one_row(table.aggregate(n=value.count(), smallest=value.min(), largest=value.max(), **inside))
    best = max(_PER_SECOND, key=lambda u: found[u] or 0)
    if found["n"] and (found[best] or 0) >= (1 - max_bad_share) * found["n"]:
        return best
    counts = ", ".join(f"{(found[u] or 0) / max(found['n'], 1):.0%} {_NAMES[u]}" for u in _PER_SECOND)
    raise DataError(
        f"{where}: cannot tell the unit of the times in column {column!r} "
        f"(from {found['smallest']} to {found['largest']}; "
        f"as dates from 1990 to now: {counts}): set timestamp_unit to s, ms, us or ns, to 'datetime' for ISO text, "
        "or to 'order' if the numbers only say which came first"
    )


def _bounds() -> tuple[int, int]:
    """Earliest and latest possible time in seconds."""
    return EARLIEST_SECONDS, int(time.time()) + _FUTURE_SECONDS


__all__ = ["EARLIEST_SECONDS", "Moments", "read_moments"]
