"""Answers by id: a history becomes a query vector, the index finds candidates, filters and diversity shape the list.

    request ── asked.py ──▶ places, query ── candidates.py ──▶ best candidates ── diversity.py ──▶ list ──▶ answer
                                                 ▲ index.py, filters.py, overlay.py
                                                 rescoring.py, of models with scores of their own

A `Retriever` never changes: adding and removing items makes another one that shares all large arrays, so threads may
use one while the next is made.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.config import build
from prismrec.data.arrow_files import TableRows
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.retrieval.answers import Explanation, ListReport, Recommendation, Recommendations
from prismrec.retrieval.asked import Asked, Lookup, Places, asked, asked_similar, encoded
from prismrec.retrieval.blend import Similarity
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.candidates import Candidates, Search, Space
from prismrec.retrieval.cold_start import ColdStartSettings
from prismrec.retrieval.diversity.rerank import likeness, pool_size, report, rerank
from prismrec.retrieval.explain import explanations
from prismrec.retrieval.filters.item_filter import ItemFilter
from prismrec.retrieval.index.item_index import IndexSettings, ItemIndex
from prismrec.retrieval.matrices import ItemMatrices
from prismrec.retrieval.overlay import Overlay, Placement
from prismrec.retrieval.query_encoding import QueryEncoding
from prismrec.retrieval.request import Diversity, NewItem, Request, SimilarRequest
from prismrec.retrieval.rescoring import best_by_own_score
from prismrec.retrieval.unit_matrices import UnitMatrices

REFILL = 4
"""How many times larger each next pool is, while quotas leave a list short."""

MOST_CANDIDATES = 16_384
"""Where refilling a list under quotas ends: beyond so many candidates the list stays short."""


@dataclass(frozen=True)
class ItemCard:
    """What is known of an item.

    Attributes:
        columns: its row of the item table.
        views: view name -> ids of its nodes.
        count: interactions in training.
        added: it was added or changed since the bundle was made.
    """

    item_id: Any
    columns: dict[str, Any] = field(default_factory=dict)
    views: dict[str, list[Any]] = field(default_factory=dict)
    count: int = 0
    added: bool = False


class Retriever:
    """Answers requests over the items of a bundle and those added since."""

    def __init__(
        self,
        contents: BundleContents,
        matrices: ItemMatrices,
        index: ItemIndex,
        cold_start: ColdStartSettings | None = None,
    ) -> None:
        """Bind what lies in a bundle; nothing is copied.

        Args:
            matrices, index: made for `contents.query.similarity`.
            cold_start: how added items are placed; as the bundle was made to where None.

        Raises:
            ConfigError: the bundle's settings of cold start are none.
        """
        self.contents = contents
        own = build(ColdStartSettings, contents.config.get("cold_start", {}), "the bundle's [cold_start]")
        self._placement = Placement(contents, cold_start or own)
        self._overlay = Overlay.empty(matrices.sources.shape[1], list(contents.item_nodes))
        self._filter = ItemFilter(contents.item_nodes, contents.vocabularies, contents.item_columns)
        self._shared = _Spaces(contents, matrices, index)
        self._encoding: QueryEncoding | None = None
        if contents.encoder is not None:
            self._encoding = QueryEncoding(contents.encoder, contents.users, matrices.sources.shape[1])
        self._searches: dict[Similarity, Search] = {}

    @property
    def n_items(self) -> int:
        """How many items can be answered."""
        return self._n_rows - len(self._overlay.hidden) + len(self._overlay)

    @property
    def filter(self) -> ItemFilter:
        """What conditions on views and columns mean here."""
        return self._filter

    @property
    def overlay(self) -> Overlay:
        """What differs from the bundle."""
        return self._overlay

    def prepare(self) -> None:
        """Do now what the first new item or preference would wait for: calibrate how they are placed, once."""
        self._placement.cold_start  # noqa: B018 - made when first looked at

    def recommend(self, requests: Sequence[Request]) -> list[Recommendations]:
        """The best items for each request, all searched together.

        Raises:
            ConfigError: a view, column, weight or user that does not exist or fit; k below 1.
            DataError: a history or list that is no list of ids.
            MissingExtraError: torch is not installed, and the bundle's encoder needs it.
        """
        return self._answers(self._asked(requests))

    def queries(self, requests: Sequence[Request]) -> NDArray[np.float32]:
        """(n, D + 1) float32: what `index/targets.npy` is multiplied by, for those who search with a tool of their own.

        Raises:
            ConfigError, DataError, MissingExtraError: as for `recommend`.
        """
        resolved = self._asked(requests)
        return np.stack([self._search(a.settings.similarity).space.query(a) for a in resolved])

    def similar(self, requests: Sequence[SimilarRequest]) -> list[Recommendations]:
        """The items nearest to the item of each request, itself left out.

        Raises:
            UnknownIdError: an item is not known, or was removed.
            ConfigError, DataError: as for `recommend`.
        """
        usual: Similarity = "source_target" if self._encoding is None else "cosine"
        return self._answers([asked_similar(request, self._lookup, usual) for request in requests])

    def upserted(self, items: Sequence[NewItem]) -> Retriever:
        """A retriever with these items added, or changed where it knows them already.

        An item of the bundle keeps what the change does not name, and its learned vector in the item view. A change
        replaces the change before it: what it does not name is as in the bundle again.

        Raises:
            DataError: an id or value of another type than the bundle's, or a view that the bundle lacks.
        """
        newer = self._placement.overlay(items, self._overlay, self._encoding)
        self._filter.check(newer.items)
        return self._with(self._overlay.joined(newer))

    def without(self, ids: Collection[Any]) -> Retriever:
        """A retriever that answers none of these items; ids that it does not know change nothing."""
        rows = self.contents.vocabularies[ITEM_VIEW].find_all(list(ids))
        return self._with(self._overlay.without(ids, rows[rows != UNKNOWN].tolist()))

    def item(self, item_id: Any) -> ItemCard:
        """What is known of an item.

        Raises:
            UnknownIdError: nobody knows it, or it was removed.
        """
        place = self._lookup.answerable(item_id)
        counts = self.contents.vocabularies[ITEM_VIEW].counts
        row = self.contents.vocabularies[ITEM_VIEW].find(item_id)
        count = int(counts[row]) if row != UNKNOWN else 0
        added = place >= self._n_rows
        known = self._overlay.items[place - self._n_rows] if added else self._placement.row_of(place)
        views = {view: list(nodes) for view, nodes in known.views.items()}
        return ItemCard(known.item_id, dict(known.columns), views, count, added)

    def _asked(self, requests: Sequence[Request]) -> list[Asked]:
        resolved, encoding = [], self._reading
        for request in requests:
            preference, unknown = self._placement.preference(request.preferences)
            one = asked(request, self.contents.query, self._lookup, preference, encoding)
            resolved.append(one.also_unknown(unknown) if unknown else one)
        return resolved if encoding is None else encoded(resolved, encoding)

    @cached_property
    def _reading(self) -> QueryEncoding | None:
        """The encoder, with the items that were added where it reads items by their columns."""
        if self._encoding is None:
            return None
        return self._encoding.with_items([item.columns for item in self._overlay.items])

    @property
    def _n_rows(self) -> int:
        return len(self.contents.vocabularies[ITEM_VIEW])

    @cached_property
    def _lookup(self) -> Lookup:
        vocabulary = self.contents.vocabularies[ITEM_VIEW]
        return Lookup(vocabulary, self._overlay)

    def _with(self, overlay: Overlay) -> Retriever:
        other = copy.copy(self)
        other._overlay = overlay
        other._searches = {}
        for made in ("_lookup", "_reading"):
            other.__dict__.pop(made, None)
        return other

    def _search(self, similarity: Similarity) -> Search:
        if similarity not in self._searches:
            matrices, index = self._shared.of(similarity)
            self._searches[similarity] = Search(Space(similarity, matrices, index, self._overlay), self._filter)
        return self._searches[similarity]

    def _answers(self, resolved: Sequence[Asked]) -> list[Recommendations]:
        answers: list[Recommendations | None] = [None] * len(resolved)
        for similarity in {a.settings.similarity for a in resolved}:
            search = self._search(similarity)
            rows = [i for i, a in enumerate(resolved) if a.settings.similarity == similarity]
            sizes = [pool_size(resolved[i].diversity, resolved[i].k) for i in rows]
            found = self._best(search, [resolved[i] for i in rows], sizes)
            for i, candidates in zip(rows, found, strict=True):
                answers[i] = self._answer(search, resolved[i], candidates)
        return [answer for answer in answers if answer is not None]

    def _best(self, search: Search, resolved: Sequence[Asked], sizes: Sequence[int]) -> list[Candidates]:
        """The best candidates of each request: by the model's own scores where it has any, else by products."""
        own = [i for i, a in enumerate(resolved) if self._has_own_scores(a)]
        if not own or self._reading is None:
            return search.best(resolved, sizes)
        others = sorted(set(range(len(resolved))).difference(own))
        found = dict(zip(others, search.best([resolved[i] for i in others], [sizes[i] for i in others]), strict=True))
        ordered = best_by_own_score(search, [resolved[i] for i in own], [sizes[i] for i in own], self._reading)
        found |= zip(own, ordered, strict=True)
        return [found[i] for i in range(len(resolved))]

    def _has_own_scores(self, a: Asked) -> bool:
        """Whether the model itself scores candidates of this request: only of whom it knows something."""
        is_read = a.encoded is not None and a.basis in ("user", "history")
        return is_read and self._reading is not None and self._reading.scores_candidates

    def _answer(self, search: Search, a: Asked, pool: Candidates) -> Recommendations:
        chosen, told = (pool.first(a.k), None) if _by_score_alone(a.diversity) else self._spread(search, a, pool)
        reasons: Sequence[Explanation | None] = [None] * len(chosen)
        if a.explain:
            reader = self._reading if a.encoded is not None else None
            reasons = explanations(search.space, a, chosen, self._ids, reader)
        ids, columns = self._ids(chosen.places), self._columns(chosen.places)
        items = tuple(map(Recommendation, ids, chosen.scores.tolist(), columns, reasons))
        return Recommendations(items, a.unknown, a.basis, told)

    def _spread(self, search: Search, a: Asked, pool: Candidates) -> tuple[Candidates, ListReport]:
        """Choose from the pool; under quotas that leave the list short, from an ever larger one."""
        columns = search.space.matrices.columns
        views = list(dict.fromkeys([*columns, *self.contents.item_nodes]))
        while True:
            nodes = self._nodes(pool.places)
            alike = likeness(search.space.source_rows(pool.places), columns, a.diversity, views, nodes)
            places = rerank(pool.scores, alike, nodes, a.diversity, a.k)
            wanted = REFILL * len(pool)
            if len(places) == a.k or wanted > MOST_CANDIDATES:
                break
            more = self._best(search, [a], [wanted])[0]
            if len(more) == len(pool):
                break
            pool = more
        return Candidates(pool.places[places], pool.scores[places]), report(pool.scores, places, nodes)

    def _nodes(self, places: Places) -> dict[str, Sequences]:
        """Nodes of each place, per side view; indices above the bundle's are nodes that came with added items."""
        own = places < self._n_rows
        if own.all():
            return {view: nodes.take(places) for view, nodes in self.contents.item_nodes.items()}
        joined = {}
        order = np.argsort(np.argsort(~own, kind="stable"), kind="stable")
        for view, nodes in self.contents.item_nodes.items():
            base, added = nodes.take(places[own]), self._overlay.nodes[view].take(places[~own] - self._n_rows)
            joined[view] = base.followed_by(added).take(order)
        return joined

    def _ids(self, places: Places) -> list[Any]:
        """External ids of places."""
        n_rows, added = self._n_rows, self._overlay.items
        own = self.contents.vocabularies[ITEM_VIEW].ids_of(places[places < n_rows])
        if len(own) == len(places):
            return own
        following = iter(own)
        return [next(following) if p < n_rows else added[p - n_rows].item_id for p in places.tolist()]

    def _columns(self, places: Places) -> list[dict[str, Any]]:
        """Rows of the item table."""
        n_rows, added = self._n_rows, self._overlay.items
        own = places[places < n_rows]
        rows = [{} for _ in own] if self._table is None else self._table.take(own)
        if len(own) == len(places):
            return rows
        following = iter(rows)
        return [next(following) if p < n_rows else dict(added[p - n_rows].columns) for p in places.tolist()]

    @cached_property
    def _table(self) -> TableRows | None:
        """The item table without its ids; None where nothing is left."""
        table = self.contents.item_columns
        names = [name for name in table.column_names if name != ITEM_ID] if table is not None else []
        return TableRows(table.select(names)) if table is not None and names else None


