"""Users who may be programs: too fast, too regular, or nothing but repetition or crawling.

A suspicion, not a verdict: a member who rates a thousand films in one evening is fast, too. Nothing is removed.
"""

from __future__ import annotations

from typing import Any

import ibis

from prismrec.data.profile.aggregates import all_rows, one_row
from prismrec.data.profile.counts import plain
from prismrec.data.profile.report import Suspect, Suspects
from prismrec.data.profile.settings import ProfileSettings
from prismrec.data.profile.timing import MICROSECONDS
from prismrec.data.schema import ITEM_ID, TIMESTAMP, USER_ID

_HOUR = 3600 * MICROSECONDS
_REASONS = ("fast", "regular", "repetitive", "crawling")


def suspects_of(table: Any, n_items: int, has_clock: bool, settings: ProfileSettings) -> Suspects:
    """Users with at least `bot_min_interactions` who pass one of the thresholds of `settings`.

    Args:
        table: the log with the column `gap` of `with_gaps`.
        n_items: distinct items in the log.
        has_clock: whether times have distance; without, only repetition and crawling are looked for.
        settings: the thresholds.
    """
    counts = table.group_by(USER_ID).aggregate(n=table.count())
    busy = counts.filter(counts.n >= settings.bot_min_interactions)
    users = _measured(table.semi_join(busy, USER_ID), has_clock)
    marked = users.mutate(**_marks(users, n_items, settings))
    suspects = marked.filter(ibis.or_(*(marked[reason] for reason in _REASONS)))
    summary = one_row(suspects.aggregate(users=suspects.count(), rows=suspects.n.sum().fill_null(0)))
    total = one_row(table.aggregate(n=table.count()))["n"]
    busiest = suspects.order_by([suspects.n.desc(), suspects[USER_ID]]).limit(settings.top)
    rows = all_rows(busiest)
    return Suspects(summary["users"], summary["rows"] / total, tuple(_suspect(row) for row in rows))


def _measured(table: Any, has_clock: bool) -> Any:
    """Per user: n, distinct_share, peak (rows in the busiest clock hour), variation (of the pauses)."""
    users = table.group_by(USER_ID).aggregate(
        n=table.count(),
        distinct_share=table[ITEM_ID].nunique() / table.count(),
        variation=(table.gap.std() / table.gap.mean().nullif(0)) if has_clock else ibis.null("float64"),
    )
    if not has_clock:
        return users.mutate(peak=ibis.null("int64"))
    hours = (
        table.select(USER_ID, hour=table[TIMESTAMP] // _HOUR).group_by([USER_ID, "hour"]).aggregate(n=ibis._.count())
    )
    peaks = hours.group_by(USER_ID).aggregate(peak=hours.n.max())
    return users.inner_join(peaks, USER_ID)


def _marks(users: Any, n_items: int, settings: ProfileSettings) -> dict[str, Any]:
    distinct = users.distinct_share * users.n
    return {
        "fast": (users.peak >= settings.bot_per_hour).fill_null(False),
        "regular": (users.variation <= settings.bot_gap_variation).fill_null(False),
        "repetitive": users.distinct_share <= settings.bot_distinct_share,
        "crawling": distinct >= settings.bot_catalogue_share * n_items,
    }


def _suspect(row: dict[str, Any]) -> Suspect:
    return Suspect(
        user_id=plain(row[USER_ID]),
        n_interactions=row["n"],
        peak_per_hour=row["peak"],
        gap_variation=row["variation"],
        distinct_share=row["distinct_share"],
        reasons=tuple(reason for reason in _REASONS if row[reason]),
    )


__all__ = ["suspects_of"]
