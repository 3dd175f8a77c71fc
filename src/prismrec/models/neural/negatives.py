"""Items that a user never had, drawn in three ways: what the losses of models with labels or pairs count as no.

    uniform    q_j = 1 / n_items
    popular    q_j ~ (count_j + 1)^power
    hard       with chance `share` an item that the user disliked, where there is one, else another item of a category
               of the positive; the rest uniform

each without what the user had. Popular negatives take popularity out of the scores, hard ones teach what tells likes
from dislikes, or one item of a category from the next; which is best depends on what is asked for, so it is a setting
of the model. Time of a draw: O(log n) for each number, and as often again as it met what was had.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prismrec.config import Section
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError
from prismrec.graphs.negatives import popularity_weights
from prismrec.models.neural.unseen import UnseenItems

_DRAWS = 20
"""Draws after which uniform ones take the place of those that met what a user had."""


class NegativeSettings(Section):
    """`[models.<name>.negatives]`: which items count as not wanted."""

    kind: Literal["uniform", "popular", "hard"] = Field(
        "uniform", description="any item; popular ones more often; disliked ones, or those of the positive's category"
    )
    power: float = Field(0.75, ge=0, le=2, description="popular: chances are counts to this power")
    share: float = Field(0.5, ge=0, le=1, description="hard: share of the negatives that are; the rest are uniform")
    view: str = Field("", description="hard: the view whose nodes are categories; empty: disliked items only")


class NegativeDraws(Protocol):
    """One way to draw."""

    def draw(
        self, users: NDArray[np.int64], positives: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """(n,) int64: an item for each pair of a user and an item that they had; see the module."""
        ...


def negative_draws(settings: NegativeSettings, data: PreparedData, unseen: UnseenItems) -> NegativeDraws:
    """The draws that the settings ask for.

    Raises:
        ConfigError: hard negatives are asked for, and nothing says which they are.
    """
    if settings.kind == "uniform":
        return _Uniform(unseen)
    if settings.kind == "popular":
        return _Popular(data.items.counts, settings.power, unseen)
    categories = _categories(settings.view, data)
    if categories is None and data.disliked is None:
        raise ConfigError(
            'negatives.kind = "hard" needs items that users disliked (sessions.min_rating) or categories: set '
            f"negatives.view to a view of the data, which are {', '.join(data.views) or 'none'}"
        )
    return _Hard(settings.share, data.disliked, categories, unseen)


def _categories(view: str, data: PreparedData) -> Sequences | None:
    if not view:
        return None
    if view not in data.views:
        raise ConfigError(f"negatives.view = {view!r} is no view of the data: {', '.join(data.views) or 'none'} are")
    return data.views[view].item_nodes


class _Uniform:
    """Any item."""

    def __init__(self, unseen: UnseenItems) -> None:
        self._unseen = unseen

    def draw(
        self, users: NDArray[np.int64], positives: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        return self._unseen.draw(users, rng)


class _Popular:
    """Popular items more often."""

    def __init__(self, counts: NDArray[np.int64], power: float, unseen: UnseenItems) -> None:
        self._cumulated = np.cumsum(popularity_weights(counts + 1, power))  # items never had are drawn too
        self._unseen = unseen

    def draw(
        self, users: NDArray[np.int64], positives: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        drawn = self._items(len(users), rng)
        open_places = np.arange(len(users))
        for _ in range(_DRAWS):
            open_places = open_places[self._unseen.holds(users[open_places], drawn[open_places])]
            if not len(open_places):
                return drawn
            drawn[open_places] = self._items(len(open_places), rng)
        drawn[open_places] = self._unseen.draw(users[open_places], rng)
        return drawn

    def _items(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        places = np.searchsorted(self._cumulated, rng.random(n) * self._cumulated[-1], side="right")
        items: NDArray[np.int64] = np.minimum(places, len(self._cumulated) - 1)
        return items


class _Hard:
    """What users disliked, or what is like what they had."""

    def __init__(
        self, share: float, disliked: Sequences | None, categories: Sequences | None, unseen: UnseenItems
    ) -> None:
        self._share = share
        self._disliked = disliked
        self._categories = categories
        self._members = None if categories is None else _members(categories)
        self._unseen = unseen

    def draw(
        self, users: NDArray[np.int64], positives: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        drawn = self._unseen.draw(users, rng)
        hard = rng.random(len(users)) < self._share
        if self._disliked is not None:
            lengths = self._disliked.lengths[users]
            chosen = np.flatnonzero(hard & (lengths > 0))
            taken = self._kept(drawn, users, chosen, _one_of(self._disliked, users[chosen], rng))
            hard[taken] = False
        if self._categories is not None and self._members is not None:
            chosen = np.flatnonzero(hard & (self._categories.lengths[positives] > 0))
            nodes = _one_of(self._categories, positives[chosen], rng)
            self._kept(drawn, users, chosen, _one_of(self._members, nodes, rng))
        return drawn

    def _kept(
        self, drawn: NDArray[np.int64], users: NDArray[np.int64], places: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Put items that the user never had into `drawn`; the places that took one."""
        fresh = ~self._unseen.holds(users[places], items)
        drawn[places[fresh]] = items[fresh]
        taken: NDArray[np.int64] = places[fresh]
        return taken


def _members(categories: Sequences) -> Sequences:
    """The items of each category."""
    items = np.repeat(np.arange(len(categories)), categories.lengths)
    order = np.argsort(categories.values, kind="stable")
    return Sequences.from_lengths(items[order], np.bincount(categories.values))


def _one_of(rows: Sequences, wanted: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random value of each wanted row, which has some."""
    places = rows.offsets[wanted] + (rng.random(len(wanted)) * rows.lengths[wanted]).astype(np.int64)
    return rows.values[places].astype(np.int64)


__all__ = ["NegativeDraws", "NegativeSettings", "negative_draws"]
