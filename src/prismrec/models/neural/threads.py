"""Threads of torch beside those of compiled kernels: both libraries set them in one OpenMP runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads_kept() -> Iterator[None]:
    """Torch with as many threads after as before.

    Numba's OpenMP layer, when its first parallel kernel starts it, sets the threads of torch too: `training.threads`
    would hold until the first validation only, and `training.deterministic` no longer.
    """
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


__all__ = ["threads_kept"]
