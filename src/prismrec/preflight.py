"""Checks before hours are spent: is there the memory, disk, shared memory, and may so many files be opened?

    needs = training_needs(n_nodes, settings.model, processes=2)       what the job takes, by the sums of `sizing`
    require(needs, {"bundle": path, "run": run_folder})                one error with every shortage, or the warnings

Small jobs are never stopped: what needs less than `SMALL_BYTES` of a resource, or `SMALL_FILES` open files, is not
looked at. What a system does not tell is not checked. Figures needed are lower bounds (tables, buffers and files that
are certain), so that a shortage is a certain one; less than `COMFORT` of what is there left over is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prismrec.errors import ResourceError
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.resources import Resources, read_resources
from prismrec.sizing.job import Storage
from prismrec.sizing.quantities import show_bytes, show_count
from prismrec.sizing.storage import COUNT_BYTES, bundle_bytes, model_bytes, noise_bytes

SMALL_BYTES = 256_000_000
"""Less than this of memory, shared memory or disk is never checked."""

SMALL_FILES = 256
"""As many files may be opened by default nearly everywhere."""

COMFORT = 0.1
"""A job that leaves less than this share of what is there gets a warning."""


FILES_PER_PROCESS = 64
"""What a process opens besides tables and shards: libraries, sockets, the log."""

LINK_BYTES = 128_000_000
"""Of /dev/shm per device, through which NCCL links the devices of one machine (assumed; 1 GB for 8 is advised)."""

LEAST_STAGE_BYTES, LEAST_VALUE_BYTES = 10, 1
"""Of disk per click for the log between stages, and per value of each view: half of what was measured."""

SHORTEST_ID = 4
"""Bytes of an id, at least."""


@dataclass(frozen=True)
class Needs:
    """What a job takes on this machine, all its processes here together; bytes.

    Attributes:
        job: in words, for the message: "training 1,000,000 items in 2 processes".
        memory_bytes: of main memory.
        shared_memory_bytes: in /dev/shm.
        open_files: in one process.
        disk_bytes: place -> what is written there; places on one disk add up.
        device_bytes: on each GPU.
        advice: what makes the job smaller, for the message.
    """

    job: str
    memory_bytes: int = 0
    shared_memory_bytes: int = 0
    open_files: int = 0
    disk_bytes: Mapping[str, int] = field(default_factory=dict)
    device_bytes: int = 0
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
        shortages and warnings, in the order memory, devices, shared memory, files, disks; empty where all is well.
    """
    there = read_resources(places, devices=needs.device_bytes > 0) if resources is None else resources
    looked_at = (_memory, _devices, _shared_memory, _open_files, _disks)
    return [finding for look in looked_at for finding in look(needs, there)]


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


def training_needs(
    n_nodes: Mapping[str, int],
    config: M2GRLConfig,
    *,
    processes: int = 1,
    machines: int = 1,
    storage: Storage = "fp32",
    on_device: bool = False,
    keeps_best: bool = False,
    written: int = 0,
) -> Needs:
    """What training takes on one of some equal machines, the least of it: tables, checkpoints and the bundle.

    Args:
        n_nodes: nodes of each view, the item view first.
        processes: on this machine.
        machines: how many there are.
        storage: how a table keeps a number.
        on_device: tables lie in the memory of GPUs, not here.
        keeps_best: early stopping keeps the tables of the best epoch too.
        written: bytes of the checkpoint that an earlier run left, where this one goes on from it.

    Returns:
        with the places "run" (checkpoints, twice while one replaces the other) and "bundle".
    """
    copies = 2 if keeps_best else 1
    tables = model_bytes(n_nodes, config.embedding_dim, storage, alignment=config.alignment) // machines
    known = processes * sum(noise_bytes(n) for n in n_nodes.values())
    device_noise = sum(noise_bytes(n) - COUNT_BYTES * n for n in n_nodes.values())  # counts stay on the host
    return Needs(
        job=f"training {show_count(sum(n_nodes.values()))} nodes x {config.embedding_dim} in {processes * machines} "
        f"process{'es' if processes * machines > 1 else ''}",
        memory_bytes=known + (0 if on_device else copies * tables),
        device_bytes=tables // processes + device_noise if on_device else 0,
        shared_memory_bytes=processes * LINK_BYTES if on_device and processes > 1 else 0,
        open_files=FILES_PER_PROCESS + 8 * len(n_nodes) * processes,
        disk_bytes={
            "run": max(0, 2 * copies * tables - written),
            "bundle": bundle_bytes(n_nodes, config.embedding_dim, SHORTEST_ID),
        },
        advice="a smaller model.embedding_dim takes less of everything; `prismrec plan` works out what fits where",
    )


def preparation_needs(n_rows: int, n_views: int, *, written: int = 0) -> Needs:
    """What staged preparation writes, the least of it.

    Args:
        n_rows: of the log, where that is known before it is read (`rows_of`).
        n_views: the item view included.
        written: bytes that an earlier run left in the stages.

    Returns:
        with the place "stages".
    """
    least = n_rows * (LEAST_STAGE_BYTES + LEAST_VALUE_BYTES * n_views)
    return Needs(
        job=f"preparing {show_count(n_rows)} clicks in {n_views} view{'s' if n_views > 1 else ''}",
        disk_bytes={"stages": max(0, least - written)},
        advice="name a folder on a larger disk",
    )


def rows_of(files: Iterable[Path]) -> int:
    """Rows of the Parquet files among these, by their footers; of other files nobody knows before they are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    for path in files:
        if path.suffix == ".parquet":
            try:
                rows += pq.read_metadata(path).num_rows
            except (OSError, pa.ArrowException):
                continue  # reading tells what is wrong with it
    return rows


def _memory(needs: Needs, there: Resources) -> Iterator[Finding]:
    if there.memory is not None:
        what = f"memory (as {there.memory.source} says)"
        yield from _compared("memory", what, needs.memory_bytes, there.memory.free_bytes, "free memory")
    if there.commit_bytes is not None:
        what = "memory that the system promises (vm.overcommit_memory = 2)"
        yield from _compared(
            "committed memory", what, needs.memory_bytes, there.commit_bytes, "set vm.overcommit_memory to 0"
        )


def _devices(needs: Needs, there: Resources) -> Iterator[Finding]:
    if there.device_bytes is not None:
        remedy = 'more GPUs, sharding.storage = "bf16", or sharding.placement = "host"'
        yield from _compared("device memory", "memory of each GPU", needs.device_bytes, there.device_bytes, remedy)


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


__all__ = [
    "COMFORT",
    "SMALL_BYTES",
    "SMALL_FILES",
    "Finding",
    "Needs",
    "check",
    "preparation_needs",
    "require",
    "rows_of",
    "training_needs",
]
