"""What an answer must be, worked out a second time: by scoring the whole catalogue, without index, masks or batches.

Items that change at run time stand as the ledger says; of all others the oracle knows the score to a few digits, and
whether they belong into the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.ledger import Ledger
from prismrec.data.sequences import Sequences
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle

TOLERANCE = 1e-4
"""By how much two float32 sums of one score may differ."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """A question as it was sent.

    Attributes:
        body: as JSON has it.
        history: what the server had stored of the user, and what the request brought.
        sent, answered: seconds on the clock of the event loop.
    """

    body: Json
    history: tuple[str, ...] = ()
    sent: float = 0.0
    answered: float = 0.0

    @property
    def is_similar(self) -> bool:
        """Whether it asks for items near one item."""
        return "item_id" in self.body


class Oracle:
    """Knows the right answers of one bundle."""

    def __init__(self, bundle: Bundle, ledger: Ledger) -> None:
        """Bind a bundle with text ids and the columns name, price and category."""
        self._bundle = bundle
        self._ledger = ledger
        self._ids: list[str] = bundle.items.ids.to_pylist()
        self._index = {item: index for index, item in enumerate(self._ids)}
        table: Any = bundle.contents.item_columns
        self._columns = {name: np.asarray(table[name].to_pylist()) for name in ("category", "price")}
        self._steady = np.array([item not in ledger.changing for item in self._ids])

    def problems(self, question: Question, answer: Json) -> Iterator[str]:
        """What is wrong with an answer; nothing where it is right."""
        shown = [item["item_id"] for item in answer["items"]]
        if len(set(shown)) != len(shown):
            yield "an item stands twice in a list"
        yield from self._refused(question, answer["items"])
        yield from self._unknown(question, answer)
        scores = self._scores(question)
        allowed = self._allowed(question)
        for item in answer["items"]:
            index = self._index.get(item["item_id"])
            if index is not None and self._steady[index]:
                if not allowed[index]:
                    yield f"{item['item_id']} may not be answered"
                if abs(item["score"] - scores[index]) > TOLERANCE:
                    yield f"{item['item_id']} scores {scores[index]:.5f}, answered was {item['score']:.5f}"
            if question.body.get("explain"):
                yield from _unexplained(item)
        yield from self._order(question, answer["items"], scores, allowed)

    def _scores(self, question: Question) -> NDArray[np.float32]:
        body = question.body
        if question.is_similar:
            settings = QuerySettings(view_weights=body.get("weights", {"item": 1.0}), popularity_weight=0.0)
            known = [self._index[body["item_id"]]]
        else:
            standard = self._bundle.contents.query
            weights = body.get("weights", standard.view_weights)
            settings = standard.model_copy(update={"view_weights": weights})
            known = [self._index[item] for item in question.history if item in self._index]
        scores: NDArray[np.float32] = self._bundle.recommender(settings).score(Sequences.from_lists([known]))[0]
        return scores

    def _allowed(self, question: Question) -> NDArray[np.bool_]:
        """Which items filters, lists and the history leave; (n_items,)."""
        allowed = np.ones(len(self._ids), np.bool_)
        filters = question.body.get("filters", {})
        for name, condition in filters.get("where", {}).items():
            allowed &= _meets(self._columns[name], condition)
        if "allow" in filters:
            allowed &= np.isin(self._ids, filters["allow"])
        gone = [self._index[item] for item in _gone(question) if item in self._index]
        allowed[gone] = False
        return allowed

    def _refused(self, question: Question, items: list[Json]) -> Iterator[str]:
        """What no answer may hold, whatever its score; items that change are judged by what is told of them."""
        gone, filters = _gone(question), question.body.get("filters", {})
        for item in items:
            item_id, columns = item["item_id"], item["columns"]
            if item_id in gone:
                yield f"{item_id} was seen or blocked, and is answered"
            if "allow" in filters and item_id not in filters["allow"]:
                yield f"{item_id} is not on the list of those allowed"
            for name, condition in filters.get("where", {}).items():
                if not _meets(np.asarray([columns[name]]), condition)[0]:
                    yield f"{item_id} has {name} {columns[name]!r}, asked for was {condition}"
            if item_id in self._ledger.changing:
                version = version_of(columns["name"])
                possible = self._ledger.possible(item_id, question.sent, question.answered)
                if version not in possible:
                    yield f"{item_id} shows version {version}, it can only be one of {possible}"
            elif item_id not in self._index:
                yield f"{item_id} is no item of the release"

    def _unknown(self, question: Question, answer: Json) -> Iterator[str]:
        missing = {item for item in question.history if item not in self._index}
        if set(answer["unknown_ids"]) != missing:
            yield f"unknown ids are {sorted(missing)}, told were {answer['unknown_ids']}"

    def _order(
        self, question: Question, items: list[Json], scores: NDArray[np.float32], allowed: NDArray[np.bool_]
    ) -> Iterator[str]:
        """The list is as long as asked for and, where it is by score alone, holds the best in their order."""
        wanted = question.body["k"]
        shown = np.isin(self._ids, [item["item_id"] for item in items])
        left_out = allowed & self._steady & ~shown
        diversity = question.body.get("diversity", 0)
        if len(items) > wanted or (len(items) < wanted and left_out.any() and not _has_quotas(diversity)):
            yield f"{len(items)} items came, asked for were {wanted}, and {left_out.sum()} more would do"
        if diversity:
            yield from _crowded(diversity, items)
            return
        given = [item["score"] for item in items]
        if any(first < second for first, second in pairwise(given)):
            yield "scores rise within a list"
        if items and left_out.any() and scores[left_out].max() > given[-1] + TOLERANCE:
            best = self._ids[int(np.flatnonzero(left_out)[scores[left_out].argmax()])]
            yield f"{best} was left out, though it scores more than the last of the list"


def version_of(name: str) -> int:
    """Which upsert the name of an item tells of; 0 for those of the bundle."""
    word, _, number = name.partition(" ")
    return int(number) if word == "version" else 0


def _unexplained(item: Json) -> Iterator[str]:
    """Reasons that do not add up to the score."""
    told = item.get("explanation")
    if told is None:
        yield f"no reasons came for {item['item_id']}"
        return
    total = sum(told["views"].values()) + told["popularity"] + told["repeat"]
    if abs(total - item["score"]) > TOLERANCE:
        yield f"the reasons for {item['item_id']} add up to {total:.5f}, its score is {item['score']:.5f}"


def _gone(question: Question) -> set[str]:
    """What may not be answered."""
    body = question.body
    blocked = set(body.get("filters", {}).get("block", ()))
    if question.is_similar:
        return blocked | {body["item_id"]}
    return blocked | set(question.history) if body.get("exclude_seen", True) else blocked


def _meets(values: NDArray[Any], condition: Json) -> NDArray[np.bool_]:
    met = np.ones(len(values), np.bool_)
    if "any_of" in condition:
        met &= np.isin(values, condition["any_of"])
    if "none_of" in condition:
        met &= ~np.isin(values, condition["none_of"])
    if "min" in condition:
        met &= values >= condition["min"]
    if "max" in condition:
        met &= values <= condition["max"]
    return met


def _has_quotas(diversity: Any) -> bool:
    return isinstance(diversity, Mapping) and bool(diversity.get("quotas"))


def _crowded(diversity: Any, items: list[Json]) -> Iterator[str]:
    """Quotas on the category that are not kept."""
    quota = diversity.get("quotas", {}).get("category") if isinstance(diversity, Mapping) else None
    most = max(Counter(item["columns"]["category"] for item in items).values(), default=0)
    if quota is not None and most > quota:
        yield f"{most} items of one category, the quota is {quota}"


__all__ = ["Oracle", "Question", "version_of"]
