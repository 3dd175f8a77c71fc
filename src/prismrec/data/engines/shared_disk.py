"""Whether a folder is the same one for every executor of a cluster: what lies elsewhere would be lost without a word.

Spark writes each part of a table where the executor runs that made it. Where that is another machine's own disk the
write succeeds, and its rows are never seen again.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from prismrec.data.engines.spark_errors import named_errors
from prismrec.errors import ConfigError

_ROWS, _PARTS = 10_000, 200

_found_shared: set[int] = set()
"""Disks that were found to be shared, by device number."""


def require_shared(session: Any, folder: Path) -> None:
    """Write some rows from every executor and see whether all are there; once per disk, never for a local master.

    Args:
        session: Spark's.
        folder: exists.

    Raises:
        ConfigError: an executor wrote somewhere else.
    """
    device = os.stat(folder).st_dev
    if session.sparkContext.master.partition("[")[0] != "local" and device not in _found_shared:
        probe(session, folder)
        _found_shared.add(device)


def probe(session: Any, folder: Path) -> None:
    """`require_shared`, whatever the master, and every time."""
    place = folder.absolute() / f".prismrec_probe_{uuid.uuid4().hex[:12]}"
    try:
        with named_errors():
            session.range(0, _ROWS, 1, _PARTS).write.parquet(f"file://{place}")
        n_rows = sum(pq.read_metadata(file).num_rows for file in place.glob("part-*"))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if n_rows != _ROWS:
        raise ConfigError(
            f"{folder} is not the same folder on every executor: of {_ROWS:,} rows that they wrote there {n_rows:,} "
            "are here; name one on a disk that all machines see under this path (spark.work_folder, the output folder)"
        )


__all__ = ["probe", "require_shared"]
