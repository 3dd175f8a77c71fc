"""The manifest of a bundle: what must lie in the folder, byte for byte, and where it came from."""

from __future__ import annotations

import hashlib
import json
import operator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from prismrec import __version__
from prismrec.config import Section
from prismrec.errors import ArtifactError, DataError
from prismrec.files import sha256
from prismrec.retrieval.blend import QuerySettings, Similarity
from prismrec.retrieval.index.settings import IndexKind, IndexSettings

SCHEMA_VERSION = 3
"""Rises when an older PrismRec could not read, or would misread, what this one writes. Version 1 had no index, version
2 no encoder."""

WITHOUT_ENCODER = 2
"""What a bundle without an encoder is written as: nothing in it is new, and older versions may read it."""

MANIFEST = "manifest.json"
Verify = Literal["full", "sizes"]


class FileRecord(Section):
    """What a file of the bundle must look like."""

    bytes: int
    sha256: str


class IndexRecord(Section):
    """The index of the bundle.

    Attributes:
        kind: how candidates are found, "auto" resolved.
        settings: what it was built with; `over_fetch` as recall needed it.
        similarity: what the matrices were laid out for.
        recall: weighting -> share of the 50 best that are found; empty for exact search, which misses none.
    """

    kind: IndexKind
    settings: IndexSettings
    similarity: Similarity
    recall: dict[str, float]


class Manifest(Section):
    """The content of manifest.json, its own checksum aside; what only version 3 has is left out where it says nothing.

    Attributes:
        views: those with vectors, "item" first.
        views_without_vectors: side views of which only nodes and ids are there.
    """

    schema_version: int
    prismrec_version: str
    created: str
    views: tuple[str, ...]
    aligned_views: tuple[str, ...]
    views_without_vectors: tuple[str, ...] = Field(default=(), exclude_if=operator.not_)
    has_encoder: bool = Field(default=False, exclude_if=operator.not_)
    seed: int
    data_fingerprint: str
    training_log: str
    metrics: dict[str, float]
    query: QuerySettings
    config: dict[str, Any]
    index: IndexRecord | None = None
    files: dict[str, FileRecord]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest in its one canonical form, with the checksum of its own text."""
    values = manifest.model_dump(mode="json")
    path.write_text(render_json({**values, "checksum": _digest(values)}), encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Read what `write_manifest` wrote.

    Raises:
        ArtifactError: it is missing, from a newer version, or not byte for byte what was written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{path.parent} is not a bundle: cannot read {path.name} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise damaged(path, f"it is not UTF-8 text ({error.reason})") from error
    try:
        values = json.loads(text)
        version = int(values["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"it is not the manifest of a bundle ({error})") from error
    if version > SCHEMA_VERSION:
        raise ArtifactError(
            f"{path.parent} has schema version {version}, and this PrismRec ({__version__}) reads up to "
            f"{SCHEMA_VERSION}: it was written by a newer one; upgrade with `pip install -U prismrec`, or train again"
        )
    checksum = values.pop("checksum", "")
    try:
        intact = checksum == _digest(values) and text == render_json({**values, "checksum": checksum})
    except DataError:  # a number became infinite
        intact = False
    if not intact:
        raise damaged(path, "its text does not match its own checksum")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise damaged(path, f"{error.error_count()} of its fields are not as this version writes them") from error


def refuse_foreign(path: Path, marker: str) -> None:
    """Refuse to replace anything but an empty folder, or a folder that holds the file `marker`.

    Raises:
        ArtifactError: `path` is a file, or a folder with other content, which would be lost.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise ArtifactError(f"{path} is a file and will not be replaced by a folder: choose another path")
    if any(path.iterdir()) and not (path / marker).exists():
        raise ArtifactError(
            f"{path} holds other files (no {marker} among them) and will not be replaced: choose a new folder"
        )


def check_file(path: Path, record: FileRecord, verify: Verify) -> None:
    """Compare a file with its record: its length, and with "full" its content too.

    Raises:
        ArtifactError: it is missing or differs; names the file.
    """
    if not path.is_file():
        raise ArtifactError(f"the bundle is not whole: {path} is missing; copy it again or train again")
    size = path.stat().st_size
    if size != record.bytes:
        raise damaged(path, f"it has {size} bytes instead of {record.bytes}")
    if verify == "full" and sha256(path) != record.sha256:
        raise damaged(path, "its content does not match the checksum in the manifest")


def damaged(path: Path, reason: str) -> ArtifactError:
    """The error for a file that is there but not what was written."""
    return ArtifactError(f"{path} is damaged: {reason}; copy the bundle again or train again")


def render_json(values: Any) -> str:
    """JSON in one canonical form, so that equal values are equal bytes.

    Raises:
        DataError: a value is not JSON: an object, a number that is not finite.
    """
    try:
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"settings and training log must be JSON values, finite numbers among them: {error}") from error


def _digest(values: Any) -> str:
    return hashlib.sha256(render_json(values).encode()).hexdigest()


__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "WITHOUT_ENCODER",
    "FileRecord",
    "IndexRecord",
    "Manifest",
    "Verify",
    "check_file",
    "damaged",
    "read_manifest",
    "refuse_foreign",
    "render_json",
    "write_manifest",
]
