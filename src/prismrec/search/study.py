"""A search for settings that outlives its process: which values to try next, and what became of those tried.

Values are proposed by the tree-structured Parzen estimator of Optuna, over all knobs together: after ten random
candidates it models the good tenth and the rest by a density each and proposes what is likely under the first and
unlikely under the second. Bergstra, Bardenet, Bengio & Kégl: Algorithms for Hyper-Parameter Optimization. NIPS 2011.

The study is a journal in one file that Optuna and its dashboard read (`JournalFileBackend`). The random numbers of a
trial come from (seed, its number): a search that was stopped goes on as if it never had been.
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self

import numpy as np

from prismrec.errors import ArtifactError, MissingExtraError
from prismrec.search.spaces import Knob, OneOf, Real, SearchSpace
from prismrec.training.identity import differences

Outcome = Literal["scored", "pruned", "failed"]

STUDY_NAME = "prismrec"
RANDOM_TRIALS = 10
"""Trials before the estimator begins; they are random, the first apart."""

TRIALS_BEFORE_PRUNING = 4
EPOCHS_BEFORE_PRUNING = 2

_NOTHING: Mapping[str, Any] = {}
_FIRST_BYTES = b'{"op_code":'


@dataclass(frozen=True)
class Trial:
    """One candidate and what became of it.

    Attributes:
        number: place in the study, from 0, which is the settings as they were.
        outcome: scored to the end, pruned as hopeless, or failed to train.
        values: field -> value that was tried.
        score: on validation data, higher is better; NaN unless scored.
        epoch_scores: the early scores, one per validated epoch.
        seconds: time it took.
        chosen: field -> value that went with it: when to stop, how to ask.
        reason: why it failed.
    """

    number: int
    outcome: Outcome
    values: Mapping[str, Any]
    score: float
    epoch_scores: Mapping[int, float]
    seconds: float
    chosen: Mapping[str, Any]
    reason: str = ""

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest early score, the first among equals: what early stopping keeps; 0 without any."""
        return max(self.epoch_scores, key=lambda epoch: (self.epoch_scores[epoch], -epoch), default=0)


@dataclass(frozen=True)
class Candidate:
    """Values to try.

    Attributes:
        number: of its trial.
        values: field -> value.
        again: whether it was under way when the process before stopped: its training may have left a checkpoint.
    """

    number: int
    values: Mapping[str, Any]
    again: bool


