"""The processes that train one model together, seen from one of them.

A model asks its crew for sums and agreements and need not know how many there are: `ALONE` answers for one process
without any communication, `process_group` for several.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Crew(Protocol):
    """Every process calls the same methods in the same order: each of them waits for all the others."""

    @property
    def rank(self) -> int:
        """Which of the processes this is, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def total(self, values: NDArray) -> NDArray:
        """The sum over all processes, of the same shape and type; the same bits in each of them."""
        ...

    def most(self, value: int) -> int:
        """The largest of all processes' values."""
        ...

    def first(self, value: str) -> str:
        """What process 0 says."""
        ...

    def gather(self, value: str) -> list[str]:
        """What each process says, by rank."""
        ...

    def wait(self) -> None:
        """Go on when all are here."""
        ...


class Attempt(NamedTuple):
    """Which start of a crew this is: one that loses a process is started again, and goes on where it was.

    Attributes:
        launch: a name that all starts of one launch share, and no other launch.
        number: 0 is the first start. Every machine counts for itself: of a crew some may know of starts that others
            do not.
    """

    launch: str = ""
    number: int = 0


FIRST_ATTEMPT = Attempt()


class Alone:
    """A crew of one."""

    rank = 0
    size = 1

    def total(self, values: NDArray) -> NDArray:
        """As it is."""
        return values

    def most(self, value: int) -> int:
        """As it is."""
        return value

    def first(self, value: str) -> str:
        """As it is."""
        return value

    def gather(self, value: str) -> list[str]:
        """What the one process says."""
        return [value]

    def wait(self) -> None:
        """Nobody to wait for."""


ALONE: Crew = Alone()


def rows_of(n_rows: int, rank: int, size: int) -> tuple[int, int]:
    """The rows begin..end of a table that a process holds when it is sharded row-wise: blocks of equal height.

    >>> [rows_of(10, rank, 4) for rank in range(4)]
    [(0, 3), (3, 6), (6, 9), (9, 10)]
    """
    height = -(-n_rows // size)
    return min(n_rows, rank * height), min(n_rows, (rank + 1) * height)


def share_of(starts: NDArray[np.int64], rank: int, size: int) -> tuple[int, int]:
    """The ragged rows begin..end that a process reads: consecutive, and about as many values as the others'.

    Args:
        starts: (n_rows + 1,) offsets of the rows in their values, as `Sequences.offsets`.
    """
    marks = np.array([rank, rank + 1], np.int64) * int(starts[-1]) // size
    begin, end = np.searchsorted(starts[:-1], marks, side="left").tolist()
    return begin, len(starts) - 1 if rank == size - 1 else end


__all__ = ["ALONE", "FIRST_ATTEMPT", "Alone", "Attempt", "Crew", "rows_of", "share_of"]
