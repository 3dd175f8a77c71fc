"""The comparison under the protocol `cold_item`: who finds items that nobody clicked, and by what.

Every contender learns from warm items alone and is then told the withheld ones by their nodes. All that use vectors
share one trained M2GRL and differ in where they place a new item (`cold_placements`).
Tuned on a validation split that withholds other items from the training rows, by the ranks among these alone; measured
once, among the withheld items and in the whole catalogue. `lean`, which moves all new items together, is not tuned:
where every truth is new, favouring all that is new would always win.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.cold_placements import PLACED, NewItemScorer, PlacedSettings, Placer
from prismrec.contenders import M2GRL, VARIANTS, Measured, Trial, varied
from prismrec.data.cold_items import ColdSplit, cold_item, validation_cold_item
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, UNKNOWN, Interactions, ItemTable
from prismrec.data.sequences import Sequences
from prismrec.data.views import build_view
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.protocols import Results, evaluate
from prismrec.evaluation.queries import Queries, queries_from
from prismrec.evaluation.ranking import rank
from prismrec.evaluation.tables import Experiment, compare
from prismrec.evaluation.tuning import Space, replaced, tune
from prismrec.fitting import HISTORY_LENGTHS, RECENCY_DECAYS, TUNING_QUERIES, Fitted, fit_m2grl, query_space
from prismrec.inputs import prepare_log
from prismrec.models.baselines import RandomOrder
from prismrec.models.baselines.category_popularity import CategoryPopularity, CategoryPopularityConfig
from prismrec.pipeline import contents_of
from prismrec.retrieval.node_effects import known_nodes
from prismrec.settings import Settings

COLD_BASELINES = ("random", "category_popularity", "category_mean")
COLD_DEFAULT = ("random", "category_popularity", "category_mean", "no_side_information", "m2grl")
COLD_ABLATIONS = ("m2grl", "alignment_alone", "neighbours_alone", "ridge")
WHOLE = "whole catalogue"

_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

SIMPLE: Mapping[str, Space] = {
    "random": {},
    "category_popularity": {
        "smoothing": (1.0, 10.0, 100.0), "lift": (0.0, 0.5, 1.0), "popularity_weight": (0.0, 0.5, 1.0),
        "recency_decay": RECENCY_DECAYS, "history_length": HISTORY_LENGTHS,
    },
}  # fmt: skip
"""Contenders without vectors, and what tuning tries; the view, where there are several, is tried too."""


def run(
    log: Interactions,
    items: ItemTable | None,
    settings: Settings,
    names: Sequence[str] = COLD_DEFAULT,
    *,
    reference: Sequence[str] = COLD_BASELINES,
    note: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Tune, train and measure the named contenders on withheld items.

    Training takes the epochs of the settings: early stopping would need queries that a warm model can answer.

    Args:
        log: the log as it was read, not cleaned.
        items: the item table.
        names: from `PLACED` and `SIMPLE`.
        reference: whose best every other contender is compared with.
        note: told what is going on, line by line.

    Returns:
        The comparison among the withheld items, and among its `others` that in the whole catalogue.

    Raises:
        ConfigError: there is no contender of a name, or there are no views.
        DataError: nothing is left to test or to train on.
    """
    for name in names:
        if name not in PLACED and name not in SIMPLE:
            raise ConfigError(f"cold_item has no contender {name!r}; there are {', '.join({**SIMPLE, **PLACED})}")
    if items is None or not settings.views:
        raise ConfigError("cold_item needs an item table and views: set data.items and [views] in the settings")
    settings = varied(settings, VARIANTS[M2GRL])
    inner, outer = _splits(log, items, settings)
    arena = _Arena(settings, _Side.of(inner, settings), _Side.of(outer, settings))
    results: dict[str, dict[str, Results]] = {"": {}, WHOLE: {}}
    trials: dict[str, Trial] = {}
    for name in names:
        trials[name] = trial = arena.try_out(name)
        for part, candidates in (("", arena.test.new_items), (WHOLE, None)):
            results[part][name] = evaluate(
                trial.recommender, arena.test.queries, settings.evaluation, arena.test.catalogue, candidates=candidates
            )
        note(f"{name}: fitted in {trial.fit_seconds:.1f} s, validation score {trial.validation:.4f}")
    seconds = {name: trial.fit_seconds for name, trial in trials.items()}
    known = tuple(name for name in reference if name in names)
    comparisons = {
        part: compare(found, Experiment(settings.data.name, _title(part), known, seconds), settings.evaluation)
        for part, found in results.items()
    }
    return Measured(
        comparisons.pop(""),
        {name: trial.chosen for name, trial in trials.items()},
        {name: trial.validation for name, trial in trials.items()},
        comparisons,
    )


