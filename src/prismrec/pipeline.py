"""The main job on one screen: tables -> clean log -> training data -> M2GRL -> bundle.

    log, items = read_tables(settings)         inputs: data.reading, data.quarantine, data.sessions
    data       = prepare_log(log, items, ...)  inputs: data.preparation
    fitted     = fit(data, settings)           models.m2grl, training.loop
    query      = tune_query(...)               evaluation.tuning, on validation data
    bundle     = Bundle.write(path, contents)  retrieval.bundle

`train` is all of it. `contenders` measures it against others under one protocol.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, Interactions, ItemTable
from prismrec.data.sequences import Sequences
from prismrec.data.splits import SplitSettings, next_item
from prismrec.errors import ArtifactError, ConfigError
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.metrics import MISSED
from prismrec.evaluation.protocols import EvaluationSettings, evaluate
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.evaluation.ranking import rank
from prismrec.evaluation.tuning import Space, Tuned, tune
from prismrec.inputs import keep_quarantine, prepare_log, read_tables
from prismrec.models.contract import Recommender
from prismrec.models.m2grl.model import M2GRL
from prismrec.models.m2grl.tables import SIDES
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.manifest import MANIFEST, refuse_foreign
from prismrec.settings import Settings
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

    model: M2GRL
    data: PreparedData
    log: TrainingLog

    def scorer(self, query: QuerySettings) -> MultiViewScorer:
        """The model as a recommender over item indices."""
        nodes = {name: view.item_nodes for name, view in self.data.views.items()}
        return MultiViewScorer(self.model.tables(), nodes, self.data.items.counts, query)


def train(
    settings: Settings,
    path: str | Path,
    *,
    interactions: Any = None,
    items: Any = None,
    start: Bundle | None = None,
    tune_on_validation: bool = True,
    resume: bool = False,
    evaluation: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Everything from the tables to a bundle on disk.

    The query settings are tuned on each user's last item, with a model that never saw it; the bundle's own model is
    then trained on all of the log, with early stopping (`training.patience`) for as many epochs as were best there.

    Rows that reading set aside go to `<path>.quarantine`, and `progress` is told how many and why.

    Args:
        settings: of all stages.
        path: where the bundle goes; checkpoints of an unfinished run lie beside it, in `<path>.run`.
        interactions, items: tables at hand (pandas, Polars, Arrow, Ibis, a path) instead of those in the settings.
        start: warm start: ids of this bundle keep their index and vectors, new ones are added.
        tune_on_validation: choose the query settings on validation data; else those of `start`, or the settings'.
        resume: go on with the unfinished run beside `path`.
        evaluation: the document that `prismrec evaluate -o` wrote, to lie in the bundle for those who look at it.
        progress: who watches.

    Raises:
        ConfigError: settings that contradict each other or the data.
        DataError: the tables are not usable.
        ArtifactError: `path` holds something other than a bundle, or there is nothing to resume.
        TrainingInterrupted: Ctrl-C or SIGTERM; a checkpoint is left.
    """
    path, progress = Path(path), progress or QuietProgress()
    run_folder, tuning_folder = run_folder_of(path), run_folder_of(path) / "tuning"
    refuse_foreign(path, MANIFEST)  # before hours of training, not after
    if resume and not (has_checkpoint(run_folder) or has_checkpoint(tuning_folder)):
        raise ArtifactError(f"there is no checkpoint in {run_folder}: start without --resume")
    log, item_table = read_tables(settings, interactions, items)
    for line in keep_quarantine(log, item_table, path.with_name(path.name + ".quarantine")):
        progress.note(line)
    chosen = settings if start is None else settings.model_copy(update={"query": start.contents.query})
    metrics: Mapping[str, float] = {}
    if tune_on_validation:
        progress.note("tuning: a first model is trained without each user's last item")
        chosen, metrics = tuned_on_last_items(
            log, item_table, chosen, start,
            run_folder=tuning_folder, resume=resume and has_checkpoint(tuning_folder), progress=progress,
        )  # fmt: skip
        progress.note("training: the model of the bundle, on everything")
    data = prepare_log(log, item_table, settings, start)
    resume = resume and has_checkpoint(run_folder)
    fitted = fit(data, chosen, start=start, run_folder=run_folder, resume=resume, progress=progress)
    return _finish(path, contents_of(fitted, settings, chosen.query, metrics, evaluation))


