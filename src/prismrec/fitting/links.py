"""A model of links trained on a knowledge graph, in this process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.errors import ConfigError
from prismrec.evaluation.links import LinkQueries, mean_reciprocal_rank
from prismrec.fitting.neural import refuse_of_m2grl, torch_session
from prismrec.models.algorithms import TRANSLATION, TranslationName, build_translation
from prismrec.settings import Settings
from prismrec.training.identity import identity_of
from prismrec.training.log import TrainingLog
from prismrec.training.loop import train as run_training
from prismrec.training.progress import Progress

if TYPE_CHECKING:  # it needs torch
    from prismrec.models.knowledge.translation import TranslationModel


@dataclass(frozen=True, eq=False)
class FittedLinks:
    """A model of links, trained."""

    model: TranslationModel
    graph: KnowledgeGraph
    log: TrainingLog


def fit_links(
    graph: KnowledgeGraph,
    settings: Settings,
    *,
    validation: LinkQueries | None,
    run_folder: Path | None,
    resume: bool,
    progress: Progress,
) -> FittedLinks:
    """Train the model of `settings.algorithm` on the triples of a graph.

    Args:
        validation: triples that are not in the graph, for early stopping (`training.patience`) by their filtered MRR.
        run_folder, resume, progress: as for `fitting.fit`.

    Raises:
        ConfigError: the algorithm is no model of links, or settings contradict each other.
        DataError: the graph holds no triples.
        TrainingError: something stopped being finite.
        MissingExtraError: torch is not installed.
    """
    name, training = checked_links(settings), settings.training
    with torch_session(training):
        model = build_translation(name, settings.models, graph, seed=training.seed, device=training.device)
        validate = None
        if validation is not None:
            held_out = validation

            def validate() -> float:
                return mean_reciprocal_rank(model, held_out, settings.evaluation.memory_budget_mb)

        config = identity_of(getattr(settings.models, name), f"models.{name}")
        log = run_training(
            model, training, run_folder=run_folder, progress=progress, resume=resume, validate=validate,
            identity={**config, "data": fingerprint_of_graph(graph)},
        )  # fmt: skip
    return FittedLinks(model, graph, log)


def checked_links(settings: Settings) -> TranslationName:
    """The model of links that the settings name.

    Raises:
        ConfigError: they name another, or ask for what only others can do.
    """
    name = settings.algorithm
    if name not in TRANSLATION:
        raise ConfigError(f"algorithm = {name!r} learns no links; those that do are {', '.join(TRANSLATION)}")
    refuse_of_m2grl(settings)
    if settings.training.precision != "fp32":
        raise ConfigError(f"training.precision = {settings.training.precision!r}: {name} computes in fp32 alone")
    return name


def fingerprint_of_graph(graph: KnowledgeGraph) -> str:
    """A digest of everything that a model of links reads."""
    digest = hashlib.sha256("\n".join(graph.relations).encode())
    digest.update(np.ascontiguousarray(graph.triples).data)
    for buffer in graph.entities.ids.buffers():
        digest.update(b"" if buffer is None else buffer)
    return digest.hexdigest()


__all__ = ["FittedLinks", "checked_links", "fingerprint_of_graph", "fit_links"]
