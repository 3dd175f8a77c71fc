"""Prepared data become a trained model, and held-out queries the settings that it is asked with.

`fit` trains. `tune_query` then chooses view weights, recency and priors on validation queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from prismrec.crew_fitting import Job, by_side, fingerprint_of, identity_of_prepared, too_little_for, train_in_processes
from prismrec.data.prepared import PreparedData, save_prepared
from prismrec.data.schema import ITEM_VIEW, Interactions, ItemTable
from prismrec.data.sequences import Sequences
from prismrec.data.splits import SplitSettings, next_item
from prismrec.data.training_data import training_data
from prismrec.errors import ConfigError
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.metrics import MISSED
from prismrec.evaluation.protocols import EvaluationSettings, evaluate
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.evaluation.ranking import rank
from prismrec.evaluation.tuning import Space, Tuned, tune
from prismrec.inputs import prepare_log
from prismrec.models.contract import EmbeddingModel, Recommender
from prismrec.models.m2grl.model import M2GRL
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import Settings
from prismrec.training.checkpoints import held_by_launcher
from prismrec.training.identity import identity_of
from prismrec.training.log import TrainingLog
from prismrec.training.loop import train as run_training
from prismrec.training.progress import Progress, QuietProgress

TUNING_QUERIES = 2_000
"""How many validation queries are enough to choose the settings of a query."""


RECENCY_DECAYS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


HISTORY_LENGTHS = (10, 30, 100, 300)


SCORES_AT_ONCE = 20_000_000
"""Scores that tuning holds in memory at a time: 80 MB."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model with the data it was trained on."""

    model: EmbeddingModel
    data: PreparedData
    log: TrainingLog

    def scorer(self, query: QuerySettings) -> MultiViewScorer:
        """The model as a recommender over item indices."""
        nodes = {name: view.item_nodes for name, view in self.data.views.items()}
        return MultiViewScorer(self.model.tables(), nodes, self.data.items.counts, query)


def fit(
    data: PreparedData,
    settings: Settings,
    *,
    start: Bundle | None = None,
    validation: Queries | None = None,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    prepared: Path | None = None,
) -> Fitted:
    """Train M2GRL on prepared data, in this process or in `sharding.processes` others.

    Args:
        validation: queries for early stopping (`training.patience`), from data that are not trained on.
        prepared: the folder that `data` were read from, where there is one: several processes then read it too.

    Raises:
        TrainingError: something stopped being finite.
        ConfigError: `patience` without validation queries, or settings that contradict each other.
        ResourceError: the machine has too little memory or disk for the tables.
        CrewError: a process was lost more often than `sharding.restarts`.
    """
    progress = progress or QuietProgress()
    settings = as_run(settings)
    n_nodes = {view: len(data.nodes(view)) for view in data.view_names}
    for line in too_little_for(n_nodes, settings, run_folder, settings.sharding.processes):
        progress.note(line)
    digest = fingerprint_of(data) if prepared is None else identity_of_prepared(prepared)
    identity = run_identity(settings, digest, start)
    if settings.sharding.processes > 1:
        return _fit_in_processes(data, settings, start, identity, run_folder, resume, progress, prepared)
    training = settings.training
    model = M2GRL(
        settings.model, training_data(data, settings.model.sequences),
        learning_rate=training.learning_rate, seed=training.seed,
        n_threads=1 if training.deterministic else training.threads,
        implementation=training.implementation, device=training.device, sharding=settings.sharding,
    )  # fmt: skip
    if start is not None:
        model.start_from(start.contents.vectors, by_side(start.contents.alignment))
    for line in model.notes:
        progress.note(line)

    validate = None
    if validation is not None:
        held_out = validation

        def validate() -> float:
            return validation_score(Fitted(model, data, TrainingLog()).scorer(settings.query), held_out, data)

    log = run_training(
        model, training, run_folder=run_folder, progress=progress, resume=resume,
        validate=validate, identity=identity,
    )  # fmt: skip
    return Fitted(model, data, log)


