"""Ids of a side table in the type of the log's, on the log's engine: tables of items, of users, of links."""

from __future__ import annotations

from typing import Any

from prismrec.data import engine
from prismrec.errors import DataError


def in_ids_of(table: Any, column: str, ids: Any, entity: str) -> tuple[Any, dict[str, int]]:
    """A table whose id column has the type of the log's.

    Args:
        table: lazy, on any engine.
        column: its id column.
        ids: the id column of the log.
        entity: what the ids are of, "item" or "user".

    Returns:
        the table on the log's engine, and what to note. Text ids that are no integers cannot occur in a log of
        integers: their rows go, counted as `ids_of_another_type`; nothing is noted where the types agree.

    Raises:
        DataError: the two types have nothing in common.
    """
    backend = engine.backend_of(ids)
    if engine.backend_of(table) is not backend:
        table = engine.moved(table, backend)
    wanted, given = ids.type(), table[column].type()
    if wanted.is_string() and (given.is_integer() or given.is_uuid()):
        return table.mutate(**{column: table[column].cast("string")}), {}
    if wanted.is_integer() and given.is_string():
        whole = table[column].try_cast(wanted)
        other = ~(whole.cast("string") == table[column]).fill_null(False)
        n_other = engine.one_row(table.aggregate(n=other.sum()))["n"] or 0
        return table.filter(~other).mutate(**{column: whole}), {"ids_of_another_type": int(n_other)}
    same = (wanted.is_integer() and given.is_integer()) or (wanted.copy(nullable=True) == given.copy(nullable=True))
    if not same:
        raise DataError(
            f"{entity} ids are {wanted} in the interactions and {given} in the {entity} table: make them one type"
        )
    return table.mutate(**{column: table[column].cast(wanted)}), {}


__all__ = ["in_ids_of"]
