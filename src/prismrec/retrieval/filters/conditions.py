"""Which values meet a condition: numbers, text, truth values, dates and times, UUIDs, compared exactly.

A value of a request is brought into the type of the column, never the column into that of the value: large integers
keep their digits, 0.1 is the 0.1 of a 32-bit column, and a moment is counted in the column's own unit. Missing values
and NaN meet nothing here; what follows for an item is up to `prismrec.retrieval.filters.item_filter`.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prismrec.data.vocabulary import UUID_TYPE
from prismrec.errors import ConfigError, DataError
from prismrec.retrieval.request import Condition

Kind = Literal["truth", "integer", "number", "text", "time", "uuid"]
Mask = NDArray[np.bool_]

_EXPECTED: dict[Kind, str] = {
    "truth": "true or false",
    "integer": "a number",
    "number": "a number",
    "text": "text",
    "time": "an ISO date or time such as '2024-03-31' or '2024-03-31T12:00'",
    "uuid": "a UUID",
}
_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_DAY = 86_400 * 10**6


@dataclass(frozen=True)
class ValueType:
    """What the values of a view or column are, and how they are kept for comparison.

    Attributes:
        kind: what may be compared with them.
        stored: the Arrow type they are compared in; times as int64 ticks since 1970 UTC.
        told: the type as the table has it, for messages.
        ticks: of times: (ticks, microseconds) that are equally long.
    """

    kind: Kind
    stored: pa.DataType
    told: str
    ticks: tuple[int, int] = (1, 1)


def value_type(kind: pa.DataType) -> ValueType | None:
    """How values of an Arrow type are compared; None for types that no condition can be put on.

    Dictionary-encoded values are those they stand for; a column of nothing but missing values counts as text.
    """
    told = str(kind)
    if pa.types.is_dictionary(kind):
        return value_type(kind.value_type)
    if pa.types.is_boolean(kind):
        return ValueType("truth", kind, told)
    if pa.types.is_integer(kind):
        return ValueType("integer", pa.uint64() if kind == pa.uint64() else pa.int64(), told)
    if pa.types.is_floating(kind):
        return ValueType("number", pa.float32() if kind.bit_width <= 32 else kind, told)
    if pa.types.is_decimal(kind):
        return ValueType("number", pa.float64(), told)
    if any(is_text(kind) for is_text in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)):
        return ValueType("text", pa.large_string(), told)
    if pa.types.is_null(kind):
        return ValueType("text", pa.large_string(), told)
    if kind == UUID_TYPE or isinstance(kind, pa.UuidType):
        return ValueType("uuid", UUID_TYPE, "UUID")
    if pa.types.is_date(kind):
        return ValueType("time", pa.int64(), told, (1, _DAY) if pa.types.is_date32(kind) else (1, 10**3))
    if pa.types.is_timestamp(kind):
        return ValueType("time", pa.int64(), told, (_TICKS_PER_SECOND[kind.unit], 10**6))
    return None


def stored_values(values: pa.Array, kind: ValueType) -> pa.Array:
    """Values of a table in the type that they are compared in."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.string())  # the digits as they stand, rounded once
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    return values.cast(kind.stored)


def converted(values: Sequence[Any], kind: ValueType, named: Callable[[int], str]) -> pa.Array:
    """Values of Python or JSON (times as ISO text) in the type that they are compared in; None stays missing.

    Args:
        values: the values.
        kind: what they must be.
        named: what to call the value at a place, for messages.

    Raises:
        DataError: a value is of another type; names it.
    """
    found = []
    for place, value in enumerate(values):
        try:
            found.append(None if value is None else _CONVERTERS[kind.kind](value, kind))
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{named(place)} must be {_EXPECTED[kind.kind]} ({kind.told}), got {value!r}") from error
    return pa.array(found, kind.stored)


@dataclass(frozen=True, eq=False)
class ConditionMasks:
    """Which values a condition speaks of, (n_values,) bool each; None where it does not ask.

    Attributes:
        any_of: the values of which an item must have at least one.
        none_of: the values of which it may have none.
        between: the values from `min` to `max`, of which it must have at least one.
    """

    any_of: Mask | None
    none_of: Mask | None
    between: Mask | None


def condition_masks(values: pa.Array, kind: ValueType, condition: Condition, named: str) -> ConditionMasks:
    """Compare every value with a condition.

    Args:
        values: (n_values,) as `stored_values` or `converted` gave them.
        kind: of the values.
        condition: of the request.
        named: what to call the view or column, for messages.

    Raises:
        ConfigError: a value of the condition is of another type; names column, type and value.
    """
    compared = _Compared(values, kind, named)
    has_range = condition.min is not None or condition.max is not None
    return ConditionMasks(
        None if condition.any_of is None else compared.among(condition.any_of),
        compared.among(condition.none_of) if condition.none_of else None,
        compared.between(condition.min, condition.max) if has_range else None,
    )


