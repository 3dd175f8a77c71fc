"""Checkpoints: everything a run needs to go on, in one folder that appears whole or not at all.

    run folder/
      lock                  held while a process trains here
      checkpoint/
        state.json          position, log so far, what the run is (its identity), name and sha256 of each array
        state.json.sha256   so that a damaged state.json is noticed too
        state/000-NAME.npy  the model's arrays
        best/000-NAME.npy   the arrays of the best epoch so far, where early stopping is on

A new checkpoint is written beside the old one and takes its place in one step (`files.whole_folder`): a `kill -9`
at any moment leaves the one or the other. What such a kill leaves half-written is removed when the next
checkpoint is written.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from prismrec import __version__
from prismrec.config import Section
from prismrec.errors import ArtifactError
from prismrec.files import sha256, whole_folder
from prismrec.models.contract import TaskLoss
from prismrec.training.identity import differences, fingerprint
from prismrec.training.log import TrainingLog

SCHEMA_VERSION = 1
SHORTEST_PAUSE_SECONDS = 5.0
"""Epoch ends closer together than this write one checkpoint, not several."""
WRITING_SHARE = 0.05
"""At epoch ends, at most this share of the time goes into writing checkpoints."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run at rest between two steps.

    Attributes:
        epoch, step: the next step to take, numbered from 0; `step` may equal the steps of an epoch: the epoch is
            then trained but not yet validated.
        finished: no step is left, and `state` is what training ended with.
        log: the finished epochs and the trace.
        sums: summed loss of each task over the epoch under way.
        seconds: time in steps of the epoch under way.
        state: the model's arrays by name.
        best_state: those of the best epoch so far; empty where early stopping is off or nothing was validated.
    """

    epoch: int
    step: int
    finished: bool
    log: TrainingLog
    sums: Mapping[str, TaskLoss]
    seconds: float
    state: Mapping[str, NDArray]
    best_state: Mapping[str, NDArray] = field(default_factory=dict)


class _ArrayEntry(Section):
    part: Literal["state", "best"]
    name: str
    file: str
    sha256: str


class _StateFile(Section):
    """The content of state.json."""

    schema_version: int
    prismrec_version: str
    fingerprint: str
    identity: dict[str, str]
    epoch: int
    step: int
    finished: bool
    log: TrainingLog
    sums: dict[str, TaskLoss]
    seconds: float
    arrays: tuple[_ArrayEntry, ...]


class RunFolder:
    """The folder of one run, held by one process at a time.

    Args:
        path: made where it does not exist.
        identity: what makes this run this run, name -> value: every setting that shapes the result, and fingerprints
            of the data and of the vectors it started from. A checkpoint of another identity is refused.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self.path = path
        self.checkpoint_path = path / "checkpoint"
        self._identity = dict(identity)
        self._lock = -1

    def __enter__(self) -> RunFolder:
        """Take the folder.

        Raises:
            ArtifactError: another process trains in it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ArtifactError(f"cannot write to the run folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it even after kill -9
        except BlockingIOError as error:
            os.close(self._lock)
            raise ArtifactError(
                f"another process is training in {self.path}: wait for it, or choose another run folder"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def save(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint in the place of the one before.

        Raises:
            ArtifactError: the disk is full, or the folder cannot be written; the checkpoint before is untouched.
        """
        with whole_folder(self.checkpoint_path) as folder:
            entries = _write_arrays(folder, "state", checkpoint.state)
            entries += _write_arrays(folder, "best", checkpoint.best_state)
            self._write_state(folder, checkpoint, entries)

    def load(self) -> Checkpoint:
        """Read the checkpoint and verify every byte of it.

        Raises:
            ArtifactError: there is none, it is damaged, from a newer version, or from a run with other settings or
                data (the message lists what differs).
        """
        state = self._read_state()
        self._check_identity(state)
        state_arrays, best_arrays = (
            {e.name: self._read_array(e) for e in state.arrays if e.part == part} for part in ("state", "best")
        )
        return Checkpoint(
            epoch=state.epoch,
            step=state.step,
            finished=state.finished,
            log=state.log,
            sums=state.sums,
            seconds=state.seconds,
            state=state_arrays,
            best_state=best_arrays,
        )

    def holds_unfinished_run(self) -> bool:
        """Whether a run was stopped here that could be resumed; a damaged checkpoint could not."""
        try:
            return not self._read_state().finished
        except ArtifactError:
            return False

    def _write_state(self, folder: Path, checkpoint: Checkpoint, entries: list[_ArrayEntry]) -> None:
        state = _StateFile(
            schema_version=SCHEMA_VERSION,
            prismrec_version=__version__,
            fingerprint=fingerprint(self._identity),
            identity=self._identity,
            epoch=checkpoint.epoch,
            step=checkpoint.step,
            finished=checkpoint.finished,
            log=checkpoint.log,
            sums=dict(checkpoint.sums),
            seconds=checkpoint.seconds,
            arrays=tuple(entries),
        )
        path = folder / "state.json"
        path.write_text(state.model_dump_json(indent=1))
        (folder / "state.json.sha256").write_text(f"{sha256(path)}  state.json\n")

    def _read_state(self) -> _StateFile:
        path = self.checkpoint_path / "state.json"
        if not path.exists():
            raise ArtifactError(f"there is no checkpoint in {self.path}: start without --resume")
        try:
            text = path.read_text()
            expected = path.with_name("state.json.sha256").read_text().split()[0]
        except (OSError, UnicodeDecodeError, IndexError) as error:
            raise _damaged(path, str(error)) from error
        if sha256(path) != expected:
            raise _damaged(path, "its content does not match its checksum")
        try:
            _check_version(path, json.loads(text))
            return _StateFile.model_validate_json(text)
        except (json.JSONDecodeError, ValidationError) as error:
            raise _damaged(path, str(error)) from error

    def _read_array(self, entry: _ArrayEntry) -> NDArray:
        path = self.checkpoint_path / entry.part / entry.file
        if not path.exists():
            raise _damaged(path, "it is missing")
        if sha256(path) != entry.sha256:
            raise _damaged(path, "its content does not match its checksum")
        array: NDArray = np.load(path, allow_pickle=False)
        return array

    def _check_identity(self, state: _StateFile) -> None:
        different = differences(state.identity, self._identity)
        if different:
            raise ArtifactError(
                f"the checkpoint in {self.path} is of another run: {different}. Resume with the settings and data it "
                "was made with, or start without --resume"
            )


