"""What a training step must move: examples per click, rows per example, bytes per row, and how much of it travels.

An anchor with m contexts and K negatives, shared by them, touches 1 + m + K rows, so a positive pair costs

    rows per pair = (1 + m + K) / m

Sequence lengths are taken as geometric with the given mean L, as the pauses of a click log make them: a click is
followed by another in its sequence with q = 1 - 1/L. Each anchor reaches 1..W steps, each as likely.
"""

from __future__ import annotations

from typing import Literal

from prismrec.sizing.job import Job, Storage
from prismrec.sizing.storage import FLOAT_BYTES, NUMBER_BYTES, OFFSET_BYTES

Context = Literal["forward", "symmetric"]

EDGE_PASSES = 2
"""How often an epoch meets each item-node edge, as `models.m2grl.sampler` has it."""


def pairs_per_click(window: int, mean_length: float, context: Context) -> float:
    """Positive pairs: sum over d = 1..W of (W - d + 1) / W q^d, twice that where contexts are symmetric.

    A context d steps away exists with q^d, and is within reach with (W - d + 1) / W.
    """
    q = 1 - 1 / mean_length
    forward = sum((window - d + 1) / window * q**d for d in range(1, window + 1))
    return forward if context == "forward" else 2 * forward


def anchors_per_click(mean_length: float, context: Context) -> float:
    """Clicks with at least one context: q forward; 1 - (1 - q)^2 symmetric, all but those alone."""
    q = 1 - 1 / mean_length
    return q if context == "forward" else 1 - (1 - q) ** 2


def rows_per_pair(contexts_per_anchor: float, negatives: int) -> float:
    """(1 + m + K) / m.

    >>> rows_per_pair(3, 10)
    4.666666666666667
    """
    return (1 + contexts_per_anchor + negatives) / contexts_per_anchor


def pairs_per_epoch(job: Job) -> float:
    """Positive pairs of the item view; a side view has at most as many, since its repeats collapse."""
    return job.clicks * pairs_per_click(job.window, job.sequence_length, job.context)


def rows_per_epoch(job: Job) -> float:
    """Rows of all tasks: intra-view as above for every view, inter-view (2 + K/2) per edge, every edge twice."""
    anchors = job.clicks * anchors_per_click(job.sequence_length, job.context)
    intra = pairs_per_epoch(job) + anchors * (1 + job.negatives)
    inter = job.n_edges * EDGE_PASSES * (2 + job.negatives // 2)
    return len(job.n_nodes) * intra + len(job.views) * inter


def row_bytes(dim: int, storage: Storage = "fp32") -> int:
    """A row read and written, and its accumulator: 2 dim b + 8.

    >>> row_bytes(64)
    520
    """
    return 2 * dim * NUMBER_BYTES[storage] + 2 * FLOAT_BYTES


def travelling_share(n_parts: int) -> float:
    """(R - 1) / R: rows that lie with another of R parts, where rows are spread evenly."""
    return (n_parts - 1) / n_parts


def travelling_bytes(dim: int) -> int:
    """A row on its way: its id there (8), its vector back and its gradient there again (4 dim each, float32)."""
    return OFFSET_BYTES + 2 * FLOAT_BYTES * dim


__all__ = [
    "Context",
    "anchors_per_click",
    "pairs_per_click",
    "pairs_per_epoch",
    "row_bytes",
    "rows_per_epoch",
    "rows_per_pair",
    "travelling_bytes",
    "travelling_share",
]
