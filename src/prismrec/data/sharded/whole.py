"""Sharded training data as one whole: `PreparedData` whose arrays lie in files, so that memory does not bound them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData, View
from prismrec.data.schema import ITEM_ID, ITEM_VIEW, USERS
from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.data.sharded import layout
from prismrec.data.sharded.layout import ShardManifest, read_manifest
from prismrec.data.sharded.parts import Part, all_parts, batches, lists_of
from prismrec.data.sharded.scratch import Scratch
from prismrec.data.vocabulary import UUID_TYPE, Vocabulary


def read_whole(folder: str | Path, scratch: Path | None = None, *, checksums: bool = False) -> PreparedData:
    """Everything, equal to what `preparation.prepare` makes of the same tables, row for row.

    All of it is streamed into nameless files that the system pages in and out; what must be in memory is 20 bytes per
    row of the sequences. Only the sequences that were prepared are there: with
    histories, no sessions, and with sessions every history is empty.

    Args:
        scratch: folder for the nameless files; the system's temporary one unless given.
        checksums: read every file once more, to compare it with the manifest.

    Raises:
        ArtifactError: a file is missing or damaged, or there is no room; names it.
    """
    whole = _Whole(Path(folder), read_manifest(folder, checksums=checksums), Scratch(scratch))
    views = {name: whole.item_nodes(name) for name in whole.manifest.views}
    items = whole.vocabulary(ITEM_VIEW)
    sessions, histories, images = whole.sequences()
    return PreparedData(
        items=items,
        sessions=sessions,
        users=whole.vocabulary(USERS),
        histories=histories,
        views={name: View(name, whole.vocabulary(name), nodes, images[name]) for name, nodes in views.items()},
        item_columns=whole.item_columns(items.ids),
        report=whole.manifest.report,
    )


def read_item_nodes(folder: Path, manifest: ShardManifest, view: str, scratch: Scratch | None = None) -> Sequences:
    """The nodes of every item of the whole; in memory unless there is scratch."""
    parts = all_parts(folder, manifest.parts(layout.EDGES, view))
    n_items, n_edges = manifest.nodes[ITEM_VIEW], sum(part.end - part.begin for part in parts)
    values = np.empty(n_edges, np.int32) if scratch is None else scratch.array(n_edges, np.int32)
    offsets = np.zeros(n_items + 1, np.int64) if scratch is None else scratch.array(n_items + 1, np.int64)
    place = 0
    for batch in batches(parts, ("item", "node")):
        items, n_nodes = np.unique(batch.column("item").to_numpy(), return_counts=True)
        offsets[items + 1] += n_nodes  # an item's edges may lie in two batches
        values[place : place + batch.num_rows] = batch.column("node").to_numpy()
        place += batch.num_rows
    np.cumsum(offsets, out=offsets)
    return Sequences(values, offsets)


@dataclass(frozen=True)
class _Whole:
    """One folder while it is read."""

    folder: Path
    manifest: ShardManifest
    scratch: Scratch

    def vocabulary(self, name: str) -> Vocabulary:
        files = self.manifest.parts(layout.VOCABULARY, name)
        parts, stored = (
            all_parts(self.folder, files),
            layout.opened(self.folder / files[0]).schema_arrow.field("id").type,
        )
        is_text_of_uuids = self.manifest.id_types[name] == "uuid" and pa.types.is_string(stored)
        counts, row = self.scratch.array(self.manifest.nodes[name], np.int64), 0
        for batch in batches(parts, ("count",)):
            counts[row : row + batch.num_rows] = batch.column("count").to_numpy()
            row += batch.num_rows
        native = _uuids if is_text_of_uuids else _integers if pa.types.is_decimal(stored) else _as_they_are
        chunks = (native(batch.column("id")) for batch in batches(parts, ("id",)))
        return Vocabulary(self.scratch.ids(row, native(pa.array([], stored)).type, chunks), counts)

    def item_nodes(self, view: str) -> Sequences:
        return read_item_nodes(self.folder, self.manifest, view, self.scratch)

    def sequences(self) -> tuple[Sequences, Sequences, dict[str, Sequences]]:
        """Sessions, histories, and the sessions of each side view, in the order of the users."""
        users = self._users_of_rows()
        n_users, nothing = self.manifest.nodes[USERS], Sequences.from_lists([])
        if self.manifest.sequences == "histories":
            histories = self._gathered(ITEM_VIEW, users.astype(np.int64), n_users)
            return nothing, histories, dict.fromkeys(self.manifest.views, nothing)
        target = np.empty(len(users), np.int64)
        target[np.argsort(users, kind="stable")] = np.arange(len(users))
        images = {view: self._gathered(view, target, len(users)) for view in self.manifest.views}
        empty = Sequences(np.zeros(0, np.int32), np.zeros(n_users + 1, np.int64))
        return self._gathered(ITEM_VIEW, target, len(users)), empty, images

    def item_columns(self, ids: pa.Array) -> pa.Table | None:
        if not self.manifest.item_columns:
            return None
        files = self.manifest.parts(layout.ITEM_COLUMNS)
        stored = layout.opened(self.folder / files[0]).schema_arrow
        sides = [name for name in stored.names if name != layout.ITEM_PLACE]
        if not sides:
            return pa.table({ITEM_ID: ids})
        schema = pa.schema([stored.field(name).with_nullable(True).remove_metadata() for name in sides])
        rows = (batch.cast(schema) for batch in batches(all_parts(self.folder, files), sides))
        return self.scratch.table(schema, rows).add_column(0, ITEM_ID, [ids])

    def _users_of_rows(self) -> NDArray[np.int32]:
        parts = self._parts(layout.SEQUENCES, ITEM_VIEW)
        columns = [batch.column("user_index").to_numpy() for batch in batches(parts, ("user_index",))]
        return np.concatenate([np.zeros(0, np.int32), *columns])

    def _gathered(self, view: str, target: NDArray[np.int64], n_rows: int) -> Sequences:
        """The rows of a view, each at its target: item rows are counted, those of side views name theirs."""
        parts = self._parts(layout.SEQUENCES, view)
        columns = (layout.ITEMS,) if view == ITEM_VIEW else (layout.ITEMS, layout.ROW_NUMBER)
        offsets = self.scratch.array(n_rows + 1, np.int64)
        for rows, _, lengths in _rows(parts, columns):
            offsets[target[rows] + 1] = lengths
        np.cumsum(offsets, out=offsets)
        values = self.scratch.array(int(offsets[-1]), np.int32)
        for rows, flat, lengths in _rows(parts, columns):
            values[ragged_positions(offsets[target[rows]], lengths)] = flat
        return Sequences(values, offsets)

    def _parts(self, kind: str, view: str) -> list[Part]:
        return all_parts(self.folder, self.manifest.parts(kind, view))


def _as_they_are(ids: pa.Array) -> pa.Array:
    return ids


def _integers(ids: pa.Array) -> pa.Array:
    """Unsigned integers that an engine without them wrote as decimals."""
    return ids.cast(pa.uint64())


def _uuids(texts: pa.Array) -> pa.Array:
    """UUIDs that an engine without them wrote as text."""
    data = bytes.fromhex("".join(texts.to_pylist()).replace("-", ""))
    return pa.Array.from_buffers(UUID_TYPE, len(texts), [None, pa.py_buffer(data)])


def _rows(
    parts: Sequence[Part], columns: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]]:
    """Batches of rows: their numbers, their values, their lengths."""
    place = 0
    for batch in batches(parts, columns):
        flat, lengths = lists_of(batch)
        numbers = (
            batch.column(layout.ROW_NUMBER).to_numpy()
            if layout.ROW_NUMBER in columns
            else np.arange(place, place + batch.num_rows)
        )
        yield numbers, flat, lengths
        place += batch.num_rows


__all__ = ["read_item_nodes", "read_whole"]
