"""What diversity costs: M2GRL under each control at rising strength, chosen on validation data, measured on test data.

The controls: maximal marginal relevance and the determinantal point process (`retrieval.diversity`), a quota on every
view, and the weights of the side views in the query, lowered until they push away. Each is turned up on validation
queries until it costs more of HR@50 than allowed; the last strength before that is measured once on the test queries,
beside the list by score alone. Lists have 50 items, as a request for 50 would be answered; what changes in the first
10 and 20 of them is told beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prismrec.contenders import M2GRL, VARIANTS, varied
from prismrec.data.schema import ITEM_VIEW, Interactions, ItemTable
from prismrec.data.sequences import Sequences
from prismrec.data.splits import split, validation_split
from prismrec.errors import ConfigError
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.protocols import Results, evaluate, pooled
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.evaluation.tables import Comparison, Experiment, compare
from prismrec.fitting import TUNING_QUERIES, Fitted, fit_m2grl, tuned_on
from prismrec.inputs import prepare_log
from prismrec.models.contract import Recommender
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.diversity.diversified import Diversified
from prismrec.retrieval.request import Diversity
from prismrec.settings import Settings

BY_SCORE = "by score"
LIST_LENGTH = 50
SHOWN = 20
"""Where distinct nodes are counted: what a person looks at."""

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
QUOTAS = (25, 20, 15, 10, 7, 5, 4, 3, 2, 1)
"""Items per node of a view, strength rising."""

MOST_LOST = 0.05
"""Share of HR@50 that diversity may cost."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A trained model, and the queries held out from its data."""

    fitted: Fitted
    queries: Queries
    query: QuerySettings

    @property
    def item_nodes(self) -> dict[str, Sequences]:
        """View name -> the nodes of each item."""
        return {name: view.item_nodes for name, view in self.fitted.data.views.items()}

    def by_score(self, query: QuerySettings | None = None) -> Recommender:
        """The model as it is, or asked otherwise."""
        return self.fitted.scorer(query or self.query)

    def diversified(self, diversity: Diversity) -> Recommender:
        """The model with re-ranked lists."""
        scorer, seen = self.fitted.scorer(self.query), self.queries.exclude_seen
        return Diversified(scorer, self.item_nodes, diversity, LIST_LENGTH, exclude_seen=seen)

    def measured(self, recommender: Recommender, settings: Settings) -> Results:
        """The figures of a recommender on the queries."""
        catalogue = Catalogue(self.fitted.data.items.counts, self.item_nodes)
        return evaluate(recommender, self.queries, settings.evaluation, catalogue)


@dataclass(frozen=True)
class Control:
    """A way to spread lists.

    Attributes:
        name: of the control.
        strengths: what is tried, the mildest first: levels, or quotas.
        apply: the model under the control at a strength.
    """

    name: str
    strengths: tuple[float, ...]
    apply: Callable[[Asked, float], Recommender]


@dataclass(frozen=True)
class Point:
    """One control at one strength on validation data.

    Attributes:
        strength: level, or quota.
        kept: HR@50 as a share of that of the list by score.
        values: metric -> mean.
    """

    strength: float
    kept: float
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class TradeOff:
    """What was measured.

    Attributes:
        base: metric -> mean of the list by score on validation data; of the last fold, as are `curves`.
        curves: control -> its points on validation data, up to the first that costs too much.
        chosen: control -> the strength measured on test data, fold by fold; None where the mildest cost too much, and
            the list by score stands in its place.
        comparison: on test data, `BY_SCORE` and every control; differences are to `BY_SCORE`.
        most_lost: share of HR@50 that a control was allowed to cost on validation data.
    """

    base: Mapping[str, float]
    curves: Mapping[str, Sequence[Point]]
    chosen: Mapping[str, Sequence[float | None]]
    comparison: Comparison
    most_lost: float


def controls(levels: Sequence[float] = LEVELS) -> tuple[Control, ...]:
    """The controls that are compared."""
    rising = tuple(sorted(levels))
    return (
        Control("mmr", rising, lambda asked, level: asked.diversified(Diversity(level=level, method="mmr"))),
        Control("dpp", rising, lambda asked, level: asked.diversified(Diversity(level=level, method="dpp"))),
        Control("quotas", QUOTAS, _with_quotas),
        Control("view_weights", rising, _with_weights),
    )


