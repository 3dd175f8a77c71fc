"""What lies in a bundle folder, and how it gets there whole.

    manifest.json        written last: versions, settings, seed, metrics, a checksum per file and of itself
    vectors/<view>.source.npy, .target.npy    (n_nodes, dim) float32
    alignment/<view>.npy float32, the alignment matrices of the side views that have one
    ids/<view>.arrow     the vocabulary: ids, counts, sort order; of views without vectors too
    nodes/<view>.values.npy, .offsets.npy     the nodes of each item, side views only
    items.arrow          the item table in item order, where there is one
    training_log.json    one record per epoch
    evaluation.json      the tables of `prismrec evaluate -o`, where they were given
    encoder/...          what turns histories and users into queries, where the model does (`encoder_files`)
    index/sources.npy, targets.npy    the views side by side, per item: what queries are made of and meet
    index/items.faiss    what finds candidates, unless every search is exact

Everything is memory-mapped where it is read, and nothing is pickled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec import __version__
from prismrec.data.arrow_files import map_table, write_table
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, DataError
from prismrec.files import sha256, whole_folder
from prismrec.models.contract import EmbeddingTable, StoredEncoder
from prismrec.retrieval.blend import QuerySettings, column_ranges
from prismrec.retrieval.encoded import check_encoded
from prismrec.retrieval.encoder_files import ENCODER_FOLDER, check_encoder, read_encoder, write_encoder
from prismrec.retrieval.index.approximate import INDEX
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.index.recall import build_index
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    WITHOUT_ENCODER,
    FileRecord,
    IndexRecord,
    Manifest,
    Verify,
    check_file,
    damaged,
    read_manifest,
    refuse_foreign,
    render_json,
    write_manifest,
)
from prismrec.retrieval.matrices import ItemMatrices
from prismrec.retrieval.matrix_files import map_matrix, write_matrix
from prismrec.retrieval.query_encoding import QueryEncoding

TRAINING_LOG = "training_log.json"
EVALUATION = "evaluation.json"
INDEX_FOLDER = "index"
ITEM_COLUMNS = "items.arrow"


@dataclass(frozen=True, eq=False)
class BundleContents:
    """Everything a bundle holds, the same before it is written and after it is opened.

    Before it is written, too, the large parts may be memory-mapped: vectors by `numpy.load(..., mmap_mode="r")`,
    vocabularies by `Vocabulary.load`, nodes by `Sequences.load`, the item table by `arrow_files.map_table`.

    Attributes:
        vectors: the embedding table of each view; "item" is one of them.
        vocabularies: the ids behind the rows of each table, and of the nodes of each side view.
        item_nodes: per side view one row per item: the item's node indices. Beside an encoder side views need no
            vectors: they serve filters, quotas and the placing of new items.
        alignment: alignment matrices by side view, float32; shapes are the model's business.
        item_columns: one row per item, in item order; None without an item table.
        query: how `recommend` turns a history into a query unless told otherwise.
        config: the resolved settings of the run, as JSON values.
        seed: the seed of the run.
        data_fingerprint: says which prepared data the vectors were trained on.
        metrics: what evaluation measured, by name; finite numbers.
        training_log: one JSON record per epoch: losses by task, learned task weights, examples per second.
        index: how the index over the items is to be built, or was.
        evaluation: the JSON document of `prismrec evaluate -o`; None where nothing was compared.
        encoder: what turns histories and users into queries; None where queries are mixtures of the sources. Its
            vectors meet the targets of the item view, which then is the only view with vectors.
        users: the ids of the users that the encoder knows; None where it knows none.
    """

    vectors: Mapping[str, EmbeddingTable]
    vocabularies: Mapping[str, Vocabulary]
    item_nodes: Mapping[str, Sequences] = field(default_factory=dict)
    alignment: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    item_columns: pa.Table | None = None
    query: QuerySettings = field(default_factory=QuerySettings)
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    data_fingerprint: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    training_log: Sequence[Mapping[str, Any]] = ()
    index: IndexSettings = field(default_factory=IndexSettings)
    evaluation: Mapping[str, Any] | None = None
    encoder: StoredEncoder | None = None
    users: Vocabulary | None = None


def write_bundle(path: Path, contents: BundleContents, take_over: Path | None = None) -> None:
    """Put a bundle at `path`, whole or not at all; a bundle that is there already is replaced in one step.

    Vectors, nodes, ids and item table may be memory-mapped: they are gone through in blocks, and what is held in memory
    does not grow with them, but for what an index is itself (`index.approximate` says how much that is).

    Args:
        path: of the bundle.
        contents: what it is to hold.
        take_over: a folder of which the caller gives up the files, for good: vectors that are mapped from whole files
            in it are linked into the bundle instead of copied. Nobody may write into these files any more; removing
            them is fine. Without it a bundle shares nothing with what it was made of.

    Raises:
        DataError: the contents contradict each other or are not finite.
        ConfigError: the index that the settings name finds too few of the best items, or the query settings ask of an
            encoder what it cannot do.
        ArtifactError: `path` cannot be written, or holds something that is not a bundle.
    """
    _check(contents)
    refuse_foreign(path, MANIFEST)
    with whole_folder(path) as folder:
        for name in ("vectors", "ids", "nodes", "alignment", INDEX_FOLDER):
            (folder / name).mkdir()
        for view in contents.vectors:
            _write_vectors(folder / "vectors", view, contents, take_over)
        for view in dict.fromkeys([*contents.vectors, *contents.item_nodes]):
            contents.vocabularies[view].save(folder / "ids" / f"{view}.arrow")
        for view, nodes in contents.item_nodes.items():
            nodes.save(folder / "nodes", view)
        for view, matrix in contents.alignment.items():
            np.save(folder / "alignment" / f"{view}.npy", np.asarray(matrix, np.float32))
        if contents.item_columns is not None:
            write_table(folder / ITEM_COLUMNS, contents.item_columns)
        (folder / TRAINING_LOG).write_text(render_json(list(contents.training_log)), encoding="utf-8")
        if contents.evaluation is not None:
            (folder / EVALUATION).write_text(render_json(dict(contents.evaluation)), encoding="utf-8")
        if contents.encoder is not None:
            (folder / ENCODER_FOLDER).mkdir()
            write_encoder(folder / ENCODER_FOLDER, contents.encoder, contents.users)
        index = _write_index(folder, contents)
        write_manifest(folder / MANIFEST, _manifest(folder, contents, index))


def read_bundle(path: Path, verify: Verify = "full") -> tuple[Manifest, BundleContents]:
    """Check a bundle and map its arrays into memory.

    Args:
        path: the folder.
        verify: "full" reads every byte against its checksum; "sizes" only checks that each file has its length.

    Raises:
        ArtifactError: something is missing, damaged, or from a newer version; names the file.
    """
    manifest = read_manifest(path / MANIFEST)
    for name, record in manifest.files.items():
        check_file(path / name, record, verify)
    views = (*manifest.views, *manifest.views_without_vectors)
    encoder, users = read_encoder(path / ENCODER_FOLDER) if manifest.has_encoder else (None, None)
    contents = BundleContents(
        vectors={view: _read_vectors(path / "vectors", view) for view in manifest.views},
        vocabularies={view: Vocabulary.load(path / "ids" / f"{view}.arrow") for view in views},
        item_nodes={view: Sequences.load(path / "nodes", view) for view in views if view != ITEM_VIEW},
        alignment={view: map_matrix(path / "alignment" / f"{view}.npy") for view in manifest.aligned_views},
        item_columns=_read_table(path / ITEM_COLUMNS) if ITEM_COLUMNS in manifest.files else None,
        query=manifest.query,
        config=manifest.config,
        seed=manifest.seed,
        data_fingerprint=manifest.data_fingerprint,
        metrics=manifest.metrics,
        training_log=_read_json(path / manifest.training_log),
        index=manifest.index.settings if manifest.index else IndexSettings(),
        evaluation=_read_json(path / EVALUATION) if EVALUATION in manifest.files else None,
        encoder=encoder,
        users=users,
    )
    return manifest, contents


def read_index(path: Path, manifest: Manifest, contents: BundleContents) -> tuple[ItemMatrices, ItemIndex]:
    """Map the matrices and the index of a bundle into memory.

    The faiss file is always checked against its checksum. A bundle of schema version 1 has no index: its matrices are
    made in memory, and searched exactly.

    Args:
        path: the folder.
        manifest, contents: what `read_bundle` gave for it.

    Raises:
        ArtifactError: a file of the index is missing or damaged, or belongs to another bundle; names the file.
    """
    if manifest.index is None:
        counts = contents.vocabularies[ITEM_VIEW].counts
        matrices = ItemMatrices.of(contents.vectors, contents.item_nodes, counts, contents.query.similarity)
        return matrices, ItemIndex(matrices.targets, IndexSettings(kind="exact"))
    matrices = ItemMatrices.load(path / INDEX_FOLDER, column_ranges(contents.vectors))
    record = manifest.index
    if record.kind != "exact":  # faiss trusts what it reads, down to the lengths: read nothing that is not as written
        check_file(path / INDEX_FOLDER / INDEX, manifest.files[f"{INDEX_FOLDER}/{INDEX}"], "full")
    return matrices, ItemIndex.load(path / INDEX_FOLDER, matrices.targets, record.settings, record.kind)


def _check(contents: BundleContents) -> None:
    if ITEM_VIEW not in contents.vectors:
        raise DataError(f"a bundle needs vectors for the view {ITEM_VIEW!r}, got {sorted(contents.vectors)}")
    n_items = len(contents.vectors[ITEM_VIEW].source)
    for view in dict.fromkeys([*contents.vectors, *contents.item_nodes, *contents.alignment]):
        _check_view(view, contents, n_items)
    if contents.encoder is not None:
        _check_beside(contents.encoder, contents)
    check_encoder(contents.encoder, contents.users)
    render_json([dict(contents.config), list(contents.training_log), dict(contents.evaluation or {})])
    if contents.item_columns is not None and contents.item_columns.num_rows != n_items:
        raise DataError(f"the item table has {contents.item_columns.num_rows} rows for {n_items} items")


def _check_view(view: str, contents: BundleContents, n_items: int) -> None:
    if not re.fullmatch(r"[\w-]+", view):
        raise DataError(f"the view name {view!r} cannot name a file: use letters, digits, '_' and '-'")
    aligned, has_nodes = view in contents.alignment, view in contents.item_nodes
    lacks_vectors = view not in contents.vectors and (aligned or contents.encoder is None)
    if (aligned or has_nodes) and (view == ITEM_VIEW or lacks_vectors):
        raise DataError(f"nodes or an alignment matrix came for {view!r}, which is not a side view with vectors")
    if view in contents.vectors:
        _check_table(view, contents.vectors[view], contents)
    if view == ITEM_VIEW:
        return
    rows = len(contents.item_nodes[view]) if view in contents.item_nodes else 0
    if rows != n_items:
        raise DataError(f"view {view!r} gives nodes to {rows} items, but there are {n_items}")
    n_ids = len(contents.vocabularies[view]) if view in contents.vocabularies else 0
    largest = int(contents.item_nodes[view].values.max(initial=-1))
    if largest >= n_ids:
        raise DataError(f"view {view!r} has a node {largest} but {n_ids} ids")


def _check_beside(encoder: StoredEncoder, contents: BundleContents) -> None:
    """Beside an encoder the item view alone has vectors, and all of the query is the encoder's."""
    sides = [view for view in contents.vectors if view != ITEM_VIEW]
    if sides:
        raise DataError(f"view {sides[0]!r} has vectors, but queries of {encoder.algorithm} meet those of items alone")
    check_encoded(contents.query)