def as_run(settings: Settings) -> Settings:
    """The settings as training follows them: several processes always compute in torch.

    Raises:
        ConfigError: early stopping in several processes.
    """
    if settings.sharding.processes == 1:
        return settings
    if settings.training.patience:
        raise ConfigError(
            f"training.patience = {settings.training.patience}: early stopping validates in one process; set "
            f"training.epochs and training.patience = 0 for sharding.processes = {settings.sharding.processes}"
        )
    training = settings.training.model_copy(update={"implementation": "torch"})
    return settings.model_copy(update={"training": training})


def for_crew(settings: Settings, n_processes: int) -> Settings:
    """The settings of a crew of so many processes, whatever they say of that: torchrun was told how many."""
    sharding = settings.sharding.model_copy(update={"processes": n_processes})
    training = settings.training.model_copy(update={"implementation": "torch"})
    return as_run(settings.model_copy(update={"sharding": sharding, "training": training}))


def run_identity(settings: Settings, data_fingerprint: str, start: Bundle | None) -> dict[str, str]:
    """What makes a training this training, beside its `[training]` settings; not how many processes do it."""
    identity = {**identity_of(settings.model, "model"), "data": data_fingerprint}
    if settings.training.implementation == "torch":
        sharding = identity_of(settings.sharding, "sharding")
        identity |= {name: sharding[name] for name in ("sharding.anchors_per_update", "sharding.storage")}
    if start is not None:
        identity["start"] = f"{start.manifest.data_fingerprint} {start.manifest.created}"
    return identity


