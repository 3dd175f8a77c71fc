"""The search behind `prismrec tune`: candidates from a study, each trained and scored on validation data alone.

    outer  = split(log, settings.split)           the same cut as `prismrec evaluate`: its queries are never asked
    inner  = validation_split(outer)              the cut made again inside the training rows
    score  = fitting.tuned_on(inner, candidate)   trained with early stopping, its query chosen there too

A candidate whose early scores lie below the median of the others is given up. With `kfold` the first fold is searched;
with `click` the first deal, by the AUC on its validation pairs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prismrec.click_contenders import ClickArena
from prismrec.contenders.arena import Side, varied
from prismrec.data.click_splits import click_splits
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import Interactions, ItemTable
from prismrec.data.sessions import clean
from prismrec.data.splits import split, validation_split
from prismrec.errors import ConfigError, DataError, ResourceError, TrainingError
from prismrec.evaluation.clicks import ClickQueries
from prismrec.fitting import TUNING_QUERIES, as_encoded, fingerprint_of, tuned_on
from prismrec.pipeline import has_checkpoint
from prismrec.search.spaces import search_space, value_of
from prismrec.search.study import Candidate, Study, Trial
from prismrec.settings import Settings
from prismrec.training.identity import WITHOUT_EFFECT, identity_of
from prismrec.training.interrupts import TrainingGivenUp, TrainingInterrupted
from prismrec.training.log import EpochLog
from prismrec.training.progress import Plan, Progress, QuietProgress, StepReport

PATIENCE = 3
"""Epochs without better validation after which a candidate stops, where the settings name none."""


@dataclass(frozen=True)
class Budget:
    """When a search ends, whichever comes first.

    Attributes:
        trials: candidates in the study, those of earlier calls included.
        minutes: of this call; a candidate under way is finished.
    """

    trials: int = 20
    minutes: float = float("inf")


@dataclass(frozen=True)
class Found:
    """What a search has tried so far."""

    trials: tuple[Trial, ...]
    best: Trial

    @property
    def changes(self) -> dict[str, Any]:
        """Field -> value of the best candidate: what was searched, when it stops, how it is asked."""
        return {**self.best.values, **self.best.chosen}


def search(
    log: Interactions,
    items: ItemTable | None,
    settings: Settings,
    study: Path,
    budget: Budget,
    *,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Found:
    """Search the space of `settings.algorithm`, beginning with the settings as they are.

    Args:
        log: the clean log; under `click` as it was read.
        items: the item table.
        settings: `split` says what is held out, `training.seed` seeds the search.
        study: the file that keeps it; one that holds the same search goes on.
        budget: when to stop.
        only: fields to search; all of the algorithm's table where empty.
        progress: who watches; it is told of every trial.

    Raises:
        ConfigError: the protocol withholds items, or the settings as they are cannot be trained.
        TrainingError: no candidate could be trained.
        ArtifactError: the file holds another search.
        MissingExtraError: Optuna, or what the model needs, is not installed.
        TrainingInterrupted: Ctrl-C or SIGTERM; the same call goes on.
    """
    if settings.split.protocol == "cold_item":
        raise ConfigError(
            "tune scores clicks to come, not withheld items: set split.protocol to another than cold_item"
        )
    progress = progress or QuietProgress()
    settings, told = as_encoded(_stopping_early(settings))
    for line in told:
        progress.note(line)
    side = _validation_side(log, items, settings)
    space = search_space(settings, settings.algorithm, tuple(only))
    start = {name: value_of(settings, name) for name in space}
    identity = {**_identity(settings, space), "data": fingerprint_of(side.data)}
    with Study(study, space, start, seed=settings.training.seed, identity=identity) as trials:
        searcher = _Searcher(settings, side, trials, study.with_name(study.name + ".run"), progress)
        end = time.monotonic() + 60 * budget.minutes
        while len(trials.trials) < budget.trials and (time.monotonic() < end or not trials.trials):
            searcher.try_next()
        return _found(trials)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Training data of a deal, and pairs to tell apart."""

    data: PreparedData
    queries: ClickQueries


