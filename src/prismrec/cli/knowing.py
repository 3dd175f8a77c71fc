"""`prismrec knowledge`: what the knowledge graph of a settings file is, before any model learns from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from prismrec.cli.options import AsJson, ConfigFile, Overrides
from prismrec.cli.terminal import as_json as json_text
from prismrec.cli.terminal import busy, emit, say, show

if TYPE_CHECKING:
    from prismrec.graphs.knowledge import GraphStatistics
    from prismrec.inputs import KnownGraph

_SHOWN = 12
"""Relations that are listed; the others are counted."""

_REPORT = "report.json"


def knowledge(
    config: ConfigFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write the graph as text files, and the rows set aside."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many of the most connected entities to name.", min=0)] = 10,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """See what a knowledge graph is: entities, relations, which items it knows, what could not be read.

    Example: `prismrec knowledge shop.toml`
    """
    from prismrec.graphs.knowledge import statistics
    from prismrec.inputs import read_graph
    from prismrec.settings import read_settings

    settings = read_settings(config, overrides or ())
    with busy("reading the knowledge graph"):
        found = read_graph(settings)
        counts = statistics(found.knowledge, top)
    if output is not None:
        _write(found, output)
        say(f"graph written: {output}")
    if as_json:
        emit({**dataclasses.asdict(counts), "report": found.report})
        return
    show("\n".join(_summary(counts, found.report)))
    show(_relations(counts))
    if counts.most_connected:
        show(_most_connected(counts))
    show(f"Next: prismrec evaluate {config}")


def _summary(counts: GraphStatistics, report: Mapping[str, Any]) -> Iterator[str]:
    """The graph in a few lines."""
    yield (
        f"{counts.triples:,} triples between {counts.entities:,} entities in {counts.n_relations:,} relations; "
        f"an entity has {counts.median_degree:g} at the median, {counts.maximum_degree:,} at most"
    )
    yield (
        f"{counts.components:,} parts that nothing joins, the largest with {counts.largest_component:.1%}; "
        f"{counts.sinks:,} entities lead nowhere"
    )
    if counts.items:
        yield (
            f"{counts.linked_items:,} of {counts.items:,} items are in the graph, {counts.items_without_triples:,} of "
            "these without a triple"
        )
    for setting in ("valid_triples", "test_triples"):
        if setting in report:
            yield f"{setting.replace('_', ' ')}: {report[setting]:,}"
    told = ("repeated_triples", "rare_entities", "links_of_other_items", "literals_left_out")
    notes = {name: report[name] for name in told if report.get(name)}
    if notes:
        yield "left out: " + ", ".join(
            f"{n:,} {name.removesuffix('_left_out').replace('_', ' ')}" for name, n in notes.items()
        )
    if report["bad_rows"]:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in report["bad_by_reason"].items())
        yield f"set aside: {report['bad_rows']:,} of {report['rows']:,} rows: {reasons}"
    if report.get("control", "none") != "none":
        yield f"control: {report['control']}: this is not what the files say, but what a model is compared with"


def _relations(counts: GraphStatistics) -> Table:
    table = Table("relation", "triples", "heads", "tails")
    for relation in counts.relations[:_SHOWN]:
        table.add_row(relation.name, *(f"{n:,}" for n in (relation.triples, relation.heads, relation.tails)))
    others = counts.relations[_SHOWN:]
    if others:
        table.add_row(f"{len(others):,} others", f"{sum(r.triples for r in others):,}", "", "")
    return table


def _most_connected(counts: GraphStatistics) -> Table:
    table = Table("most connected", "id", "triples", "items")
    for entity in counts.most_connected:
        table.add_row(entity.label, entity.entity, f"{entity.triples:,}", f"{entity.items:,}")
    return table


def _write(found: KnownGraph, folder: Path) -> None:
    """The graph as text files, its report, and the rows set aside; whole or not at all."""
    import pyarrow.parquet as pq

    from prismrec.data.knowledge.export import export_knowledge
    from prismrec.errors import ArtifactError
    from prismrec.files import whole_folder

    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / _REPORT).is_file())):
        raise ArtifactError(f"{folder} holds something other than an earlier graph; name a new folder")
    with whole_folder(folder) as place:
        export_knowledge(found.knowledge, found.items, place)
        if found.quarantine is not None:
            pq.write_table(found.quarantine, place / "quarantine.parquet")
        (place / _REPORT).write_text(json_text(found.report) + "\n", encoding="utf-8")


__all__ = ["knowledge"]
