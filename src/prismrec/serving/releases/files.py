"""Bundles as files: which ones a source offers, and how one is taken over without copying its bytes.

A hard link is a second name for a file. Whatever later happens to the first name (a bundle replaced in one step, moved
or deleted) takes nothing from the second. Only a program that writes *into* existing files, as `cp` over a bundle
does, reaches both: sources are replaced by `prismrec train`, `mv` or `rsync`, or files are copied by setting.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath

from prismrec.errors import ArtifactError
from prismrec.files import sha256
from prismrec.retrieval.manifest import MANIFEST, read_manifest

_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Another file system, one without links, a file of someone else, too many links: the bytes are copied instead."""

_ATTEMPTS = 5
"""How often a bundle that is replaced while it is taken over is tried again."""

_UNREADABLE = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Candidate:
    """A bundle that a source offers.

    Attributes:
        path: its folder.
        created: when it was written.
        fingerprint: SHA-256 of its manifest; "" where that cannot be read.
    """

    path: Path
    created: datetime = _UNREADABLE
    fingerprint: str = ""


def candidates(source: Path) -> list[Candidate]:
    """The bundles of a source, which is a bundle or a folder of bundles: unreadable ones first, then the newest.

    Folders whose name begins with a dot are being written, and no candidates yet. Cheap to ask again: a manifest that
    did not change is not read twice.
    """
    paths = [source] if (source / MANIFEST).exists() else sorted(source.glob("[!.]*/")) if source.is_dir() else []
    offered = [found for path in paths if (found := _candidate(path)) is not None]
    return sorted(offered, key=lambda candidate: (candidate.created, candidate.path.name), reverse=True)


def created_at(text: str) -> datetime:
    """When a bundle was written, from its manifest; without a zone, in UTC.

    Raises:
        ArtifactError: it is no ISO 8601 time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArtifactError(f"the manifest says created = {text!r}, which is no ISO 8601 time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def fingerprint_of(path: Path) -> str:
    """SHA-256 of a bundle's manifest, which holds that of every file; "" where it has none.

    Raises:
        ArtifactError: the manifest cannot be read.
    """
    try:
        return sha256(path / MANIFEST)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ArtifactError(f"cannot read {path / MANIFEST}: {error.strerror}") from error


def state_of(path: Path) -> str:
    """A digest of name, size, time and place of all files in a folder: another one where anything was replaced."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        try:
            found = file.stat()
        except OSError:  # gone while we look: the next look differs
            continue
        if stat.S_ISREG(found.st_mode):
            digest.update(f"{file.relative_to(path)}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}\0".encode())
    return digest.hexdigest()


def take_over(source: Path, folder: Path, *, copies: bool) -> None:
    """Give the files of a bundle a second name in an empty folder, or copy them.

    The bundle may be replaced or deleted meanwhile: the files are then those of one bundle, or some are missing, which
    is for `Bundle.open` to find. Files that no manifest names stay behind.

    Raises:
        ArtifactError: the folder cannot be opened, is replaced again and again, or its manifest names files outside.
        OSError: the system refuses a write.
    """
    for _ in range(_ATTEMPTS):
        try:
            place = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ArtifactError(f"cannot open the bundle {source}: {error.strerror}") from error
        try:
            if _take_all(place, folder, copies) or _is(source, place):
                return
        finally:
            os.close(place)
        _empty(folder)
    raise ArtifactError(f"{source} was replaced {_ATTEMPTS} times while it was read: wait until it is written")


def _candidate(path: Path) -> Candidate | None:
    try:
        found = (path / MANIFEST).stat()
    except OSError:  # an empty folder, or gone while we look
        return None
    return _read_candidate(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=1024)
def _read_candidate(path: Path, _stamp: tuple[int, ...]) -> Candidate:
    try:
        manifest = read_manifest(path / MANIFEST)
        return Candidate(path, created_at(manifest.created), fingerprint_of(path))
    except OSError:  # ArtifactError is one
        return Candidate(path)


def _take_all(place: int, folder: Path, copies: bool) -> bool:
    """Take what lies in the open folder `place`, by its manifest; whether all of it was there."""
    if not _take(place, MANIFEST, folder, copies):
        return False
    try:
        names = read_manifest(folder / MANIFEST).files
    except ArtifactError:  # damaged: told by whoever opens the bundle
        return True
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ArtifactError(f"the manifest names {name!r}, which lies outside of the bundle")
    return all(_take(place, name, folder, copies) for name in names)


def _take(place: int, name: str, folder: Path, copies: bool) -> bool:
    """Take one file; False where it is not there, or no file."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        is_link = stat.S_ISLNK(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
        if not stat.S_ISREG(os.stat(name, dir_fd=place).st_mode):
            return False
        if not (copies or is_link) and _link(place, name, target):
            return True
        descriptor = os.open(name, os.O_RDONLY, dir_fd=place)
    except FileNotFoundError:
        return False
    with open(descriptor, "rb") as original, open(target, "wb") as copy:
        shutil.copyfileobj(original, copy, 1 << 20)
    return True


def _link(place: int, name: str, target: Path) -> bool:
    """Link a file; False where the system cannot."""
    try:
        os.link(name, target, src_dir_fd=place, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is(path: Path, place: int) -> bool:
    """Whether a path still leads to the folder that is open as `place`."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(place))
    except FileNotFoundError:
        return True  # deleted, not replaced: nothing else to try


__all__ = ["Candidate", "candidates", "created_at", "fingerprint_of", "state_of", "take_over"]