class _Spaces:
    """Vectors and search per similarity: the bundle's own, and the other made when first asked for."""

    def __init__(self, contents: BundleContents, matrices: ItemMatrices, index: ItemIndex) -> None:
        self._contents = contents
        self._own = (matrices, index)
        self._other: tuple[ItemMatrices, ItemIndex] | tuple[UnitMatrices, UnitMatrices] | None = None

    def of(self, similarity: Similarity) -> tuple[ItemMatrices, ItemIndex] | tuple[UnitMatrices, UnitMatrices]:
        if similarity == self._contents.query.similarity:
            return self._own
        if self._other is None:
            self._other = self._units() if similarity == "cosine" else self._plain()
        return self._other

    def _units(self) -> tuple[UnitMatrices, UnitMatrices]:
        units = UnitMatrices.of(self._own[0])
        return units, units

    def _plain(self) -> tuple[ItemMatrices, ItemIndex]:
        """Lengths that unit vectors have lost come from the vectors themselves: a copy in memory."""
        contents = self._contents
        counts = contents.vocabularies[ITEM_VIEW].counts
        matrices = ItemMatrices.of(contents.vectors, contents.item_nodes, counts)
        return matrices, ItemIndex.build(matrices.targets, IndexSettings(kind="exact"))


def _by_score_alone(diversity: Diversity) -> bool:
    return not diversity.level and not diversity.quotas


__all__ = ["ItemCard", "Retriever"]
