"""`prismrec evaluate` under the protocol `click`: pairs of a user and an item to be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prismrec import __version__
from prismrec.cli.terminal import busy, emit, keep, say, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from prismrec.click_contenders import ClickMeasured
    from prismrec.settings import Settings


def evaluate_clicks(
    settings: Settings,
    names: Sequence[str],
    against: Sequence[str],
    metrics: Sequence[str],
    output: Path | None,
    *,
    kept: Path | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Compare models by how they tell clicks from drawn negatives, and show or write what was measured.

    Args:
        names: who is compared; `click_default` where empty.
        against: whose best the others are compared with; the simple baselines where empty.
        metrics: columns of the table; all where empty.
        kept: a folder of what was measured before.
    """
    from prismrec.click_contenders import CLICK_BASELINES, click_default, run
    from prismrec.contenders import with_controls
    from prismrec.inputs import open_tables, reading_notes
    from prismrec.training.progress import make_progress

    chosen = tuple(names) or click_default(settings)
    if settings.evaluation.controls:
        chosen = with_controls(chosen)
    log, items = open_tables(settings)
    for line in reading_notes(log, items):
        say(line)
    watcher = make_progress("lines" if verbose else "quiet")
    with _turns(chosen, settings.split.repeats) as note:
        measured = run(
            log, items, settings, chosen, reference=against or CLICK_BASELINES, note=note, progress=watcher,
            keep=kept,
        )  # fmt: skip
    document = clicks_document(measured, settings)
    keep(document, output)
    if as_json:
        emit(document)
    else:
        show_clicks(measured, metrics)


def show_clicks(measured: ClickMeasured, metrics: Sequence[str] = ()) -> None:
    """The table, how models learned, and what tuning chose."""
    from prismrec.cli.evaluating import flat
    from prismrec.evaluation.click_tables import rich_click_table

    show(rich_click_table(measured.comparison, metrics))
    show("Chosen on validation pairs, in the last deal:")
    for name, chosen in measured.chosen.items():
        last, learned = measured.comparison.results[name][-1], measured.trials[name][-1].learned
        told = [f"scores {last.scale}", f"threshold {last.threshold:.3g}", *(f"{k} {v}" for k, v in flat(chosen))]
        if learned is not None:
            told = [f"{learned.kept_epochs} of {learned.epochs} epochs of {learned.seconds_per_epoch:.2f} s", *told]
        show(f"  {name}: " + ", ".join(told))


def clicks_document(measured: ClickMeasured, settings: Settings) -> dict[str, Any]:
    """Figures with intervals and p-values, chosen settings, and the settings behind all of it."""
    from prismrec.evaluation.click_tables import click_json

    return {
        "prismrec_version": __version__,
        **click_json(measured.comparison),
        "chosen": measured.chosen,
        "trials": {name: [asdict(trial) for trial in trials] for name, trials in measured.trials.items()},
        "config": settings.model_dump(mode="json"),
    }


@contextmanager
def _turns(names: Sequence[str], n_deals: int) -> Iterator[Callable[[str], None]]:
    """Say which model is at work in which deal, and pass on what is told of those that are done."""
    titles = [
        f"deal {deal} of {n_deals}, {name} ({place} of {len(names)}): tuning, training, measuring"
        for deal in range(1, n_deals + 1)
        for place, name in enumerate(names, 1)
    ]
    following = iter([*titles, "comparing: bootstrap over users"])
    with busy(next(following)) as turn:
        yield lambda done: turn(done, next(following))


__all__ = ["clicks_document", "evaluate_clicks", "show_clicks"]