def _title(part: str) -> str:
    return f"cold_item, {part or 'among the withheld items'}"


def _splits(log: Interactions, items: ItemTable, settings: Settings) -> tuple[ColdSplit, ColdSplit]:
    """The split to tune on, made inside the training rows of the second, which is the one to measure on."""
    outer = cold_item(log, items, settings.views, settings.split, settings.sessions)
    few = settings.split.model_copy(update={"max_queries": TUNING_QUERIES})
    return validation_cold_item(outer, settings.views, few, settings.sessions), outer


@dataclass(frozen=True, eq=False)
class _Random:
    """Chance, over warm and new items together."""

    model: RandomOrder
    n_warm: int

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        return self.model.score(histories)

    def score_new(self, histories: Sequences) -> NDArray[np.float32]:
        return self.model.score(histories)[:, self.n_warm :]


@dataclass(frozen=True, eq=False)
class _Counted:
    """Categories and counts of warm and new items together, the new ones without a click."""

    model: CategoryPopularity
    n_warm: int

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        return self.model.score(histories)

    def score_new(self, histories: Sequences) -> NDArray[np.float32]:
        return self.model.score_from(self.n_warm, histories)


@dataclass(frozen=True, eq=False)
class _Side:
    """Training data of warm items, the nodes of the new ones, and the queries for these.

    Attributes:
        data: what is trained on.
        new: the withheld items.
        new_nodes: per view one row per withheld item: its nodes, -1 for one that no warm item has.
        queries: item indices: warm items as in `data`, the withheld ones behind them.
    """

    data: PreparedData
    new: Vocabulary
    new_nodes: Mapping[str, Sequences]
    queries: Queries

    @classmethod
    def of(cls, split: ColdSplit, settings: Settings) -> _Side:
        data = prepare_log(split.train, split.items, settings)
        both = _joined(data.items, split.withheld)
        nodes = _nodes_of(split.withheld, split.withheld_items, data, settings)
        return cls(data, split.withheld, nodes, queries_from(split.queries, both, settings.evaluation.exclude_seen))

    @property
    def n_warm(self) -> int:
        return len(self.data.items)

    @property
    def new_items(self) -> NDArray[np.int64]:
        """The indices of the withheld items."""
        return np.arange(self.n_warm, self.n_warm + len(self.new))

    @property
    def catalogue(self) -> Catalogue:
        """Warm and new items, these without counts."""
        return Catalogue(self.joined.items.counts, {name: view.item_nodes for name, view in self.joined.views.items()})

    @cached_property
    def joined(self) -> PreparedData:
        """The training data with the new items behind the warm ones: known by their nodes, without a click."""
        views = {
            name: replace(
                view, item_nodes=_stacked(view.item_nodes, known_nodes(name, self.new_nodes[name], len(view.nodes)))
            )
            for name, view in self.data.views.items()
        }
        return replace(self.data, items=_joined(self.data.items, self.new), views=views)

    def score(self, recommender: NewItemScorer) -> float:
        """What tuning looks at: mean of 50 / (49 + rank) among the withheld items."""
        places = self.queries.truths.values - self.n_warm
        truths = Sequences.from_lengths(np.maximum(places, UNKNOWN), self.queries.truths.lengths)
        none = Sequences.from_lengths([], np.zeros(len(self.queries), np.int64))
        scores = recommender.score_new(self.queries.histories)
        ranks = rank(scores, none, truths, 1, np.arange(len(self.queries))).truths.ranks
        return float((50 / (49 + ranks.astype(np.float64))).mean())


