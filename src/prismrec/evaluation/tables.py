"""Results of several models side by side: each figure with its interval and its p-value, and what stands behind it.

`compare` works out the figures; `rich_table`, `markdown` and `to_json` show them. The reference of a p-value is the
simple baseline that is best at that very metric on that very slice, chosen on the same queries: the hardest one to
beat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from prismrec.errors import DataError
from prismrec.evaluation.protocols import ALL, EvaluationSettings, Results
from prismrec.evaluation.significance import Bootstrap, Difference, Estimate, bootstrap

DEFAULT_METRICS = ("HR@10", "HR@50", "NDCG@10", "AUC")
"""The columns of a table for which none were chosen, as far as they were measured."""

_NO_FIGURE = "–"


@dataclass(frozen=True)
class Experiment:
    """What was measured, for the line below a table.

    Attributes:
        data: name of the data set.
        protocol: which rows were held out, e.g. "next_item".
        baselines: names of the simple baselines among the models; the best of them is what others must beat.
        fit_seconds: model -> training time.
        negatives: under `click`, what clicks were told from: "drawn" or "shown".
    """

    data: str
    protocol: str
    baselines: tuple[str, ...] = ()
    fit_seconds: Mapping[str, float] | None = None
    negatives: str = "drawn"


@dataclass(frozen=True)
class Figure:
    """One cell: the mean with its interval, and how it differs from the best simple baseline.

    `reference` is that baseline; `difference` is None for the baseline itself and where there is none.
    """

    estimate: Estimate
    reference: str | None
    difference: Difference | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """All figures of one experiment, as plain data.

    Attributes:
        experiment: what was measured.
        figures: slice -> metric -> model -> figure; a slice without queries has no metrics.
        n_queries: slice -> number of its queries.
        results: model -> what was measured, for totals, counts and times.
        settings: how it was measured.
    """

    experiment: Experiment
    figures: Mapping[str, Mapping[str, Mapping[str, Figure]]]
    n_queries: Mapping[str, int]
    results: Mapping[str, Results]
    settings: EvaluationSettings


def compare(
    results: Mapping[str, Results],
    experiment: Experiment,
    settings: EvaluationSettings,
    metrics: Sequence[str] = (),
) -> Comparison:
    """Work out every figure of every model on every slice.

    Args:
        results: model name -> results, all on the same queries.
        experiment: what was measured.
        settings: resamples, confidence and seed of the bootstrap.
        metrics: which metrics to work out; empty means all.

    Raises:
        DataError: there is no model, two were measured on different queries, or a baseline or metric is not there.
    """
    _check_comparable(results, experiment.baselines)
    first = next(iter(results.values()))
    chosen = tuple(metrics) or tuple(first.values)
    _check_metrics(chosen, first.values)
    n_queries = {part: int(mask.sum()) for part, mask in first.slices.items()}
    figures = {part: _part_figures(results, part, chosen, experiment, settings) for part in n_queries}
    return Comparison(experiment, figures, n_queries, results, settings)


def rich_table(comparison: Comparison, metrics: Sequence[str] = (), part: str = ALL) -> Table:
    """A table for the terminal, with the protocol line as its caption.

    Raises:
        DataError: a metric or the slice was not measured; names those that were.
    """
    header, *rows = _cells(comparison, metrics, part)
    table = Table(
        title=_title(comparison, part),
        caption=protocol_line(comparison),
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        leading=1,
    )
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def markdown(comparison: Comparison, metrics: Sequence[str] = (), part: str = ALL) -> str:
    """The same table as Markdown."""
    header, *rows = [[cell.replace("\n", "<br>") for cell in row] for row in _cells(comparison, metrics, part)]
    rule = ["---"] + ["---:"] * (len(header) - 1)
    lines = [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]
    return "\n".join([f"**{_title(comparison, part)}**", "", *lines, "", protocol_line(comparison), ""])


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, ready for `json.dumps`: plain numbers, text and None."""
    first = next(iter(comparison.results.values()))
    return {
        "data": comparison.experiment.data,
        "protocol": comparison.experiment.protocol,
        "exclude_seen": first.exclude_seen,
        "n_items": first.n_items,
        "counts": dict(first.counts),
        "n_queries": dict(comparison.n_queries),
        "settings": comparison.settings.model_dump(mode="json"),
        "models": {name: _model_json(comparison, name) for name in comparison.results},
    }


def protocol_line(comparison: Comparison) -> str:
    """What a reader must know to judge the figures: data, queries, candidates, what was left out, how sure."""
    first = next(iter(comparison.results.values()))
    counts, settings = dict(first.counts), comparison.settings
    asked, targets, unknown, seen, empty = (
        counts.pop(name) for name in ("queries", "targets", "unknown_targets", "seen_targets", "empty_truths")
    )
    candidates = f"{first.n_items:,} items" + (" less those of the history" if first.exclude_seen else "")
    left_out = {"queries without a truth": empty, **{name.replace("_", " "): n for name, n in counts.items()}}
    reasons = ", ".join(f"{name} {n:,}" for name, n in left_out.items() if n) or "nothing"
    return (
        f"{comparison.experiment.data}, {comparison.experiment.protocol}: {asked:,} queries, {targets:,} targets "
        f"({unknown:,} not in training and {seen:,} excluded as seen, all counted as misses); ranked among "
        f"{candidates}, ties against the target. Left out: {reasons}. "
        f"{settings.confidence:.0%} intervals and p-values: paired bootstrap over users, {settings.n_resamples:,} "
        "resamples; differences and p are against the best simple baseline of the column."
    )