class CheckpointSchedule:
    """When to write a checkpoint: every so many minutes, and at epoch ends that do not follow too closely.

    Args:
        minutes: a checkpoint at least this often.
        clock: seconds that only grow.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 60.0 * minutes
        self._clock = clock
        self._last = clock()
        self._writing_seconds = 0.0

    def is_due(self, *, at_epoch_end: bool) -> bool:
        """Whether to write now; an epoch end is a better moment than any other, and waits for less."""
        pause = self._interval
        if at_epoch_end:
            pause = min(pause, max(SHORTEST_PAUSE_SECONDS, self._writing_seconds / WRITING_SHARE))
        return self._clock() - self._last >= pause

    def wrote(self, seconds: float) -> None:
        """Note that a checkpoint was just written, and how long that took."""
        self._last = self._clock()
        self._writing_seconds = seconds


def _write_arrays(folder: Path, part: Literal["state", "best"], arrays: Mapping[str, NDArray]) -> list[_ArrayEntry]:
    (folder / part).mkdir()
    entries = []
    for number, (name, array) in enumerate(arrays.items()):
        file = f"{number:03d}-{re.sub('[^A-Za-z0-9_.-]+', '_', name)}.npy"
        np.save(folder / part / file, array, allow_pickle=False)
        entries.append(_ArrayEntry(part=part, name=name, file=file, sha256=sha256(folder / part / file)))
    return entries


def _check_version(path: Path, content: Any) -> None:
    version = content["schema_version"] if isinstance(content, dict) and "schema_version" in content else None
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {version}, this PrismRec {__version__} reads {SCHEMA_VERSION}: "
            "resume with the version that wrote it, or start without --resume"
        )


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"the checkpoint is damaged at {path}: {why}; start without --resume, or restore a copy")


__all__ = [
    "SHORTEST_PAUSE_SECONDS",
    "WRITING_SHARE",
    "Checkpoint",
    "CheckpointSchedule",
    "RunFolder",
]
