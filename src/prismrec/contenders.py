"""Models beside each other under one protocol: each tuned on validation data alike, then measured once on test data.

For every contender: fit on the inner training rows, choose settings on the validation queries, fit again on all
training rows with what was chosen, answer the test queries. The grids are literal tables below, equally wide for the
simple baselines as for M2GRL: a baseline that was not tuned is not a baseline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, Interactions, ItemTable
from prismrec.data.splits import split, validation_split
from prismrec.errors import ConfigError
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.protocols import Results, evaluate, pooled
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.evaluation.tables import Comparison, Experiment, compare
from prismrec.evaluation.tuning import Space, replaced, tune
from prismrec.fitting import HISTORY_LENGTHS, RECENCY_DECAYS, TUNING_QUERIES, fit, tuned_on, validation_score
from prismrec.inputs import prepare_log
from prismrec.models.baselines import BaselinesConfig, build_baseline
from prismrec.models.contract import Recommender
from prismrec.models.history import asked_with, fit_settings
from prismrec.settings import Settings

M2GRL = "m2grl"
BASELINES = ("popularity", "item_knn", "cooccurrence", "ease")
SKIP_GRAMS = ("item2vec", "single_view")
DEFAULT = (*BASELINES, *SKIP_GRAMS, M2GRL)

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    M2GRL: {},
    "single_view": {"views": {}},
    "item2vec": {
        "views": {}, "model.context": "symmetric", "model.negative_power": 0.75, "model.popularity_offset": False,
        "query.similarity": "cosine", "query.popularity_weight": 0.0,
    },
    "no_alignment": {"model.alignment": False},
    "equal_weights": {"model.task_weights": "equal"},
    "cosine": {"query.similarity": "cosine"},
    "symmetric": {"model.context": "symmetric"},
    "no_popularity": {"model.popularity_offset": False, "query.popularity_weight": 0.0},
}  # fmt: skip
"""Every model trained by M2GRL's code: what it changes in the settings. `item2vec` is the usual recipe: one view,
symmetric contexts, cosine of source vectors."""

ABLATIONS = (M2GRL, "no_alignment", "equal_weights", "cosine", "symmetric", "no_popularity", "single_view")

_HISTORY: Space = {"recency_decay": RECENCY_DECAYS, "history_length": HISTORY_LENGTHS}
_PRIORS: Space = {
    "popularity_weight": (0.0, 0.01, 0.03, 0.1, 0.3),
    "repeat_weight": (-1.0, -0.1, 0.0, 0.1, 0.3, 1.0, 3.0),
}

SPACES: Mapping[str, Space] = {
    "random": {},
    "popularity": {"repeat_weight": (0.0, 1.0, 10.0, 100.0), **_HISTORY},
    "item_knn": {
        "neighbours": (50, 200, 1000), "shrinkage": (0.0, 10.0, 50.0), "weighting": ("none", "tfidf", "bm25"),
        **_HISTORY, **_PRIORS,
    },
    "cooccurrence": {
        "pairs.window": (2, 5, 10, 20), "pairs.direction": ("forward", "symmetric"),
        "normalisation": ("cosine", "conditional"), "target_exponent": (0.1, 0.3, 0.5), "shrinkage": (0.0, 10.0, 40.0),
        **_HISTORY, **_PRIORS,
    },
    "ease": {"regularisation": (50.0, 200.0, 500.0, 1500.0), **_HISTORY, **_PRIORS},
}  # fmt: skip
"""What tuning tries for each baseline; `repeat_weight` only where seen items are ranked."""


@dataclass(frozen=True)
class Trial:
    """One contender on one split.

    Attributes:
        recommender: fitted on the split's training rows.
        chosen: the settings that tuning chose, by name.
        validation: the tuning metric on validation data.
        fit_seconds: time of the last fit, tuning not counted.
    """

    recommender: Recommender
    chosen: Mapping[str, Any]
    validation: float
    fit_seconds: float


@dataclass(frozen=True, eq=False)
class Measured:
    """A whole comparison, with what tuning chose for each contender, and further comparisons of them by name."""

    comparison: Comparison
    chosen: Mapping[str, Mapping[str, Any]]
    validation: Mapping[str, float]
    others: Mapping[str, Comparison] = field(default_factory=dict)


def run(
    log: Interactions,
    items: ItemTable | None,
    settings: Settings,
    names: Sequence[str] = DEFAULT,
    *,
    reference: Sequence[str] = BASELINES,
    note: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Tune, fit and measure the named contenders.

    Args:
        log: the clean log.
        names: from `DEFAULT`, `VARIANTS` or `SPACES`.
        reference: whose best every other contender is compared with.
        note: told what is going on, line by line.

    Raises:
        ConfigError: there is no contender of a name.
    """
    for name in names:
        if name not in VARIANTS and name not in SPACES:
            raise ConfigError(f"there is no model {name!r}; there are {', '.join({**SPACES, **VARIANTS})}")
    folds: dict[str, list[Results]] = {name: [] for name in names}
    chosen: dict[str, Mapping[str, Any]] = {}
    validation: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for outer in split(log, settings.split):
        inner = validation_split(outer, settings.split.model_copy(update={"max_queries": TUNING_QUERIES}))
        arena = _Arena(
            settings,
            _Side.of(inner.train, items, inner.queries, settings),
            _Side.of(outer.train, items, outer.queries, settings),
        )
        for name in names:
            trial = arena.try_out(name)
            result = evaluate(trial.recommender, arena.test.queries, settings.evaluation, arena.test.catalogue)
            folds[name].append(result)
            chosen[name], validation[name], seconds[name] = trial.chosen, trial.validation, trial.fit_seconds
            note(f"{name}: fitted in {trial.fit_seconds:.1f} s, validation score {trial.validation:.4f}")
    experiment = Experiment(
        settings.data.name, settings.split.protocol, tuple(n for n in reference if n in names), seconds
    )
    results = {name: pooled(parts) if len(parts) > 1 else parts[0] for name, parts in folds.items()}
    return Measured(compare(results, experiment, settings.evaluation), chosen, validation)


