"""Figures of the protocol `click` side by side: how sure over users, how sure over deals, and against whom.

Every figure is the mean over the deals (`split.repeats`). Two things can be doubted of it, and each has its interval:

- over users: [low, high] by a paired bootstrap that draws whole users, with all of their pairs in all deals;
- over deals: +- half the width of Student's interval, t s / sqrt(n), of the n deals. It says how much the luck of the
  deal weighs, not how the figure would be among other users.

Differences and p-values are those of the paired bootstrap, draw by draw the same users: against the simple baseline
that is best at the figure, and of each knowledge-aware model against its own controls.

Cost: O(n_resamples x n_pairs) for each model and deal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray
from scipy.stats import t as student

from prismrec.errors import DataError
from prismrec.evaluation.clicks import ClickResults, pooled_auc, user_aucs
from prismrec.evaluation.protocols import EvaluationSettings
from prismrec.evaluation.significance import Bootstrap, Difference, Estimate
from prismrec.evaluation.tables import Experiment

AUC, ACCURACY, F1, USER_AUC = "AUC", "accuracy", "F1", "user AUC"
METRICS = (AUC, ACCURACY, F1, USER_AUC)

_BLOCK = 100  # resamples whose weights are in memory at a time


@dataclass(frozen=True)
class ClickFigure:
    """One cell.

    Attributes:
        estimate: mean over the deals, with the interval over users.
        deals: the figure in each deal.
        half_width: of the interval over deals; None for one deal.
        reference: the best simple baseline; None where there is none.
        difference: to that baseline; None for itself.
    """

    estimate: Estimate
    deals: tuple[float, ...]
    half_width: float | None
    reference: str | None
    difference: Difference | None


@dataclass(frozen=True, eq=False)
class ClickComparison:
    """All figures of one experiment, as plain data.

    Attributes:
        experiment: what was measured.
        figures: metric -> model -> figure.
        controls: model -> its control -> metric -> how much the model is better.
        results: model -> what was measured, deal by deal.
        settings: resamples, confidence and seed of the bootstrap.
    """

    experiment: Experiment
    figures: Mapping[str, Mapping[str, ClickFigure]]
    controls: Mapping[str, Mapping[str, Mapping[str, Difference]]]
    results: Mapping[str, Sequence[ClickResults]]
    settings: EvaluationSettings


def compare_clicks(
    results: Mapping[str, Sequence[ClickResults]],
    experiment: Experiment,
    settings: EvaluationSettings,
    controls: Mapping[str, Sequence[str]],
) -> ClickComparison:
    """Work out every figure of every model.

    Args:
        results: model -> results, one per deal, all on the same pairs.
        experiment: what was measured.
        settings: resamples, confidence and seed of the bootstrap.
        controls: model -> the names of its controls, those among `results`.

    Raises:
        DataError: there is no model, or two were measured on different pairs.
    """
    _check_comparable(results)
    columns = [(metric, model) for metric in METRICS for model in results]
    place = {column: at for at, column in enumerate(columns)}
    deals = np.stack([[_figure(metric, one) for one in results[model]] for metric, model in columns])
    drawn = Bootstrap(deals.mean(axis=1), _resampled(results, deals, settings), settings.confidence)
    figures: dict[str, dict[str, ClickFigure]] = {}
    for metric in METRICS:
        means = {name: drawn.means[place[metric, name]] for name in experiment.baselines}
        reference = max(means, key=lambda name: means[name]) if means else None
        figures[metric] = {}
        for model in results:
            at = place[metric, model]
            told = reference is not None and model != reference
            figures[metric][model] = ClickFigure(
                drawn.estimate(at),
                tuple(deals[at].tolist()),
                half_width(deals[at], settings.confidence),
                reference,
                drawn.difference(at, place[metric, reference]) if told and reference is not None else None,
            )
    against = {
        model: {c: {m: drawn.difference(place[m, model], place[m, c]) for m in METRICS} for c in names}
        for model, names in controls.items()
    }
    return ClickComparison(experiment, figures, against, results, settings)


def half_width(values: NDArray[np.float64], confidence: float) -> float | None:
    """Half the width of Student's interval of a mean; None for one value."""
    n = len(values)
    if n < 2:
        return None
    return float(student.ppf((1 + confidence) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))


def _check_comparable(results: Mapping[str, Sequence[ClickResults]]) -> None:
    if not results:
        raise DataError("there are no results to compare")
    (first_name, first), *others = results.items()
    for name, other in others:
        same = len(other) == len(first) and all(
            a.queries.clusters.equals(b.queries.clusters)
            and np.array_equal(a.queries.candidates.values, b.queries.candidates.values)
            for a, b in zip(first, other, strict=True)
        )
        if not same:
            raise DataError(f"{name!r} and {first_name!r} were measured on different pairs: compare models on one deal")


