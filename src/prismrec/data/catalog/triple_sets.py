"""Public knowledge graphs with held-out triples, on which models of triples are compared: no users, no items.

WN18RR in the form of OpenKE (numbers, and lists that name them), Nations, Kinship and UMLS as lines of names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from prismrec.data.catalog.dataset import Tables, find_file
from prismrec.data.catalog.text_rows import rows_of
from prismrec.errors import DataError

PARTS = {"triples": "train", "valid_triples": "valid", "test_triples": "test"}
"""Which part of the source becomes which file, by the settings that name it."""

NAMED_FILES = tuple(f"{part}.txt" for part in PARTS.values())
OPENKE_FILES = (*(f"{part}2id.txt" for part in PARTS.values()), "entity2id.txt", "relation2id.txt")


def named(home: str) -> Callable[[Path], Tables]:
    """The reader of a graph of lines with head, relation and tail; `home` is a folder that it may be kept in."""

    def read(folder: Path) -> Tables:
        parts = {}
        for setting, part in PARTS.items():
            rows = rows_of(find_file(folder, f"{home}/{part}.txt", f"{part}.txt"), 3)
            parts[setting] = _table(rows)
        return Tables(knowledge=parts)

    return read


def openke(home: str) -> Callable[[Path], Tables]:
    """The reader of a graph in the form of OpenKE."""

    def read(folder: Path) -> Tables:
        entities, relations = (_names(_place(folder, home, f"{kind}2id.txt")) for kind in ("entity", "relation"))
        parts = {}
        for setting, part in PARTS.items():
            path = _place(folder, home, f"{part}2id.txt")
            rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
            if not rows or len(rows) - 1 != int(rows[0][0]):
                raise DataError(f"{path} says that it has {' '.join(rows[0]) if rows else 'no'} rows, but has others")
            parts[setting] = _table([[entities[h], relations[r], entities[t]] for h, t, r in rows[1:]])
        return Tables(knowledge=parts)

    return read


def _place(folder: Path, home: str, name: str) -> Path:
    return find_file(folder, f"{home}/{name}", name)


def _names(path: Path) -> dict[str, str]:
    return {number: name for name, number in rows_of(path, 2, skip=1)}


def _table(rows: list[list[str]]) -> pa.Table:
    columns = ("head", "relation", "tail")
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(columns)})


__all__ = ["NAMED_FILES", "OPENKE_FILES", "PARTS", "named", "openke"]
