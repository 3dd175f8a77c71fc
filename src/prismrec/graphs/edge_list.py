"""Graphs that exist already: an edge list, with or without a header, as a vocabulary of nodes and a `ViewGraph`.

For users who have a graph and no logs. Ids stay what they are, as in `data/reading.py`: in text, a column pair of whole
numbers becomes integers only if every value comes back exactly. Parallel edges add up. Rows that are no edge are set
aside with their reason, counted, and more than a set share of them is an error; edges from a node to itself lead no
walk anywhere and are left out, counted in the notes.

Memory: the two id columns at once, then 16 bytes per edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv
from pydantic import Field

from prismrec.config import Section
from prismrec.data import engine
from prismrec.data.encoding import as_ids, storable
from prismrec.data.quarantine import split
from prismrec.data.sources import PLACE, InputFile, Source, open_source
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.views import ViewGraph

_SOURCE, _TARGET, _WEIGHT, _LINE = "source", "target", "weight", "line"
_NEVER_IN_TEXT = "\x01"


class EdgeListSettings(Section):
    """Which columns are what, and whether an edge goes both ways."""

    source: str = Field(default="", description="column of the node an edge starts from; empty = text without a header")
    target: str = Field(default="", description="column of the node an edge leads to; empty = text without a header")
    weight: str = Field(
        default="", description="column of the weight; empty = every edge weighs 1 (third field if no header)"
    )
    symmetric: bool = Field(default=False, description="add the reverse of every edge")
    max_bad_share: float = Field(default=0.05, ge=0, le=1, description="share of bad rows up to which the run goes on")


HEADERLESS = EdgeListSettings()
"""Text lines of source, target and perhaps a weight."""


@dataclass(frozen=True, eq=False)
class EdgeList:
    """A graph with the ids of its nodes.

    Attributes:
        nodes: by falling number of edges at the node, ties by id; the counts are those numbers.
        graph: over the indices of `nodes`.
        quarantined: Ibis table of the rows set aside: reason, file, source_row, row; None if there are none.
        notes: source, rows, bad_rows, bad_by_reason, self_loops.
    """

    nodes: Vocabulary
    graph: ViewGraph
    quarantined: Any
    notes: dict[str, Any]


@dataclass(frozen=True)
class _Edges:
    """Where an open input has its edges.

    Attributes:
        source: text or ids.
        target: text or ids.
        weight: text or numbers; None where every edge weighs 1.
    """

    source: Any
    target: Any
    weight: Any


def read_edge_list(source: Any, settings: EdgeListSettings = HEADERLESS, *, connection: Any = None) -> EdgeList:
    """Read a graph.

    Args:
        source: with named columns, anything `data.sources.open_source` opens (Parquet, CSV, "duckdb:///file.db::table",
            tables in memory). Without, the path of a text file of lines `source target [weight]`, separated by blanks,
            tabs, commas or semicolons; lines that begin with # are comments.
        settings: columns and direction.
        connection: the engine to read with.

    Raises:
        ConfigError: only one of the two columns is named.
        DataError: nothing to read, a column is missing, ids are no ids, too many rows are bad, or no edge is left.
    """
    if bool(settings.source) != bool(settings.target):
        raise ConfigError(
            f"an edge list needs both columns or neither, got source {settings.source!r} and target {settings.target!r}"
        )
    backend = connection if connection is not None else engine.connect()
    opened = _open_columns(source, settings, backend) if settings.source else _open_lines(source, backend)
    parted = split(opened, _reasons(opened, settings), settings.max_bad_share)
    edges = _edges(parted.good, settings)
    weight = ibis.literal(1.0) if edges.weight is None else _number(edges.weight)
    table = parted.good.select(**{_SOURCE: edges.source, _TARGET: edges.target, _WEIGHT: weight})
    table = _whole_numbers(table) if opened.is_text else table
    notes = {"source": opened.name, "rows": parted.n_rows, "bad_rows": parted.n_bad, "bad_by_reason": parted.by_reason}
    return _indexed(table, settings.symmetric, parted.bad, notes)


def _open_columns(source: Any, settings: EdgeListSettings, backend: Any) -> Source:
    opened = open_source(source, backend)
    opened.require([c for c in (settings.source, settings.target, settings.weight) if c])
    for column in (settings.source, settings.target):
        kind = opened.table[column].type()
        if not (kind.is_integer() or kind.is_string() or kind.is_uuid()):
            raise DataError(
                f"{opened.name}: column {column!r} has type {kind}, which is no id: cast it to integers or text"
            )
    kinds = [opened.table[c].type() for c in (settings.source, settings.target)]
    if kinds[0].is_integer() != kinds[1].is_integer() or kinds[0].is_string() != kinds[1].is_string():
        raise DataError(f"{opened.name}: the two ends of an edge have different types, {kinds[0]} and {kinds[1]}")
    return opened


def _open_lines(source: Any, backend: Any) -> Source:
    """A text file as one column of lines; a row's place is its line number. Blank lines and comments are no rows."""
    if not isinstance(source, str | Path):
        raise ConfigError(f"name the source and target columns to read edges from a {type(source).__name__}")
    try:
        lines = csv.read_csv(
            str(source),
            csv.ReadOptions(column_names=[_LINE]),
            csv.ParseOptions(delimiter=_NEVER_IN_TEXT, quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types={_LINE: pa.string()}, strings_can_be_null=False),
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"cannot read {source} as lines of an edge list: {error}") from error
    places = pa.array(np.arange(1, lines.num_rows + 1, dtype=np.int64))
    text = pc.utf8_trim_whitespace(lines[_LINE])
    rows = pa.table({_LINE: text, PLACE: places}).filter(
        pc.invert(pc.or_(pc.equal(text, ""), pc.starts_with(text, "#")))
    )
    return Source(str(source), engine.register(backend, rows), (InputFile(str(source), 1),), is_text=True)


