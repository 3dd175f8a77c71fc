"""From the triples of the settings to a bundle whose items are entities: for `similar`, the service, and DKN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from prismrec.data.schema import ITEM_VIEW
from prismrec.evaluation.links import LinkQueries, evaluate_links
from prismrec.fitting import settled
from prismrec.fitting.links import FittedLinks, checked_links, fingerprint_of_graph, fit_links
from prismrec.link_data import LinkSplit, read_links
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.settings import Settings
from prismrec.training.progress import Progress

LABEL = "label"
"""The column of a bundle's item table that holds the names of its entities."""

ENTITY_QUERY = QuerySettings(similarity="cosine", popularity_weight=0.0, recency_decay=1.0)
"""How entities are asked for: those like the mean of some entities, by the angle between vectors."""


def link_contents(
    settings: Settings,
    run_folder: Path,
    *,
    stop_on_validation: bool,
    resume: bool,
    evaluation: Mapping[str, Any] | None,
    progress: Progress,
) -> BundleContents:
    """Train the model of `settings.algorithm` on all triples; what its bundle holds.

    With early stopping (`training.patience`) a first model learns without the held-out triples: after how many epochs
    it was best, the model of the bundle stops.

    Args:
        run_folder: where the checkpoints of an unfinished run lie.
        stop_on_validation: train that first model; else as many epochs as the settings say.
        resume: go on from a checkpoint there.
        evaluation, progress: as for `pipeline.train`.

    Raises:
        ConfigError, DataError, TrainingError, MissingExtraError: as for `link_data.read_links` and `fitting.links`.
    """
    checked_links(settings)
    split = read_links(settings)
    graph, n_held_out = split.graph, len(split.valid) + len(split.test)
    progress.note(
        f"{graph.n_entities:,} entities, {graph.n_relations:,} relations, {graph.n_triples:,} triples and "
        f"{n_held_out:,} held out"
    )
    metrics: Mapping[str, float] = {}
    followed = settings.model_copy(update={"training": settings.training.model_copy(update={"patience": 0})})
    if stop_on_validation and settings.training.patience:
        progress.note("tuning: a first model is trained without the held-out triples")
        first, metrics = _first_model(split, settings, run_folder / "tuning", resume=resume, progress=progress)
        followed = settled(settings, first.log)
        progress.note("training: the model of the bundle, on everything")
    fitted = fit_links(
        split.everything, followed, validation=None, run_folder=run_folder, resume=resume and _begun(run_folder),
        progress=progress,
    )  # fmt: skip
    return _contents(fitted, settings, metrics, evaluation)


def _first_model(
    split: LinkSplit, settings: Settings, run_folder: Path, *, resume: bool, progress: Progress
) -> tuple[FittedLinks, Mapping[str, float]]:
    """A model that stops where held-out triples are ranked best, and how it ranks those that it did not stop by."""
    links, budget = settings.links, settings.evaluation.memory_budget_mb
    valid, test = (
        LinkQueries.of(asked, split.graph, [other], type_constrained=links.type_constrained)
        for asked, other in ((split.valid, split.test), (split.test, split.valid))
    )
    fitted = fit_links(
        split.graph, settings, validation=valid.sample(links.n_validation, settings.training.seed),
        run_folder=run_folder, resume=resume and _begun(run_folder), progress=progress,
    )  # fmt: skip
    results = evaluate_links(fitted.model, test, links, budget)
    return fitted, {f"held_out_{name}": results.mean(name) for name in results.values}


def _begun(run_folder: Path) -> bool:
    return (run_folder / "checkpoint" / "state.json").is_file()


def _contents(
    fitted: FittedLinks, settings: Settings, metrics: Mapping[str, float], evaluation: Mapping[str, Any] | None
) -> BundleContents:
    graph = fitted.graph
    return BundleContents(
        vectors={ITEM_VIEW: fitted.model.table()},
        vocabularies={ITEM_VIEW: graph.entities},
        item_columns=pa.table({LABEL: graph.labels}),
        query=ENTITY_QUERY,
        config=settings.model_dump(mode="json"),
        seed=settings.training.seed,
        data_fingerprint=fingerprint_of_graph(graph),
        metrics=metrics,
        index=settings.index,
        evaluation=evaluation,
        training_log=fitted.log.records(),
    )


__all__ = ["ENTITY_QUERY", "LABEL", "link_contents"]
