"""A short soak of real processes; and what it judges by, held to answers that are right and to such as are not.

The long one: `python benchmarks/bench_serve.py --soak 600`.
"""

import asyncio
import copy
import functools

import numpy as np
import pytest

from loadtest.catalogue import Shape, catalogue
from loadtest.client import BrokenConnectionError, Pool, request_of
from loadtest.ledger import VISIBLE_SECONDS, Ledger
from loadtest.open_loop import CONNECTIONS, Load, offer
from loadtest.oracle import Oracle, Question
from loadtest.report import KILL_SECONDS, Report
from loadtest.server import Memory
from loadtest.soak import SoakSettings, soak
from prismrec.config import build
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.request import Diversity, Filters, Request, SimilarRequest

SHORT = SoakSettings(seconds=8, warm_up=3, reload_every=1.5, kill_every=2, shoppers=8)
STEADY_MB = 30.0
"""What the heap of a worker may grow by within seconds: buffers, and caches that are not full yet."""


@pytest.mark.slow
def test_nothing_is_lost_or_wrong_under_mixed_load_with_reloads_and_killed_workers(tmp_path):
    report = soak(tmp_path, SHORT)
    assert report.n_problems == 0, report.problems
    figures = report.figures(SHORT.warm_up)
    assert figures["reloads"] >= 2
    assert figures["refused_bundles"] >= 1
    assert figures["killed_workers"] >= 2
    assert figures["growth_mb"]["own"] < STEADY_MB
    assert set(figures["done"]) == {
        "batch", "delete", "events", "events again", "forget", "item", "recommend", "similar", "upsert"
    }  # fmt: skip


# ---- what an answer must be ----

