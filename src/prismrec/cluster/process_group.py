"""A crew of several processes over torch.distributed: gloo between CPUs, NCCL between GPUs.

Processes are started by `torchrun` (or `launch`), which tells each of them in its environment who it is and where the
others are. Beside the group, all of them share a small store, in which a process that ends says why: whoever waits for
it in vain can then name it and its reason. One that was killed says nothing, and is known by that.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prismrec.cluster.crew import Attempt
from prismrec.cluster.meeting import meet
from prismrec.errors import ConfigError, CrewError, MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor

GRACE_SECONDS = 5.0
"""How long a process that lost another waits to hear from those that are still there."""

_LOST_TOUCH = re.compile(r"gloo|nccl|connection|timed? ?out|broken pipe|store|socket", re.IGNORECASE)
"""What errors of torch.distributed speak of when another process does not answer: they have no type of their own."""


class CrewStopped(CrewError):
    """Another process ended for a reason that it told, and that would come again."""


class ProcessCrew:
    """`Crew` of the processes of a group. Made by `process_group`.

    Args:
        rank, size: who this is, of how many.
        store: of torch, shared by all.
        device: where the backend wants tensors.
    """

    def __init__(self, rank: int, size: int, store: Any, device: str) -> None:
        self.rank = rank
        self.size = size
        self._store = store
        self._device = device

    def total(self, values: NDArray) -> NDArray:
        """The sum over all processes, added up in float64 in the order of the ranks: the same bits everywhere."""
        import torch

        own = torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
        parts = self._gathered(own)
        total = parts[0].double()
        for part in parts[1:]:
            total += part
        found: NDArray = total.to(own.dtype).cpu().numpy()
        return found.reshape(values.shape)

    def most(self, value: int) -> int:
        """The largest of all processes' values."""
        import torch

        return max(int(part) for part in self._gathered(torch.tensor([value], device=self._device)))

    def first(self, value: str) -> str:
        """What process 0 says."""
        return self.gather(value if self.rank == 0 else "")[0]

    def gather(self, value: str) -> list[str]:
        """What each process says, by rank."""
        import torch

        text = torch.tensor(list(value.encode()), dtype=torch.uint8, device=self._device)
        lengths = [int(n) for n in self._gathered(torch.tensor([len(text)], device=self._device))]
        padded = torch.zeros(max(1, *lengths), dtype=torch.uint8, device=self._device)
        padded[: len(text)] = text
        parts = self._gathered(padded)
        return [bytes(part[:n].tolist()).decode() for part, n in zip(parts, lengths, strict=True)]

    def wait(self) -> None:
        """Go on when all are here."""
        self.most(0)

    def leave(self, reason: str) -> None:
        """Say why this process ends, for those who will wait for it in vain."""
        try:
            self._store.set(_reason_key(self.rank), reason)
        except RuntimeError:
            return  # the store is gone too: the others find that out by themselves

    def lost(self) -> tuple[str, bool]:
        """Who is gone, and why, in words; and whether that was told by those who went.

        Every process that was left waiting asks this, and is heard by that.
        """
        self.leave("")
        unheard = set(range(self.size))
        reasons: dict[int, str] = {}
        end = time.monotonic() + GRACE_SECONDS
        try:
            while unheard and time.monotonic() < end:
                heard = {rank for rank in unheard if self._store.check([_reason_key(rank)])}
                reasons |= {rank: self._store.get(_reason_key(rank)).decode() for rank in heard}
                unheard -= heard
                time.sleep(0.05)
        except RuntimeError:
            return "the place where all meet is gone: rank 0, or its torchrun", False
        said = [f"rank {rank} stopped: {reason}" for rank, reason in sorted(reasons.items()) if reason]
        gone = [f"rank {rank} is gone: it was killed, or its machine is out of reach" for rank in sorted(unheard)]
        what = "; ".join([*said, *gone]) or "all are still there, but do not reach each other"
        return what, bool(said) and not gone

    def _gathered(self, tensor: Tensor) -> list[Tensor]:
        import torch
        import torch.distributed as dist

        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor)
        return parts


