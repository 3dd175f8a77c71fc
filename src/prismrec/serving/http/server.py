"""The server as processes: one, or a supervisor with workers that it restarts when they die.

All workers accept from one socket and map the same release into memory. They are started as fresh interpreters, and
read what to serve from one environment variable; the token reaches them as it reached us.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from prismrec.config import build
from prismrec.errors import ConfigError
from prismrec.serving.http.app import create_app
from prismrec.serving.http.logs import LOG_CONFIG
from prismrec.serving.http.metrics import FOLDER_VARIABLE, share_folder
from prismrec.serving.http.protocol import BoundedProtocol
from prismrec.serving.http.security import token_of
from prismrec.serving.releases.releases import Release, Releases
from prismrec.serving.service import Service
from prismrec.serving.settings import ServeSettings
from prismrec.serving.state.store import State

SERVED_VARIABLE = "PRISMREC_SERVED"
"""What a worker serves, as JSON: {"source": path, "settings": {...}}."""

SWITCH_SECONDS = 0.001
"""How long the answering thread may keep the interpreter from the event loop; Python's own 5 ms would be felt."""


def prepare(source: Path, settings: ServeSettings) -> Release:
    """Find out before any worker starts what would keep them from serving; the release they will begin with.

    Raises:
        ConfigError: the token, the state's url or the port is not usable.
        ArtifactError: there is no release, and the source offers none; or the state cannot be opened.
    """
    token_of(settings)
    _check_port(settings)
    release = Releases(settings.home_of(source), source, settings.releases).start()
    State.open(settings.state_url(source)).close()
    return release


def run(source: Path, settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first."""
    values = {"source": str(source), "settings": settings.model_dump(mode="json")}
    with _environment(SERVED_VARIABLE, json.dumps(values)), _shared_figures(settings.workers):
        uvicorn.run(
            "prismrec.serving.http.server:worker_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http=BoundedProtocol,
            ws="none",
            log_config=LOG_CONFIG,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=settings.traffic.connections,
            timeout_keep_alive=settings.traffic.idle_seconds,
            h11_max_incomplete_event_size=settings.traffic.head_bytes,
            timeout_graceful_shutdown=settings.traffic.shutdown_seconds,
        )


def worker_app() -> FastAPI:
    """The application of one worker process, as uvicorn calls for it."""
    values = json.loads(os.environ[SERVED_VARIABLE])
    settings = build(ServeSettings, values["settings"], SERVED_VARIABLE)
    service = Service.open(Path(values["source"]), settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    if settings.workers > 1:
        _end_with(os.getppid())
    _announce_stop(service, settings.traffic.drain_seconds)
    app = create_app(service, settings)
    gc.freeze()  # what was imported stays: looking through it for garbage would hold up every request for 0.1 s
    return app


def _announce_stop(service: Service, seconds: float) -> None:
    """On SIGTERM: not ready any more at once, and `seconds` later what uvicorn does: stop accepting, finish, end."""
    stop = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def drain(number: int, frame: FrameType | None) -> None:
        if not callable(stop):
            return
        if service.draining or not seconds:  # asked twice is meant now
            service.draining = True
            stop(number, frame)
            return
        service.draining = True
        loop.call_soon_threadsafe(lambda: loop.call_later(seconds, stop, number, frame))

    signal.signal(signal.SIGTERM, drain)


def _end_with(supervisor: int) -> None:
    """Stop when the supervisor is gone: workers that stayed would keep the port from the next one."""

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor watch", daemon=True).start()


def _check_port(settings: ServeSettings) -> None:
    """Say in one sentence what uvicorn would say in a traceback of each worker."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}; choose others with --host and "
            "--port"
        ) from error


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _shared_figures(workers: int) -> Iterator[None]:
    """A folder for the figures of several workers, gone afterwards."""
    if workers == 1:
        yield
        return
    folder = share_folder()
    try:
        yield
    finally:
        os.environ.pop(FOLDER_VARIABLE, None)
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["SERVED_VARIABLE", "prepare", "run", "worker_app"]
