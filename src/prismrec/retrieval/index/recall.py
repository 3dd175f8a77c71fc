"""How many of the best items an index finds, measured against exact search under the weightings that requests may use.

An approximate index is built for no weighting in particular, and each request brings its own. So the build asks it
with real query vectors (the source rows of items, and recency-weighted mixtures of several, as histories are; those of
an encoder, where the bundle has one, of histories drawn alike and of users that it knows) under

    bundle              the bundle's own view weights and popularity weight
    equal               all views alike
    <view> alone        one view, popularity left out
    away from <view>    the item view, pushed away from a side view
    no popularity       the bundle's own view weights, popularity left out
    popularity alone    what a query without history is

Recall is the share of the 50 best scores that are found: of items with equal scores any will do. What falls below
`recall_floor` is refused, or with "auto" given more candidates, and at last searched exactly.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prismrec.data.blocks import row_blocks
from prismrec.data.schema import ITEM_VIEW, UNKNOWN
from prismrec.errors import ConfigError
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.index.exact import best_of_all
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.matrices import ItemMatrices
from prismrec.retrieval.query_encoding import QueryEncoding

RECALL_AT = 50
"""How many of the best must be found."""

MOST_OVER_FETCH = 32
"""Where "auto" gives up on codes: scoring more candidates than this exactly would save nothing."""

_N_QUERIES = 128  # half of them single items, half mixtures
_AWAY = -0.5  # weight of a view that a query is pushed away from


@dataclass(frozen=True)
class Weighting:
    """What a query gives the views (0 where left out) and the popularity prior."""

    views: Mapping[str, float]
    popularity: float


def build_index(
    matrices: ItemMatrices, settings: IndexSettings, query: QuerySettings, encoding: QueryEncoding | None = None
) -> tuple[ItemIndex, dict[str, float]]:
    """The index for a bundle, measured: with kind "auto" the fastest that finds enough.

    Args:
        matrices: made for `query.similarity`.
        settings: of the index.
        query: the bundle's own query settings.
        encoding: what makes the queries; None where they are mixtures of source vectors.

    Returns:
        The index, and recall by name of weighting; empty for exact search, which misses nothing.

    Raises:
        ConfigError: an index that the settings name finds too little; says how much, and what to change.
    """
    index = ItemIndex.build(matrices.targets, settings)
    if index.approximate is None:
        return index, {}
    probe = RecallProbe(matrices, query, settings.seed, encoding)
    recall = probe.measure(index)
    while settings.kind == "auto" and min(recall.values()) < settings.recall_floor:
        if index.settings.over_fetch >= MOST_OVER_FETCH:
            return ItemIndex(matrices.targets, settings), {}
        index = index.with_over_fetch(2 * index.settings.over_fetch)
        recall = probe.measure(index)
    if min(recall.values()) < settings.recall_floor:
        raise ConfigError(_refusal(index, recall))
    return index, recall


class RecallProbe:
    """Queries under every weighting, and the score that an answer must reach to be among the best."""

    def __init__(
        self, matrices: ItemMatrices, query: QuerySettings, seed: int = 0, encoding: QueryEncoding | None = None
    ) -> None:
        """Draw the queries and answer them exactly."""
        self._k = min(RECALL_AT, matrices.n_items)
        rng = np.random.default_rng(seed)
        mixtures = _mixtures(matrices, query, rng) if encoding is None else _encoded(matrices, query, encoding, rng)
        self.queries = {
            name: _weighted(mixtures, weighting, matrices.columns)
            for name, weighting in weightings(query, list(matrices.columns)).items()
        }
        together = np.concatenate(list(self.queries.values()))  # the matrix may be far larger than memory: read it once
        thresholds = best_of_all(matrices.targets, together, self._k, os.cpu_count() or 1)[1][:, -1]
        ends = np.cumsum([len(queries) for queries in self.queries.values()])[:-1]
        self._thresholds = dict(zip(self.queries, np.split(thresholds, ends), strict=True))

    def measure(self, index: ItemIndex) -> dict[str, float]:
        """Recall by name of weighting."""
        found = {name: index.search(queries, self._k)[1] for name, queries in self.queries.items()}
        return {
            name: round(float(np.mean(scores >= self._thresholds[name][:, None])), 4) for name, scores in found.items()
        }


def weightings(query: QuerySettings, views: list[str]) -> dict[str, Weighting]:
    """The weightings under which recall is measured, by name."""
    sides = [view for view in views if view != ITEM_VIEW]
    own, popularity = query.view_weights, query.popularity_weight
    chosen = {"bundle": Weighting(own, popularity), "equal": Weighting(dict.fromkeys(views, 1.0), popularity)}
    chosen |= {f"{view} alone": Weighting({view: 1.0}, 0.0) for view in views}
    chosen |= {f"away from {view}": Weighting({ITEM_VIEW: 1.0, view: _AWAY}, popularity) for view in sides}
    return {**chosen, "no popularity": Weighting(own, 0.0), "popularity alone": Weighting({}, 1.0)}


def _mixtures(matrices: ItemMatrices, query: QuerySettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n_queries, D) float32: source rows of items, and mixtures of several, popular items drawn more often."""
    n_single = _N_QUERIES // 2
    single = matrices.sources[rng.integers(0, matrices.n_items, n_single)]
    length = min(query.history_length, 20)
    histories = _by_popularity(matrices.targets[:, -1], (_N_QUERIES - n_single, length), rng)
    decay = (query.recency_decay ** np.arange(length)).astype(np.float32)
    several = np.einsum("h,qhd->qd", decay / decay.sum(), matrices.sources[histories])
    mixed: NDArray[np.float32] = np.concatenate([single, several]).astype(np.float32)
    return mixed


