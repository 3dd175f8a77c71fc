"""What preparation leaves on disk and every model starts from: vocabularies, sequences per view, histories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prismrec import __version__
from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.knowledge.stored import load_knowledge, save_knowledge
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError
from prismrec.files import sha256, whole_folder

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, eq=False)
class View:
    """One view of the items: its nodes, and which of them each item has.

    Attributes:
        name: as configured, e.g. "category".
        nodes: the view's own vocabulary; counts are over the training sessions.
        item_nodes: one row per item index: the item's node indices (none, one or several).
        sessions: the item sessions mapped to this view, consecutive repeats collapsed.
    """

    name: str
    nodes: Vocabulary
    item_nodes: Sequences
    sessions: Sequences


@dataclass(frozen=True, eq=False)
class UserView:
    """What is known of the users beside their clicks, as nodes: ages, occupations, regions.

    Attributes:
        name: as configured, e.g. "age".
        nodes: the view's own vocabulary; counts are the training clicks of the users who have the node.
        user_nodes: one row per user index: the user's node indices (none, one or several).
    """

    name: str
    nodes: Vocabulary
    user_nodes: Sequences


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Training data with dense indices, all views over one item vocabulary.

    Attributes:
        items: every item seen in training, and items only in the item table at the end with count 0.
        sessions: item sessions: cut at gaps, consecutive repeats collapsed.
        users: whose history row i of `histories` is.
        histories: per user all items in time order, not cut into sessions, consecutive repeats collapsed.
        views: side views by name, in configured order; never holds "item".
        item_columns: the item table in the order of `items` (nulls where the table lacks an item); None without one.
        report: counts of what was read, dropped and quarantined, stage by stage.
        quarantine: lazy tables of the rows set aside, "interactions" and "items" among them, until `save_prepared`
            wrote them.
        user_views: views of the users by name, in configured order; no name is that of a view of the items.
        user_links: one row per user index: the users linked to them, ascending, in both rows; None where no table of
            links was given.
        knowledge: the knowledge graph, and which entity each item is; None where there is no graph.
        disliked: one row per user index: the items whose clicks say that they were not liked, and which are in no
            history; None where nothing says so.
    """

    items: Vocabulary
    sessions: Sequences
    users: Vocabulary
    histories: Sequences
    views: Mapping[str, View] = field(default_factory=dict)
    item_columns: pa.Table | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    quarantine: Mapping[str, Any] = field(default_factory=dict)
    user_views: Mapping[str, UserView] = field(default_factory=dict)
    user_links: Sequences | None = None
    knowledge: ItemKnowledge | None = None
    disliked: Sequences | None = None

    def nodes(self, view: str) -> Vocabulary:
        """The vocabulary of a view, the item view included."""
        return self.items if view == ITEM_VIEW else self.views[view].nodes

    def view_sessions(self, view: str) -> Sequences:
        """The sequences of a view, the item view included."""
        return self.sessions if view == ITEM_VIEW else self.views[view].sessions

    @property
    def view_names(self) -> tuple[str, ...]:
        """The item view first, then the side views in configured order."""
        return (ITEM_VIEW, *self.views)


def save_prepared(data: PreparedData, folder: str | Path) -> None:
    """Write everything into a folder that appears whole or not at all; the manifest with checksums is written last.

    On disk: `items.arrow`, `users.arrow`, `sessions.*.npy`, `histories.*.npy`, `item_columns.parquet`, for view i
    `views/i.*`, for user view i `user_views/i.*`, `user_links.*.npy`, `disliked.*.npy`, the knowledge graph in
    `knowledge/`, the rows set aside in `quarantine/*.parquet`, and `manifest.json`. What there is none of leaves no
    trace.

    Raises:
        ArtifactError: the folder holds something that is no prepared data, or cannot be written.
    """
    refuse_other_content(Path(folder))
    with whole_folder(Path(folder)) as place:
        data.items.save(place / "items.arrow")
        data.users.save(place / "users.arrow")
        data.sessions.save(place, "sessions")
        data.histories.save(place, "histories")
        (place / "views").mkdir()
        for number, view in enumerate(data.views.values()):
            _save_view(view, place / "views", number)
        _save_user_side(data, place)
        if data.disliked is not None:
            data.disliked.save(place, "disliked")
        if data.knowledge is not None:
            save_knowledge(data.knowledge, place / "knowledge")
        if data.item_columns is not None:
            pq.write_table(data.item_columns, place / "item_columns.parquet", compression="zstd")
        _save_quarantine(data, place / "quarantine")
        _write_manifest(data, place)


