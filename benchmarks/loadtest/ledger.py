"""What clients were promised: acknowledged events of users, and how the items stand that change at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

VISIBLE_SECONDS = 5.0
"""When a change must show in every worker, long after `refresh_seconds`: the machine may be busy."""


@dataclass
class Standing:
    """How an item stands from a moment on.

    Attributes:
        version: which upsert it shows; 0 as in the bundle, None where there is no such item.
        sent, acknowledged: seconds on the clock of the event loop; a change that is under way has no second one yet.
    """

    version: int | None
    sent: float
    acknowledged: float | None = None


@dataclass
class Ledger:
    """Promises to clients. Each user and each changing item belongs to one client, which waits for every answer.

    Attributes:
        histories: user -> items of the acknowledged events, oldest first.
        changing: item -> its standings, the latest last.
    """

    histories: dict[str, list[str]] = field(default_factory=dict)
    changing: dict[str, list[Standing]] = field(default_factory=dict)

    def begin(self, users: Iterable[str], items: Mapping[str, int | None]) -> None:
        """Begin with users that nobody knows, and with items of some version."""
        self.histories |= {user: [] for user in users}
        self.changing |= {item: [Standing(version, 0.0, 0.0)] for item, version in items.items()}

    def change(self, item: str, version: int | None, now: float) -> Standing:
        """A change that is about to be sent."""
        standing = Standing(version, now)
        self.changing[item].append(standing)
        return standing

    def possible(self, item: str, sent: float, answered: float) -> set[int | None]:
        """The versions of a changing item that an answer may show, to a request sent and answered at these times."""
        standings = self.changing[item]
        settled = [
            place
            for place, standing in enumerate(standings)
            if standing.acknowledged is not None and standing.acknowledged <= sent - VISIBLE_SECONDS
        ]
        return {s.version for s in standings[max(settled, default=0) :] if s.sent <= answered}

    def last(self, item: str) -> int | None:
        """The version of a changing item after all that was done to it."""
        return self.changing[item][-1].version


__all__ = ["VISIBLE_SECONDS", "Ledger", "Standing"]
