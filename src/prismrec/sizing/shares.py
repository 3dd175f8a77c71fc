"""What one process or machine holds of a job, and what preparation leaves on disk; bytes."""

from __future__ import annotations

from prismrec.sizing import rates
from prismrec.sizing.job import Job
from prismrec.sizing.layout import Layout
from prismrec.sizing.storage import (
    COUNT_BYTES,
    edge_bytes,
    exchange_bytes,
    model_bytes,
    noise_bytes,
    order_bytes,
    sequence_bytes,
    vocabulary_bytes,
)
from prismrec.sizing.traffic import EDGE_PASSES, anchors_per_click, pairs_per_click

ANCHORS_PER_UPDATE = 2048
"""Anchors of all processes together that are learned from at once: sharding.anchors_per_update."""

ROW_OF_THE_LOG = 36
"""Bytes of a click as an engine shuffles or spills it, uncompressed: user, item, time and place 8 each, dwell 4."""

WHOLE_CLICKS = 100_000_000
"""Logs up to this are prepared in memory, longer ones stage by stage."""


def is_staged(job: Job, layout: Layout) -> bool:
    """Whether the log is prepared stage by stage: it is long, or several processes read the outcome."""
    return job.clicks > WHOLE_CLICKS or layout.workers > 1


def preparation_disk_bytes(job: Job) -> float:
    """Staged: prepared data, the log between stages as it was measured, and every row once as it is shuffled."""
    return prepared_bytes(job) + (rates.STAGES_OF_THE_LOG.value + ROW_OF_THE_LOG) * job.clicks


def prepared_bytes(job: Job) -> int:
    """Prepared data on disk, uncompressed: sequences of every view, histories, ids, nodes of the items."""
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
    return sequences_share(job, workers) + (_edges_bytes(job) + _orders_bytes(job)) / workers


def sequences_share(job: Job, workers: int) -> float:
    """The sequences of every view, of one of the workers."""
    return len(job.n_nodes) * sequence_bytes(job.clicks, job.n_sequences) / workers


def replicated_bytes(job: Job) -> int:
    """What every worker knows of every node: noise, offsets, counts."""
    return sum(noise_bytes(n) for n in job.n_nodes.values())


def device_bytes(job: Job, workers: int) -> float:
    """On each device besides its rows: noise and offsets of every node (12 bytes), its edges, orders in int32.

    Its sequences too, where they take no more than half of what is left; else they stay on the host.
    """
    noise = sum(noise_bytes(n) - COUNT_BYTES * n for n in job.n_nodes.values())
    return noise + (_edges_bytes(job) + _orders_bytes(job) / 2) / workers


def _edges_bytes(job: Job) -> int:
    return len(job.views) * edge_bytes(job.n_edges)


def _orders_bytes(job: Job) -> int:
    return len(job.n_nodes) * order_bytes(job.n_sequences) + len(job.views) * order_bytes(EDGE_PASSES * job.n_edges)


def exchange_share(job: Job, workers: int) -> float:
    """Buffers of one worker for its part of `ANCHORS_PER_UPDATE` anchors; none where there is one worker."""
    if workers == 1:
        return 0.0
    anchors = anchors_per_click(job.sequence_length, job.context)
    m = pairs_per_click(job.window, job.sequence_length, job.context) / anchors
    return exchange_bytes(ANCHORS_PER_UPDATE / workers * (1 + m + job.negatives), job.dim)


def program_bytes(layout: Layout) -> float:
    """What a process holds before it has data; several processes, and devices, need torch."""
    return (rates.TORCH_PROGRAM if layout.gpus or layout.workers > 1 else rates.PROGRAM).value


def training_process_bytes(job: Job, layout: Layout) -> float:
    """What one process holds: of its device where there are GPUs, else of main memory."""
    rows = table_share(job, layout.workers) + exchange_share(job, layout.workers)
    if layout.gpus:
        return rows + device_bytes(job, layout.workers)
    return rows + replicated_bytes(job) + examples_share(job, layout.workers) + program_bytes(layout)


def training_machine_bytes(job: Job, layout: Layout) -> float:
    """What the processes of one machine hold in main memory."""
    if layout.gpus:
        return layout.gpus * (replicated_bytes(job) + sequences_share(job, layout.workers) + program_bytes(layout))
    return layout.processes * training_process_bytes(job, layout)


__all__ = [
    "ANCHORS_PER_UPDATE",
    "ROW_OF_THE_LOG",
    "WHOLE_CLICKS",
    "device_bytes",
    "examples_share",
    "exchange_share",
    "is_staged",
    "preparation_disk_bytes",
    "prepared_bytes",
    "program_bytes",
    "replicated_bytes",
    "sequences_share",
    "table_share",
    "training_machine_bytes",
    "training_process_bytes",
]
