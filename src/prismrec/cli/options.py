"""The arguments that several verbs share, spelt once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Settings file (TOML). Paths in it are relative to it.")
]
BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that `prismrec train` wrote.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change a setting, such as --set training.epochs=5; may be repeated.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="VIEW=NUMBER",
        help="Weight of a view, such as --weight item=1 --weight shop=-0.2 (negative pushes away); may be repeated.",
        show_default=False,
    ),
]
HowMany = Annotated[int, typer.Option("-k", help="How many items to list.")]


def weights_of(texts: Sequence[str] | None) -> dict[str, float] | None:
    """`["item=1", "shop=-0.2"]` as view weights; None where there are none.

    Raises:
        typer.BadParameter: a text is not `view=number`.
    """
    if not texts:
        return None
    weights = {}
    for text in texts:
        view, _, number = text.rpartition("=")
        try:
            weights[view] = float(number)
        except ValueError:
            view = ""
        if not view:
            raise typer.BadParameter(f"expected VIEW=NUMBER, such as category=0.3, got {text!r}", param_hint="--weight")
    return weights


def names_of(text: str) -> tuple[str, ...]:
    """A comma-separated list, `"m2grl, ease"`, as names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


__all__ = [
    "AsJson",
    "BundleFolder",
    "ConfigFile",
    "HowMany",
    "Overrides",
    "Weights",
    "names_of",
    "weights_of",
]
