"""A trained model as a folder that answers: recommendations for a history, items similar to an item, by external id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from prismrec.config import build
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.models.algorithms import open_encoder
from prismrec.retrieval.answers import Recommendation, Recommendations
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings, Similarity
from prismrec.retrieval.bundle_files import BundleContents, read_bundle, read_index, write_bundle
from prismrec.retrieval.encoded import EncodedScorer
from prismrec.retrieval.manifest import Manifest, Verify
from prismrec.retrieval.request import Diversity, Filters, Request, SimilarRequest
from prismrec.retrieval.retriever import Retriever

_TOGETHER = 256
"""How many histories are searched at a time."""


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
    def write(cls, path: str | Path, contents: BundleContents, take_over: Path | None = None) -> Bundle:
        """Write a bundle, whole or not at all, and open it. A bundle at `path` is replaced in one step.

        Args:
            path: of the bundle.
            contents: what it is to hold; large arrays may be memory-mapped, and are never read into memory as a whole.
            take_over: a folder of which the caller gives up the files: vectors mapped from there are linked, not
                copied, as `bundle_files.write_bundle` says.

        Raises:
            DataError: the contents contradict each other or are not finite.
            ArtifactError: `path` cannot be written, or holds something that is not a bundle.
        """
        write_bundle(Path(path), contents, take_over)
        return cls.open(path, verify="sizes")

    @property
    def items(self) -> Vocabulary:
        """The item ids and their counts in training."""
        return self.contents.vocabularies[ITEM_VIEW]

    @property
    def views(self) -> tuple[str, ...]:
        """The views that can be weighted, "item" among them."""
        return self.manifest.views

    @property
    def knows_users(self) -> bool:
        """Whether the model learned of each user, so that `user` can be asked for."""
        return self.contents.users is not None

    @cached_property
    def retriever(self) -> Retriever:
        """What answers requests: history, weights, filters, diversity, items added at run time.

        Raises:
            ArtifactError: a file of the index is damaged.
        """
        matrices, index = read_index(self.path, self.manifest, self.contents)
        return Retriever(self.contents, matrices, index)

    @cached_property
    def _scorer(self) -> MultiViewScorer | EncodedScorer:
        contents = self.contents
        if contents.encoder is not None:
            targets = contents.vectors[ITEM_VIEW].target
            return EncodedScorer(open_encoder(contents.encoder), targets, self.items.counts, contents.query)
        return MultiViewScorer(contents.vectors, contents.item_nodes, self.items.counts, contents.query)

    def recommender(self, settings: QuerySettings | None = None) -> MultiViewScorer | EncodedScorer:
        """Scores of the whole catalogue over item indices, as evaluation needs them; the bundle's own query settings
        unless given.

        Raises:
            ConfigError: the settings weigh a view that the bundle lacks, or ask of an encoder what it cannot do.
            MissingExtraError: torch is not installed, and the bundle's encoder needs it.
        """
        return self._scorer.with_settings(settings or self.contents.query)

    def recommend(
        self,
        history: Sequence[Any] = (),
        k: int = 20,
        *,
        user: Any = None,
        weights: Mapping[str, float] | None = None,
        exclude_seen: bool = True,
        settings: QuerySettings | None = None,
        filters: Filters | Mapping[str, Any] | None = None,
        diversity: Diversity | float | None = None,
        explain: bool = False,
    ) -> Recommendations:
        """The k best items after a history, for a user, or both.

        Args:
            history: item ids in time order, the latest last. Ids that the bundle does not know are left out and listed
                in the result; where nothing is known, not the user either, the answer is the most popular items.
            k: how many; fewer come only where fewer match.
            user: the user's id, for a model that learned of users (`knows_users`). A bundle does not hold what users
                did in training: only what `history` names is left out as seen.
            weights: view weights of this request, negative to push away; those of the settings where None.
            exclude_seen: leave out the items of the history.
            settings: all query settings of this request; the bundle's own where None.
            filters: which items may be answered, such as {"where": {"category": {"any_of": ["TEA"]}}}.
            diversity: a level from 0 to 1, or a `Diversity` with quotas and method.
            explain: say for every item where its score comes from.

        Raises:
            ConfigError: k is below 1, a view, column or level does not exist or fit, or a user was asked for whom the
                model knows nothing of users.
            DataError: the history is not a list of ids.
            MissingExtraError: torch is not installed, and the bundle's encoder needs it.
        """
        request = Request(
            _as_history(history), k, settings, weights, exclude_seen,
            _as_filters(filters), _as_diversity(diversity), explain=explain, user=user,
        )  # fmt: skip
        return self.retriever.recommend([request])[0]

    def recommend_many(
        self,
        histories: Sequence[Sequence[Any]],
        k: int = 20,
        *,
        weights: Mapping[str, float] | None = None,
        exclude_seen: bool = True,
        settings: QuerySettings | None = None,
        users: Sequence[Any] | None = None,
    ) -> list[Recommendations]:
        """`recommend` for many histories, searched together; `users` says whose they are.

        Raises:
            DataError: there are more or fewer users than histories.
            ConfigError, MissingExtraError: as for `recommend`.
        """
        owners = [None] * len(histories) if users is None else list(users)
        if len(owners) != len(histories):
            raise DataError(f"there are {len(histories)} histories, but {len(owners)} users")
        asked = [
            Request(_as_history(h), k, settings, weights, exclude_seen, user=user)
            for h, user in zip(histories, owners, strict=True)
        ]
        answers: list[Recommendations] = []
        for start in range(0, len(asked), _TOGETHER):
            answers += self.retriever.recommend(asked[start : start + _TOGETHER])
        return answers

    def similar(
        self,
        item_id: Any,
        k: int = 20,
        *,
        weights: Mapping[str, float] | None = None,
        similarity: Similarity | None = None,
        filters: Filters | Mapping[str, Any] | None = None,
        diversity: Diversity | float | None = None,
        explain: bool = False,
    ) -> Recommendations:
        """The k items nearest to an item, itself left out; popularity plays no part.

        Args:
            item_id: external id.
            k: how many.
            weights: view weights, such as {"item": 1.0, "category": 0.3, "shop": -0.2}; the item view alone where None.
            similarity: "source_target" answers "what goes with it, or comes after it", "cosine" "what is used like it".
                Where None, "cosine" for a bundle with an encoder (its item vectors meet encoded queries; their products
                with each other favour long vectors), "source_target" for others.
            filters, diversity, explain: as for `recommend`.

        Raises:
            UnknownIdError: the bundle does not know the id.
            ConfigError: k is below 1, or an unknown view is weighted.
        """
        request = SimilarRequest(
            item_id, k, weights, similarity, _as_filters(filters), _as_diversity(diversity), explain
        )
        return self.retriever.similar([request])[0]


def _as_history(history: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(history, str | bytes):
        raise DataError(f"a history is a list of item ids, got the text {history!r}: write [{history!r}]")
    return tuple(history)


def _as_filters(filters: Filters | Mapping[str, Any] | None) -> Filters:
    return filters if isinstance(filters, Filters) else build(Filters, filters or {}, "filters")


def _as_diversity(diversity: Diversity | float | None) -> Diversity:
    if isinstance(diversity, Diversity):
        return diversity
    return build(Diversity, {} if diversity is None else {"level": diversity}, "diversity")


__all__ = ["Bundle", "BundleContents", "Recommendation", "Recommendations"]