def train_prepared(
    data: PreparedData,
    settings: Settings,
    path: str | Path,
    *,
    start: Bundle | None = None,
    resume: bool = False,
    evaluation: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """From prepared data to a bundle on disk, with the query settings of `start`, or those of the settings.

    Args:
        data: as `prepare_log` or `prepare_edges` made it; its views are trained, whatever the settings name.
        settings: of model, training and query.
        path: as for `train`.
        start: warm start; `data` must have been prepared on it.
        resume, evaluation, progress: as for `train`.

    Raises:
        ConfigError: the data were not prepared on `start`, or the settings contradict the data.
    """
    path = Path(path)
    refuse_foreign(path, MANIFEST)
    if start is not None:
        _check_prepared_on(start, data)
    fitted = fit(data, settings, start=start, run_folder=run_folder_of(path), resume=resume, progress=progress)
    query = settings.query if start is None else start.contents.query
    return _finish(path, contents_of(fitted, settings, query, evaluation=evaluation))


def _finish(path: Path, contents: BundleContents) -> Bundle:
    """Write the bundle; the checkpoints have done their work."""
    bundle = Bundle.write(path, contents)
    shutil.rmtree(run_folder_of(path), ignore_errors=True)
    return bundle


def _check_prepared_on(start: Bundle, data: PreparedData) -> None:
    for view, before in start.contents.vocabularies.items():
        if view not in data.view_names:
            raise ConfigError(f"the bundle to start from has a view {view!r} that the prepared data lack")
        if not data.nodes(view).ids[: len(before)].equals(before.ids):
            raise ConfigError(
                f"the prepared data number the nodes of view {view!r} unlike the bundle {start.path}: prepare them "
                "with --from that bundle"
            )


def run_folder_of(bundle_path: Path) -> Path:
    """Where the checkpoints of a training run lie: beside its bundle."""
    return bundle_path.with_name(bundle_path.name + ".run")


def has_checkpoint(run_folder: Path) -> bool:
    """Whether there is something to resume in a run folder."""
    return (run_folder / "checkpoint" / "state.json").is_file()


def fit(
    data: PreparedData,
    settings: Settings,
    *,
    start: Bundle | None = None,
    validation: Queries | None = None,
    run_folder: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Fitted:
    """Train M2GRL on prepared data.

    Args:
        validation: queries for early stopping (`training.patience`), from data that are not trained on.

    Raises:
        TrainingError: something stopped being finite.
        ConfigError: `patience` without validation queries, or settings that contradict each other.
    """
    training = settings.training
    model = M2GRL(
        settings.model, data, learning_rate=training.learning_rate, seed=training.seed,
        n_threads=1 if training.deterministic else training.threads,
        implementation=training.implementation, device=training.device,
    )  # fmt: skip
    identity = {**identity_of(settings.model, "model"), "data": fingerprint_of(data)}
    if start is not None:
        model.start_from(start.contents.vectors, _by_side(start.contents.alignment))
        identity["start"] = f"{start.manifest.data_fingerprint} {start.manifest.created}"

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


def contents_of(
    fitted: Fitted,
    settings: Settings,
    query: QuerySettings,
    metrics: Mapping[str, float] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> BundleContents:
    """What goes into the bundle of a trained model."""
    data = fitted.data
    return BundleContents(
        vectors=fitted.model.tables(),
        vocabularies={view: data.nodes(view) for view in data.view_names},
        item_nodes={name: view.item_nodes for name, view in data.views.items()},
        alignment=_by_view(fitted.model.alignments()),
        item_columns=data.item_columns,
        query=query,
        config=settings.model_dump(mode="json"),
        seed=settings.training.seed,
        data_fingerprint=fingerprint_of(data),
        metrics=metrics or {},
        index=settings.index,
        evaluation=evaluation,
        training_log=fitted.log.records(),
    )


def _by_view(matrices: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The alignment matrices as a bundle keeps them: per side view (2, dim, dim), source and target."""
    views = dict.fromkeys(name.rpartition(".")[0] for name in matrices)
    return {view: np.stack([matrices[f"{view}.alignment_{side}"] for side in SIDES]) for view in views}


def _by_side(matrices: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The alignment matrices as the model names them: what `_by_view` put together."""
    return {f"{v}.alignment_{side}": stacked[i] for v, stacked in matrices.items() for i, side in enumerate(SIDES)}


def fingerprint_of(data: PreparedData) -> str:
    """A digest of everything training reads: two runs share it only where they learn from the same data."""
    digest = hashlib.sha256()
    for view in data.view_names:
        sequences, nodes = data.view_sessions(view), data.nodes(view)
        edges = [] if view == ITEM_VIEW else [data.views[view].item_nodes.values, data.views[view].item_nodes.offsets]
        for array in (sequences.values, sequences.offsets, nodes.counts, *edges):
            digest.update(np.ascontiguousarray(array).data)
        for buffer in nodes.ids.buffers():
            digest.update(b"" if buffer is None else buffer)
    for array in (data.histories.values, data.histories.offsets):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


__all__ = [
    "Fitted",
    "contents_of",
    "fingerprint_of",
    "fit",
    "has_checkpoint",
    "prepare_log",
    "read_tables",
    "run_folder_of",
    "settled",
    "train",
    "train_prepared",
    "tune_query",
    "tuned_on",
    "tuned_on_last_items",
]
