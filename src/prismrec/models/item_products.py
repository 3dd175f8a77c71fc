"""Products of item columns, X^T X, by rows and in parallel: what item-kNN and EASE start from.

Row i is the sum over the users of item i of that user's row of X, times the user's weight for i. Time O(sum over users
of n_u^2), whatever the size of the catalogue; the sum of a row has a fixed order, so any number of threads gives the
same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numba import njit, prange
from numpy.typing import NDArray


class BothWays(NamedTuple):
    """A sparse (n_users, n_items) matrix by users and by items; goes into a kernel as it is.

    Attributes:
        user_indptr: (n_users + 1,) int64.
        user_items: (n,) int32.
        user_weights: (n,) float32.
        item_indptr: (n_items + 1,) int64.
        item_users: (n,) int32.
        item_weights: (n,) float32.
    """

    user_indptr: NDArray[np.int64]
    user_items: NDArray[np.int32]
    user_weights: NDArray[np.float32]
    item_indptr: NDArray[np.int64]
    item_users: NDArray[np.int32]
    item_weights: NDArray[np.float32]


def both_ways(user_item: sp.csr_array) -> BothWays:
    """The two orders of one matrix."""
    item_user = sp.csr_array(user_item.T)
    return BothWays(*_arrays(user_item), *_arrays(item_user))


def gram_matrix(user_item: sp.csr_array, dtype: str) -> NDArray:
    """(n_items, n_items) dense X^T X of positive weights, without a sparse copy of it."""
    gram = np.zeros((user_item.shape[1], user_item.shape[1]), dtype)
    _fill_gram(both_ways(user_item), gram)
    return gram


def _arrays(matrix: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.float32)


@njit(cache=True)
def add_products(item, matrix, row, touched):  # type: ignore[no-untyped-def]
    """Add row `item` of X^T X to a row of zeros, list the items it touches, and return how many there are.

    All weights must be positive: a zero would be listed again and again.
    """
    n_touched = 0
    for place in range(matrix.item_indptr[item], matrix.item_indptr[item + 1]):
        user, weight = matrix.item_users[place], matrix.item_weights[place]
        for other in range(matrix.user_indptr[user], matrix.user_indptr[user + 1]):
            target = matrix.user_items[other]
            if row[target] == 0.0:
                touched[n_touched] = target
                n_touched += 1
            row[target] += weight * matrix.user_weights[other]
    return n_touched


@njit(cache=True, parallel=True)
def _fill_gram(matrix, gram):  # type: ignore[no-untyped-def]
    for item in prange(gram.shape[0]):
        add_products(item, matrix, gram[item], np.empty(gram.shape[0], np.int32))


__all__ = ["BothWays", "add_products", "both_ways", "gram_matrix"]
