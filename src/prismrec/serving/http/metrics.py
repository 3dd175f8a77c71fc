"""Figures for Prometheus, of one process or of all workers together.

Several workers share a folder (`share_folder`) in which each keeps its figures in memory-mapped files, those of
workers that died included; any of them can then answer for all.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client reads it when it is first imported: set before the workers start."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of this process."""

    def __init__(self) -> None:
        """All at zero, in a registry of their own."""
        own = self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self.requests = Counter("prismrec_requests", "Requests answered.", labels, registry=own)
        self.seconds = Histogram(
            "prismrec_request_seconds", "Seconds from request to answer.", ["route"], buckets=_SECONDS, registry=own
        )
        self.running = Gauge(
            "prismrec_requests_running", "Requests being answered.", multiprocess_mode="livesum", registry=own
        )
        self.batch = Histogram("prismrec_batch_size", "Questions answered together.", buckets=_SIZES, registry=own)
        self.answers = Counter("prismrec_answers", "Lists, by what they were made of.", ["basis"], registry=own)
        self.unknown = Counter("prismrec_unknown_ids", "Ids in questions that nobody knows.", registry=own)
        self.events = Counter("prismrec_events_stored", "Events stored.", registry=own)
        self.items = Counter("prismrec_item_changes", "Items upserted or deleted here.", ["change"], registry=own)
        self.release = Gauge(
            "prismrec_release",
            "Release that answers, the oldest of all workers'.",
            multiprocess_mode="livemin",
            registry=own,
        )
        self.refresh_failures = Counter(
            "prismrec_refresh_failures", "Looks for releases or item changes that failed.", registry=own
        )

    def text(self) -> bytes:
        """All figures in Prometheus' text format, of all workers where they share a folder."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        _bury(Path(os.environ[FOLDER_VARIABLE]))
        joined = CollectorRegistry()
        multiprocess.MultiProcessCollector(joined)  # type: ignore[no-untyped-call]
        return generate_latest(joined)


def _bury(folder: Path) -> None:
    """Drop what killed workers said of their present state; what they counted stays."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def share_folder() -> Path:
    """Make the folder for the figures of workers that this process is about to start."""
    folder = Path(tempfile.mkdtemp(prefix="prismrec-metrics-"))
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


__all__ = ["CONTENT_TYPE", "FOLDER_VARIABLE", "Metrics", "share_folder"]
