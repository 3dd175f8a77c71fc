"""Group commit: calls that come while a transaction is being written share the next one.

Waiting for the disk is most of what a small write costs, and it costs the same for one event as for a hundred. So
each thread lays its work down and asks for the turn to write; whoever gets the turn writes everything that lies there
by then, and the others find their work done when their turn comes. Nobody waits for company: a lone call writes at
once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from prismrec.serving.state_engine import StateError

Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Entry(Generic[Work, Result]):
    work: Work
    result: Result | None = None
    error: str = "its transaction was interrupted: whether it is stored is not known"
    taken: bool = False
    done: bool = False


class GroupCommit(Generic[Work, Result]):
    """Joins the work of threads into few transactions."""

    def __init__(self, write: Callable[[Sequence[Work]], Sequence[Result]]) -> None:
        """Join work for `write`, which does all of it in one transaction and gives one result for each piece.

        It raises StateError where the transaction failed as a whole.
        """
        self._write = write
        self._waiting: list[_Entry[Work, Result]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, work: Work) -> Result:
        """Do the work, alone or with that of other threads; it is durable when this returns.

        Raises:
            StateError: the transaction failed; nothing of the work is stored.
        """
        mine: _Entry[Work, Result] = _Entry(work)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.taken:
                self._write_waiting()
        if not mine.done:
            raise StateError(mine.error)
        return mine.result  # type: ignore[return-value]  # done: the result is there

    def _write_waiting(self) -> None:
        with self._lock:
            entries, self._waiting = self._waiting, []
        for entry in entries:
            entry.taken = True
        try:
            results = self._write([entry.work for entry in entries])
        except StateError as error:
            for entry in entries:
                entry.error = str(error)
            return
        for entry, result in zip(entries, results, strict=True):
            entry.result = result
            entry.done = True


__all__ = ["GroupCommit"]