@dataclass(frozen=True, eq=False)
class _Side:
    """Training data and the queries held out from them."""

    data: PreparedData
    queries: Queries

    @classmethod
    def of(cls, train: Interactions, items: ItemTable | None, held_out: Any, settings: Settings) -> _Side:
        data = prepare_log(train, items, settings)
        return cls(data, queries_from(held_out, data.items, settings.evaluation.exclude_seen))

    @property
    def catalogue(self) -> Catalogue:
        """What the metrics of diversity look at."""
        return Catalogue(self.data.items.counts, {name: view.item_nodes for name, view in self.data.views.items()})


@dataclass(frozen=True, eq=False)
class _Arena:
    """One split: where contenders are tuned, and where they are measured."""

    settings: Settings
    validation: _Side
    test: _Side

    def try_out(self, name: str) -> Trial:
        """Tune on the validation side, fit on the test side's training data."""
        return self._skip_gram(VARIANTS[name]) if name in VARIANTS else self._baseline(name)

    def _skip_gram(self, changes: Mapping[str, Any]) -> Trial:
        settings = varied(self.settings, changes)
        data = _with_views(self.validation.data, settings)
        tuned, score = tuned_on(data, self.validation.queries, settings)
        began = time.perf_counter()
        fitted = fit(_with_views(self.test.data, tuned), tuned)
        seconds = time.perf_counter() - began
        return Trial(fitted.scorer(tuned.query), tuned.query.model_dump(), score, seconds)

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
    """The settings with some fields changed; view weights of views that are gone go too."""
    for name, value in changes.items():
        settings = replaced(settings, name, value)
    kept = {v: w for v, w in settings.query.view_weights.items() if v == ITEM_VIEW or v in settings.views}
    return replaced(settings, "query.view_weights", kept)


def _built(name: str, config: Any) -> Any:
    return build_baseline(name, BaselinesConfig(**{name: config}))


def _with_views(data: PreparedData, settings: Settings) -> PreparedData:
    return replace(data, views={name: view for name, view in data.views.items() if name in settings.views})


__all__ = ["ABLATIONS", "BASELINES", "DEFAULT", "SPACES", "VARIANTS", "Measured", "run", "varied"]
