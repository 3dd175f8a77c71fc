"""A server under mixed load for a while, with everything going on at once that a deployment does to it.

Shoppers ask and write. Meanwhile the bundle is replaced by another one again and again, now and then by a broken one,
and workers are killed. At the end nothing that was acknowledged may be missing, before and after a restart; no answer
may have been wrong; and the worker that was never killed must not have grown.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.client import Pool, request_of
from loadtest.oracle import Oracle
from loadtest.report import Report
from loadtest.scene import Scene
from loadtest.server import Server, memory_of
from loadtest.shopper import Shop, Shopper
from prismrec.files import whole_folder
from prismrec.serving.releases.files import fingerprint_of
from prismrec.serving.releases.record import read_record
from prismrec.serving.state.store import KEPT_EVENTS, State

_USES = 20
"""Requests per connection: without an end, all would be the eldest worker's, which is never killed."""

ADOPTED_SECONDS = 20.0
"""When a bundle that was put in place must be served."""


@dataclass(frozen=True)
class SoakSettings:
    """How long, and how rough.

    Attributes:
        seconds: of load.
        warm_up: seconds after which memory may not grow any more.
    """

    seconds: float = 600
    warm_up: float = 60
    reload_every: float = 5
    kill_every: float = 15
    workers: int = 2
    shoppers: int = 10
    seed: int = 0


def soak(folder: Path, settings: SoakSettings) -> Report:
    """Run it all in an empty folder.

    Raises:
        ServerError: the server did not start, or did not end.
    """
    run = _Run(folder, settings)
    with run.server() as server:
        server.wait_ready()
        asyncio.run(run.load(server))
        server.stop()
    run.check_state()
    with run.server() as server:
        server.wait_ready()
        asyncio.run(run.look_again(server))
        server.stop()
    run.report.check_broken()
    run.check_log()
    return run.report


