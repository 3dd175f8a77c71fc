"""Stages that are written once: each a folder that appears whole, with a marker that says what it was made of.

A stage is kept when its marker carries the identity that is asked for: a digest of its settings, its inputs and the
stages before it, in which no engine appears. A run that was killed goes on from the last whole stage; a changed setting
or input gives new identities to all that depends on it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prismrec import __version__
from prismrec.data import engine
from prismrec.errors import ArtifactError, DataError
from prismrec.files import whole_folder

MARKER = "_SUCCESS"
"""Written last into the folder of a stage, before that folder gets its name."""

_NO_SPACE = os.strerror(errno.ENOSPC)

Told = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """A finished stage.

    Attributes:
        name: such as "vocabulary/item"; its folder's place among the stages.
        folder: where its Parquet files lie.
        identity: digest of all that it depends on.
        rows: in all of its files.
        counts: what it found, fit for JSON.
    """

    name: str
    folder: Path
    identity: str
    rows: int
    counts: Mapping[str, Any]

    def table(self, backend: Any) -> Any:
        """Its rows as a lazy table, in no particular order."""
        return engine.read_dataset(backend, self.folder)

    def numbered(self, backend: Any, name: str) -> Any:
        """Its rows with the int64 column `name`, their places in the order that they were written in."""
        return engine.numbered_dataset(backend, self.folder, name)


class Stages:
    """The stages of one preparation, below one folder."""

    def __init__(self, folder: Path, tell: Told) -> None:
        """Remember where the stages lie and who is told of them."""
        self._folder = folder
        self._tell = tell

    def run(self, name: str, parts: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]]) -> Stage:
        """The stage of this name: as an earlier run left it, if it was made of the same parts; else written now.

        Args:
            parts: all that the outcome depends on, fit for JSON: settings, identities of inputs and of other stages.
            write: writes Parquet files into an empty folder and returns what it found, fit for JSON.

        Raises:
            ArtifactError: the disk is full, or refuses a write.
        """
        identity, folder, title = identity_of(name, parts), self._folder / name, name.replace("_", " ")
        kept = _read(name, folder, identity)
        if kept is not None:
            self._tell(f"{title}: {kept.rows:,} rows, kept from the earlier run")
            return kept
        begin = time.perf_counter()
        with _space_named(name, folder), whole_folder(folder) as place:
            counts = dict(write(place))
            _mark(place, identity, counts)
        stage = _read(name, folder, identity)
        if stage is None:
            raise ArtifactError(f"{folder} was changed while it was written: is another program at work there?")
        self._tell(f"{title}: {stage.rows:,} rows, {time.perf_counter() - begin:,.1f} s")
        return stage


@contextmanager
def only_one_at(folder: Path) -> Iterator[None]:
    """Hold the folder of the stages for this process; a killed process holds nothing.

    Raises:
        ArtifactError: another process prepares there, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ArtifactError(f"cannot keep stages in {folder}: {error.strerror}; choose another folder") from error
    try:
        if not _locked(lock, folder):
            raise ArtifactError(f"another process prepares data in {folder}: wait for it, or choose another")
        yield
    finally:
        os.close(lock)


def _locked(lock: int, folder: Path) -> bool:
    """Whether the lock is ours, and on the folder that is there: another process may just have removed its own."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), os.stat(folder))
    except (BlockingIOError, FileNotFoundError):
        return False


def identity_of(name: str, parts: Mapping[str, Any]) -> str:
    """A digest that two stages share only where they are made of the same parts by the same version."""
    text = json.dumps([__version__, name, parts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _mark(place: Path, identity: str, counts: Mapping[str, Any]) -> None:
    files = {
        path.name: {"bytes": path.stat().st_size, "rows": engine.parquet_rows(path)}
        for path in sorted(place.glob("*.parquet"))
    }
    marker = {"identity": identity, "counts": counts, "files": files}
    (place / MARKER).write_text(json.dumps(marker, indent=1, ensure_ascii=False), encoding="utf-8")


def _read(name: str, folder: Path, identity: str) -> Stage | None:
    """The stage in a folder if it has that identity and all of its files have their sizes, else None."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        if marker["identity"] != identity:
            return None
        files = marker["files"]
        whole = all((folder / file).stat().st_size == known["bytes"] for file, known in files.items())
        rows = sum(known["rows"] for known in files.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # unfinished or damaged: written again, which says what is wrong with the folder
    return Stage(name, folder, identity, rows, marker["counts"]) if whole else None


@contextmanager
def _space_named(name: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except (DataError, ArtifactError) as error:
        if _NO_SPACE not in str(error):
            raise
        raise ArtifactError(
            f"no space left while the stage {name!r} was written to {folder} ({error}): free some and type the same "
            "command again; the stages before it are kept"
        ) from error


__all__ = ["MARKER", "Stage", "Stages", "Told", "identity_of", "only_one_at"]