class Study:
    """The trials of one search, kept in a file."""

    def __init__(
        self, path: Path, space: SearchSpace, start: Mapping[str, Any], *, seed: int, identity: Mapping[str, str]
    ) -> None:
        """Begin a study, or go on with the one that the file holds.

        Args:
            path: the file.
            space: what to try.
            start: field -> value as it is now: the first candidate.
            seed: of all randomness.
            identity: what makes this search this search, name -> value: data, protocol, the other settings.

        Raises:
            MissingExtraError: Optuna is not installed.
            ArtifactError: the file is no study, is damaged, is in use, or holds another search.
        """
        self._optuna = _optuna()
        self._space, self._start, self._seed = space, start, seed
        identity = {**identity, "seed": str(seed), **{name: repr(knob) for name, knob in space.items()}}
        self._lock = _locked(path)
        try:
            self._study = self._opened(path, identity)
        except ArtifactError:
            self.close()
            raise
        self._under_way: Any = None

    def close(self) -> None:
        """Let others have the file."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self) -> Candidate:
        """The next candidate: first the one that was under way when the process before stopped, if any."""
        stopped = self._stopped()
        if stopped is not None:
            self._under_way = stopped
            return Candidate(stopped.number, dict(stopped.params), again=True)
        known = self._study.get_trials(deepcopy=False)
        self._study.sampler = self._optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIALS, seed=_seed_of(self._seed, len(known))
        )
        if not self.trials and not any(trial.state == self._states.WAITING for trial in known):
            self._study.enqueue_trial({name: v for name, v in self._start.items() if self._space[name].holds(v)})
        self._under_way = self._study.ask({name: self._distribution(knob) for name, knob in self._space.items()})
        return Candidate(self._under_way.number, dict(self._under_way.params), again=False)

    def report(self, epoch: int, score: float) -> bool:
        """Take an early score of the candidate under way; True where it is hopeless: below the median of the others."""
        if epoch not in self._frozen().intermediate_values:  # trained again after an older checkpoint
            self._under_way.report(score, epoch)
        return bool(self._under_way.should_prune())

    def tell(
        self,
        outcome: Outcome,
        seconds: float,
        *,
        score: float = math.nan,
        chosen: Mapping[str, Any] = _NOTHING,
        reason: str = "",
    ) -> Trial:
        """Say what became of the candidate under way. A failed one counts as worse than every other."""
        notes = {"outcome": outcome, "seconds": seconds, "chosen": json.dumps(dict(chosen)), "reason": reason}
        for name, value in notes.items():
            self._under_way.set_user_attr(name, value)
        if outcome == "scored":
            self._study.tell(self._under_way, score)
        else:
            self._study.tell(self._under_way, state=self._states.PRUNED)
        done = _trial(self._frozen())
        self._under_way = None
        return done

    @property
    def trials(self) -> list[Trial]:
        """All candidates that are done, in order."""
        found = self._study.get_trials(deepcopy=False, states=(self._states.COMPLETE, self._states.PRUNED))
        return [_trial(frozen) for frozen in found]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the earliest among equals; None where none was scored."""
        scored = [trial for trial in self.trials if trial.outcome == "scored"]
        return max(scored, key=lambda trial: (trial.score, -trial.number), default=None)

    def _stopped(self) -> Any:
        """The trial that a process before left under way; one that was stopped before it had all values is dropped."""
        for frozen in self._study.get_trials(deepcopy=False, states=(self._states.RUNNING,)):
            trial = self._optuna.trial.Trial(self._study, frozen._trial_id)
            if frozen.params.keys() == self._space.keys():
                return trial
            self._study.tell(trial, state=self._states.FAIL)
        return None

    def _frozen(self) -> Any:
        return self._study.get_trials(deepcopy=False)[self._under_way.number]

    @property
    def _states(self) -> Any:
        return self._optuna.trial.TrialState

    def _distribution(self, knob: Knob) -> Any:
        kinds = self._optuna.distributions
        if isinstance(knob, OneOf):
            return kinds.CategoricalDistribution(knob.values)
        kind = kinds.FloatDistribution if isinstance(knob, Real) else kinds.IntDistribution
        return kind(knob.low, knob.high, log=knob.log)

    def _opened(self, path: Path, identity: Mapping[str, str]) -> Any:
        """The study in the file, which is made where it is missing."""
        optuna = self._optuna
        new = _check_journal(path)
        try:
            study = optuna.create_study(
                study_name=STUDY_NAME,
                storage=optuna.storages.JournalStorage(
                    optuna.storages.journal.JournalFileBackend(str(path), _Unlocked())
                ),
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, EPOCHS_BEFORE_PRUNING),
                load_if_exists=True,
            )
            known = study.user_attrs.get("identity")
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise ArtifactError(
                f"{path} is damaged, or is no study: {error!r}; remove it, or name another with --study"
            ) from error
        if known is None and new:
            study.set_user_attr("identity", dict(identity))
        elif known != identity:
            different = differences(known or {}, identity)
            raise ArtifactError(
                f"{path} holds another search: {different}; name another file with --study, or remove this one"
            )
        return study


class _Unlocked:
    """The lock of each line that Optuna would take: the whole file is locked, and a killed process leaves no lock."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _locked(path: Path) -> IO[bytes]:
    """The file, held by this process until it is closed.

    Raises:
        ArtifactError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "ab")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ArtifactError(f"another process searches in {path}: wait for it, or name another with --study") from error
    return file


def _trial(frozen: Any) -> Trial:
    notes = frozen.user_attrs
    return Trial(
        number=frozen.number,
        outcome=notes["outcome"],
        values=dict(frozen.params),
        score=frozen.value if notes["outcome"] == "scored" else math.nan,
        epoch_scores=dict(frozen.intermediate_values),
        seconds=notes["seconds"],
        chosen=json.loads(notes["chosen"]),
        reason=notes["reason"],
    )


def _seed_of(seed: int, number: int) -> int:
    return int(np.random.default_rng([seed, number]).integers(2**32))


def _check_journal(path: Path) -> bool:
    """Whether the file is new or empty. Refuse a file of another kind; drop the half of a line at the end of ours.

    A process that was killed while it wrote leaves half a line, which the next line would be glued to.
    """
    content = path.read_bytes() if path.exists() else b""
    if content and not content.startswith(_FIRST_BYTES):
        raise ArtifactError(f"{path} is no study of `prismrec tune`: name another file with --study")
    if content and not content.endswith(b"\n"):
        with open(path, "r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
    return not content


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"tune needs {error.name}: pip install 'prismrec[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it would tell is told by the table of trials
    return optuna


__all__ = ["Candidate", "Outcome", "Study", "Trial"]
