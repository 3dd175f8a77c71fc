"""Models beside each other under one protocol: each tuned on validation data alike, then measured once on test data.

For every contender: fit on the inner training rows, choose settings on the validation queries, fit again on all
training rows with what was chosen, answer the test queries. The grids are literal tables (`table`), equally wide for
the simple baselines as for M2GRL: a baseline that was not tuned is not a baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from prismrec.contenders.arena import Arena, FoldTrial, Learned, Side, Trial, varied
from prismrec.contenders.kept import Kept, KeptResults, ResultT
from prismrec.contenders.table import (
    ABLATIONS,
    BASELINES,
    CONTROLS,
    DEFAULT,
    KNOWLEDGE_AWARE,
    M2GRL,
    SPACES,
    VARIANTS,
    with_controls,
)
from prismrec.data.schema import Interactions, ItemTable
from prismrec.data.splits import split, validation_split
from prismrec.errors import ConfigError
from prismrec.evaluation.protocols import Results, evaluate, pooled
from prismrec.evaluation.tables import Comparison, Experiment, compare
from prismrec.fitting import TUNING_QUERIES
from prismrec.settings import Settings
from prismrec.training.progress import Progress, QuietProgress


@dataclass(frozen=True, eq=False)
class Measured:
    """A whole comparison.

    Attributes:
        comparison: on test data, all folds together.
        chosen: what tuning chose for each contender, in the last fold.
        validation: the tuning metric of each on validation data, mean over folds.
        others: further comparisons of the same contenders, by name.
        trials: of each contender, fold by fold: what was chosen, its validation score, how it learned.
    """

    comparison: Comparison
    chosen: Mapping[str, Mapping[str, Any]]
    validation: Mapping[str, float]
    others: Mapping[str, Comparison] = field(default_factory=dict)
    trials: Mapping[str, Sequence[FoldTrial]] = field(default_factory=dict)


def run(
    log: Interactions,
    items: ItemTable | None,
    settings: Settings,
    names: Sequence[str] = DEFAULT,
    *,
    reference: Sequence[str] = BASELINES,
    note: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> Measured:
    """Tune, fit and measure the named contenders.

    Args:
        log: the clean log.
        names: from `DEFAULT`, `VARIANTS` or `SPACES`.
        reference: whose best every other contender is compared with.
        note: told what is going on, line by line: once per contender and fold.
        progress: who watches every training.
        keep: a folder where each contender's results lie once it is measured, and are taken from where they lie there
            already, under the same settings and data.

    Raises:
        ConfigError: there is no contender of a name.
    """
    check_names(names)
    results: dict[str, list[Results]] = {name: [] for name in names}
    trials: dict[str, list[FoldTrial]] = {name: [] for name in names}
    for outer in split(log, settings.split):
        inner = validation_split(outer, settings.split.model_copy(update={"max_queries": TUNING_QUERIES}))
        arena = Arena(
            settings,
            Side.of(inner.train, items, inner.queries, settings),
            Side.of(outer.train, items, outer.queries, settings),
            progress or QuietProgress(),
        )
        kept = None if keep is None else KeptResults(keep, arena)

        def measure(name: str, arena: Arena = arena) -> tuple[Results, FoldTrial]:
            return _measured(arena, name)

        for name in names:
            result, trial = kept_or_measured(name, kept, measure, note)
            results[name].append(result)
            trials[name].append(trial)
    baselines = tuple(name for name in reference if name in names)
    seconds = {name: mean(trial.fit_seconds for trial in folds) for name, folds in trials.items()}
    experiment = Experiment(settings.data.name, settings.split.protocol, baselines, seconds)
    whole = {name: pooled(parts) if len(parts) > 1 else parts[0] for name, parts in results.items()}
    return Measured(
        compare(whole, experiment, settings.evaluation),
        {name: folds[-1].chosen for name, folds in trials.items()},
        {name: mean(trial.validation for trial in folds) for name, folds in trials.items()},
        trials=trials,
    )


def check_names(names: Sequence[str]) -> None:
    """Refuse names of which there is no contender.

    Raises:
        ConfigError: names the first, and those that there are.
    """
    for name in names:
        if name not in VARIANTS and name not in SPACES:
            raise ConfigError(f"there is no model {name!r}; there are {', '.join({**SPACES, **VARIANTS})}")


def _measured(arena: Arena, name: str) -> tuple[Results, FoldTrial]:
    """Tune and fit a contender, and ask it the test queries."""
    trial = arena.try_out(name)
    result = evaluate(trial.recommender, arena.test.queries, arena.settings.evaluation, arena.test.catalogue)
    return result, FoldTrial(trial.chosen, trial.validation, trial.fit_seconds, trial.learned)


def kept_or_measured(
    name: str,
    kept: Kept[ResultT] | None,
    measure: Callable[[str], tuple[ResultT, FoldTrial]],
    note: Callable[[str], None],
) -> tuple[ResultT, FoldTrial]:
    """A contender's results: those that were kept, or measured now and kept; `note` is told which."""
    before = None if kept is None else kept.find(name)
    result, trial = before or measure(name)
    if kept is not None and before is None:
        kept.keep(name, result, trial)
    note(("kept: " if before else "") + told(name, trial))
    return result, trial


def told(name: str, trial: FoldTrial) -> str:
    """What became of a contender, in a line."""
    line = f"{name}: fitted in {trial.fit_seconds:.1f} s, validation score {trial.validation:.4f}"
    if trial.learned is None:
        return line
    kept, taken = trial.learned.kept_epochs, trial.learned.epochs
    return f"{line}, {kept} of {taken} epochs kept, {trial.learned.seconds_per_epoch:.1f} s each"


__all__ = [
    "ABLATIONS",
    "BASELINES",
    "CONTROLS",
    "DEFAULT",
    "KNOWLEDGE_AWARE",
    "M2GRL",
    "SPACES",
    "VARIANTS",
    "FoldTrial",
    "Learned",
    "Measured",
    "Trial",
    "check_names",
    "kept_or_measured",
    "run",
    "told",
    "varied",
    "with_controls",
]