def _check_table(view: str, table: EmbeddingTable, contents: BundleContents) -> None:
    if table.source.ndim != 2 or table.source.shape != table.target.shape:
        raise DataError(
            f"view {view!r}: source {table.source.shape} and target {table.target.shape} must have one shape, (n, dim)"
        )
    n_ids = len(contents.vocabularies[view]) if view in contents.vocabularies else 0
    if n_ids != len(table.source):
        raise DataError(f"view {view!r} has {len(table.source)} vectors but {n_ids} ids")


def _write_vectors(folder: Path, view: str, contents: BundleContents, take_over: Path | None) -> None:
    table = contents.vectors[view]
    for side, matrix in (("source", table.source), ("target", table.target)):
        bad = write_matrix(folder / f"{view}.{side}.npy", matrix, take_over)
        if len(bad):
            first = contents.vocabularies[view].id_of(int(bad[0]))
            raise DataError(
                f"view {view!r}: the {side} vector of id {first!r} (row {bad[0]}) is not finite; {len(bad)} such rows"
            )


def _write_index(bundle: Path, contents: BundleContents) -> IndexRecord:
    """Matrices and index are made from the vectors as they were written: mapped, float32, in row order."""
    folder, similarity = bundle / INDEX_FOLDER, contents.query.similarity
    vectors = {view: _read_vectors(bundle / "vectors", view) for view in contents.vectors}
    counts = contents.vocabularies[ITEM_VIEW].counts
    matrices = ItemMatrices.write(folder, vectors, contents.item_nodes, counts, similarity)
    encoding = None
    if contents.encoder is not None:
        encoding = QueryEncoding(contents.encoder, contents.users, matrices.dim)
    index, recall = build_index(matrices, contents.index, contents.query, encoding)
    index.save(folder)
    return IndexRecord(kind=index.kind, settings=index.settings, similarity=similarity, recall=recall)


