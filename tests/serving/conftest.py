"""A real PostgreSQL server, both databases side by side; a small shop behind HTTP, in this process and in its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import psycopg
import pyarrow as pa
import pytest
from fastapi import FastAPI

from prismrec.config import build
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable, StoredEncoder
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle, BundleContents
from prismrec.serving.http.app import create_app
from prismrec.serving.service import Service
from prismrec.serving.settings import ServeSettings
from prismrec.serving.state.store import State

PASSWORD = "pass/word@with:signs"


@dataclass
class PostgresServer:
    """A server on loopback, in a folder of its own."""

    folder: Path
    binaries: Path
    account: pwd.struct_passwd | None
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://prismrec:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        if self.account is not None:
            for path in (self.folder, self.folder / "password"):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)
        self._run("initdb", "-D", "data", "-U", "prismrec", "--auth=scram-sha-256", "--pwfile=password",
                  "--locale=C", "--encoding=UTF8", "--no-sync")  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60", "-p", str(self.port)]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", "data", "-k", str(self.folder), *options],
                cwd=self.folder, stdout=log, stderr=log, **self._owner(),
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    pytest.fail(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown; SIGQUIT: as a crash."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(timeout=60)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=120, **self._owner(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _owner(self) -> dict:
        """PostgreSQL refuses to run as root."""
        if self.account is None:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}


def postgres_binaries() -> Path | None:
    """The folder with initdb and postgres, of the newest version."""
    found = [Path(path).parent for name in ("initdb",) if (path := shutil.which(name))]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def unprivileged_account() -> pwd.struct_passwd | None:
    """Who runs the server where the tests run as root."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; missing, it fails in CI and is skipped aloud elsewhere."""
    binaries = postgres_binaries()
    if binaries is None:
        missing = "PostgreSQL is not installed (no initdb and postgres in PATH or /usr/lib/postgresql/*/bin)"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="prismrec-postgres-"))
    server = PostgresServer(folder, binaries, unprivileged_account())
    try:
        server.create()
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The url of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def state(database_url: str) -> Iterator[State]:
    """An open, empty state in each kind of database."""
    opened = State.open(database_url)
    yield opened
    opened.close()


# ---- a small shop behind HTTP ----

FIRST_ID = 2**60
"""The first of the shop's item ids: JavaScript would round it."""


def write_shop(path: Path, seed: int = 7, n_items: int = 30, metrics: dict[str, float] | None = None) -> Path:
    """An invented bundle: large integer ids, categories and shops, names and prices."""
    rng = np.random.default_rng(seed)

    def vectors(n: int, dim: int) -> EmbeddingTable:
        return EmbeddingTable(*rng.normal(size=(2, n, dim)).astype(np.float32))

    ids = [FIRST_ID + i for i in range(n_items)]
    categories, shops = ["cheese", "crème fraîche", "100% juice"], ["north", "south"]
    contents = BundleContents(
        vectors={"item": vectors(n_items, 8), "category": vectors(3, 4), "shop": vectors(2, 4)},
        vocabularies={
            "item": Vocabulary.from_ids(ids, range(n_items, 0, -1)),
            "category": Vocabulary.from_ids(categories, [8, 4, 3]),
            "shop": Vocabulary.from_ids(shops, [9, 6]),
        },
        item_nodes={
            "category": Sequences.from_lists([[i % 3] for i in range(n_items)]),
            "shop": Sequences.from_lists([[i % 2] for i in range(n_items)]),
        },
        item_columns=pa.table({
            "item_id": ids,
            "name": [f"article {i}" for i in range(n_items)],
            "price": [None if i == 3 else i / 4 for i in range(n_items)],
        }),
        query=QuerySettings(view_weights={"item": 1.0, "category": 0.3}, popularity_weight=0.1),
        metrics=metrics or {"next_item/hr@10": 0.25},
        seed=seed,
    )  # fmt: skip
    Bundle.write(path, contents)
    return path


def write_encoded_shop(path: Path) -> Path:
    """The same shop by a model with a vector for each of the users "ann" and "7": it encodes its queries."""
    plain = Bundle.open(write_shop(path)).contents
    items, rng = plain.vectors["item"], np.random.default_rng(3)
    arrays = {"users": rng.normal(size=(2, 8)).astype(np.float32), "sources": np.array(items.source)}
    contents = replace(
        plain,
        vectors={"item": items},
        query=QuerySettings(popularity_weight=0.0),
        encoder=StoredEncoder("mf", {}, arrays, knows_users=True),
        users=Vocabulary.from_ids(["ann", "7"]),
    )
    Bundle.write(path, contents)
    return path


