"""Items added, changed and removed since the bundle was made: small arrays beside its large ones, never altered.

An added item is placed by its side information (`cold_start`), or by what the model's encoder reads in its columns. One
that the bundle holds keeps its learned item vector and takes its new nodes and columns; its row there is hidden. Every
change makes a new overlay, so that answers in flight keep the one they began with. A change copies the overlay: O(items
in it), meant for thousands, not millions; the rest is for the next training.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.config import build
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.data.view_values import ViewSettings, node_values
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.retrieval.blend import column_ranges, mean_log_count, popularity_prior
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.cold_start import ColdStart, ColdStartSettings
from prismrec.retrieval.query_encoding import QueryEncoding
from prismrec.retrieval.request import NewItem


@dataclass(frozen=True, eq=False)
class Overlay:
    """What differs from the bundle.

    Attributes:
        items: the added or changed items, complete: an item's nodes and columns as they are now.
        sources: (n, D) float32: their source vectors, all views side by side.
        targets: (n, D + 1) float32: their target vectors, the popularity prior last.
        nodes: view name -> their nodes, one row per item; nodes that the bundle lacks have indices above its own.
        hidden: sorted (n,) int64: rows of the bundle that are not answered: removed, or changed and so in `items`.
        fresh_nodes: view name -> node id -> its index, of nodes that the bundle lacks.
    """

    items: tuple[NewItem, ...]
    sources: NDArray[np.float32]
    targets: NDArray[np.float32]
    nodes: Mapping[str, Sequences]
    hidden: NDArray[np.int64]
    fresh_nodes: Mapping[str, Mapping[Any, int]]

    @classmethod
    def empty(cls, dim: int, views: Collection[str]) -> Overlay:
        """Nothing differs; `dim` is the width of the source vectors of all views together."""
        return cls(
            items=(),
            sources=np.zeros((0, dim), np.float32),
            targets=np.zeros((0, dim + 1), np.float32),
            nodes={view: Sequences.from_lists([]) for view in views if view != ITEM_VIEW},
            hidden=np.zeros(0, np.int64),
            fresh_nodes={},
        )

    def __len__(self) -> int:
        return len(self.items)

    def place_of(self, item_id: Any) -> int:
        """The place of an added item, -1 where it is none."""
        key = item_id.item() if isinstance(item_id, np.generic) else item_id
        usable = isinstance(key, str | int | uuid.UUID) and not isinstance(key, bool)
        return self._places.get(key, UNKNOWN) if usable else UNKNOWN

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {item.item_id: place for place, item in enumerate(self.items)}

    def without(self, ids: Collection[Any], rows: Collection[int]) -> Overlay:
        """Take ids out of the added ones, and hide rows of the bundle."""
        gone = set(ids)
        kept = [place for place, item in enumerate(self.items) if item.item_id not in gone]
        return replace(
            self,
            items=tuple(self.items[place] for place in kept),
            sources=self.sources[kept],
            targets=self.targets[kept],
            nodes={view: nodes.take(kept) for view, nodes in self.nodes.items()},
            hidden=np.union1d(self.hidden, np.asarray(list(rows), np.int64)),
        )

    def joined(self, other: Overlay) -> Overlay:
        """Both; `other` is newer, and its items replace those of the same id."""
        rest = self.without([item.item_id for item in other.items], [])
        return Overlay(
            items=rest.items + other.items,
            sources=np.concatenate([rest.sources, other.sources]),
            targets=np.concatenate([rest.targets, other.targets]),
            nodes={view: rest.nodes[view].followed_by(other.nodes[view]) for view in rest.nodes},
            hidden=np.union1d(rest.hidden, other.hidden),
            fresh_nodes=other.fresh_nodes,
        )


@dataclass(frozen=True, eq=False)
class Placement:
    """Makes overlays: knows the bundle that new items are placed beside."""

    contents: BundleContents
    settings: ColdStartSettings

    @cached_property
    def cold_start(self) -> ColdStart:
        """Calibrated when the first item or preference comes: most processes never need it."""
        return ColdStart.of(self.contents, self.settings)

    def preference(self, liked: Mapping[str, Sequence[Any]]) -> tuple[NDArray[np.float32] | None, list[Any]]:
        """(D,) source vector of what a user says to like, None where none of it is known; and what is unknown.

        Raises:
            DataError: there is no such side view.
        """
        rows: dict[str, Sequences] = {}
        unknown: list[Any] = []
        for view, nodes in liked.items():
            self._check_view(view, "preferences")
            ids = [self._node_id(view, node) for node in nodes]
            found = self.contents.vocabularies[view].find_all(ids)
            unknown += [node for node, index in zip(ids, found.tolist(), strict=True) if index == UNKNOWN]
            rows[view] = Sequences.from_lists([found[found != UNKNOWN]])
        if not any(len(row.values) for row in rows.values()):
            return None, unknown
        return self.cold_start.preferences(rows)[0], unknown

    def overlay(self, items: Sequence[NewItem], before: Overlay, encoding: QueryEncoding | None = None) -> Overlay:
        """The given items as an overlay of their own, its fresh nodes numbered on from those of `before`.

        Of several items with one id the last counts. What an encoder reads by its columns has the vectors that it makes
        of these.

        Raises:
            DataError: an id is not of the type that the bundle's ids have, or a view is named that it lacks.
        """
        latest = {item.item_id: item for item in map(self._checked, items)}
        complete = [self._completed(item) for item in latest.values()]
        fresh = {view: dict(before.fresh_nodes.get(view, {})) for view in self.contents.item_nodes}
        nodes = {view: self._nodes(view, complete, fresh[view]) for view in self.contents.item_nodes}
        known = {view: self._known(view, rows) for view, rows in nodes.items()}
        sources, targets = self.cold_start.place(known, n_items=len(complete))
        rows = np.array([self.vocabulary.find(item.item_id) for item in complete], np.int64)
        self._keep_learned(rows, sources, targets)
        read = None if encoding is None else encoding.vectors_of([item.columns for item in complete])
        if read is not None:
            own = column_ranges(self.contents.vectors)[ITEM_VIEW]
            sources[:, own], targets[:, own] = read.source, read.target
        hidden = np.sort(rows[rows != UNKNOWN])
        return Overlay(tuple(complete), sources, targets, nodes, hidden, fresh)

    @property
    def vocabulary(self) -> Vocabulary:
        """The ids of the bundle's items."""
        return self.contents.vocabularies[ITEM_VIEW]

    def row_of(self, index: int) -> NewItem:
        """A row of the bundle as an item with all its nodes and columns."""
        contents = self.contents
        views = {v: tuple(contents.vocabularies[v].ids_of(nodes[index])) for v, nodes in contents.item_nodes.items()}
        columns = {}
        if contents.item_columns is not None:
            columns = contents.item_columns.slice(index, 1).to_pylist()[0]
            columns.pop(ITEM_ID, None)
        return NewItem.model_construct(item_id=self.vocabulary.id_of(index), views=views, columns=columns)

    def _checked(self, item: NewItem) -> NewItem:
        for view in item.views:
            self._check_view(view, f"item {item.item_id!r}")
        if ITEM_ID in item.columns:
            raise DataError(f"item {item.item_id!r}: {ITEM_ID} is no column of its own; leave it out of the columns")
        if not self.vocabulary.accepts(item.item_id):
            raise DataError(f"item {item.item_id!r}: ids of this bundle are {self.vocabulary.kind_name}")
        return item

    def _check_view(self, view: str, what: str) -> None:
        views = self.contents.item_nodes
        if view not in views:
            raise DataError(f"{what}: there is no side view {view!r}; there are {', '.join(views) or 'none'}")

    def _completed(self, item: NewItem) -> NewItem:
        """An item of the bundle keeps what the change does not name; views follow from the columns they are made of."""
        index = self.vocabulary.find(item.item_id)
        known = None if index == UNKNOWN else self.row_of(index)
        views: dict[str, tuple[Any, ...]] = dict.fromkeys(self.contents.item_nodes, ())
        views |= known.views if known else {}
        for view, settings in self._view_settings().items():
            if settings.column in item.columns:
                views[view] = node_values(settings, item.columns[settings.column])
        views |= {view: tuple(self._node_id(view, node) for node in nodes) for view, nodes in item.views.items()}
        columns = {**(known.columns if known else {}), **item.columns}
        return NewItem.model_construct(item_id=item.item_id, views=views, columns=columns)

    def _view_settings(self) -> dict[str, ViewSettings]:
        """Which column each view was made of, as the settings in the bundle say; none for hand-made bundles."""
        configured = self.contents.config.get("views", {})
        return {view: build(ViewSettings, s) for view, s in configured.items() if view in self.contents.item_nodes}

    def _node_id(self, view: str, node: Any) -> Any:
        vocabulary = self.contents.vocabularies[view]
        return vocabulary.parsed(node) if isinstance(node, str) else node

    def _nodes(self, view: str, items: Sequence[NewItem], fresh: dict[Any, int]) -> Sequences:
        """The nodes of each item; ids that the bundle lacks are numbered on behind its own."""
        vocabulary = self.contents.vocabularies[view]
        rows = []
        for item in items:
            row = []
            for node in dict.fromkeys(item.views.get(view, ())):
                index = vocabulary.find(node)
                row.append(fresh.setdefault(node, len(vocabulary) + len(fresh)) if index == UNKNOWN else index)
            rows.append(row)
        return Sequences.from_lists(rows)

    def _known(self, view: str, nodes: Sequences) -> Sequences:
        """Only the nodes that have vectors."""
        n_nodes = len(self.contents.vocabularies[view])
        return Sequences.from_lists([row[row < n_nodes] for row in nodes])

    def _keep_learned(
        self, rows: NDArray[np.int64], sources: NDArray[np.float32], targets: NDArray[np.float32]
    ) -> None:
        """Items that were trained keep their vectors in the item view and their prior."""
        known = np.flatnonzero(rows != UNKNOWN)
        if not len(known):
            return
        learned, columns = self.contents.vectors[ITEM_VIEW], column_ranges(self.contents.vectors)[ITEM_VIEW]
        sources[known, columns] = learned.source[rows[known]]
        targets[known, columns] = learned.target[rows[known]]
        targets[known, -1] = popularity_prior(self.vocabulary.counts[rows[known]], self._mean_log_count)

    @cached_property
    def _mean_log_count(self) -> float:
        return mean_log_count(self.vocabulary.counts)


__all__ = ["Overlay", "Placement"]
