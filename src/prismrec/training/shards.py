"""Arrays on disk in the shards of the processes that hold their rows, and read back by any number of processes.

    000-item.source.0-of-2.npy     rows 0..n/2, written by process 0
    000-item.source.1-of-2.npy     the rest, by process 1
    006-log_variances.npy          not sharded: the same in all processes, written by process 0

Plain .npy, one file per process and array: no process needs more than its own rows, none writes where another does,
and nothing is pickled, which is why this is not torch.distributed.checkpoint.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import TypeAdapter

from prismrec.cluster.crew import Crew
from prismrec.config import Section
from prismrec.data.blocks import row_blocks
from prismrec.files import sha256
from prismrec.models.contract import OwnRows

Part = Literal["state", "best"]


class Shard(Section):
    """One file: an array, or some rows of it.

    Attributes:
        part: which state it belongs to, and the folder of the file.
        begin, n_rows: the first of its rows, and how many the array has; both None for an array that is not sharded.
    """

    part: Part
    name: str
    file: str
    sha256: str
    begin: int | None = None
    n_rows: int | None = None


SHARDS = TypeAdapter(tuple[Shard, ...])


def write_shards(
    folder: Path, part: Part, arrays: Mapping[str, NDArray], rows: Mapping[str, OwnRows], crew: Crew
) -> list[Shard]:
    """Write what this process has to: its rows of sharded arrays, and as process 0 the others whole."""
    (folder / part).mkdir(exist_ok=True)
    shards = []
    for number, (name, array) in enumerate(arrays.items()):
        own = rows.get(name)
        if own is None and crew.rank:
            continue
        stem = f"{number:03d}-{re.sub('[^A-Za-z0-9_.-]+', '_', name)}"
        file = f"{stem}.npy" if own is None else f"{stem}.{crew.rank}-of-{crew.size}.npy"
        path = folder / part / file
        with open(path, "wb") as target:
            np.save(target, array, allow_pickle=False)
            target.flush()
            os.fsync(target.fileno())  # by the one who wrote it: another machine cannot do that for it
        place = (None, None) if own is None else (own.begin, own.n_rows)
        shards.append(Shard(part=part, name=name, file=file, sha256=sha256(path), begin=place[0], n_rows=place[1]))
    return shards


def first_damaged(folder: Path, shards: Iterable[Shard]) -> tuple[Path, str] | None:
    """The first of these files that is not what was written, and why."""
    for shard in shards:
        path = folder / shard.part / shard.file
        if not path.exists():
            return path, "it is missing"
        if sha256(path) != shard.sha256:
            return path, "its content does not match its checksum"
    return None


def read_rows(folder: Path, shards: Sequence[Shard], own: OwnRows | None) -> NDArray:
    """One array, or the rows of it that a process holds, from all its shards; in memory.

    Args:
        own: None is all rows. Rows that no shard has are not there in the answer: its shape tells.
    """
    if own is None and len(shards) == 1:
        array: NDArray = np.load(folder / shards[0].part / shards[0].file, allow_pickle=False)
        return array
    begin, end = (0, shards[0].n_rows or 0) if own is None else own[:2]
    parts = []
    for shard in sorted(shards, key=lambda s: s.begin or 0):
        first = shard.begin or 0
        mapped = np.load(folder / shard.part / shard.file, mmap_mode="r", allow_pickle=False)
        parts.append(mapped[max(begin - first, 0) : max(end - first, 0)])
    return np.concatenate(parts)


def assemble(folder: Path, shards: Sequence[Shard], target: Path) -> Path:
    """One array whole in one file, copied block by block; where it is one already, that file.

    Raises:
        OSError: the disk is full.
    """
    if len(shards) == 1:
        return folder / shards[0].part / shards[0].file
    ordered = sorted(shards, key=lambda s: s.begin or 0)
    parts = [np.load(folder / s.part / s.file, mmap_mode="r", allow_pickle=False) for s in ordered]
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    with open(target, "wb") as whole:  # no memory map: where the disk is full, writing into one kills the process
        npy.write_array_header_1_0(
            whole, {"descr": npy.dtype_to_descr(parts[0].dtype), "fortran_order": False, "shape": shape}
        )
        for part in parts:
            for block in row_blocks(len(part), part[:1].nbytes):
                whole.write(np.ascontiguousarray(part[block]).data)
    return target


__all__ = ["SHARDS", "Shard", "assemble", "first_damaged", "read_rows", "write_shards"]
