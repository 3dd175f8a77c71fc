"""Activity bounds: users and items with too few interactions, users with too many.

Dropping an item can leave a user with too few interactions and the other way round, so the lower bounds are applied
until nothing changes (the k-core of the user-item graph). The upper bound is meant for bots and is applied once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prismrec.data import engine
from prismrec.data.schema import ITEM_ID, USER_ID, Interactions
from prismrec.data.sessions import SessionSettings


def has_bounds(settings: SessionSettings) -> bool:
    """Whether any activity bound is set."""
    return (
        settings.min_item_interactions > 1 or settings.min_user_interactions > 1 or settings.max_user_interactions > 0
    )


def within_bounds(interactions: Interactions, settings: SessionSettings) -> tuple[Interactions, dict[str, int]]:
    """Keep the interactions of users and items within the activity bounds.

    Returns:
        The bounded log, and counts: `too_active_users`, `rounds`, `stable` (0 if `max_core_rounds` came first),
        `interactions`, `users` and `items` that were dropped.
    """
    table = interactions.table
    if not has_bounds(settings):
        return interactions, {
            "too_active_users": 0,
            "rounds": 0,
            "stable": 1,
            "interactions": 0,
            "users": 0,
            "items": 0,
        }
    with engine.held(table.select(USER_ID, ITEM_ID)) as everything:
        n_before = _sizes(everything)
        pairs, too_active = engine.stored(_without_bots(everything, settings)), 0
        too_active = n_before["users"] - _sizes(pairs)["users"]
        pairs, rounds, stable = _core(pairs, settings)
    n_after = _sizes(pairs)
    users, items = (engine.stored(pairs.select(column).distinct()) for column in (USER_ID, ITEM_ID))
    engine.drop(pairs)
    dropped = {name: n_before[name] - n_after[name] for name in n_before}
    kept = table.semi_join(users, USER_ID).semi_join(items, ITEM_ID)
    counts = {"too_active_users": too_active, "rounds": rounds, "stable": int(stable), **dropped}
    return replace(interactions, table=kept.select(*table.columns)), counts


def _without_bots(pairs: Any, settings: SessionSettings) -> Any:
    if settings.max_user_interactions == 0:
        return pairs
    return pairs.semi_join(_active(pairs, USER_ID, 1, settings.max_user_interactions), USER_ID)


def _core(pairs: Any, settings: SessionSettings) -> tuple[Any, int, bool]:
    """Apply the lower bounds until no pair is dropped: the stored pairs, the rounds, whether they came to rest."""
    n_pairs = _sizes(pairs)["interactions"]
    for round_number in range(1, settings.max_core_rounds + 1):
        kept = pairs.semi_join(_active(pairs, ITEM_ID, settings.min_item_interactions), ITEM_ID)
        kept = kept.semi_join(_active(kept, USER_ID, settings.min_user_interactions), USER_ID)
        smaller = engine.stored(kept)
        engine.drop(pairs)
        pairs, n_before, n_pairs = smaller, n_pairs, _sizes(smaller)["interactions"]
        if n_pairs == n_before:
            return pairs, round_number, True
    return pairs, settings.max_core_rounds, False


def _active(pairs: Any, column: str, least: int, most: int = 0) -> Any:
    counts = pairs.group_by(column).aggregate(n=lambda t: t.count())
    bounded = counts.filter(counts.n >= least)
    return (bounded.filter(bounded.n <= most) if most else bounded).select(column)


def _sizes(pairs: Any) -> dict[str, int]:
    return engine.one_row(
        pairs.aggregate(interactions=pairs.count(), users=pairs[USER_ID].nunique(), items=pairs[ITEM_ID].nunique())
    )


__all__ = ["has_bounds", "within_bounds"]
