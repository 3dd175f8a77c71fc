"""The training loop: epochs of numbered steps, validation, early stop, checkpoints, and an end that is always clean.

It knows nothing of the model but `Trainable`: all randomness of a step comes from (seed, epoch, step), so going on
from a checkpoint takes the very steps that were left, and a deterministic model ends bit-equal to an uninterrupted
run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from prismrec.cluster.crew import ALONE, FIRST_ATTEMPT, Attempt, Crew
from prismrec.config import Section
from prismrec.errors import ArtifactError, ConfigError, DataError
from prismrec.models.contract import TaskLoss, Trainable
from prismrec.training.checkpoints import Checkpoint, RunFolder
from prismrec.training.finite import check_arrays, check_number
from prismrec.training.identity import WITHOUT_EFFECT, identity_of
from prismrec.training.interrupts import StopRequest, TrainingInterrupted, signal_name, stop_signals
from prismrec.training.log import EpochLog, TracePoint, TrainingLog, is_trace_step
from prismrec.training.progress import Plan, Progress, QuietProgress, StepReport
from prismrec.training.schedule import CheckpointSchedule


class TrainingSettings(Section):
    """How long, how fast and on what to train."""

    epochs: int = Field(default=20, ge=1, description="passes over the training data")
    learning_rate: float = Field(
        default=0.2, gt=0, le=100, description="size of a step; lower it when training diverges"
    )
    seed: int = Field(default=0, ge=0, description="the seed of all randomness in training")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 = all cores")
    deterministic: bool = Field(default=False, description="bit-equal vectors for a seed, at the speed of one thread")
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="where to compute; cuda needs implementation = torch"
    )
    implementation: Literal["numba", "torch"] = Field(default="numba", description="which kernels compute the steps")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="of the products within a step, for models that autograd differentiates"
    )
    patience: int = Field(default=0, ge=0, description="stop after so many epochs without better validation; 0 = never")
    validate_every: int = Field(
        default=1, ge=1, description="epochs between validations; the last epoch always has one"
    )
    checkpoint_minutes: float = Field(default=5.0, gt=0, description="minutes between checkpoints within an epoch")

    @model_validator(mode="after")
    def _check_device(self) -> TrainingSettings:
        if self.device == "cuda" and self.implementation != "torch":
            raise ValueError('device = "cuda" needs implementation = "torch"')
        return self


def train(
    model: Trainable,
    settings: TrainingSettings,
    *,
    run_folder: Path | None = None,
    progress: Progress | None = None,
    validate: Callable[[], float] | None = None,
    resume: bool = False,
    identity: Mapping[str, str] | None = None,
    crew: Crew = ALONE,
    attempt: Attempt = FIRST_ATTEMPT,
) -> TrainingLog:
    """Train a model in place.

    With `patience`, the model ends with the vectors of its best epoch; without, with those of the last.

    Args:
        model: freshly built, also when resuming: its state is then replaced by the checkpoint's.
        settings: how long and how fast.
        run_folder: where checkpoints lie; None keeps none.
        progress: who watches; nobody unless given.
        validate: the validation metric of the model as it is now, finite, higher is better.
        resume: go on from the checkpoint in `run_folder`.
        identity: what else makes this run this run, name -> value (`identity_of` the model's settings, fingerprints
            of the data and of the starting vectors): a checkpoint that differs in any of it is refused.
        crew: the processes that train together: they checkpoint and stop together, and process 0 shows how it goes.
        attempt: which start of the crew this is: after the first it goes on from what an earlier one left.

    Raises:
        TrainingError: a loss, a weight, an array or the validation metric is not finite.
        TrainingInterrupted: Ctrl-C or SIGTERM, after the step under way; a checkpoint is written first.
        ArtifactError: `resume` without a checkpoint, or with one that is damaged or of another run.
        ConfigError: settings that contradict the call.
        DataError: an epoch has no steps.
        CrewError: another process is gone.
    """
    _check(model, settings, run_folder, validate, resume)
    if settings.patience and crew.size > 1:
        raise ConfigError(
            f"training.patience = {settings.patience}: early stopping validates in one process; set training.epochs "
            "for several processes, and training.patience = 0"
        )
    own = {k: v for k, v in identity_of(settings, "training").items() if k not in WITHOUT_EFFECT} | dict(identity or {})
    progress = QuietProgress() if progress is None or crew.rank else progress
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        folder = stack.enter_context(RunFolder(run_folder, own, crew, attempt.launch)) if run_folder else None
        run = _Run(model, settings, progress, validate, folder, stop, crew)
        if folder and (resume or _left_by_itself(folder, crew, attempt)):
            run.go_on_from(folder.load(model.own_rows()))
        elif folder and folder.holds_unfinished_run():
            progress.note(
                f"an unfinished run in {run_folder} will be replaced; to go on with it, stop now and use --resume"
            )
        stack.callback(progress.close)
        return run.train()


class _Run:
    """One training run: where it stands, what it has seen so far, and how it stops and goes on."""

    def __init__(
        self,
        model: Trainable,
        settings: TrainingSettings,
        progress: Progress,
        validate: Callable[[], float] | None,
        folder: RunFolder | None,
        stop: StopRequest,
        crew: Crew,
    ) -> None:
        self._model = model
        self._settings = settings
        self._progress = progress
        self._validate = validate
        self._folder = folder
        self._stop = stop
        self._crew = crew
        self._steps = model.steps_per_epoch
        self._schedule = CheckpointSchedule(settings.checkpoint_minutes)
        self._epoch = 0
        self._step = 0
        self._finished = False
        self._log = TrainingLog()
        self._sums: dict[str, TaskLoss] = {}
        self._seconds = 0.0
        self._best_state: dict[str, NDArray] = {}
        self._started = time.perf_counter()
        self._done_at_start = 0

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Take the place of the run that wrote this checkpoint."""
        _check_fit(self._model.state(), checkpoint.state)
        self._model.restore(checkpoint.state)
        self._epoch, self._step = checkpoint.epoch, checkpoint.step
        self._finished = checkpoint.finished
        self._log = checkpoint.log
        self._sums, self._seconds = dict(checkpoint.sums), checkpoint.seconds
        self._best_state = dict(checkpoint.best_state)
        self._done_at_start = self._steps_done
        where = "the run is already finished" if self._finished else f"going on after {self._where}"
        self._progress.note(f"checkpoint read: {where}")
        if checkpoint.processes != self._crew.size and 0 < self._step < self._steps:
            self._progress.note(
                f"{checkpoint.processes} shared out this epoch, {self._crew.size} share it out anew: what is left "
                "of it meets some sequences again and leaves out as many; later epochs meet all"
            )

    def train(self) -> TrainingLog:
        """Take every step that is left."""
        self._started = time.perf_counter()
        self._progress.start(Plan(self._settings.epochs, self._steps, self._epoch, self._step))
        while not self._finished:
            while self._step < self._steps:
                self._take_step()
                self._rest(at_epoch_end=False)
            self._end_epoch()
            self._rest(at_epoch_end=True)
        return self._log

    @property
    def _steps_done(self) -> int:
        return self._epoch * self._steps + self._step

    @property
    def _steps_in_all(self) -> int:
        return self._settings.epochs * self._steps

    @property
    def _where(self) -> str:
        """The last step taken, as a person counts: from 1."""
        epoch, step = (self._epoch, self._steps) if self._step == 0 and self._epoch else (self._epoch + 1, self._step)
        return f"epoch {epoch} of {self._settings.epochs}, step {step} of {self._steps}"

    def _take_step(self) -> None:
        began = time.perf_counter()
        losses = self._model.step(self._epoch, self._step, self._steps_done / self._steps_in_all)
        self._seconds += time.perf_counter() - began
        self._step += 1
        weights = {task: float(weight) for task, weight in self._model.task_weights().items()}
        for task, loss in losses.items():
            check_number(loss.total, f"the loss of task {task!r}", self._where)
            before = self._sums.get(task, TaskLoss(0.0, 0))
            self._sums[task] = TaskLoss(before.total + float(loss.total), before.n_examples + int(loss.n_examples))
        for task, weight in weights.items():
            check_number(weight, f"the weight of task {task!r}", self._where)
        if is_trace_step(self._step - 1, self._steps):
            means = {task: float(loss.mean) for task, loss in losses.items()}
            point = TracePoint(self._steps_done / self._steps, means, weights)
            self._log = replace(self._log, trace=(*self._log.trace, point))
        self._progress.step(self._report(weights))

    def _report(self, weights: Mapping[str, float]) -> StepReport:
        done_here = self._steps_done - self._done_at_start
        pace = (time.perf_counter() - self._started) / done_here
        return StepReport(
            epoch=self._epoch + 1,
            step=self._step,
            share=self._steps_done / self._steps_in_all,
            losses={task: loss.mean for task, loss in self._sums.items()},
            task_weights=weights,
            examples_per_second=self._n_examples / self._seconds if self._seconds > 0 else 0.0,
            eta_seconds=pace * (self._steps_in_all - self._steps_done),
        )

    @property
    def _n_examples(self) -> int:
        return sum(loss.n_examples for loss in self._sums.values())

    def _end_epoch(self) -> None:
        """Check, validate, log; stop where it was the last epoch or patience is over."""
        check_arrays(self._model.state(), self._where)
        entry = EpochLog(
            epoch=self._epoch + 1,
            losses={task: loss.mean for task, loss in self._sums.items()},
            task_weights={task: float(weight) for task, weight in self._model.task_weights().items()},
            n_examples=self._n_examples,
            seconds=self._seconds,
            validation=self._validation_metric(),
        )
        self._log = replace(self._log, epochs=(*self._log.epochs, entry))
        if self._settings.patience and self._log.best_epoch == entry.epoch:
            self._best_state = {}  # lets go of the old copy before the new one takes memory
            self._best_state = {name: np.array(array) for name, array in self._model.state().items()}
        self._epoch, self._step = self._epoch + 1, 0
        self._sums, self._seconds = {}, 0.0
        self._progress.epoch(entry)
        waited = entry.epoch - (self._log.best_epoch or entry.epoch)
        out_of_patience = entry.validation is not None and 0 < self._settings.patience <= waited
        if out_of_patience or self._epoch == self._settings.epochs:
            self._finish(stopped_early=out_of_patience and self._epoch < self._settings.epochs)

    def _validation_metric(self) -> float | None:
        last = self._epoch + 1 == self._settings.epochs
        if self._validate is None or not (last or (self._epoch + 1) % self._settings.validate_every == 0):
            return None
        metric = float(self._validate())
        check_number(metric, "the validation metric", self._where)
        return metric

    def _finish(self, *, stopped_early: bool) -> None:
        kept = self._epoch
        if self._best_state:
            kept = self._log.best_epoch or kept
            self._model.restore(self._best_state)
            self._best_state = {}
        if stopped_early:
            self._progress.note(f"no better validation since epoch {kept}: stopped, and its vectors are kept")
        self._log = replace(self._log, kept_epoch=kept, stopped_early=stopped_early)
        self._finished = True

    def _rest(self, *, at_epoch_end: bool) -> None:
        """Between two steps: write a checkpoint where one is due, and stop where a signal asked for it.

        The last step of an epoch is no resting place unless a signal came: the epoch's end follows at once.
        """
        resting = at_epoch_end or self._step < self._steps
        due = self._finished or (resting and self._schedule.is_due(at_epoch_end=at_epoch_end))
        number, due = self._agreed(due)
        if self._folder and due:
            self._write_checkpoint(self._folder)
            number, _ = self._agreed(False)  # again: a signal may have come while the checkpoint was written
        if number and (due or not self._folder):
            kept = f"go on with --resume from {self._folder.path}" if self._folder else "no run folder: nothing kept"
            raise TrainingInterrupted(f"training stopped by {signal_name(number)} after {self._where}; {kept}", number)

    def _agreed(self, due: bool) -> tuple[int, bool]:
        """The signal that asked any process to stop, 0 for none, and whether a checkpoint is due in any of them."""
        most = self._crew.most(2 * (self._stop.signal_number or 0) + due)
        return most // 2, most > 0

    def _write_checkpoint(self, folder: RunFolder) -> None:
        began = time.perf_counter()
        check_arrays(self._model.state(), self._where)
        folder.save(
            Checkpoint(
                epoch=self._epoch,
                step=self._step,
                finished=self._finished,
                log=self._log,
                sums=self._sums,
                seconds=self._seconds,
                state=self._model.state(),
                best_state=self._best_state,
                rows=self._model.own_rows(),
            )
        )
        self._schedule.wrote(time.perf_counter() - began)


