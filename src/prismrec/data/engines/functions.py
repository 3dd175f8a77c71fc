"""What the engines call by different names: each function here means the same on both.

They are chosen by the engine that the column lives on, so the rules that use them are written once.
"""

from __future__ import annotations

import re
from typing import Any

import ibis

from prismrec.data import engine

_LARGEST = 1.7976931348623157e308


@ibis.udf.scalar.builtin(name="epoch_us")
def _duckdb_microseconds(moment) -> int:  # type: ignore[empty-body,no-untyped-def]  # any kind of time
    """Microseconds since 1970 UTC."""


@ibis.udf.scalar.builtin(name="unix_micros")
def _spark_microseconds(moment) -> int:  # type: ignore[empty-body,no-untyped-def]  # a timestamp with a zone
    """Microseconds since 1970 UTC."""


@ibis.udf.scalar.builtin(name="divide")
def _duckdb_quotient(value: int, divisor: int) -> int:  # type: ignore[empty-body]
    """The quotient of two integers, towards 0."""


@ibis.udf.scalar.builtin(name="div")
def _spark_quotient(value: int, divisor: int) -> int:  # type: ignore[empty-body]
    """The quotient of two integers, towards 0."""


@ibis.udf.scalar.builtin
def unhex(text: str) -> bytes:  # type: ignore[empty-body]
    """The bytes that a text of hexadecimal digits spells."""


@ibis.udf.scalar.builtin(name="hex")
def hexadecimal(data: bytes) -> str:  # type: ignore[empty-body]
    """The digits of bytes."""


def microseconds(moment: Any) -> Any:
    """A date or a timestamp as int64 microseconds since 1970 UTC; a cast to an integer would keep no fractions."""
    if _on_spark(moment):
        return _spark_microseconds(moment.cast("timestamp('UTC')"))
    return _duckdb_microseconds(moment)


def finite(number: Any) -> Any:
    """A float, null where it is NaN or infinite: NaN is above all numbers on both engines.

    Ibis's `isinf` is never true on Spark, and its `isnull` is true for NaN there alone.
    """
    return ibis.ifelse(number.abs() <= _LARGEST, number, ibis.null("float64"))


def quotient(value: Any, divisor: int) -> Any:
    """An integer divided by another one, towards 0; Ibis's `//` goes through floats, which hold 53 bits."""
    return (_spark_quotient if _on_spark(value) else _duckdb_quotient)(value, divisor)


def parts(text: Any, separator: str) -> Any:
    """Text cut at every separator; Spark takes one for a regular expression."""
    return text.split(re.escape(separator) if _on_spark(text) else separator)


def _on_spark(value: Any) -> bool:
    return engine.is_spark(value.get_backend())


__all__ = ["finite", "hexadecimal", "microseconds", "parts", "quotient", "unhex"]