def _manifest(folder: Path, contents: BundleContents, index: IndexRecord) -> Manifest:
    bad = [name for name, value in contents.metrics.items() if not np.isfinite(value)]
    if bad:
        raise DataError(f"the metric {bad[0]!r} is not a finite number: {contents.metrics[bad[0]]}")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return Manifest(
        schema_version=SCHEMA_VERSION if contents.encoder is not None else WITHOUT_ENCODER,
        prismrec_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        views=tuple(contents.vectors),
        aligned_views=tuple(contents.alignment),
        views_without_vectors=tuple(view for view in contents.item_nodes if view not in contents.vectors),
        has_encoder=contents.encoder is not None,
        seed=contents.seed,
        data_fingerprint=contents.data_fingerprint,
        training_log=TRAINING_LOG,
        metrics={name: float(value) for name, value in contents.metrics.items()},
        query=contents.query,
        config=dict(contents.config),
        index=index,
        files={f.relative_to(folder).as_posix(): FileRecord(bytes=f.stat().st_size, sha256=sha256(f)) for f in files},
    )


def _read_vectors(folder: Path, view: str) -> EmbeddingTable:
    return EmbeddingTable(
        source=map_matrix(folder / f"{view}.source.npy"), target=map_matrix(folder / f"{view}.target.npy")
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, str(error)) from error


def _read_table(path: Path) -> pa.Table:
    try:
        return map_table(path)
    except ArtifactError as error:
        raise damaged(path, str(error)) from error


__all__ = ["BundleContents", "read_bundle", "read_index", "write_bundle"]
