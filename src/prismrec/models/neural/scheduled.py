"""The objective of a model of two tasks, as its schedule says; or of one of them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from prismrec.models.contract import TaskLoss
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.schedules import ScheduleSettings, Turns


@dataclass(frozen=True, eq=False)
class Task:
    """One of the two.

    Attributes:
        name: for the log.
        n_batches: how many batches go once over its examples.
        loss: (epoch, number) -> the scalar to make smaller on one batch, and the loss for the log.
    """

    name: str
    n_batches: int
    loss: Callable[[int, int], tuple[torch.Tensor, TaskLoss]]


class ScheduledTasks:
    """`steps_per_epoch`, `objective` and `task_weights` of a `NeuralModel` with two tasks."""

    def __init__(self, settings: ScheduleSettings, main: Task, side: Task | None = None) -> None:
        """Bind the tasks to their turns; without a side task every step is of the main one."""
        self._tasks = {"main": main, **({"side": side} if side else {})}
        self._turns = Turns(settings, main.n_batches, side.n_batches if side else 0)
        self._weights = {"main": 1.0, "side": settings.side_weight if settings.kind == "joint" else 1.0}

    @property
    def steps_per_epoch(self) -> int:
        """How many steps make an epoch."""
        return self._turns.steps_per_epoch

    def objective(self, epoch: int, step: int) -> Objective:
        """The loss of the tasks whose turn it is; parameters that only the other task has get no gradient."""
        values, losses = [], {}
        for turn in self._turns.at(epoch, step):
            task = self._tasks[turn.task]
            value, losses[task.name] = task.loss(turn.epoch, turn.number)
            values.append(self._weights[turn.task] * value)
        return Objective(torch.stack(values).sum(), losses)

    def task_weights(self) -> Mapping[str, float]:
        """How the two losses are weighed where a step trains both."""
        return {task.name: self._weights[turn] for turn, task in self._tasks.items()}


__all__ = ["ScheduledTasks", "Task"]
