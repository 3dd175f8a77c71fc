"""Latency, throughput, memory and start of `prismrec serve`; or a soak of it.

    python benchmarks/bench_serve.py [--json PATH] [--rounds N] [--seconds S]
    python benchmarks/bench_serve.py --soak 600 [--json PATH]

200,000 items in three views of 64 dimensions; each request brings a history of 20 items and asks for 50. The server is
a process of its own, the load comes over loopback from this one: requests are due at random times, whether or not
earlier ones are answered, and latency counts from then. Both share the same cores. Of several rounds the one with the
lowest p99 counts: others only show what else the machine had to do. Beside it stand the parts alone: search without
HTTP, and HTTP without search. Aims: p99 below 20 ms at 300 requests/s with one worker on 2 cores, ready within 3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from loadtest.catalogue import Shape, cached_bundle, integer_ids, popular
from loadtest.client import request_of
from loadtest.open_loop import Load, offer, run
from loadtest.server import Memory, Server, free_port, memory_of
from loadtest.soak import SoakSettings, soak
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import read_index
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.request import Request

SHAPE = Shape()
INDEXES = {"auto": IndexSettings(), "exact": IndexSettings(kind="exact")}
K, HISTORY = 50, 20
RATES = (50, 100, 300)
N_REQUESTS = 2_000
TOGETHER = 8
STEP = 1.25
HELD_MS = 50.0
"""A rate is held while p99 stays below this, and nothing fails."""


@dataclass(frozen=True)
class Measured:
    """A server of one kind.

    Attributes:
        ready: seconds from a cold process to an answer of 200, with a release to go on with.
        loads: the best round of each rate.
        highest: the highest rate that was held, requests per second.
        memory: of each worker, after the load.
    """

    name: str
    ready: float
    loads: list[Load]
    highest: float
    memory: list[Memory]


def histories() -> list[list[int]]:
    """Histories of items drawn by popularity."""
    drawn = popular(SHAPE, N_REQUESTS * HISTORY, np.random.default_rng(1))
    found: list[list[int]] = np.array(integer_ids(SHAPE))[drawn].reshape(-1, HISTORY).tolist()
    return found


def round_of(server: Server, bodies: Sequence[bytes], rate: float, seconds: float, seed: int = 0) -> Load:
    """One round of load, and what it cost the server."""
    before = server.cpu_seconds()
    load = run(offer(server.port, bodies, rate, seconds, seed))
    return replace(load, cpu=server.cpu_seconds() - before)


def is_held(load: Load) -> bool:
    """Whether nothing failed and nothing piled up."""
    return not load.failures and load.percentile(99) < HELD_MS


def measure(name: str, server: Server, bodies: Sequence[bytes], options: argparse.Namespace) -> Measured:
    """Load a server that is ready at each rate, then ever more until it holds no more."""
    ready = server.wait_ready()
    round_of(server, bodies, RATES[0], 1)  # warm
    loads = []
    for rate in RATES:
        rounds = [round_of(server, bodies, rate, options.seconds, seed) for seed in range(options.rounds)]
        loads.append(min(rounds, key=lambda load: load.percentile(99)))
    highest = max((load.rate for load in loads if is_held(load)), default=0.0)
    more = float(RATES[-1])
    while highest == more:
        more = round(STEP * more)
        if any(is_held(round_of(server, bodies, more, options.seconds / 2, seed)) for seed in range(2)):
            highest = more
    return Measured(name, ready, loads, highest, [memory_of(pid) for pid in server.workers])


def measure_servers(folder: Path, options: argparse.Namespace) -> list[Measured]:
    """Both kinds of index, each with one and with two workers; and FastAPI with a route that does nothing."""
    bodies = [request_of("POST", "/v1/recommend", {"history": items, "k": K}) for items in histories()]
    measured = []
    for name, index in INDEXES.items():
        bundle, home, log = cached_bundle(SHAPE, index), folder / name, folder / f"{name}.log"
        with Server.of_bundle(bundle, home, log) as first:  # adopts the bundle, which happens once
            first.wait_ready()
            first.stop()
        for workers in (1, 2):
            with Server.of_bundle(bundle, home, log, workers) as server:
                measured.append(measure(f"{kind_of(bundle)} x {workers}", server, bodies, options))
                server.stop()
    program, port = Path(__file__).parent / "loadtest" / "idle_app.py", free_port()
    with Server([sys.executable, str(program), str(port)], port, folder / "idle.log") as server:
        measured.append(measure("FastAPI x 1", server, bodies, options))
    return measured


def kind_of(bundle: Path) -> str:
    """Which index a bundle has."""
    record = Bundle.open(bundle, verify="sizes").manifest.index
    return record.kind if record else "exact"


def measure_search(n: int = 200) -> dict[str, float]:
    """Milliseconds of processor time per query without HTTP."""
    path = cached_bundle(SHAPE, INDEXES["auto"])
    bundle = Bundle.open(path, verify="sizes")
    matrices, index = read_index(path, bundle.manifest, bundle.contents)
    exact = replace(index, approximate=None)
    requests = [Request(history=tuple(items), k=K) for items in histories()[:n]]
    queries = np.zeros((n, matrices.targets.shape[1]), np.float32)
    queries[:, :-1] = [matrices.sources[bundle.items.find_all(r.history)].mean(axis=0) for r in requests]
    flat = faiss.IndexFlatIP(queries.shape[1])
    flat.add(np.ascontiguousarray(matrices.targets))
    faiss.omp_set_num_threads(1)
    recommend = bundle.retriever.recommend
    return {
        "faiss IndexFlatIP": _cpu_ms(n, 1, lambda part: flat.search(queries[part], K)),
        "index: exact": _cpu_ms(n, 1, lambda part: exact.search(queries[part], K)),
        f"index: {index.kind}": _cpu_ms(n, 1, lambda part: index.search(queries[part], K)),
        "recommend, one by one": _cpu_ms(n, 1, lambda part: recommend(requests[part])),
        f"recommend, {TOGETHER} at once": _cpu_ms(n, TOGETHER, lambda part: recommend(requests[part])),
    }


def _cpu_ms(n: int, together: int, ask: Callable[[slice], Any]) -> float:
    """The best of three passes."""
    passes = []
    for _ in range(3):
        began = time.process_time()
        for start in range(0, n, together):
            ask(slice(start, start + together))
        passes.append(1e3 * (time.process_time() - began) / n)
    return min(passes)


def figures_of(measured: Measured) -> dict[str, Any]:
    """A server's figures as JSON values."""
    loads = [
        {
            "rate": load.rate,
            "achieved": load.achieved,
            **{f"p{p}_ms": load.percentile(p) for p in (50, 90, 99)},
            "cpu_ms_per_request": load.cpu_per_request,
            "failures": dict(load.failures),
        }
        for load in measured.loads
    ]
    memory = [asdict(one) for one in measured.memory]
    return {"ready_seconds": measured.ready, "loads": loads, "highest_rate": measured.highest, "memory_mb": memory}


