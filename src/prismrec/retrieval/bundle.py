"""A trained model as a folder that answers: recommendations for a history, items similar to an item, by external id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from prismrec.config import build
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings, Similarity
from prismrec.retrieval.bundle_files import BundleContents, read_bundle, write_bundle
from prismrec.retrieval.manifest import Manifest, Verify
from prismrec.retrieval.ranking import top_k

_SCORE_BYTES = 256 * 2**20
"""How much memory the scores of one batch may take."""


@dataclass(frozen=True)
class Recommendation:
    """One answer: the item's external id, its score (higher is better), and its row of the item table."""

    item_id: Any
    score: float
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recommendations(Sequence[Recommendation]):
    """The answers to one query, best first, and the ids of its history that the bundle does not know."""

    items: tuple[Recommendation, ...]
    unknown_ids: tuple[Any, ...] = ()

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


class Bundle:
    """A trained model on disk, its arrays memory-mapped: opening costs no memory, processes share the pages."""

    def __init__(self, path: Path, manifest: Manifest, contents: BundleContents) -> None:
        """Use `Bundle.open`."""
        self.path = path
        self.manifest = manifest
        self.contents = contents

    @classmethod
    def open(cls, path: str | Path, verify: Verify = "full") -> Bundle:
        """Open a bundle after checking it.

        Args:
            path: the folder.
            verify: "full" reads every byte against its checksum; "sizes" only looks at the length of each file.

        Raises:
            ArtifactError: something is missing, damaged, or from a newer version; names the file.
        """
        manifest, contents = read_bundle(Path(path), verify)
        return cls(Path(path), manifest, contents)

    @classmethod
    def write(cls, path: str | Path, contents: BundleContents) -> Bundle:
        """Write a bundle, whole or not at all, and open it. A bundle at `path` is replaced in one step.

        Raises:
            DataError: the contents contradict each other or are not finite.
            ArtifactError: `path` cannot be written, or holds something that is not a bundle.
        """
        write_bundle(Path(path), contents)
        return cls.open(path, verify="sizes")

    @property
    def items(self) -> Vocabulary:
        """The item ids and their counts in training."""
        return self.contents.vocabularies[ITEM_VIEW]

    @property
    def views(self) -> tuple[str, ...]:
        """The views that can be weighted, "item" among them."""
        return self.manifest.views

    @cached_property
    def _scorer(self) -> MultiViewScorer:
        contents = self.contents
        return MultiViewScorer(contents.vectors, contents.item_nodes, self.items.counts, contents.query)

    def recommender(self, settings: QuerySettings | None = None) -> MultiViewScorer:
        """The scorer behind `recommend`, over item indices; the bundle's own query settings unless given.

        Raises:
            ConfigError: the settings weigh a view that the bundle does not have.
        """
        return self._scorer.with_settings(settings or self.contents.query)

    def recommend(
        self,
        history: Sequence[Any],
        k: int = 20,
        *,
        weights: Mapping[str, float] | None = None,
        exclude_seen: bool = True,
        settings: QuerySettings | None = None,
    ) -> Recommendations:
        """The k best items after a history.

        Args:
            history: item ids in time order, the latest last. Ids that the bundle does not know are left out and listed
                in the result; with no known id the answer is the most popular items.
            k: how many; fewer come where there are fewer items.
            weights: view weights of this request, negative to push away; those of the settings where None.
            exclude_seen: leave out the items of the history.
            settings: all query settings of this request; the bundle's own where None.

        Raises:
            ConfigError: k is below 1, or an unknown view is weighted.
            DataError: the history is not a list of ids.
        """
        many = self.recommend_many([history], k, weights=weights, exclude_seen=exclude_seen, settings=settings)
        return many[0]

    def recommend_many(
        self,
        histories: Sequence[Sequence[Any]],
        k: int = 20,
        *,
        weights: Mapping[str, float] | None = None,
        exclude_seen: bool = True,
        settings: QuerySettings | None = None,
    ) -> list[Recommendations]:
        """`recommend` for many histories, scored in batches whose memory is bounded."""
        scorer = self.recommender(_with_weights(settings or self.contents.query, weights))
        batch = max(1, _SCORE_BYTES // (4 * max(len(self.items), 1)))
        answers: list[Recommendations] = []
        for start in range(0, len(histories), batch):
            looked_up = [self._look_up(history) for history in histories[start : start + batch]]
            known = Sequences.from_lists([indices for indices, _ in looked_up])
            scores = scorer.score(known)
            for row, (indices, unknown) in enumerate(looked_up):
                if exclude_seen:
                    scores[row, indices] = -np.inf
                answers.append(self._answer(scores[row], k, unknown))
        return answers

    def similar(
        self,
        item_id: Any,
        k: int = 20,
        *,
        weights: Mapping[str, float] | None = None,
        similarity: Similarity = "source_target",
    ) -> Recommendations:
        """The k items nearest to an item, itself left out; popularity plays no part.

        Args:
            item_id: external id.
            k: how many.
            weights: view weights, such as {"item": 1.0, "category": 0.3, "shop": -0.2}; the item view alone where None.
            similarity: "source_target" answers "what goes with it, or comes after it", "cosine" "what is used like it".

        Raises:
            UnknownIdError: the bundle does not know the id.
            ConfigError: k is below 1, or an unknown view is weighted.
        """
        index = self.items.index_of(item_id)
        plain = QuerySettings(similarity=similarity, popularity_weight=0.0)
        scorer = self.recommender(_with_weights(plain, weights))
        scores = scorer.score(Sequences.from_lists([[index]]))[0]
        scores[index] = -np.inf
        return self._answer(scores, k, [])

    def _look_up(self, history: Sequence[Any]) -> tuple[NDArray[np.int64], list[Any]]:
        """Indices of the known ids in their order, and the unknown ids, each once."""
        if isinstance(history, (str, bytes)):
            raise DataError(f"a history is a list of item ids, got the text {history!r}: write [{history!r}]")
        places = [(self.items.find(item_id), item_id) for item_id in history]
        known = np.array([index for index, _ in places if index != UNKNOWN], np.int64)
        unknown: list[Any] = []
        for index, item_id in places:
            if index == UNKNOWN and item_id not in unknown:
                unknown.append(item_id)
        return known, unknown

    def _answer(self, scores: NDArray[np.float32], k: int, unknown: Sequence[Any]) -> Recommendations:
        best = top_k(scores, k)
        columns = self._columns(best)
        pairs = zip(self.items.ids_of(best), scores[best].tolist(), columns, strict=True)
        return Recommendations(tuple(Recommendation(*pair) for pair in pairs), tuple(unknown))

    def _columns(self, indices: NDArray[np.int64]) -> list[dict[str, Any]]:
        table = self.contents.item_columns
        if table is None:
            return [{} for _ in indices]
        names = [name for name in table.column_names if name != ITEM_ID]
        rows: list[dict[str, Any]] = table.select(names).take(indices).to_pylist()
        return rows if names else [{} for _ in indices]


def _with_weights(settings: QuerySettings, weights: Mapping[str, float] | None) -> QuerySettings:
    if weights is None:
        return settings
    return build(QuerySettings, {**settings.model_dump(), "view_weights": dict(weights)}, "weights")


__all__ = ["Bundle", "BundleContents", "Recommendation", "Recommendations"]