class _Run:
    """One soak: its bundles, its server and what is known of both."""

    def __init__(self, folder: Path, settings: SoakSettings) -> None:
        self._settings = settings
        self._source, self._home, self._log = folder / "bundle", folder / "home", folder / "server.log"
        self._scene = Scene.set_up(folder, n_users=10 * settings.shoppers)
        self._by_number: dict[int, Oracle] = {}
        self._began = 0.0
        self.report = Report()
        shutil.copytree(self._scene.bundles[0], self._source)

    def server(self) -> Server:
        """A server over the same home, just started."""
        more = ["serving.refresh_seconds=0.2"]
        return Server.of_bundle(self._source, self._home, self._log, self._settings.workers, settings=more)

    async def load(self, server: Server) -> None:
        """Shoppers and disturbances, all at once, until the time is over."""
        loop, settings = asyncio.get_running_loop(), self._settings
        self._began = loop.time()
        async with self._pool(server) as pool, Pool(server.port, 1) as operator, asyncio.TaskGroup() as tasks:
            for shopper in self._shoppers(pool):
                tasks.create_task(shopper.shop_until(settings.seconds))
            disturbing = [
                tasks.create_task(self._replace_bundles(operator)),
                tasks.create_task(self._kill_workers(server)),
                tasks.create_task(self._watch_memory(server)),
            ]
            await asyncio.sleep(settings.seconds)
            for task in disturbing:
                task.cancel()
        self.report.seconds = self._now()

    async def look_again(self, server: Server) -> None:
        """After the restart: every changing item, and every user's history, by way of the answers it leads to."""
        self._began = asyncio.get_running_loop().time() - self.report.seconds
        async with self._pool(server) as pool:
            for shopper in self._shoppers(pool):
                await shopper.look_at_everything()

    def check_state(self) -> None:
        """What the server left on disk is what it acknowledged, each event once and in its order."""
        state = State.open(f"sqlite:///{self._home / 'state.sqlite'}")
        try:
            stored = state.histories(self._scene.users, KEPT_EVENTS)
            changes = state.changes()
        finally:
            state.close()
        for user, promised in self._scene.ledger.histories.items():
            if stored[user] != promised:
                self.report.problem(f"{user}: {len(promised)} events were acknowledged, {len(stored[user])} are stored")
        versions = {item.item_id: item.columns["name"] for item in changes.upserted}
        for item in self._scene.ledger.changing:
            last = self._scene.ledger.last(item)
            if last and versions.get(item) != f"version {last}":
                self.report.problem(f"{item}: version {last} was acknowledged, stored is {versions.get(item)!r}")
            elif last is None and item in versions:
                self.report.problem(f"{item}: it was deleted, stored is {versions[item]!r}")

    def check_log(self) -> None:
        """Nothing in the log is an error, but for the bundles that were refused."""
        for line in self._log.read_text().splitlines():
            if ('"level":"error"' in line and "cannot refresh" not in line) or "Traceback" in line:
                self.report.problem(f"in the server's log: {line[:500]}")

    def _pool(self, server: Server) -> Pool:
        return Pool(server.port, 2 * self._settings.shoppers, _USES)

    def _shoppers(self, pool: Pool) -> list[Shopper]:
        shop = Shop(pool, self._scene, self.report, self._oracle_of, self._now)
        n, scene = self._settings.shoppers, self._scene
        return [Shopper(shop, scene.users[i::n], scene.changing[i::n], self._settings.seed + i) for i in range(n)]

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    def _oracle_of(self, release: int) -> Oracle:
        if release not in self._by_number:
            kept = read_record(self._home).release(release)
            if kept is None:
                raise LookupError(f"release {release} answered, and is not on disk")
            self._by_number[release] = self._scene.oracles[kept.fingerprint]
        return self._by_number[release]

    # ---- disturbances ----

    async def _replace_bundles(self, operator: Pool) -> None:
        """The other bundle in place of the one there, every third time a broken one in between."""
        number = 0
        while True:
            await asyncio.sleep(self._settings.reload_every)
            number += 1
            bundle = self._scene.bundles[number % 2]
            if number % 3 == 0:
                await self._put(bundle, broken=True)
                await self._operate(operator, 409)
                self.report.refusals += 1
            await self._put(bundle)
            if number % 2:
                await self._operate(operator, 200)
            wanted = fingerprint_of(bundle)
            if await self._comes(lambda wanted=wanted: self._served() == wanted):
                self.report.reloads += 1
            else:
                self.report.problem(f"bundle {bundle.name} was not adopted within {ADOPTED_SECONDS:g} s")

    async def _put(self, bundle: Path, broken: bool = False) -> None:
        """A copy of a bundle in the place of the source, in one step; a broken one lacks a byte of its largest file."""

        def put() -> None:
            with whole_folder(self._source) as folder:
                shutil.copytree(bundle, folder, dirs_exist_ok=True)
                if broken:
                    largest = max(folder.rglob("*.npy"), key=lambda file: file.stat().st_size)
                    os.truncate(largest, largest.stat().st_size - 1)

        await asyncio.to_thread(put)

    async def _operate(self, operator: Pool, expected: int) -> None:
        """POST /admin/reload; who is killed meanwhile did it, or did not."""
        with suppress(OSError):
            reply = await operator.ask(request_of("POST", "/admin/reload"))
            if reply.status != expected:
                self.report.problem(f"reload was answered with {reply.status}: {reply.body[:300]!r}")

    def _served(self) -> str:
        """The fingerprint of what is served, which its number shall tell as long as the soak runs."""
        record = read_record(self._home)
        kept = record.release(record.current)
        if kept is None:
            return ""
        self._by_number[record.current] = self._scene.oracles[kept.fingerprint]
        return kept.fingerprint

    async def _kill_workers(self, server: Server) -> None:
        """kill -9 for the youngest worker, again and again: the eldest shows how memory grows."""
        while True:
            await asyncio.sleep(self._settings.kill_every)
            workers = server.workers
            self.report.kills.append(self._now())
            os.kill(workers[-1], signal.SIGKILL)
            if not await self._comes(lambda dead=workers[-1]: self._is_whole(server, dead)):
                self.report.problem("a killed worker was not replaced")

    def _is_whole(self, server: Server, dead: int) -> bool:
        workers = server.workers
        return len(workers) == self._settings.workers and dead not in workers

    async def _watch_memory(self, server: Server) -> None:
        eldest = server.workers[0]
        while True:
            if server.workers[0] != eldest:
                self.report.problem("the eldest worker died by itself")
                return
            self.report.memory.append((self._now(), memory_of(eldest)))
            await asyncio.sleep(min(1.0, self._settings.seconds / 50))

    async def _comes(self, true: Any) -> bool:
        """Whether something becomes true in time."""
        end = self._now() + ADOPTED_SECONDS
        while self._now() < end:
            if true():
                return True
            await asyncio.sleep(0.05)
        return False


__all__ = ["ADOPTED_SECONDS", "SoakSettings", "soak"]
