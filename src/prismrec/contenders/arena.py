"""One split: where contenders are tuned, and where they are measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prismrec.contenders.table import M2GRL, SPACES, VARIANTS
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, Interactions, ItemTable
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.evaluation.tuning import Tuned, replaced, tune
from prismrec.fitting import Validation, as_encoded, fit, tuned_on, validation_score
from prismrec.graphs.knowledge import controlled
from prismrec.inputs import prepare_log
from prismrec.models.baselines import BaselinesConfig, build_baseline
from prismrec.models.contract import Recommender, UserRecommender
from prismrec.models.history import asked_with, fit_settings
from prismrec.retrieval.blend import QuerySettings
from prismrec.settings import NEURAL_DEFAULTS, Settings
from prismrec.training.log import TrainingLog
from prismrec.training.loop import TrainingSettings
from prismrec.training.progress import Progress, QuietProgress

_OF_KIND = ("epochs", "learning_rate", "patience", "precision", "validate_every")
"""Settings of training that mean something else for M2GRL than for models in torch."""


@dataclass(frozen=True)
class Learned:
    """How a contender learned in epochs on the validation side, where early stopping watches.

    Attributes:
        epochs: how many it took.
        kept_epochs: after how many it was best; as many the model that is measured takes.
        seconds_per_epoch: mean time in steps, validation not counted.
        seconds_to_best: time in steps until it was best.
        score: the validation score of that epoch, before the query was tuned; None without early stopping.
    """

    epochs: int
    kept_epochs: int
    seconds_per_epoch: float
    seconds_to_best: float
    score: float | None

    @classmethod
    def of(cls, log: TrainingLog) -> Learned:
        """The sum of a log."""
        kept = log.kept_epoch or len(log.epochs)
        return cls(
            epochs=len(log.epochs),
            kept_epochs=kept,
            seconds_per_epoch=log.seconds / max(1, len(log.epochs)),
            seconds_to_best=sum(entry.seconds for entry in log.epochs[:kept]),
            score=log.epochs[kept - 1].validation if log.epochs else None,
        )


@dataclass(frozen=True)
class Trial:
    """One contender on one split.

    Attributes:
        recommender: fitted on the split's training rows.
        chosen: the settings that tuning chose, by name.
        validation: the tuning metric on validation data.
        fit_seconds: time of the last fit, tuning not counted.
        learned: how it learned, where it does so in epochs.
    """

    recommender: Recommender | UserRecommender
    chosen: Mapping[str, Any]
    validation: float
    fit_seconds: float
    learned: Learned | None = None


@dataclass(frozen=True)
class FoldTrial:
    """What became of one contender in one fold: a `Trial` without the model."""

    chosen: Mapping[str, Any]
    validation: float
    fit_seconds: float
    learned: Learned | None


@dataclass(frozen=True, eq=False)
class Side:
    """Training data and the queries held out from them."""

    data: PreparedData
    queries: Queries

    @classmethod
    def of(cls, train: Interactions, items: ItemTable | None, held_out: Any, settings: Settings) -> Side:
        data = prepare_log(train, items, settings)
        return cls(data, queries_from(held_out, data.items, settings.evaluation.exclude_seen, data.users))

    @property
    def catalogue(self) -> Catalogue:
        """What the metrics of diversity look at."""
        return Catalogue(self.data.items.counts, {name: view.item_nodes for name, view in self.data.views.items()})


@dataclass(frozen=True, eq=False)
class Arena:
    """One split: where contenders are tuned, and where they are measured."""

    settings: Settings
    validation: Side
    test: Side
    progress: Progress = field(default_factory=QuietProgress)

    def try_out(self, name: str) -> Trial:
        """Tune on the validation side, fit on the test side's training data."""
        return self._trained(VARIANTS[name]) if name in VARIANTS else self._baseline(name)

    def _trained(self, changes: Mapping[str, Any]) -> Trial:
        settings = varied(self.settings, changes)
        data = data_of(self.validation.data, settings, self.settings)
        chosen = tuned_on(data, self.validation.queries, settings, progress=self.progress)
        tuned = chosen.settings
        began = time.perf_counter()
        fitted = fit(data_of(self.test.data, tuned, self.settings), tuned, progress=self.progress)
        seconds = time.perf_counter() - began
        scorer, learned = fitted.scorer(tuned.query), Learned.of(chosen.log)
        return Trial(scorer, tuned.query.model_dump(), chosen.score, seconds, learned)

    def _baseline(self, name: str) -> Trial:
        tuned = tune_baseline(name, self.settings, self.validation.data, self.validation.queries)
        began = time.perf_counter()
        model = fit_baseline(name, tuned.settings, self.test.data)
        return Trial(model, tuned.settings.model_dump(), tuned.score, time.perf_counter() - began)


