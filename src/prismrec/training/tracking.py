"""`[tracking] to = "tensorboard"`: a watcher of training that passes on what it hears to a tracking tool.

Curves by step: `loss/<task>` and `weight/<task>`, at most twenty points per epoch. Curves by epoch: `epoch/validation`,
`epoch/loss/<task>`, `epoch/seconds`, `epoch/examples_per_second`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from prismrec.config import Section
from prismrec.errors import ArtifactError
from prismrec.training.interrupts import TrainingGivenUp
from prismrec.training.log import EpochLog, is_trace_step
from prismrec.training.progress import Plan, Progress, StepReport
from prismrec.training.trackers import MLflow, Outcome, TensorBoard, TrackedRun, Tracker

TrackingTool = Literal["none", "tensorboard", "mlflow"]


class TrackingSettings(Section):
    """Which tool keeps the curves of training; extra `tracking`."""

    to: TrackingTool = Field(default="none", description="the tool that is told how training goes")
    folder: str = Field(default="tracking", description="where TensorBoard's files, or MLflow's database, lie")
    server: str = Field(
        default="", description="MLflow server such as http://mlflow:5000; the database in folder where empty"
    )
    experiment: str = Field(default="prismrec", description="what runs are grouped under")


def tracked(progress: Progress, settings: TrackingSettings, name: str, parameters: Mapping[str, str]) -> Progress:
    """A watcher that tells the tool and then `progress`; `progress` itself where nothing is tracked.

    Every training that it watches is a run of its own.

    Args:
        progress: shows it to a person.
        settings: which tool.
        name: of the runs.
        parameters: the settings behind them, flat.

    Raises:
        MissingExtraError: the tool is not installed.
        ArtifactError: the tool's server or files cannot be reached.
    """
    if settings.to == "none":
        return progress
    tracker: Tracker = (
        TensorBoard(Path(settings.folder), settings.experiment)
        if settings.to == "tensorboard"
        else MLflow(Path(settings.folder), settings.experiment, settings.server)
    )
    return TrackedProgress(progress, tracker, name, parameters)


class TrackedProgress:
    """A `Progress` that a tracker hears too.

    A tool that refuses when training begins stops it: someone wanted the curves. One that is lost later does not cost
    the training: that is noted once, and training goes on untracked.
    """

    def __init__(self, progress: Progress, tracker: Tracker, name: str, parameters: Mapping[str, str]) -> None:
        self._progress = progress
        self._tracker = tracker
        self._name = name
        self._parameters = parameters
        self._run: TrackedRun | None = None
        self._plan = Plan(0, 0)

    def start(self, plan: Plan) -> None:
        """Begin a run."""
        self._plan = plan
        self._run = self._tracker.begin(self._name, self._parameters)
        self._progress.start(plan)

    def step(self, report: StepReport) -> None:
        """Add points to the curves by step, where one is due."""
        self._progress.step(report)
        if is_trace_step(report.step - 1, self._plan.steps_per_epoch):
            done = (report.epoch - 1) * self._plan.steps_per_epoch + report.step
            self._tell(
                lambda run: run.scalars(_named("loss", report.losses) | _named("weight", report.task_weights), done)
            )

    def epoch(self, entry: EpochLog) -> None:
        """Add points to the curves by epoch."""
        self._progress.epoch(entry)
        values = _named("epoch/loss", entry.losses)
        values |= {"epoch/seconds": entry.seconds, "epoch/examples_per_second": entry.examples_per_second}
        if entry.validation is not None:
            values["epoch/validation"] = entry.validation
        self._tell(lambda run: run.scalars(values, entry.epoch))

    def note(self, text: str) -> None:
        """For people alone."""
        self._progress.note(text)

    def close(self) -> None:
        """End the run, as what ended the training says."""
        self._tell(lambda run: run.end(_outcome()))
        self._run = None
        self._progress.close()

    def _tell(self, what: Callable[[TrackedRun], None]) -> None:
        if self._run is None:
            return
        try:
            what(self._run)
        except ArtifactError as error:
            self._run = None
            self._progress.note(f"{error}; training goes on untracked")


def _named(group: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": float(value) for name, value in values.items()}


def _outcome() -> Outcome:
    """The loop closes its watchers while the error that ended it, if any, is on its way out."""
    error = sys.exc_info()[1]
    if error is None:
        return "finished"
    return "stopped" if isinstance(error, KeyboardInterrupt | TrainingGivenUp) else "failed"


__all__ = ["TrackedProgress", "TrackingSettings", "TrackingTool", "tracked"]
