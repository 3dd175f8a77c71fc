"""One split: where contenders are tuned, and where they are measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from prismrec.contenders.table import SPACES, VARIANTS
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, Interactions, ItemTable
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.evaluation.tuning import replaced, tune
from prismrec.fitting import as_encoded, fit, tuned_on, validation_score
from prismrec.inputs import prepare_log
from prismrec.models.baselines import BaselinesConfig, build_baseline
from prismrec.models.contract import Recommender, UserRecommender
from prismrec.models.history import asked_with, fit_settings
from prismrec.retrieval.blend import QuerySettings
from prismrec.settings import NEURAL_DEFAULTS, Settings
from prismrec.training.log import TrainingLog
from prismrec.training.loop import TrainingSettings


@dataclass(frozen=True)
class Trial:
    """One contender on one split.

    Attributes:
        recommender: fitted on the split's training rows.
        chosen: the settings that tuning chose, by name.
        validation: the tuning metric on validation data.
        fit_seconds: time of the last fit, tuning not counted.
        log: of the training on the validation side, where the model learns in epochs: what early stopping saw.
    """

    recommender: Recommender | UserRecommender
    chosen: Mapping[str, Any]
    validation: float
    fit_seconds: float
    log: TrainingLog | None = None


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

    def try_out(self, name: str) -> Trial:
        """Tune on the validation side, fit on the test side's training data."""
        return self._trained(VARIANTS[name]) if name in VARIANTS else self._baseline(name)

    def _trained(self, changes: Mapping[str, Any]) -> Trial:
        settings = varied(self.settings, changes)
        chosen = tuned_on(_with_views(self.validation.data, settings), self.validation.queries, settings)
        tuned = chosen.settings
        began = time.perf_counter()
        fitted = fit(_with_views(self.test.data, tuned), tuned)
        seconds = time.perf_counter() - began
        return Trial(fitted.scorer(tuned.query), tuned.query.model_dump(), chosen.score, seconds, chosen.log)

    def _baseline(self, name: str) -> Trial:
        fitted: dict[str, Any] = {}  # the last fit: most candidates differ in the query alone

        def score(config: Any) -> float:
            key = repr(fit_settings(config))
            if key not in fitted:
                fitted.clear()
                fitted[key] = _built(name, config).fit(self.validation.data)
            return validation_score(asked_with(fitted[key], config), self.validation.queries, self.validation.data)

        space = SPACES[name]
        if self.validation.queries.exclude_seen:
            space = {field: values for field, values in space.items() if field != "repeat_weight"}
        tuned = tune(getattr(self.settings.baselines, name), space, score)
        began = time.perf_counter()
        model = _built(name, tuned.settings).fit(self.test.data)
        return Trial(model, tuned.settings.model_dump(), tuned.score, time.perf_counter() - began)


def varied(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some fields changed; view weights of views that are gone go too.

    Where the algorithm becomes one of another kind, M2GRL or a model in torch, the settings of training and query are
    not meant for it: it begins with the defaults of its kind.
    """
    algorithm = changes.get("algorithm", settings.algorithm)
    if ("m2grl" in (algorithm, settings.algorithm)) and algorithm != settings.algorithm:
        settings = _of_other_kind(settings, neural=algorithm != "m2grl")
    for name, value in changes.items():
        settings = replaced(settings, name, value)
    kept = {v: w for v, w in settings.query.view_weights.items() if v == ITEM_VIEW or v in settings.views}
    return as_encoded(replaced(settings, "query.view_weights", kept))[0]


def _of_other_kind(settings: Settings, *, neural: bool) -> Settings:
    """How long to learn and how to ask, by the defaults of the other kind; machine, seed and threads stay."""
    own = NEURAL_DEFAULTS if neural else {"training": {}, "query": {}}
    start = TrainingSettings(device="cpu")
    reset = {name: getattr(start, name) for name in ("epochs", "learning_rate", "patience", "validate_every")}
    on_gpu = settings.training.device == "cuda"
    reset["implementation"] = "torch" if on_gpu else start.implementation
    return settings.model_copy(
        update={
            "training": settings.training.model_copy(update={**reset, **own["training"]}),
            "query": QuerySettings(**own["query"]),
        }
    )


def _built(name: str, config: Any) -> Any:
    return build_baseline(name, BaselinesConfig(**{name: config}))


def _with_views(data: PreparedData, settings: Settings) -> PreparedData:
    return replace(data, views={name: view for name, view in data.views.items() if name in settings.views})


__all__ = ["Arena", "Side", "Trial", "varied"]
