"""What each stage of a job costs on given machines: memory, disk, time, and where each figure comes from.

counted    bytes of arrays and files, from their types
derived    a measured rate times a size, by the stated formula
floor      not measured: what the data sheet allows if nothing but memory and links takes time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from prismrec.sizing import rates
from prismrec.sizing.job import Job
from prismrec.sizing.layout import Layout
from prismrec.sizing.shares import (
    is_staged,
    preparation_disk_bytes,
    prepared_bytes,
    training_machine_bytes,
    training_process_bytes,
)
from prismrec.sizing.storage import bundle_bytes, codes_bytes, matrices_bytes, model_bytes, vocabulary_bytes
from prismrec.sizing.traffic import row_bytes, rows_per_epoch, travelling_bytes, travelling_share

Origin = Literal["counted", "derived", "floor"]

REFERENCE_DIM = 64
"""The dimension at which rows per second were measured."""

ENGINE_MEMORY_SHARE = 0.8
"""Of a machine's memory, what the engine of preparation may hold before it spills to disk."""


@dataclass(frozen=True)
class Figure:
    """A number with where it comes from."""

    value: float
    origin: Origin
    how: str


@dataclass(frozen=True)
class Stage:
    """One stage; None where a figure has no meaning.

    Attributes:
        name: "preparation", "training", "checkpoint", "bundle" or "serving".
        per_process: bytes that one process holds; on the device where there are GPUs.
        per_machine: bytes of main memory on one machine.
        disk: bytes on the disks of all machines together.
        seconds: time.
    """

    name: str
    per_process: Figure | None
    per_machine: Figure | None
    disk: Figure | None
    seconds: Figure | None


def preparation(job: Job, layout: Layout) -> Stage:
    """From the log to sequences on disk: spills to disk beyond the memory that it is given.

    An item table has a row per item, which takes as long as a click; its ids are sorted in memory.
    """
    sorting = vocabulary_bytes(job.items, job.id_bytes)
    wanted = rates.PREPARATION_BASE.value + (rates.PREPARATION_MEMORY.value * job.clicks + sorting) / layout.machines
    staged, rows = is_staged(job, layout), job.clicks + job.items
    rate = rates.STAGED_PREPARATION if staged else rates.PREPARATION
    engine = "; measured with DuckDB, not with Spark" if layout.machines > 1 else ""
    return Stage(
        "preparation",
        None,
        Figure(
            min(wanted, ENGINE_MEMORY_SHARE * layout.memory_bytes), "derived",
            "0.36 GB + 56 bytes a click + ids, at most 80 % of the machine: beyond that the engine spills",
        ),
        Figure(
            preparation_disk_bytes(job) if staged else prepared_bytes(job), "derived" if staged else "counted",
            "sequences and ids, stages 20 bytes a click, spilled or shuffled rows 36" if staged else "sequences, ids",
        ),
        Figure(
            rates.PREPARATION_START.value + rows / (rate.value * effective_cores(layout)), "derived",
            f"2 s + rows / ({rate.value / 1e6:.2g} M per core and second x cores, 0.7 of them beyond two){engine}",
        ),
    )  # fmt: skip


def training(job: Job, layout: Layout) -> Stage:
    """All epochs: per process its share of the tables, what all of them know, and its examples."""
    if layout.gpus:
        how = "share of tables, accumulators and edges, noise of every node, exchange buffers"
        machine, seconds = "sequences, noise, counts and programs of its processes", gpu_floor(job, layout)
    else:
        how = "share of tables, accumulators and examples, noise of every node, the program itself (measured)"
        machine, seconds = "all its processes", processor_seconds(job, layout)
    return Stage(
        "training",
        Figure(training_process_bytes(job, layout), "counted", how),
        Figure(training_machine_bytes(job, layout), "counted", machine),
        None,
        seconds,
    )


def processor_seconds(job: Job, layout: Layout) -> Figure:
    """Rows of all epochs / (rows per core and second x 64 / dim x cores), or per process where several train."""
    rows = job.epochs * rows_per_epoch(job)
    if layout.workers > 1:
        rate, units = rates.SHARDED_ROWS, 1 + (layout.workers - 1) * rates.EFFICIENCY.value
        how = f"rows / ({rate.value / 1e6:.2g} M per process and second, by torch x processes, 0.7 of them beyond one)"
    else:
        size = min((n for n in rates.ROWS if n >= job.items), default=max(rates.ROWS))
        rate, units = rates.ROWS[size], effective_cores(layout)
        how = f"rows / ({rate.value / 1e6:.1f} M per core and second as measured at {size:,} items x cores)"
    return Figure(rows / (rate.value * REFERENCE_DIM / job.dim * units), "derived", how)


