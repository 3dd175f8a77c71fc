"""Columns that folder names spell, as in `clicks/day=2020-01-31/part-0.parquet`: how Spark and Hive lay out logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

_NOTHING = "__HIVE_DEFAULT_PARTITION__"


def folder_columns(paths: Sequence[Path]) -> dict[str, list[str | None]]:
    """The values of each such column, one per file, as text; none unless all files have the same columns.

    >>> folder_columns([Path("day=1/a.parquet"), Path("day=2/b.parquet")])
    {'day': ['1', '2']}
    """
    by_file = [_of(path) for path in paths]
    names = list(by_file[0]) if by_file else []
    if any(set(found) != set(names) for found in by_file):
        return {}
    return {name: [found[name] for found in by_file] for name in names}


def _of(path: Path) -> dict[str, str | None]:
    pairs = (part.partition("=") for part in path.parts[:-1] if "=" in part)
    return {name: None if value == _NOTHING else unquote(value) for name, _, value in pairs if name}


__all__ = ["folder_columns"]
