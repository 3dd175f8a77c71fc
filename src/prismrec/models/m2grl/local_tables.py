"""Embedding tables that one process holds whole, on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor


class LocalTables:
    """`RowTables` in plain tensors.

    Args:
        state: tables and accumulators by name, on the device; changed in place.
    """

    def __init__(self, state: Mapping[str, Tensor], device: TorchDevice) -> None:
        self._state = dict(state)
        self._device = device

    def look_up(self, ids: Mapping[str, Tensor], *, aligned: bool = False) -> LocalLookup:
        """The rows as they are now."""
        rows = {table: self._state[table].index_select(0, chosen) for table, chosen in ids.items()}
        return LocalLookup(rows, ids, self, aligned)

    def descend(self, table: str, memory: str, ids: Tensor, gradient: Tensor, learning_rate: float) -> None:
        """Row-wise Adagrad with the summed gradient of each row that occurs in `ids`."""
        distinct, places = self._device.torch.unique(ids, return_inverse=True)
        sums = self._device.torch.zeros((len(distinct), gradient.shape[1]), device=self._device.device)
        self._device.add_rows(sums, places, gradient)
        vectors, accumulated = self._state[table], self._state[memory]
        accumulated[distinct] += sums.square().mean(1)
        vectors[distinct] -= learning_rate * sums * accumulated[distinct].rsqrt()[:, None]

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """All arrays: on the CPU as they are, from CUDA as copies."""
        return {name: tensor.cpu().numpy() for name, tensor in self._state.items()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        for name, tensor in self._state.items():
            tensor.copy_(self._device.tensor(state[name]))


@dataclass(frozen=True, eq=False)
class LocalLookup:
    """`Lookup` in `LocalTables`."""

    rows: Mapping[str, Tensor]
    ids: Mapping[str, Tensor]
    tables: LocalTables
    aligned: bool

    def descend(self, gradients: Mapping[str, Tensor], learning_rate: float) -> None:
        """One table after the other."""
        for table, gradient in gradients.items():
            view, _, side = table.rpartition(".")
            memory = f"{view}.aligned_{side}_memory" if self.aligned else f"{table}_memory"
            self.tables.descend(table, memory, self.ids[table], gradient, learning_rate)


__all__ = ["LocalLookup", "LocalTables"]
