"""The best candidates of a query among the bundle's items and those of the overlay: exact scores, filters kept.

Searching is optimistic: what may not be answered (seen, blocked, removed items) is asked for on top and dropped. Only a
request with filters, or one whose drops leave too few, is searched with a mask. Either way `n` come wherever `n` match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError
from prismrec.retrieval.asked import Asked, Places
from prismrec.retrieval.blend import Similarity, unit_rows
from prismrec.retrieval.filters.item_filter import ItemFilter
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.matrices import ItemMatrices
from prismrec.retrieval.overlay import Overlay
from prismrec.retrieval.unit_matrices import UnitMatrices

SPARE = 64
"""How many items that one has seen, and how many that were removed, are reckoned with among the best of a query.

All of them would be safe, but a thousand items of one history would make the search of a whole batch twice as dear.
"""

FEW = 256
"""Up to so many candidates a search costs about the same; ten times as many make it three times as dear."""

LARGEST = 1e12
"""What no entry of a query may reach: float32 scores stay finite."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items with their scores, the best first; equal scores in the order of their places."""

    places: Places
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.places)

    def first(self, n: int) -> Candidates:
        """The n best."""
        return Candidates(self.places[:n], self.scores[:n])


@dataclass(frozen=True, eq=False)
class Space:
    """The vectors that one similarity compares: of the bundle with their index, and of the overlay."""

    similarity: Similarity
    matrices: ItemMatrices | UnitMatrices
    index: ItemIndex | UnitMatrices
    overlay: Overlay

    @property
    def n_items(self) -> int:
        """Rows of the bundle; the overlay's items have the places behind them."""
        return self.matrices.n_items

    @cached_property
    def added_sources(self) -> NDArray[np.float32]:
        """(n, D) float32: source vectors of the overlay's items in this space."""
        raw = self.overlay.sources
        if self.similarity == "source_target" or not len(raw):
            return raw
        return np.concatenate([unit_rows(raw[:, part]) for part in self.matrices.columns.values()], axis=1)

    @cached_property
    def added_targets(self) -> NDArray[np.float32]:
        """(n, D + 1) float32: their target vectors, the prior last."""
        raw = self.overlay.targets
        if self.similarity == "source_target" or not len(raw):
            return raw
        return np.column_stack([self.added_sources, raw[:, -1]])

    def source_rows(self, places: Places) -> NDArray[np.float32]:
        """(n, D) float32: the source vectors of items."""
        return self._rows(self.matrices.source_rows, self.added_sources, places)

    def target_rows(self, places: Places) -> NDArray[np.float32]:
        """(n, D + 1) float32: their target vectors."""
        return self._rows(self.matrices.target_rows, self.added_targets, places)

    def _rows(
        self, read: Callable[[Places], NDArray[np.float32]], added: NDArray[np.float32], places: Places
    ) -> NDArray[np.float32]:
        own: NDArray[np.bool_] = places < self.n_items
        if own.all():
            return read(places)
        rows = np.empty((len(places), added.shape[1]), np.float32)
        rows[own] = read(places[own])
        rows[~own] = added[places[~own] - self.n_items]
        return rows

    def query(self, asked: Asked) -> NDArray[np.float32]:
        """(D + 1,) float32: the query vector of a request.

        Raises:
            ConfigError: its weights are so large that scores would not be finite.
        """
        query = asked.query(self.source_rows(asked.history), self.matrices.columns)
        if not np.abs(query).max() < LARGEST:
            raise ConfigError(f"view weights {asked.settings.view_weights} are too large: the scores would overflow")
        return query