@contextmanager
def process_group(device: str = "cpu", timeout_seconds: float = 600.0) -> Iterator[ProcessCrew]:
    """Meet the other processes that torchrun started, and part from them at the end.

    Args:
        device: "cpu" or "cuda"; of a machine with several GPUs each process takes that of its local rank.
        timeout_seconds: how long to wait for another process in any meeting.

    Raises:
        ConfigError: the environment is not torchrun's, or this machine has fewer GPUs than processes.
        CrewError: another process is gone, or they do not meet; names the rank, and its reason where it told one.
        MissingExtraError: torch is not installed.
    """
    dist, torch = _imports()
    _check_environment(os.environ)
    timeout = timedelta(seconds=timeout_seconds)
    if device == "cuda":
        _check_devices(torch.cuda.device_count(), processes_here())
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        from torch.distributed.rendezvous import rendezvous

        store, rank, size = next(iter(rendezvous("env://", timeout=timeout)))
        start = meet(store, rank, size, timeout_seconds)
        group_store = dist.PrefixStore(f"{start}/group", store)
        backend = "nccl" if device == "cuda" else "gloo"
        dist.init_process_group(backend, store=group_store, rank=rank, world_size=size, timeout=timeout)
    except RuntimeError as error:
        raise CrewError(f"the processes do not meet within {timeout_seconds:.0f} s: {_one_line(error)}") from error
    crew = ProcessCrew(rank, size, dist.PrefixStore(f"{start}/crew", store), device)
    try:
        yield crew
    except BaseException as error:
        if isinstance(error, RuntimeError) and _LOST_TOUCH.search(str(error)):
            what, told = crew.lost()
            kind = CrewStopped if told else CrewError
            raise kind(f"rank {rank} of {size} cannot go on: {what} ({_one_line(error)})") from error
        crew.leave(f"{type(error).__name__}: {_one_line(error)}")
        raise
    finally:
        dist.destroy_process_group()


def started_by_torchrun(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is one of several that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in environment and "RANK" in environment


def attempt(environment: Mapping[str, str] = os.environ) -> Attempt:
    """Which start of its group this process belongs to, as the agent of its machine says; others count otherwise."""
    return Attempt(environment.get("TORCHELASTIC_RUN_ID", ""), int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")))


def own_threads(wanted: int, environment: Mapping[str, str] = os.environ) -> int:
    """CPU threads of one process: its part of those wanted, or of the cores, on its machine; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, (wanted or cores) // processes_here(environment))


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes of the crew run on this machine."""
    return int(environment.get("LOCAL_WORLD_SIZE", "1"))


def _check_environment(environment: Mapping[str, str]) -> None:
    missing = [n for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if n not in environment]
    if missing:
        raise ConfigError(
            f"this process does not know the others it should train with: {', '.join(missing)} not set; start it by "
            "`prismrec train --processes N` or by `torchrun -m prismrec train ...`"
        )


def _check_devices(n_devices: int, n_processes: int) -> None:
    """Refused in every process of the machine: none is left waiting for others."""
    if n_devices < n_processes:
        raise ConfigError(
            f'training.device = "cuda" needs a GPU for each of the {n_processes} processes on this machine, and torch '
            f"finds {n_devices}: start fewer processes, check the driver and that torch was installed with CUDA, or "
            'set training.device = "cpu"'
        )


def _imports() -> tuple[Any, Any]:
    try:
        import torch
        import torch.distributed as dist
    except ImportError as error:
        raise MissingExtraError('training in several processes needs: pip install "prismrec[cluster]"') from error
    return dist, torch


def _reason_key(rank: int) -> str:
    return f"reason/{rank}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


__all__ = [
    "CrewStopped",
    "ProcessCrew",
    "attempt",
    "own_threads",
    "process_group",
    "processes_here",
    "started_by_torchrun",
]
