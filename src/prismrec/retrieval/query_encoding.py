"""Histories and users to query vectors, by the encoder that lies in a bundle: what mixing source vectors is elsewhere.

    q = [w_item encode(history, user), w_pop]

The encoder reads all of the history that comes, and cuts it as its model was trained to; `history_length` and
`recency_decay` shape the repeat bonus alone. It reads items of the bundle: one that was added since tells it nothing,
unless it knows items by their columns (`models.contract.ItemReader`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, ConfigError
from prismrec.models.algorithms import open_encoder
from prismrec.models.contract import (
    CandidateScorer,
    EmbeddingTable,
    ItemReader,
    KnowledgeNames,
    KnowledgePath,
    PathExplainer,
    QueryEncoder,
    StoredEncoder,
)

Rows = NDArray[np.int64]


class QueryEncoding:
    """The encoder of a bundle and the users it knows; threads may share it."""

    def __init__(self, stored: StoredEncoder, users: Vocabulary | None, dim: int) -> None:
        """Bind what lies in the bundle; the encoder is opened when it is first asked.

        Args:
            stored: the encoder.
            users: ids of the users that it knows, None where it knows none.
            dim: of the target vectors that its vectors meet.

        `n_added` says how many items behind those of the bundle it knows, see `with_items`.
        """
        self._stored = stored
        self._users = users
        self.n_added = 0
        self.dim = dim

    @property
    def algorithm(self) -> str:
        """The model that it is of."""
        return self._stored.algorithm

    @property
    def n_users(self) -> int:
        """How many users it knows."""
        return 0 if self._users is None else len(self._users)

    @cached_property
    def encoder(self) -> QueryEncoder:
        """The encoder over item and user indices.

        Raises:
            ArtifactError: a newer PrismRec wrote it.
            MissingExtraError: torch is not installed, and this encoder needs it.
        """
        return open_encoder(self._stored)

    @property
    def reads_items(self) -> bool:
        """Whether it knows items by their columns."""
        return isinstance(self.encoder, ItemReader)

    @property
    def scores_candidates(self) -> bool:
        """Whether its model orders candidates by a score of its own."""
        return isinstance(self.encoder, CandidateScorer)

    @property
    def knowledge(self) -> KnowledgeNames | None:
        """The names of the graph that it can tell paths through; None where it cannot."""
        return self._stored.knowledge if isinstance(self.encoder, PathExplainer) else None

    def with_items(self, items: Sequence[Mapping[str, Any]]) -> QueryEncoding:
        """The same, with items behind those of the bundle where it reads items by their columns.

        Args:
            items: the columns of each.
        """
        if not items or not isinstance(self.encoder, ItemReader):
            return self
        other = copy.copy(self)
        other.n_added = len(items)
        other.__dict__["encoder"] = self.encoder.with_items(items)
        return other

    def vectors_of(self, items: Sequence[Mapping[str, Any]]) -> EmbeddingTable | None:
        """What it makes of the columns of items; None where it does not read them."""
        return self.encoder.vectors_of(items) if isinstance(self.encoder, ItemReader) else None

    def user_row(self, user: Any) -> int:
        """The row of a user, -1 where it is None or not known; text is read as the type that the ids have.

        Raises:
            ConfigError: the encoder knows no users at all.
        """
        if user is None:
            return UNKNOWN
        if self._users is None:
            raise ConfigError(
                f"the bundle's model, {self.algorithm}, knows histories and no users: leave out user {user!r}"
            )
        return self._users.find(self._users.parsed(user) if isinstance(user, str) else user)

    def vectors(self, histories: Sequence[Rows], users: Sequence[int]) -> NDArray[np.float32]:
        """Query vectors, all encoded together.

        Args:
            histories: rows of the bundle in time order, the latest last.
            users: the row of each user, -1 where unknown.

        Returns:
            (n_queries, dim) float32.

        Raises:
            ArtifactError: the encoder does not fit the bundle, or does not give finite numbers.
            MissingExtraError: see `encoder`.
        """
        made = self.encoder.encode(Sequences.from_lists(histories), np.asarray(users, np.int64))
        if made.shape != (len(histories), self.dim):
            raise ArtifactError(
                f"the bundle's encoder of {self.algorithm} made vectors of shape {made.shape} for {len(histories)} "
                f"queries and targets of {self.dim} numbers: train again"
            )
        if not np.isfinite(made).all():
            raise ArtifactError(
                f"the bundle's encoder of {self.algorithm} made a vector that is not finite: train again"
            )
        return made

    def scores(
        self, histories: Sequence[Rows], users: Sequence[int], candidates: Sequence[Rows]
    ) -> list[NDArray[np.float32]]:
        """The model's own scores of some candidates of each query, all asked together.

        Args:
            histories, users: as for `vectors`.
            candidates: rows of items that it knows, for each query as many as there are.

        Returns:
            for each query (n_candidates,) float32.

        Raises:
            ArtifactError: the encoder does not give finite numbers.
        """
        encoder, lengths = self.encoder, [len(rows) for rows in candidates]
        if not isinstance(encoder, CandidateScorer) or not max(lengths, default=0):
            return [np.zeros(n, np.float32) for n in lengths]
        padded = np.zeros((len(lengths), max(lengths)), np.int64)
        for row, own in enumerate(candidates):
            padded[row, : len(own)] = own
        found = encoder.score_candidates(Sequences.from_lists(histories), np.asarray(users, np.int64), padded)
        if found.shape != padded.shape or not np.isfinite(found).all():
            raise ArtifactError(
                f"the bundle's encoder of {self.algorithm} gave scores of shape {found.shape} for {padded.shape} "
                "queries and candidates, or some that are not finite: train again"
            )
        return [scores[:n] for scores, n in zip(found, lengths, strict=True)]

    def paths(self, history: Rows, user: int, candidate: int, n_paths: int) -> tuple[KnowledgePath, ...]:
        """The strongest walks from a history to an item, none where the model knows none; see `PathExplainer`."""
        encoder = self.encoder
        return encoder.paths(history, user, candidate, n_paths) if isinstance(encoder, PathExplainer) else ()


__all__ = ["QueryEncoding"]
