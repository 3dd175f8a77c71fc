"""Load as strangers make it: requests come when they come, whether or not earlier ones are answered.

The times are drawn beforehand (a Poisson process of the given rate, the same from the same seed), and latency counts
from the moment a request was due. A client that waits for an answer before it asks again would ask a slow server less,
and never see its queue ("coordinated omission").
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from loadtest.client import Pool

T = TypeVar("T")

CONNECTIONS = 64

_LEAD = 0.05  # seconds between the start and the first request


@dataclass(frozen=True, eq=False)
class Load:
    """What came of some seconds of load.

    Attributes:
        rate: requests per second that were due.
        seconds: from the first that was due to the last answer.
        latencies: (n,) seconds from due to answered.
        failures: what was not answered with 200, and how often: a status, or the name of an error.
        cpu: seconds of processor time that the server used.
    """

    rate: float
    seconds: float
    latencies: NDArray[np.float64]
    failures: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0

    @property
    def achieved(self) -> float:
        """Requests answered with 200 per second."""
        return (len(self.latencies) - self.failures.total()) / self.seconds

    def percentile(self, p: float) -> float:
        """Milliseconds that p percent of the requests stayed below."""
        return 1e3 * float(np.percentile(self.latencies, p))

    @property
    def cpu_per_request(self) -> float:
        """Milliseconds of the server's processor time per request."""
        return 1e3 * self.cpu / len(self.latencies)


async def offer(port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int = 0) -> Load:
    """Send requests in turn at random times, `rate` per second on average, and wait for all answers."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, round(rate * seconds))
    loop = asyncio.get_running_loop()
    due = loop.time() + _LEAD + np.cumsum(gaps)
    answered = np.zeros(len(due))
    failures: Counter[str] = Counter()

    async def one(number: int, pool: Pool) -> None:
        try:
            reply = await pool.ask(requests[number % len(requests)])
            if reply.status != 200:
                failures[str(reply.status)] += 1
        except OSError as error:
            failures[type(error).__name__] += 1
        answered[number] = loop.time()

    async with Pool(port, CONNECTIONS) as pool, asyncio.TaskGroup() as tasks:
        for number, moment in enumerate(due):
            delay = moment - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            tasks.create_task(one(number, pool))
    return Load(rate, float(answered.max() - due[0]), answered - due, failures)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop whose clock ticks in microseconds, the collector of garbage at rest.

    The usual loops round waiting times up to whole milliseconds, which would be counted as the server's.
    """
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
            return runner.run(work)
    finally:
        gc.enable()


__all__ = ["CONNECTIONS", "Load", "offer", "run"]
