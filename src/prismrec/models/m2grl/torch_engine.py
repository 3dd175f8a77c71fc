"""The steps of M2GRL in torch, on CPU or one CUDA device: `cpu_engine` over again, on tensors that stay on the device.

Only the examples of a step travel to the device, and its losses back; `state` copies from CUDA, and is called where
an epoch ends or a checkpoint is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu_engine import ALIGNMENT_RATE, compact
from prismrec.models.m2grl.tables import Side
from prismrec.models.m2grl.torch_step import TorchStep

if TYPE_CHECKING:
    from torch import Tensor


class TorchEngine:
    """Holds the arrays as tensors on one device and updates them in place.

    Args:
        state: the arrays to begin with; copied.
        device: "cpu" or "cuda".
        deterministic: bit-equal vectors for a seed on CUDA too, at some cost; the CPU gives them anyway.

    Raises:
        ConfigError: no such device here.
        MissingExtraError: torch is not installed.
    """

    def __init__(self, state: Mapping[str, NDArray[np.float32]], device: str, deterministic: bool = False) -> None:
        if device not in ("cpu", "cuda"):
            raise ConfigError(f"training.device must be cpu or cuda, got {device!r}")
        self._step = TorchStep("cuda" if device == "cuda" else "cpu", deterministic)
        self._state = {name: self._step.tensor(array) for name, array in state.items()}

    def learn_intra(
        self, view: str, batch: SkipGramBatch, offsets: NDArray[np.float32], learning_rate: float, weight: float
    ) -> float:
        """Skip-gram within a view; returns the summed loss."""
        s = self._state
        return self._step.learn_skip_gram(
            s[f"{view}.source"], s[f"{view}.target"], s[f"{view}.source_memory"], s[f"{view}.target_memory"],
            self._step.tensor(offsets), batch, learning_rate, weight,
        )  # fmt: skip

    def learn_inter(self, view: str, side: Side, batch: SkipGramBatch, learning_rate: float, weight: float) -> float:
        """Items (anchors) beside nodes (contexts) of a view, on one side of the tables; returns the summed loss."""
        s = self._state
        nodes, alignment = s[f"{view}.{side}"], s[f"{view}.alignment_{side}"]
        places, local = compact(batch, len(nodes))
        used = self._step.tensor(places)
        rows = nodes[used]
        product = alignment.T @ alignment
        loss, gradient = self._step.learn_source_only(
            s[f"item.{side}"], rows @ product, s[f"item.{side}_memory"], local, learning_rate, weight
        )
        step = rows.T @ gradient
        _adagrad_rows(nodes, s[f"{view}.aligned_{side}_memory"], used, gradient @ product, learning_rate)
        _adagrad_matrix(
            alignment,
            s[f"{view}.alignment_{side}_memory"],
            alignment @ (step + step.T),
            learning_rate * ALIGNMENT_RATE,
        )
        return loss

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """All arrays: on the CPU as they are, from CUDA as copies."""
        return {name: tensor.cpu().numpy() for name, tensor in self._state.items()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        for name, tensor in self._state.items():
            tensor.copy_(self._step.tensor(state[name]))


def _adagrad_rows(table: Tensor, memory: Tensor, rows: Tensor, gradient: Tensor, learning_rate: float) -> None:
    """Row-wise Adagrad on rows that each occur once."""
    memory[rows] += gradient.square().mean(1)
    table[rows] -= learning_rate * gradient / memory[rows].sqrt()[:, None]


def _adagrad_matrix(matrix: Tensor, memory: Tensor, gradient: Tensor, learning_rate: float) -> None:
    memory += gradient.square().mean()
    matrix -= learning_rate * gradient / memory.sqrt()


__all__ = ["TorchEngine"]
