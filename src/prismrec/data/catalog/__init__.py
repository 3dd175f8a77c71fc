"""Public data sets that PrismRec can read: what they are, under which terms, and how they become its own tables.

    get("movielens-1m", Path("ml"))                                  # downloads, where there is a network
    get("movielens-1m", Path("ml"), from_path=Path("ml-1m.zip"))     # imports what is at hand

`get` writes `clicks.parquet`, `items.parquet` (`users.parquet` where the source knows its users, `user_links.parquet`
where it knows who belongs together, `triples.tsv` and the like where it is or has a knowledge graph), a ready
`prismrec.toml`, and `SOURCE.md` with the terms and what was left out.
"""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from prismrec.data.bundled import bundled_paths
from prismrec.data.catalog.dataset import DataSet, Download, Tables
from prismrec.data.catalog.fetch import fetch, unpack
from prismrec.data.catalog.table import DATA_SETS
from prismrec.errors import DataError
from prismrec.files import whole_folder


@dataclass(frozen=True)
class ImportedData:
    """What `get` wrote: the folder, the settings file in it, and how much came in."""

    folder: Path
    settings: Path
    n_clicks: int
    n_items: int
    n_triples: int
    notes: tuple[str, ...]


def available() -> list[DataSet]:
    """All data sets of the catalog, those that may be passed on first."""
    return list(DATA_SETS)


def find(name: str) -> DataSet:
    """The data set of this name.

    Raises:
        DataError: there is none; names the nearest one.
    """
    names = [data_set.name for data_set in DATA_SETS]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise DataError(f"unknown data set {name!r}; {hint}")
    return DATA_SETS[names.index(name)]


def get(name: str, folder: Path, from_path: Path | None = None) -> ImportedData:
    """Write a public data set into `folder`, whole or not at all.

    Args:
        name: as in the catalog.
        folder: new, empty, or holding an earlier import, which is replaced.
        from_path: a folder or zip archive with the files at hand; without it they are downloaded.

    Raises:
        DataError: unknown name, no network, missing or damaged files, or a folder that holds something else.
    """
    data_set = find(name)
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / "SOURCE.md").is_file())):
        raise DataError(f"{folder} holds something other than an earlier import; name a new folder")
    with tempfile.TemporaryDirectory() as temporary:
        tables = _read(data_set, _collect(data_set, from_path, Path(temporary)))
    with whole_folder(folder) as partial:
        _write(data_set, tables, partial)
    n_clicks, n_items, n_triples = (0 if table is None else table.num_rows for table in _counted(tables))
    return ImportedData(folder, folder / "prismrec.toml", n_clicks, n_items, n_triples, tables.notes)


def _counted(tables: Tables) -> tuple[pa.Table | None, pa.Table | None, pa.Table | None]:
    return tables.clicks, tables.items, tables.knowledge.get("triples")


def _collect(data_set: DataSet, from_path: Path | None, temporary: Path) -> Path:
    """A folder that holds the source files."""
    if from_path is not None:
        if from_path.is_dir():
            return from_path
        if not from_path.is_file():
            raise DataError(f"--from {from_path}: there is no such folder or file")
        unpack(from_path, temporary, data_set.files)
        return temporary
    if data_set.bundled:
        return bundled_paths().clicks.parent
    for download in data_set.downloads:
        path = fetch(download, temporary)
        if path.suffix == ".zip":
            unpack(path, temporary, data_set.files)
    return temporary


def _read(data_set: DataSet, source: Path) -> Tables:
    try:
        return data_set.read(source)
    except DataError:
        raise
    except (OSError, ValueError, LookupError, duckdb.Error, pa.ArrowException) as error:
        raise DataError(f"the files in {source} are not those of {data_set.name}: {error!r}") from error


def _write(data_set: DataSet, tables: Tables, folder: Path) -> None:
    for name, table in {"clicks": tables.clicks, "items": tables.items, **_optional(tables)}.items():
        if table is not None:
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    for name, table in tables.knowledge.items():
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        (folder / f"{name}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "prismrec.toml").write_text(settings_text(data_set, tables), encoding="utf-8")
    (folder / "SOURCE.md").write_text(_source_text(data_set, tables), encoding="utf-8")


def _optional(tables: Tables) -> dict[str, pa.Table]:
    """The tables that not every source has, by the name of their file, which is that of their setting."""
    found = {"users": tables.users, "user_links": tables.user_links}
    return {name: table for name, table in found.items() if table is not None}


def settings_text(data_set: DataSet, tables: Tables) -> str:
    """The settings file of an import; views whose column the source lacked are left out."""
    sections = [*_table_sections(data_set, tables), *data_set.settings.items()]
    if tables.knowledge:
        sections.append(("knowledge", {name: f"{name}.tsv" for name in tables.knowledge}))
    relations = {name: relation for name, relation in data_set.relations.items() if _has(tables.items, relation)}
    if relations:
        sections.append(("knowledge.relations", relations))
    parts = [_section(name, values) for name, values in sections]
    return f"# {data_set.name}: {data_set.content}\n\n" + "\n".join(parts)


def _table_sections(data_set: DataSet, tables: Tables) -> list[tuple[str, Mapping[str, Any]]]:
    """Where log and tables lie and what their columns are; nothing of a knowledge graph alone."""
    if tables.clicks is None:
        return []
    columns = data_set.columns.model_dump(exclude_defaults=True)
    views = {view: column for view, column in data_set.views.items() if _has(tables.items, column)}
    user_views = data_set.user_views if tables.users is not None else {}
    named = {name: f"{name}.parquet" for name in _optional(tables) if name != "users" or user_views}
    data = {"interactions": "clicks.parquet", "items": "items.parquet", **named, "timestamp_unit": data_set.time_unit}
    if data_set.time_unit == "auto":
        del data["timestamp_unit"]
    sections: list[tuple[str, Mapping[str, Any]]] = [("data", data), ("data.columns", columns), ("views", views)]
    return [*sections, ("user_views", user_views)] if user_views else sections


def _has(items: pa.Table | None, source: str | Mapping[str, Any]) -> bool:
    """Whether the item table has the column of a view or relation."""
    column = source if isinstance(source, str) else source["column"]
    return items is not None and column in items.column_names


def _section(name: str, values: Mapping[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def _source_text(data_set: DataSet, tables: Tables) -> str:
    passing_on = "may be passed on under its licence" if data_set.may_ship else "may NOT be passed on"
    notes = "".join(f"- {note}\n" for note in tables.notes)
    return (
        f"# {data_set.name}\n\n{data_set.content}.\n\nSource: <{data_set.page}>\nLicence: {data_set.licence}.\n"
        f"This copy {passing_on}.\n\n{notes}"
    )


__all__ = ["DATA_SETS", "DataSet", "Download", "ImportedData", "Tables", "available", "find", "get", "settings_text"]
