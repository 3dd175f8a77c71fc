"""`prismrec plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson
from prismrec.cli.terminal import emit, show

if TYPE_CHECKING:
    from prismrec.sizing.job import Job
    from prismrec.sizing.layout import Layout
    from prismrec.sizing.plan import Plan
    from prismrec.sizing.stages import Figure, Stage

VERDICTS = {"fits": "fits:", "short": "DOES NOT FIT:", "slow": "slow:"}

ORIGINS = {"counted": "counted", "derived": "derived", "floor": "not measured: floor from the data sheet"}


def plan(
    clicks: Annotated[str, typer.Option(metavar="N", help="Rows of the log: 57e9, 57B or 1_000_000.")],
    items: Annotated[str, typer.Option(metavar="N", help="Distinct items.")],
    users: Annotated[str, typer.Option(metavar="N", help="Distinct users.", show_default="one per 20 clicks")] = "0",
    views: Annotated[
        str, typer.Option(metavar="VIEW=N,...", help="Side views and their nodes, such as category=1e4,shop=1e7.")
    ] = "",
    dim: Annotated[
        int | None, typer.Option(metavar="N", help="Numbers per vector.", show_default="that of the settings, or 64")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Passes over the data.", show_default="those of the settings, or 20")
    ] = None,
    machines: Annotated[int, typer.Option(metavar="N", help="How many machines.")] = 1,
    gpus: Annotated[int, typer.Option(metavar="N", help="GPUs per machine (H200), one process each.")] = 0,
    processes: Annotated[int, typer.Option(metavar="N", help="Training processes per machine without GPUs.")] = 1,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Main memory per machine: 24GB.", show_default="as here; 2TB with GPUs")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="Settings that give dim, window, negatives, epochs, views.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """See what a job of a given size takes before it is run: memory, disk and time per stage, and what to run.

    Each figure says whether it is counted from bytes, derived from a measured rate, or a floor from a data sheet.

    Example: `prismrec plan --clicks 57e9 --items 1e9 --dim 64 --gpus 8`
    """
    from prismrec.sizing.plan import make_plan

    job = job_of({"clicks": clicks, "items": items, "users": users}, views, {"dim": dim, "epochs": epochs}, config)
    layout = layout_of(machines, gpus, processes, memory)
    made = make_plan(job, layout, "shop.toml" if config is None else str(config))
    if as_json:
        emit(document_of(made))
    else:
        show_plan(made)


def job_of(counts: dict[str, str], views: str, chosen: dict[str, int | None], config: Path | None) -> Job:
    """The job that the options and the settings describe; options come first.

    Raises:
        ConfigError: a number cannot be read or is out of range, or a view of the settings has no number of nodes.
    """
    from prismrec.config import build
    from prismrec.sizing.job import CLICKS_PER_USER, Job, job_settings
    from prismrec.sizing.quantities import count_of

    known: dict[str, Any] = {name: count_of(text, f"--{name}") for name, text in counts.items()}
    known |= {name: value for name, value in chosen.items() if value is not None}
    known["views"] = views_of(views)
    if config is not None:
        from prismrec.settings import read_settings

        per_user = known["clicks"] / known["users"] if known["users"] else CLICKS_PER_USER
        known = job_settings(read_settings(config), known["views"], per_user) | known
    return build(Job, known, "plan")


def views_of(text: str) -> dict[str, int]:
    """`"category=1e4,shop=1e7"` as nodes per view.

    Raises:
        typer.BadParameter: a part is not VIEW=NUMBER.
    """
    from prismrec.errors import ConfigError
    from prismrec.sizing.quantities import count_of

    views = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        view, separator, number = part.partition("=")
        try:
            if not (separator and view):
                raise ConfigError(f"expected VIEW=NUMBER, such as category=1e4, got {part!r}")
            views[view] = count_of(number, f"the nodes of view {view!r}")
        except ConfigError as error:
            raise typer.BadParameter(str(error), param_hint="--views") from error
    return views


def layout_of(machines: int, gpus: int, processes: int, memory: str) -> Layout:
    """The machines that the options describe; what they leave open is as here, or as a machine with 8 GPUs has it.

    Raises:
        ConfigError: a number is out of range, or both GPUs and processes were asked for.
    """
    import os

    from prismrec.config import build
    from prismrec.resources import free_memory
    from prismrec.sizing.layout import EIGHT_GPUS, Layout
    from prismrec.sizing.quantities import bytes_of

    known: dict[str, Any] = {"machines": machines, "gpus": gpus, "processes": processes}
    here = None if gpus else free_memory()
    if gpus:
        known |= {"cores": EIGHT_GPUS.cores, "memory_bytes": EIGHT_GPUS.memory_bytes}
    else:
        known["cores"] = os.cpu_count() or 1
    if here is not None:
        known["memory_bytes"] = here.free_bytes
    if memory:
        known["memory_bytes"] = bytes_of(memory, "--memory")
    return build(Layout, known, "plan")


def show_plan(made: Plan) -> None:
    """A table of the stages, verdicts, and the commands."""
    from rich.table import Table

    from prismrec.sizing.plan import summary
    from prismrec.sizing.quantities import show_bytes, show_seconds

    show(summary(made))
    show(made.layout.title)
    table = Table("stage", "a device" if made.layout.gpus else "a process", "a machine", "disk", "time", "how")
    for stage in made.stages:
        sizes = [cell(figure, show_bytes) for figure in (stage.per_process, stage.per_machine, stage.disk)]
        table.add_row(stage.name, *sizes, cell(stage.seconds, show_seconds), "\n".join(sources_of(stage)))
    show(table)
    for verdict in made.verdicts:
        show(f"{VERDICTS[verdict.kind]} {verdict.stage}: {verdict.text}")
    show("Run:")
    for command in made.commands:
        show(f"  {command}")


def sources_of(stage: Stage) -> Iterator[str]:
    """Where each figure of a stage comes from, a line each."""
    figures = {"process": stage.per_process, "machine": stage.per_machine, "disk": stage.disk, "time": stage.seconds}
    for name, figure in figures.items():
        if figure is not None:
            yield f"{name}: {ORIGINS[figure.origin]}, {figure.how}"


def cell(figure: Figure | None, write: Callable[[float], str]) -> str:
    """A figure as a cell; floors are marked as such."""
    if figure is None:
        return "–"
    return f"{'> ' if figure.origin == 'floor' else ''}{write(figure.value)}"


def document_of(made: Plan) -> dict[str, Any]:
    """The plan for --json."""
    import dataclasses

    return {
        "job": made.job.model_dump(mode="json"),
        "layout": made.layout.model_dump(mode="json"),
        "pairs": made.pairs,
        "fits": made.fits,
        "stages": [dataclasses.asdict(stage) for stage in made.stages],
        "verdicts": [dataclasses.asdict(verdict) for verdict in made.verdicts],
        "commands": list(made.commands),
    }


__all__ = ["cell", "document_of", "job_of", "layout_of", "plan", "show_plan", "views_of"]
