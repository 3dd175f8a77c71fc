"""The main job on one screen: tables -> clean log -> training data -> M2GRL -> bundle.

    log, items = read_tables(settings)         inputs: data.reading, data.quarantine, data.sessions
    data       = prepare_log(log, items, ...)  inputs: data.preparation
    fitted     = fit(data, settings)           fitting: models.m2grl, training.loop
    query      = tune_query(...)               fitting: evaluation.tuning, on validation data
    bundle     = Bundle.write(path, contents)  retrieval.bundle

`train` is all of it. `contenders` measures it against others under one protocol.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.cluster.process_group import process_group
from prismrec.crew_fitting import Job, identity_of_prepared, left_by_crew, train_in_crew
from prismrec.data.engines.spark_session import ended_after_use
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sharded.reader import open_prepared
from prismrec.errors import ArtifactError, ConfigError
from prismrec.fitting import (
    AnyFitted,
    Fitted,
    as_encoded,
    as_run,
    fingerprint_of,
    fit,
    for_crew,
    run_identity,
    tuned_on_last_items,
)
from prismrec.fitting.warm_start import stored_whole
from prismrec.inputs import keep_quarantine, prepare_log, read_tables
from prismrec.link_training import link_contents
from prismrec.models.algorithms import TRANSLATION
from prismrec.models.m2grl.tables import SIDES
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.manifest import MANIFEST, refuse_foreign
from prismrec.settings import Settings
from prismrec.training.progress import Progress, QuietProgress


def train(
    settings: Settings,
    path: str | Path,
    *,
    interactions: Any = None,
    items: Any = None,
    users: Any = None,
    user_links: Any = None,
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
        interactions, items, users, user_links: tables at hand (pandas, Polars, Arrow, Ibis, a path) instead of those
            in the settings.
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
    if settings.algorithm in TRANSLATION:
        _refuse_for_links(settings.algorithm, start, interactions, items, users, user_links)
        contents = link_contents(
            settings, run_folder, stop_on_validation=tune_on_validation, resume=resume, evaluation=evaluation,
            progress=progress,
        )  # fmt: skip
        return _finish(path, contents)
    settings = _as_encoded(settings, progress)
    chosen = settings if start is None else settings.model_copy(update={"query": start.contents.query})
    metrics: Mapping[str, float] = {}
    with ended_after_use():  # the memory of Spark is free when the model of the bundle is trained
        log, item_table = read_tables(settings, interactions, items, users, user_links)
        for line in keep_quarantine(log, item_table, path.with_name(path.name + ".quarantine")):
            progress.note(line)
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
    prepared: Path | None = None,
) -> Bundle:
    """From prepared data to a bundle on disk, with the query settings of `start`, or those of the settings.

    Args:
        data: as `prepare_log` or `prepare_edges` made it; its views are trained, whatever the settings name.
        settings: of model, training and query.
        path: as for `train`.
        start: warm start; `data` must have been prepared on it.
        resume, evaluation, progress: as for `train`.
        prepared: the folder that `data` were read from, where there is one: several processes then read it too.

    Raises:
        ConfigError: the data were not prepared on `start`, or the settings contradict the data.
    """
    path = Path(path)
    refuse_foreign(path, MANIFEST)
    if settings.algorithm in TRANSLATION:
        raise ConfigError(f"{settings.algorithm} learns from triples, not from prepared clicks: train without them")
    settings = _as_encoded(settings, progress)
    if start is not None:
        _check_prepared_on(start, data)
    fitted = fit(
        data, settings, start=start, run_folder=run_folder_of(path), resume=resume, progress=progress, prepared=prepared
    )
    query = settings.query if start is None else start.contents.query
    return _finish(path, contents_of(fitted, settings, query, evaluation=evaluation))


def train_under_torchrun(
    settings: Settings,
    prepared: Path,
    path: str | Path,
    *,
    start: Bundle | None = None,
    resume: bool = False,
    evaluation: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Bundle | None:
    """What each process that torchrun started does: train with the others; that of rank 0 writes the bundle.

    Args:
        prepared: a folder of prepared data, sharded or not, that every process sees.
        path: where the bundle goes, on a file system that every process sees.
        start, resume, evaluation, progress: as for `train_prepared`.

    Returns:
        the bundle in the process of rank 0, None in the others.

    Raises:
        CrewError: another process is gone.
        ConfigError, ArtifactError, TrainingInterrupted: as for `train_prepared`.
    """
    path = Path(path)
    with process_group(settings.training.device, settings.sharding.timeout_seconds) as crew:
        refuse_foreign(path, MANIFEST)
        settings = for_crew(settings, crew.size)
        job = Job(
            prepared=str(prepared),
            run_folder=str(run_folder_of(path)),
            start="" if start is None else str(start.path),
            resume=resume,
            identity=run_identity(settings, identity_of_prepared(prepared), start),
            settings=settings,
        )
        train_in_crew(job, crew, progress)
        crew.wait()
    if crew.rank:
        return None
    data = open_prepared(prepared, settings.model.sequences)
    if start is not None:
        _check_prepared_on(start, data)
    model, log = left_by_crew(run_folder_of(path), data.view_names)
    query = settings.query if start is None else start.contents.query
    return _finish(path, contents_of(Fitted(model, data, log), settings, query, evaluation=evaluation))


def _refuse_for_links(algorithm: str, *given: Any) -> None:
    """Models of links read the triples that the settings name, and begin with fresh vectors."""
    if any(value is not None for value in given):
        raise ConfigError(
            f"{algorithm} learns from the triples of [knowledge] alone: it takes no tables and no bundle to start from"
        )


def _as_encoded(settings: Settings, progress: Progress | None) -> Settings:
    followed, told = as_encoded(settings)
    for line in told:
        (progress or QuietProgress()).note(line)
    return followed


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


def contents_of(
    fitted: AnyFitted,
    settings: Settings,
    query: QuerySettings,
    metrics: Mapping[str, float] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> BundleContents:
    """What goes into the bundle of a trained model."""
    data = fitted.data
    return BundleContents(
        **_learned(fitted),
        vocabularies={view: data.nodes(view) for view in data.view_names},
        item_nodes={name: view.item_nodes for name, view in data.views.items()},
        item_columns=data.item_columns,
        query=query,
        config=as_run(settings).model_dump(mode="json"),
        seed=settings.training.seed,
        data_fingerprint=fingerprint_of(data),
        metrics=metrics or {},
        index=settings.index,
        evaluation=evaluation,
        training_log=fitted.log.records(),
    )


def _learned(fitted: AnyFitted) -> dict[str, Any]:
    """Of `BundleContents`, what the model learned."""
    if isinstance(fitted, Fitted):
        return {"vectors": fitted.model.tables(), "alignment": _by_view(fitted.model.alignments())}
    encoder = stored_whole(fitted.model, fitted.data)
    return {
        "vectors": {ITEM_VIEW: fitted.model.table()},
        "encoder": encoder,
        "users": fitted.data.users if encoder.knows_users else None,
    }


def _by_view(matrices: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The alignment matrices as a bundle keeps them: per side view (2, dim, dim), source and target."""
    views = dict.fromkeys(name.rpartition(".")[0] for name in matrices)
    return {view: np.stack([matrices[f"{view}.alignment_{side}"] for side in SIDES]) for view in views}


__all__ = ["contents_of", "has_checkpoint", "run_folder_of", "train", "train_prepared", "train_under_torchrun"]