def _fit_in_processes(
    data: PreparedData,
    settings: Settings,
    start: Bundle | None,
    identity: Mapping[str, str],
    run_folder: Path | None,
    resume: bool,
    progress: Progress,
    prepared: Path | None,
) -> Fitted:
    """Workers read `data` from disk, train, and leave tables that are mapped from disk."""
    progress.note(
        f"{settings.sharding.processes} processes train together: implementation torch, tables shared out by TorchRec"
    )
    with ExitStack() as stack:
        place = run_folder or Path(stack.enter_context(TemporaryDirectory(prefix="prismrec-")))
        stack.enter_context(held_by_launcher(place))
        if prepared is None:
            prepared = place / "prepared"
            save_prepared(data, prepared)
        job = Job(
            prepared=str(prepared.resolve()),
            run_folder=str(place.resolve()),
            start="" if start is None else str(start.path.resolve()),
            resume=resume,
            identity=dict(identity),
            settings=settings,
        )
        model, log = train_in_processes(job, data.view_names, place / "job", progress)
    return Fitted(model, data, log)


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

    With early stopping also with the number of epochs after which that model was best.

    The other arguments are those of `train` and `fit`.

    Returns:
        the settings, and what that model reached on these queries: `validation_HR@10`, `validation_NDCG@10`, ... A
        little flattering, since the query was chosen on them; good for noticing that a training went wrong.
    """
    inner = next(next_item(log, SplitSettings(max_queries=TUNING_QUERIES, min_history=2, seed=settings.training.seed)))
    data = prepare_log(inner.train, items, settings, start)
    queries = queries_from(inner.queries, data.items, settings.evaluation.exclude_seen)
    fitted, tuned = _fitted_and_tuned(
        data, queries, settings, start, run_folder=run_folder, resume=resume, progress=progress
    )
    metrics = _validation_metrics(fitted.scorer(tuned.settings), queries, data, settings.evaluation)
    return settled(settings.model_copy(update={"query": tuned.settings}), fitted.log), metrics


def tuned_on(
    data: PreparedData,
    queries: Queries,
    settings: Settings,
    start: Bundle | None = None,
    *,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[Settings, float]:
    """Fit on data that lack the answers of `queries`: the settings chosen on these, and their validation score."""
    fitted, tuned = _fitted_and_tuned(
        data, queries, settings, start, run_folder=run_folder, resume=resume, progress=progress
    )
    return settled(settings.model_copy(update={"query": tuned.settings}), fitted.log), tuned.score


def _fitted_and_tuned(
    data: PreparedData,
    queries: Queries,
    settings: Settings,
    start: Bundle | None,
    *,
    run_folder: Path | None,
    resume: bool,
    progress: Progress | None,
) -> tuple[Fitted, Tuned[QuerySettings]]:
    validation = queries if settings.training.patience else None
    fitted = fit(
        data, settings, start=start, validation=validation, run_folder=run_folder, resume=resume, progress=progress
    )
    return fitted, tune_query(fitted, queries, settings.query)


def _validation_metrics(
    scorer: MultiViewScorer, queries: Queries, data: PreparedData, settings: EvaluationSettings
) -> dict[str, float]:
    """Hit rates and NDCG under names that say where they were measured; none where no query has a truth."""
    if not (queries.truths.lengths > 0).any():
        return {}
    catalogue = Catalogue(data.items.counts, {name: view.item_nodes for name, view in data.views.items()})
    results = evaluate(scorer, queries, settings, catalogue)
    return {f"validation_{name}": results.mean(name) for name in results.values if name.startswith(("HR@", "NDCG@"))}


def settled(settings: Settings, log: TrainingLog) -> Settings:
    """Settings for training on everything, where nothing is held out to stop by: the epochs that `log` kept."""
    if not settings.training.patience:
        return settings
    training = settings.training.model_copy(update={"epochs": log.kept_epoch, "patience": 0})
    return settings.model_copy(update={"training": training})


def tune_query(fitted: Fitted, queries: Queries, start: QuerySettings) -> Tuned[QuerySettings]:
    """Choose view weights, recency, prior and repeat bonus on validation queries; vectors stay as they are."""
    scorer = fitted.scorer(start)
    space = query_space(fitted.data, start, repeats=not queries.exclude_seen)
    return tune(start, space, lambda query: validation_score(scorer.with_settings(query), queries, fitted.data))


def query_space(data: PreparedData, start: QuerySettings, *, repeats: bool) -> Space:
    """What tuning tries for each knob of a query, coarse on purpose: fine grids fit the validation noise."""
    space: dict[str, tuple[Any, ...]] = {f"view_weights.{ITEM_VIEW}": (0.5, 1.0, 1.5, 2.0, 3.0)}
    space |= {f"view_weights.{view}": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0) for view in data.views}
    space |= {"recency_decay": RECENCY_DECAYS, "history_length": HISTORY_LENGTHS}
    if start.popularity_weight:  # switched off means off: an ablation must stay one
        space["popularity_weight"] = (0.25, 0.5, 0.75, 1.0, 1.25)
    if repeats:
        space["repeat_weight"] = (-8.0, -4.0, -2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
    return space


def validation_score(recommender: Recommender, queries: Queries, data: PreparedData) -> float:
    """What tuning and early stopping look at: the mean of 50 / (49 + rank) over the whole catalogue.

    A smooth HR@50: 1 for the first place, one half around the 50th. A hit rate itself moves only when a target
    crosses the border, so on a few thousand queries it would rank settings by noise.
    """
    asked = np.flatnonzero(queries.truths.lengths > 0)
    total = 0.0
    for rows in np.array_split(asked, max(1, len(asked) * len(data.items) // SCORES_AT_ONCE)):
        histories, truths = queries.histories.take(rows), queries.truths.take(rows)
        seen = histories if queries.exclude_seen else Sequences.from_lengths([], np.zeros(len(rows), np.int64))
        ranks = rank(recommender.score(histories), seen, truths, 1, rows).truths.ranks
        total += float(np.where(ranks < MISSED, 50 / (49 + ranks), 0).sum())
    return total / max(1, len(queries.truths.values))


__all__ = [
    "HISTORY_LENGTHS",
    "RECENCY_DECAYS",
    "TUNING_QUERIES",
    "Fitted",
    "as_run",
    "fingerprint_of",
    "fit",
    "for_crew",
    "query_space",
    "run_identity",
    "settled",
    "tune_query",
    "tuned_on",
    "tuned_on_last_items",
    "validation_score",
]
