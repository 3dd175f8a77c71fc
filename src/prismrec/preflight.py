"""Checks before hours are spent: is there the memory, disk, shared memory, and may so many files be opened?

    needs = training_needs(...)                              what the job takes, from the arithmetic of `sizing`
    require(needs, {"bundle": Path("out"), "run": ...})      one error with every shortage, or the warnings

Small jobs are never stopped: what needs less than `SMALL_BYTES` of a resource, or `SMALL_FILES` open files, is not
looked at. What a system does not tell is not checked. Figures needed are lower bounds (tables, buffers and files that
are certain), so that a shortage is a certain one; less than `COMFORT` of what is there left over is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prismrec.errors import ResourceError
from prismrec.resources import Resources, read_resources
from prismrec.sizing.quantities import show_bytes

SMALL_BYTES = 256_000_000
"""Less than this of memory, shared memory or disk is never checked."""

SMALL_FILES = 256
"""As many files may be opened by default nearly everywhere."""

COMFORT = 0.1
"""A job that leaves less than this share of what is there gets a warning."""


@dataclass(frozen=True)
class Needs:
    """What a job takes on this machine, all its processes here together; bytes.

    Attributes:
        job: in words, for the message: "training 1,000,000 items in 2 processes".
        memory_bytes: of main memory.
        shared_memory_bytes: in /dev/shm.
        open_files: in one process.
        disk_bytes: place -> what is written there; places on one disk add up.
        advice: what makes the job smaller, for the message.
    """

    job: str
    memory_bytes: int = 0
    shared_memory_bytes: int = 0
    open_files: int = 0
    disk_bytes: Mapping[str, int] = field(default_factory=dict)
    advice: str = ""


@dataclass(frozen=True)
class Finding:
    """One resource that is short, or nearly.

    Attributes:
        level: "shortage" stops the job, "warning" does not.
        resource: which: "memory", "shared memory", "open files", or "disk of" the places.
        needed, there: bytes, or files.
        message: both figures and what to do.
    """

    level: Literal["shortage", "warning"]
    resource: str
    needed: int
    there: int
    message: str


def check(needs: Needs, places: Mapping[str, Path], resources: Resources | None = None) -> list[Finding]:
    """Compare what a job needs with what is there.

    Args:
        needs: of the job.
        places: name -> folder, for every place in `needs.disk_bytes`.
        resources: what is there; looked up unless given.

    Returns:
        shortages and warnings, in the order memory, shared memory, files, disks; empty where all is well.
    """
    there = read_resources(places) if resources is None else resources
    return [*_memory(needs, there), *_shared_memory(needs, there), *_open_files(needs, there), *_disks(needs, there)]


def require(needs: Needs, places: Mapping[str, Path], resources: Resources | None = None) -> list[Finding]:
    """`check`, and stop where something is short.

    Returns:
        the warnings.

    Raises:
        ResourceError: lists every shortage with the figure needed, the figure there, and what to do.
    """
    findings = check(needs, places, resources)
    shortages = [finding.message for finding in findings if finding.level == "shortage"]
    if shortages:
        advice = f"; {needs.advice}" if needs.advice else ""
        raise ResourceError(f"there is too little here for {needs.job}: {'; '.join(shortages)}{advice}")
    return findings


def _memory(needs: Needs, there: Resources) -> Iterator[Finding]:
    if there.memory is not None:
        what = f"memory (as {there.memory.source} says)"
        yield from _compared("memory", what, needs.memory_bytes, there.memory.free_bytes, "free memory")
    if there.commit_bytes is not None:
        what = "memory that the system promises (vm.overcommit_memory = 2)"
        yield from _compared(
            "committed memory", what, needs.memory_bytes, there.commit_bytes, "set vm.overcommit_memory to 0"
        )


def _shared_memory(needs: Needs, there: Resources) -> Iterator[Finding]:
    if there.shared_memory_bytes is not None:
        remedy = "mount /dev/shm larger (docker run --shm-size)"
        yield from _compared("shared memory", "/dev/shm", needs.shared_memory_bytes, there.shared_memory_bytes, remedy)


def _open_files(needs: Needs, there: Resources) -> Iterator[Finding]:
    if there.open_files is None or needs.open_files <= max(SMALL_FILES, there.open_files):
        return
    within = there.most_open_files is None or needs.open_files <= there.most_open_files
    remedy = f"ulimit -n {needs.open_files}" if within else "raise the hard limit (limits.conf), or use fewer shards"
    message = f"open files: {needs.open_files:,} needed per process, {there.open_files:,} allowed ({remedy})"
    yield Finding("shortage", "open files", needs.open_files, there.open_files, message)


def _disks(needs: Needs, there: Resources) -> Iterator[Finding]:
    devices: dict[int, list[str]] = {}
    for place in needs.disk_bytes:
        if place in there.disks:
            devices.setdefault(there.disks[place].device, []).append(place)
    for names in devices.values():
        disk = min((there.disks[name] for name in names), key=lambda disk: disk.free_bytes)
        needed = sum(needs.disk_bytes[name] for name in names)
        what = f"disk at {disk.path} for {' and '.join(names)}"
        yield from _compared(
            f"disk of {' and '.join(names)}", what, needed, disk.free_bytes, "free space, or name another folder"
        )


def _compared(name: str, what: str, needed: int, there: int, remedy: str) -> Iterator[Finding]:
    if needed < SMALL_BYTES:
        return
    figures = f"{what}: {show_bytes(needed)} needed, {show_bytes(there)} there"
    if needed > there:
        yield Finding("shortage", name, needed, there, f"{figures} ({remedy})")
    elif needed > (1 - COMFORT) * there:
        yield Finding("warning", name, needed, there, f"{figures}: it just fits")


__all__ = ["COMFORT", "SMALL_BYTES", "SMALL_FILES", "Finding", "Needs", "check", "require"]
