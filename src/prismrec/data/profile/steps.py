"""What steps before training would leave out: too active or inactive users, the long tail, ratings that say nothing.

Each step on its own, not one after the other. The thresholds are those of the settings of a run where they are set,
else those that a study of MovieLens took: users with 30 to 1000 interactions, rarely rated items, users who give
everything the same rating, items on which nobody agrees.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from prismrec.config import Section
from prismrec.data.profile.aggregates import one_row
from prismrec.data.profile.report import DataStep
from prismrec.data.rating_bounds import erratic_items, even_users, rated_rows
from prismrec.data.schema import ITEM_ID, RATING, USER_ID, Interactions


class StepSettings(Section):
    """Thresholds of the steps that a profile tries out; 0 leaves a step out."""

    min_user_interactions: int = Field(default=30, ge=0, description="users with fewer are too few to learn from")
    max_user_interactions: int = Field(default=1000, ge=0, description="users with more are few and weigh much")
    min_item_interactions: int = Field(default=5, ge=0, description="items with fewer are the long tail")
    min_user_deviation: float = Field(default=0.1, ge=0, description="users whose ratings deviate less are even")
    max_item_deviation: float = Field(default=1.25, ge=0, description="items whose ratings deviate more are erratic")
    min_ratings: int = Field(default=5, ge=2, description="users and items with fewer ratings are not judged")


def steps_of(log: Interactions, settings: StepSettings) -> tuple[DataStep, ...]:
    """What each step would leave out; those of ratings only where the log has them."""
    table = log.table
    totals = one_row(
        table.aggregate(rows=table.count(), users=table[USER_ID].nunique(), items=table[ITEM_ID].nunique())
    )
    users, items = (_counted(table, column) for column in (USER_ID, ITEM_ID))
    low, high, rare = settings.min_user_interactions, settings.max_user_interactions, settings.min_item_interactions
    found: list[tuple[str, str, str, float, Any]] = [
        ("few_interactions", "user", "sessions.min_user_interactions", low, users.filter(users.n < low)),
        ("many_interactions", "user", "sessions.max_user_interactions", high, users.filter(users.n > high)),
        ("long_tail", "item", "sessions.min_item_interactions", rare, items.filter(items.n < rare)),
    ]
    if log.has(RATING):
        rated, least, most = rated_rows(log), settings.min_user_deviation, settings.max_item_deviation
        even, erratic = even_users(rated, least, settings.min_ratings), erratic_items(rated, most, settings.min_ratings)
        found += [
            ("even_ratings", "user", "ratings.min_user_deviation", least, even),
            ("erratic_ratings", "item", "ratings.max_item_deviation", most, erratic),
        ]
    return tuple(
        _step(code, entity, f"{setting} = {threshold:g}", left_out, totals)
        for code, entity, setting, threshold, left_out in found
        if threshold
    )


def _counted(table: Any, column: str) -> Any:
    return table.group_by(column).aggregate(n=table.count())


def _step(code: str, entity: Any, setting: str, left_out: Any, totals: dict[str, int]) -> DataStep:
    row = one_row(left_out.aggregate(n=left_out.count(), rows=left_out.n.sum().fill_null(0)))
    return DataStep(
        code=code,
        entity=entity,
        setting=setting,
        count=row["n"],
        share=row["n"] / totals[f"{entity}s"],
        interactions_share=row["rows"] / totals["rows"],
    )


__all__ = ["StepSettings", "steps_of"]
