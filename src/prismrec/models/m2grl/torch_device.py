"""One device of torch: tensors on it, sums into rows, and results that repeat bit for bit where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor


class TorchDevice:
    """Where tensors live.

    Args:
        name: "cpu", "cuda" or "cuda:1"; CUDA is an error where there is none, nothing falls back to the CPU.
        deterministic: bit-equal results on CUDA too, where sums otherwise come in any order.

    Raises:
        ConfigError: no such device here.
        MissingExtraError: torch is not installed.
    """

    def __init__(self, name: str = "cpu", deterministic: bool = False) -> None:
        self.torch = _import_torch()
        if name.partition(":")[0] not in ("cpu", "cuda"):
            raise ConfigError(f"training.device must be cpu or cuda, got {name!r}")
        if name.startswith("cuda") and not self.torch.cuda.is_available():
            raise ConfigError(
                'training.device = "cuda", but torch finds no CUDA device: check the driver and that torch was '
                'installed with CUDA, or set training.device = "cpu"'
            )
        self.device = self.torch.device(name)
        self._deterministic = deterministic

    @property
    def is_cuda(self) -> bool:
        """Whether tensors live on a GPU."""
        return bool(self.device.type == "cuda")

    def tensor(self, array: NDArray | Tensor) -> Tensor:
        """An array as a tensor on the device: a copy, unless it is one there already."""
        if isinstance(array, self.torch.Tensor):
            return array.to(self.device)
        return self.torch.tensor(np.asarray(array), device=self.device)

    def add_rows(self, table: Tensor, rows: Tensor, values: Tensor) -> None:
        """Add (n, dim) values to rows of a table, also where a row occurs more than once."""
        if self.is_cuda:
            table.index_add_(0, rows, values)
        else:  # scatter_add_ sorts the rows and is 20 times as fast there as index_add_
            table.scatter_add_(0, rows[:, None].expand(-1, values.shape[1]), values)

    @contextmanager
    def reproducible(self) -> Iterator[None]:
        """Sums in a fixed order where that is asked for; torch knows this only as a setting of the whole process."""
        before = self.torch.are_deterministic_algorithms_enabled()
        self.torch.use_deterministic_algorithms(before or self._deterministic)
        try:
            yield
        finally:
            self.torch.use_deterministic_algorithms(before)


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            'training.implementation = "torch" needs torch: pip install "prismrec[neural]"'
        ) from error
    return torch


__all__ = ["TorchDevice"]
