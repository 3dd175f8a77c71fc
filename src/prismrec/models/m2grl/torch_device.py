"""One device of torch: tensors on it, sums into rows, and results that repeat bit for bit where that is asked for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError, MissingExtraError, ResourceError

if TYPE_CHECKING:
    from torch import Tensor


Kernels = Literal["auto", "triton", "torch"]


class TorchDevice:
    """Where tensors live.

    Args:
        name: "cpu", "cuda" or "cuda:1"; CUDA is an error where there is none, nothing falls back to the CPU.
        deterministic: bit-equal results on CUDA too, where sums otherwise come in any order.
        kernels: "triton" computes the step in kernels of our own, "torch" in torch's; "auto" takes Triton's on CUDA
            where it is installed (`note` says which), torch's on the CPU.

    Raises:
        ConfigError: no such device here; Triton on a CPU without its interpreter.
        MissingExtraError: torch is not installed.
    """

    def __init__(self, name: str = "cpu", deterministic: bool = False, kernels: Kernels = "auto") -> None:
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
        if self.device.index is not None:
            self.torch.cuda.set_device(self.device)  # Triton launches on the device that is the current one
        if self.is_cuda and deterministic:  # without it, cuBLAS refuses; it is read at its first use
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        self.has_triton = _chosen_kernels(kernels, self.is_cuda)

    @property
    def note(self) -> str:
        """On what and with what is computed, for the training log."""
        if self.has_triton:
            return f"computing on {self.name} with Triton kernels"
        why = ": Triton is not installed (pip install triton), torch's own kernels move several times the bytes"
        return f"computing on {self.name} with torch{why if self.is_cuda and not _finds_triton() else ''}"

    @property
    def name(self) -> str:
        """What a reader of a log calls it: "cpu", or the GPU's own name."""
        return str(self.torch.cuda.get_device_name(self.device)) if self.is_cuda else "cpu"

    @property
    def is_cuda(self) -> bool:
        """Whether tensors live on a GPU."""
        return bool(self.device.type == "cuda")

    def tensor(self, array: NDArray | Tensor) -> Tensor:
        """An array as a tensor on the device: a copy, unless it is one there already."""
        if isinstance(array, self.torch.Tensor):
            return array.to(self.device)
        return self.torch.tensor(np.asarray(array), device=self.device)

    def sent(self, array: NDArray) -> Tensor:
        """A copy on the device of an array that is wanted once: the host does not wait for it to arrive."""
        if not self.is_cuda:
            return self.tensor(array)
        return self.torch.tensor(np.asarray(array), pin_memory=True).to(self.device, non_blocking=True)

    def range(self, n: int) -> Tensor:
        """(n,) int64: 0, 1, ... n - 1."""
        return self.torch.arange(n, device=self.device)

    def zeros(self, *shape: int, dtype: Any = None) -> Tensor:
        """Zeros, float32 unless said."""
        return self.torch.zeros(shape, dtype=dtype, device=self.device)

    def empty(self, *shape: int, dtype: Any = None) -> Tensor:
        """Room for numbers, float32 unless said, that are all written before they are read."""
        return self.torch.empty(shape, dtype=dtype, device=self.device)

    def free_bytes(self) -> int | None:
        """Memory that the device still has; None on the CPU, where `preflight` looks."""
        return int(self.torch.cuda.mem_get_info(self.device)[0]) if self.is_cuda else None

    def require_room(self, n_bytes: int, purpose: str, advice: str) -> None:
        """Refuse before anything is allocated.

        Raises:
            ResourceError: the device has less free memory; the message names both figures.
        """
        free = self.free_bytes()
        if free is not None and n_bytes > free:
            raise ResourceError(
                f"{purpose} take {n_bytes / 1e9:.2f} GB, and {self.name} has {free / 1e9:.2f} GB free: {advice}"
            )

    def weighted_sums(self, rows: Tensor, weights: Tensor | None, places: Tensor, starts: Tensor) -> Tensor:
        """Sums of multiples of rows, none of the multiples written down, each in a fixed order.

        Args:
            rows: (n_rows, dim) float32.
            weights: (n,) float32 multiples, or None for 1.
            places: (n,) int64 of the rows that are added up, sum after sum.
            starts: (n_sums,) int64 where in `places` each sum begins; an empty one is 0.

        Returns:
            (n_sums, dim) float32.
        """
        if not len(starts) or not rows.shape[1]:
            return self.zeros(len(starts), rows.shape[1])
        return self.torch.nn.functional.embedding_bag(places, rows, starts, mode="sum", per_sample_weights=weights)

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


def _chosen_kernels(kernels: Kernels, is_cuda: bool) -> bool:
    if kernels == "torch" or (kernels == "auto" and not (is_cuda and _finds_triton())):
        return False
    if not _finds_triton():
        raise MissingExtraError('kernels = "triton" needs Triton, which has wheels for Linux: pip install triton')
    if not is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError("Triton's kernels run on CUDA, and elsewhere only in its interpreter (TRITON_INTERPRET=1)")
    return True


def _finds_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            'training.implementation = "torch" needs torch: pip install "prismrec[neural]"'
        ) from error
    return torch


__all__ = ["Kernels", "TorchDevice"]
