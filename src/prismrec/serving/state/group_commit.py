"""Group commit: calls that come while a transaction is being written share the next one.

Waiting for the disk is most of what a small write costs, and it costs the same for one event as for a hundred. So
each thread lays its work down; whoever finds nobody writing takes everything that lies there by then, and the others
find theirs done. Nobody waits for company: a lone call writes at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from prismrec.serving.state.engine import StateError

Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Entry(Generic[Work, Result]):
    work: Work
    result: Result | None = None
    error: str = ""
    taken: bool = False
    done: bool = False


class GroupCommit(Generic[Work, Result]):
    """Joins the work of threads into few transactions."""

    def __init__(self, write: Callable[[Sequence[Work]], Sequence[Result]], writers: int = 1) -> None:
        """Join work for `write`, which does all of it in one transaction and gives one result for each piece.

        Args:
            write: raises StateError where the transaction failed as a whole.
            writers: how many transactions may run at once.
        """
        self._write = write
        self._idle_writers = writers
        self._waiting: list[_Entry[Work, Result]] = []
        self._changed = threading.Condition()

    def __call__(self, work: Work) -> Result:
        """Do the work, alone or with that of other threads; it is durable when this returns.

        Raises:
            StateError: the transaction failed; nothing of the work is stored.
        """
        mine: _Entry[Work, Result] = _Entry(work)
        with self._changed:
            self._waiting.append(mine)
            self._changed.wait_for(lambda: mine.done or (self._idle_writers and not mine.taken))
            entries = [] if mine.done else self._take()
        if entries:
            self._write_together(entries)
        if mine.error:
            raise StateError(mine.error)
        return mine.result  # type: ignore[return-value]  # no error: the result is there

    def _take(self) -> list[_Entry[Work, Result]]:
        """Everything that waits becomes this thread's work; called with the lock held."""
        entries, self._waiting = self._waiting, []
        self._idle_writers -= 1
        for entry in entries:
            entry.taken = True
            entry.error = "the thread that wrote it was interrupted: whether it is stored is not known"
        return entries

    def _write_together(self, entries: list[_Entry[Work, Result]]) -> None:
        try:
            for entry, result in zip(entries, self._write([entry.work for entry in entries]), strict=True):
                entry.result = result
                entry.error = ""
        except StateError as error:
            for entry in entries:
                entry.error = str(error)
        finally:
            with self._changed:
                self._idle_writers += 1
                for entry in entries:
                    entry.done = True
                self._changed.notify_all()


__all__ = ["GroupCommit"]
