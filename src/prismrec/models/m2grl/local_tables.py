"""Embedding tables that one process holds whole, on one device.

Memory per node and view: 2 rows of dim numbers and their accumulators, 2 * (bytes * dim + 4), and 8 bytes more where
the view is aligned; with the tables a step needs room for the rows that it meets. There is no larger table than the
device's memory here: `require_room` says what is needed before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prismrec.models.contract import OwnRows
from prismrec.models.m2grl.row_gradients import Rows, TargetGradients
from prismrec.models.m2grl.row_storage import BYTES_OF, Storage, rounded, storage_of, stored
from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor


class LocalTables:
    """`RowTables` in plain tensors.

    Args:
        state: tables and accumulators by name, on the device; changed in place. Tables may have 16 bits.
    """

    def __init__(self, state: Mapping[str, Tensor], device: TorchDevice) -> None:
        self._state = dict(state)
        self._device = device

    def look_up(self, ids: Mapping[str, Tensor], learning_rate: float, *, aligned: bool = False) -> LocalLookup:
        """The rows as they are now."""
        return LocalLookup(ids, self, learning_rate, aligned)

    def rows_at(self, table: str, ids: Tensor) -> Rows:
        """Rows where they lie."""
        return Rows(self._state[table], ids)

    def descend(
        self, table: str, memory: str, ids: Tensor, gradient: Tensor | TargetGradients, learning_rate: float
    ) -> None:
        """Row-wise Adagrad with the summed gradient of each row that occurs in `ids`."""
        vectors, accumulated = self._state[table], self._state[memory]
        if self._device.has_triton:
            from prismrec.models.m2grl.triton_rows import learn_rows

            learn_rows(vectors, accumulated, ids, gradient, learning_rate)
            return
        distinct, sums = self._summed(ids, gradient)
        remembered = accumulated.index_select(0, distinct) + _mean_square(sums)
        accumulated[distinct] = remembered
        moved = vectors.index_select(0, distinct).float()
        moved -= sums.mul_(learning_rate * remembered.rsqrt()[:, None])
        vectors[distinct] = rounded(moved, distinct, remembered, storage_of(vectors), self._device)

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """All arrays in 32 bits: on the CPU as they are where they have these, else copies."""
        return {name: tensor.cpu().float().numpy() for name, tensor in self._state.items()}

    def own_rows(self) -> Mapping[str, OwnRows]:
        """None: all of them are here."""
        return {}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        for name, tensor in self._state.items():
            tensor.copy_(self._device.tensor(state[name]))

    def _summed(self, ids: Tensor, gradient: Tensor | TargetGradients) -> tuple[Tensor, Tensor]:
        """The distinct ids, and the sum of the gradients of each."""
        in_order, order = self._device.torch.sort(ids)
        distinct, counts = self._device.torch.unique_consecutive(in_order, return_counts=True)
        starts = counts.cumsum(0) - counts
        if isinstance(gradient, self._device.torch.Tensor):
            return distinct, self._device.weighted_sums(gradient, None, order, starts)
        scales, owners = gradient.scales.index_select(0, order), gradient.owners().index_select(0, order)
        return distinct, self._device.weighted_sums(gradient.sources, scales, owners, starts)


@dataclass(frozen=True, eq=False)
class LocalLookup:
    """`Lookup` in `LocalTables`. Rows are read where they are first asked for: before any step is taken."""

    ids: Mapping[str, Tensor]
    tables: LocalTables
    learning_rate: float
    aligned: bool

    @cached_property
    def rows(self) -> Mapping[str, Tensor]:
        """Table -> (n, dim) float32, in the order asked."""
        return {table: self.rows_of(table).gathered() for table in self.ids}

    def rows_of(self, table: str) -> Rows:
        """The same rows where they lie."""
        return self.tables.rows_at(table, self.ids[table])

    def descend(self, gradients: Mapping[str, Tensor | TargetGradients]) -> None:
        """One table after the other."""
        for table, gradient in gradients.items():
            view, _, side = table.rpartition(".")
            memory = f"{view}.aligned_{side}_memory" if self.aligned else f"{table}_memory"
            self.tables.descend(table, memory, self.ids[table], gradient, self.learning_rate)


def local_tables(
    state: Mapping[str, NDArray[np.float32]], device: TorchDevice, storage: Storage = "fp32"
) -> LocalTables:
    """Tables on a device that begin as these arrays: vectors in the type of `storage`, accumulators in float32.

    Raises:
        ResourceError: the device has too little memory.
    """
    n_bytes = sum(array.size * (4 if array.ndim == 1 else BYTES_OF[storage]) for array in state.values())
    device.require_room(n_bytes, f"the embedding tables in {storage}", _ADVICE)
    tensors = {name: _brought(array, device, storage) for name, array in state.items()}
    return LocalTables(tensors, device)


_ADVICE = (
    "lower model.embedding_dim, store 16 bits (sharding.storage), spread the tables over more devices "
    "(train --processes), or keep them in host memory (sharding.placement, under torchrun)"
)


def _mean_square(rows: Tensor) -> Tensor:
    return rows.norm(dim=1).square() / rows.shape[1]  # no square of every number written down


def _brought(array: NDArray[np.float32], device: TorchDevice, storage: Storage) -> Tensor:
    if array.ndim == 1 or storage == "fp32":
        return device.tensor(array)
    return device.tensor(stored(device.torch.from_numpy(array), storage, device))


__all__ = ["LocalLookup", "LocalTables", "local_tables"]
