"""What a bundle answers: `prismrec similar`, `recommend`, `export`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from prismrec.cli.explaining import path_line, path_names
from prismrec.cli.options import (
    AsJson,
    BundleFolder,
    HowMany,
    Level,
    Quotas,
    Weights,
    Where,
    filters_of,
    quotas_of,
    weights_of,
)
from prismrec.cli.terminal import emit, say, show, width

if TYPE_CHECKING:
    from prismrec.retrieval.answers import Explanation, Recommendations


WIDEST = 40
"""Characters of an item's name or category that a table shows."""


class Likeness(StrEnum):
    """What `similar` means by it; the values are those of `retrieval.blend.Similarity`."""

    SOURCE_TARGET = "source_target"
    COSINE = "cosine"


class ExportFormat(StrEnum):
    """The values are those of `retrieval.export.Format`."""

    PARQUET = "parquet"
    WORD2VEC = "word2vec"
    FAISS = "faiss"


def similar(
    bundle: BundleFolder,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Id of the item, as in your tables.")],
    weight: Weights = None,
    k: HowMany = 20,
    similarity: Annotated[
        Likeness | None,
        typer.Option(
            help="source_target: what goes with it or comes after it; cosine: what is used like it. Left out: cosine "
            "for models that encode histories, source_target for others."
        ),
    ] = None,
    where: Where = None,
    diversity: Level = 0.0,
    at_most: Quotas = None,
    as_json: AsJson = False,
) -> None:
    """List the items nearest to an item.

    Weights blend the views: `--weight category=0.3` draws items nearer whose categories go with its own,
    `--weight shop=-0.2` pushes such shops away. Without any, the item view alone decides.

    Example: `prismrec similar bundle 1029743 --weight item=1 --weight category=0.3 -k 10`
    """
    from prismrec.retrieval.bundle import Bundle
    from prismrec.retrieval.request import Diversity

    opened = Bundle.open(bundle)
    wanted = opened.items.parsed(item)
    found = opened.similar(
        wanted, k, weights=weights_of(weight), similarity=None if similarity is None else similarity.value,
        filters=filters_of(where, opened.retriever.filter),
        diversity=Diversity(level=diversity, quotas=quotas_of(at_most)),
    )  # fmt: skip
    if as_json:
        emit({"item_id": wanted, "items": answer_rows(found)})
    else:
        show(answer_table(found))
        _show_report(found)


