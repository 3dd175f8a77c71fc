"""Where the course of training is kept for other tools: TensorBoard's event files, or an MLflow database or server."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from prismrec.errors import ArtifactError, MissingExtraError

Outcome = Literal["finished", "failed", "stopped"]

MLFLOW_STATUS: Mapping[Outcome, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class TrackedRun(Protocol):
    """One training run in a tracking tool.

    Its methods raise ArtifactError where the tool does not take what it is told.
    """

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of several curves at one place of their common axis."""
        ...

    def end(self, outcome: Outcome) -> None:
        """Nothing more will come."""
        ...


class Tracker(Protocol):
    """A tracking tool that can begin runs."""

    def begin(self, name: str, parameters: Mapping[str, str]) -> TrackedRun:
        """Begin a run.

        Args:
            name: shown to people; need not be unique.
            parameters: the settings that made this run, flat.

        Raises:
            ArtifactError: the tool does not take it.
        """
        ...


class TensorBoard:
    """Event files below a folder: `tensorboard --logdir FOLDER` shows them. It needs no TensorFlow and no torch."""

    def __init__(self, folder: Path, experiment: str) -> None:
        """Name the place.

        Raises:
            MissingExtraError: the extra `tracking` is not installed.
        """
        with _extra("TensorBoard"):
            import tensorboard.summary.writer.event_file_writer  # noqa: F401
        self._folder = folder / experiment

    def begin(self, name: str, parameters: Mapping[str, str]) -> TensorBoardRun:
        """Begin a folder `<name>-<UTC time>`; the parameters are its first text."""
        return TensorBoardRun(_fresh(self._folder, f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"), parameters)


class TensorBoardRun:
    """One folder of event files."""

    def __init__(self, folder: Path, parameters: Mapping[str, str]) -> None:
        from tensorboard.plugins.text.summary import text_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        with _refusals(OSError, place=str(folder)):
            self._writer = EventFileWriter(str(folder))
        rows = "\n".join(f"| {key} | {value} |" for key, value in parameters.items())
        self._place = str(folder)
        self._add(text_pb("settings", f"| setting | value |\n|---|---|\n{rows}"), 0)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write them out at once: a run that is killed keeps its curves."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._add(Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()]), step)

    def end(self, outcome: Outcome) -> None:
        """Close the file; TensorBoard has no outcomes."""
        with _refusals(OSError, place=self._place):
            self._writer.close()

    def _add(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        with _refusals(OSError, place=self._place):
            self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
            self._writer.flush()


class MLflow:
    """An MLflow server, or without one an SQLite database `mlflow.db` in a folder, which `mlflow server` can show."""

    def __init__(self, folder: Path, experiment: str, server: str = "") -> None:
        """Open the database or reach the server.

        Raises:
            MissingExtraError: the extra `tracking` is not installed.
            ArtifactError: the server does not answer, or the database cannot be opened.
        """
        with _extra("MLflow"):
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        self._place = server or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        if not server:
            with _refusals(OSError, place=self._place):
                folder.mkdir(parents=True, exist_ok=True)
        with _refusals(MlflowException, OSError, place=self._place), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's, of SQLAlchemy: nothing we could change
            self._client = MlflowClient(tracking_uri=self._place)
            known = self._client.get_experiment_by_name(experiment)
            self._experiment = known.experiment_id if known else self._client.create_experiment(experiment)

    def begin(self, name: str, parameters: Mapping[str, str]) -> MLflowRun:
        """Begin a run."""
        return MLflowRun(self._client, self._experiment, name, parameters, self._place)


class MLflowRun:
    """One run of an experiment."""

    PARAMETERS_AT_ONCE = 100
    """More MLflow refuses in one call."""

    def __init__(self, client: Any, experiment: str, name: str, parameters: Mapping[str, str], place: str) -> None:
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        self._client, self._place, self._refused = client, place, (MlflowException, OSError)
        with _refusals(*self._refused, place=place):
            self._id = client.create_run(experiment, run_name=name).info.run_id
            rows = [Param(key, value) for key, value in parameters.items()]
            for begin in range(0, len(rows), self.PARAMETERS_AT_ONCE):
                client.log_batch(self._id, params=rows[begin : begin + self.PARAMETERS_AT_ONCE])

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One call for all of them."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with _refusals(*self._refused, place=self._place):
            self._client.log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def end(self, outcome: Outcome) -> None:
        """Say how it ended."""
        with _refusals(*self._refused, place=self._place):
            self._client.set_terminated(self._id, status=MLFLOW_STATUS[outcome])


def _fresh(folder: Path, name: str) -> Path:
    """The folder of that name, or with a number where several began within a second."""
    place, number = folder / name, 1
    while place.exists():
        number += 1
        place = folder / f"{name}-{number}"
    return place


@contextlib.contextmanager
def _extra(tool: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"tracking to {tool} needs {error.name}: pip install 'prismrec[tracking]'") from error


@contextlib.contextmanager
def _refusals(*errors: type[Exception], place: str) -> Iterator[None]:
    """Turn a tool's own errors into ours."""
    try:
        yield
    except errors as error:
        raise ArtifactError(f"cannot track to {place}: {error}") from error


__all__ = ["MLflow", "MLflowRun", "Outcome", "TensorBoard", "TensorBoardRun", "TrackedRun", "Tracker"]
