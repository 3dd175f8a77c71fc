"""What a sharded preparation is asked for, and what it reads, both before anything is read."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from prismrec.config import Section
from prismrec.data.item_tables import aligned, without_unknown
from prismrec.data.schema import Interactions, ItemTable
from prismrec.data.sessions import DEFAULTS, SessionSettings
from prismrec.data.sharded.vocabularies import digest_of
from prismrec.data.sources import files_of
from prismrec.data.training_data import SequenceKind
from prismrec.data.views import ViewSettings
from prismrec.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class ShardJob:
    """What to make.

    Attributes:
        folder: where it goes; the stages lie beside it until it is there.
        shards: files per table.
        sequences: what a row is: a session, or a user's whole history.
        sessions: thresholds.
        views: side views, in order.
        base: older vocabularies by view name, "item" and "user", whose ids keep their index.
        keep_stages: leave the stages where they are.
    """

    folder: Path
    shards: int
    sequences: SequenceKind = "sessions"
    sessions: SessionSettings = DEFAULTS
    views: Mapping[str, ViewSettings] = field(default_factory=dict)
    base: Mapping[str, Vocabulary] = field(default_factory=dict)
    keep_stages: bool = False

    @property
    def stages_folder(self) -> Path:
        """Where the stages lie."""
        return self.folder.with_name(self.folder.name + ".stages")

    @cached_property
    def base_digests(self) -> dict[str, str]:
        """A digest of each older vocabulary."""
        return {name: digest_of(vocabulary) for name, vocabulary in self.base.items()}

    def parts(self) -> dict[str, Any]:
        """All settings, fit for JSON."""
        return {
            "shards": self.shards,
            "sequences": self.sequences,
            "sessions": self.sessions.model_dump(mode="json"),
            "views": [[name, view.model_dump(mode="json")] for name, view in self.views.items()],
            "base": self.base_digests,
        }


@dataclass(frozen=True)
class Tables:
    """The tables to read, unread: a run that finds its stages whole never opens them.

    Attributes:
        open: reads both; the item table is None where there is none.
        interactions: identity of the log, as `file_identity` gives it.
        items: identity of the item table; empty where there is none.
    """

    open: Callable[[], tuple[Interactions, ItemTable | None]]
    interactions: str
    items: str = ""

    def parts(self) -> dict[str, str]:
        """Both identities."""
        return {"interactions": self.interactions, "items": self.items}


class OpenTables:
    """The tables once they are read: ids of one type, clicks on unknown items counted and set aside as configured."""

    def __init__(self, tables: Tables, settings: SessionSettings) -> None:
        """Nothing is read until it is asked for."""
        self._tables, self._settings = tables, settings

    @cached_property
    def _both(self) -> tuple[Interactions, ItemTable | None, dict[str, int]]:
        log, items = self._tables.open()
        if items is None:
            return log, None, {"interactions": 0, "items": 0}
        items = aligned(items, log)
        log, unknown = without_unknown(log, items, self._settings)
        return log, items, unknown

    @property
    def log(self) -> Interactions:
        """The log."""
        return self._both[0]

    @property
    def items(self) -> ItemTable | None:
        """The item table."""
        return self._both[1]

    @property
    def unknown(self) -> dict[str, int]:
        """Interactions on items that the item table lacks."""
        return self._both[2]

    @property
    def quarantined(self) -> dict[str, Any]:
        """Lazy tables of the rows set aside."""
        tables = {"interactions": self.log.quarantined, "items": self.items.quarantined if self.items else None}
        return {name: table for name, table in tables.items() if table is not None}


def file_identity(source: str, settings: Section) -> str:
    """An identity of files and how they are read: another one when a file's size or time or a setting changes.

    Of a database, or a table in memory, nobody can tell whether it changed: it is new every time.

    Raises:
        DataError: there are no such files.
    """
    if "://" in source:
        return f"unknown {uuid.uuid4().hex}"
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files_of(source)]
    text = json.dumps([files, settings.model_dump(mode="json", exclude={"name"})])
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["OpenTables", "ShardJob", "Tables", "file_identity"]