def _check_comparable(results: Mapping[str, Results], baselines: Sequence[str]) -> None:
    if not results:
        raise DataError("there are no results to compare")
    missing = [name for name in baselines if name not in results]
    if missing:
        raise DataError(f"baseline {missing[0]!r} is not among the models: {', '.join(results)}")
    (first_name, first), *others = results.items()
    for name, other in others:
        same = other.clusters.equals(first.clusters) and other.exclude_seen == first.exclude_seen
        if not (same and other.counts == first.counts and other.n_items == first.n_items):
            raise DataError(
                f"{name!r} and {first_name!r} were measured on different queries or candidates: compare models on one "
                "split with one setting"
            )


def _check_metrics(wanted: Sequence[str], measured: Collection[str]) -> None:
    missing = [metric for metric in wanted if metric not in measured]
    if missing:
        raise DataError(f"metric {missing[0]!r} was not measured: there are {', '.join(measured)}")


def _part_figures(
    results: Mapping[str, Results],
    part: str,
    metrics: Sequence[str],
    experiment: Experiment,
    settings: EvaluationSettings,
) -> dict[str, dict[str, Figure]]:
    """Metric -> model -> figure on one slice; one bootstrap for all, so that every difference is paired."""
    first = next(iter(results.values()))
    rows = np.flatnonzero(first.slices[part])
    if not len(rows):
        return {}
    columns = [(metric, model) for metric in metrics for model in results]
    values = np.column_stack([results[model].values[metric][rows] for metric, model in columns])
    clusters = first.clusters.take(rows)
    drawn = bootstrap(values, clusters, settings.n_resamples, settings.confidence, settings.seed)
    return {metric: _metric_figures(drawn, columns, metric, experiment.baselines) for metric in metrics}


def _metric_figures(
    drawn: Bootstrap, columns: list[tuple[str, str]], metric: str, baselines: Sequence[str]
) -> dict[str, Figure]:
    """Model -> figure."""
    place = {model: column for column, (name, model) in enumerate(columns) if name == metric}
    reference = max(baselines, key=lambda model: drawn.means[place[model]], default=None)
    figures = {}
    for model, column in place.items():
        told = reference is not None and model != reference
        difference = drawn.difference(column, place[reference]) if told and reference is not None else None
        figures[model] = Figure(drawn.estimate(column), reference, difference)
    return figures


def _title(comparison: Comparison, part: str) -> str:
    name = "" if part == ALL else f", {part} targets" if part == "rare" else f", {part}"
    return (
        f"{comparison.experiment.data}, {comparison.experiment.protocol}{name} ({comparison.n_queries[part]:,} queries)"
    )


def _cells(comparison: Comparison, metrics: Sequence[str], part: str) -> list[list[str]]:
    """Header and one row per model."""
    if part not in comparison.figures:
        raise DataError(f"no slice {part!r} was measured: there are {', '.join(comparison.figures)}")
    figures = comparison.figures[part]
    metrics = metrics or [metric for metric in DEFAULT_METRICS if metric in comparison.figures[ALL]]
    _check_metrics(metrics, comparison.figures[ALL])
    fit_seconds = comparison.experiment.fit_seconds or {}
    header = ["model", *(_column_name(figures, metric) for metric in metrics), "fit s", "score s"]
    rows = []
    for model, result in comparison.results.items():
        cells = [_cell(figures[metric][model]) if metric in figures else _NO_FIGURE for metric in metrics]
        fit = f"{fit_seconds[model]:.1f}" if model in fit_seconds else _NO_FIGURE
        rows.append([model, *cells, fit, f"{result.score_seconds:.1f}"])
    return [header, *rows]


def _column_name(figures: Mapping[str, Mapping[str, Figure]], metric: str) -> str:
    reference = next((figure.reference for figure in figures.get(metric, {}).values()), None)
    return metric if reference is None else f"{metric}\nvs. {reference}"


def _cell(figure: Figure) -> str:
    estimate = figure.estimate
    text = f"{estimate.mean:.3f}\n[{estimate.low:.3f}, {estimate.high:.3f}]"
    if figure.difference is None:
        return text
    sign = "+" if figure.difference.mean >= 0 else "−"
    p = figure.difference.p_value
    return f"{text}\n{sign}{abs(figure.difference.mean):.3f}, " + ("p<0.001" if p < 0.001 else f"p={p:.3f}")


def _model_json(comparison: Comparison, model: str) -> dict[str, Any]:
    result = comparison.results[model]
    return {
        "fit_seconds": (comparison.experiment.fit_seconds or {}).get(model),
        "score_seconds": result.score_seconds,
        "rank_seconds": result.rank_seconds,
        "totals": dict(result.totals),
        "figures": {
            part: {metric: asdict(figures[model]) for metric, figures in by_metric.items()}
            for part, by_metric in comparison.figures.items()
        },
    }


__all__ = [
    "DEFAULT_METRICS",
    "Comparison",
    "Experiment",
    "Figure",
    "compare",
    "markdown",
    "protocol_line",
    "rich_table",
    "to_json",
]
