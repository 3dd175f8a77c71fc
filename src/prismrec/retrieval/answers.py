"""What comes back from a `Retriever`: items best first, what was unknown, what diversity gave and took, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload


@dataclass(frozen=True)
class ExplainedPath:
    """A walk through a knowledge graph from an item of the history towards an answer, in words.

    Attributes:
        entities: labels of what it passes.
        item_ids: the item id of each of these, None for what is no item.
        relations: names of the relations between them, one fewer.
        weight: the share of the model's attention that lies on it, from 0 to 1.
    """

    entities: tuple[str, ...]
    item_ids: tuple[Any, ...]
    relations: tuple[str, ...]
    weight: float

    def __str__(self) -> str:
        """The walk on one line: `Cast Away -> director -> Robert Zemeckis`."""
        steps = (step for pair in zip(self.relations, self.entities[1:], strict=True) for step in pair)
        return " -> ".join((self.entities[0], *steps))


@dataclass(frozen=True)
class Explanation:
    """The parts of a score; together they are the score.

    Attributes:
        views: view name -> its share.
        popularity: share of the popularity prior.
        repeat: the bonus for having been in the history.
        history: (item id, share) of the items of the history that speak most for it, the strongest first: a breakdown
            of what `views` says. For a bundle with an encoder: by how much the score falls when the item is left out;
            these do not add up.
        preferences: what declared preferences add: the rest of that breakdown.
        paths: walks through the knowledge graph that the model attended to, where it learned from one: those that
            arrive at the item before others, the strongest first.
    """

    views: Mapping[str, float]
    popularity: float
    repeat: float = 0.0
    history: tuple[tuple[Any, float], ...] = ()
    preferences: float = 0.0
    paths: tuple[ExplainedPath, ...] = ()


@dataclass(frozen=True)
class Recommendation:
    """One answer: the item's external id, its score (higher is better), and its row of the item table."""

    item_id: Any
    score: float
    columns: Mapping[str, Any] = field(default_factory=dict)
    explanation: Explanation | None = None


@dataclass(frozen=True)
class ListReport:
    """What re-ranking did to a list, beside the list of the k best scores.

    Attributes:
        relevance_kept: share of the relevance that the k best by score have, 1 where nothing changed.
        distinct: view name -> (number of its nodes among the k best by score, number in the list that is answered).
    """

    relevance_kept: float
    distinct: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Recommendations(Sequence[Recommendation]):
    """The answers to one query, best first.

    Attributes:
        unknown_ids: ids of the request that the bundle does not know, each once; items that were added since are among
            them where an encoder should have read them.
        basis: what the query was made of: "history", "preferences", "popularity" where nothing was known, "item" for
            similar ones, "user" where the model knows the user, whatever it makes of the history beside that.
        report: what diversity gave and took; None where the list is by score alone.
    """

    items: tuple[Recommendation, ...]
    unknown_ids: tuple[Any, ...] = ()
    basis: str = "history"
    report: ListReport | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recommendation]: ...
    def __getitem__(self, index: int | slice) -> Recommendation | Sequence[Recommendation]:
        return self.items[index]

    @property
    def item_ids(self) -> list[Any]:
        """The external ids alone, best first."""
        return [item.item_id for item in self.items]


__all__ = ["ExplainedPath", "Explanation", "ListReport", "Recommendation", "Recommendations"]
