"""How the tasks of a joint objective are weighed: by learned homoscedastic uncertainty, equally, or as given.

With s_t = log sigma_t^2 the joint loss of M2GRL (the paper's last equation; Kendall, Gal and Cipolla 2018) is

    L = sum_t  L_t / (2 sigma_t^2) + log sigma_t  =  sum_t  (exp(-s_t) L_t + s_t) / 2

so a task weighs w_t = exp(-s_t) / 2, and dL/ds_t = (1 - exp(-s_t) L_t) / 2 draws s_t towards log L_t: a task with a
large loss is one the data say little about, and gets a small weight. Unlike sigma itself, its logarithm has no floor on
which it could get stuck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError
from prismrec.models.contract import TaskLoss
from prismrec.models.m2grl.config import M2GRLConfig

UNCERTAINTY_RATE = 0.1
"""Step of the log-variances per training step: far slower than the losses move, settled within some dozen steps."""

MAX_CHANGE = 1.0
"""The most a log-variance may move in one step, so that one odd batch cannot turn a task off."""


class TaskWeights:
    """The weight of each task, and how it changes with the losses.

    Attributes:
        log_variances: (n_tasks,) float64, in the order of `tasks`; changes only under "uncertainty".
    """

    def __init__(self, tasks: Sequence[str], config: M2GRLConfig) -> None:
        """Start with all log-variances at 0.

        Raises:
            ConfigError: fixed weights that do not name exactly the tasks.
        """
        self.tasks = tuple(tasks)
        self.log_variances: NDArray[np.float64] = np.zeros(len(self.tasks), np.float64)
        self._learned = config.task_weights == "uncertainty"
        self._fixed = self._check_fixed(config.fixed_weights) if config.task_weights == "fixed" else None

    def current(self) -> dict[str, float]:
        """Task name -> weight."""
        if self._fixed is not None:
            return dict(self._fixed)
        return dict(zip(self.tasks, (np.exp(-self.log_variances) / 2).tolist(), strict=True))

    def learn(self, losses: Mapping[str, TaskLoss]) -> None:
        """One gradient step of the log-variances on the mean loss per example of each task that had examples."""
        if not self._learned:
            return
        for place, task in enumerate(self.tasks):
            loss = losses.get(task)
            if loss is not None and loss.n_examples:
                pull = (np.exp(-self.log_variances[place]) * loss.mean - 1) / 2
                self.log_variances[place] += np.clip(UNCERTAINTY_RATE * pull, -MAX_CHANGE, MAX_CHANGE)

    def _check_fixed(self, weights: Mapping[str, float]) -> dict[str, float]:
        if set(weights) != set(self.tasks):
            raise ConfigError(
                f"model.fixed_weights must give a weight to each of the tasks {', '.join(self.tasks)}; "
                f"it names {', '.join(sorted(weights))}"
            )
        return {task: weights[task] for task in self.tasks}


__all__ = ["MAX_CHANGE", "UNCERTAINTY_RATE", "TaskWeights"]
