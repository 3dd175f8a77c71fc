"""The files of the explorer page, as a browser fetches them: compressed once, cached for good.

All of them lie under one address with a digest of their content in it, so a browser keeps them until they change; only
the page itself, which names that address, is asked for again. plotly comes from its own Python package.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from prismrec.errors import MissingExtraError

FOLDER = Path(__file__).parent / "assets"
INDEX = "index.html"
PLOTLY = "plotly.min.js"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # plotly writes a style element
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True)
class PageFile:
    """One file.

    Attributes:
        media_type: as the Content-Type header says it.
        content: its bytes.
        compressed: the same, gzip.
    """

    media_type: str
    content: bytes
    compressed: bytes


class PageFiles:
    """All files of the page, read once; threads may share it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read the page's own files; plotly is read when it is first asked for.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        self._plotly_path = _plotly_path()
        self._mutex = threading.Lock()
        contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES}
        self.digest = _digest(contents, self._plotly_path)
        index = contents.pop(INDEX).replace(b"{assets}", f"page/assets/{self.digest}".encode())
        self.index = _file(INDEX, index)
        self._files: Mapping[str, PageFile] = {name: _file(name, content) for name, content in contents.items()}

    def find(self, name: str) -> PageFile | None:
        """A file by its name."""
        if name == PLOTLY:
            with self._mutex:
                return self._plotly
        return self._files.get(name)

    @cached_property
    def _plotly(self) -> PageFile:
        return _file(PLOTLY, self._plotly_path.read_bytes())


def _file(name: str, content: bytes) -> PageFile:
    return PageFile(MEDIA_TYPES[Path(name).suffix], content, gzip.compress(content, 6, mtime=0))


def _digest(contents: Mapping[str, bytes], plotly: Path) -> str:
    digest = hashlib.sha256(str(plotly.stat().st_size).encode())
    for name, content in contents.items():
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _plotly_path() -> Path:
    """Where the library lies, without importing the package, which takes a second."""
    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise MissingExtraError("the explorer page needs plotly: pip install 'prismrec[serve]'")
    return Path(found.origin).parent / "package_data" / PLOTLY


__all__ = ["CONTENT_SECURITY_POLICY", "FOLDER", "INDEX", "MEDIA_TYPES", "PLOTLY", "PageFile", "PageFiles"]