def recommend(
    bundle: BundleFolder,
    history: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Item of the history, in time order, the latest last; repeat it for each."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="Id of the user, for a model that learned of each user.")
    ] = None,
    weight: Weights = None,
    k: HowMany = 20,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="List items of the history too.")] = False,
    where: Where = None,
    diversity: Level = 0.0,
    at_most: Quotas = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say for each item where its score comes from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend items after a history, for a user, or both.

    Ids that the bundle does not know are named on stderr and left out; if none is known, the most popular items come.
    With a user, name the history too: a bundle does not hold what users did, and leaves out what it is told.

    Example: `prismrec recommend bundle --history 1029743 --history 995242 -k 10 --where category=TEA --at-most shop=2`
    """
    from prismrec.errors import ConfigError
    from prismrec.retrieval.bundle import Bundle
    from prismrec.retrieval.request import Diversity

    if not history and user is None:
        raise ConfigError("nothing to recommend after: give --history ID, or --user USER")
    opened = Bundle.open(bundle)
    ids = [opened.items.parsed(text) for text in history or ()]
    found = opened.recommend(
        ids, k, user=user, weights=weights_of(weight), exclude_seen=not include_seen, explain=explain,
        filters=filters_of(where, opened.retriever.filter),
        diversity=Diversity(level=diversity, quotas=quotas_of(at_most)),
    )  # fmt: skip
    for unknown in found.unknown_ids:
        say(f"the bundle does not know {unknown!r}: left out of the history")
    if user is not None and found.basis != "user":
        say(f"the model does not know the user {user!r}: left out")
    if found.basis == "popularity":
        named = "no id of the history is" if user is None else "neither user nor history is"
        say(f"{named} known: these are the most popular items")
    if as_json:
        asked = {"history": ids, "user": user, "basis": found.basis}
        emit({**asked, "unknown_ids": found.unknown_ids, "items": answer_rows(found)})
    else:
        show(answer_table(found))
        _show_report(found)
        for answer in found if explain else ():
            show(f"{answer.item_id}: {_reason(answer.explanation)}")
            for path in answer.explanation.paths if answer.explanation else ():
                show(Text(f"  {path_line(path, path_names(opened, path))}"))


def export(
    bundle: BundleFolder,
    format: Annotated[ExportFormat, typer.Option(help="parquet and word2vec hold vectors; faiss is a search index.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; an earlier export is replaced.")],
    as_json: AsJson = False,
) -> None:
    """Write a bundle's vectors for other tools: Parquet tables, word2vec text, or a faiss index.

    Example: `prismrec export bundle --format faiss -o index`
    """
    from prismrec.retrieval.bundle import Bundle
    from prismrec.retrieval.export import export as write

    folder = write(Bundle.open(bundle), output, format.value)
    files = sorted(file.name for file in folder.iterdir())
    if as_json:
        emit({"folder": folder, "format": format.value, "files": files})
    else:
        show(f"{folder}: {', '.join(files)}")


def answer_rows(answers: Recommendations) -> list[dict[str, Any]]:
    """The answers for --json, best first."""
    rows: list[dict[str, Any]] = [{"item_id": a.item_id, "score": a.score, "columns": a.columns} for a in answers]
    for row, answer in zip(rows, answers, strict=True):
        if answer.explanation is not None:
            row["explanation"] = asdict(answer.explanation)
    return rows


def answer_table(answers: Recommendations, title: str | None = None) -> Table:
    """The answers as a table: place, id, score, and as much of the item table as the width allows."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    ids = [str(answer.item_id) for answer in answers]
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("item", no_wrap=True, min_width=max(map(len, ids), default=0))  # an id cut short is no id
    table.add_column("score", justify="right", no_wrap=True)
    columns = {name: [_cell(answer.columns[name]) for answer in answers] for name in _columns(answers)}
    room = width() - max(map(len, ids), default=0) - 20
    for name, cells in list(columns.items()):
        wide = min(WIDEST, max(map(len, [name, *cells])))
        room -= wide + 2
        if room < 0:
            del columns[name]
            continue
        table.add_column(Text(name), overflow="ellipsis", no_wrap=True, max_width=wide)
    for place, answer in enumerate(answers):
        sides = [Text(cells[place]) for cells in columns.values()]
        table.add_row(str(place + 1), Text(ids[place]), f"{answer.score:.3f}", *sides)
    return table


def _show_report(answers: Recommendations) -> None:
    """What diversity gave and took."""
    if answers.report is not None:
        gained = ", ".join(f"{view} {before} -> {after}" for view, (before, after) in answers.report.distinct.items())
        show(f"relevance kept {answers.report.relevance_kept:.0%}; distinct values: {gained or 'no views'}")


def _reason(explanation: Explanation | None) -> str:
    """The parts of a score on one line."""
    if explanation is None:
        return ""
    parts = {**explanation.views, "popularity": explanation.popularity, "repeat": explanation.repeat}
    shares = ", ".join(f"{name} {share:+.2f}" for name, share in parts.items() if share)
    history = ", ".join(f"{item_id} {share:+.2f}" for item_id, share in explanation.history)
    return f"{shares} (history: {history})" if history else shares


def _columns(answers: Recommendations) -> list[str]:
    return list(answers[0].columns) if len(answers) else []


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


__all__ = ["ExportFormat", "Likeness", "answer_rows", "answer_table", "export", "recommend", "similar"]