def _encoded(
    matrices: ItemMatrices, query: QuerySettings, encoding: QueryEncoding, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(n_queries, D) float32: single items and histories of several, every other one of a user that it knows."""
    n_single = _N_QUERIES // 2
    length = min(query.history_length, 20)
    single = rng.integers(0, matrices.n_items, (n_single, 1))
    several = _by_popularity(matrices.targets[:, -1], (_N_QUERIES - n_single, length), rng)
    users = np.full(_N_QUERIES, UNKNOWN, np.int64)
    if encoding.n_users:
        users[::2] = rng.integers(0, encoding.n_users, len(users[::2]))
    return encoding.vectors([*single, *several], users.tolist())


def _by_popularity(prior: NDArray[np.float32], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Items drawn in proportion to their counts, of which the prior is the log: as `rng.choice` draws them with `p`,
    without its cumulative weights of all items in memory."""
    sums = [0.0]
    for rows in row_blocks(len(prior), 24):
        sums.append(float(_cumulated(prior[rows], sums[-1])[-1]))
    wanted = rng.random(shape).ravel() * sums[-1]
    drawn = np.zeros(len(wanted), np.int64)
    owners = np.searchsorted(sums[1:], wanted, side="right")
    for place, rows in enumerate(row_blocks(len(prior), 24)):
        here = np.flatnonzero(owners == place)
        if len(here):
            drawn[here] = rows.start + np.searchsorted(_cumulated(prior[rows], sums[place]), wanted[here], side="right")
    return drawn.reshape(shape)


def _cumulated(prior: NDArray[np.float32], before: float) -> NDArray[np.float64]:
    counts = np.exp(prior.astype(np.float64))
    counts[0] += before
    return np.cumsum(counts, out=counts)


def _weighted(mixtures: NDArray[np.float32], weighting: Weighting, columns: Mapping[str, slice]) -> NDArray[np.float32]:
    queries = np.zeros((len(mixtures), mixtures.shape[1] + 1), np.float32)
    for view, weight in weighting.views.items():
        queries[:, columns[view]] = np.float32(weight) * mixtures[:, columns[view]]
    queries[:, -1] = weighting.popularity
    return queries if any(weighting.views.values()) else queries[:1]


def _refusal(index: ItemIndex, recall: Mapping[str, float]) -> str:
    figures = ", ".join(f"{name} {value:.3f}" for name, value in sorted(recall.items(), key=lambda pair: pair[1]))
    knob = {"scan": "over_fetch", "ivf": "n_probes", "hnsw": "search_effort"}[index.kind]
    return (
        f"the {index.kind} index finds too few of the {RECALL_AT} best items under some view weightings (recall: "
        f"{figures}; the floor is {index.settings.recall_floor}): set index.{knob} above "
        f'{getattr(index.settings, knob)}, or index.kind = "auto" or "exact", or lower index.recall_floor'
    )


__all__ = ["RECALL_AT", "RecallProbe", "Weighting", "build_index", "weightings"]
