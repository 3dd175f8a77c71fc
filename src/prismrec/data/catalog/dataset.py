"""What the catalog knows of a public data set, and what a reader of one hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from prismrec.data.schema import InteractionColumns
from prismrec.errors import DataError


@dataclass(frozen=True)
class Download:
    """One file at its official place.

    Attributes:
        url: where it lies.
        file_name: what it is called here.
        sha256: hex digest of the file; empty where none is published (then the address itself names a fixed version).
        n_bytes: its size; 0 where unknown.
    """

    url: str
    file_name: str
    sha256: str = ""
    n_bytes: int = 0


@dataclass(frozen=True)
class Tables:
    """A public data set in canonical form.

    Attributes:
        clicks: one row per interaction, by user and in time order; ids and times as in the source; none where the
            source is a knowledge graph alone.
        items: one row per item: its id, a `name` where the source has one, and side columns; lists where multi-valued.
        users: one row per user, where the source says something of them.
        notes: what was read and what was left out, one sentence each.
        user_links: two columns of user ids, where the source says who belongs together.
        knowledge: tables of text that the settings of `[knowledge]` name: triples of three columns, links of two.
    """

    clicks: Any = None
    items: Any = None
    users: Any = None
    notes: tuple[str, ...] = ()
    user_links: Any = None
    knowledge: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """One row of the catalog.

    Attributes:
        name: what a user types.
        content: what it is and how large.
        licence: under which terms it is published.
        may_ship: whether these terms allow passing it on.
        page: the official page.
        files: file names (or patterns) the reader looks for, as `--from` must hold them.
        read: makes the canonical tables from a folder with these files.
        columns: which column of `clicks` is what; of no account where there are none.
        views: view name to column of `items`; those whose column the import lacks are left out of the settings.
        user_views: user view to column of `users`, or to the settings of the view.
        relations: relation of the knowledge graph to column of `items`, or to the settings of the relation; those whose
            column the import lacks are left out.
        downloads: what `get` fetches; empty where the source offers nothing that can be read directly.
        time_unit: unit of the time column, as `read_interactions` knows them; "order" where there is no clock.
        settings: further sections of its settings file, chosen on validation data.
        bundled: whether a cut lies inside the package, used where nothing is named.
    """

    name: str
    content: str
    licence: str
    may_ship: bool
    page: str
    files: tuple[str, ...]
    read: Callable[[Path], Tables]
    columns: InteractionColumns
    views: Mapping[str, str] = field(default_factory=dict)
    user_views: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    relations: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    downloads: tuple[Download, ...] = ()
    time_unit: str = "auto"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bundled: bool = False


def find_file(folder: Path, *patterns: str) -> Path:
    """The first file under `folder` that matches one of the patterns, tried in order, the least deep first.

    Raises:
        DataError: there is none; says what was looked for.
    """
    found = find_optional(folder, *patterns)
    if found is None:
        raise DataError(f"no file named {' or '.join(patterns)} in {folder} or the folders in it")
    return found


def find_optional(folder: Path, *patterns: str) -> Path | None:
    """As `find_file`, and None where there is none."""
    for pattern in patterns:
        found = sorted(folder.rglob(pattern), key=lambda path: (len(path.parts), path))
        if found:
            return found[0]
    return None


__all__ = ["DataSet", "Download", "Tables", "find_file", "find_optional"]