def run(
    log: Interactions,
    items: ItemTable | None,
    settings: Settings,
    levels: Sequence[float] = LEVELS,
    *,
    most_lost: float = MOST_LOST,
    note: Callable[[str], None] = lambda text: None,
) -> TradeOff:
    """Tune and fit M2GRL, turn up each control on validation data, measure on test data what it may be turned up to.

    Args:
        log: the clean log.
        items: the item table; its views are what lists are spread over.
        settings: of all stages.
        levels: strengths of the controls that have a level, each above 0 and at most 1.
        most_lost: share of HR@50 that a control may cost on validation data.
        note: told what is going on, line by line: once per fold when the models are there, then once per control.

    Raises:
        ConfigError: there are no views, the protocol withholds items, a level is out of range, or lists are not
            measured at 20 and 50 items.
    """
    settings = varied(settings, VARIANTS[M2GRL])
    _check(settings, levels)
    results: dict[str, list[Results]] = {}
    chosen: dict[str, list[float | None]] = {}
    curves: dict[str, Sequence[Point]] = {}
    base: Mapping[str, float] = {}
    for validation, test in _folds(log, items, settings):
        note("m2grl: tuned and fitted")
        base = _means(validation.measured(validation.by_score(), settings))
        by_score = test.measured(test.by_score(), settings)
        results.setdefault(BY_SCORE, []).append(by_score)
        for control in controls(levels):
            curves[control.name] = curve = list(_curve(control, validation, base, settings, most_lost))
            allowed = [point.strength for point in curve if point.kept >= 1 - most_lost]
            strength = allowed[-1] if allowed else None
            found = by_score if strength is None else test.measured(control.apply(test, strength), settings)
            results.setdefault(control.name, []).append(found)
            chosen.setdefault(control.name, []).append(strength)
            note(f"{control.name}: {'nothing' if strength is None else f'{strength:g}'} was allowed")
    whole = {name: pooled(parts) if len(parts) > 1 else parts[0] for name, parts in results.items()}
    experiment = Experiment(settings.data.name, settings.split.protocol, (BY_SCORE,))
    return TradeOff(base, curves, chosen, compare(whole, experiment, settings.evaluation), most_lost)


def _check(settings: Settings, levels: Sequence[float]) -> None:
    if not settings.views:
        raise ConfigError("diversity is measured over the views of the items, and the settings have no [views]")
    if settings.split.protocol == "cold_item":
        raise ConfigError(
            "diversity is measured on clicks on known items: choose another split.protocol than cold_item"
        )
    if not levels or not all(0 < level <= 1 for level in levels):
        raise ConfigError(f"levels of diversity lie above 0 and are at most 1, got {list(levels)}")
    if not {SHOWN, LIST_LENGTH} <= set(settings.evaluation.ks):
        raise ConfigError(
            f"diversity is measured in the first {SHOWN} and {LIST_LENGTH} items: evaluation.ks must hold both, got "
            f"{list(settings.evaluation.ks)}"
        )


def _folds(log: Interactions, items: ItemTable | None, settings: Settings) -> Iterator[tuple[Asked, Asked]]:
    """Of each fold the model tuned and fitted on its inner rows, and that on all its training rows."""
    for outer in split(log, settings.split):
        inner = validation_split(outer, settings.split.model_copy(update={"max_queries": TUNING_QUERIES}))
        inner_data, data = (prepare_log(side.train, items, settings) for side in (inner, outer))
        held_out, queries = (
            queries_from(side.queries, prepared.items, settings.evaluation.exclude_seen)
            for side, prepared in ((inner, inner_data), (outer, data))
        )
        tuned = tuned_on(inner_data, held_out, settings).settings
        yield (
            Asked(fit_m2grl(inner_data, tuned), held_out, tuned.query),
            Asked(fit_m2grl(data, tuned), queries, tuned.query),
        )


def _curve(
    control: Control, asked: Asked, base: Mapping[str, float], settings: Settings, most_lost: float
) -> Iterator[Point]:
    """The points of a control, the mildest first, up to the first that costs too much."""
    metric = f"HR@{LIST_LENGTH}"
    for strength in control.strengths:
        values = _means(asked.measured(control.apply(asked, strength), settings))
        kept = values[metric] / base[metric] if base[metric] else 1.0
        yield Point(strength, kept, values)
        if kept < 1 - most_lost:
            return


def _means(results: Results) -> dict[str, float]:
    return {metric: results.mean(metric) for metric in results.values} | dict(results.totals)


def _with_quotas(asked: Asked, quota: float) -> Recommender:
    return asked.diversified(Diversity(quotas={view: int(quota) for view in asked.item_nodes}))


def _with_weights(asked: Asked, level: float) -> Recommender:
    """The side views weigh less by `level` times the weight of the items: in the end they push away."""
    weights = asked.query.view_weights
    lower = {view: weights.get(view, 0.0) - level * weights.get(ITEM_VIEW, 1.0) for view in asked.item_nodes}
    return asked.by_score(asked.query.model_copy(update={"view_weights": {**weights, **lower}}))


__all__ = ["BY_SCORE", "LEVELS", "MOST_LOST", "QUOTAS", "Asked", "Control", "Point", "TradeOff", "controls", "run"]
