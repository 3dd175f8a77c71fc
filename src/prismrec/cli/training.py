"""`prismrec train`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, ConfigFile, Overrides
from prismrec.cli.terminal import emit, show
from prismrec.errors import ConfigError

if TYPE_CHECKING:
    from prismrec.retrieval.bundle import Bundle


class ShowProgress(StrEnum):
    """How training shows how it goes; the values are those of `training.progress.ProgressMode`."""

    BAR = "bar"
    LINES = "lines"
    JSON = "json"
    QUIET = "quiet"


def train(
    config: ConfigFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the bundle goes; one there is replaced.")],
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="BUNDLE", help="Warm start: its ids keep their index and vectors, new are added."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was stopped.")] = False,
    tune: Annotated[
        bool | None,
        typer.Option("--tune/--no-tune", help="Choose the query settings on validation data.", show_default="--tune"),
    ] = None,
    prepared: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train on what `prismrec prepare` wrote (implies --no-tune).")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Train in so many processes of this machine (needs the extra cluster).")
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `prismrec evaluate -o` wrote, to be shown with the bundle."),
    ] = None,
    progress: Annotated[
        ShowProgress, typer.Option(help="How to show progress, on stderr; bar needs a terminal, else it is lines.")
    ] = ShowProgress.BAR,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train the model of `algorithm` (M2GRL unless set) on your tables and write a bundle that answers.

    First a model is trained without each user's last item, to choose how queries are made (--no-tune leaves that out)
    and, with `training.patience`, how many epochs are best; then the bundle's own, on everything. Ctrl-C leaves a
    checkpoint beside the bundle, and the same command with --resume goes on from it.

    Example: `prismrec train shop.toml -o bundle --set training.epochs=10`
    """
    from prismrec.cluster.process_group import started_by_torchrun
    from prismrec.data.sharded.reader import open_prepared
    from prismrec.pipeline import train as run
    from prismrec.pipeline import train_prepared, train_under_torchrun
    from prismrec.retrieval.bundle import Bundle
    from prismrec.settings import read_settings
    from prismrec.training.progress import make_progress

    if prepared is not None and tune:
        raise typer.BadParameter("prepared data no longer tell users' last clicks: drop it", param_hint="--tune")
    document = None if evaluation is None else read_evaluation(evaluation)
    settings = read_settings(config, [*(overrides or ()), *([f"sharding.processes={processes}"] if processes else [])])
    base = None if start is None else Bundle.open(start)
    watcher = make_progress(progress.value)
    bundle: Bundle | None
    if started_by_torchrun():
        bundle = train_under_torchrun(
            settings, _prepared_for_torchrun(prepared, processes), output,
            start=base, resume=resume, evaluation=document, progress=watcher,
        )  # fmt: skip
        if bundle is None:
            return  # the process of rank 0 has it, and says so
    elif prepared is not None:
        data = open_prepared(prepared, settings.model.sequences)
        bundle = train_prepared(
            data, settings, output, start=base, resume=resume, evaluation=document, progress=watcher, prepared=prepared
        )
    else:
        bundle = run(
            settings, output, start=base, tune_on_validation=tune is not False, resume=resume,
            evaluation=document, progress=watcher,
        )  # fmt: skip
    if as_json:
        emit(bundle_summary(bundle))
        return
    first = bundle.items.id_of(0)
    show(f"{output}: {len(bundle.items):,} items, views {', '.join(bundle.views)}")
    show(f"Next: prismrec similar {output} {first}")
    show(f"      prismrec recommend {output} --history {first}")


def _prepared_for_torchrun(prepared: Path | None, processes: int | None) -> Path:
    if processes is not None:
        raise typer.BadParameter("torchrun has started the processes already: drop it", param_hint="--processes")
    if prepared is None:
        raise ConfigError(
            "under torchrun every process would prepare the data: run `prismrec prepare CONFIG -o DIR --shards N`, "
            "then `torchrun ... -m prismrec train CONFIG --prepared DIR -o BUNDLE`"
        )
    return prepared


def read_evaluation(path: Path) -> dict[str, Any]:
    """The document that `prismrec evaluate -o` wrote.

    Raises:
        ConfigError: the file cannot be read, or is no such document.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the evaluation {path}: {error}") from error
    if not isinstance(document, dict) or "chosen" not in document:
        raise ConfigError(f"{path} is not what `prismrec evaluate -o` writes")
    return document


def bundle_summary(bundle: Bundle) -> dict[str, Any]:
    """What a bundle is, for --json."""
    manifest = bundle.manifest
    return {
        "bundle": bundle.path,
        "n_items": len(bundle.items),
        "views": {view: len(nodes) for view, nodes in bundle.contents.vocabularies.items()},
        "query": manifest.query.model_dump(mode="json"),
        "seed": manifest.seed,
        "data_fingerprint": manifest.data_fingerprint,
        "created": manifest.created,
        "prismrec_version": manifest.prismrec_version,
        "metrics": manifest.metrics,
        "training_log": list(bundle.contents.training_log),
    }


__all__ = ["ShowProgress", "bundle_summary", "train"]