def refuse_other_content(folder: Path) -> None:
    """Refuse to replace anything but an empty folder or prepared data, sharded or not.

    Raises:
        ArtifactError: the folder holds other files, a bundle for one, which would be lost.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or "report" not in manifest:  # which the manifest of a bundle lacks
        raise ArtifactError(f"{folder} holds other files than prepared data and will not be replaced: choose a new one")


def load_prepared(folder: str | Path) -> PreparedData:
    """Open what `save_prepared` wrote; arrays are memory-mapped after one pass over the checksums.

    Raises:
        ArtifactError: the folder is missing, incomplete, damaged, or from a newer version.
    """
    place = Path(folder)
    manifest = _read_manifest(place)
    _check_files(place, manifest)
    names = manifest["views"]
    views = {name: _load_view(place / "views", number, name) for number, name in enumerate(names)}
    return PreparedData(
        items=Vocabulary.load(place / "items.arrow"),
        sessions=Sequences.load(place, "sessions"),
        users=Vocabulary.load(place / "users.arrow"),
        histories=Sequences.load(place, "histories"),
        views=views,
        item_columns=_load_columns(place / "item_columns.parquet") if manifest["item_columns"] else None,
        report=manifest["report"],
        user_views={
            name: _load_user_view(place / "user_views", i, name) for i, name in enumerate(_user_views(manifest))
        },
        user_links=Sequences.load(place, "user_links") if "user_links.offsets.npy" in manifest["files"] else None,
        disliked=Sequences.load(place, "disliked") if "disliked.offsets.npy" in manifest["files"] else None,
        knowledge=load_knowledge(place / "knowledge") if "knowledge/triples.npy" in manifest["files"] else None,
    )


def _save_view(view: View, place: Path, number: int) -> None:
    view.nodes.save(place / f"{number}.nodes.arrow")
    view.item_nodes.save(place, f"{number}.item_nodes")
    view.sessions.save(place, f"{number}.sessions")


def _load_view(place: Path, number: int, name: str) -> View:
    nodes = Vocabulary.load(place / f"{number}.nodes.arrow")
    return View(name, nodes, Sequences.load(place, f"{number}.item_nodes"), Sequences.load(place, f"{number}.sessions"))


def _save_user_side(data: PreparedData, place: Path) -> None:
    if data.user_views:
        (place / "user_views").mkdir()
    for number, view in enumerate(data.user_views.values()):
        view.nodes.save(place / "user_views" / f"{number}.nodes.arrow")
        view.user_nodes.save(place / "user_views", f"{number}.user_nodes")
    if data.user_links is not None:
        data.user_links.save(place, "user_links")


def _load_user_view(place: Path, number: int, name: str) -> UserView:
    return UserView(
        name, Vocabulary.load(place / f"{number}.nodes.arrow"), Sequences.load(place, f"{number}.user_nodes")
    )


def _user_views(manifest: Mapping[str, Any]) -> list[str]:
    """The names of the user views; folders written before there were any do not mention them."""
    return list(manifest.get("user_views", ()))


def _save_quarantine(data: PreparedData, place: Path) -> None:
    if not data.quarantine:
        return
    from prismrec.data.quarantine import write_quarantine  # brings the engine, which reading a folder does not need

    for name, table in data.quarantine.items():
        write_quarantine(table, place / f"{name}.parquet")


def _load_columns(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"cannot read the item columns {path}: {error}") from error


def _write_manifest(data: PreparedData, place: Path) -> None:
    files = {
        str(path.relative_to(place)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "prismrec_version": __version__,
        "views": list(data.views),
        "item_columns": data.item_columns is not None,
        **({"user_views": list(data.user_views)} if data.user_views else {}),
        "report": data.report,
        "files": files,
    }
    (place / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def _read_manifest(place: Path) -> dict[str, Any]:
    path = place / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if "sharded_version" in manifest:
            raise ArtifactError(f"{place} holds sharded training data: open it with prismrec.data.sharded")
        version = manifest["schema_version"]
        if version == SCHEMA_VERSION:
            _ = manifest["views"], manifest["item_columns"], manifest["report"], manifest["files"]
    except FileNotFoundError as error:
        raise ArtifactError(f"{place} is not prepared data: it has no {MANIFEST}; run prepare first") from error
    except ArtifactError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}; prepare the data again") from error
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{place} has schema version {version}, this PrismRec reads {SCHEMA_VERSION}: update, or prepare again"
        )
    return manifest


def _check_files(place: Path, manifest: Mapping[str, Any]) -> None:
    for name, expected in manifest["files"].items():
        path = place / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing: prepare the data again")
        if path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
            raise ArtifactError(f"{path} is damaged (its checksum is not that of {MANIFEST}): prepare the data again")


__all__ = ["PreparedData", "UserView", "View", "load_prepared", "refuse_other_content", "save_prepared"]
