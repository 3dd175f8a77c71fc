"""What the settings name, read: the log and the tables of items and users, or an edge list, and as training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from prismrec.data import engine
from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.knowledge.reading import FoundKnowledge, read_knowledge, read_link_data
from prismrec.data.knowledge.settings import KnowledgeSettings
from prismrec.data.preparation import prepare, set_aside
from prismrec.data.prepared import PreparedData
from prismrec.data.quarantine import write_quarantine
from prismrec.data.reading import read_interactions, read_items, read_user_links, read_users
from prismrec.data.schema import USERS, Interactions, ItemTable, UserLinks, UserTable
from prismrec.data.sessions import clean
from prismrec.data.sharded.job import ShardJob, Tables, file_identity
from prismrec.data.sharded.layout import ShardManifest, is_sharded
from prismrec.data.sharded.preparation import prepare_sharded
from prismrec.data.sources import files_of
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.graphs.edge_list import read_edge_list
from prismrec.graphs.knowledge import controlled, with_inverses
from prismrec.graphs.prepared_graph import prepare_graph
from prismrec.preflight import preparation_needs, require, rows_of
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import DataSettings, Settings


@dataclass(frozen=True, eq=False)
class KnownGraph:
    """A knowledge graph on its own, to look at.

    Attributes:
        knowledge: the graph; which entity each item is, none where there is no log.
        items: the items that are meant.
        report: counts, fit for JSON.
        quarantine: rows set aside; None where there are none.
    """

    knowledge: ItemKnowledge
    items: Vocabulary
    report: Mapping[str, Any]
    quarantine: pa.Table | None


def read_tables(
    settings: Settings, interactions: Any = None, items: Any = None, users: Any = None, user_links: Any = None
) -> tuple[Interactions, ItemTable | None]:
    """Read the tables and clean the log: short clicks and repeats gone, sessions numbered.

    Raises:
        ConfigError, DataError: as for `open_tables`.
    """
    log, table = open_tables(settings, interactions, items, users, user_links)
    return clean(log, settings.sessions), table


def connect_engine(settings: Settings) -> Any:
    """A connection to the engine that the settings choose, with what it may use.

    Raises:
        ConfigError: Spark cannot be had with these settings.
        MissingExtraError: Spark or Java is not installed.
    """
    return engine.open_engine(settings.engine, settings.duckdb, settings.spark)


def _engine_for(source: Any, settings: Settings) -> Any:
    """The engine that the settings choose; a table of DuckDB stays on its own where that is DuckDB."""
    return None if settings.engine == "duckdb" and isinstance(source, ibis.Table) else connect_engine(settings)


def open_tables(
    settings: Settings,
    interactions: Any = None,
    items: Any = None,
    users: Any = None,
    user_links: Any = None,
    *,
    connection: Any = None,
) -> tuple[Interactions, ItemTable | None]:
    """Read the tables, bad rows set aside and nothing else changed.

    Args:
        interactions, items, users, user_links: tables at hand instead of those in the settings.
        connection: the engine to read with, as `connect_engine` gives it; a new one unless given.

    Returns:
        the log, with the tables of users and links where there are any, and the item table.

    Raises:
        ConfigError: no log is named.
        DataError: a table is not usable; see `data.reading`.
    """
    data = settings.data
    source = interactions if interactions is not None else data.interactions
    if isinstance(source, str) and not source:
        raise ConfigError("there is no click log: set data.interactions in the settings, or pass a table")
    log = read_interactions(
        source,
        data.columns,
        timestamp_unit=data.timestamp_unit,
        max_bad_share=data.max_bad_share,
        connection=_engine_for(source, settings) if connection is None else connection,
    )
    backend = log.table.get_backend()
    log = replace(
        log,
        users=_open_users(data, data.users if users is None else users, backend),
        user_links=_open_links(data, data.user_links if user_links is None else user_links, backend),
    )
    return log, _open_items(data, data.items if items is None else items, backend)


def _open_items(data: DataSettings, source: Any, connection: Any = None) -> ItemTable | None:
    """The item table, or None where the settings name none."""
    if isinstance(source, str) and not source:
        return None
    key = data.item_column or data.columns.item
    return read_items(source, key, max_bad_share=data.max_bad_share, connection=connection)


def _open_users(data: DataSettings, source: Any, connection: Any) -> UserTable | None:
    """The user table, or None where the settings name none."""
    if isinstance(source, str) and not source:
        return None
    key = data.user_column or data.columns.user
    return read_users(source, key, max_bad_share=data.max_bad_share, connection=connection)


def _open_links(data: DataSettings, source: Any, connection: Any) -> UserLinks | None:
    """The links of users, or None where the settings name none."""
    if isinstance(source, str) and not source:
        return None
    return read_user_links(source, max_bad_share=data.max_bad_share, connection=connection)


def prepare_edges(source: str | Path, settings: Settings) -> PreparedData:
    """Training data from an edge list, for those who have a graph and no log: random walks take the place of sessions.

    Raises:
        ConfigError: views without an item table.
        DataError: the file is not an edge list, or a table is not usable.
    """
    edges = read_edge_list(str(source), settings.edges)
    table = _open_items(settings.data, settings.data.items)
    data = prepare_graph(edges, settings.walks, table, settings.views)
    aside = {"edges": edges.quarantined, "items": None if table is None else table.quarantined}
    data = replace(data, quarantine={name: rows for name, rows in aside.items() if rows is not None})
    return with_knowledge(data, settings)


def prepare_log(
    log: Interactions, items: ItemTable | None, settings: Settings, start: Bundle | None = None
) -> PreparedData:
    """Training data from a clean log and the knowledge of its items, on the vocabularies of `start` where given.

    Raises:
        ConfigError, DataError: as for `data.preparation.prepare` and `data.knowledge.reading.read_knowledge`.
    """
    data = prepare(
        log,
        items,
        settings.views,
        settings.sessions,
        base=_vocabularies(start),
        user_views=settings.user_views,
        ratings=settings.ratings,
    )
    return with_knowledge(data, settings)


def with_knowledge(data: PreparedData, settings: Settings) -> PreparedData:
    """The same training data with the knowledge graph that the settings name, under their control.

    The graph says nothing of clicks, so it is the same for training data and for all of it.

    Raises:
        ConfigError, DataError: as for `data.knowledge.reading.read_knowledge`.
    """
    if not settings.knowledge.is_given:
        return data
    found = _knowledge_of(data, settings)
    aside = {} if found.quarantine is None else {"knowledge": engine.register(engine.connect(), found.quarantine)}
    return replace(
        data,
        knowledge=found.knowledge,
        report={**data.report, "knowledge": found.report},
        quarantine={**data.quarantine, **aside},
    )


def read_graph(settings: Settings) -> KnownGraph:
    """The knowledge graph that the settings name, over the items of their log where they name one.

    Raises:
        ConfigError: they name no graph.
        ConfigError, DataError: as for `prepare_log`, `data.knowledge.reading.read_knowledge` and `read_link_data`.
    """
    if not settings.knowledge.is_given:
        raise ConfigError(
            "there is no knowledge graph: set knowledge.triples to a file of triples, or knowledge.relations to "
            "columns of the item table"
        )
    if settings.data.interactions:
        data = prepare_log(*read_tables(settings), _without_knowledge(settings))
        found = _knowledge_of(data, settings)
        return KnownGraph(found.knowledge, data.items, found.report, found.quarantine)
    links = read_link_data(settings.knowledge, max_bad_share=settings.data.max_bad_share)
    knowledge = _as_set(ItemKnowledge(links.graph, np.zeros(0, np.int64)), settings)
    report = {**links.report, "control": settings.knowledge.control}
    return KnownGraph(knowledge, Vocabulary.from_ids(pa.array([], pa.string())), report, links.quarantine)


def _knowledge_of(data: PreparedData, settings: Settings) -> FoundKnowledge:
    """The graph over the items of training data."""
    chosen = settings.knowledge
    found = read_knowledge(chosen, data.items, data.item_columns, max_bad_share=settings.data.max_bad_share)
    report = {**found.report, "control": chosen.control}
    return replace(found, knowledge=_as_set(found.knowledge, settings), report=report)


def _as_set(knowledge: ItemKnowledge, settings: Settings) -> ItemKnowledge:
    """The graph under the control of the settings, with inverses if they say so."""
    chosen = settings.knowledge
    known = controlled(knowledge, chosen.control, settings.training.seed)
    return replace(known, graph=with_inverses(known.graph)) if chosen.inverse else known


def _without_knowledge(settings: Settings) -> Settings:
    return settings.model_copy(update={"knowledge": KnowledgeSettings()})


def prepare_shards(
    settings: Settings,
    folder: Path,
    shards: int,
    *,
    start: Bundle | None = None,
    keep_stages: bool = False,
    tell: Callable[[str], None],
) -> ShardManifest:
    """Training data as a folder of Parquet shards, made stage by stage on the engine of the settings.

    A run that was killed goes on from the last whole stage when it is called again; a changed setting or input file
    does again what depends on it. Of a database nobody can tell whether it changed: it is read anew.

    Args:
        folder: where the shards go; the stages lie beside it, in `<folder>.stages`.
        shards: files per table; any number of trainers can read them.
        start: warm start: ids of this bundle keep their index.
        keep_stages: leave the stages where they are, for a run with other settings.
        tell: is told of every stage as it ends.

    Raises:
        ConfigError, DataError: as for `open_tables` and `prepare_log`.
        ArtifactError: `folder` holds something else, the disk is full, or another process works there.
        ResourceError: the disk is certain to become full.
    """
    data, backend = settings.data, connect_engine(settings)
    if not data.interactions:
        raise ConfigError("there is no click log: set data.interactions in the settings")
    job = ShardJob(
        folder, shards, settings.model.sequences, settings.sessions, settings.views, _vocabularies(start), keep_stages
    )
    for line in (*_disk_warnings(settings, job), *_left_out_of_shards(settings)):
        tell(line)
    tables = Tables(
        open=lambda: open_tables(_without_users(settings), connection=backend),
        interactions=file_identity(data.interactions, data),
        items=file_identity(data.items, data) if data.items else "",
    )
    return prepare_sharded(tables, backend, job, tell)


def _without_users(settings: Settings) -> Settings:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"users": "", "user_links": ""})})


def _left_out_of_shards(settings: Settings) -> list[str]:
    """What the settings name and shards do not hold."""
    names = {
        "the tables of users and their links": bool(settings.data.users or settings.data.user_links),
        "the knowledge graph": settings.knowledge.is_given,
        "dislikes": settings.sessions.min_rating > 0,
        "the bounds of ratings": settings.ratings.are_set,
    }
    left_out = " and ".join(name for name, is_given in names.items() if is_given)
    return [f"left out: {left_out}; shards hold what M2GRL and the baselines learn from"] if left_out else []


def _disk_warnings(settings: Settings, job: ShardJob) -> list[str]:
    """Pre-flight of the stages, where the rows of the log are known before it is read.

    A folder that is there already may be the very one that is asked for: then nothing is written.
    """
    source, stages = settings.data.interactions, job.stages_folder
    if is_sharded(job.folder):
        return []
    n_rows = 0 if "://" in source else rows_of(files_of(source))
    written = sum(path.stat().st_size for path in stages.rglob("*") if path.is_file())
    needs = preparation_needs(n_rows, 1 + len(job.views), written=written)
    return [finding.message for finding in require(needs, {"stages": stages})]


def _vocabularies(start: Bundle | None) -> dict[str, Vocabulary]:
    """The vocabularies of a bundle, whose ids keep their index; users have one only where its model knows users."""
    if start is None:
        return {}
    views = {name: vocabulary for name, vocabulary in start.contents.vocabularies.items() if name != USERS}
    users = start.contents.users
    return views if users is None else {**views, USERS: users}


def reading_notes(log: Interactions, items: ItemTable | None) -> list[str]:
    """What was read, in words: how many rows, in which unit of time, and what was set aside and why."""
    told = [f"read {log.notes['rows']:,} rows from {log.notes['source']}; {log.notes['timestamps']}"]
    for name, table in set_aside(log, items).items():
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in table.notes["bad_by_reason"].items())
        told.append(f"{name}: {table.notes['bad_rows']:,} rows set aside: {reasons}")
    return told


def keep_quarantine(log: Interactions, items: ItemTable | None, folder: Path) -> list[str]:
    """Write the rows that reading set aside into `folder`; returns `reading_notes`, and where the rows are."""
    told = reading_notes(log, items)
    for name, table in set_aside(log, items).items():
        path = folder / f"{name}.parquet"
        write_quarantine(table.quarantined, path)
        told.append(f"{name}: the rows set aside are in {path}")
    return told


__all__ = [
    "KnownGraph",
    "connect_engine",
    "keep_quarantine",
    "open_tables",
    "prepare_edges",
    "prepare_log",
    "prepare_shards",
    "read_graph",
    "read_tables",
    "reading_notes",
    "with_knowledge",
]
