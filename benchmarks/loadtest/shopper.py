"""One client of a soak: asks and writes in turn, checks each answer, and asks again where a connection broke.

Users and changing items belong to one shopper each, who does one thing at a time: so it knows what the server must
have stored whenever it asks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from loadtest.client import Pool, Reply, request_of
from loadtest.oracle import Oracle, Question, version_of
from loadtest.report import Report
from loadtest.scene import Scene

_THINK_SECONDS = 0.05
_ATTEMPTS = 50
_AGAIN = 0.1
"""How often events are sent twice, as clients do that are not sure."""


@dataclass(frozen=True)
class Shop:
    """What the shoppers share.

    Attributes:
        oracle_of: the oracle of a release, by number.
        now: seconds since the soak began.
    """

    pool: Pool
    scene: Scene
    report: Report
    oracle_of: Callable[[int], Oracle]
    now: Callable[[], float]


class Shopper:
    """One client, with users and items of its own."""

    def __init__(self, shop: Shop, users: Sequence[str], items: Sequence[str], seed: int) -> None:
        """Bind them."""
        self._shop = shop
        self._users = users
        self._items = items
        self._random = random.Random(seed)
        self._n_events = 0
        self._n_versions = 0

    async def shop_until(self, end: float) -> None:
        """Do one thing after the other until a moment."""
        does: dict[Callable[[], Any], int] = {
            self._recommend: 50, self._batch: 5, self._similar: 15, self._events: 20,
            self._upsert: 5, self._delete: 2, self._look: 5, self._forget: 1,
        }  # fmt: skip
        while self._shop.now() < end:
            await self._random.choices(list(does), list(does.values()))[0]()
            await asyncio.sleep(self._random.expovariate(1 / _THINK_SECONDS))

    # ---- questions ----

    async def _recommend(self) -> None:
        body, history = self._question()
        await self._ask("/v1/recommend", body, history)

    async def _similar(self) -> None:
        item = self._random.choice(self._shop.scene.common)
        body = {"item_id": item, "k": self._random.randint(1, 30), **self._wishes()}
        await self._ask("/v1/similar", body, ())

    async def _batch(self) -> None:
        questions = [self._question() for _ in range(self._random.randint(2, 4))]
        body = {"requests": [body for body, _ in questions]}
        sent = self._shop.now()
        reply = await self._call("batch", "POST", "/v1/recommend", body)
        if self._is(reply, 200):
            answers = reply.json()["answers"]
            for (one, history), answer in zip(questions, answers, strict=True):
                self._check(Question(one, history, sent, self._shop.now()), answer)

    def _question(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """A body, and the whole history that the server should reckon with."""
        body: dict[str, Any] = {"k": self._random.randint(1, 50), **self._wishes()}
        given = self._random.choices(self._shop.scene.steady, k=self._random.choice([0, 1, 5, 20]))
        stored: list[str] = []
        if self._random.random() < 0.5:
            user = self._random.choice(self._users)
            body["user_id"], stored = user, self._shop.scene.ledger.histories[user]
            given = given[:2]
        body["history"] = given
        if self._random.random() < 0.1:
            body["exclude_seen"] = False
        return body, (*stored, *given)

    def _wishes(self) -> dict[str, Any]:
        """Weights, filters, diversity, reasons: each now and then."""
        draw, wishes = self._random.random(), dict[str, Any]()
        if draw < 0.15:
            wishes["weights"] = {"item": 1.0, "category": self._random.uniform(-1, 1)}
        elif draw < 0.3:
            wishes["filters"] = {"where": {"category": {"any_of": self._random.sample(self._shop.scene.categories, 3)}}}
        elif draw < 0.4:
            where = {
                "price": {"max": 20.0},
                "category": {"none_of": self._random.sample(self._shop.scene.categories, 2)},
            }
            wishes["filters"] = {"where": where, "block": self._random.sample(self._shop.scene.common, 5)}
        elif draw < 0.45:
            wishes["filters"] = {"allow": self._random.sample(self._shop.scene.common, 60)}
        elif draw < 0.55:
            wishes["diversity"] = self._random.choice([0.3, {"level": 0.5, "quotas": {"category": 2}}])
        elif draw < 0.6:
            wishes["explain"] = True
        return wishes

    async def _ask(self, path: str, body: dict[str, Any], history: tuple[str, ...]) -> None:
        sent = self._shop.now()
        reply = await self._call(path.rpartition("/")[2], "POST", path, body)
        if self._is(reply, 200):
            self._check(Question(body, history, sent, self._shop.now()), reply.json())

    def _check(self, question: Question, answer: dict[str, Any]) -> None:
        for problem in self._shop.oracle_of(answer["release"]).problems(question, answer):
            self._shop.report.problem(f"{problem} ({question.body})")

    # ---- writes ----

    async def _events(self) -> None:
        user = self._random.choice(self._users)
        items = self._random.choices(self._shop.scene.steady, k=self._random.choice([1, 1, 3]))
        events = []
        for item in items:
            self._n_events += 1
            name = f"{user}/{self._n_events}"
            events.append({"user_id": user, "item_id": item, "timestamp": float(self._n_events), "event_id": name})
        body: dict[str, Any] = events[0] if len(events) == 1 else {"events": events}
        reply = await self._call("events", "POST", "/v1/events", body)
        if self._is(reply, 200):
            self._shop.scene.ledger.histories[user] += items
            counted = reply.json()
            if counted["stored"] + counted["known"] != len(items):
                self._shop.report.problem(f"{len(items)} events were sent, and counted as {counted}")
        if self._random.random() < _AGAIN:
            reply = await self._call("events again", "POST", "/v1/events", body)
            if self._is(reply, 200) and reply.json() != {"stored": 0, "known": len(items)}:
                self._shop.report.problem(f"{len(items)} events were sent again, and counted as {reply.json()}")

    async def _forget(self) -> None:
        user = self._random.choice(self._users)
        if self._is(await self._call("forget", "DELETE", f"/v1/users/{quote(user, safe='')}"), 200):
            self._shop.scene.ledger.histories[user] = []

    async def _upsert(self) -> None:
        item, category = self._random.choice(self._items), self._random.choice(self._shop.scene.categories)
        self._n_versions += 1
        columns = {"name": f"version {self._n_versions}", "price": 9.5, "category": category}
        standing = self._shop.scene.ledger.change(item, self._n_versions, self._shop.now())
        reply = await self._call("upsert", "POST", "/v1/items", {"item_id": item, "columns": columns})
        if self._is(reply, 200):
            standing.acknowledged = self._shop.now()

    async def _delete(self) -> None:
        item = self._random.choice(self._items)
        standing = self._shop.scene.ledger.change(item, None, self._shop.now())
        reply = await self._call("delete", "DELETE", f"/v1/items/{quote(item, safe='')}")
        if self._is(reply, 200, 404):  # 404: it was deleted before, or is none of this release's
            standing.acknowledged = self._shop.now()

    async def _look(self) -> None:
        await self.look_at(self._random.choice(self._items))

    async def look_at(self, item: str) -> None:
        """Ask for a changing item, and compare it with what was promised."""
        sent = self._shop.now()
        reply = await self._call("item", "GET", f"/v1/items/{quote(item, safe='')}")
        possible = self._shop.scene.ledger.possible(item, sent, self._shop.now())
        if self._is(reply, 200, 404):
            shown = version_of(reply.json()["columns"].get("name", "")) if reply.status == 200 else None
            if shown not in possible:
                self._shop.report.problem(f"{item} shows version {shown}, it can only be one of {possible}")

    async def look_at_everything(self) -> None:
        """Every item of its own, and what each of its users is recommended, which shows the stored history."""
        for item in self._items:
            await self.look_at(item)
        for user in self._users:
            await self._ask("/v1/recommend", {"user_id": user, "k": 20}, tuple(self._shop.scene.ledger.histories[user]))

    # ---- requests ----

    def _is(self, reply: Reply, *statuses: int) -> bool:
        if reply.status in statuses:
            return True
        self._shop.report.problem(f"status {reply.status}: {reply.body[:300]!r}")
        return False

    async def _call(self, what: str, method: str, path: str, body: Any = None) -> Reply:
        """A reply, after as many attempts as it takes: what is sent here may be sent twice."""
        report, request = self._shop.report, request_of(method, path, body)
        for attempt in range(_ATTEMPTS):
            began = self._shop.now()
            try:
                reply = await self._shop.pool.ask(request)
            except OSError:
                report.broken.append(self._shop.now())
                await asyncio.sleep(0.1)
                continue
            if reply.status == 503 and reply.header("retry-after"):
                report.come_back += 1
                await asyncio.sleep(float(reply.header("retry-after")))
                continue
            report.done[what] += 1
            if not attempt:
                report.latencies.append(self._shop.now() - began)
            return reply
        raise TimeoutError(f"{method} {path} was not answered in {_ATTEMPTS} attempts")


__all__ = ["Shop", "Shopper"]
