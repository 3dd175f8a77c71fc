"""The graph of users and items, normalised symmetrically, and its product with vectors of all nodes.

    A     = [[0, R], [R^T, 0]]                 R is (n_users, n_items), 1 where the user had the item, however often
    A_hat = D^(-1/2) A D^(-1/2)                D holds the degrees; a node without edges has a row of zeros

Nodes are the users, then the items. A_hat is symmetric: the backward pass multiplies by the same matrix.

Memory: 16 bytes per interaction, never users x items. Time of a product: O(n_edges dim). The sparse CSR product of
torch writes down no message per edge, as the LGConv of torch_geometric does, which the tests hold this module to.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.errors import DataError

_BETA = "Sparse CSR tensor support is in beta state"


class UserItemGraph:
    """The edges between users and items, as a normalised matrix that multiplies vectors of all nodes.

    Attributes:
        n_users: how many nodes are users.
        n_items: how many are items.
        degrees: (n_users + n_items,) int64: neighbours of each node, users first.
        indptr: (n_nodes + 1,) int64: where the neighbours of each node begin in `neighbours`.
        neighbours: (2 n_edges,) int32: nodes, rising within each row.
    """

    def __init__(self, data: PreparedData, device: str) -> None:
        """Build the matrix from the histories; each pair of user and item counts once.

        Raises:
            DataError: there is no interaction.
        """
        users, items = _distinct_pairs(data)
        self.n_users, self.n_items = len(data.users), len(data.items)
        of_users = np.bincount(users, minlength=self.n_users)
        of_items = np.bincount(items, minlength=self.n_items)
        self.degrees: NDArray[np.int64] = np.concatenate([of_users, of_items])
        self.indptr: NDArray[np.int64] = np.concatenate([[0], np.cumsum(self.degrees)])
        by_item = np.argsort(items, kind="stable")
        self.neighbours = np.concatenate([self.n_users + items, users[by_item]]).astype(np.int32)
        self._matrix = self._normalised().to(device)

    @property
    def n_nodes(self) -> int:
        """Users and items together."""
        return self.n_users + self.n_items

    def product(self, vectors: torch.Tensor) -> torch.Tensor:
        """A_hat @ vectors, (n_nodes, D) float32, with a gradient; in float32 under autocast too."""
        product: torch.Tensor = _SymmetricProduct.apply(self._matrix, vectors)
        return product

    def split(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The vectors of users, (n_users, D), and those of items, (n_items, D)."""
        return vectors[: self.n_users], vectors[self.n_users :]

    def _normalised(self) -> torch.Tensor:
        scale = 1 / np.sqrt(np.maximum(self.degrees, 1), dtype=np.float32)
        weights = np.repeat(scale, self.degrees) * scale[self.neighbours]
        index = np.int32 if len(weights) < 2**31 else np.int64  # 32 bits are a fifth faster
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _BETA)
            return torch.sparse_csr_tensor(
                torch.from_numpy(self.indptr.astype(index)),
                torch.from_numpy(self.neighbours.astype(index, copy=False)),
                torch.from_numpy(weights),
                (self.n_nodes, self.n_nodes),
                check_invariants=False,
            )


class _SymmetricProduct(torch.autograd.Function):
    """matrix @ vectors where the matrix is its own transpose; autograd would convert it in every backward pass."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        ctx.matrix = matrix
        return _product(matrix, vectors)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, _product(ctx.matrix, gradient)


def _product(matrix: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    with torch.autocast(vectors.device.type, enabled=False):
        product: torch.Tensor = matrix @ vectors.float().contiguous()
        return product


def _distinct_pairs(data: PreparedData) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The users and the items of all interactions, each pair once, users rising, then items."""
    histories = data.histories
    owners = np.repeat(np.arange(len(histories), dtype=np.int64), histories.lengths)
    if not len(owners):
        raise DataError("the log has no interactions: there is no graph of users and items to learn from")
    users, items = np.divmod(np.unique(owners * len(data.items) + histories.values), len(data.items))
    return users, items


__all__ = ["UserItemGraph"]
