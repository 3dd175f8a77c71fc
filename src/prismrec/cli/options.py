"""The arguments that several verbs share, spelt once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from prismrec.retrieval.filters.item_filter import ItemFilter
    from prismrec.retrieval.request import Filters

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
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help="Only items whose view or column is so: category=TEA, shop!=69, price<=9.99, price>=1; may be repeated "
        "(several = of one name: any of them).",
        show_default=False,
    ),
]
Level = Annotated[
    float,
    typer.Option("--diversity", metavar="0..1", min=0, max=1, help="0 = by score alone, 1 = by unlikeness alone."),
]
Quotas = Annotated[
    list[str] | None,
    typer.Option(
        "--at-most",
        metavar="VIEW=NUMBER",
        help="At most so many items per value of a view, such as --at-most shop=3; may be repeated.",
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


def quotas_of(texts: Sequence[str] | None) -> dict[str, int]:
    """`["shop=3"]` as quotas.

    Raises:
        typer.BadParameter: a text is not `view=number`.
    """
    quotas = {}
    for text in texts or ():
        view, _, number = text.rpartition("=")
        if not view or not number.isdecimal():
            raise typer.BadParameter(f"expected VIEW=NUMBER, such as shop=3, got {text!r}", param_hint="--at-most")
        quotas[view] = int(number)
    return quotas


def filters_of(texts: Sequence[str] | None, item_filter: ItemFilter) -> Filters:
    """`["category=TEA", "price<=9.99"]` as filters, each value read as the view or column has it.

    Raises:
        typer.BadParameter: a text is not NAME=VALUE, NAME!=VALUE, NAME<=VALUE or NAME>=VALUE.
        ConfigError: there is no such view or column, or the value is of another type.
    """
    from prismrec.config import build
    from prismrec.retrieval.request import Filters

    where: dict[str, dict[str, Any]] = {}
    for text in texts or ():
        parts = re.fullmatch(r"(.+?)(!=|<=|>=|=)(.*)", text, re.DOTALL)
        if parts is None:
            raise typer.BadParameter(f"expected NAME=VALUE, such as category=TEA, got {text!r}", param_hint="--where")
        name, sign, value = parts.groups()
        parsed, condition = item_filter.parsed(name, value), where.setdefault(name, {})
        if sign in ("<=", ">="):
            condition["max" if sign == "<=" else "min"] = parsed
        else:
            condition.setdefault("any_of" if sign == "=" else "none_of", []).append(parsed)
    return build(Filters, {"where": where}, "--where")


def names_of(text: str) -> tuple[str, ...]:
    """A comma-separated list, `"m2grl, ease"`, as names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


__all__ = [
    "AsJson",
    "BundleFolder",
    "ConfigFile",
    "HowMany",
    "Level",
    "Overrides",
    "Quotas",
    "Weights",
    "Where",
    "filters_of",
    "names_of",
    "quotas_of",
    "weights_of",
]
