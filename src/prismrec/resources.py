"""What this machine still has: memory (control groups counted), shared memory, open files, disk.

Everything is read from the places where Linux keeps it, below a root that tests choose. What a system does not tell is
None, which means: not known.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_UNLIMITED = 1 << 60
"""Control groups of version 1 write "no limit" as a number beyond all memory."""


@dataclass(frozen=True)
class Memory:
    """Bytes that processes may still take, and who says so."""

    free_bytes: int
    source: str


@dataclass(frozen=True)
class Disk:
    """Bytes that may still be written where a folder lies or would lie.

    Attributes:
        device: the same number for folders that share the space.
        path: the folder, or the nearest one above it that exists.
    """

    device: int
    free_bytes: int
    path: Path


@dataclass(frozen=True)
class Resources:
    """What is there.

    Attributes:
        memory: the tightest of main memory and the control groups of this process; swap is not counted.
        commit_bytes: what may still be promised to processes, where the system refuses to promise more than it has
            (vm.overcommit_memory = 2); None where it does not refuse.
        shared_memory_bytes: free in /dev/shm, through which worker processes hand each other data.
        open_files, most_open_files: how many files a process may open, and what `ulimit -n` may raise that to.
        disks: place -> its disk.
        device_bytes: free on the fullest GPU, where somebody asked.
    """

    memory: Memory | None = None
    commit_bytes: int | None = None
    shared_memory_bytes: int | None = None
    open_files: int | None = None
    most_open_files: int | None = None
    disks: Mapping[str, Disk] = field(default_factory=dict)
    device_bytes: int | None = None


def read_resources(places: Mapping[str, Path], root: Path = Path("/"), *, devices: bool = False) -> Resources:
    """Look at the machine.

    Args:
        places: name -> folder whose disk matters; it need not exist yet.
        root: where /proc, /sys and /dev lie.
        devices: look at the GPUs too, which loads torch.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Resources(
        memory=free_memory(root),
        commit_bytes=_commit_left(root),
        shared_memory_bytes=_free_at(root / "dev" / "shm"),
        open_files=None if soft == resource.RLIM_INFINITY else soft,
        most_open_files=None if hard == resource.RLIM_INFINITY else hard,
        disks={name: disk_of(path) for name, path in places.items()},
        device_bytes=free_device_memory() if devices else None,
    )


def free_memory(root: Path = Path("/")) -> Memory | None:
    """The tightest of what the system has available and what each control group of this process leaves."""
    found = list(_group_memory(root))
    available = _meminfo(root).get("MemAvailable")
    if available is not None:
        found.append(Memory(available, "/proc/meminfo"))
    return min(found, key=lambda memory: memory.free_bytes, default=None)


def free_device_memory() -> int | None:
    """Bytes free on the fullest GPU that torch sees; None without torch or a GPU."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    return min(int(torch.cuda.mem_get_info(number)[0]) for number in range(torch.cuda.device_count()))


def disk_of(path: Path) -> Disk:
    """The disk of a folder that may not exist yet."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return Disk(there.stat().st_dev, shutil.disk_usage(there).free, there)


def _group_memory(root: Path) -> Iterator[Memory]:
    """What every control group with a limit leaves: version 2 by its own names, version 1 by others."""
    for line in _lines(root / "proc" / "self" / "cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        mount = root / "sys" / "fs" / "cgroup" / controllers
        names = ("memory.max", "memory.current") if not controllers else _VERSION_1
        for folder in (mount / group.lstrip("/"), *(mount / group.lstrip("/")).parents):
            if not folder.is_relative_to(mount):
                break
            yield from _left_in(folder, *names)


_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _left_in(folder: Path, limit_name: str, usage_name: str) -> Iterator[Memory]:
    limit, usage = _number(folder / limit_name), _number(folder / usage_name)
    if limit is None or usage is None or limit >= _UNLIMITED:
        return
    statistics = dict(line.split(maxsplit=1) for line in _lines(folder / "memory.stat"))
    reclaimable = statistics.get("total_inactive_file", statistics.get("inactive_file", "0"))  # files it can drop
    yield Memory(max(0, limit - usage + int(reclaimable)), str(folder / limit_name))


def _commit_left(root: Path) -> int | None:
    if _number(root / "proc" / "sys" / "vm" / "overcommit_memory") != 2:
        return None
    known = _meminfo(root)
    return max(0, known["CommitLimit"] - known["Committed_AS"]) if "CommitLimit" in known else None


def _meminfo(root: Path) -> dict[str, int]:
    """/proc/meminfo in bytes."""
    rows = (line.split() for line in _lines(root / "proc" / "meminfo"))
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}


def _free_at(folder: Path) -> int | None:
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None  # "max" is no limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # another system, or not allowed to look: not known


def available_cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = [
    "Disk",
    "Memory",
    "Resources",
    "available_cores",
    "disk_of",
    "free_device_memory",
    "free_memory",
    "read_resources",
]
