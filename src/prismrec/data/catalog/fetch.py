"""Fetch a file from its official place, checked and whole, and take what is needed out of an archive."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from prismrec.data.catalog.dataset import Download
from prismrec.errors import DataError
from prismrec.files import sha256, whole_file

TIMEOUT_SECONDS = 60.0


def fetch(download: Download, folder: Path) -> Path:
    """Write one file into `folder`; it appears there only when it is complete and its size and digest are right.

    Raises:
        DataError: no network, an unknown address, or a file that is not the expected one.
    """
    path = folder / download.file_name
    with whole_file(path) as partial:
        try:
            with (
                urllib.request.urlopen(download.url, timeout=TIMEOUT_SECONDS) as response,
                open(partial, "wb") as file,
            ):
                shutil.copyfileobj(response, file)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise DataError(
                f"cannot download {download.url}: {reason}. Download it elsewhere and import it with --from PATH"
            ) from error
        _check(download, partial)
    return path


def unpack(archive: Path, folder: Path, patterns: Sequence[str]) -> None:
    """Write the members of a zip archive that match a pattern into `folder`, without the archive's own folders.

    Raises:
        DataError: it is not a zip archive, is damaged, or holds nothing that matches.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            wanted = [member for member in file.infolist() if _matches(member.filename, patterns)]
            for member in wanted:
                with file.open(member) as source, open(folder / PurePosixPath(member.filename).name, "wb") as target:
                    shutil.copyfileobj(source, target)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is not a whole zip archive: {error}") from error
    if not wanted:
        raise DataError(f"{archive} holds none of the expected files: {', '.join(patterns)}")


def _check(download: Download, path: Path) -> None:
    size = path.stat().st_size
    if download.n_bytes and size != download.n_bytes:
        raise DataError(f"{download.url} came with {size:,} bytes, expected {download.n_bytes:,}; try again")
    digest = sha256(path)
    if download.sha256 and digest != download.sha256:
        raise DataError(
            f"{download.url} came with SHA-256 {digest}, expected {download.sha256}: it was damaged on the way or has "
            "changed. If you trust the new file, import it with --from PATH"
        )


def _matches(member: str, patterns: Sequence[str]) -> bool:
    name = PurePosixPath(member).name
    # archives packed on a Mac carry a `._name` shadow of every file
    return bool(name) and not name.startswith("._") and any(fnmatch(name, pattern) for pattern in patterns)


__all__ = ["TIMEOUT_SECONDS", "fetch", "unpack"]
