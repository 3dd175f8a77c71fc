"""`prismrec evaluate`: models beside each other, under one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec import __version__
from prismrec.cli.clicking import evaluate_clicks
from prismrec.cli.linking import evaluate_links
from prismrec.cli.options import AsJson, ConfigFile, Overrides, names_of
from prismrec.cli.spreading import evaluate_diversity, levels_of
from prismrec.cli.terminal import busy, emit, keep, say, show
from prismrec.errors import ConfigError

if TYPE_CHECKING:
    from prismrec.contenders import Measured
    from prismrec.settings import Settings


def evaluate(
    config: ConfigFile,
    models: Annotated[
        str, typer.Option(metavar="NAME,NAME,...", help="Models to compare; all of them unless given.")
    ] = "",
    ablations: Annotated[
        bool,
        typer.Option(
            "--ablations", help="Compare the model of `algorithm` with itself, one part taken away at a time."
        ),
    ] = False,
    against: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME,...", help="Compare with the best of these, not with the best simple baseline."
        ),
    ] = "",
    diversity: Annotated[
        bool, typer.Option("--diversity", help="Measure what spreading M2GRL's lists over the views gives and costs.")
    ] = False,
    levels: Annotated[
        str, typer.Option(metavar="LEVEL,LEVEL,...", help="With --diversity: which levels to try, such as 0.2,0.5.")
    ] = "",
    metrics: Annotated[
        str, typer.Option(metavar="METRIC,METRIC,...", help="Columns of the tables, such as HR@10,NDCG@10,MRR@20.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write everything that was measured here, as JSON.")
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="FOLDER",
            help="Keep each model's results here once it is measured; what lies there already is not measured again.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say how each epoch of each training went.")] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Compare models on your data: each tuned on validation data, then measured once on held-out clicks.

    Prints a table for all targets and one for rare ones, with bootstrap intervals and p-values against the best simple
    baseline (with --ablations the whole model, with --against the best of others). What is held out is
    `split.protocol` in the settings; under click, pairs to be told from drawn negatives; under link, triples of the
    knowledge graph; under cold_item, items instead of clicks, with contenders of its own and one table among them, one
    in the whole catalogue. A model that learns from a knowledge graph is followed by its controls.

    With --diversity: M2GRL's lists by score beside re-ranked ones, each control turned up on validation data for as
    long as it costs at most 5 % of HR@50.

    Example: `prismrec evaluate shop.toml --models popularity,item_knn,m2grl --set split.protocol=ratio`
    """
    from prismrec.inputs import open_tables, read_tables, reading_notes
    from prismrec.settings import read_settings

    if models and ablations:
        raise typer.BadParameter("choose the models, or the ablations", param_hint="--models / --ablations")
    if diversity and (models or ablations or metrics or against):
        raise typer.BadParameter("measures M2GRL alone, by metrics of its own", param_hint="--diversity")
    if levels and not diversity:
        raise typer.BadParameter("are those of --diversity", param_hint="--levels")
    settings = read_settings(config, overrides or ())
    if kept and (diversity or _withholds_items(settings)):
        raise typer.BadParameter("is for comparisons of models on held-out clicks", param_hint="--keep")
    if settings.split.protocol == "link":
        if ablations or diversity or kept:
            raise typer.BadParameter("link compares whole models", param_hint="--ablations / --diversity / --keep")
        evaluate_links(settings, names_of(models), names_of(against), names_of(metrics), output, verbose, as_json)
        return
    if settings.split.protocol == "click":
        if ablations or diversity:
            raise typer.BadParameter("click compares whole models", param_hint="--ablations / --diversity")
        evaluate_clicks(
            settings, names_of(models), names_of(against), names_of(metrics), output, kept=kept, verbose=verbose,
            as_json=as_json,
        )  # fmt: skip
        return
    if diversity:
        evaluate_diversity(settings, levels_of(levels), output, as_json)
        return
    everyone, parts, baselines = _contenders(settings)
    if ablations and not parts:
        raise ConfigError(f"there are no ablations of algorithm = {settings.algorithm!r}: name models by --models")
    names = _beside_controls(parts if ablations else names_of(models) or everyone, settings)
    reference = names_of(against) or (names[:1] if ablations else baselines)
    if against and (missing := sorted(set(reference) - set(names))):
        raise typer.BadParameter(f"is not compared here: {', '.join(missing)}", param_hint="--against")
    log, items = open_tables(settings) if _withholds_items(settings) else read_tables(settings)
    for line in reading_notes(log, items):
        say(line)
    measured = measure(settings, log, items, names, reference, verbose=verbose, kept=kept)
    document = measured_document(measured, settings)
    keep(document, output)
    if as_json:
        emit(document)
    else:
        show_measured(measured, names_of(metrics))


