"""What lies where in a folder of sharded training data, and the manifest that makes it whole.

    manifest.json                  written last: counts, and rows, values, size and checksum of every file
    vocabulary/<view>/             id, count, order; a row's place over all files is the index. "user" is one too
    sequences/<view>/              items (list of int32); rows of neighbouring files are neighbours
    counts/<view>/                 node, n: how often each node occurs in the sequences
    edges/<view>/                  item, node: in the order of the items
    item_columns/                  side columns of the item table, row i for item i; nulls where that lacks the item
    quarantine/<table>.parquet     the rows that were set aside

Every folder but the last holds `shards` files part-00000.parquet, part-00001.parquet, ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from prismrec import __version__
from prismrec.config import Section
from prismrec.data.schema import ITEM_VIEW
from prismrec.errors import ArtifactError
from prismrec.files import sha256

MANIFEST = "manifest.json"
SHARDED_VERSION = 1

ITEMS = "items"
"""The column of a row's list, in the sequences of every view."""

ROW_NUMBER = "row"
"""In the sequences of a side view: which row of the item view a row is the image of."""

ITEM_PLACE = "prismrec_index"
"""The item's index, beside the item table's own columns."""

VOCABULARY, SEQUENCES, COUNTS, EDGES, ITEM_COLUMNS, QUARANTINE = (
    "vocabulary", "sequences", "counts", "edges", "item_columns", "quarantine",
)  # fmt: skip

_AGAIN = "prepare the data again"


class ShardFile(Section):
    """One file of the folder."""

    bytes: int = Field(ge=0, description="size")
    sha256: str = Field(description="checksum")
    rows: int = Field(ge=0, description="rows")
    values: int = Field(default=0, ge=0, description="values in the lists of its rows; 0 where it has none")


class ShardManifest(Section):
    """What a folder of sharded training data holds."""

    sharded_version: int = Field(default=SHARDED_VERSION, description="version of the layout")
    prismrec_version: str = Field(default=__version__, description="who wrote it")
    identity: str = Field(description="digest of settings and inputs")
    shards: int = Field(ge=1, description="files per folder")
    sequences: Literal["sessions", "histories"] = Field(description="what a row of the sequences is")
    views: tuple[str, ...] = Field(description="side views, in configured order")
    nodes: dict[str, int] = Field(description="ids of each vocabulary, of items and users too")
    id_types: dict[str, str] = Field(
        description="type of each vocabulary's ids as they came: int64, uint64, string, uuid"
    )
    item_columns: bool = Field(description="whether there was an item table")
    report: dict[str, Any] = Field(description="counts of every stage")
    files: dict[str, ShardFile] = Field(description="by path in the folder")

    @property
    def view_names(self) -> tuple[str, ...]:
        """The item view first."""
        return (ITEM_VIEW, *self.views)

    def parts(self, kind: str, view: str = "") -> list[str]:
        """The files of one kind, of a view where each view has its own, in their order."""
        folder = f"{kind}/{view}/" if view else f"{kind}/"
        return sorted(name for name in self.files if name.startswith(folder))


def is_sharded(folder: str | Path) -> bool:
    """Whether a folder holds sharded training data, whole or damaged."""
    try:
        found = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "sharded_version" in found


def describe(folder: Path) -> dict[str, ShardFile]:
    """Rows, values, size and checksum of every Parquet file below a folder."""
    paths = sorted(path for path in folder.rglob("*.parquet") if path.is_file())
    return {path.relative_to(folder).as_posix(): _described(path) for path in paths}


def write_manifest(folder: Path, manifest: ShardManifest) -> None:
    """Write the manifest; the caller makes the folder appear whole."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")


def read_manifest(folder: str | Path, *, checksums: bool = False) -> ShardManifest:
    """The manifest, once every file that it names was found to have its size, and its checksum where asked.

    Raises:
        ArtifactError: the folder holds something else, or a file is missing, damaged or of another version; names it.
    """
    place = Path(folder)
    manifest = _parsed(place)
    for name, known in manifest.files.items():
        path = place / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise ArtifactError(f"{path} is missing ({error.strerror}): {_AGAIN}") from error
        if size != known.bytes:
            raise ArtifactError(f"{path} is damaged: it has {size:,} bytes, {MANIFEST} says {known.bytes:,}: {_AGAIN}")
        if checksums and sha256(path) != known.sha256:
            raise ArtifactError(f"{path} is damaged: its checksum is not that of {MANIFEST}: {_AGAIN}")
    return manifest


def opened(path: Path) -> pq.ParquetFile:
    """A Parquet file, its footer read.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"cannot read {path}: {error}; {_AGAIN}") from error


def list_values(metadata: Any, group: int) -> int:
    """The values in the lists of one row group, from the footer; no list is empty."""
    columns = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
    return sum(column.num_values for column in columns if column.path_in_schema.startswith(f"{ITEMS}."))


def _described(path: Path) -> ShardFile:
    metadata = opened(path).metadata
    values = sum(list_values(metadata, group) for group in range(metadata.num_row_groups))
    return ShardFile(bytes=path.stat().st_size, sha256=sha256(path), rows=metadata.num_rows, values=values)


def _parsed(place: Path) -> ShardManifest:
    path = place / MANIFEST
    try:
        values: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = values["sharded_version"]
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{place} holds no sharded training data: it has no {MANIFEST}; run `prismrec prepare --shards`, again "
            "where it was stopped"
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): {_AGAIN}") from error
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{place} holds no sharded training data: `prismrec prepare --shards` makes it") from error
    if version != SHARDED_VERSION:
        raise ArtifactError(
            f"{place} has version {version} of the layout, this PrismRec ({__version__}) reads {SHARDED_VERSION}: "
            f"update, or {_AGAIN}"
        )
    try:
        return ShardManifest.model_validate(values)
    except ValidationError as error:
        raise ArtifactError(
            f"{path} is damaged: {error.error_count()} of its fields are not as written: {_AGAIN}"
        ) from error


__all__ = [
    "COUNTS",
    "EDGES",
    "ITEMS",
    "ITEM_COLUMNS",
    "ITEM_PLACE",
    "MANIFEST",
    "QUARANTINE",
    "ROW_NUMBER",
    "SEQUENCES",
    "VOCABULARY",
    "ShardFile",
    "ShardManifest",
    "describe",
    "is_sharded",
    "list_values",
    "opened",
    "read_manifest",
    "write_manifest",
]
