"""What one of several trainers reads of sharded training data: its share of the rows, and what all must know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData, load_prepared
from prismrec.data.sequences import Sequences
from prismrec.data.sharded import layout
from prismrec.data.sharded.layout import ShardManifest, is_sharded, read_manifest
from prismrec.data.sharded.parts import all_parts, batches, lists_of, parts_of_rows, share_of_lists
from prismrec.data.sharded.whole import read_item_nodes, read_whole
from prismrec.data.training_data import Edges, SequenceKind, TrainingData
from prismrec.errors import ConfigError


def read_shards(
    folder: str | Path,
    rank: int,
    size: int,
    *,
    kind: SequenceKind | None = None,
    item_nodes: Sequence[str] | None = None,
) -> TrainingData:
    """What reader `rank` of `size` learns from; any number of readers, whatever the number of shards.

    Rows come in the order of the files, which is not that of `read_whole`, and rows of a side view that meet no node
    are left out; the shares of all readers together are the rows of the whole. In memory: 4 bytes per value and 8 per
    row and 8 per edge of the own share; per node of the whole 8 bytes; per edge of the whole 4 and per item 8 for each
    view of `item_nodes`.

    Args:
        kind: what the rows must be.
        item_nodes: the views whose nodes are wanted for every item of the whole; all of them unless given.

    Raises:
        ConfigError: there is no such rank, or the rows are sessions where histories are wanted, or the other way round.
        ArtifactError: a file is missing or damaged; names it.
    """
    if not 0 <= rank < size:
        raise ConfigError(f"reader {rank} of {size}: ranks count from 0 to size - 1")
    place, manifest = Path(folder), read_manifest(folder)
    _check_kind(place, manifest, kind)
    wanted = manifest.views if item_nodes is None else item_nodes
    return TrainingData(
        n_nodes={view: manifest.nodes[view] for view in manifest.view_names},
        sequences={view: _sequences(place, manifest, view, rank, size) for view in manifest.view_names},
        counts={view: _counts(place, manifest, view) for view in manifest.view_names},
        edges={view: _edges(place, manifest, view, rank, size) for view in manifest.views},
        item_nodes={view: read_item_nodes(place, manifest, view) for view in wanted},
    )


def open_prepared(folder: str | Path, kind: SequenceKind | None = None) -> PreparedData:
    """Training data as one whole, from a folder of either kind: sharded, or as `save_prepared` writes it.

    Args:
        kind: what a sharded folder must hold.

    Raises:
        ConfigError: a sharded folder holds sessions where histories are wanted, or the other way round.
        ArtifactError: the folder is neither, or damaged.
    """
    if not is_sharded(folder):
        return load_prepared(folder)
    _check_kind(Path(folder), read_manifest(folder), kind)
    return read_whole(folder)


def _check_kind(place: Path, manifest: ShardManifest, kind: SequenceKind | None) -> None:
    if kind is not None and manifest.sequences != kind:
        raise ConfigError(
            f"{place} holds {manifest.sequences}, but model.sequences is {kind!r}: set it to {manifest.sequences!r}, "
            "or prepare the data again"
        )


def _sequences(place: Path, manifest: ShardManifest, view: str, rank: int, size: int) -> Sequences:
    share = share_of_lists(place, manifest, manifest.parts(layout.SEQUENCES, view), rank, size)
    values, offsets = np.empty(share.n_values, np.int32), np.zeros(share.n_rows + 1, np.int64)
    row = value = 0
    for batch in batches(share.parts, (layout.ITEMS,)):
        flat, lengths = lists_of(batch)
        values[value : value + len(flat)] = flat
        offsets[row + 1 : row + 1 + len(lengths)] = lengths
        row, value = row + len(lengths), value + len(flat)
    np.cumsum(offsets, out=offsets)
    return Sequences(values, offsets)


def _counts(place: Path, manifest: ShardManifest, view: str) -> NDArray[np.int64]:
    counts = np.zeros(manifest.nodes[view], np.int64)
    for batch in batches(all_parts(place, manifest.parts(layout.COUNTS, view)), ("node", "n")):
        counts[batch.column("node").to_numpy()] = batch.column("n").to_numpy()
    return counts


def _edges(place: Path, manifest: ShardManifest, view: str, rank: int, size: int) -> Edges:
    files = manifest.parts(layout.EDGES, view)
    total = sum(manifest.files[name].rows for name in files)
    begin, end = total * rank // size, total * (rank + 1) // size
    items, nodes, row = np.empty(end - begin, np.int32), np.empty(end - begin, np.int32), 0
    for batch in batches(parts_of_rows(place, files, begin, end), ("item", "node")):
        items[row : row + batch.num_rows] = batch.column("item").to_numpy()
        nodes[row : row + batch.num_rows] = batch.column("node").to_numpy()
        row += batch.num_rows
    return Edges(items, nodes)


__all__ = ["open_prepared", "read_shards"]