def _figure(metric: str, result: ClickResults) -> float:
    """A figure of one deal, from all of its pairs."""
    if metric == AUC:
        return pooled_auc(result.scores, result.queries.labels)
    above, below = _ratio(metric, result)
    return float(above.sum() / below.sum())


def _ratio(metric: str, result: ClickResults) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two numbers per user, (n_users,) each: the figure is the sum of the first over the sum of the second."""
    queries = result.queries
    owners, clicks, taken = queries.owners, queries.labels, result.scores > result.threshold
    if metric == USER_AUC:
        own = user_aucs(result.scores, queries)
        if np.isnan(own).all():
            raise DataError("no user has both a click and a negative to tell apart: use more data")
        return np.nan_to_num(own), np.isfinite(own).astype(np.float64)
    if metric == ACCURACY:
        counted, of = (taken == clicks).astype(np.float64), np.ones(len(clicks))
    else:
        counted, of = 2.0 * (taken & clicks), taken.astype(np.float64) + clicks
    above, below = (np.bincount(owners, weights=one, minlength=len(queries)) for one in (counted, of))
    return above.astype(np.float64), below.astype(np.float64)


def _resampled(
    results: Mapping[str, Sequence[ClickResults]], deals: NDArray[np.float64], settings: EvaluationSettings
) -> NDArray[np.float64]:
    """(n_resamples, n_columns) float64: every figure's mean over the deals for each draw of users."""
    first = next(iter(results.values()))
    lengths = [len(one.queries) for one in first]
    codes = np.asarray(pa.concat_arrays([one.queries.clusters for one in first]).dictionary_encode().indices)
    of_deal = np.split(codes, np.cumsum(lengths)[:-1])
    n_users, rng = int(codes.max()) + 1, np.random.default_rng(settings.seed)
    figures = {
        (metric, model): [_Drawn(metric, one) for one in results[model]] for metric in METRICS for model in results
    }
    resampled = np.empty((settings.n_resamples, len(deals)))
    for start in range(0, settings.n_resamples, _BLOCK):
        n = min(_BLOCK, settings.n_resamples - start)
        weights = np.stack([np.bincount(rng.integers(0, n_users, n_users), minlength=n_users) for _ in range(n)])
        own = [weights[:, at].astype(np.float32) for at in of_deal]
        for column, by_deal in enumerate(figures.values()):
            parts = [drawn(w, deals[column, at]) for at, (drawn, w) in enumerate(zip(by_deal, own, strict=True))]
            resampled[start : start + n, column] = np.mean(parts, axis=0)
    return resampled


class _Drawn:
    """One figure of one deal, for any weights of its users."""

    def __init__(self, metric: str, result: ClickResults) -> None:
        self._ratio: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        if metric != AUC:
            self._ratio = _ratio(metric, result)
            return
        order = np.argsort(result.scores, kind="stable")
        self._owners = result.queries.owners[order].astype(np.int32)
        self._labels = result.queries.labels[order]
        self._tied = np.concatenate([[False], np.diff(result.scores[order]) == 0])

    def __call__(self, weights: NDArray[np.float32], whole: float) -> NDArray[np.float64]:
        """(n,) float64 from (n, n_users) weights; `whole` where a draw has nothing to measure."""
        if self._ratio is None:
            aucs: NDArray[np.float64] = _weighted_aucs(self._owners, self._labels, self._tied, weights, whole)
            return aucs
        above, below = (weights @ part for part in self._ratio)
        figures: NDArray[np.float64] = np.divide(above, below, out=np.full(len(weights), whole), where=below > 0)
        return figures


@njit(cache=True)
def _weighted_aucs(owners, labels, tied, weights, whole):  # type: ignore[no-untyped-def]
    """Pairs come by rising score: each click is above all negatives so far, and half above those it is tied with."""
    aucs = np.empty(len(weights))
    for draw in range(len(weights)):
        area, clicks, below, tied_clicks, tied_negatives = 0.0, 0.0, 0.0, 0.0, 0.0
        for pair in range(len(owners)):
            if not tied[pair]:
                area += tied_clicks * (below + tied_negatives / 2)
                below += tied_negatives
                tied_clicks, tied_negatives = 0.0, 0.0
            weight = weights[draw, owners[pair]]
            if labels[pair]:
                tied_clicks += weight
                clicks += weight
            else:
                tied_negatives += weight
        area += tied_clicks * (below + tied_negatives / 2)
        below += tied_negatives
        aucs[draw] = area / (clicks * below) if clicks * below > 0 else whole
    return aucs


__all__ = [
    "ACCURACY",
    "AUC",
    "F1",
    "METRICS",
    "USER_AUC",
    "ClickComparison",
    "ClickFigure",
    "compare_clicks",
    "half_width",
]