@dataclass
class Api:
    """An application asked in this process; `service` and `app` are its insides."""

    service: Service
    app: FastAPI
    runner: asyncio.Runner
    client: httpx.AsyncClient

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        response: httpx.Response = self.run(self.client.request(method, path, **options))
        return response

    def run(self, awaitable: Any) -> Any:
        return self.runner.run(_awaited(awaitable))


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


@pytest.fixture(scope="session")
def shop_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once: flushing every file to disk takes its time."""
    return write_shop(tmp_path_factory.mktemp("template") / "shop")


@pytest.fixture
def shop(shop_template: Path, tmp_path: Path) -> Path:
    """The folder of a small bundle."""
    return Path(shutil.copytree(shop_template, tmp_path / "shop"))


@pytest.fixture
def make_shop() -> Any:
    """`write_shop`, for tests that want other bundles."""
    return write_shop


@pytest.fixture
def encoded_shop(tmp_path: Path) -> Path:
    """The folder of a bundle whose model encodes queries."""
    return write_encoded_shop(tmp_path / "encoded")


@contextlib.contextmanager
def running(source: Path) -> Iterator[Any]:
    """Start applications on a bundle: `make({"port": 1234}, token="...")`; closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(values: dict[str, Any] | None = None, token: str | None = None) -> Api:
            settings = build(ServeSettings, values or {})
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("PRISMREC_TOKEN", raising=False)
                if token is not None:
                    patch.setenv("PRISMREC_TOKEN", token)
                service = Service.open(source, settings)
                app = create_app(service, settings)
            runner = stack.enter_context(asyncio.Runner())
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://127.0.0.1:8000"
            )
            stack.callback(lambda: runner.run(client.aclose()))
            lifespan = app.router.lifespan_context(app)
            runner.run(_awaited(lifespan.__aenter__()))
            stack.callback(lambda: runner.run(_awaited(lifespan.__aexit__(None, None, None))))
            return Api(service, app, runner, client)

        yield make


@pytest.fixture
def make_api(shop: Path) -> Iterator[Any]:
    """Start applications on the shop, as `running` says."""
    with running(shop) as make:
        yield make


@pytest.fixture(scope="module")
def module_api(shop_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One application for all tests of a module."""
    with running(Path(shutil.copytree(shop_template, tmp_path_factory.mktemp("module") / "shop"))) as make:
        yield make()


@pytest.fixture
def api(make_api: Any) -> Api:
    """An application on the shop, with the settings it has by default."""
    made: Api = make_api()
    return made


@pytest.fixture
def encoded_api(encoded_shop: Path) -> Iterator[Api]:
    """An application on a bundle whose model encodes queries."""
    with running(encoded_shop) as make:
        yield make()


@dataclass
class Server:
    """`prismrec serve` as a process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    client: httpx.Client

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Ask over a new connection, which any of the workers may take."""
        headers = {"connection": "close", **options.pop("headers", {})}
        return self.client.request(method, self.url + path, json=body, headers=headers, **options)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def workers(self) -> list[int]:
        """Process ids of the workers, in the order of their start."""
        said = re.findall(r"Started server process \[(\d+)\]", self.log.read_text())
        return [int(pid) for pid in said if Path(f"/proc/{pid}").exists()]

    def wait_until(self, condition: Any, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not come to it:\n{self.log.read_text()}")
            time.sleep(0.02)

    def ready(self) -> bool:
        try:
            return self("GET", "/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, seconds: float = 60) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)


@pytest.fixture
def serve(shop: Path, tmp_path: Path) -> Iterator[Any]:
    """Start `prismrec serve` on the shop: `serve("--workers", "2", token="...")`; ended by its id."""
    started: list[Server] = []
    client = httpx.Client(timeout=30, verify=False)

    def start(*arguments: str, token: str | None = None, source: Path = shop) -> Server:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = tmp_path / f"server-{len(started)}.log"
        environment = {name: value for name, value in os.environ.items() if name != "PRISMREC_TOKEN"}
        command = [sys.executable, "-m", "prismrec", "serve", str(source), "--port", str(port), *arguments]
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment | ({"PRISMREC_TOKEN": token} if token else {})
            )
        server = Server(process, f"http://127.0.0.1:{port}", log, client)
        started.append(server)
        server.wait_until(server.ready)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            try:
                server.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
    client.close()
