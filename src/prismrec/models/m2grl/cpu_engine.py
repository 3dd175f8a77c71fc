"""The steps of M2GRL on CPU: intra-view by the fused kernel, inter-view through the alignment matrix.

The inter-view task compares item and node in a relation space, (W i).(W c) = i.(M c) with M = W^T W. M c is computed
once per step for the nodes of the batch, items learn against it in the kernel of the intra-view task, and the gradient
G of the rows Y = C M goes back as

    dC = G M        dM = C^T G        dW = W (dM + dM^T)

so a step costs two products of (nodes in the batch) x dim x dim, however many edges it has.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from prismrec.models.contract import OwnRows
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu import learn_skip_gram, learn_source_only
from prismrec.models.m2grl.tables import Side

ALIGNMENT_RATE = 0.05
"""The alignment matrix learns this much slower than the vectors: every edge of a step pulls at it."""


class CpuEngine:
    """Holds the arrays and updates them in place."""

    def __init__(self, state: Mapping[str, NDArray[np.float32]]) -> None:
        self._state = dict(state)

    def learn_intra(
        self, view: str, batch: SkipGramBatch, offsets: NDArray[np.float32], learning_rate: float, weight: float
    ) -> float:
        """Skip-gram within a view; returns the summed loss."""
        s = self._state
        return learn_skip_gram(
            s[f"{view}.source"], s[f"{view}.target"], s[f"{view}.source_memory"], s[f"{view}.target_memory"],
            offsets, batch, learning_rate, weight,
        )  # fmt: skip

    def learn_inter(self, view: str, side: Side, batch: SkipGramBatch, learning_rate: float, weight: float) -> float:
        """Items (anchors) beside nodes (contexts) of a view, on one side of the tables; returns the summed loss."""
        s = self._state
        nodes, alignment = s[f"{view}.{side}"], s[f"{view}.alignment_{side}"]
        used, local = compact(batch, len(nodes))
        rows = nodes[used]
        product = _times(np.ascontiguousarray(alignment.T), alignment)
        loss, gradient = learn_source_only(
            s[f"item.{side}"], _times(rows, product), s[f"item.{side}_memory"], local, learning_rate, weight
        )
        step = _transposed_times(rows, gradient)
        _adagrad_rows(nodes, s[f"{view}.aligned_{side}_memory"], used, _times(gradient, product), learning_rate)
        _adagrad_matrix(
            alignment,
            s[f"{view}.alignment_{side}_memory"],
            _times(alignment, step + step.T),
            learning_rate * ALIGNMENT_RATE,
        )
        return loss

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """All arrays as they are."""
        return self._state

    def own_rows(self) -> Mapping[str, OwnRows]:
        """None of which another process holds the rest."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing: this is how steps are computed by default."""
        return ()

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        for name, array in self._state.items():
            array[...] = state[name]


def compact(batch: SkipGramBatch, n_nodes: int) -> tuple[NDArray[np.int64], SkipGramBatch]:
    """The nodes that a batch uses, in rising order, and the batch with its contexts and negatives as places in them."""
    used, contexts, negatives = _compact(batch.contexts, batch.negatives, n_nodes)
    return used, SkipGramBatch(batch.anchors, batch.context_offsets, contexts, negatives)


@njit(cache=True, nogil=True, fastmath=True, parallel=True)
def _times(left, right):  # type: ignore[no-untyped-def]
    """left @ right for a small right side. Not BLAS: its threads spin between our own, and cost more than they do."""
    product = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for i in prange(left.shape[0]):
        for k in range(left.shape[1]):
            for d in range(right.shape[1]):
                product[i, d] += left[i, k] * right[k, d]
    return product


@njit(cache=True, nogil=True, fastmath=True)
def _transposed_times(left, right):  # type: ignore[no-untyped-def]
    """left.T @ right, summed in the order of the rows."""
    product = np.zeros((left.shape[1], right.shape[1]), np.float32)
    for i in range(left.shape[0]):
        for k in range(left.shape[1]):
            for d in range(right.shape[1]):
                product[k, d] += left[i, k] * right[i, d]
    return product


@njit(cache=True, nogil=True)
def _compact(contexts, negatives, n_nodes):  # type: ignore[no-untyped-def]
    place = np.full(n_nodes, -1, np.int32)
    for node in contexts:
        place[node] = 0
    flat = negatives.reshape(-1)
    for node in flat:
        place[node] = 0
    used = np.flatnonzero(place == 0)
    for i in range(used.shape[0]):
        place[used[i]] = i
    return used, place[contexts], place[flat].reshape(negatives.shape)


def _adagrad_rows(
    table: NDArray[np.float32],
    memory: NDArray[np.float32],
    rows: NDArray[np.int64],
    gradient: NDArray[np.float32],
    learning_rate: float,
) -> None:
    memory[rows] += np.mean(gradient * gradient, axis=1)
    table[rows] -= np.float32(learning_rate) * gradient / np.sqrt(memory[rows])[:, None]


def _adagrad_matrix(
    matrix: NDArray[np.float32], memory: NDArray[np.float32], gradient: NDArray[np.float32], learning_rate: float
) -> None:
    memory += np.mean(gradient * gradient)
    matrix -= np.float32(learning_rate) * gradient / np.sqrt(memory)


__all__ = ["ALIGNMENT_RATE", "CpuEngine", "compact"]
