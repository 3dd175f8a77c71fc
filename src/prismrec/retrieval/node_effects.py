"""What the items of a node have in common, beyond the mean of all: a random effect per node and view.

    value of item j = mean + sum_v mean_{c in v(j)} u_v(c) + noise
    u_v(c) = sum_j t_j r_j / (sum_j t_j + kappa_v)         r_j: what the mean and the other views leave open of item j

t_j is how far item j is trusted, and an item with several nodes in a view gives each an equal share of itself. kappa_v
is the variance within nodes over the variance between them, both estimated from the data before view v is fitted: the
product of two different items of a node has the variance between as its mean (Henderson, "Estimation of variance and
covariance components", Biometrics 1953, method 1). Where items of a node are no more alike than others it is infinite,
and u_v is zero. Views are fitted one after the other, twice.

Cost: O(edges x dim) a view and round; nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError

Matrix = NDArray[np.floating]
"""float32 for vectors, of which there can be many; float64 where it costs nothing."""

_TINY = 1e-12
_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class NodeEffects:
    """What items of a node have in common: an item's value is the mean plus, per view, the mean of its nodes' effects.

    Attributes:
        mean: (dim,) of all warm items.
        effects: view -> (n_nodes, dim).
    """

    mean: Matrix
    effects: Mapping[str, Matrix]

    @classmethod
    def fitted(
        cls,
        values: Matrix,
        trust: NDArray[np.float64],
        nodes: Mapping[str, Sequences],
        n_nodes: Mapping[str, int],
        shrinkage: float = 1.0,
    ) -> Self:
        """Fit on (n, dim) values of items that are trusted by (n,) weights, view after view, two rounds."""
        trust = trust.astype(values.dtype)
        total = trust.sum()
        mean = trust @ values / total if total > 0 else np.zeros(values.shape[1], values.dtype)
        left = values - mean
        shares = {view: node_shares(rows, n_nodes[view]).astype(values.dtype) for view, rows in nodes.items()}
        kappas: dict[str, float] = {}
        effects = {view: np.zeros((n_nodes[view], values.shape[1]), values.dtype) for view in nodes}
        for _ in range(_ROUNDS):
            for view, share in shares.items():
                weighed = sparse.diags_array(trust) @ share
                if view in kappas:
                    left += share @ effects[view]
                else:
                    kappas[view] = shrinkage * _shrinkage(left, trust, weighed)
                support = np.asarray(weighed.sum(axis=0)) + kappas[view]
                effects[view] = (weighed.T @ left) / np.maximum(support, _TINY).astype(left.dtype)[:, None]
                left -= share @ effects[view]
        return cls(mean, effects)

    def of_items(self, nodes: Mapping[str, Sequences], n: int) -> Matrix:
        """(n, dim) values expected of items with these nodes."""
        values = np.tile(self.mean, (n, 1))
        for view, effects in self.effects.items():
            values += node_means(nodes[view], effects)
        return values


def _shrinkage(left: Matrix, trust: NDArray[np.floating], weighed: sparse.csr_array) -> float:
    """Variance within nodes over variance between nodes; infinite where nodes have nothing in common."""
    own = weighed.copy()
    own.data **= 2
    lengths = np.einsum("ij,ij->i", left, left)
    pairs = float((np.asarray(weighed.sum(axis=0), np.float64) ** 2).sum() - own.sum())
    products = float(((weighed.T @ left).astype(np.float64) ** 2).sum() - (own.T @ lengths).sum())
    if pairs <= _TINY or products <= _TINY:
        return np.inf
    between = products / pairs
    placed = (np.diff(weighed.indptr) > 0) & (trust > 0)
    within = float((trust * lengths)[placed].sum() - between * trust[placed].sum()) / placed.sum()
    return float(max(within, 0.0) / between)


def node_shares(nodes: Sequences, n_nodes: int) -> sparse.csr_array:
    """(n, n_nodes): 1 / number of nodes of the item, at its nodes."""
    values = np.repeat(1 / np.maximum(nodes.lengths, 1), nodes.lengths)
    return sparse.csr_array((values, nodes.values, nodes.offsets), shape=(len(nodes), n_nodes))


def node_means(nodes: Sequences, table: NDArray[np.floating]) -> Matrix:
    """(n, dim) mean of the vectors of each item's nodes, in the precision of the table; zero where it has none."""
    lengths = nodes.lengths
    if len(nodes.values) == len(nodes) and (lengths == 1).all():
        return np.asarray(table[nodes.values])
    means = np.zeros((len(nodes), table.shape[1]), table.dtype)
    there = np.flatnonzero(lengths)
    if len(there):
        sums = np.add.reduceat(table[nodes.values], nodes.offsets[there], axis=0)
        means[there] = sums / lengths[there, None].astype(table.dtype)
    return means


def known_nodes(view: str, nodes: Sequences, n_nodes: int) -> Sequences:
    """The rows without the nodes that are unknown (-1).

    Raises:
        DataError: an index is neither -1 nor that of a node.
    """
    values = nodes.values
    if len(values) and not (values.min() >= UNKNOWN and values.max() < n_nodes):
        raise DataError(
            f"node indices of view {view!r} must be -1 (unknown) or 0..{n_nodes - 1}, "
            f"got {values.min()}..{values.max()}"
        )
    known = values != UNKNOWN
    owners = np.repeat(np.arange(len(nodes)), nodes.lengths)[known]
    return Sequences.from_lengths(values[known], np.bincount(owners, minlength=len(nodes)))


__all__ = ["Matrix", "NodeEffects", "known_nodes", "node_means", "node_shares"]