SHAPE = Shape(n_items=300, n_categories=10, n_shops=20, n_clusters=12, dim=8)
IDS = [f"sku {i}" for i in range(SHAPE.n_items)]
QUESTIONS = {
    "history": {"k": 10, "history": ["sku 1", "sku 200", "sku 17"]},
    "nothing known": {"k": 10, "history": []},
    "unknown ids": {"k": 5, "history": ["sku 4", "sku none"]},
    "seen included": {"k": 10, "history": ["sku 4"], "exclude_seen": False},
    "pushed away": {"k": 10, "history": ["sku 9"], "weights": {"item": 1.0, "category": -0.5}},
    "one category": {"k": 10, "history": ["sku 9"], "filters": {"where": {"category": {"any_of": ["category 3"]}}}},
    "cheap, some blocked": {
        "k": 10, "history": ["sku 9"], "filters": {"where": {"price": {"max": 8.0}}, "block": ["sku 0", "sku 2"]},
    },
    "few allowed": {"k": 10, "history": ["sku 9"], "filters": {"allow": ["sku 1", "sku 9", "sku 50"]}},
    "diverse": {"k": 10, "history": ["sku 9"], "diversity": {"level": 0.5, "quotas": {"category": 2}}},
    "explained": {"k": 5, "history": ["sku 9", "sku 3"], "explain": True},
    "similar": {"k": 10, "item_id": "sku 30"},
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.write(tmp_path_factory.mktemp("shop") / "bundle", catalogue(SHAPE, IDS, IndexSettings(kind="exact")))


def question(body):
    return Question(body, tuple(body.get("history", ())), sent=10.0, answered=11.0)


def answer_to(retriever, body):
    """What the server would answer, as JSON has it."""
    shared = {
        "k": body["k"], "weights": body.get("weights"), "filters": build(Filters, body.get("filters", {}), "filters"),
        "diversity": build(Diversity, body.get("diversity", {}), "diversity"), "explain": body.get("explain", False),
    }  # fmt: skip
    if "item_id" in body:
        found = retriever.similar([SimilarRequest(body["item_id"], **shared)])[0]
    else:
        seen = body.get("exclude_seen", True)
        found = retriever.recommend([Request(tuple(body["history"]), exclude_seen=seen, **shared)])[0]
    items = [{"item_id": r.item_id, "score": r.score, "columns": dict(r.columns)} for r in found.items]
    for item, r in zip(items, found.items, strict=True):
        if r.explanation is not None:
            told = r.explanation
            item["explanation"] = {"views": told.views, "popularity": told.popularity, "repeat": told.repeat}
    return {"items": items, "unknown_ids": list(found.unknown_ids), "release": 1}


@pytest.mark.parametrize("name", QUESTIONS)
def test_oracle_accepts_what_the_retriever_answers(bundle, name):
    body = QUESTIONS[name]
    answer = answer_to(bundle.retriever, body)
    assert answer["items"]
    assert list(Oracle(bundle, Ledger()).problems(question(body), answer)) == []


def without_the_first(answer):
    del answer["items"][0]


def without_the_last(answer):
    del answer["items"][-1]


def first_two_swapped(answer):
    answer["items"][:2] = answer["items"][1::-1]


def score_changed(answer):
    answer["items"][3]["score"] += 0.01


def one_twice(answer):
    answer["items"][1] = answer["items"][0]


def unknown_kept_quiet(answer):
    answer["unknown_ids"] = []


def invented_item(answer):
    answer["items"][-1]["item_id"] = "sku none"


def seen_item(answer):
    answer["items"][-1]["item_id"] = "sku 9"


def other_category(answer):
    answer["items"][0]["columns"]["category"] = "category 4"


def dear_item(answer):
    answer["items"][0]["columns"]["price"] = 8.5


def blocked_item(answer):
    answer["items"][0]["item_id"] = "sku 0"


def reasons_changed(answer):
    answer["items"][0]["explanation"]["popularity"] += 0.01


def reasons_left_out(answer):
    del answer["items"][0]["explanation"]


def all_of_one_category(answer):
    for item in answer["items"]:
        item["columns"]["category"] = "category 1"


@pytest.mark.parametrize(
    ("name", "spoil", "problem"),
    [
        ("history", without_the_first, "9 items came, asked for were 10"),
        ("history", without_the_last, "9 items came, asked for were 10"),
        ("history", first_two_swapped, "scores rise"),
        ("history", score_changed, "answered was"),
        ("history", one_twice, "stands twice"),
        ("history", invented_item, "is no item of the release"),
        ("similar", score_changed, "answered was"),
        ("unknown ids", unknown_kept_quiet, "unknown ids are"),
        ("pushed away", seen_item, "was seen or blocked"),
        ("one category", other_category, "has category 'category 4'"),
        ("cheap, some blocked", dear_item, "has price 8.5"),
        ("cheap, some blocked", blocked_item, "sku 0 was seen or blocked"),
        ("few allowed", invented_item, "is not on the list of those allowed"),
        ("explained", reasons_changed, "reasons for .* add up"),
        ("explained", reasons_left_out, "no reasons came for"),
        ("diverse", all_of_one_category, "10 items of one category, the quota is 2"),
    ],
)
def test_oracle_finds_what_is_wrong(bundle, name, spoil, problem):
    body = QUESTIONS[name]
    answer = copy.deepcopy(answer_to(bundle.retriever, body))
    spoil(answer)
    with pytest.raises(AssertionError, match=problem):
        assert not list(Oracle(bundle, Ledger()).problems(question(body), answer))


def test_oracle_misses_an_item_that_was_left_out_for_a_worse_one(bundle):
    body = QUESTIONS["history"]
    answer, more = (answer_to(bundle.retriever, {**body, "k": k}) for k in (10, 11))
    answer["items"][4:] = more["items"][5:]
    problems = list(Oracle(bundle, Ledger()).problems(question(body), answer))
    assert problems == [f"{more['items'][4]['item_id']} was left out, though it scores more than the last of the list"]


def test_oracle_leaves_the_place_of_changing_items_open_but_not_their_version(bundle):
    body = QUESTIONS["history"]
    answer = answer_to(bundle.retriever, body)
    changing = answer["items"][3]
    ledger = Ledger()
    ledger.begin([], {changing["item_id"]: 0})
    oracle = Oracle(bundle, ledger)
    changing["score"] = answer["items"][2]["score"]
    assert list(oracle.problems(question(body), answer)) == []
    changing["columns"]["name"] = "version 5"
    assert list(oracle.problems(question(body), answer)) == [
        f"{changing['item_id']} shows version 5, it can only be one of {{0}}"
    ]


# ---- what was promised ----


def test_a_change_may_show_when_it_is_sent_and_must_once_it_is_acknowledged_for_a_while():
    ledger = Ledger()
    ledger.begin(["ann"], {"sku": 0})
    change = ledger.change("sku", 1, now=100.0)
    assert ledger.possible("sku", sent=90.0, answered=99.0) == {0}
    assert ledger.possible("sku", sent=99.0, answered=101.0) == {0, 1}
    assert ledger.possible("sku", sent=500.0, answered=501.0) == {0, 1}, "not acknowledged: it may be lost"
    change.acknowledged = 110.0
    assert ledger.possible("sku", sent=111.0, answered=111.0) == {0, 1}
    assert ledger.possible("sku", sent=110.0 + VISIBLE_SECONDS, answered=120.0) == {1}
    ledger.change("sku", None, now=200.0).acknowledged = 201.0
    assert ledger.possible("sku", sent=199.0, answered=202.0) == {1, None}
    assert ledger.last("sku") is None


def test_a_broken_connection_is_the_doing_of_a_worker_killed_just_before():
    report = Report(broken=[3.0, 3.0 + KILL_SECONDS, 20.0], kills=[2.9, 20.1])
    report.check_broken()
    assert report.n_problems == 2
    assert [text[:34] for text in report.problems] == [
        "a connection broke 8.0 s into the ",
        "a connection broke 20.0 s into the",
    ]


def test_memory_grows_from_the_first_fifth_after_the_warm_up_to_the_last():
    sizes = [500, 900, 10, 12, *([15] * 6), 20, 22]
    report = Report(memory=[(float(i), Memory(2.0 * mb, 1.5 * mb, mb)) for i, mb in enumerate(sizes)])
    assert report.growth(2.0) == Memory(20.0, 15.0, 10.0)
    assert report.heap_over_time(parts=4) == [500, 15, 15, 20]


# ---- load ----


REQUEST = request_of("GET", "/")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}"


