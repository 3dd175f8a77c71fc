"""The steps of M2GRL in torch: `cpu_engine` over again, on tables that lie anywhere and for any number of processes.

Of `anchors_per_update` anchors each process of a crew takes an equal share, so that a step of several processes is the
step of one process on all their batches together. The alignment matrices are replicated and learn from the sum of the
crew's gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prismrec.cluster.crew import ALONE, Crew
from prismrec.models.contract import OwnRows
from prismrec.models.m2grl import torch_step
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu_engine import ALIGNMENT_RATE
from prismrec.models.m2grl.device_batches import Part, compact_on_device, parts_of, to_device
from prismrec.models.m2grl.local_tables import LocalLookup, LocalTables, local_tables
from prismrec.models.m2grl.row_gradients import RowGradients, Rows, TargetGradients
from prismrec.models.m2grl.row_storage import Storage
from prismrec.models.m2grl.row_tables import Lookup, RowTables
from prismrec.models.m2grl.tables import Side
from prismrec.models.m2grl.torch_device import TorchDevice
from prismrec.models.m2grl.torch_step import ANCHORS_PER_UPDATE

if TYPE_CHECKING:
    from torch import Tensor

Step = Callable[..., RowGradients]
"""`torch_step.skip_gram`, or the same in another language."""


class TorchEngine:
    """Fetches rows, has them learn, and keeps the alignment matrices.

    Args:
        tables: where the rows are.
        matrices: alignment matrices and their accumulators by the names of `tables.initial_state`; copied.
        n_nodes: nodes of each view.
        anchors_per_update: of all processes together.
    """

    def __init__(
        self,
        tables: RowTables,
        matrices: Mapping[str, NDArray[np.float32]],
        n_nodes: Mapping[str, int],
        device: TorchDevice,
        crew: Crew = ALONE,
        anchors_per_update: int = ANCHORS_PER_UPDATE,
    ) -> None:
        self._tables = tables
        self._matrices = {name: device.tensor(array) for name, array in matrices.items()}
        self._n_nodes = dict(n_nodes)
        self._device = device
        self._crew = crew
        self._share = max(1, anchors_per_update // crew.size)
        self._offsets: dict[str, tuple[NDArray[np.float32], Tensor]] = {}
        self._skip_gram = _step_on(device)

    def learn_intra(
        self, view: str, batch: SkipGramBatch, offsets: NDArray[np.float32], learning_rate: float, weight: float
    ) -> Tensor:
        """Skip-gram within a view; returns the summed loss of this process's batch, () float64 on the device.

        Args:
            offsets: as long as the same array comes for a view, it is brought to the device but once.
        """
        source, target = f"{view}.source", f"{view}.target"
        logit_offsets = self._offsets_of(view, offsets)
        losses = [self._device.zeros(dtype=self._device.torch.float64)]
        with self._device.reproducible():
            for part in self._parts(to_device(batch, self._device)):
                found = self._tables.look_up({source: part.anchors, target: part.targets}, learning_rate)
                own = self._skip_gram(
                    rows_of(found, source), rows_of(found, target), logit_offsets, part, weight, self._device
                )
                found.descend({source: own.anchors, target: self._as_taken(own.targets)})
                losses.append(own.loss)
        return self._device.torch.stack(losses).sum()

    def learn_inter(self, view: str, side: Side, batch: SkipGramBatch, learning_rate: float, weight: float) -> Tensor:
        """Items (anchors) beside nodes (contexts) of a view, on one side of the tables; returns the summed loss.

        In the relation space an item meets the rows Y = C M with M = W^T W of the nodes C; see `cpu_engine`.
        """
        items, nodes, alignment = f"item.{side}", f"{view}.{side}", self._matrices[f"{view}.alignment_{side}"]
        used, local = compact_on_device(batch, self._n_nodes[view], self._device)
        losses = [self._device.zeros(dtype=self._device.torch.float64)]
        with self._device.reproducible():
            of_nodes = self._tables.look_up({nodes: used}, learning_rate, aligned=True)
            rows = of_nodes.rows[nodes]
            product = alignment.T @ alignment
            related = rows @ product
            gradient = self._device.torch.zeros_like(related)
            for part in self._parts(local):
                found = self._tables.look_up({items: part.anchors}, learning_rate)
                own = self._skip_gram(
                    rows_of(found, items), Rows(related, part.targets), None, part, weight, self._device
                )
                self._add_rows(gradient, part.targets, own.targets)
                found.descend({items: own.anchors})
                losses.append(own.loss)
            step = self._of_the_crew(rows.T @ gradient)
            of_nodes.descend({nodes: gradient @ product})
            memory = self._matrices[f"{view}.alignment_{side}_memory"]
            _adagrad_matrix(alignment, memory, alignment @ (step + step.T), learning_rate * ALIGNMENT_RATE)
        return self._device.torch.stack(losses).sum()

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """All arrays; of sharded tables this process's rows."""
        return {**self._tables.state(), **{name: tensor.cpu().numpy() for name, tensor in self._matrices.items()}}

    def own_rows(self) -> Mapping[str, OwnRows]:
        """The arrays of which other processes hold the other rows."""
        return self._tables.own_rows()

    @property
    def notes(self) -> tuple[str, ...]:
        """On what is computed, and with which kernels."""
        return (self._device.note,)

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        self._tables.restore(state)
        for name, tensor in self._matrices.items():
            tensor.copy_(self._device.tensor(state[name]))

    def _parts(self, batch: SkipGramBatch) -> Iterator[Part]:
        """Cut a batch into parts that are learned from at once: as many in every process, some may be empty."""
        n_parts = self._crew.most(-(-len(batch.anchors) // self._share))
        return parts_of(batch, self._share, n_parts, self._device)

    def _offsets_of(self, view: str, offsets: NDArray[np.float32]) -> Tensor:
        """The offsets of a view on the device: brought there once, as long as the same array comes."""
        known = self._offsets.get(view)
        if known is None or known[0] is not offsets:
            known = self._offsets[view] = (offsets, self._device.tensor(offsets))
        return known[1]

    def _as_taken(self, gradients: TargetGradients) -> Tensor | TargetGradients:
        """Gradients as the tables take them: local ones in short, others written out."""
        return gradients if isinstance(self._tables, LocalTables) else gradients.dense()

    def _add_rows(self, sums: Tensor, places: Tensor, gradients: TargetGradients) -> None:
        if self._device.has_triton:
            from prismrec.models.m2grl.triton_rows import add_rows

            add_rows(sums, places, gradients)
        else:
            self._device.add_rows(sums, places, gradients.dense())

    def _of_the_crew(self, tensor: Tensor) -> Tensor:
        if self._crew.size == 1:
            return tensor
        return self._device.tensor(self._crew.total(tensor.cpu().numpy()))


def local_engine(
    state: Mapping[str, NDArray[np.float32]],
    device: TorchDevice,
    anchors_per_update: int = ANCHORS_PER_UPDATE,
    storage: Storage = "fp32",
) -> TorchEngine:
    """An engine whose tables one process holds; the arrays are copied.

    Raises:
        ResourceError: the device has too little memory for the tables.
    """
    matrices = {name: array for name, array in state.items() if ".alignment_" in name}
    rows = {name: array for name, array in state.items() if name not in matrices}
    n_nodes = {name.removesuffix(".source"): len(array) for name, array in state.items() if name.endswith(".source")}
    tables = local_tables(rows, device, storage)
    return TorchEngine(tables, matrices, n_nodes, device, anchors_per_update=anchors_per_update)


def rows_of(found: Lookup, table: str) -> Rows:
    """The rows of a table that were looked up: where they lie, if that is here."""
    return found.rows_of(table) if isinstance(found, LocalLookup) else Rows(found.rows[table])


def _step_on(device: TorchDevice) -> Step:
    if not device.has_triton:
        return torch_step.skip_gram
    from prismrec.models.m2grl import triton_step

    return triton_step.skip_gram


def _adagrad_matrix(matrix: Tensor, memory: Tensor, gradient: Tensor, learning_rate: float) -> None:
    memory += gradient.square().mean()
    matrix -= learning_rate * gradient / memory.sqrt()


__all__ = ["TorchEngine", "local_engine"]
