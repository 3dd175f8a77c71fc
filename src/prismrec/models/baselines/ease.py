"""EASE: the linear item-item model with a closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019), equation 8. With X the binary
(n_users, n_items) matrix, G = X^T X and P = (G + lambda I)^-1,

    B_ij = -P_ij / P_jj   (i != j),   B_jj = 0,      s_u = x_u B.

x_u is binary in the paper; here it is the recency-weighted query (on ML-1M next-item HR@10 0.22 instead of 0.11).
`recency_decay` 1 and `history_length` 0 give the paper's, where nothing repeats.

Cost: time O(sum over users of n_u^2 + n_items^3); memory at the peak n_items^2 numbers of the chosen precision and as
many float32, which stay: 20 k items in float64 are 4.8 GB. `max_items` fits the most popular items only; the others
keep score 0 (and their prior).

*Differs from the paper:* recency weights in the query, and a popularity prior as an option.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from numba import njit, prange
from numpy.typing import NDArray
from pydantic import Field

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError
from prismrec.models.history import (
    LongHistorySettings,
    add_priors,
    popularity_prior,
    query_matrix,
    require_fitted,
    user_item_counts,
)
from prismrec.models.item_products import gram_matrix


class EaseConfig(LongHistorySettings):
    """Regularisation, and how large a catalogue may be."""

    regularisation: float = Field(default=500.0, gt=0, description="lambda, in interactions; larger for denser data")
    precision: Literal["float32", "float64"] = Field(default="float64", description="of the matrix inversion")
    max_items: int = Field(default=0, ge=0, description="fit the n most popular items only; 0 = all")
    memory_limit_gb: float = Field(default=4.0, gt=0, description="refuse to fit beyond this peak, in GB (10^9 bytes)")


class Ease:
    """Scores items by a full item-item weight matrix."""

    def __init__(self, config: EaseConfig) -> None:
        self.config = config
        self._weights: NDArray[np.float32] | None = None
        self._chosen = np.zeros(0, np.int64)
        self._prior = np.zeros(0, np.float32)

    def fit(self, data: PreparedData) -> Self:
        """Invert the item-item matrix.

        Raises:
            ConfigError: the catalogue needs more than `memory_limit_gb`.
        """
        counts = data.items.counts
        chosen = self._most_popular(counts)
        self._check_memory(len(chosen))
        interactions = user_item_counts(data)[:, chosen]
        interactions.data[:] = 1.0
        self._weights = _solve(interactions, self.config)
        self._chosen = chosen
        self._prior = popularity_prior(counts)
        return self

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        weights = require_fitted(self._weights, "Ease")
        n_items = len(self._prior)
        queries = query_matrix(histories, n_items, self.config)
        if len(self._chosen) == n_items:
            scores = np.asarray(queries @ weights, np.float32)
        else:
            scores = np.zeros((len(histories), n_items), np.float32)
            scores[:, self._chosen] = queries[:, self._chosen] @ weights
        return add_priors(scores, queries, self._prior, self.config)

    def _most_popular(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n_chosen,) increasing item indices; ties go to the lower index."""
        if not self.config.max_items or self.config.max_items >= len(counts):
            return np.arange(len(counts), dtype=np.int64)
        order = np.argsort(-np.asarray(counts), kind="stable")
        return np.sort(order[: self.config.max_items]).astype(np.int64)

    def _check_memory(self, n_items: int) -> None:
        bytes_per_pair = np.dtype(self.config.precision).itemsize + 4
        needed = bytes_per_pair * n_items**2 / 1e9
        if needed > self.config.memory_limit_gb:
            fits = int(np.sqrt(self.config.memory_limit_gb * 1e9 / bytes_per_pair))
            raise ConfigError(
                f"EASE over {n_items} items needs {needed:.1f} GB, the limit is {self.config.memory_limit_gb:g} GB; "
                f"set max_items to at most {fits}, precision to float32, or raise memory_limit_gb"
            )


def _solve(interactions: sp.csr_array, config: EaseConfig) -> NDArray[np.float32]:
    """(n, n) float32 B of equation 8; the inversion works in place."""
    gram = gram_matrix(interactions, config.precision)
    gram[np.diag_indices_from(gram)] += config.regularisation
    potrf, potri = la.get_lapack_funcs(("potrf", "potri"), (gram,))
    factor, failed = potrf(gram.T, lower=True, overwrite_a=True)  # symmetric: the transpose is LAPACK's memory order
    inverse, failed_too = potri(factor, lower=True, overwrite_c=True)
    if failed or failed_too:
        raise ConfigError(
            f"EASE could not invert its matrix with regularisation {config.regularisation:g} in {config.precision}; "
            "raise the regularisation or use float64"
        )
    weights = np.empty(gram.shape, np.float32)
    _weights_of(inverse.T, weights)
    return weights


@njit(cache=True, parallel=True)
def _weights_of(inverse: NDArray, weights: NDArray[np.float32]) -> None:
    """Equation 8 from the upper triangle of P: LAPACK leaves the other as it was."""
    for i in prange(inverse.shape[0]):
        for j in range(i):
            weights[i, j] = -inverse[j, i] / inverse[j, j]
        weights[i, i] = 0.0
        for j in range(i + 1, inverse.shape[0]):
            weights[i, j] = -inverse[i, j] / inverse[j, j]


__all__ = ["Ease", "EaseConfig"]
