"""Histories and users to query vectors, by the encoder that lies in a bundle: what mixing source vectors is elsewhere.

    q = [w_item encode(history, user), w_pop]

The encoder reads all of the history that comes, and cuts it as its model was trained to; `history_length` and
`recency_decay` shape the repeat bonus alone. It reads items of the bundle: one that was added since tells it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, ConfigError
from prismrec.models.algorithms import open_encoder
from prismrec.models.contract import QueryEncoder, StoredEncoder

Rows = NDArray[np.int64]


class QueryEncoding:
    """The encoder of a bundle and the users it knows; threads may share it."""

    def __init__(self, stored: StoredEncoder, users: Vocabulary | None, dim: int) -> None:
        """Bind what lies in the bundle; the encoder is opened when it is first asked.

        Args:
            stored: the encoder.
            users: ids of the users that it knows, None where it knows none.
            dim: of the target vectors that its vectors meet.
        """
        self._stored = stored
        self._users = users
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


__all__ = ["QueryEncoding"]
