"""`prismrec data`: public data sets that PrismRec can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.options import AsJson
from prismrec.cli.terminal import emit, show

if TYPE_CHECKING:
    from prismrec.data.catalog import ImportedData

app = typer.Typer(invoke_without_command=True)


@app.callback()
def data(context: typer.Context, as_json: AsJson = False) -> None:
    """List the public data sets that PrismRec can read, with their terms; `data get` writes one.

    Example: `prismrec data`
    """
    if context.invoked_subcommand is not None:
        return
    from prismrec.data.catalog import available

    found = available()
    if as_json:
        emit([{"name": d.name, "content": d.content, "licence": d.licence, "may_be_passed_on": d.may_ship,
               "page": d.page, "files": d.files, "bundled": d.bundled} for d in found])  # fmt: skip
        return
    for d in found:
        show(f"{d.name}{' (a cut of it is bundled)' if d.bundled else ''}\n  {d.content}")
        show(f"  {d.licence}; {'may' if d.may_ship else 'may not'} be passed on\n  {d.page}\n")
    show("Next: prismrec data get NAME -o DIR")


@app.command()
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `prismrec data` lists it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write; NAME unless given.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="Folder or zip archive with the files at hand.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a public data set as tables with a settings file: downloaded, or from files you have.

    Example: `prismrec data get movielens-1m --from ~/Downloads/ml-1m.zip`
    """
    from prismrec.data.catalog import get as write

    written = write(name, output or Path(name), source)
    if as_json:
        emit({"folder": written.folder, "settings": written.settings, "n_clicks": written.n_clicks,
              "n_items": written.n_items, "n_triples": written.n_triples, "notes": written.notes})  # fmt: skip
        return
    show(f"{written.folder}: {_amounts(written)}; the terms are in SOURCE.md")
    for note in written.notes:
        show(f"  {note}")
    show(f"Next: prismrec {'profile' if written.n_clicks else 'knowledge'} {written.settings}")
    show(f"      prismrec evaluate {written.settings}")


def _amounts(written: ImportedData) -> str:
    """How much there is, in words, of what there is any."""
    counts = {"clicks": written.n_clicks, "items": written.n_items, "triples": written.n_triples}
    return ", ".join(f"{n:,} {name}" for name, n in counts.items() if n)


__all__ = ["app", "data", "get"]
