"""What an engine must be able to do: the functions that each engine's module has, beside the expressions of Ibis.

A backend is Ibis's connection to the engine, a table an Ibis expression on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

FolderColumns = Mapping[str, Sequence[str | None]]
"""Columns that folder names spell: a value per file."""


class Engine(Protocol):
    """The functions of an engine's module; `data.engine` says what each is for."""

    def small(self, table: Any) -> pa.Table: ...

    def arrow(self, table: Any) -> pa.Table: ...

    def batches(self, table: Any, rows: int) -> Iterator[pa.RecordBatch]: ...

    def register(self, backend: Any, table: pa.Table) -> Any: ...

    def moved(self, table: Any, backend: Any) -> Any: ...

    def stored(self, table: Any) -> Any: ...

    def stored_in_order(self, table: Any, name: str, order_by: Sequence[str], first: int) -> Any: ...

    def drop(self, kept: Any) -> None: ...

    def write_parquet(self, table: Any, path: Path) -> None: ...

    def write_dataset(self, table: Any, folder: Path, files: int, order_by: Sequence[str]) -> None: ...

    def can_read(self, paths: Sequence[Path]) -> bool: ...

    def read_parquet(
        self, backend: Any, paths: Sequence[Path], place: str, firsts: Sequence[int], folders: FolderColumns
    ) -> Any: ...


__all__ = ["Engine", "FolderColumns"]