def measure(
    settings: Settings,
    log: Any,
    items: Any,
    names: Sequence[str],
    reference: Sequence[str],
    *,
    verbose: bool = False,
    kept: Path | None = None,
) -> Measured:
    """Run the comparison while saying which model's turn it is; for `cold_item` the log comes as it was read."""
    from prismrec.cold_contenders import run as run_cold
    from prismrec.contenders import run
    from prismrec.training.progress import make_progress

    with _turns(settings, names) as note:
        if _withholds_items(settings):
            return run_cold(log, items, settings, names, reference=reference, note=note)
        watcher = make_progress("lines" if verbose else "quiet")
        return run(log, items, settings, names, reference=reference, note=note, progress=watcher, keep=kept)


def show_measured(measured: Measured, metrics: Sequence[str] = ()) -> None:
    """The tables, the protocol line below the last, and what tuning chose."""
    from prismrec.evaluation.protocols import ALL, RARE
    from prismrec.evaluation.tables import rich_table

    if measured.others:  # targets without a click: all of them are rare
        for comparison in (measured.comparison, *measured.others.values()):
            show(rich_table(comparison, metrics))
    else:
        whole, rare = (rich_table(measured.comparison, metrics, part) for part in (ALL, RARE))
        whole.caption = None  # the same line stands below the second table
        show(whole)
        show(rare)
    learned = [(name, trial.learned) for name, trials in measured.trials.items() for trial in trials if trial.learned]
    if learned:
        show("Learned in epochs, on the rows before the validation data:")
    for name, how in learned:
        score = "" if how.score is None else f", validation score {how.score:.4f}"
        show(f"  {name}: {how.kept_epochs} of {how.epochs} epochs kept, {how.seconds_per_epoch:.2f} s each{score}")
    show("Chosen on validation data:")
    for name, chosen in measured.chosen.items():
        show(f"  {name}: " + ", ".join(f"{key} {value}" for key, value in flat(chosen)))


def measured_document(measured: Measured, settings: Settings) -> dict[str, Any]:
    """Figures with intervals and p-values, chosen settings, protocol, and the settings behind all of it."""
    from prismrec.evaluation.tables import to_json

    return {
        "prismrec_version": __version__,
        **to_json(measured.comparison),
        "others": {name: to_json(comparison) for name, comparison in measured.others.items()},
        "chosen": measured.chosen,
        "validation": measured.validation,
        "trials": {name: [asdict(trial) for trial in trials] for name, trials in measured.trials.items()},
        "config": settings.model_dump(mode="json"),
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as `section.key`, value."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _beside_controls(names: Sequence[str], settings: Settings) -> Sequence[str]:
    from prismrec.contenders import with_controls

    return with_controls(names) if settings.evaluation.controls else names


def _withholds_items(settings: Settings) -> bool:
    return settings.split.protocol == "cold_item"


def _contenders(settings: Settings) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """Of the protocol: who is compared, the model itself with parts taken away, and the simple baselines."""
    if _withholds_items(settings):
        from prismrec.cold_contenders import COLD_ABLATIONS, COLD_BASELINES, COLD_DEFAULT

        return COLD_DEFAULT, COLD_ABLATIONS, COLD_BASELINES
    from prismrec.contenders import ABLATIONS, BASELINES, DEFAULT

    return DEFAULT, ABLATIONS.get(settings.algorithm, ()), BASELINES


@contextmanager
def _turns(settings: Settings, names: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """Say which model is at work, and pass on what is told of those that are done."""
    cut = settings.split
    turns = list(names) * (min(cut.max_folds or cut.n_folds, cut.n_folds) if cut.protocol == "kfold" else 1)
    titles = [f"{name} ({place} of {len(turns)}): tuning, training, measuring" for place, name in enumerate(turns, 1)]
    following = iter([*titles, "comparing: bootstrap over users"])
    with busy(next(following)) as turn:
        yield lambda done: turn(done, next(following))


__all__ = ["evaluate", "flat", "measure", "measured_document", "show_measured"]