def gpu_floor(job: Job, layout: Layout) -> Figure:
    """The longest of three: device memory, links within a machine, network between machines."""
    seconds = gpu_seconds(job, layout)
    slowest = max(seconds, key=lambda what: seconds[what])
    return Figure(seconds[slowest], "floor", f"{slowest} a device")


def gpu_seconds(job: Job, layout: Layout) -> dict[str, float]:
    """Seconds that each of the three is busy for all epochs, were it alone and at the speed of its data sheet.

    Of R devices on M machines each moves 1 / R of the rows; of these 1 - 1 / M come from another machine, and
    1 / M - 1 / R from another device of the same.
    """
    rows = job.epochs * rows_per_epoch(job) / layout.workers
    away = travelling_share(layout.machines)
    inside = travelling_share(layout.workers) - away
    travelling = rows * travelling_bytes(job.dim)
    return {
        "device memory at 4.8 TB/s": rows * row_bytes(job.dim, job.storage) / rates.GPU_BANDWIDTH.value,
        "NVLink at 450 GB/s": inside * travelling / rates.GPU_LINK.value,
        "network at 50 GB/s": away * travelling / rates.GPU_NETWORK.value,
    }


def checkpoint(job: Job, layout: Layout) -> Stage:
    """One checkpoint, written by all workers; the one before it lies there until the new one is whole."""
    size = model_bytes(job.n_nodes, job.dim, job.storage)
    return Stage(
        "checkpoint",
        None,
        None,
        Figure(2 * size, "counted", "tables and accumulators, twice while one replaces the other"),
        Figure(size / layout.machines / rates.DISK.value, "derived", "bytes / 0.5 GB/s (assumed) per machine"),
    )


def bundle(job: Job, layout: Layout) -> Stage:
    """Written once, on one machine: vectors, matrices, codes, ids."""
    size = bundle_bytes(job.n_nodes, job.dim, job.id_bytes)
    codes = codes_bytes(job.items, len(job.n_nodes), job.dim)
    numbers = job.items * len(job.n_nodes) * job.dim if codes else 0
    seconds = size / rates.DISK.value + numbers / rates.CODES.value
    return Stage(
        "bundle",
        None,
        Figure(
            codes + sum(vocabulary_bytes(n, job.id_bytes) for n in job.n_nodes.values()), "counted", "codes and ids"
        ),
        Figure(size, "counted", "vectors, the views side by side, 4-bit codes, ids"),
        Figure(seconds, "derived", "bytes / 0.5 GB/s (assumed) + numbers / 24 M per second for the codes"),
    )


def serving(job: Job, layout: Layout) -> Stage:
    """One machine that answers: codes in memory, targets mapped, shared by its workers."""
    codes = codes_bytes(job.items, len(job.n_nodes), job.dim)
    mapped = matrices_bytes(job.items, len(job.n_nodes), job.dim)
    return Stage(
        "serving",
        Figure(codes, "counted", "4-bit codes on the heap of each worker"),
        Figure(mapped, "counted", "matrices, memory-mapped: what is asked for stays in memory"),
        None,
        Figure(query_seconds(job), "derived", "one query on one thread: codes / 34 G per second"),
    )


def query_seconds(job: Job) -> float:
    """One query on one thread: every code of every item is looked at once."""
    return job.items * (len(job.n_nodes) * job.dim + 1) / rates.SCAN.value


def effective_cores(layout: Layout) -> float:
    """Two cores are what was measured; each further one counts 0.7."""
    cores = layout.machines * layout.cores
    return min(cores, 2) + max(0, cores - 2) * rates.EFFICIENCY.value


ALL: tuple[Callable[[Job, Layout], Stage], ...] = (preparation, training, checkpoint, bundle, serving)

__all__ = [
    "ALL",
    "Figure",
    "Origin",
    "Stage",
    "bundle",
    "checkpoint",
    "effective_cores",
    "gpu_floor",
    "gpu_seconds",
    "preparation",
    "processor_seconds",
    "query_seconds",
    "serving",
    "training",
]
