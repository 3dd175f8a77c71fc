"""`prismrec serve` as a real process: started, watched through /proc, killed, stopped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 60


class ServerError(RuntimeError):
    """The server did not do what it was told to."""


@dataclass(frozen=True)
class Memory:
    """Memory of one process in MB, as the kernel counts it (/proc/PID/smaps_rollup).

    Attributes:
        rss: pages it has mapped and in memory, shared ones in full.
        pss: the same, each page divided by the number of processes that have it mapped.
        own: pages that no file stands behind: heap and stacks, which nobody shares.
    """

    rss: float
    pss: float
    own: float


class Server:
    """A server on loopback, and the processes it consists of."""

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        """Start a command that serves on a port; what it says goes to the end of `log`."""
        self.port = port
        self._began = time.monotonic()
        with open(log, "ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        self._log = log

    @classmethod
    def of_bundle(
        cls, bundle: Path, home: Path, log: Path, workers: int = 1, port: int = 0, settings: Sequence[str] = ()
    ) -> Server:
        """`prismrec serve`.

        Args:
            bundle: what is served.
            home: where it keeps releases and state.
            log: the file that its log goes to.
            port: a free one is found where 0.
            settings: more of `--set`.
        """
        port = port or free_port()
        command = [sys.executable, "-m", "prismrec", "serve", str(bundle), "--port", str(port)]
        for setting in (f"serving.workers={workers}", f'serving.home="{home}"', *settings):
            command += ["--set", setting]
        return cls(command, port, log)

    def __enter__(self) -> Server:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing of it is left, whatever happened."""
        self.kill()

    def wait_ready(self) -> float:
        """Wait until GET /ready is answered with 200; the seconds since it was started.

        Raises:
            ServerError: it ended, or did not become ready in time.
        """
        while time.monotonic() - self._began < _START_SECONDS:
            if self._process.poll() is not None:
                raise ServerError(f"the server ended with {self._process.returncode}:\n{self._log.read_text()[-4000:]}")
            if self._status() == 200:
                return time.monotonic() - self._began
            time.sleep(0.01)
        raise ServerError(f"the server was not ready within {_START_SECONDS} s:\n{self._log.read_text()[-4000:]}")

    @property
    def workers(self) -> list[int]:
        """The processes that answer, the eldest first: children of the supervisor, or the one process itself."""
        children = [child for child in _children(self._process.pid) if "spawn_main" in _command(child)]
        return children or [self._process.pid]

    def cpu_seconds(self) -> float:
        """Processor time of all workers so far."""
        return sum(map(_cpu_seconds, self.workers))

    def stop(self, seconds: float = 40) -> float:
        """SIGTERM; the seconds until it has ended.

        Raises:
            ServerError: it did not end in time, or ended in another way; it is gone all the same.
        """
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise ServerError(f"the server did not end within {seconds} s of SIGTERM") from error
        if code not in (0, -signal.SIGTERM):
            raise ServerError(f"the server ended with {code} on SIGTERM:\n{self._log.read_text()[-4000:]}")
        return time.monotonic() - began

    def kill(self) -> None:
        """End all of it at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _status(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


def memory_of(pid: int) -> Memory:
    """Memory of a process.

    Raises:
        OSError: it is gone.
    """
    megabytes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, _ = line.split()
        megabytes[name.rstrip(":")] = int(value) * 1024 / 1e6
    return Memory(megabytes["Rss"], megabytes["Pss"], megabytes["Anonymous"])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    """Processes by their age."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return sorted(map(int, text.split()), key=_started)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _fields(pid: int) -> list[str]:
    """/proc/PID/stat from its third field on: the second, the name, may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _started(pid: int) -> int:
    try:
        return int(_fields(pid)[19])
    except OSError:
        return sys.maxsize


def _cpu_seconds(pid: int) -> float:
    user, system = _fields(pid)[11:13]
    return (int(user) + int(system)) / _TICKS


__all__ = ["Memory", "Server", "ServerError", "free_port", "memory_of"]
