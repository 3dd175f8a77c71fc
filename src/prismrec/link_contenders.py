"""The comparison under the protocol `link`: which models know which triples are true.

Every model learns from the training triples, stops where the validation triples are ranked best, and is measured once
on the test triples. What needs no vectors, popularity and rules of one triple (`models.knowledge.link_rules`), is
what the others must beat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prismrec.contenders import FoldTrial, Learned, Measured, varied
from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.errors import ConfigError
from prismrec.evaluation.links import LinkQueries, LinkScorer, evaluate_links, mean_reciprocal_rank
from prismrec.evaluation.tables import Experiment, compare
from prismrec.fitting.links import fit_links
from prismrec.link_data import read_links
from prismrec.models.algorithms import TRANSLATION
from prismrec.models.knowledge.link_rules import LinkPopularity, LinkRules
from prismrec.settings import Settings
from prismrec.training.progress import Progress, QuietProgress

LINK_BASELINES: Mapping[str, Callable[[KnowledgeGraph], LinkScorer]] = {
    "popularity": LinkPopularity,
    "rules": LinkRules,
}
LINK_DEFAULT: tuple[str, ...] = (*LINK_BASELINES, *TRANSLATION)


@dataclass(frozen=True, eq=False)
class _Arena:
    """What contenders learn from, stop by and are asked."""

    settings: Settings
    graph: KnowledgeGraph
    validation: LinkQueries
    test: LinkQueries
    progress: Progress

    def try_out(self, name: str) -> tuple[LinkScorer, FoldTrial]:
        """Train a contender; what it is, and how it went."""
        began = time.perf_counter()
        if name in LINK_BASELINES:
            scorer = LINK_BASELINES[name](self.graph)
            return scorer, self._trial(scorer, {}, time.perf_counter() - began, None)
        settings = varied(self.settings, {"algorithm": name})
        stops = settings.training.patience > 0
        fitted = fit_links(
            self.graph, settings, validation=self.validation if stops else None, run_folder=None, resume=False,
            progress=self.progress,
        )  # fmt: skip
        config = getattr(settings.models, name).model_dump()
        seconds = time.perf_counter() - began
        return fitted.model, self._trial(fitted.model, config, seconds, Learned.of(fitted.log))

    def _trial(
        self, scorer: LinkScorer, config: Mapping[str, Any], seconds: float, learned: Learned | None
    ) -> FoldTrial:
        score = mean_reciprocal_rank(scorer, self.validation, self.settings.evaluation.memory_budget_mb)
        return FoldTrial(config, score, seconds, learned)


def run_links(
    settings: Settings,
    names: Sequence[str] = LINK_DEFAULT,
    *,
    reference: Sequence[str] = tuple(LINK_BASELINES),
    note: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> Measured:
    """Train and measure the named contenders on the triples of the settings.

    Args:
        names: from `LINK_DEFAULT`.
        reference: whose best every other contender is compared with.
        note: told what is going on, once per contender.
        progress: who watches every training.

    Raises:
        ConfigError: there is no contender of a name, or no triples are named.
        DataError: the triples cannot be read, or none can be held out.
    """
    for name in names:
        if name not in LINK_DEFAULT:
            raise ConfigError(f"the protocol link has no contender {name!r}; there are {', '.join(LINK_DEFAULT)}")
    split, links = read_links(settings), settings.links
    valid, test = (
        LinkQueries.of(asked, split.graph, [other], type_constrained=links.type_constrained)
        for asked, other in ((split.valid, split.test), (split.test, split.valid))
    )
    sampled = valid.sample(links.n_validation, settings.training.seed)
    arena = _Arena(settings, split.graph, sampled, test, progress or QuietProgress())
    results, trials = {}, {}
    for name in names:
        scorer, trials[name] = arena.try_out(name)
        results[name] = evaluate_links(scorer, test, links, settings.evaluation.memory_budget_mb)
        note(f"{name}: fitted in {trials[name].fit_seconds:.1f} s, validation MRR {trials[name].validation:.4f}")
    known = tuple(name for name in reference if name in names)
    seconds = {name: trial.fit_seconds for name, trial in trials.items()}
    return Measured(
        compare(results, Experiment(settings.data.name, "link", known, seconds), settings.evaluation),
        {name: trial.chosen for name, trial in trials.items()},
        {name: trial.validation for name, trial in trials.items()},
        trials={name: [trial] for name, trial in trials.items()},
    )


__all__ = ["LINK_BASELINES", "LINK_DEFAULT", "run_links"]
