"""What models share that read a history from left to right: losses at every place, and the vector at the last one.

Losses for the vector f of a place, the item i that follows, and items j:

    softmax    -log( exp(f . t_i) / sum_j exp(f . t_j) )       over the catalogue, or K of it: `catalogue_softmax.py`
    bce        -log sigmoid(f . t_i) - log sigmoid(-f . t_j)   one uniform j per place that the user never had
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.models.neural.catalogue_softmax import CatalogueSoftmax
from prismrec.models.neural.unseen import UnseenItems
from prismrec.models.sequential.configs import LossName
from prismrec.models.sequential.pieces import PieceBatch, latest_batches

_PLACES_AT_ONCE = 2**15


class NextItemLoss:
    """One of the losses above, on batches by number."""

    def __init__(self, data: PreparedData, loss: LossName, n_negatives: int, seed: int) -> None:
        """Bind the counts of the items, and who had what."""
        self._seed = seed
        self._softmax = CatalogueSoftmax(data.items.counts, n_negatives)
        self._unseen = UnseenItems(data.histories, len(data.items)) if loss == "bce" else None

    def value(
        self, vectors: torch.Tensor, targets: torch.Tensor, batch: PieceBatch, epoch: int, step: int
    ) -> torch.Tensor:
        """Scalar: the mean over places.

        Args:
            vectors: (P, D): f at each place of the batch.
            targets: (N, D): t of all items.
            batch: what follows there.
            epoch, step: whose random numbers to draw.
        """
        device = vectors.device
        positives = torch.from_numpy(batch.targets).to(device)
        rng = np.random.default_rng([self._seed, epoch, step])
        if self._unseen is None:
            return self._softmax.value(vectors, targets, positives, rng)
        others = torch.from_numpy(self._unseen.draw(batch.users, rng)).to(device)
        return _bce(vectors, F.embedding(positives, targets), F.embedding(others, targets))


def last_vectors(
    forward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    histories: Sequences,
    max_length: int,
    dim: int,
    device: torch.device,
) -> NDArray[np.float32]:
    """(n_queries, dim) float32: what a network says at the last item of each history; zero where there is none.

    Args:
        forward: (B, L) int64 items padded on the right, (B,) int64 last places -> (B, dim) vectors there.
        histories: one row per query.
        max_length: of longer histories the latest items.
        dim: numbers per vector.
        device: where the network is.
    """
    vectors = np.zeros((len(histories), dim), np.float32)
    with torch.inference_mode():
        for batch in latest_batches(histories, max_length, _PLACES_AT_ONCE):
            items, last = (torch.from_numpy(part).to(device) for part in (batch.items, batch.lengths - 1))
            vectors[batch.rows] = forward(items, last).float().cpu().numpy()
    return vectors


def at_places(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(P, D): the vectors at some places of (B, L, D), counted row by row."""
    return states.reshape(-1, states.shape[-1]).index_select(0, places)  # whose backward pass is fast


def _bce(vectors: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    return (F.softplus(-(vectors * right).sum(1)) + F.softplus((vectors * wrong).sum(1))).mean()


__all__ = ["NextItemLoss", "at_places", "last_vectors"]
