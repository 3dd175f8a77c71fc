"""What happened in a soak: counts, latencies, memory, and everything that was not as it must be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loadtest.server import Memory

KILL_SECONDS = 5.0
"""How long after a worker was killed a broken connection may still be its doing."""

_TOLD = 20


@dataclass
class Report:
    """Filled while the soak runs; times are seconds on the clock of the event loop.

    Attributes:
        done: how often each kind of request was answered.
        come_back: 503 answers with Retry-After; each was asked again later.
        broken: when connections broke before their answer was whole.
        kills: when workers were killed.
        latencies: seconds from request to answer, first attempts alone.
        memory: (when, memory of the worker that is never killed).
        problems: what was wrong, the first few in words.
        n_problems: how many there were.
    """

    done: Counter[str] = field(default_factory=Counter)
    come_back: int = 0
    broken: list[float] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    reloads: int = 0
    refusals: int = 0
    latencies: list[float] = field(default_factory=list)
    memory: list[tuple[float, Memory]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_problems: int = 0
    seconds: float = 0.0

    def problem(self, text: str) -> None:
        """Something is not as it must be."""
        self.n_problems += 1
        if len(self.problems) < _TOLD:
            self.problems.append(text)

    def check_broken(self) -> None:
        """Every connection that broke must be a killed worker's."""
        for moment in self.broken:
            if not any(kill <= moment <= kill + KILL_SECONDS for kill in self.kills):
                self.problem(f"a connection broke {moment:.1f} s into the soak, and no worker had been killed")

    def growth(self, warm_up: float) -> Memory:
        """How much memory grew in MB: the last fifth of the time after a warm-up against its first fifth."""
        after = [memory for moment, memory in self.memory if moment >= warm_up]
        fifth = max(1, len(after) // 5)
        parts = [[(m.rss, m.pss, m.own) for m in part] for part in (after[:fifth], after[-fifth:])]
        first, last = (np.median(part, axis=0) for part in parts)
        return Memory(*(last - first).tolist())

    def heap_over_time(self, parts: int = 10) -> list[float]:
        """The heap in MB, from beginning to end: the median of each part of the time."""
        heap = [memory.own for _, memory in self.memory]
        return [round(float(np.median(part)), 1) for part in np.array_split(heap, min(parts, len(heap)))]

    def figures(self, warm_up: float) -> dict[str, Any]:
        """The report as JSON values."""
        grown, latest = self.growth(warm_up), self.memory[-1][1]
        p50, p99 = np.percentile(self.latencies, [50, 99])
        return {
            "seconds": round(self.seconds, 1),
            "requests": sum(self.done.values()),
            "done": dict(sorted(self.done.items())),
            "requests_per_second": round(sum(self.done.values()) / self.seconds, 1),
            "p50_ms": round(1e3 * float(p50), 2),
            "p99_ms": round(1e3 * float(p99), 2),
            "come_back_503": self.come_back,
            "killed_workers": len(self.kills),
            "broken_connections": len(self.broken),
            "reloads": self.reloads,
            "refused_bundles": self.refusals,
            "memory_mb": {"rss": round(latest.rss, 1), "pss": round(latest.pss, 1), "own": round(latest.own, 1)},
            "heap_mb_over_time": self.heap_over_time(),
            "growth_mb": {"rss": round(grown.rss, 1), "pss": round(grown.pss, 1), "own": round(grown.own, 1)},
            "problems": self.n_problems,
            "told": self.problems,
        }


__all__ = ["KILL_SECONDS", "Report"]
