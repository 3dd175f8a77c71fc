"""Showing how training goes: a live bar, plain lines, JSON lines for programs, or nothing. All write to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Literal, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichBar
from rich.text import Text

from prismrec.training.log import EpochLog

ProgressMode = Literal["bar", "lines", "json", "quiet"]


@dataclass(frozen=True)
class Plan:
    """How much there is to do, and where this process begins (0 and 0, or where it resumes)."""

    n_epochs: int
    steps_per_epoch: int
    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class StepReport:
    """Where training stands after a step.

    Attributes:
        epoch, step: the epoch under way and its steps done, both counted from 1.
        share: of all training done, in (0, 1].
        losses: mean loss per example of each task since the epoch began.
        task_weights: the weight of each task now.
        examples_per_second: since the epoch began.
        eta_seconds: time left at the pace of this process so far, validation and checkpoints included.
    """

    epoch: int
    step: int
    share: float
    losses: Mapping[str, float]
    task_weights: Mapping[str, float]
    examples_per_second: float
    eta_seconds: float


class Progress(Protocol):
    """What the training loop tells whoever watches; calls come in this order, `close` also after an error."""

    def start(self, plan: Plan) -> None:
        """Training begins or resumes."""
        ...

    def step(self, report: StepReport) -> None:
        """A step is done: called after every one, so it must be cheap."""
        ...

    def epoch(self, entry: EpochLog) -> None:
        """An epoch is done and, where due, validated."""
        ...

    def note(self, text: str) -> None:
        """Something a person should know."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class QuietProgress:
    """Shows nothing."""

    def start(self, plan: Plan) -> None:
        """Show nothing."""

    def step(self, report: StepReport) -> None:
        """Show nothing."""

    def epoch(self, entry: EpochLog) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class LineProgress:
    """A plain line per epoch, and one every ten seconds in longer ones: for log files and pipes."""

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._pause = _Pause(self.SECONDS_BETWEEN_LINES, clock)
        self._plan = Plan(0, 0)

    def start(self, plan: Plan) -> None:
        """Keep the plan, to say "epoch 3/20"."""
        self._plan = plan

    def step(self, report: StepReport) -> None:
        """Print a line, not more often than every ten seconds."""
        if self._pause.is_over():
            self.note(f"{_position(report, self._plan)}  {_pace(report)}  {_tasks(report.losses, report.task_weights)}")

    def epoch(self, entry: EpochLog) -> None:
        """Print the epoch's line."""
        self._pause.begin()
        self.note(_epoch_line(entry, self._plan))

    def note(self, text: str) -> None:
        """Print it."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to undo."""


class JsonProgress:
    """One JSON object per line, told apart by "event": start, step (at most one per second), epoch, note, end."""

    SECONDS_BETWEEN_STEPS = 1.0

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._pause = _Pause(self.SECONDS_BETWEEN_STEPS, clock)

    def start(self, plan: Plan) -> None:
        """Write a start event."""
        self._write("start", asdict(plan))

    def step(self, report: StepReport) -> None:
        """Write a step event, not more often than once per second."""
        if self._pause.is_over():
            self._write("step", asdict(report))

    def epoch(self, entry: EpochLog) -> None:
        """Write an epoch event."""
        self._write("epoch", {**asdict(entry), "examples_per_second": entry.examples_per_second})

    def note(self, text: str) -> None:
        """Write a note event."""
        self._write("note", {"text": text})

    def close(self) -> None:
        """Write an end event."""
        self._write("end", {})

    def _write(self, event: str, content: Mapping[str, Any]) -> None:
        print(json.dumps({"event": event, **content}), file=self._stream, flush=True)


class BarProgress:
    """A live bar with speed and time left, the tasks below it, and finished epochs above it."""

    SECONDS_BETWEEN_REDRAWS = 0.1

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(file=stream)
        self._pause = _Pause(self.SECONDS_BETWEEN_REDRAWS, clock)
        self._plan = Plan(0, 0)
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[pace]}")
        self._bar = RichBar(*columns, console=self._console, auto_refresh=False)
        self._row = self._bar.add_task("training", total=1.0, pace="")
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def start(self, plan: Plan) -> None:
        """Draw the bar."""
        self._plan = plan
        self._live.start()

    def step(self, report: StepReport) -> None:
        """Redraw, at most ten times per second."""
        if self._pause.is_over():
            position = _position(report, self._plan)
            self._bar.update(self._row, description=position, completed=report.share, pace=_pace(report))
            tasks = Text(_tasks(report.losses, report.task_weights), style="dim")
            self._live.update(Group(self._bar, tasks), refresh=True)

    def epoch(self, entry: EpochLog) -> None:
        """Print the epoch's line above the bar."""
        self.note(_epoch_line(entry, self._plan))

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._console.print(Text(text))

    def close(self) -> None:
        """Take the bar away and give the cursor back."""
        self._live.stop()


_PROGRESSES: dict[ProgressMode, Callable[[IO[str]], Progress]] = {
    "bar": BarProgress,
    "lines": LineProgress,
    "json": JsonProgress,
    "quiet": lambda stream: QuietProgress(),
}


def make_progress(mode: ProgressMode, stream: IO[str] | None = None) -> Progress:
    """The chosen way of showing progress, on stderr unless told otherwise; a bar needs a terminal, else it is lines."""
    stream = sys.stderr if stream is None else stream
    if mode == "bar" and not stream.isatty():
        mode = "lines"
    return _PROGRESSES[mode](stream)


class _Pause:
    """Lets something through at most every so many seconds; the first pause begins with the object."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        self._end = self._clock() + self._seconds

    def is_over(self) -> bool:
        over = self._clock() >= self._end
        if over:
            self.begin()
        return over


def _position(report: StepReport, plan: Plan) -> str:
    return f"epoch {report.epoch}/{plan.n_epochs} step {report.step}/{plan.steps_per_epoch}"


def _pace(report: StepReport) -> str:
    return f"{_short(report.examples_per_second)} examples/s, {_duration(report.eta_seconds)} left"


def _epoch_line(entry: EpochLog, plan: Plan) -> str:
    speed = f"{_short(entry.examples_per_second)} examples/s"
    validation = "" if entry.validation is None else f"  validation {entry.validation:.4f}"
    tasks = _tasks(entry.losses, entry.task_weights)
    return f"epoch {entry.epoch}/{plan.n_epochs}  {_duration(entry.seconds)}  {speed}  {tasks}{validation}"


def _tasks(losses: Mapping[str, float], weights: Mapping[str, float]) -> str:
    """Each task's loss, and its weight where it has one: `item 2.413 ×0.52  item-category 0.683 ×1.31`."""
    parts = []
    for task, loss in losses.items():
        weight = f" ×{weights[task]:.2f}" if task in weights else ""
        parts.append(f"{task} {loss:.4f}{weight}")
    return "  ".join(parts)


def _short(number: float) -> str:
    """A count in three or four figures.

    >>> _short(5_912_000), _short(12_340), _short(87)
    ('5.91 M', '12.3 k', '87')
    """
    if number >= 1e6:
        return f"{number / 1e6:.2f} M"
    return f"{number / 1e3:.1f} k" if number >= 1e3 else f"{number:.0f}"


def _duration(seconds: float) -> str:
    """Seconds as a person reads them.

    >>> _duration(4.21), _duration(75), _duration(7384)
    ('4.2 s', '1:15', '2:03:04')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


__all__ = [
    "BarProgress",
    "JsonProgress",
    "LineProgress",
    "Plan",
    "Progress",
    "ProgressMode",
    "QuietProgress",
    "StepReport",
    "make_progress",
]
