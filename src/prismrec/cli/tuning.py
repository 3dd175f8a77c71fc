"""`prismrec tune`: settings of a model searched on validation data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, ConfigFile, Overrides, names_of
from prismrec.cli.terminal import emit, say, show
from prismrec.cli.training import ShowProgress

if TYPE_CHECKING:
    from rich.table import Table

    from prismrec.search.search import Found
    from prismrec.search.study import Trial
    from prismrec.settings import Settings


def tune(
    config: ConfigFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the settings file with the best goes (TOML).")],
    trials: Annotated[int, typer.Option(min=1, help="Candidates to try, those of an earlier call included.")] = 20,
    minutes: Annotated[
        float,
        typer.Option(min=0, help="No candidate begins after so many minutes of this call.", show_default="no end"),
    ] = float("inf"),
    study: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keeps the search; OUTPUT with the ending .study unless given.")
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="NAME,NAME,...", help="Search these settings alone, such as learning_rate,dropout.")
    ] = "",
    progress: Annotated[
        ShowProgress, typer.Option(help="How to show progress, on stderr; bar needs a terminal, else it is lines.")
    ] = ShowProgress.BAR,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Search the settings of a model on validation data, and write the best as a settings file.

    Which model is `algorithm` in the settings; what is held out, `split.protocol`, as for `evaluate`, whose test clicks
    are never looked at. The settings as they are come first. Each candidate is trained with early stopping and given up
    where its early scores lie below the median of the others. A search that was stopped or killed goes on with the same
    command, and one that is done with more --trials.

    Example: `prismrec tune shop.toml --set algorithm=sasrec --trials 30 --minutes 60 -o best.toml`
    """
    from prismrec.inputs import open_tables, read_tables, reading_notes
    from prismrec.search.found import write_settings
    from prismrec.search.search import Budget, search
    from prismrec.settings import read_settings
    from prismrec.training.progress import make_progress

    settings = read_settings(config, overrides or ())
    log, items = open_tables(settings) if settings.split.protocol == "click" else read_tables(settings)
    for line in reading_notes(log, items):
        say(line)
    found = search(
        log, items, settings, study or output.with_suffix(".study"), Budget(trials, minutes),
        only=names_of(only), progress=make_progress(progress.value),
    )  # fmt: skip
    write_settings(found, config, overrides or (), output)
    if as_json:
        emit(search_document(found, settings, output))
        return
    show(trials_table(found, settings))
    show(f"{output}: the settings of trial {found.best.number}, validation score {found.best.score:.4f}")
    show(f"Next: prismrec train {output} -o bundle")
    show(f"      prismrec evaluate {output}")


def trials_table(found: Found, settings: Settings) -> Table:
    """Every trial with its values, the best first; those that were not scored last."""
    from rich.table import Table

    title = f"{settings.data.name}, {settings.algorithm}, {settings.split.protocol}: {len(found.trials)} trials"
    score = "AUC on validation pairs" if settings.split.protocol == "click" else "mean of 50 / (49 + rank)"
    table = Table(title=title, caption=f"score: the {score}, on validation data; * the best")
    fields = list(dict.fromkeys(field for trial in found.trials for field in trial.values))
    for column in ("trial", "score", "epoch", "seconds", *(field.rpartition(".")[2] for field in fields)):
        table.add_column(column, justify="right")
    for trial in sorted(found.trials, key=_by_score):
        star = "*" if trial.number == found.best.number else ""
        values = (_cell(trial.values[field]) for field in fields)
        table.add_row(f"{trial.number}{star}", _score(trial), str(trial.best_epoch), f"{trial.seconds:.1f}", *values)
    return table


def search_document(found: Found, settings: Settings, output: Path) -> dict[str, Any]:
    """Everything that was tried, for --json."""
    return {
        "algorithm": settings.algorithm,
        "protocol": settings.split.protocol,
        "settings_file": output,
        "best": found.best.number,
        "score": found.best.score,
        "changes": found.changes,
        "trials": [{**vars(trial), "best_epoch": trial.best_epoch} for trial in found.trials],
    }


def _by_score(trial: Trial) -> tuple[bool, float, int]:
    scored = trial.outcome == "scored"
    return (not scored, -trial.score if scored else 0.0, trial.number)


def _score(trial: Trial) -> str:
    return (
        f"{trial.score:.4f}" if trial.outcome == "scored" else {"pruned": "given up", "failed": "failed"}[trial.outcome]
    )


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


__all__ = ["search_document", "trials_table", "tune"]
