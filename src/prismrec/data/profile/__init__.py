"""What a person wants to know of a log before training: counts, curves, sessions, ratings, coverage, risks.

Everything is an aggregate in the engine that read the log; what comes to this process are histograms and top lists.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prismrec.data import engine
from prismrec.data.profile.counts import counts_of, top
from prismrec.data.profile.coverage import coverage_of, popularity_of, unknown_items
from prismrec.data.profile.curves import curve_of
from prismrec.data.profile.leakage import findings_of
from prismrec.data.profile.page import write_page
from prismrec.data.profile.ratings import ratings_of
from prismrec.data.profile.report import Profile
from prismrec.data.profile.settings import ProfileSettings
from prismrec.data.profile.steps import steps_of
from prismrec.data.profile.suspects import suspects_of
from prismrec.data.profile.timing import gaps_of, sessions_of, span_of, with_gaps
from prismrec.data.schema import ITEM_ID, RATING, USER_ID, Interactions, ItemTable
from prismrec.data.views import ViewSettings


def profile(
    interactions: Interactions,
    items: ItemTable | None = None,
    views: Mapping[str, str | ViewSettings] | None = None,
    settings: ProfileSettings | None = None,
    now: datetime | None = None,
) -> Profile:
    """Profile a log.

    Args:
        interactions: as read; bad rows are already in its quarantine.
        items: the item table.
        views: view name to column of `items`, or to the view's settings.
        settings: the thresholds.
        now: events after this moment lie in the future; the present unless given.

    Raises:
        DataError: the log is empty, or a view's column is missing.
    """
    chosen = settings or ProfileSettings()
    moment = int((now or datetime.now(UTC)).timestamp() * 1_000_000)
    has_clock = interactions.time_unit != "order"
    with engine.held(with_gaps(interactions.table)) as table:
        log = dataclasses.replace(interactions, table=table)
        items = _beside(table, items)
        counts = counts_of(log)
        popularity = popularity_of(table)
        return Profile(
            counts=counts,
            activity=curve_of(table, (USER_ID,)),
            popularity=curve_of(table, (ITEM_ID,)),
            top_users=top(table, USER_ID, chosen.top, counts.n_interactions),
            top_items=top(table, ITEM_ID, chosen.top, counts.n_interactions, items),
            sessions=sessions_of(log, chosen.session_gap_minutes),
            gaps=gaps_of(table, chosen.session_gap_minutes) if has_clock else None,
            ratings=ratings_of(table) if log.has(RATING) else None,
            coverage=coverage_of(popularity, items, views or {}),
            unknown_items=unknown_items(popularity, items),
            time=span_of(table) if has_clock else None,
            suspects=suspects_of(table, counts.n_items, has_clock, chosen),
            findings=findings_of(log, items, moment, chosen),
            steps=steps_of(log, chosen.steps),
        )


def _beside(table: Any, items: ItemTable | None) -> ItemTable | None:
    """The item table on the engine of the log."""
    if items is None or engine.backend_of(items.table) is engine.backend_of(table):
        return items
    return dataclasses.replace(items, table=engine.register(engine.backend_of(table), engine.arrow(items.table)))


__all__ = ["Profile", "ProfileSettings", "profile", "write_page"]
