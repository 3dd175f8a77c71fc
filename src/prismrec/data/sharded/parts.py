"""Rows of a table that lies in several Parquet files, streamed; and which of them one of several readers takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.sharded.layout import ITEMS, ShardManifest, list_values, opened
from prismrec.errors import ArtifactError

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Part:
    """Rows begin..end of one row group of a file."""

    path: Path
    group: int
    begin: int
    end: int


def batches(parts: Sequence[Part], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Stream the rows of parts, in their order.

    Raises:
        ArtifactError: a file cannot be read.
    """
    for part in parts:
        row = 0
        try:
            for batch in opened(part.path).iter_batches(_ROWS_AT_ONCE, [part.group], list(columns)):
                wanted = slice(max(part.begin - row, 0), max(part.end - row, 0))
                row += batch.num_rows
                kept = batch[wanted]
                if kept.num_rows:
                    yield kept
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(f"cannot read {part.path}: {error}; prepare the data again") from error


def all_parts(folder: Path, files: Sequence[str]) -> list[Part]:
    """Every row group of the files."""
    return parts_of_rows(folder, files, 0, None)


def parts_of_rows(folder: Path, files: Sequence[str], begin: int, end: int | None) -> list[Part]:
    """The row groups that hold rows begin..end of all files together; to the last row where `end` is None."""
    parts, row = [], 0
    for name in files:
        metadata = opened(folder / name).metadata
        for group in range(metadata.num_row_groups):
            n_rows = metadata.row_group(group).num_rows
            first, last = max(begin - row, 0), n_rows if end is None else min(end - row, n_rows)
            if first < last:
                parts.append(Part(folder / name, group, first, last))
            row += n_rows
    return parts


@dataclass(frozen=True)
class ListShare:
    """The rows of lists that one of several readers takes: their parts, and how much that is."""

    parts: list[Part]
    n_rows: int
    n_values: int


def share_of_lists(folder: Path, manifest: ShardManifest, files: Sequence[str], rank: int, size: int) -> ListShare:
    """Consecutive rows with about as many values as the other readers', by the rule of `crew.share_of`.

    A row goes to the reader within whose share of all values it begins. Footers say that for most row groups; only
    those on a border are decoded for it.
    """
    total = sum(manifest.files[name].values for name in files)
    low, high = total * rank // size, total * (rank + 1) // size
    parts: list[Part] = []
    n_rows = n_values = place = 0
    for name in files:
        after = place + manifest.files[name].values
        if place < high and after > low:
            for part, values in _within(folder / name, place, low, high):
                parts.append(part)
                n_rows, n_values = n_rows + part.end - part.begin, n_values + values
        place = after
    return ListShare(parts, n_rows, n_values)


def lists_of(batch: pa.RecordBatch) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The values of a batch's lists, one list after the other, and the length of each."""
    column = batch.column(ITEMS)
    return column.flatten().to_numpy(), np.diff(column.offsets.to_numpy()).astype(np.int64)


def _within(path: Path, place: int, low: int, high: int) -> Iterator[tuple[Part, int]]:
    """The parts of one file whose rows begin in low..high, with the number of their values."""
    metadata = opened(path).metadata
    for group in range(metadata.num_row_groups):
        values, n_rows = list_values(metadata, group), metadata.row_group(group).num_rows
        if low <= place and place + values <= high:
            if n_rows:
                yield Part(path, group, 0, n_rows), values
        elif place < high and place + values > low:
            ends = place + np.concatenate([[0], np.cumsum(_lengths(Part(path, group, 0, n_rows)))])
            begin, end = np.searchsorted(ends[:-1], [low, high]).tolist()
            if begin < end:
                yield Part(path, group, begin, end), int(ends[end] - ends[begin])
        place += values


def _lengths(part: Part) -> NDArray[np.int64]:
    return np.concatenate([lists_of(batch)[1] for batch in batches([part], [ITEMS])])


__all__ = ["ListShare", "Part", "all_parts", "batches", "lists_of", "parts_of_rows", "share_of_lists"]
