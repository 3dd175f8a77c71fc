"""What could make results look better than they are, or an order that is none look like one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis

from prismrec.data.profile.aggregates import one_row
from prismrec.data.profile.report import Finding
from prismrec.data.profile.settings import ProfileSettings
from prismrec.data.profile.timing import DAY
from prismrec.data.schema import ITEM_ID, RATING, ROW, SESSION_ID, TIMESTAMP, USER_ID, Interactions, ItemTable

TIES_SHARE = 0.05
"""Below this share of rows whose order is unknown, ties are not worth a word."""
MIN_ITEMS = 20
"""A rank correlation over fewer items says nothing."""


def findings_of(
    interactions: Interactions, items: ItemTable | None, now: int, settings: ProfileSettings
) -> tuple[Finding, ...]:
    """Everything found, warnings first.

    `now` is in microseconds since 1970; later events lie in the future.
    """
    table = interactions.table
    total = one_row(table.aggregate(n=table.count()))["n"]
    found = list(_repeated(table, total))
    if interactions.time_unit != "order":  # places in each user's own order say nothing between users
        found += [
            *_late_items(table, total, settings),
            *_impossible_times(table, total, now),
            *_batches(table, total, settings),
            *_whole_days(table, total),
        ]
    found += _ties(table, total)
    if interactions.has(SESSION_ID):
        found += _shared_sessions(table)
    if items is not None:
        found += _derived_columns(interactions, items, settings)
    return tuple(sorted(found, key=lambda finding: finding.level != "warning"))


def _count(table: Any) -> int:
    return int(one_row(table.aggregate(n=table.count()))["n"])


def _repeated(table: Any, total: int) -> Iterator[Finding]:
    extra = total - _count(table.select(USER_ID, ITEM_ID, TIMESTAMP).distinct())
    if extra:
        yield Finding(
            "duplicate_events",
            "warning",
            extra,
            extra / total,
            f"{extra:,} rows repeat user, item and time of another row.",
            "If they are delivery doubles, remove them: one half may land in training and the other in the test.",
        )


def _late_items(table: Any, total: int, settings: ProfileSettings) -> Iterator[Finding]:
    """Items first seen in the last `late_share` of the rows."""
    ordered = table.order_by([TIMESTAMP, ROW]).limit(1, offset=int(total * (1 - settings.late_share)))
    cut = one_row(ordered.select(TIMESTAMP))[TIMESTAMP]
    first = table.group_by(ITEM_ID).aggregate(first=table[TIMESTAMP].min())
    row = one_row(first.aggregate(n=first.count(), late=(first["first"] >= cut).sum().fill_null(0)))
    if row["late"]:
        share = row["late"] / row["n"]
        yield Finding(
            "late_items",
            "note",
            row["late"],
            share,
            f"{row['late']:,} items ({share:.1%}) appear only in the last {settings.late_share:.0%} of the rows.",
            "A split by time leaves them without training data: report results on them apart (cold items).",
        )


def _impossible_times(table: Any, total: int, now: int) -> Iterator[Finding]:
    n = _count(table.filter(table[TIMESTAMP] > now))
    if n:
        yield Finding(
            "future_events",
            "warning",
            n,
            n / total,
            f"{n:,} rows lie in the future.",
            "Check the unit and the time zone of the time column; a split by time puts all of them into the test.",
        )


def _batches(table: Any, total: int, settings: ProfileSettings) -> Iterator[Finding]:
    moments = table.group_by(TIMESTAMP).aggregate(n=table.count(), users=table[USER_ID].nunique())
    batches = moments.filter((moments.n >= settings.batch_rows) & (moments.users > 1))
    row = one_row(batches.aggregate(moments=batches.count(), rows=batches.n.sum().fill_null(0)))
    if row["rows"]:
        yield Finding(
            "batch_times",
            "warning",
            row["rows"],
            row["rows"] / total,
            f"{row['rows']:,} rows share {row['moments']:,} instants, each with {settings.batch_rows:,} rows or more.",
            "That is when they were imported, not when they happened: do not split by this time.",
        )


def _whole_days(table: Any, total: int) -> Iterator[Finding]:
    n = _count(table.filter(table[TIMESTAMP] % DAY == 0))
    if n > total / 2:
        yield Finding(
            "day_resolution",
            "warning",
            n,
            n / total,
            f"{n / total:.1%} of the times are midnight: the column holds days.",
            "Order within a day and pauses mean nothing: give a session column, or use the protocols ratio or kfold.",
        )


def _ties(table: Any, total: int) -> Iterator[Finding]:
    groups = table.group_by([USER_ID, TIMESTAMP]).aggregate(n=table.count())
    tied = groups.filter(groups.n > 1)
    n = int(one_row(tied.aggregate(n=tied.n.sum().fill_null(0)))["n"])
    if n >= TIES_SHARE * total:
        yield Finding(
            "tied_times",
            "note",
            n,
            n / total,
            f"{n:,} rows ({n / total:.1%}) share their time with another row of the same user.",
            "Among them the order of the input decides. If that order is sorted by something, a model may learn it.",
        )


def _shared_sessions(table: Any) -> Iterator[Finding]:
    sessions = table.filter(table[SESSION_ID].notnull()).group_by(SESSION_ID).aggregate(users=table[USER_ID].nunique())
    row = one_row(sessions.aggregate(n=sessions.count(), shared=(sessions.users > 1).sum().fill_null(0)))
    if row["shared"]:
        yield Finding(
            "shared_sessions",
            "warning",
            row["shared"],
            row["shared"] / row["n"],
            f"{row['shared']:,} session ids belong to several users.",
            "Sessions are cut per user, so nothing breaks; but check that the column is what it should be.",
        )


def _derived_columns(interactions: Interactions, items: ItemTable, settings: ProfileSettings) -> Iterator[Finding]:
    """Number columns of the item table that rank the items as their popularity or their mean rating does."""
    log = interactions.table
    targets = {"popularity": log.count()}
    if interactions.has(RATING):
        targets["mean_rating"] = log[RATING].cast("float64").mean()
    per_item = log.group_by(ITEM_ID).aggregate(**targets)
    numbers = [name for name in items.table.columns if name != ITEM_ID and items.table[name].type().is_numeric()]
    for column in numbers:
        values = items.table.select(ITEM_ID, value=items.table[column].cast("float64"))
        joined = per_item.inner_join(values.filter(values.value.notnull()), ITEM_ID)
        for target in targets:
            correlation = rank_correlation(joined.filter(joined[target].notnull()), "value", target)
            if correlation is not None and abs(correlation) >= settings.derived_correlation:
                yield Finding(
                    "derived_column",
                    "warning",
                    1,
                    1 / len(numbers),
                    f"Item column {column!r} ranks the items as their {target.replace('_', ' ')} does "
                    f"(rank correlation {correlation:.2f}).",
                    "If it was computed from this log, it holds the test's clicks: do not use it as a view.",
                )


def rank_correlation(table: Any, first: str, second: str) -> float | None:
    """Spearman's correlation of two columns, equal values at their mean rank; None with few rows or a constant one."""
    ranked = table.select(x=_mean_rank(table, first), y=_mean_rank(table, second))
    row = one_row(
        ranked.aggregate(n=ranked.count(), sx=ranked.x.std(), sy=ranked.y.std(), r=ranked.x.corr(ranked.y, how="pop"))
    )
    if row["n"] < MIN_ITEMS or not row["sx"] or not row["sy"]:
        return None
    return float(row["r"])


def _mean_rank(table: Any, column: str) -> Any:
    """Ranks from 0; equal values share the mean of their ranks."""
    same = ibis.window(group_by=column)
    return table[column].rank() + (table.count().over(same) - 1) / 2


__all__ = ["MIN_ITEMS", "TIES_SHARE", "findings_of", "rank_correlation"]
