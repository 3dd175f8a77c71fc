"""How the suite runs: parallel workers compile apart from each other; a slow machine fails no property test."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile(
    "prismrec",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,  # a landing is not decided by the luck of a draw
)
settings.load_profile("prismrec")


def pytest_configure() -> None:
    """Take Ctrl-C, and give each worker of pytest-xdist a folder for machine code; subprocesses of tests inherit it.

    A shell starts background jobs with SIGINT ignored, and training respects that; its tests send the signal.

    numba's cache on disk is written by one process at a time or not at all: two that compile different signatures of
    one function may swap their files. And it looks at a function's own file only, so the folder is named after all
    sources: code inlined from an edited module is never an old one.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and "NUMBA_CACHE_DIR" not in os.environ:
        folders = ROOT / ".pytest_cache" / "machine_code"
        _remove_older_than_a_day(folders)
        os.environ["NUMBA_CACHE_DIR"] = str(folders / _digest_of_sources() / worker)


def _remove_older_than_a_day(folders: Path) -> None:
    for folder in folders.glob("*/"):
        if time.time() - folder.stat().st_mtime > 86_400:
            shutil.rmtree(folder, ignore_errors=True)


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