def _edges(table: Any, settings: EdgeListSettings) -> _Edges:
    if settings.source:
        weight = table[settings.weight] if settings.weight else None
        return _Edges(table[settings.source], table[settings.target], weight)
    fields = table[_LINE].re_replace(r"[\s,;]+", " ").split(" ")
    return _Edges(fields[0], fields[1], ibis.ifelse(fields.length() > 2, fields[2], "1"))


def _number(weight: Any) -> Any:
    return weight.try_cast("float64") if weight.type().is_string() else weight.cast("float64")


def _reasons(opened: Source, settings: EdgeListSettings) -> list[tuple[Any, str]]:
    """Why a row is no edge, the first reason first."""
    edges = _edges(opened.table, settings)
    reasons = []
    if not settings.source:
        n_fields = opened.table[_LINE].re_replace(r"[\s,;]+", " ").split(" ").length()
        reasons.append(((n_fields < 2) | (n_fields > 3), "expected source, target and perhaps a weight"))
    for end, name in ((edges.source, "source"), (edges.target, "target")):
        missing = end.isnull() | (end == "") if end.type().is_string() else end.isnull()
        reasons.append((missing, f"missing {name}"))
    if edges.weight is not None:
        number = _number(edges.weight)
        reasons.append((number.isnull() | number.isnan() | number.isinf(), "unparsable weight"))
        reasons.append((number <= 0, "weight not above 0"))
    return reasons


def _whole_numbers(table: Any) -> Any:
    """Both ends as integers if every one of them prints as it came ("007" does not), else as text."""
    exact = [(table[c].try_cast("int64").cast("string") == table[c]).fill_null(False) for c in (_SOURCE, _TARGET)]
    if not engine.one_row(table.aggregate(whole=(exact[0] & exact[1]).all()))["whole"]:
        return table
    return table.mutate(**{c: table[c].try_cast("int64") for c in (_SOURCE, _TARGET)})


def _indexed(table: Any, symmetric: bool, quarantined: Any, notes: dict[str, Any]) -> EdgeList:
    """Ids to indices, edges to a graph; edges from a node to itself are counted and left out."""
    rows = engine.arrow(table.select(storable(table[_SOURCE]), storable(table[_TARGET]), table[_WEIGHT]))
    ends = as_ids(pa.chunked_array([*rows.column(0).chunks, *rows.column(1).chunks]))
    coded = pc.dictionary_encode(ends)
    sources, targets = np.split(np.asarray(coded.indices), 2)
    is_edge = sources != targets
    if not is_edge.any():
        raise DataError(
            f"{notes['source']} has no edge between two nodes: {len(is_edge)} rows lead from a node to itself"
        )
    sources, targets, weights = sources[is_edge], targets[is_edge], rows[_WEIGHT].to_numpy()[is_edge]
    degrees = np.bincount(np.concatenate([sources, targets]), minlength=len(coded.dictionary))
    order, place = _by_falling_degree(coded.dictionary, degrees)
    nodes = Vocabulary.from_ids(coded.dictionary.take(pa.array(order)), degrees[order])
    graph = ViewGraph.from_edges(place[sources], place[targets], weights, (len(order), len(order)), symmetric=symmetric)
    return EdgeList(nodes, graph, quarantined, {**notes, "self_loops": int((~is_edge).sum())})


def _by_falling_degree(ids: pa.Array, degrees: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The codes that have an edge in their new order, and the new place of each code."""
    by_id = np.asarray(pc.sort_indices(ids)).astype(np.int64)
    order = by_id[np.argsort(-degrees[by_id], kind="stable")]
    order = order[degrees[order] > 0]
    place = np.full(len(ids), -1, np.int64)
    place[order] = np.arange(len(order))
    return order, place


__all__ = ["HEADERLESS", "EdgeList", "EdgeListSettings", "read_edge_list"]
