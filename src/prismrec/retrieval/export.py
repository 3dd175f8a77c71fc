"""A bundle's vectors for other tools: Parquet, word2vec text, a faiss index. Each export is a folder, whole or absent.

parquet   one file per view, `<view>.parquet`: id (its own type), view, source and target as list<float>; of a model
          with a vector per user also `users.parquet`: id, and the vector that meets the targets
word2vec  two texts per view, `<view>.source.txt` and `<view>.target.txt`, as `gensim` and others load them. White space
          and "%" inside an id are percent-encoded, since the format ends an id at the first space;
          `urllib.parse.unquote` gives the id back
faiss     items.faiss (exact inner product over the targets of all views side by side, the popularity prior last),
          sources.npy (what queries are made of), ids.arrow (row -> id), and the recipe of a query in export.json; of
          a model with a vector per user also users.npy and users.arrow (row -> id)

Rows are written some at a time. Only faiss holds its whole index in memory while it makes it: 4 bytes per number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prismrec import __version__
from prismrec.data.vocabulary import UUID_TYPE, Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.files import whole_folder
from prismrec.models.algorithms import ENCODERS
from prismrec.models.user_vectors import USERS
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.manifest import refuse_foreign
from prismrec.retrieval.matrices import TARGETS, ItemMatrices

MARKER = "export.json"
"""Lies in every export: what it is, and where it came from."""

Format = Literal["parquet", "word2vec", "faiss"]

_ROWS = 65_536  # rows written at a time
_QUERY = (
    "q = for each view, view_weights[view] * sum(recency_decay**age * sources[row, columns[view]]) / sum("
    "recency_decay**age) over the last history_length items, age 0 the latest; q[-1] = popularity_weight (1 where the "
    "history is empty). Search items.faiss with q (float32) and drop the items of the history. Row numbers are those "
    "of ids.arrow. The repeat bonus of `repeat_weight` is not in the index: add it to the scores of the history."
)
_ENCODED_QUERY = (
    "The model encodes histories, and the bundle is needed to ask it: q = Bundle.open(bundle).retriever.queries("
    "[Request(history, user=user)])[0]. Search items.faiss with q (float32) and drop the items of the history. Row "
    "numbers are those of ids.arrow. The repeat bonus of `repeat_weight` is not in the index."
)
_USER_QUERY = " For a user known from training q is users.npy[row in users.arrow], followed by popularity_weight."


def export(bundle: Bundle, path: str | Path, format: Format) -> Path:
    """Write a bundle's vectors in another tool's format; an earlier export at `path` is replaced in one step.

    Returns:
        The folder that was written.

    Raises:
        ConfigError: the format is not one of parquet, word2vec, faiss.
        DataError: an id cannot be written in this format.
        ArtifactError: `path` cannot be written, or holds something that is not an export.
    """
    writers = {"parquet": _write_parquet, "word2vec": _write_word2vec, "faiss": _write_faiss}
    if format not in writers:
        raise ConfigError(f"there is no export format {format!r}: choose one of {', '.join(writers)}")
    folder_path = Path(path)
    refuse_foreign(folder_path, MARKER)
    with whole_folder(folder_path) as folder:
        details = writers[format](bundle, folder)
        origin = {"format": format, "prismrec_version": __version__, "bundle_created": bundle.manifest.created}
        text = json.dumps({**origin, **details}, indent=2, ensure_ascii=False) + "\n"
        (folder / MARKER).write_text(text, encoding="utf-8")
    return folder_path


def _write_parquet(bundle: Bundle, folder: Path) -> dict[str, Any]:
    for view in bundle.views:
        ids = _plain(bundle.contents.vocabularies[view].ids)
        vectors = pa.list_(pa.float32())
        schema = pa.schema([("id", ids.type), ("view", pa.string()), ("source", vectors), ("target", vectors)])
        table = bundle.contents.vectors[view]
        with pq.ParquetWriter(folder / f"{view}.parquet", schema) as writer:
            for rows in _blocks(len(ids)):
                count = rows.stop - rows.start
                names = pa.repeat(pa.scalar(view), count)
                columns = [ids[rows], names, _list_column(table.source[rows]), _list_column(table.target[rows])]
                writer.write_table(pa.table(columns, schema=schema))
    files = {view: f"{view}.parquet" for view in bundle.views}
    ids, users = _users(bundle)
    if len(ids):
        schema = pa.schema([("id", _plain(ids.ids).type), ("vector", pa.list_(pa.float32()))])
        with pq.ParquetWriter(folder / "users.parquet", schema) as writer:
            for rows in _blocks(len(ids)):
                writer.write_table(pa.table([_plain(ids.ids[rows]), _list_column(users[rows])], schema=schema))
        files["users"] = "users.parquet"
    return {"files": files}


def _write_word2vec(bundle: Bundle, folder: Path) -> dict[str, Any]:
    for view in bundle.views:
        vocabulary = bundle.contents.vocabularies[view]
        table = bundle.contents.vectors[view]
        for side, matrix in (("source", table.source), ("target", table.target)):
            with open(folder / f"{view}.{side}.txt", "w", encoding="utf-8", newline="\n") as file:
                file.write(f"{matrix.shape[0]} {matrix.shape[1]}\n")
                for rows in _blocks(len(matrix)):
                    file.write(_word2vec_lines(_words(view, vocabulary, rows), matrix[rows]))
    return {"id_encoding": "percent-encoded white space and '%'; urllib.parse.unquote gives the id back"}


def _write_faiss(bundle: Bundle, folder: Path) -> dict[str, Any]:
    import faiss

    contents = bundle.contents
    similarity = contents.query.similarity
    matrices = ItemMatrices.write(folder, contents.vectors, contents.item_nodes, bundle.items.counts, similarity)
    index = faiss.IndexFlatIP(matrices.targets.shape[1])
    for rows in _blocks(matrices.n_items):
        index.add(matrices.targets[rows])
    faiss.write_index(index, str(folder / "items.faiss"))
    (folder / TARGETS).unlink()  # they are what the index holds
    bundle.items.save(folder / "ids.arrow")
    columns = {view: [part.start, part.stop] for view, part in matrices.columns.items()}
    recipe = _QUERY if contents.encoder is None else _ENCODED_QUERY
    ids, users = _users(bundle)
    if len(ids):
        np.save(folder / "users.npy", users)
        ids.save(folder / "users.arrow")
        recipe += _USER_QUERY
    return {"query": recipe, "columns": columns, "settings": contents.query.model_dump(mode="json")}


def _users(bundle: Bundle) -> tuple[Vocabulary, NDArray[np.float32]]:
    """Ids and (n_users, dim) vectors that are a user's whole query; none of models that have no such vectors."""
    stored, ids = bundle.contents.encoder, bundle.contents.users
    if stored is None or ids is None or ENCODERS.get(stored.algorithm) != ENCODERS["mf"]:
        return Vocabulary.from_ids([]), np.zeros((0, 0), np.float32)
    return ids, stored.arrays[USERS]


