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
from prismrec.sizing.storage import (
    bundle_bytes,
    codes_bytes,
    edge_bytes,
    exchange_bytes,
    matrices_bytes,
    model_bytes,
    noise_bytes,
    order_bytes,
    sequence_bytes,
    vocabulary_bytes,
)
from prismrec.sizing.traffic import (
    anchors_per_click,
    pairs_per_click,
    row_bytes,
    rows_per_epoch,
    travelling_bytes,
    travelling_share,
)

Origin = Literal["counted", "derived", "floor"]

REFERENCE_DIM = 64
"""The dimension at which rows per second were measured."""

ANCHORS_PER_UPDATE = 2048
"""Anchors that a process learns from at once when tables are sharded: model.anchors_per_update."""

ROW_OF_THE_LOG = 36
"""Bytes of a click between stages, uncompressed: user, item, time and place 8 each, dwell 4."""

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
    """From the log to sequences on disk: spills to disk beyond the memory that it is given."""
    wanted = rates.PREPARATION_BASE.value + rates.PREPARATION_MEMORY.value * job.clicks / layout.machines
    memory = min(wanted, ENGINE_MEMORY_SHARE * layout.memory_bytes)
    how = "0.36 GB + 56 bytes per click as measured, at most 80 % of the machine: beyond that the engine spills"
    speed = rates.PREPARATION.value * _effective_cores(layout)
    return Stage(
        "preparation",
        None,
        Figure(memory, "derived", how),
        Figure(
            preparation_disk_bytes(job),
            "counted",
            f"sequences of every view, histories and ids, and two copies of the log between stages "
            f"({ROW_OF_THE_LOG} bytes a row, before compression)",
        ),
        Figure(job.clicks / speed, "derived", "clicks / (0.42 M per core and second x cores, 0.7 of them beyond two)"),
    )


def preparation_disk_bytes(job: Job) -> int:
    """Prepared data, and at most two copies of the log while one stage is written from another."""
    return prepared_bytes(job) + 2 * ROW_OF_THE_LOG * job.clicks


def prepared_bytes(job: Job) -> int:
    """Prepared data on disk: sequences of every view, histories, ids of nodes and users, nodes of the items."""
    return (
        len(job.n_nodes) * sequence_bytes(job.clicks, job.n_sequences)
        + sequence_bytes(job.clicks, job.n_users)
        + sum(vocabulary_bytes(n, job.id_bytes) for n in (*job.n_nodes.values(), job.n_users))
        + len(job.views) * sequence_bytes(job.items, job.items)
    )


def table_share(job: Job, workers: int) -> float:
    """Tables and accumulators of one of the workers: rows are dealt out evenly."""
    return model_bytes(job.n_nodes, job.dim, job.storage) / workers


def examples_share(job: Job, workers: int) -> float:
    """Sequences, edges and the order of an epoch, of one of the workers."""
    n_views, n_sides = len(job.n_nodes), len(job.views)
    sequences = n_views * (sequence_bytes(job.clicks, job.n_sequences) + order_bytes(job.n_sequences))
    edges = n_sides * (edge_bytes(job.n_edges) + 2 * order_bytes(job.n_edges))
    return (sequences + edges) / workers


def replicated_bytes(job: Job) -> int:
    """What every worker holds of every node: noise, offsets, counts."""
    return sum(noise_bytes(n) for n in job.n_nodes.values())


def exchange_share(job: Job, workers: int) -> float:
    """Buffers of one worker for an update of `ANCHORS_PER_UPDATE` anchors; none where there is one worker."""
    if workers == 1:
        return 0.0
    m = pairs_per_click(job.window, job.sequence_length, job.context) / anchors_per_click(
        job.sequence_length, job.context
    )
    return exchange_bytes(ANCHORS_PER_UPDATE * (1 + m + job.negatives), job.dim)


def training_process_bytes(job: Job, layout: Layout) -> float:
    """What one process holds: on its device where there are GPUs, then without its examples, which stay on the host."""
    tables = table_share(job, layout.workers) + exchange_share(job, layout.workers) + replicated_bytes(job)
    return tables if layout.gpus else tables + examples_share(job, layout.workers)


def training_machine_bytes(job: Job, layout: Layout) -> float:
    """What the processes of one machine hold in main memory."""
    if layout.gpus:
        return layout.gpus * (replicated_bytes(job) + examples_share(job, layout.workers))
    return layout.processes * training_process_bytes(job, layout)


def training(job: Job, layout: Layout) -> Stage:
    """All epochs: per process its share of the tables, what all of them know, and its examples."""
    if layout.gpus:
        how = "share of tables and accumulators, noise of every node, exchange buffers"
        machine, seconds = "examples and noise, per device", gpu_floor(job, layout)
    else:
        how = "share of tables, accumulators and examples, noise of every node"
        machine, seconds = "all its processes", processor_seconds(job, layout)
    return Stage(
        "training",
        Figure(training_process_bytes(job, layout), "counted", how),
        Figure(training_machine_bytes(job, layout), "counted", machine),
        None,
        seconds,
    )


def processor_seconds(job: Job, layout: Layout) -> Figure:
    """Rows of all epochs / (rows per core and second x 64 / dim x cores)."""
    size = min((n for n in rates.ROWS if n >= job.items), default=max(rates.ROWS))
    speed = rates.ROWS[size].value * REFERENCE_DIM / job.dim * _effective_cores(layout)
    seconds = job.epochs * rows_per_epoch(job) / speed
    how = f"rows / ({rates.ROWS[size].value / 1e6:.1f} M per core and second as measured at {size:,} items x cores)"
    return Figure(seconds, "derived", how)


def gpu_floor(job: Job, layout: Layout) -> Figure:
    """The longest of three: device memory, links within a machine, network between machines."""
    rows = job.epochs * rows_per_epoch(job) / layout.workers
    memory = rows * row_bytes(job.dim, job.storage) / rates.GPU_BANDWIDTH.value
    away = travelling_share(layout.machines)
    inside = travelling_share(layout.workers) - away
    links = rows * inside * travelling_bytes(job.dim) / rates.GPU_LINK.value
    network = rows * away * travelling_bytes(job.dim) / rates.GPU_NETWORK.value
    seconds, what = max(
        (memory, "device memory at 4.8 TB/s"), (links, "NVLink at 450 GB/s"), (network, "network at 50 GB/s")
    )
    return Figure(seconds, "floor", f"from the data sheet, not measured: {what} a device")


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


def _effective_cores(layout: Layout) -> float:
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
    "examples_share",
    "exchange_share",
    "gpu_floor",
    "preparation",
    "preparation_disk_bytes",
    "prepared_bytes",
    "processor_seconds",
    "query_seconds",
    "replicated_bytes",
    "serving",
    "table_share",
    "training",
    "training_machine_bytes",
    "training_process_bytes",
]
