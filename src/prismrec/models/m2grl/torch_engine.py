"""The steps of M2GRL in torch: `cpu_engine` over again, on tables that lie anywhere and for any number of processes.

Of `ANCHORS_PER_UPDATE` anchors each process of a crew takes an equal share, so that a step of several processes is the
step of one process on all their batches together. The alignment matrices are replicated and learn from the sum of the
crew's gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prismrec.cluster.crew import ALONE, Crew
from prismrec.models.m2grl import torch_step
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu_engine import ALIGNMENT_RATE, compact
from prismrec.models.m2grl.local_tables import LocalTables
from prismrec.models.m2grl.row_tables import RowTables
from prismrec.models.m2grl.tables import Side
from prismrec.models.m2grl.torch_device import TorchDevice
from prismrec.models.m2grl.torch_step import Part, part_of, skip_gram

if TYPE_CHECKING:
    from torch import Tensor


class TorchEngine:
    """Fetches rows, has them learn, and keeps the alignment matrices.

    Args:
        tables: where the rows are.
        matrices: alignment matrices and their accumulators by the names of `tables.initial_state`; copied.
        n_nodes: nodes of each view.
    """

    def __init__(
        self,
        tables: RowTables,
        matrices: Mapping[str, NDArray[np.float32]],
        n_nodes: Mapping[str, int],
        device: TorchDevice,
        crew: Crew = ALONE,
    ) -> None:
        self._tables = tables
        self._matrices = {name: device.tensor(array) for name, array in matrices.items()}
        self._n_nodes = dict(n_nodes)
        self._device = device
        self._crew = crew

    def learn_intra(
        self, view: str, batch: SkipGramBatch, offsets: NDArray[np.float32], learning_rate: float, weight: float
    ) -> float:
        """Skip-gram within a view; returns the summed loss of this process's batch."""
        source, target = f"{view}.source", f"{view}.target"
        all_offsets = self._device.tensor(offsets)
        loss = 0.0
        with self._device.reproducible():
            for part in self._parts(batch):
                targets = self._device.torch.cat([part.contexts, part.negatives.flatten()])
                found = self._tables.look_up({source: part.anchors, target: targets})
                own = skip_gram(
                    found.rows[source], found.rows[target], all_offsets[targets], part, weight, self._device
                )
                of_targets = self._device.torch.cat([own.contexts, own.negatives])
                found.descend({source: own.anchors, target: of_targets}, learning_rate)
                loss += float(own.loss)
        return loss

    def learn_inter(self, view: str, side: Side, batch: SkipGramBatch, learning_rate: float, weight: float) -> float:
        """Items (anchors) beside nodes (contexts) of a view, on one side of the tables; returns the summed loss.

        In the relation space an item meets the rows Y = C M with M = W^T W of the nodes C; see `cpu_engine`.
        """
        items, nodes, alignment = f"item.{side}", f"{view}.{side}", self._matrices[f"{view}.alignment_{side}"]
        places, local = compact(batch, self._n_nodes[view])
        loss = 0.0
        with self._device.reproducible():
            of_nodes = self._tables.look_up({nodes: self._device.tensor(places)}, aligned=True)
            rows = of_nodes.rows[nodes]
            product = alignment.T @ alignment
            related = rows @ product
            gradient = self._device.torch.zeros_like(related)
            for part in self._parts(local):
                targets = self._device.torch.cat([part.contexts, part.negatives.flatten()])
                no_offsets = self._device.torch.zeros(len(targets), device=self._device.device)
                found = self._tables.look_up({items: part.anchors})
                own = skip_gram(found.rows[items], related[targets], no_offsets, part, weight, self._device)
                self._device.add_rows(gradient, targets, self._device.torch.cat([own.contexts, own.negatives]))
                found.descend({items: own.anchors}, learning_rate)
                loss += float(own.loss)
            step = self._of_the_crew(rows.T @ gradient)
            of_nodes.descend({nodes: gradient @ product}, learning_rate)
            memory = self._matrices[f"{view}.alignment_{side}_memory"]
            _adagrad_matrix(alignment, memory, alignment @ (step + step.T), learning_rate * ALIGNMENT_RATE)
        return loss

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """All arrays; of sharded tables this process's rows."""
        return {**self._tables.state(), **{name: tensor.cpu().numpy() for name, tensor in self._matrices.items()}}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        self._tables.restore(state)
        for name, tensor in self._matrices.items():
            tensor.copy_(self._device.tensor(state[name]))

    def _parts(self, batch: SkipGramBatch) -> Iterator[Part]:
        """Cut a batch into parts that are learned from at once: as many in every process, some may be empty."""
        share = max(1, torch_step.ANCHORS_PER_UPDATE // self._crew.size)
        for number in range(self._crew.most(-(-len(batch.anchors) // share))):
            yield part_of(batch, number * share, (number + 1) * share, self._device)

    def _of_the_crew(self, tensor: Tensor) -> Tensor:
        if self._crew.size == 1:
            return tensor
        return self._device.tensor(self._crew.total(tensor.cpu().numpy()))


def local_engine(state: Mapping[str, NDArray[np.float32]], device: TorchDevice) -> TorchEngine:
    """An engine whose tables one process holds; the arrays are copied."""
    matrices = {name: array for name, array in state.items() if ".alignment_" in name}
    rows = {name: device.tensor(array) for name, array in state.items() if name not in matrices}
    n_nodes = {name.removesuffix(".source"): len(array) for name, array in state.items() if name.endswith(".source")}
    return TorchEngine(LocalTables(rows, device), matrices, n_nodes, device)


def _adagrad_matrix(matrix: Tensor, memory: Tensor, gradient: Tensor, learning_rate: float) -> None:
    memory += gradient.square().mean()
    matrix -= learning_rate * gradient / memory.sqrt()


__all__ = ["TorchEngine", "local_engine"]
