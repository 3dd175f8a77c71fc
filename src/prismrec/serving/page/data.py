"""What the explorer page shows of a bundle: names, cards, values to filter by, the map. Plain functions of the data.

Ids go out as text and come back as text, so that JavaScript never rounds a large one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prismrec import __version__
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, UNKNOWN
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, UnknownIdError
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.overlay import Overlay
from prismrec.retrieval.retriever import ItemCard, Retriever
from prismrec.serving.page.projection import blended_vectors, most_clicked, principal_positions
from prismrec.serving.page.search import ItemSearch, folded, folded_text, id_texts
from prismrec.serving.page.settings import PageSettings

NAME_COLUMNS = ("name", "title", "item_name", "product_name", "display_name", "label", "description")
"""Columns that name an item, in order of trust."""


@dataclass(frozen=True)
class Colouring:
    """How the map is coloured by a view.

    Attributes:
        labels: the nodes that occur, as text, the most frequent on the map first.
        codes: per point its place in `labels`, -1 without a node; of several nodes the most frequent.
    """

    labels: list[str]
    codes: list[int]


class PageData:
    """Everything the page shows that depends on the bundle alone; made once per bundle, threads may share it."""

    def __init__(self, bundle: Bundle, settings: PageSettings, name: str = "") -> None:
        """Bind the bundle; what takes time is done when it is first asked for.

        Args:
            name: what the page is called where neither its settings nor the bundle's say; the folder's where empty.

        Raises:
            ConfigError: the settings name a column that the item table lacks.
        """
        self.bundle = bundle
        self.settings = settings
        self._name = name or bundle.path.name
        self.name_column = name_column(bundle, settings.name_column)

    @cached_property
    def names(self) -> pa.Array:
        """(n_items,) text: the name of each item; its id where it has none."""
        ids = id_texts(self.bundle.items.ids)
        table = self.bundle.contents.item_columns
        if table is None or not self.name_column:
            return ids
        column = table.column(self.name_column).combine_chunks()
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        return pc.if_else(pc.equal(texts, "").fill_null(True), ids, texts)

    @cached_property
    def search(self) -> ItemSearch:
        """The index behind the search box."""
        return ItemSearch.of(self.names, self.bundle.items)

    def overview(self) -> dict[str, Any]:
        """What the bundle is: catalogue, views, query settings; what the page is built from."""
        manifest, items = self.bundle.manifest, self.bundle.items
        encoder = self.bundle.contents.encoder
        return {
            "title": self.settings.title or _text_at(manifest.config, "data", "name") or self._name,
            "created": manifest.created,
            "version": __version__,
            "n_items": len(items),
            "n_clicks": int(items.counts.sum()),
            "name_column": self.name_column,
            "views": [self._view(view) for view in (ITEM_VIEW, *self._side_views)],
            "encoder": "" if encoder is None else encoder.algorithm,
            "query": self.bundle.contents.query.model_dump(mode="json"),
            "metrics": dict(manifest.metrics),
        }

    def found(self, retriever: Retriever, query: str, limit: int) -> list[dict[str, Any]]:
        """Cards of the items that match, best first; items added at run time among them, removed ones not."""
        overlay = retriever.overlay
        hidden = set(overlay.hidden.tolist())
        hits = [(hit, self.bundle.items.id_of(hit.item_index)) for hit in self.search.find(query, limit, hidden)]
        hits += [(hit, overlay.items[hit.item_index].item_id) for hit in self._added(overlay).find(query, limit)]
        hits.sort(key=lambda each: (-each[0].quality, -each[0].n_clicks))
        return [self.card(retriever.item(item_id)) for _, item_id in hits[:limit]]

    def cards(self, retriever: Retriever, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Cards of items by the text of their ids; one that is not known is marked `unknown`."""
        return [self._card_of(retriever, text) for text in texts]

    def card(self, item: ItemCard) -> dict[str, Any]:
        """What a list shows of an item."""
        name = item.columns.get(self.name_column) if self.name_column else None
        return {
            "id": str(item.item_id),
            "name": str(name).strip() if name not in (None, "") else str(item.item_id),
            "count": item.count,
            "views": {view: [str(node) for node in nodes] for view, nodes in item.views.items()},
            "added": item.added,
        }

    def values(self, query: str, limit: int) -> list[dict[str, Any]]:
        """Nodes of the side views that hold the text, those with most items first: what a list can be filtered by."""
        text = folded_text(query)
        found: list[dict[str, Any]] = []
        for view in self._side_views:
            labels, n_items = self._node_labels[view], self._node_items[view]
            match = np.asarray(pc.match_substring(folded(labels), text)) & (n_items > 0)
            places = np.flatnonzero(match)
            best = places[np.argsort(-n_items[places], kind="stable")[:limit]]
            found += [{"view": view, "value": labels[int(i)].as_py(), "n_items": int(n_items[i])} for i in best]
        return sorted(found, key=lambda value: -value["n_items"])[:limit]

    @cached_property
    def map_points(self) -> NDArray[np.int64]:
        """The items on the map, the most clicked first."""
        return most_clicked(self.bundle, self.settings.map_items)

    def map_document(self, positions: Sequence[Sequence[float]] | None) -> dict[str, Any]:
        """The map: one entry per point in parallel lists; principal components where there are no better positions."""
        rows = self.map_points
        x, y = self._rough_positions if positions is None else positions
        return {
            "method": "principal components" if positions is None else "t-SNE",
            "ids": id_texts(self.bundle.items.ids.take(pa.array(rows))).to_pylist(),
            "names": self.names.take(pa.array(rows)).to_pylist(),
            "counts": self.bundle.items.counts[rows].tolist(),
            "x": list(x),
            "y": list(y),
            "colours": {view: vars(self._colouring(view)) for view in self._side_views},
        }

    @cached_property
    def _rough_positions(self) -> list[list[float]]:
        positions = principal_positions(blended_vectors(self.bundle, self.map_points))
        rounded: list[list[float]] = positions.T.round(4).tolist()
        return rounded

    @property
    def _side_views(self) -> list[str]:
        return list(self.bundle.contents.item_nodes)

    @cached_property
    def _node_labels(self) -> dict[str, pa.Array]:
        return {view: id_texts(self.bundle.contents.vocabularies[view].ids) for view in self._side_views}

    @cached_property
    def _node_items(self) -> dict[str, NDArray[np.int64]]:
        """Items per node of each side view."""
        nodes = self.bundle.contents.item_nodes
        return {v: np.bincount(nodes[v].values, minlength=len(self._node_labels[v])) for v in self._side_views}

    def _view(self, view: str) -> dict[str, Any]:
        contents = self.bundle.contents
        nodes = contents.item_nodes.get(view)
        covered = 1.0 if nodes is None else float((nodes.lengths > 0).mean()) if len(nodes) else 0.0
        return {
            "name": view,
            "column": _view_column(self.bundle.manifest.config, view),
            "n_nodes": len(contents.vocabularies[view]),
            "dim": int(contents.vectors[view].source.shape[1]) if view in contents.vectors else 0,
            "weighable": contents.encoder is None,
            "items_covered": covered,
            "integer_nodes": bool(pa.types.is_integer(contents.vocabularies[view].ids.type)),
            "weight": contents.query.view_weights.get(view, 0.0),
        }

    def _card_of(self, retriever: Retriever, text: str) -> dict[str, Any]:
        try:
            return self.card(retriever.item(self.bundle.items.parsed(text)))
        except UnknownIdError:
            return {"id": text, "name": text, "count": 0, "views": {}, "added": False, "unknown": True}

    def _added(self, overlay: Overlay) -> ItemSearch:
        """An index over what was added or changed: made anew per request, it is small."""
        if not overlay.items:
            return _NOTHING
        items = self.bundle.items
        rows = [items.find(item.item_id) for item in overlay.items]
        counts = [int(items.counts[row]) if row != UNKNOWN else 0 for row in rows]
        names = [item.columns.get(self.name_column) if self.name_column else None for item in overlay.items]
        texts = pa.array([None if name is None else str(name) for name in names], pa.string())
        return ItemSearch.of(texts, Vocabulary.from_ids([item.item_id for item in overlay.items], counts))

    def _colouring(self, view: str) -> Colouring:
        nodes = self.bundle.contents.item_nodes[view].take(self.map_points)
        n_points = np.bincount(nodes.values, minlength=len(self._node_labels[view]))
        order = np.argsort(-n_points, kind="stable")[: np.count_nonzero(n_points)]
        place = np.full(len(n_points), UNKNOWN)
        place[order] = np.arange(len(order))
        codes = [min((int(place[node]) for node in row), default=UNKNOWN) for row in nodes]
        return Colouring(self._node_labels[view].take(pa.array(order)).to_pylist(), codes)


