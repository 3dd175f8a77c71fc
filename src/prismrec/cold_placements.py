"""Ways of placing new items among the vectors of a trained model, compared under the protocol `cold_item`.

| contender | item vector of a new item | side vectors | prior |
|---|---|---|---|
| `m2grl` | `ColdStart`: solve through the alignment, and what its nodes' items share | yes | expected log count |
| `alignment_alone` | the solve with its gain | yes | expected log count |
| `neighbours_alone` | what its nodes' items share, shrunk | yes | expected log count |
| `ridge` | linear regression from its node vectors | yes | expected log count |
| `category_mean` | mean of the item vectors of its nodes' items | yes | expected log count |
| `no_side_information` | none | no | mean: all new items tie |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prismrec.config import Section
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.evaluation.tuning import Space
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings, column_ranges, unit_rows
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.cold_start import ColdStart, ColdStartSettings
from prismrec.retrieval.node_effects import known_nodes, node_means, node_shares

_NEVER = 1e9
"""Shrinkage that leaves nothing of what the items of a node share."""

_REGULARISATION, _SHRINKAGE = (0.1, 1.0, 10.0), (1.0, 3.0, 10.0, 100.0)
PLACED: Mapping[str, Space] = {
    "m2grl": {"cold_start.regularisation": _REGULARISATION, "cold_start.shrinkage": _SHRINKAGE},
    "alignment_alone": {"cold_start.regularisation": _REGULARISATION},
    "neighbours_alone": {"cold_start.shrinkage": _SHRINKAGE},
    "ridge": {"cold_start.regularisation": (0.001, 0.01, 0.1, 1.0)},
    "category_mean": {},
    "no_side_information": {},
}
"""Contenders that place new items among M2GRL's vectors, and what tuning tries for each beside the query."""


class PlacedSettings(Section):
    """How new items are placed, and how histories become queries: tuned together."""

    query: QuerySettings = QuerySettings()
    cold_start: ColdStartSettings = ColdStartSettings()


class NewItemScorer(Protocol):
    """A `Recommender` over warm and new items that can score the new ones alone."""

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_warm + n_new) float32."""
        ...

    def score_new(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_new) float32."""
        ...


@dataclass(frozen=True, eq=False)
class PlacedScorer:
    """A trained model over its own items, and new ones behind them."""

    known: MultiViewScorer
    targets: NDArray[np.float32]  # (n_new, D + 1), of the new items

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_warm + n_new) float32."""
        return np.column_stack([self.known.score(histories), self.score_new(histories)])

    def score_new(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_new) float32."""
        return np.asarray(self.known.query(histories) @ self.targets.T)


class Placer:
    """One way of placing the new items among the vectors of a trained model; placed again only where that changes."""

    def __init__(self, name: str, contents: BundleContents, nodes: Mapping[str, Sequences]) -> None:
        """Bind the model and the nodes of the new items; nothing is placed yet."""
        self._name = name
        self._nodes = nodes
        self._contents = contents
        counts = contents.vocabularies[ITEM_VIEW].counts
        self._known = MultiViewScorer(contents.vectors, contents.item_nodes, counts, QuerySettings())
        self._placed: dict[str, NDArray[np.float32]] = {}

    def with_settings(self, settings: PlacedSettings) -> PlacedScorer:
        """Warm and new items, asked with these settings."""
        key = settings.cold_start.model_dump_json() + settings.query.similarity
        if key not in self._placed:
            self._placed = {key: placed_targets(self._name, self._contents, self._nodes, settings)}
        return PlacedScorer(self._known.with_settings(settings.query), self._placed[key])


def placed_targets(
    name: str, contents: BundleContents, nodes: Mapping[str, Sequences], settings: PlacedSettings
) -> NDArray[np.float32]:
    """(n_new, D + 1) float32 targets of new items, placed in the way of a contender in `PLACED`."""
    cold, similarity = settings.cold_start, settings.query.similarity
    if name == "alignment_alone":
        cold = cold.model_copy(update={"shrinkage": _NEVER})
    if name == "neighbours_alone":
        contents, cold = replace(contents, alignment={}), cold.model_copy(update={"view_weights": {}})
    targets = ColdStart.of(contents, cold).place(nodes, similarity)[1]
    if name == "no_side_information":
        unknown = {view: Sequences.from_lengths([], np.zeros(len(targets), np.int64)) for view in nodes}
        targets = ColdStart.of(contents, cold).place(unknown, similarity)[1]
        targets[:, :-1] = 0
    if name in ("ridge", "category_mean"):
        tables = {v: t.source if similarity == "cosine" else t.target for v, t in contents.vectors.items()}
        own = (
            _regressed(contents, tables, nodes, cold.regularisation)
            if name == "ridge"
            else _category_means(contents, tables[ITEM_VIEW], nodes)
        )
        columns = column_ranges(contents.vectors)[ITEM_VIEW]
        targets[:, columns] = unit_rows(own) if similarity == "cosine" else own
    return targets


def _regressed(
    contents: BundleContents, tables: Mapping[str, NDArray[np.float32]], nodes: Mapping[str, Sequences], penalty: float
) -> NDArray[np.float32]:
    """(n_new, dim): ridge regression of the warm items' vectors on the means of their nodes' vectors, side by side."""
    warm = np.flatnonzero(np.asarray(contents.vocabularies[ITEM_VIEW].counts) > 0)
    views = list(contents.item_nodes)
    known = np.hstack([node_means(contents.item_nodes[v].take(warm), tables[v]) for v in views])
    new = np.hstack([node_means(known_nodes(v, nodes[v], len(tables[v])), tables[v]) for v in views])
    learned = np.asarray(tables[ITEM_VIEW][warm], np.float64)
    centre, mean = known.mean(axis=0), learned.mean(axis=0)
    gram = (known - centre).T @ (known - centre)
    gram += penalty * np.trace(gram) / len(gram) * np.eye(len(gram))
    slopes = np.linalg.solve(gram, (known - centre).T @ (learned - mean))
    return np.asarray(mean + (new - centre) @ slopes, np.float32)


def _category_means(
    contents: BundleContents, vectors: NDArray[np.float32], nodes: Mapping[str, Sequences]
) -> NDArray[np.float32]:
    """(n_new, dim): mean over the views of the mean item vector of its nodes; that of all items where it has none."""
    counts = np.asarray(contents.vocabularies[ITEM_VIEW].counts)
    warm = np.flatnonzero(counts > 0)
    mean = vectors[warm].mean(axis=0)
    total, n_views = np.zeros((len(next(iter(nodes.values()))), vectors.shape[1])), 0
    for view, rows in nodes.items():
        n_nodes = len(contents.vectors[view].target)
        known = known_nodes(view, rows, n_nodes)
        share = node_shares(contents.item_nodes[view].take(warm), n_nodes)
        support = np.asarray(share.sum(axis=0))
        of_nodes = np.where(support[:, None] > 0, (share.T @ vectors[warm]) / np.maximum(support, 1e-12)[:, None], mean)
        total += np.where(known.lengths[:, None] > 0, node_means(known, of_nodes), mean)
        n_views += 1
    return np.asarray(total / n_views, np.float32)


__all__ = ["PLACED", "NewItemScorer", "PlacedScorer", "PlacedSettings", "Placer", "placed_targets"]
