"""Which of two tasks a step trains: a schedule that any model of two tasks can have, with the loop that all have.

    alternating   every epoch all batches of the main task, and among them, evenly, one pass over the side task in
                  `interval` epochs: each step trains one task
    joint         every step trains both, their losses summed; the side task's batches come round again and again
    sequential    the side task alone for `side_epochs` epochs, then the main task alone

An epoch has the same number of steps throughout, so that runs can be resumed from any of them. The three ways are those
of teaching a recommender and the vectors of a knowledge graph: Wang et al.: MKR. WWW 2019,
https://arxiv.org/abs/1901.08907, alternates whole epochs; here steps of both are mixed, as evenly as they can be.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from prismrec.config import Section


class ScheduleSettings(Section):
    """`[models.<name>.schedule]`: when the two tasks of a model are trained."""

    kind: Literal["alternating", "joint", "sequential"] = Field(
        "alternating", description="steps of one task or the other; both in each; first the side task, then the main"
    )
    interval: int = Field(3, ge=1, description="alternating: epochs in which the side task is gone through once")
    side_epochs: int = Field(5, ge=1, description="sequential: epochs of the side task before the main task begins")
    side_weight: float = Field(1.0, gt=0, description="joint: weight of the side task's loss; that of the main is 1")


class Turn(NamedTuple):
    """One batch of one task.

    Attributes:
        task: "main" or "side".
        epoch: how often all batches of the task came before.
        number: which of them.
    """

    task: Literal["main", "side"]
    epoch: int
    number: int


class Turns:
    """Which batches of which task each step trains."""

    def __init__(self, settings: ScheduleSettings, n_main: int, n_side: int) -> None:
        """Bind how many batches each task has: the main one at least one, the side one none where there is no such."""
        self._settings = settings
        self._n_main = n_main
        self._n_side = n_side
        self._sides = -(-n_side // settings.interval) if settings.kind == "alternating" else 0

    @property
    def steps_per_epoch(self) -> int:
        """How many steps make an epoch."""
        return self._n_main + self._sides

    def at(self, epoch: int, step: int) -> tuple[Turn, ...]:
        """What one step trains."""
        if not self._n_side:
            return (Turn("main", epoch, step),)
        if self._settings.kind == "joint":
            return Turn("main", epoch, step), self._side(epoch * self._n_main + step)
        if self._settings.kind == "sequential":
            first = self._settings.side_epochs
            return (self._side(epoch * self._n_main + step) if epoch < first else Turn("main", epoch - first, step),)
        before, after = self._sides_before(step), self._sides_before(step + 1)
        return (Turn("main", epoch, step - before) if before == after else self._side(epoch * self._sides + before),)

    def _sides_before(self, step: int) -> int:
        """How many of an epoch's first steps are of the side task."""
        return step * self._sides // self.steps_per_epoch

    def _side(self, count: int) -> Turn:
        return Turn("side", *divmod(count, self._n_side))


__all__ = ["ScheduleSettings", "Turn", "Turns"]
