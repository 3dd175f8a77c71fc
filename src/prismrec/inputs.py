"""What the settings name, read: the click log and the item table, or an edge list, as tables and as training data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from prismrec.data.preparation import USERS, prepare
from prismrec.data.prepared import PreparedData
from prismrec.data.quarantine import write_quarantine
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.schema import Interactions, ItemTable
from prismrec.data.sessions import clean
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.graphs.edge_list import read_edge_list
from prismrec.graphs.prepared_graph import prepare_graph
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import DataSettings, Settings


def read_tables(
    settings: Settings, interactions: Any = None, items: Any = None
) -> tuple[Interactions, ItemTable | None]:
    """Read both tables and clean the log: short clicks and repeats gone, sessions numbered.

    Raises:
        ConfigError, DataError: as for `open_tables`.
    """
    log, table = open_tables(settings, interactions, items)
    return clean(log, settings.sessions), table


def open_tables(
    settings: Settings, interactions: Any = None, items: Any = None
) -> tuple[Interactions, ItemTable | None]:
    """Read both tables, bad rows set aside and nothing else changed.

    Raises:
        ConfigError: no log is named.
        DataError: a table is not usable; see `data.reading`.
    """
    data = settings.data
    source = interactions if interactions is not None else data.interactions
    if isinstance(source, str) and not source:
        raise ConfigError("there is no click log: set data.interactions in the settings, or pass a table")
    log = read_interactions(source, data.columns, timestamp_unit=data.timestamp_unit, max_bad_share=data.max_bad_share)
    item_source = items if items is not None else data.items
    return log, _open_items(data, item_source, log.table.get_backend())


def _open_items(data: DataSettings, source: Any, connection: Any = None) -> ItemTable | None:
    """The item table, or None where the settings name none."""
    if isinstance(source, str) and not source:
        return None
    key = data.item_column or data.columns.item
    return read_items(source, key, max_bad_share=data.max_bad_share, connection=connection)


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
    return replace(data, quarantine={name: rows for name, rows in aside.items() if rows is not None})


def prepare_log(
    log: Interactions, items: ItemTable | None, settings: Settings, start: Bundle | None = None
) -> PreparedData:
    """Training data from a clean log, on the vocabularies of `start` where given."""
    base: dict[str, Vocabulary] | None = None
    if start is not None:
        base = {name: v for name, v in start.contents.vocabularies.items() if name != USERS}
    return prepare(log, items, settings.views, settings.sessions, base=base)


def reading_notes(log: Interactions, items: ItemTable | None) -> list[str]:
    """What was read, in words: how many rows, in which unit of time, and what was set aside and why."""
    told = [f"read {log.notes['rows']:,} rows from {log.notes['source']}; {log.notes['timestamps']}"]
    for name, table in (("interactions", log), ("items", items)):
        if table is not None and table.quarantined is not None:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in table.notes["bad_by_reason"].items())
            told.append(f"{name}: {table.notes['bad_rows']:,} rows set aside: {reasons}")
    return told


def keep_quarantine(log: Interactions, items: ItemTable | None, folder: Path) -> list[str]:
    """Write the rows that reading set aside into `folder`; returns `reading_notes`, and where the rows are."""
    told = reading_notes(log, items)
    for name, table in (("interactions", log), ("items", items)):
        if table is not None and table.quarantined is not None:
            path = folder / f"{name}.parquet"
            write_quarantine(table.quarantined, path)
            told.append(f"{name}: the rows set aside are in {path}")
    return told


__all__ = ["keep_quarantine", "open_tables", "prepare_edges", "prepare_log", "read_tables", "reading_notes"]