class Search:
    """Finds candidates in one space."""

    def __init__(self, space: Space, item_filter: ItemFilter) -> None:
        """Bind space and filter."""
        self.space = space
        self._filter = item_filter
        self._added_filter = item_filter.over(space.overlay.items)

    def best(self, asked: Sequence[Asked], sizes: Sequence[int]) -> list[Candidates]:
        """The `sizes[i]` best candidates of each request, repeat bonus included; fewer only where fewer match."""
        queries = [self.space.query(a) for a in asked]
        found: list[Candidates | None] = [None] * len(asked)
        for together, reach in self._searches(asked, sizes):
            indices, scores = self.space.index.search(np.stack([queries[i] for i in together]), reach)
            for row, i in enumerate(together):
                kept = self._kept(indices[row], asked[i])
                if kept.sum() >= _reach(asked[i], sizes[i]) or reach == self.space.n_items:
                    found[i] = Candidates(indices[row][kept], scores[row][kept])
        whole = []
        for a, query, base, size in zip(asked, queries, found, sizes, strict=True):
            base = self._masked(query, a, _reach(a, size)) if base is None else base
            whole.append(self._merged(a, query, base).first(size))
        return whole

    def _searches(self, asked: Sequence[Asked], sizes: Sequence[int]) -> Iterator[tuple[list[int], int]]:
        """Which requests without filters to search together, and how many candidates to find for each of them.

        They all get as many as the one that wants most, so those that want few are searched apart from the others.
        """
        spare = min(len(self._hidden), SPARE)
        wanted = {
            i: _reach(a, size) + min(len(a.unanswered), SPARE) + spare
            for i, (a, size) in enumerate(zip(asked, sizes, strict=True))
            if self._is_plain(a)
        }
        for together in ([i for i in wanted if wanted[i] <= FEW], [i for i in wanted if wanted[i] > FEW]):
            if together:
                yield together, min(max(wanted[i] for i in together), self.space.n_items)

    @property
    def _hidden(self) -> Places:
        return self.space.overlay.hidden

    def _is_plain(self, a: Asked) -> bool:
        return not a.filters.where and a.allowed is None

    def _kept(self, indices: Places, a: Asked) -> NDArray[np.bool_]:
        """Which of the found rows may be answered; -1 pads the end."""
        kept = indices >= 0
        for gone in (a.unanswered, self._hidden):
            if len(gone):
                places = np.minimum(np.searchsorted(gone, indices), len(gone) - 1)
                kept &= gone[places] != indices
        return kept

    def _masked(self, query: NDArray[np.float32], a: Asked, size: int) -> Candidates:
        """Search among the rows that filters and lists leave."""
        n_items = self.space.n_items
        matching = self._filter.mask(a.filters.where)
        mask = np.ones(n_items, np.bool_) if matching is None else matching.copy()
        if a.allowed is not None:
            listed = np.zeros(n_items, np.bool_)
            listed[a.allowed[a.allowed < n_items]] = True
            mask &= listed
        mask[a.unanswered[a.unanswered < n_items]] = False
        mask[self._hidden] = False
        indices, scores = self.space.index.search(query[None], min(size, max(1, n_items)), mask)
        kept = indices[0] >= 0
        return Candidates(indices[0][kept], scores[0][kept])

    def _merged(self, a: Asked, query: NDArray[np.float32], base: Candidates) -> Candidates:
        """The bundle's candidates with those of the overlay, and with the bonus for items of the history."""
        parts = [base]
        if len(self.space.overlay):
            parts.append(self._added(a, query))
        if a.settings.repeat_weight and len(a.history):
            return _sorted(*self._with_repeats(a, query, parts))
        return base if len(parts) == 1 else _sorted(*_concatenated(parts))

    def _added(self, a: Asked, query: NDArray[np.float32]) -> Candidates:
        """The overlay's items that match."""
        places = self.space.n_items + np.arange(len(self.space.overlay))
        kept = ~np.isin(places, a.unanswered)
        matching = self._added_filter.mask(a.filters.where)
        if matching is not None:
            kept &= matching
        if a.allowed is not None:
            kept &= np.isin(places, a.allowed)
        scores = self.space.added_targets[kept] @ query
        return Candidates(places[kept], scores)

    def _with_repeats(
        self, a: Asked, query: NDArray[np.float32], parts: list[Candidates]
    ) -> tuple[Places, NDArray[np.float32]]:
        """Candidates and the history's own items that may be answered, the bonus added to these."""
        places, scores = _concatenated(parts)
        history = np.unique(a.history)
        history = history[~np.isin(history, a.unanswered) & self._matching(a, history)]
        missing = history[~np.isin(history, places)]
        places = np.concatenate([places, missing])
        scores = np.concatenate([scores, self.space.target_rows(missing) @ query])
        return places, scores + repeat_bonus(a, places)

    def _matching(self, a: Asked, places: Places) -> NDArray[np.bool_]:
        """Which places filters, lists and removals leave."""
        kept = ~np.isin(places, self._hidden)
        if a.allowed is not None:
            kept &= np.isin(places, a.allowed)
        mask = self._filter.mask(a.filters.where)
        if mask is not None:
            added = self._added_filter.mask(a.filters.where)
            kept &= np.concatenate([mask, mask[:0] if added is None else added])[places]
        return kept


def repeat_bonus(a: Asked, places: Places) -> NDArray[np.float32]:
    """(n,) float32: w_repeat sum over the history of g^age where it is the item itself."""
    same = places[:, None] == a.history[None, :]
    bonus: NDArray[np.float32] = np.float32(a.settings.repeat_weight) * (same @ a.decays)
    return bonus


def _reach(a: Asked, size: int) -> int:
    """How many candidates to find for `size` to be left: the repeat bonus may push items of the history down."""
    return size + (len(a.history) if a.settings.repeat_weight else 0)


def _concatenated(parts: Sequence[Candidates]) -> tuple[Places, NDArray[np.float32]]:
    return np.concatenate([p.places for p in parts]), np.concatenate([p.scores for p in parts])


def _sorted(places: Places, scores: NDArray[np.float32]) -> Candidates:
    order = np.lexsort((places, -scores))
    return Candidates(places[order], scores[order])


__all__ = ["Candidates", "Search", "Space", "repeat_bonus"]
