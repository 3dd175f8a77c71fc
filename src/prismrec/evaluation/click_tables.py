"""The figures of the protocol `click` as a table for the terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from prismrec.errors import DataError
from prismrec.evaluation.click_figures import ACCURACY, AUC, METRICS, ClickComparison, ClickFigure
from prismrec.evaluation.clicks import ClickResults
from prismrec.evaluation.significance import Difference


def rich_click_table(comparison: ClickComparison, metrics: Sequence[str] = ()) -> Table:
    """A table for the terminal, with the protocol line as its caption.

    Raises:
        DataError: a metric was not measured.
    """
    metrics = tuple(metrics) or METRICS
    missing = [metric for metric in metrics if metric not in METRICS]
    if missing:
        raise DataError(f"metric {missing[0]!r} is not measured under click: there are {', '.join(METRICS)}")
    experiment = comparison.experiment
    n_deals = len(_deals(comparison))
    title = f"{experiment.data}, click ({n_deals} deal{'s' if n_deals > 1 else ''})"
    caption = escape("\n".join([protocol_line(comparison), *_control_lines(comparison)]))
    table = Table(
        title=title, caption=caption, caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), leading=1
    )
    table.add_column("model", overflow="fold")
    for metric in metrics:
        reference = next(iter(comparison.figures[metric].values())).reference
        table.add_column(metric if reference is None else f"{metric}\nvs. {reference}", justify="right")
    table.add_column("tune, fit s", justify="right")
    for model in comparison.results:
        seconds = (experiment.fit_seconds or {}).get(model)
        cells = [_cell(comparison.figures[metric][model]) for metric in metrics]
        table.add_row(model, *cells, "–" if seconds is None else f"{seconds:.1f}")
    return table


_OTHERS = {
    "drawn": "their user was never observed with",
    "shown": "their user was shown and did not click, or rated low",
}


def protocol_line(comparison: ClickComparison) -> str:
    """What a reader must know to judge the figures."""
    deals, settings = _deals(comparison), comparison.settings
    users, pairs, clicks = (
        np.mean([n(deal) for deal in deals])
        for n in (lambda d: len(d.queries), lambda d: len(d.queries.labels), lambda d: d.queries.labels.sum())
    )
    left_out = {
        why: sum(d.queries.left_out.get(why, 0) for d in deals) for one in deals for why in one.queries.left_out
    }
    reasons = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in left_out.items()) or "nothing"
    return (
        f"{comparison.experiment.data}, click: {pairs:,.0f} test pairs of {users:,.0f} users per deal, {clicks:,.0f} "
        f"of them clicks, the others items that {_OTHERS[comparison.experiment.negatives]}; AUC over all pairs "
        "together, equal scores one half; threshold and scale chosen on as many validation pairs. Left out in all "
        f"deals: {reasons}. {settings.confidence:.0%} intervals: [over users], paired bootstrap, "
        f"{settings.n_resamples:,} resamples, and ± over deals, Student; differences and p are against the best simple "
        "baseline of the column."
    )


def click_json(comparison: ClickComparison) -> dict[str, Any]:
    """Everything, ready for `json.dumps`."""
    deals, experiment = _deals(comparison), comparison.experiment
    return {
        "data": experiment.data,
        "protocol": experiment.protocol,
        "negatives": experiment.negatives,
        "deals": [
            {
                "users": len(deal.queries),
                "pairs": len(deal.queries.labels),
                "clicks": int(deal.queries.labels.sum()),
                "left_out": dict(deal.queries.left_out),
            }
            for deal in deals
        ],
        "settings": comparison.settings.model_dump(mode="json"),
        "models": {name: _model_json(comparison, name) for name in comparison.results},
    }


def _model_json(comparison: ClickComparison, model: str) -> dict[str, Any]:
    deals = comparison.results[model]
    return {
        "fit_seconds": (comparison.experiment.fit_seconds or {}).get(model),
        "score_seconds": sum(deal.score_seconds for deal in deals),
        "scales": [deal.scale for deal in deals],
        "thresholds": [deal.threshold for deal in deals],
        "validation": [deal.validation for deal in deals],
        "figures": {metric: asdict(figures[model]) for metric, figures in comparison.figures.items()},
        "over_controls": {
            control: {metric: asdict(difference) for metric, difference in by_metric.items()}
            for control, by_metric in comparison.controls.get(model, {}).items()
        },
    }


def _deals(comparison: ClickComparison) -> Sequence[ClickResults]:
    return next(iter(comparison.results.values()))


def _cell(figure: ClickFigure) -> str:
    estimate = figure.estimate
    spread = "" if figure.half_width is None else f" ±{figure.half_width:.3f}"
    text = f"{estimate.mean:.3f}{spread}\n[{estimate.low:.3f}, {estimate.high:.3f}]"
    return text if figure.difference is None else f"{text}\n{_difference_text(figure.difference)}"


def _difference_text(difference: Difference) -> str:
    sign = "+" if difference.mean >= 0 else "−"
    p = "p<0.001" if difference.p_value < 0.001 else f"p={difference.p_value:.3f}"
    return f"{sign}{abs(difference.mean):.3f}, {p}"


def _control_lines(comparison: ClickComparison) -> list[str]:
    return [
        f"{model} against {control}: "
        + "; ".join(f"{m} {_difference_text(by_metric[m])} [{by_metric[m].low:+.3f}, {by_metric[m].high:+.3f}]"
                    for m in (AUC, ACCURACY))
        for model, controls in comparison.controls.items()
        for control, by_metric in controls.items()
    ]  # fmt: skip


__all__ = ["click_json", "protocol_line", "rich_click_table"]