def _left_by_itself(folder: RunFolder, crew: Crew, attempt: Attempt) -> bool:
    """Whether a start before left a checkpoint; all go by who knows of one, and by what process 0 sees."""
    again = crew.most(attempt.number) > 0
    return again and bool(crew.first("yes" if folder.holds_own_launch() else ""))


def _check(
    model: Trainable,
    settings: TrainingSettings,
    run_folder: Path | None,
    validate: Callable[[], float] | None,
    resume: bool,
) -> None:
    if resume and run_folder is None:
        raise ConfigError("--resume needs the run folder of the run to go on with")
    if settings.patience and validate is None:
        raise ConfigError(
            f"training.patience = {settings.patience} needs a validation metric, but none is computed: nothing is held "
            "out here. Set training.epochs to as many as it is to take, and training.patience = 0"
        )
    if model.steps_per_epoch < 1:
        raise DataError("there is nothing to train on: an epoch has no steps")


def _check_fit(own: Mapping[str, NDArray], saved: Mapping[str, NDArray]) -> None:
    """Refuse a checkpoint whose arrays are not the model's, before any of them is taken over."""
    for name in sorted(own.keys() | saved.keys()):
        kinds = [f"{a[name].dtype} {a[name].shape}" if name in a else "absent" for a in (saved, own)]
        if kinds[0] != kinds[1]:
            raise ArtifactError(
                f"the checkpoint does not fit the model: array {name!r} is {kinds[0]} there and {kinds[1]} here; "
                "resume with the data and settings it was made with, or start without --resume"
            )


__all__ = ["TrainingInterrupted", "TrainingSettings", "train"]