def _plain(ids: pa.Array) -> pa.Array:
    """Ids as other tools know them: UUIDs as Arrow's own."""
    return pa.ExtensionArray.from_storage(pa.uuid(), ids) if ids.type == UUID_TYPE else ids


def _blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, _ROWS):
        yield slice(start, min(start + _ROWS, n_rows))


def _list_column(matrix: NDArray[np.float32]) -> pa.Array:
    """Rows of a matrix as an Arrow list<float> column."""
    offsets = np.arange(0, matrix.size + 1, max(matrix.shape[1], 1), dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(matrix).reshape(-1)))


def _word2vec_lines(words: list[str], matrix: NDArray[np.float32]) -> str:
    """One line per row, with the shortest digits that give each float32 back; formatted by Arrow, not in Python."""
    numbers = _list_column(matrix)
    texts = pa.ListArray.from_arrays(numbers.offsets, numbers.values.cast(pa.string()))
    lines = pc.binary_join_element_wise(pa.array(words, pa.string()), pc.binary_join(texts, " "), " ")
    return "\n".join(lines.to_pylist()) + "\n"


def _words(view: str, vocabulary: Vocabulary, rows: slice) -> list[str]:
    words = [
        re.sub(r"[\s%]", lambda match: quote(match[0], safe=""), str(i))
        for i in vocabulary.ids_of(range(rows.start, rows.stop))
    ]
    if "" in words:
        row = rows.start + words.index("")
        raise DataError(f"word2vec text cannot hold the empty id in row {row} of view {view!r}: use parquet")
    return words


__all__ = ["Format", "export"]
