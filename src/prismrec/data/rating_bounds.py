"""Users whose ratings say nothing, and items on which nobody agrees: left out of training.

A user who gives the same rating to everything tells what was chosen, not what was preferred; an item whose ratings
scatter over the whole scale is often two things under one id. Both are judged by the standard deviation of their
ratings (of the population), over the training rows alone, dislikes (`data.dislikes`) included.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field

from prismrec.config import Section
from prismrec.data import engine
from prismrec.data.dislikes import known_dislikes
from prismrec.data.schema import ITEM_ID, RATING, USER_ID, Interactions
from prismrec.errors import ConfigError


class RatingSettings(Section):
    """How much the ratings of users and items may scatter, where the log has ratings."""

    min_user_deviation: float = Field(
        default=0.0, ge=0, description="drop users whose ratings deviate less than this, as 0.1; 0 = none"
    )
    max_item_deviation: float = Field(
        default=0.0, ge=0, description="drop items whose ratings deviate more than this; 0 = none"
    )
    min_ratings: int = Field(default=5, ge=2, description="users and items with fewer ratings are not judged")

    @property
    def are_set(self) -> bool:
        """Whether any bound is set."""
        return self.min_user_deviation > 0 or self.max_item_deviation > 0


NO_BOUNDS = RatingSettings()


def within_rating_bounds(interactions: Interactions, settings: RatingSettings) -> tuple[Interactions, dict[str, int]]:
    """Keep the interactions of users and items whose ratings scatter as they should.

    Users and items are judged once, by the same rows: leaving an item out changes no judgement of a user.

    Returns:
        the bounded log, and how many `users_without_variance`, `erratic_items` and `interactions` were dropped; no
        counts where no bound is set.

    Raises:
        ConfigError: a bound is set, and the log has no ratings.
    """
    if not settings.are_set:
        return interactions, {}
    if not interactions.has(RATING):
        raise ConfigError(
            "ratings.min_user_deviation and ratings.max_item_deviation need ratings, and the log has none: name their "
            "column with data.columns.rating, or leave them out"
        )
    rated = rated_rows(interactions)
    users = engine.stored(even_users(rated, settings.min_user_deviation, settings.min_ratings).select(USER_ID))
    items = engine.stored(erratic_items(rated, settings.max_item_deviation, settings.min_ratings).select(ITEM_ID))

    def without(table: Any) -> Any:
        return table.anti_join(users, USER_ID).anti_join(items, ITEM_ID).select(*table.columns)

    kept = without(interactions.table)
    counts = {
        "users_without_variance": _n_rows(users),
        "erratic_items": _n_rows(items),
        "interactions": _n_rows(interactions.table) - _n_rows(kept),
    }
    disliked = None if interactions.disliked is None else without(interactions.disliked)
    return replace(interactions, table=kept, disliked=disliked), counts


def rated_rows(interactions: Interactions) -> Any:
    """Lazy table (user_id, item_id, rating) of the rows with a rating, dislikes of which training may know included."""
    columns = (USER_ID, ITEM_ID, RATING)
    rows = interactions.table.select(*columns)
    disliked = known_dislikes(interactions)
    if disliked is not None:
        rows = rows.union(disliked.select(*columns), distinct=False)
    return rows.filter(rows[RATING].notnull())


def even_users(rated: Any, least: float, min_ratings: int) -> Any:
    """Lazy table (user_id, n, deviation) of the users whose ratings deviate less than `least`; none for 0."""
    found = deviations(rated, USER_ID, min_ratings)
    return found.filter(found.deviation < least)


def erratic_items(rated: Any, most: float, min_ratings: int) -> Any:
    """Lazy table (item_id, n, deviation) of the items whose ratings deviate more than `most`; none for 0."""
    found = deviations(rated, ITEM_ID, min_ratings)
    return found.filter(found.deviation > most) if most else found.limit(0)


def deviations(rated: Any, column: str, min_ratings: int) -> Any:
    """Lazy table (`column`, n, deviation) of those with at least so many ratings."""
    found = rated.group_by(column).aggregate(n=rated.count(), deviation=rated[RATING].std(how="pop"))
    return found.filter(found.n >= min_ratings)


def _n_rows(table: Any) -> int:
    return int(engine.one_row(table.aggregate(n=table.count()))["n"])


__all__ = [
    "NO_BOUNDS",
    "RatingSettings",
    "deviations",
    "erratic_items",
    "even_users",
    "rated_rows",
    "within_rating_bounds",
]
