"""Batches on a device, and the parts of them that are learned from at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu_engine import compact
from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    """Some anchors of a batch. A anchors, P pairs, K negatives per anchor, T = P + A * K targets.

    Attributes:
        anchors: (A,) int64.
        offsets: (A + 1,) int64: anchor i has the contexts `targets[offsets[i]:offsets[i + 1]]`.
        targets: (T,) int64: the contexts of all anchors, then K negatives of each.
        n_negatives: K.
    """

    anchors: Tensor
    offsets: Tensor
    targets: Tensor
    n_negatives: int

    @property
    def n_pairs(self) -> int:
        """P."""
        return len(self.targets) - len(self.anchors) * self.n_negatives

    @property
    def contexts(self) -> Tensor:
        """(P,) int64."""
        return self.targets[: self.n_pairs]

    @property
    def negatives(self) -> Tensor:
        """(A, K) int64."""
        return self.targets[self.n_pairs :].view(len(self.anchors), self.n_negatives)


def to_device(batch: SkipGramBatch, device: TorchDevice) -> SkipGramBatch:
    """A batch in tensors; one that was drawn on the device is given back."""
    return SkipGramBatch(*(device.tensor(array) for array in batch))


def parts_of(batch: SkipGramBatch, share: int, n_parts: int, device: TorchDevice) -> Iterator[Part]:
    """Cut a batch in tensors into parts of `share` anchors: as many as are asked for, empty where it is shorter.

    Where the parts begin is read from the device once, for all of them.
    """
    all_anchors: Tensor = batch.anchors
    n_anchors = len(all_anchors)
    anchors = [min(number * share, n_anchors) for number in range(n_parts + 1)]
    pairs = batch.context_offsets[device.tensor(np.array(anchors))].tolist()
    for place in range(n_parts):
        begin, end = anchors[place], anchors[place + 1]
        contexts, negatives = batch.contexts[pairs[place] : pairs[place + 1]], batch.negatives[begin:end]
        yield Part(
            anchors=all_anchors[begin:end].long(),
            offsets=batch.context_offsets[begin : end + 1] - pairs[place],
            targets=device.torch.cat([contexts, negatives.flatten()]).long(),
            n_negatives=negatives.shape[1],
        )


def compact_on_device(batch: SkipGramBatch, n_nodes: int, device: TorchDevice) -> tuple[Tensor, SkipGramBatch]:
    """The nodes that a batch uses, in rising order, and the batch in tensors with its targets as places in them.

    The same as `cpu_engine.compact`, which draws for the CPU.
    """
    if isinstance(batch.contexts, np.ndarray):
        used, local = compact(batch, n_nodes)
        return device.tensor(used), to_device(local, device)
    torch = device.torch
    targets = torch.cat([batch.contexts, batch.negatives.flatten()])
    used, places = torch.unique(targets, return_inverse=True)
    contexts, negatives = places[: len(batch.contexts)], places[len(batch.contexts) :].view(batch.negatives.shape)
    return used.long(), SkipGramBatch(batch.anchors, batch.context_offsets, contexts, negatives)


__all__ = ["Part", "compact_on_device", "parts_of", "to_device"]