class Scripted(asyncio.Protocol):
    """A connection of a server that has an answer to the nth request on it, or none and hangs up."""

    def __init__(self, answers, seconds=0.0):
        self._answers, self._seconds = iter(answers), seconds
        self._free = asyncio.get_running_loop().time()

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        loop = asyncio.get_running_loop()
        self._free = max(self._free, loop.time()) + self._seconds
        loop.call_at(self._free, self._answer)

    def _answer(self):
        if answer := next(self._answers, None):
            self._transport.write(answer)
        else:
            self._transport.close()


async def served(connections, ask):
    """Ask a server whose connections are taken from `connections` in turn."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connections, "127.0.0.1", 0)
    try:
        return await ask(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def test_latency_counts_the_time_that_requests_wait_for_a_connection():
    slow = functools.partial(Scripted, [OK] * 100, seconds=0.5)
    load = asyncio.run(served(slow, lambda port: offer(port, [REQUEST], rate=1000, seconds=0.2)))
    assert len(load.latencies) == 200
    assert not load.failures
    assert load.percentile(1) == pytest.approx(500, rel=0.4)
    assert load.percentile(99) > 1500, f"200 requests over {CONNECTIONS} connections of two requests a second"
    assert load.achieved < 150


def test_failures_are_counted_by_what_they_were():
    busy = functools.partial(Scripted, [b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"])
    load = asyncio.run(served(busy, lambda port: offer(port, [REQUEST], rate=2000, seconds=0.1)))
    assert load.failures.total() == 200
    assert load.failures["503"] >= CONNECTIONS
    assert load.failures["BrokenConnectionError"] >= 1
    assert load.achieved == 0


def test_pool_opens_another_connection_after_one_broke():
    scripts = iter([[], [OK]])

    async def ask(port):
        async with Pool(port, 1) as pool:
            with pytest.raises(BrokenConnectionError, match="no whole answer"):
                await pool.ask(REQUEST)
            return await pool.ask(request_of("POST", "/", {"a": [1]}))

    reply = asyncio.run(served(lambda: Scripted(next(scripts)), ask))
    assert (reply.status, reply.header("retry-after"), reply.header("x-none"), reply.json()) == (200, "7", "", {})


def test_pool_closes_connections_that_were_used_enough():
    opened = []

    def connection():
        opened.append(Scripted([OK] * 10))
        return opened[-1]

    async def ask(port):
        async with Pool(port, 1, uses=2) as pool:
            return [(await pool.ask(REQUEST)).status for _ in range(5)]

    assert asyncio.run(served(connection, ask)) == [200] * 5
    assert len(opened) == 3


def test_load_tells_percentiles_in_milliseconds_and_cost_per_request():
    load = Load(rate=10, seconds=2.0, latencies=np.arange(1, 102) / 1000, cpu=0.303)
    assert load.percentile(50) == pytest.approx(51)
    assert load.percentile(99) == pytest.approx(100)
    assert load.achieved == 50.5
    assert load.cpu_per_request == pytest.approx(3)