@dataclass(frozen=True, eq=False)
class _Searcher:
    """Trains and scores one candidate after the other."""

    settings: Settings
    side: Side | _Pairs
    study: Study
    run_folder: Path
    progress: Progress

    def try_next(self) -> None:
        """Ask the study for a candidate and tell it what became of it."""
        candidate, began = self.study.ask(), time.perf_counter()
        first = not self.study.trials
        try:
            changes, score = self._scored(candidate)
        except TrainingGivenUp:
            done = self.study.tell("pruned", time.perf_counter() - began)
        except (TrainingError, ConfigError, DataError, ResourceError) as error:
            if first and not isinstance(error, TrainingError):
                raise  # no fault of the candidate: it is the settings as they are
            done = self.study.tell("failed", time.perf_counter() - began, reason=str(error))
        except TrainingInterrupted as stop:
            raise TrainingInterrupted(
                f"the search was stopped in trial {candidate.number}; the same command goes on with it",
                stop.exit_code - 128,
            ) from stop
        else:
            done = self.study.tell("scored", time.perf_counter() - began, score=score, chosen=changes)
        shutil.rmtree(self.run_folder, ignore_errors=True)
        self.progress.note(_line(done, self.study.best))

    def _scored(self, candidate: Candidate) -> tuple[dict[str, Any], float]:
        """What was chosen with the candidate's values, and the score."""
        settings = varied(self.settings, candidate.values)
        settings = settings.model_copy(update={"tracking": self.settings.tracking})  # no part of what is varied
        if not candidate.again:
            shutil.rmtree(self.run_folder, ignore_errors=True)
        chosen = tuned_on(
            self.side.data,
            self.side.queries,
            settings,
            run_folder=self.run_folder,
            resume=has_checkpoint(self.run_folder),
            progress=_Watch(self.progress, self.study),
        )
        query = chosen.settings.query.model_dump(mode="json")
        return {"training.patience": settings.training.patience, "query": query}, chosen.score


class _Watch:
    """Passes on how training goes, tells the study the early scores, and ends what is hopeless."""

    def __init__(self, progress: Progress, study: Study) -> None:
        self._progress = progress
        self._study = study

    def start(self, plan: Plan) -> None:
        self._progress.start(plan)

    def step(self, report: StepReport) -> None:
        self._progress.step(report)

    def epoch(self, entry: EpochLog) -> None:
        self._progress.epoch(entry)
        if entry.validation is not None and self._study.report(entry.epoch, entry.validation):
            raise TrainingGivenUp

    def note(self, text: str) -> None:
        self._progress.note(text)

    def close(self) -> None:
        self._progress.close()


def _stopping_early(settings: Settings) -> Settings:
    if settings.training.patience:
        return settings
    return settings.model_copy(update={"training": settings.training.model_copy(update={"patience": PATIENCE})})


def _validation_side(log: Interactions, items: ItemTable | None, settings: Settings) -> Side | _Pairs:
    if settings.split.protocol == "click":
        deal = next(click_splits(log, clean(log, settings.sessions), settings.split))
        arena = ClickArena.of(deal, items, settings, QuietProgress())
        return _Pairs(arena.data, arena.few)
    outer = next(split(log, settings.split))
    inner = validation_split(outer, settings.split.model_copy(update={"max_queries": TUNING_QUERIES}))
    return Side.of(inner.train, items, inner.queries, settings)


def _identity(settings: Settings, space: Mapping[str, Any]) -> dict[str, str]:
    """What all candidates share, the other algorithms' settings apart; the data have a fingerprint of their own."""
    own = "model" if settings.algorithm == "m2grl" else f"models.{settings.algorithm}"
    identity = {"algorithm": settings.algorithm, "evaluation.exclude_seen": str(settings.evaluation.exclude_seen)}
    for section in (own, "training", "query", "split"):
        identity |= identity_of(value_of(settings, section), section)
    return {name: value for name, value in identity.items() if name not in space and name not in WITHOUT_EFFECT}


def _found(study: Study) -> Found:
    if study.best is None:
        failed = [trial for trial in study.trials if trial.reason]
        raise TrainingError(f"none of {len(study.trials)} candidates could be trained; the last: {failed[-1].reason}")
    return Found(tuple(study.trials), study.best)


def _line(done: Trial, best: Trial | None) -> str:
    told = {"scored": f"validation score {done.score:.4f}", "pruned": "given up", "failed": f"failed: {done.reason}"}
    values = ", ".join(f"{name.rpartition('.')[2]} {_short(value)}" for name, value in done.values.items())
    leader = f"; best {best.score:.4f} of trial {best.number}" if best else ""
    return f"trial {done.number}: {told[done.outcome]} after {done.seconds:.1f} s{leader}: {values}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


__all__ = ["PATIENCE", "Budget", "Found", "search"]
