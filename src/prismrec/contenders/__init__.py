"""Models beside each other under one protocol: each tuned on validation data alike, then measured once on test data.

For every contender: fit on the inner training rows, choose settings on the validation queries, fit again on all
training rows with what was chosen, answer the test queries. The grids are literal tables below, equally wide for the
simple baselines as for M2GRL: a baseline that was not tuned is not a baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prismrec.contenders.arena import Arena, Side, Trial, varied
from prismrec.contenders.table import ABLATIONS, BASELINES, DEFAULT, M2GRL, SPACES, VARIANTS
from prismrec.data.schema import Interactions, ItemTable
from prismrec.data.splits import split, validation_split
from prismrec.errors import ConfigError
from prismrec.evaluation.protocols import Results, evaluate, pooled
from prismrec.evaluation.tables import Comparison, Experiment, compare
from prismrec.fitting import TUNING_QUERIES
from prismrec.settings import Settings


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
        arena = Arena(
            settings,
            Side.of(inner.train, items, inner.queries, settings),
            Side.of(outer.train, items, outer.queries, settings),
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


__all__ = ["ABLATIONS", "BASELINES", "DEFAULT", "M2GRL", "SPACES", "VARIANTS", "Measured", "Trial", "run", "varied"]
