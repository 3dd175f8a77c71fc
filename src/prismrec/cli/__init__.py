"""The command `prismrec`: each verb reads its arguments, calls the package, and shows what came back.

Exit codes: 0 done; 1 an input, a setting or a bundle is not usable (one line on stderr); 2 the command line itself is
wrong; 130 stopped by Ctrl-C, 143 by SIGTERM (training has then left a checkpoint).
"""

from __future__ import annotations

import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from prismrec import __version__
from prismrec.cli import (
    asking,
    data_sets,
    demo,
    evaluating,
    explaining,
    knowing,
    planning,
    preparing,
    serving,
    training,
    tuning,
)
from prismrec.cli.terminal import say, show
from prismrec.errors import PrismRecError

INTERRUPTED = 130


class Verbs(TyperGroup):
    """The verbs, with every error that PrismRec raises on purpose turned into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen verb."""
        try:
            return super().invoke(ctx)
        except PrismRecError as error:
            if ctx.params["debug"]:
                say(traceback.format_exc())
            say(f"prismrec: {error}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            say(f"prismrec: {interrupt}" if str(interrupt) else "prismrec: stopped by Ctrl-C")
            # A training run says which signal it was
            raise typer.Exit(getattr(interrupt, "exit_code", INTERRUPTED)) from interrupt


app = typer.Typer(
    name="prismrec",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        show(f"prismrec {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 unusable input (one line on stderr says why), 2 wrong command line, 130 Ctrl-C."
)
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Click logs and item side information in, aligned multi-view embeddings and recommendations out.

    Start with `prismrec demo`: it trains on bundled shopping data, compares models, and shows the next steps.
    """


app.command()(demo.demo)
app.command()(preparing.profile)
app.command()(knowing.knowledge)
app.command()(planning.plan)
app.command()(preparing.prepare)
app.command()(training.train)
app.command()(evaluating.evaluate)
app.command()(tuning.tune)
app.command()(asking.similar)
app.command()(asking.recommend)
app.command()(explaining.explain)
app.command()(asking.export)
app.command()(serving.serve)
app.command()(serving.rollback)
app.add_typer(data_sets.app, name="data")


def main() -> None:
    """Run the command with the arguments of this process."""
    app(prog_name="prismrec")


__all__ = ["INTERRUPTED", "app", "main"]
