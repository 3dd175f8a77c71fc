"""Checkpoints: everything a run needs to go on, in one folder that appears whole or not at all.

    run folder/
      lock                  held while a process trains here; launcher.lock by one that has others train
      checkpoint/
        state.json          position, log so far, what the run is (its identity), name, rows and sha256 of each file
        state.json.sha256   so that a damaged state.json is noticed too
        state/000-NAME.npy  the model's arrays, in several files where several processes hold their rows (`shards`)
        best/000-NAME.npy   the arrays of the best epoch so far, where early stopping is on

A new checkpoint is written beside the old one and takes its place in one step (`files.whole_folder`): a `kill -9`
at any moment leaves the one or the other. What such a kill leaves half-written is removed when the next
checkpoint is written. Of a crew every process writes its own rows, and process 0 the manifest when all are done; what
goes wrong in one of them goes wrong in all, with the same message. Saved by any number, it is loaded by any other.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from prismrec import __version__
from prismrec.cluster.crew import ALONE, Crew
from prismrec.config import Section
from prismrec.errors import ArtifactError
from prismrec.files import sha256, whole_folder
from prismrec.models.contract import OwnRows, TaskLoss
from prismrec.training.identity import differences, fingerprint
from prismrec.training.log import TrainingLog
from prismrec.training.shards import SHARDS, Shard, assemble, first_damaged, read_rows, write_shards

SCHEMA_VERSION = 2
_NOT_SHARED = (
    "training on several machines needs the run folder, beside the bundle, on a file system that all of them share"
)


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
        rows: the arrays of which other processes hold the other rows.
        processes: how many trained together when it was written; known of one that was read.
    """

    epoch: int
    step: int
    finished: bool
    log: TrainingLog
    sums: Mapping[str, TaskLoss]
    seconds: float
    state: Mapping[str, NDArray]
    best_state: Mapping[str, NDArray] = field(default_factory=dict)
    rows: Mapping[str, OwnRows] = field(default_factory=dict)
    processes: int = 1


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
    launch: str
    arrays: tuple[Shard, ...]


