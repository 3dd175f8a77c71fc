"""The comparison under the protocol `click`: who tells clicks from what a user never had, or was shown in vain.

Every contender learns from the training part of a deal alone. Its settings, its epochs, the scale of its scores and the
threshold of a click are chosen on validation pairs; the same model, not one that is trained again on more, then tells
the test pairs apart. So the papers of the protocol have it. All of it is done anew for each deal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from prismrec.contenders import (
    BASELINES,
    CONTROLS,
    KNOWLEDGE_AWARE,
    VARIANTS,
    FoldTrial,
    Learned,
    check_names,
    kept_or_measured,
    varied,
)
from prismrec.contenders.arena import data_of, fit_baseline, tune_baseline
from prismrec.contenders.kept_clicks import KeptClicks
from prismrec.data.click_splits import ClickSplit, click_splits
from prismrec.data.preparation import prepare
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, Interactions, ItemTable
from prismrec.data.sessions import clean
from prismrec.evaluation.click_figures import ClickComparison, compare_clicks
from prismrec.evaluation.clicks import ClickQueries, ClickResults, clicks_from, told_apart
from prismrec.evaluation.tables import Experiment
from prismrec.fitting import TUNING_QUERIES, fitted_and_tuned
from prismrec.inputs import with_knowledge
from prismrec.models.algorithms import GRAPH_READERS
from prismrec.settings import Settings
from prismrec.training.progress import Progress, QuietProgress

CLICK_BASELINES = (*BASELINES, "svd")
"""Contenders without a knowledge graph and without training in epochs; `svd` is scipy's truncated decomposition."""


@dataclass(frozen=True, eq=False)
class ClickMeasured:
    """A whole comparison.

    Attributes:
        comparison: on test pairs, all deals together.
        chosen: what tuning chose for each contender, in the last deal.
        trials: of each contender, deal by deal: what was chosen, its validation AUC, how it learned.
    """

    comparison: ClickComparison
    chosen: Mapping[str, Mapping[str, Any]]
    trials: Mapping[str, Sequence[FoldTrial]]


def click_default(settings: Settings) -> tuple[str, ...]:
    """Who is compared unless names are given: baselines, MF, and where there is a graph what learns from it."""
    aware = GRAPH_READERS if settings.knowledge.is_given else ()
    own = (settings.algorithm,) if settings.algorithm in KNOWLEDGE_AWARE else ()
    return tuple(dict.fromkeys((*CLICK_BASELINES, "mf", *aware, *own)))


def run(
    log: Interactions,
    items: ItemTable | None,
    settings: Settings,
    names: Sequence[str],
    *,
    reference: Sequence[str] = CLICK_BASELINES,
    note: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> ClickMeasured:
    """Tune, fit and measure the named contenders on every deal.

    Args:
        log: the log as it was read, not cleaned: what users were observed with.
        items: the item table.
        names: from `contenders.VARIANTS` or `contenders.SPACES`.
        reference: whose best every other contender is compared with.
        note: told what is going on, line by line: once per contender and deal.
        progress: who watches every training.
        keep: a folder where each contender's scores lie once it is measured, and are taken from where they lie there
            already, under the same settings and data.

    Raises:
        ConfigError: there is no contender of a name.
        DataError: nothing is left to test or to train on.
    """
    check_names(names)
    results: dict[str, list[ClickResults]] = {name: [] for name in names}
    trials: dict[str, list[FoldTrial]] = {name: [] for name in names}
    for split in click_splits(log, clean(log, settings.sessions), settings.split):
        arena = ClickArena.of(split, items, settings, progress or QuietProgress())
        kept = None if keep is None else KeptClicks(keep, settings, arena.data, arena.validation, arena.test)
        for name in names:
            result, trial = kept_or_measured(name, kept, arena.try_out, note)
            results[name].append(result)
            trials[name].append(trial)
    seconds = {name: mean(trial.fit_seconds for trial in deals) for name, deals in trials.items()}
    known = tuple(name for name in reference if name in names)
    controls = {
        model: [name for name in CONTROLS[model] if name in names]
        for model in CONTROLS
        if model in names and not CONTROLS[model].keys().isdisjoint(names)
    }
    experiment = Experiment(settings.data.name, "click", known, seconds, settings.split.negatives)
    comparison = compare_clicks(results, experiment, settings.evaluation, controls)
    return ClickMeasured(comparison, {name: deals[-1].chosen for name, deals in trials.items()}, trials)


@dataclass(frozen=True, eq=False)
class ClickArena:
    """One deal: training data, and the pairs that are held out from them.

    Attributes:
        few: validation pairs of some users, to choose settings on.
    """

    settings: Settings
    data: PreparedData
    validation: ClickQueries
    few: ClickQueries
    test: ClickQueries
    progress: Progress = field(default_factory=QuietProgress)

    @classmethod
    def of(cls, split: ClickSplit, items: ItemTable | None, settings: Settings, progress: Progress) -> ClickArena:
        """Prepare the training part, on a catalogue of all items that were clicked in whatever part."""
        data = prepare(
            split.train, items, settings.views, settings.sessions,
            base={ITEM_VIEW: split.items}, user_views=settings.user_views, ratings=settings.ratings,
        )  # fmt: skip
        data = with_knowledge(data, settings)
        validation = clicks_from(split.validation, data)
        few = validation.sampled(TUNING_QUERIES, settings.split.seed)
        return cls(settings, data, validation, few, clicks_from(split.test, data), progress)

    def try_out(self, name: str) -> tuple[ClickResults, FoldTrial]:
        """Tune, fit, and tell the test pairs apart."""
        began = time.perf_counter()
        recommender, chosen, learned = self._trained(name) if name in VARIANTS else self._baseline(name)
        seconds = time.perf_counter() - began
        result = told_apart(recommender, self.validation, self.test, len(self.data.items))
        return result, FoldTrial(chosen, result.validation, seconds, learned)

    def _trained(self, name: str) -> tuple[Any, Mapping[str, Any], Learned]:
        settings = varied(self.settings, VARIANTS[name])
        data = data_of(self.data, settings, self.settings)
        fitted, tuned = fitted_and_tuned(data, self.few, settings, progress=self.progress)
        return fitted.scorer(tuned.settings), tuned.settings.model_dump(), Learned.of(fitted.log)

    def _baseline(self, name: str) -> tuple[Any, Mapping[str, Any], None]:
        tuned = tune_baseline(name, self.settings, self.data, self.few)
        return fit_baseline(name, tuned.settings, self.data), tuned.settings.model_dump(), None


__all__ = ["CLICK_BASELINES", "ClickArena", "ClickMeasured", "click_default", "run"]