@dataclass(frozen=True, eq=False)
class _Arena:
    """Where contenders are tuned, and where they are measured; each side trains M2GRL once."""

    settings: Settings
    validation: _Side
    test: _Side

    def try_out(self, name: str) -> Trial:
        """Tune on the validation side, fit on the test side's training data."""
        return self._placed(name) if name in PLACED else self._simple(name)

    def _placed(self, name: str) -> Trial:
        fitted = self._fitted_on_validation
        asked = {**query_space(fitted.data, self.settings.query, repeats=False), **_view_weights(self.settings.views)}
        space = {**PLACED[name], **{f"query.{field}": values for field, values in asked.items()}}
        placer = self._placer(name, fitted, self.validation)

        def score(settings: PlacedSettings) -> float:
            return self.validation.score(placer.with_settings(settings))

        tuned = max((tune(begin, space, score) for begin in self._starts()), key=lambda found: found.score)
        fitted, seconds = self._fitted_on_test
        recommender = self._placer(name, fitted, self.test).with_settings(tuned.settings)
        chosen = tuned.settings.model_dump(exclude=None if PLACED[name] else {"cold_start"})
        return Trial(recommender, chosen, tuned.score, seconds)

    def _starts(self) -> tuple[PlacedSettings, PlacedSettings]:
        """The settings as they are, and with all views at work, the item view most.

        Going one field at a time, tuning does not leave a place where the side views do the item view's work.
        """
        start = PlacedSettings(query=self.settings.query, cold_start=self.settings.cold_start)
        weights = {ITEM_VIEW: 4.0, **dict.fromkeys(self.settings.views, 0.5)}
        return start, replaced(start, "query.view_weights", weights)

    def _placer(self, name: str, fitted: Fitted, side: _Side) -> Placer:
        return Placer(name, contents_of(fitted, self.settings, self.settings.query), side.new_nodes)

    def _simple(self, name: str) -> Trial:
        return self._random() if name == "random" else self._category_popularity()

    def _random(self) -> Trial:
        config = self.settings.baselines.random
        validation, test = (
            _Random(RandomOrder(config).fit(side.joined), side.n_warm) for side in (self.validation, self.test)
        )
        return Trial(test, config.model_dump(), self.validation.score(validation), 0.0)

    def _category_popularity(self) -> Trial:
        fitted = CategoryPopularity(CategoryPopularityConfig()).fit(self.validation.joined)

        def score_of(config: CategoryPopularityConfig) -> float:
            return self.validation.score(_Counted(fitted.with_config(config), self.validation.n_warm))

        tuned = tune(
            CategoryPopularityConfig(), {"view": ("", *self.settings.views), **SIMPLE["category_popularity"]}, score_of
        )
        began = time.perf_counter()
        final = CategoryPopularity(tuned.settings).fit(self.test.joined)
        seconds = time.perf_counter() - began
        return Trial(_Counted(final, self.test.n_warm), tuned.settings.model_dump(), tuned.score, seconds)

    @cached_property
    def _fitted_on_validation(self) -> Fitted:
        return fit_m2grl(self.validation.data, _without_early_stop(self.settings))

    @cached_property
    def _fitted_on_test(self) -> tuple[Fitted, float]:
        began = time.perf_counter()
        return fit_m2grl(self.test.data, _without_early_stop(self.settings)), time.perf_counter() - began


def _view_weights(views: Iterable[str]) -> Space:
    """Wider than for warm items: a placed vector is drawn to the mean, and so shorter than a learned one."""
    return {f"view_weights.{view}": _WEIGHTS for view in (ITEM_VIEW, *views)}


def _without_early_stop(settings: Settings) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update={"patience": 0})})


def _nodes_of(new: Vocabulary, items: ItemTable, data: PreparedData, settings: Settings) -> dict[str, Sequences]:
    """Per view the nodes of new items, -1 for those that the training data lack."""
    none = Sequences.from_lengths([], np.zeros(0, np.int64))
    found = {}
    for name, view in settings.views.items():
        known = data.views[name].nodes
        rows = build_view(name, view, items.table, new, none, known).item_nodes  # unknown nodes are numbered behind
        found[name] = Sequences(np.where(rows.values < len(known), rows.values, UNKNOWN).astype(np.int32), rows.offsets)
    return found


def _joined(warm: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The warm items, and behind them the new ones with count 0."""
    ids = pa.concat_arrays([warm.ids, new.ids.cast(warm.ids.type)])
    return Vocabulary.from_ids(ids, np.concatenate([warm.counts, np.zeros(len(new), np.int64)]))


def _stacked(first: Sequences, second: Sequences) -> Sequences:
    """The rows of both, one after the other."""
    return Sequences.from_lengths(
        np.concatenate([first.values, second.values]), np.concatenate([first.lengths, second.lengths])
    )


__all__ = ["COLD_ABLATIONS", "COLD_BASELINES", "COLD_DEFAULT", "SIMPLE", "run"]