class RunFolder:
    """The folder of one run, held by one process, or one crew, at a time.

    Args:
        path: made where it does not exist.
        identity: what makes this run this run, name -> value: every setting that shapes the result, and fingerprints
            of the data and of the vectors it started from. A checkpoint of another identity is refused.
        crew: the processes that train together; all of them see the folder.
        launch: a name that all starts of a crew share; checkpoints keep it.
    """

    def __init__(self, path: Path, identity: Mapping[str, str], crew: Crew = ALONE, launch: str = "") -> None:
        self.path = path
        self.checkpoint_path = path / "checkpoint"
        self._identity = dict(identity)
        self._crew = crew
        self._launch = launch
        self._lock = -1

    def __enter__(self) -> RunFolder:
        """Take the folder.

        Raises:
            ArtifactError: another process trains in it, it cannot be written, or not all processes see it.
        """
        with self._agreed():
            if self._crew.rank == 0:
                self._lock = _locked(self.path)
        if self._crew.size > 1:
            self._check_shared()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def save(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint in the place of the one before.

        Raises:
            ArtifactError: the disk is full, or the folder cannot be written; the checkpoint before is untouched.
        """
        with self._agreed(), ExitStack() as stack:
            folder = self._begun(stack)
            shards = self._write_own(folder, checkpoint)
            if self._crew.rank == 0:
                self._write_state(folder, checkpoint, shards)

    def load(self, rows: Mapping[str, OwnRows] | None = None) -> Checkpoint:
        """Read the checkpoint and verify every byte of it.

        Args:
            rows: the arrays of which this process holds some rows only, whoever held which when they were saved.

        Raises:
            ArtifactError: there is none, it is damaged, from a newer version, or from a run with other settings or
                data (the message lists what differs).
        """
        rows = rows or {}
        with self._agreed():
            state = self._read_state()
            self._check_identity(state)
            damaged = first_damaged(self.checkpoint_path, state.arrays[self._crew.rank :: self._crew.size])
            if damaged:
                raise _damaged(*damaged)
        parts: dict[str, dict[str, NDArray]] = {"state": {}, "best": {}}
        arrays = _by_array(state.arrays)
        for (part, name), shards in arrays.items():
            parts[part][name] = read_rows(self.checkpoint_path, shards, rows.get(name))
        return Checkpoint(
            epoch=state.epoch,
            step=state.step,
            finished=state.finished,
            log=state.log,
            sums=state.sums,
            seconds=state.seconds,
            state=parts["state"],
            best_state=parts["best"],
            rows=rows,
            processes=max(map(len, arrays.values()), default=1),
        )

    def result(self, target: Path) -> tuple[dict[str, NDArray], TrainingLog]:
        """The arrays that a finished run ended with, memory-mapped, each whole; and its log.

        Args:
            target: a folder for arrays that lie in several files and have to be put together.

        Raises:
            ArtifactError: there is no checkpoint, it is damaged, the run is not finished, or the disk is full.
        """
        state = self._read_state()
        damaged = first_damaged(self.checkpoint_path, state.arrays)
        if damaged:
            raise _damaged(*damaged)
        if not state.finished:
            raise ArtifactError(f"the run in {self.path} is not finished: go on with it by --resume")
        target.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for number, ((part, name), shards) in enumerate(_by_array(state.arrays).items()):
            if part == "state":
                try:
                    path = assemble(self.checkpoint_path, shards, target / f"{number:03d}.npy")
                except OSError as error:
                    raise ArtifactError(f"cannot put the tables together in {target}: {error}") from error
                arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        return arrays, state.log

    def holds_unfinished_run(self) -> bool:
        """Whether a run was stopped here that could be resumed; a damaged checkpoint could not."""
        try:
            return not self._read_state().finished
        except ArtifactError:
            return False

    def holds_own_launch(self) -> bool:
        """Whether the checkpoint was written by an earlier start of this very crew."""
        try:
            return self._read_state().launch == self._launch != ""
        except ArtifactError:
            return False

    def _check_shared(self) -> None:
        """Process 0 leaves a file that all must see: on several machines the folder lies on a shared file system."""
        token = self._crew.first(uuid.uuid4().hex)
        mark = self.path / f".seen-by-all-{token}"
        if self._crew.rank == 0:
            mark.touch()
        self._crew.wait()
        blind = [r for r, sees in enumerate(self._crew.gather("yes" if mark.exists() else "")) if not sees]
        mark.unlink(missing_ok=True)
        if blind:
            raise ArtifactError(f"rank {blind[0]} does not see what rank 0 writes to {self.path}: {_NOT_SHARED}")

    @contextmanager
    def _agreed(self) -> Iterator[None]:
        """What is refused in one process is refused in all, so that none waits for another in vain."""
        own: ArtifactError | None = None
        try:
            yield
        except ArtifactError as error:
            own = error
        refusals = [text for text in self._crew.gather("" if own is None else str(own)) if text]
        if own is not None:
            raise own
        if refusals:
            raise ArtifactError(refusals[0])

    def _begun(self, stack: ExitStack) -> Path:
        """The folder of a new checkpoint, which process 0 makes and, when the stack closes, puts in its place."""
        folder = ""
        with self._agreed():
            if self._crew.rank == 0:
                folder = str(stack.enter_context(whole_folder(self.checkpoint_path)))
        return Path(self._crew.first(folder))

    def _write_own(self, folder: Path, checkpoint: Checkpoint) -> tuple[Shard, ...]:
        """Write the files of this process; the shards of all of them."""
        own: list[Shard] = []
        refusal = ""
        try:
            own += write_shards(folder, "state", checkpoint.state, checkpoint.rows, self._crew)
            own += write_shards(folder, "best", checkpoint.best_state, checkpoint.rows, self._crew)
        except OSError as error:
            refusal = f"cannot write {self.checkpoint_path}: {error}"
        written = self._crew.gather(refusal or SHARDS.dump_json(tuple(own)).decode())
        refused = [text for text in written if not text.startswith("[")]
        if refused:
            raise ArtifactError(refused[0])
        return tuple(shard for text in written for shard in SHARDS.validate_json(text))

    def _write_state(self, folder: Path, checkpoint: Checkpoint, shards: tuple[Shard, ...]) -> None:
        missing = next((s.file for s in shards if not (folder / s.part / s.file).exists()), None)
        if missing:
            raise ArtifactError(f"{missing} of another process is not to be seen in {folder}: {_NOT_SHARED}")
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
            launch=self._launch,
            arrays=shards,
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

    def _check_identity(self, state: _StateFile) -> None:
        different = differences(state.identity, self._identity)
        if different:
            raise ArtifactError(
                f"the checkpoint in {self.path} is of another run: {different}. Resume with the settings and data it "
                "was made with, or start without --resume"
            )


def bytes_of_checkpoint(run_folder: Path) -> int:
    """What the checkpoint in a run folder takes on disk: so much less room is needed for the next. 0 without one."""
    return sum(file.stat().st_size for file in (run_folder / "checkpoint").rglob("*") if file.is_file())


@contextmanager
def held_by_launcher(run_folder: Path) -> Iterator[None]:
    """Hold a run folder while others train in it: what launcher and workers tell each other lies there too.

    Raises:
        ArtifactError: another launcher has its workers there, or the folder cannot be written.
    """
    lock = _locked(run_folder, "launcher.lock")
    try:
        yield
    finally:
        os.close(lock)


def _locked(path: Path, name: str = "lock") -> int:
    """A run folder, made and held."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / name, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ArtifactError(f"cannot write to the run folder {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it even after kill -9
    except BlockingIOError as error:
        os.close(lock)
        raise ArtifactError(
            f"another process is training in {path}: wait for it, or choose another run folder"
        ) from error
    return lock


def _by_array(shards: tuple[Shard, ...]) -> dict[tuple[str, str], list[Shard]]:
    """(part, name) -> the files of that array."""
    found: dict[tuple[str, str], list[Shard]] = {}
    for shard in shards:
        found.setdefault((shard.part, shard.name), []).append(shard)
    return found


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
    "Checkpoint",
    "RunFolder",
    "bytes_of_checkpoint",
    "held_by_launcher",
]