def tables(measured: Sequence[Measured], search: dict[str, float]) -> list[Table]:
    """What is printed."""
    titles = ("Load, in ms (index x workers)", "Servers, in MB", "Parts, in ms")
    load, rest, alone = (Table(title=title, box=SIMPLE) for title in titles)
    for name in ("server", "due/s", "answered/s", "p50", "p90", "p99", "CPU each", "failed"):
        load.add_column(name, justify="left" if name == "server" else "right")
    for name in ("server", "held, of requests/s", "ready after", "RSS", "PSS", "heap, of each worker"):
        rest.add_column(name, justify="left" if name == "server" else "right")
    for one in measured:
        for each in one.loads:
            percentiles = (f"{each.percentile(p):.1f}" for p in (50, 90, 99))
            failed = ", ".join(f"{n} x {what}" for what, n in each.failures.items()) or "0"
            cpu = f"{each.cpu_per_request:.2f}"
            load.add_row(one.name, f"{each.rate:g}", f"{each.achieved:.0f}", *percentiles, cpu, failed)
        columns = [", ".join(f"{getattr(m, name):.0f}" for m in one.memory) for name in ("rss", "pss", "own")]
        rest.add_row(one.name, f"{one.highest:g}", f"{one.ready:.1f} s", *columns)
    alone.add_column("one query without HTTP")
    alone.add_column("CPU", justify="right")
    for name, milliseconds in search.items():
        alone.add_row(name, f"{milliseconds:.2f}")
    return [load, rest, alone]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per rate")
    parser.add_argument("--seconds", type=float, default=2.5, help="seconds per round")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="mixed load for so long instead")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="prismrec-bench-") as folder:
        if options.soak:
            settings = SoakSettings(seconds=options.soak, warm_up=min(60, options.soak / 3))
            figures = soak(Path(folder), settings).figures(settings.warm_up)
            console.print_json(data=figures)
        else:
            busy = os.getloadavg()[0]
            search, measured = measure_search(), measure_servers(Path(folder), options)
            figures = {"servers": {one.name: figures_of(one) for one in measured}, "search_cpu_ms": search}
            figures |= {"items": SHAPE.n_items, "cores": os.cpu_count(), "load_before": busy}
            for table in tables(measured, search):
                console.print(table)
            console.print(f"{SHAPE.n_items:,} items, {os.cpu_count()} cores; {busy:.1f} processes ran before")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.soak and figures["problems"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
