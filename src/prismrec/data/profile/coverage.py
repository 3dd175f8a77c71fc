"""What the item table knows of the items people interact with, view by view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prismrec.data.profile.aggregates import all_rows, one_row
from prismrec.data.profile.counts import plain
from prismrec.data.profile.report import ViewCoverage
from prismrec.data.schema import ITEM_ID, ItemTable
from prismrec.data.views import ViewSettings
from prismrec.errors import DataError


def popularity_of(table: Any) -> Any:
    """Ibis table item_id, n: interactions per item."""
    return table.group_by(ITEM_ID).aggregate(n=table.count())


def unknown_items(popularity: Any, items: ItemTable | None) -> int:
    """Items of the log that the item table lacks; 0 without one."""
    if items is None:
        return 0
    missing = popularity.anti_join(items.table, ITEM_ID)
    return int(one_row(missing.aggregate(n=missing.count()))["n"])


def coverage_of(
    popularity: Any, items: ItemTable | None, views: Mapping[str, str | ViewSettings]
) -> tuple[ViewCoverage, ...]:
    """One row per view, in configured order.

    Raises:
        DataError: views are configured without an item table, or a view's column is missing from it.
    """
    if views and items is None:
        raise DataError(f"views are configured ({', '.join(views)}), but there is no item table")
    chosen = {
        name: ViewSettings.model_validate({"column": view}) if isinstance(view, str) else view
        for name, view in views.items()
    }
    return tuple(_of_view(popularity, items.table, name, view) for name, view in chosen.items() if items is not None)


def _of_view(popularity: Any, table: Any, view: str, settings: ViewSettings) -> ViewCoverage:
    if settings.column not in table.columns:
        known = ", ".join(table.columns)
        raise DataError(f"view {view!r}: the item table has no column {settings.column!r}; it has {known}")
    values = _values(table, settings)
    covered = popularity.semi_join(values, ITEM_ID)
    all_row = one_row(popularity.aggregate(items=popularity.count(), rows=popularity.n.sum().fill_null(0)))
    row = one_row(covered.aggregate(items=covered.count(), rows=covered.n.sum().fill_null(0)))
    clicked = values.semi_join(popularity, ITEM_ID)
    sizes = clicked.group_by("value").aggregate(n=clicked.count())
    n_values = one_row(sizes.aggregate(n=sizes.count()))["n"]
    largest = all_rows(sizes.order_by([sizes.n.desc(), sizes.value]).limit(1))
    return ViewCoverage(
        view=view,
        column=settings.column,
        items_covered=row["items"] / all_row["items"],
        interactions_covered=row["rows"] / all_row["rows"],
        n_values=n_values,
        largest=plain(largest[0]["value"]) if largest else None,
        largest_share=largest[0]["n"] / row["items"] if largest else 0.0,
    )


def _values(table: Any, settings: ViewSettings) -> Any:
    """Distinct (item_id, value) rows; lists give one row per entry; missing and empty values give none."""
    value = table[settings.column]
    if settings.separator and value.type().is_string():
        value = value.split(settings.separator).map(lambda part: part.strip())
    value = value.unnest() if value.type().is_array() else value
    flat = table.select(ITEM_ID, value=value.cast("string").substr(0, settings.prefix) if settings.prefix else value)
    flat = flat.filter(flat.value.notnull())
    if flat.value.type().is_string():
        flat = flat.filter(flat.value.strip() != "")
    return flat.distinct()


__all__ = ["coverage_of", "popularity_of", "unknown_items"]
