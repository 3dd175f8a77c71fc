"""`prismrec evaluate --diversity`: how far each control can be turned up, and what it then gives and takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from prismrec import __version__
from prismrec.cli.terminal import busy, emit, keep, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from prismrec.settings import Settings
    from prismrec.trade_off import TradeOff


def levels_of(text: str) -> tuple[float, ...]:
    """`"0.1,0.3"` as levels; those that are tried anyway where the text is empty.

    Raises:
        typer.BadParameter: a part is not a number.
    """
    from prismrec.trade_off import LEVELS

    try:
        return tuple(float(part) for part in text.split(",") if part.strip()) or LEVELS
    except ValueError as error:
        raise typer.BadParameter(f"expected numbers such as 0.2,0.5, got {text!r}", param_hint="--levels") from error


def evaluate_diversity(settings: Settings, levels: Sequence[float], output: Path | None, as_json: bool) -> None:
    """Measure, then write, print or show."""
    from prismrec.inputs import read_tables, reading_notes

    log, items = read_tables(settings)
    for line in reading_notes(log, items):
        say(line)
    measured = measure_trade_off(settings, log, items, levels)
    document = trade_off_document(measured, settings)
    keep(document, output)
    if as_json:
        emit(document)
    else:
        show_trade_off(measured)


def measure_trade_off(settings: Settings, log: Any, items: Any, levels: Sequence[float]) -> TradeOff:
    """Run the comparison while saying which control's turn it is."""
    from prismrec.trade_off import controls, run

    turns = ["m2grl: tuning and training", *(f"{control.name}: turning it up" for control in controls(levels))]
    n_folds = settings.split.n_folds if settings.split.protocol == "kfold" else 1
    following = iter([*turns * n_folds, "comparing: bootstrap over users"])
    with busy(next(following)) as turn:
        return run(log, items, settings, levels, note=lambda done: turn(done, next(following)))


def show_trade_off(measured: TradeOff) -> None:
    """The controls on validation data, strength by strength, then those that were allowed on test data."""
    from prismrec.evaluation.tables import protocol_line

    show(_validation_table(measured))
    show(_test_table(measured))
    show(protocol_line(measured.comparison))


def trade_off_document(measured: TradeOff, settings: Settings) -> dict[str, Any]:
    """Figures with intervals and p-values, the curves on validation data, and the settings behind all of it."""
    from prismrec.evaluation.tables import to_json

    return {
        "prismrec_version": __version__,
        **to_json(measured.comparison),
        "most_lost": measured.most_lost,
        "chosen": {name: list(strengths) for name, strengths in measured.chosen.items()},
        "validation": {
            "by score": dict(measured.base),
            **{name: [asdict(point) for point in curve] for name, curve in measured.curves.items()},
        },
        "config": settings.model_dump(mode="json"),
    }


def _validation_table(measured: TradeOff) -> Table:
    metrics = _metrics(measured.base)
    table = _table("validation data: each control until it costs too much", ["control", "strength", *metrics])
    table.add_row("by score", "", *(f"{measured.base[metric]:.3f}" for metric in metrics))
    for name, curve in measured.curves.items():
        table.add_section()
        for point in curve:
            cells = [_relative(point.values[metric], measured.base[metric]) for metric in metrics]
            over = "" if point.kept >= 1 - measured.most_lost else "\ntoo much"
            table.add_row(name, f"{point.strength:g}{over}", *cells)
    return table


def _test_table(measured: TradeOff) -> Table:
    from prismrec.evaluation.protocols import ALL
    from prismrec.trade_off import BY_SCORE

    comparison = measured.comparison
    means = {name: {**_means(comparison.figures[ALL], name), **r.totals} for name, r in comparison.results.items()}
    metrics = _metrics(means[BY_SCORE])
    title = f"{comparison.experiment.data}, {comparison.experiment.protocol}: test data"
    table = _table(title, ["control", "strength", *metrics])
    for name, values in means.items():
        cells = []
        for metric in metrics:
            cell = _relative(values[metric], means[BY_SCORE][metric]) if name != BY_SCORE else f"{values[metric]:.3f}"
            difference = comparison.figures[ALL][metric][name].difference if metric in comparison.figures[ALL] else None
            if difference is not None and metric.startswith("HR@"):
                cell += f"\n[{difference.low:+.3f}, {difference.high:+.3f}]\np={difference.p_value:.3f}"
            cells.append(cell)
        strengths = measured.chosen.get(name, ())
        table.add_row(name, ", ".join("none" if s is None else f"{s:g}" for s in strengths), *cells)
    return table


def _means(figures: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, float]:
    return {metric: by_model[name].estimate.mean for metric, by_model in figures.items()}


def _metrics(values: Mapping[str, float]) -> list[str]:
    """The columns: hits, then what a list shows."""
    from prismrec.trade_off import LIST_LENGTH, SHOWN

    hits = [metric for metric in values if metric.startswith("HR@") and int(metric[3:]) <= LIST_LENGTH]
    distinct = [metric for metric in values if metric.endswith(f"_distinct@{SHOWN}")]
    return [*hits, *distinct, f"novelty@{SHOWN}", f"coverage@{SHOWN}"]


def _relative(value: float, base: float) -> str:
    """The value, and below it how much that is more than `base`."""
    return f"{value:.3f}\n{value / base - 1:+.1%}" if base else f"{value:.3f}"


def _table(title: str, header: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(header):
        head = name.replace("_distinct@", "\ndistinct\n@").replace("coverage@", "coverage\n@")
        table.add_column(head, justify="right" if place > 1 else "left", overflow="fold", no_wrap=place < 2)
    return table


__all__ = ["evaluate_diversity", "levels_of", "measure_trade_off", "show_trade_off", "trade_off_document"]
