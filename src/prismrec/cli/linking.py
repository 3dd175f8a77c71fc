"""`prismrec evaluate` under the protocol `link`: which models know which triples are true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prismrec.cli.terminal import busy, emit, keep, show

if TYPE_CHECKING:
    from prismrec.contenders import Measured
    from prismrec.settings import Settings


def evaluate_links(
    settings: Settings,
    models: Sequence[str],
    against: Sequence[str],
    metrics: Sequence[str],
    output: Path | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Measure models of links on the triples of the settings, and print their table.

    Raises:
        ConfigError, DataError: as for `link_contenders.run_links`.
    """
    from prismrec.cli.evaluating import measured_document
    from prismrec.link_contenders import LINK_BASELINES, LINK_DEFAULT, run_links
    from prismrec.training.progress import make_progress

    names = models or LINK_DEFAULT
    reference = against or tuple(LINK_BASELINES)
    if against and (missing := sorted(set(against) - set(names))):
        raise typer.BadParameter(f"is not compared here: {', '.join(missing)}", param_hint="--against")
    with busy(f"{len(names)} models: training, ranking") as turn:
        watcher = make_progress("lines" if verbose else "quiet")
        measured = run_links(
            settings, names, reference=reference, note=lambda text: turn(text, "training, ranking"), progress=watcher
        )
    document = measured_document(measured, settings)
    keep(document, output)
    if as_json:
        emit(document)
    else:
        show_links(measured, settings, metrics)


def show_links(measured: Measured, settings: Settings, metrics: Sequence[str] = ()) -> None:
    """One table for all queries and one for each end, the protocol line below the last, and how the models learned."""
    from prismrec.evaluation.protocols import ALL
    from prismrec.evaluation.tables import rich_table
    from prismrec.graphs.triple_answers import SIDES

    columns = metrics or ("MRR", *(f"Hits@{k}" for k in settings.links.hits))
    for part in (ALL, *SIDES):
        table = rich_table(measured.comparison, columns, part)
        table.caption = link_line(measured, settings) if part == SIDES[-1] else None
        show(table)
    show("Learned in epochs, by the triples held out for validation:")
    for name, trials in measured.trials.items():
        learned, score = trials[0].learned, f"validation MRR {trials[0].validation:.4f}"
        if learned is None:
            show(f"  {name}: {score}")
        else:
            pace = f"{learned.kept_epochs} of {learned.epochs} epochs kept, {learned.seconds_per_epoch:.2f} s each"
            show(f"  {name}: {pace}, {score}")


def link_line(measured: Measured, settings: Settings) -> str:
    """What a reader must know to judge the figures."""
    first = next(iter(measured.comparison.results.values()))
    evaluation, counts = measured.comparison.settings, first.counts
    ranked = "entities that the relation has on that side" if settings.links.type_constrained else "entities"
    return (
        f"{measured.comparison.experiment.data}, link: {counts['queries']:,} queries, the head and the tail of "
        f"{counts['triples']:,} triples ({counts['unknown_targets']:,} ends are in no training triple); ranked among "
        f"{first.n_items:,} {ranked} less those known to be right in any part; ties share their mean rank. "
        f"{evaluation.confidence:.0%} intervals and p-values: paired bootstrap over triples, "
        f"{evaluation.n_resamples:,} resamples; differences and p are against the best of the column without vectors."
    )


__all__ = ["evaluate_links", "link_line", "show_links"]
