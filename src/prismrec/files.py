"""Files and folders that appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import ctypes
import fcntl
import glob
import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prismrec.errors import ArtifactError, PrismRecError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and takes the place of `path`.

    Raises:
        ArtifactError: the system refuses a write (no space, no permission, a folder in the way); names the path.
    """
    with _named(path):
        temporary = _sibling(path)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it takes the place of `path`, old content and all.

    The swap is one rename where `path` is new, and one atomic exchange where it exists: a reader (or a `kill -9`)
    sees the old folder or the new one, never a mixture and never nothing. (File systems without an atomic exchange
    get two renames; between them the old folder lies beside `path`.) A link at `path` stays, its target is replaced.

    Raises:
        ArtifactError: the system refuses a write (no space, no permission), or `path` is a file; names the path.
    """
    with _named(path):
        path = path.resolve()
        if path.is_file():
            raise ArtifactError(f"cannot write the folder {path}: there is a file of that name")
        _remove_abandoned(path)
        temporary = _sibling(path)
        temporary.mkdir(parents=True)
        lock = os.open(temporary, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield temporary
            for file in sorted(temporary.rglob("*"), reverse=True):
                _flush(file)
            _flush(temporary)
            if path.exists():
                _exchange(temporary, path)
            else:
                os.rename(temporary, path)
            _flush(path.parent)
        finally:
            os.close(lock)
            shutil.rmtree(temporary, ignore_errors=True)


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn the system's refusals into an error that says what could not be written."""
    try:
        yield
    except PrismRecError:
        raise
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error}") from error


def _sibling(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary folders of killed writers of `path`; those of living writers are locked and stay."""
    if not path.parent.is_dir():
        return
    for folder in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.partial/"):
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one system call; where the system has none, in two renames."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        arguments = (_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
        if hasattr(libc, "renameat2") and libc.renameat2(*arguments) == 0:
            return
    aside = _sibling(old).with_suffix(".previous")
    try:
        os.rename(old, aside)
        try:
            os.rename(new, old)
        except OSError:
            os.rename(aside, old)
            raise
        os.rename(aside, new)
    except OSError as error:
        raise ArtifactError(f"cannot put {new} in the place of {old}: {error.strerror}") from error


__all__ = ["sha256", "whole_file", "whole_folder"]
