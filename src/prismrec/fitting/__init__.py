"""Prepared data become a trained model, and held-out queries the settings that it is asked with.

`fit` trains what `algorithm` names: M2GRL (`m2grl`) or a model in torch (`neural`). `tune_query` then chooses on
validation queries how it is asked (`query`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from prismrec.crew_fitting import fingerprint_of
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import Interactions, ItemTable
from prismrec.data.splits import SplitSettings, next_item
from prismrec.evaluation.queries import queries_from
from prismrec.evaluation.tuning import Tuned
from prismrec.fitting.fitted import AnyFitted, Fitted, FittedEncoder
from prismrec.fitting.m2grl import as_run, fit_m2grl, for_crew, run_identity
from prismrec.fitting.neural import as_encoded, fit_neural
from prismrec.fitting.query import HISTORY_LENGTHS, RECENCY_DECAYS, query_space, tune_query
from prismrec.fitting.validation import TUNING_QUERIES, Validation, validation_metrics, validation_score
from prismrec.inputs import prepare_log
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import Settings
from prismrec.training.identity import identity_of
from prismrec.training.log import TrainingLog
from prismrec.training.progress import Progress, QuietProgress
from prismrec.training.tracking import tracked


class Chosen(NamedTuple):
    """What a model that never saw the answers of the validation queries chose on them.

    Attributes:
        settings: for training on everything: the query, and with early stopping the epochs that were best.
        score: the `validation_score` under these settings.
        log: of that model's training.
    """

    settings: Settings
    score: float
    log: TrainingLog


def fit(
    data: PreparedData,
    settings: Settings,
    *,
    start: Bundle | None = None,
    validation: Validation | None = None,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    prepared: Path | None = None,
) -> AnyFitted:
    """Train the model of `settings.algorithm` on prepared data.

    Args:
        data: what it learns from.
        settings: of the model and its training.
        start: warm start: what this bundle knows of ids that `data` share with it is carried over.
        validation: queries for early stopping (`training.patience`), from data that are not trained on.
        run_folder: where checkpoints lie; None keeps none.
        resume: go on from the checkpoint in `run_folder`.
        progress: who watches.
        prepared: the folder that `data` were read from, where there is one: several processes then read it too.

    Raises:
        TrainingError: something stopped being finite.
        ConfigError: `patience` without validation queries, or settings that contradict each other.
        ResourceError: the machine has too little memory or disk for the tables.
        CrewError: a process was lost more often than `sharding.restarts`.
        MissingExtraError: the model needs torch, which is not installed.
    """
    progress = _tracked(progress or QuietProgress(), settings)
    if settings.algorithm != "m2grl":
        return fit_neural(
            data, settings, start=start, validation=validation, run_folder=run_folder, resume=resume, progress=progress
        )
    return fit_m2grl(
        data, settings, start=start, validation=validation, run_folder=run_folder, resume=resume, progress=progress,
        prepared=prepared,
    )  # fmt: skip


def _tracked(progress: Progress, settings: Settings) -> Progress:
    """The watcher, and beside it the tool of `[tracking]` where there is one: this training is a run there."""
    if settings.tracking.to == "none":
        return progress
    config = settings.model if settings.algorithm == "m2grl" else getattr(settings.models, settings.algorithm)
    parameters = {**identity_of(config, settings.algorithm), **identity_of(settings.training, "training")}
    return tracked(progress, settings.tracking, f"{settings.data.name} {settings.algorithm}".strip(), parameters)


def tuned_on_last_items(
    log: Interactions,
    items: ItemTable | None,
    settings: Settings,
    start: Bundle | None = None,
    *,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[Settings, dict[str, float]]:
    """The settings with a query chosen on the last item of up to 2,000 users, by a model that never saw those items.

    With early stopping also with the number of epochs after which that model was best. It starts afresh where the model
    of the bundle will start from `start`: that bundle has learned from these very items, as far as its log had them.

    Args:
        start: whose ids keep their index; of what it learned nothing is taken.

    The other arguments are those of `train` and `fit`.

    Returns:
        the settings, and what that model reached on these queries: `validation_HR@10`, `validation_NDCG@10`, ... A
        little flattering, since the query was chosen on them; good for noticing that a training went wrong.
    """
    inner = next(next_item(log, SplitSettings(max_queries=TUNING_QUERIES, min_history=2, seed=settings.training.seed)))
    data = prepare_log(inner.train, items, settings, start)
    queries = queries_from(inner.queries, data.items, settings.evaluation.exclude_seen, data.users)
    fitted, tuned = fitted_and_tuned(data, queries, settings, run_folder=run_folder, resume=resume, progress=progress)
    metrics = validation_metrics(fitted.scorer(tuned.settings), queries, data, settings.evaluation)
    return settled(settings.model_copy(update={"query": tuned.settings}), fitted.log), metrics


def tuned_on(
    data: PreparedData,
    queries: Validation,
    settings: Settings,
    *,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Chosen:
    """Fit on data that lack the answers of `queries`, and choose settings on these."""
    fitted, tuned = fitted_and_tuned(data, queries, settings, run_folder=run_folder, resume=resume, progress=progress)
    return Chosen(settled(settings.model_copy(update={"query": tuned.settings}), fitted.log), tuned.score, fitted.log)


def fitted_and_tuned(
    data: PreparedData,
    queries: Validation,
    settings: Settings,
    *,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[AnyFitted, Tuned[QuerySettings]]:
    """A model that learned from `data` alone, stopped by `queries` where settings ask for it, and the query that these
    choose."""
    validation = queries if settings.training.patience else None
    fitted = fit(data, settings, validation=validation, run_folder=run_folder, resume=resume, progress=progress)
    return fitted, tune_query(fitted, queries, settings.query)


def settled(settings: Settings, log: TrainingLog) -> Settings:
    """Settings for training on everything, where nothing is held out to stop by: the epochs that `log` kept."""
    if not settings.training.patience:
        return settings
    training = settings.training.model_copy(update={"epochs": log.kept_epoch, "patience": 0})
    return settings.model_copy(update={"training": training})


__all__ = [
    "HISTORY_LENGTHS",
    "RECENCY_DECAYS",
    "TUNING_QUERIES",
    "AnyFitted",
    "Chosen",
    "Fitted",
    "FittedEncoder",
    "Validation",
    "as_encoded",
    "as_run",
    "fingerprint_of",
    "fit",
    "fit_m2grl",
    "fitted_and_tuned",
    "for_crew",
    "query_space",
    "run_identity",
    "settled",
    "tune_query",
    "tuned_on",
    "tuned_on_last_items",
    "validation_score",
]