@dataclass(frozen=True, eq=False)
class _Compared:
    """Values, and what a request says of them."""

    values: pa.Array
    kind: ValueType
    named: str

    def among(self, wanted: Sequence[Any]) -> Mask:
        """Which values equal one of those wanted; a day stands for all times in it."""
        spans = [self._span(value) for value in wanted]
        if self.kind.kind == "time":
            return self._within_any(spans)
        exact = [low for low, high in spans if low == high and _fits(low, self.kind)]
        return _as_mask(pc.is_in(self.values, value_set=pa.array(exact, self.kind.stored)))

    def _within_any(self, spans: Sequence[tuple[int, int]]) -> Mask:
        """Which values lie in one of the spans: a value does where the furthest end of the spans begun by then does."""
        inside = np.zeros(len(self.values), np.bool_)
        limits = np.iinfo(np.int64)
        held = sorted((max(low, limits.min), min(high, limits.max)) for low, high in spans)
        held = [(low, high) for low, high in held if low <= high]
        if held:
            lows, highs = np.array(held, np.int64).T
            ticks = self.values.fill_null(0).to_numpy()
            begun = np.searchsorted(lows, ticks, side="right")
            inside = (begun > 0) & (np.maximum.accumulate(highs)[begun - 1] >= ticks)
            inside &= _as_mask(self.values.is_valid())
        return inside

    def between(self, low: Any, high: Any) -> Mask:
        """Which values lie from low to high, both included; None leaves a side open."""
        if self.kind.kind in ("truth", "uuid"):
            raise ConfigError(f"{self.named} is {self.kind.told}, which has no order: use any_of or none_of")
        return self._within(None if low is None else self._span(low)[0], None if high is None else self._span(high)[1])

    def _within(self, low: Any, high: Any) -> Mask:
        inside = _as_mask(self.values.is_valid())
        if low is not None and _fits(low, self.kind):
            inside &= _as_mask(pc.greater_equal(self.values, pa.scalar(low, self.kind.stored)))
        elif low is not None and low > 0:  # beyond the largest that the column can hold
            inside[:] = False
        if high is not None and _fits(high, self.kind):
            inside &= _as_mask(pc.less_equal(self.values, pa.scalar(high, self.kind.stored)))
        elif high is not None and high < 0:
            inside[:] = False
        return inside

    def _span(self, value: Any) -> tuple[Any, Any]:
        """The first and the last stored value that a value of a request stands for; crossed where there is none."""
        try:
            return _SPANS[self.kind.kind](value, self.kind)
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigError(
                f"{self.named} is {self.kind.told}: expected {_EXPECTED[self.kind.kind]}, got {value!r}"
            ) from error


def _as_mask(found: pa.Array) -> Mask:
    """(n,) bool that may be written to; missing counts as no."""
    return np.array(found.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)


def _fits(value: Any, kind: ValueType) -> bool:
    """Whether the stored type can hold an integer; other values always fit."""
    if kind.kind not in ("integer", "time"):
        return True
    limits = np.iinfo(kind.stored.to_pandas_dtype())
    return bool(limits.min <= value <= limits.max)


def _truth(value: Any, kind: ValueType) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any, kind: ValueType) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # refuses half a surrogate pair, which no column holds
    return value


def _uuid(value: Any, kind: ValueType) -> bytes:
    return (value if isinstance(value, uuid.UUID) else uuid.UUID(_text(value, kind))).bytes


def _number(value: Any, kind: ValueType) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _integer(value: Any, kind: ValueType) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise TypeError
    if not _fits(int(value), kind):
        raise OverflowError
    return int(value)


def _ticks(value: Any, kind: ValueType) -> int:
    ticks, microseconds = kind.ticks
    return _microseconds(value)[0] * ticks // microseconds


def _integer_span(value: Any, kind: ValueType) -> tuple[int, int]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return math.ceil(value), math.floor(value)


def _time_span(value: Any, kind: ValueType) -> tuple[int, int]:
    ticks, microseconds = kind.ticks
    start, length = _microseconds(value)
    first = -(-start * ticks // microseconds)
    if not length:
        return first, start * ticks // microseconds
    return first, -(-(start + length) * ticks // microseconds) - 1


def _microseconds(value: Any) -> tuple[int, int]:
    """When a day or a moment begins, counted from 1970 UTC, and how long it lasts; without a zone it is UTC."""
    if isinstance(value, str):
        try:
            value = dt.date.fromisoformat(value)
        except ValueError:
            value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime):
        return (value.replace(tzinfo=value.tzinfo or dt.UTC) - _EPOCH) // _MICROSECOND, 0
    if isinstance(value, dt.date):
        return (value - _EPOCH.date()) // _MICROSECOND, _DAY
    raise TypeError


def _one(convert: Callable[[Any, ValueType], Any]) -> Callable[[Any, ValueType], tuple[Any, Any]]:
    """A span of one value."""

    def span(value: Any, kind: ValueType) -> tuple[Any, Any]:
        found = convert(value, kind)
        return found, found

    return span


_CONVERTERS: dict[Kind, Callable[[Any, ValueType], Any]] = {
    "truth": _truth, "integer": _integer, "number": _number, "text": _text, "time": _ticks, "uuid": _uuid,
}  # fmt: skip
_SPANS: dict[Kind, Callable[[Any, ValueType], tuple[Any, Any]]] = {
    "truth": _one(_truth), "integer": _integer_span, "number": _one(_number),
    "text": _one(_text), "time": _time_span, "uuid": _one(_uuid),
}  # fmt: skip


__all__ = ["ConditionMasks", "Kind", "Mask", "ValueType", "condition_masks", "converted", "stored_values", "value_type"]
