"""What happened in training, as plain numbers: per epoch, and finer for the curves of the learned task weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from prismrec.errors import ArtifactError

TRACE_POINTS_PER_EPOCH = 20
"""How many points of the curves an epoch gives at most."""


@dataclass(frozen=True)
class EpochLog:
    """One whole pass over the training data.

    Attributes:
        epoch: how many epochs were done after it: 1 is the first.
        losses: mean loss per example of each task over the epoch.
        task_weights: the weight of each task at the end of the epoch.
        n_examples: examples of all tasks together.
        seconds: time spent in training steps, without validation and checkpoints.
        validation: the validation metric, higher is better; None where the epoch was not validated.
    """

    epoch: int
    losses: Mapping[str, float]
    task_weights: Mapping[str, float]
    n_examples: int
    seconds: float
    validation: float | None = None

    @property
    def examples_per_second(self) -> float:
        """Training speed; 0 where the clock saw no time pass."""
        return self.n_examples / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class TracePoint:
    """One point of the curves within an epoch.

    Attributes:
        epoch: position in epochs, a fraction: 1.5 is the middle of the second epoch.
        losses: mean loss per example of each task in the step at this point (one step: it is noisy).
        task_weights: the weight of each task after that step.
    """

    epoch: float
    losses: Mapping[str, float]
    task_weights: Mapping[str, float]


@dataclass(frozen=True)
class TrainingLog:
    """The course of one training run.

    Attributes:
        epochs: one entry per finished epoch.
        trace: up to 20 points per epoch, in order of time.
        kept_epoch: the epoch whose vectors the model ended with; None while training is not finished.
        stopped_early: whether the validation metric stopped improving before the last epoch.
    """

    epochs: tuple[EpochLog, ...] = ()
    trace: tuple[TracePoint, ...] = ()
    kept_epoch: int | None = None
    stopped_early: bool = False

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the highest validation metric, the earliest among equals; None without validation."""
        validated = [(entry.validation, -entry.epoch) for entry in self.epochs if entry.validation is not None]
        return -max(validated)[1] if validated else None

    @property
    def seconds(self) -> float:
        """Time spent in training steps, all epochs together."""
        return sum(entry.seconds for entry in self.epochs)

    def records(self) -> list[dict[str, Any]]:
        """One JSON record per epoch, each with the points of its curves: what a bundle keeps."""
        return [
            {
                **asdict(entry),
                "examples_per_second": entry.examples_per_second,
                "kept": entry.epoch == self.kept_epoch,
                "trace": [asdict(point) for point in self.trace if entry.epoch - 1 < point.epoch <= entry.epoch],
            }
            for entry in self.epochs
        ]

    def to_json(self) -> str:
        """The log as JSON; `from_json` gives back an equal log, to the last bit of every float."""
        return _ADAPTER.dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> TrainingLog:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: the text is not a training log.
        """
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            raise ArtifactError(f"this is not a training log: {error}") from error


_ADAPTER = TypeAdapter(TrainingLog)


def is_trace_step(step: int, steps_per_epoch: int) -> bool:
    """Whether the curves get a point after this step (numbered from 0): evenly spread, the last step always.

    >>> [step for step in range(100) if is_trace_step(step, 100)][:4]
    [4, 9, 14, 19]
    """
    points = TRACE_POINTS_PER_EPOCH
    return (step + 1) * points // steps_per_epoch > step * points // steps_per_epoch


__all__ = ["TRACE_POINTS_PER_EPOCH", "EpochLog", "TracePoint", "TrainingLog", "is_trace_step"]