def tune_baseline(name: str, settings: Settings, data: PreparedData, queries: Validation) -> Tuned[Any]:
    """The settings of a simple baseline that do best on validation data.

    Args:
        name: from `SPACES`.
        data: what it is fitted on.
        queries: what it is asked; where these leave out what a user has seen, repeats are not tuned.
    """
    fitted: dict[str, Any] = {}  # the last fit: most candidates differ in the query alone

    def score(config: Any) -> float:
        key = repr(fit_settings(config))
        if key not in fitted:
            fitted.clear()
            fitted[key] = fit_baseline(name, config, data)
        return validation_score(asked_with(fitted[key], config), queries, data)

    space = SPACES[name]
    if queries.exclude_seen:
        space = {field: values for field, values in space.items() if field != "repeat_weight"}
    return tune(getattr(settings.baselines, name), space, score)


def fit_baseline(name: str, config: Any, data: PreparedData) -> Any:
    """A fitted baseline: a `Recommender`."""
    return build_baseline(name, BaselinesConfig(**{name: config})).fit(data)


def varied(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some fields changed; view weights of views that are gone go too.

    Where the algorithm becomes one of another kind, M2GRL or a model in torch, `[training]` and `[query]` are not meant
    for it: a model in torch follows `[rivals]`, M2GRL the defaults.
    """
    aside = {name: getattr(settings, name) for name, field in Settings.model_fields.items() if field.exclude}
    neural = changes.get("algorithm", settings.algorithm) != M2GRL
    if neural != (settings.algorithm != M2GRL):
        settings = _of_other_kind(settings, neural=neural)
    for name, value in changes.items():
        settings = replaced(settings, name, value)
    kept = {v: w for v, w in settings.query.view_weights.items() if v == ITEM_VIEW or v in settings.views}
    settings = replaced(settings, "query.view_weights", kept).model_copy(update=aside)
    return as_encoded(settings)[0]


def _of_other_kind(settings: Settings, *, neural: bool) -> Settings:
    """How long to learn and how to ask, by what the other kind has for itself; machine, seed and threads stay."""
    training, start = settings.training, TrainingSettings()
    changes: dict[str, Any] = {name: getattr(start, name) for name in _OF_KIND}
    changes["implementation"] = "torch" if neural or training.device == "cuda" else start.implementation
    query = NEURAL_DEFAULTS["query"] if neural else {}
    return settings.model_copy(
        update={
            "training": training.model_copy(update=changes | (settings.rivals.model_dump() if neural else {})),
            "query": QuerySettings(**query),
        }
    )


def data_of(data: PreparedData, settings: Settings, own: Settings) -> PreparedData:
    """The training data as a contender learns from them: its views, and the graph under its control.

    Args:
        data: prepared with the settings `own`.
        settings: of the contender.
    """
    data = replace(data, views={name: view for name, view in data.views.items() if name in settings.views})
    control = settings.knowledge.control
    if data.knowledge is None or control == own.knowledge.control:
        return data
    return replace(data, knowledge=controlled(data.knowledge, control, settings.training.seed))


__all__ = [
    "Arena",
    "FoldTrial",
    "Learned",
    "Side",
    "Trial",
    "data_of",
    "fit_baseline",
    "tune_baseline",
    "varied",
]
