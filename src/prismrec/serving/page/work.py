"""What the page shows and takes too long for a request: computed once per release in a patient child process.

The result is a file in the service's home folder, whole or not there, named after the bundle and the settings. A lock
that the child inherits keeps the worker processes of a service from starting a second one: one at a time, at the
lowest priority, on one thread. The child ends with the service: it watches a pipe that closes when its parent is gone,
however it went.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from prismrec import __version__
from prismrec.files import sha256, whole_file
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.manifest import MANIFEST
from prismrec.serving.page.settings import PageSettings

Kind = Literal["map", "reach"]

_KEPT = 8
"""Results that stay: those of the releases a rollback may lead to."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Outcome:
    """A result, or how things stand with it.

    Attributes:
        status: "ready", "working" or "failed".
        value: the result where it is ready.
        reason: the last line of what the child process said, where it failed.
    """

    status: Literal["ready", "working", "failed"]
    value: Any = None
    reason: str = ""


class PageWork:
    """Starts child processes and hands out their results; threads may share it."""

    def __init__(self, folder: Path, settings: PageSettings) -> None:
        """Keep results in `folder`, which is made when the first one is asked for."""
        self._folder = folder
        self._settings = settings
        self._mutex = threading.Lock()
        self._running: dict[Path, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
        self._failed: dict[Path, str] = {}

    def outcome(self, kind: Kind, bundle: Bundle) -> Outcome:
        """The result for this bundle; where there is none yet, a child is set to work unless one is at it.

        A child that failed is not started again by this object.
        """
        path = self._folder / f"{kind}-{self._digest(bundle)}.json"
        with self._mutex:
            if path.is_file():
                return Outcome("ready", json.loads(path.read_text(encoding="utf-8")))
            self._collect()
            if path in self._failed:
                return Outcome("failed", reason=self._failed[path])
            if path not in self._running and not path.is_file():
                self._start(kind, bundle, path)
            return Outcome("working")

    def close(self) -> None:
        """End the child processes."""
        with self._mutex:
            for process, said in self._running.values():
                process.terminate()
                process.communicate()
                said.close()
            self._running.clear()

    def _digest(self, bundle: Bundle) -> str:
        parts = (sha256(bundle.path / MANIFEST), self._settings.model_dump_json(), __version__)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]

    def _start(self, kind: Kind, bundle: Bundle, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another child is at work; asked again, this one gets its turn
            return
        else:
            self._forget_old()
            said = tempfile.TemporaryFile()  # noqa: SIM115 - read when the child has ended
            command = [sys.executable, "-m", "prismrec.serving.page.work", kind, str(bundle.path), str(path)]
            process = subprocess.Popen(
                [*command, self._settings.model_dump_json()],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
                pass_fds=[lock], env={**os.environ, **_ONE_THREAD},
            )  # fmt: skip
            self._running[path] = (process, said)
        finally:
            os.close(lock)

    def _collect(self) -> None:
        """Take leave of children that have ended; one that left no file has failed."""
        for path, (process, said) in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[path]
            process.communicate()
            if not path.is_file():
                said.seek(0)
                lines = said.read().decode("utf-8", "replace").strip().splitlines()
                self._failed[path] = lines[-1] if lines else f"the process ended with code {process.returncode}"
            said.close()

    def _forget_old(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[_KEPT:]:
            file.unlink(missing_ok=True)


def compute(kind: Kind, bundle: Bundle, settings: PageSettings) -> Any:
    """One result, as JSON values: map positions [[x, ...], [y, ...]], or a `reach.Reach`."""
    if kind == "map":
        from prismrec.serving.page.projection import blended_vectors, most_clicked, neighbour_positions

        vectors = blended_vectors(bundle, most_clicked(bundle, settings.map_items))
        return neighbour_positions(vectors, settings.seed).T.round(4).tolist()
    from prismrec.serving.page.reach import reach_of

    return asdict(reach_of(bundle, settings.reach_queries, settings.seed))


def _main(kind: Kind, bundle: str, path: str, settings: str) -> None:
    """The child process."""
    os.nice(19)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    value = compute(kind, Bundle.open(bundle, verify="sizes"), PageSettings.model_validate_json(settings))
    with whole_file(Path(path)) as partial:
        partial.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # returns when the parent has closed the pipe, or is gone
    os._exit(1)


__all__ = ["Kind", "Outcome", "PageWork", "compute"]

if __name__ == "__main__":
    _main(*sys.argv[1:])  # type: ignore[arg-type]
