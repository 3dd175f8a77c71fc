"""Rows of an aggregate as plain Python values.

DuckDB widens a sum of integers to 128 bits, which Arrow hands over as a decimal without a fraction: here it is an int.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from prismrec.data import engine


def all_rows(table: Any) -> list[dict[str, Any]]:
    """Evaluate into one dict per row; meant for aggregates and top lists, never for the log itself."""
    return [{name: _plain(value) for name, value in row.items()} for row in engine.few_rows(table).to_pylist()]


def one_row(table: Any) -> dict[str, Any]:
    """Evaluate a table of one row."""
    return all_rows(table)[0]


def _plain(value: Any) -> Any:
    whole = isinstance(value, Decimal) and value.as_tuple().exponent == 0
    return int(value) if whole else value


__all__ = ["all_rows", "one_row"]