_NOTHING = ItemSearch.of(pa.array([], pa.string()), Vocabulary.from_ids(pa.array([], pa.string())))


def name_column(bundle: Bundle, wanted: str = "") -> str:
    """The column of the item table that names an item; empty where the id must do.

    One of `NAME_COLUMNS`, whatever its case; else the first text column that no view is made of.

    Raises:
        ConfigError: the wanted column is not there.
    """
    table = bundle.contents.item_columns
    columns = [] if table is None else [name for name in table.column_names if name != ITEM_ID]
    if wanted and wanted not in columns:
        raise ConfigError(
            f"serving.page.name_column: the item table has no column {wanted!r}; it has {', '.join(columns) or 'none'}"
        )
    if wanted or table is None:
        return wanted
    by_lower_case: dict[str, str] = {name.lower(): name for name in reversed(columns)}
    for name in NAME_COLUMNS:
        if name in by_lower_case:
            return by_lower_case[name]
    of_views = {_view_column(bundle.manifest.config, view) for view in bundle.contents.item_nodes}
    texts = (name for name in columns if name not in of_views and _is_text(table.schema.field(name).type))
    return next(texts, "")


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _view_column(config: Mapping[str, Any], view: str) -> str:
    """The column that a view was made of, where the settings in the bundle tell."""
    return _text_at(config, "views", view, "column")


def _text_at(config: Any, *path: str) -> str:
    """A setting of the run, which came from whoever wrote the bundle: empty where there is none."""
    for key in path:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config if isinstance(config, str) else ""


__all__ = ["NAME_COLUMNS", "Colouring", "PageData", "name_column"]
