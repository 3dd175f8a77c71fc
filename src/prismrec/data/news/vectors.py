"""Vectors that words and entities have before any click is seen: from what stands together in titles, or from a file.

    P_ab = max(0, log (n_ab n / (n_a n_b)))     n_ab: titles that hold both a and b, n_a = sum_b n_ab, n = sum_a n_a
    P ~ U S U^T                                 the d largest; the vectors are the rows of U sqrt(S)

Levy & Goldberg, NIPS 2014: word2vec factorises P but for a constant. The sign of a column is free: its largest number
is made positive. Cost: O(sum of squared title lengths) for P, O(d nnz(P) + d^2 n) for each of `_ITERATIONS`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_array

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

_ID, _VECTOR = "id", "source"
"""Columns of the file that `prismrec export` writes."""

_ITERATIONS = 12
"""After which the space of the largest eigenvalues hardly turns."""


def cooccurrence_vectors(titles: Sequences, n_tokens: int, dim: int) -> NDArray[np.float32]:
    """(n_tokens, dim) float32 vectors of length 1 on average; zero for a token that stands with no other.

    Args:
        titles: one row per title: its tokens, words and entities alike.
        n_tokens: how many tokens there are.
        dim: numbers per vector.
    """
    ones = np.ones(len(titles.values), np.float64)
    holds = csr_array((ones, titles.values, titles.offsets), shape=(len(titles), n_tokens))
    holds.sum_duplicates()
    holds.data[:] = 1.0
    together = csr_array(holds.T @ holds)
    together.setdiag(0)
    together.eliminate_zeros()
    found = _factors(_information(together), dim)
    length = float(np.linalg.norm(found, axis=1).mean()) if n_tokens else 0.0
    return (found / length if length else found).astype(np.float32)


def read_vectors(path: str | Path) -> tuple[Vocabulary, NDArray[np.float32]]:
    """Ids as text, and (n, dim) float32.

    Args:
        path: a Parquet file with the columns `id` and `source`, as `prismrec export` writes it of a bundle; or `.vec`,
            as MIND has it: an id and its numbers between tabs.

    Raises:
        DataError: there is no such file, it lacks a column, or its vectors are not of one length and finite.
    """
    ids, vectors = _lines_of_numbers(Path(path)) if Path(path).suffix == ".vec" else _exported(path)
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: vectors of entities must be finite and of one length")
    return ids, vectors


def _lines_of_numbers(path: Path) -> tuple[Vocabulary, NDArray[np.float32]]:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        vectors = np.array([row[1:] for row in rows], np.float32).reshape(len(rows), -1 if rows else 0)
        return Vocabulary.from_ids(pa.array([row[0] for row in rows], pa.string())), vectors
    except (OSError, ValueError) as error:  # DataError of a repeated id is one, too
        raise DataError(
            f"cannot read vectors of entities from {path}: {error}; expected lines of an id and as many numbers each"
        ) from error


def _exported(path: str | Path) -> tuple[Vocabulary, NDArray[np.float32]]:
    try:
        table = pq.read_table(path, columns=[_ID, _VECTOR])
        rows = table[_VECTOR].combine_chunks().cast(pa.list_(pa.float32()))
        flat = rows.flatten().to_numpy(zero_copy_only=False)
        vectors = flat.reshape(len(table), -1) if len(table) else flat.reshape(0, 0)
        ids = Vocabulary.from_ids(table[_ID].combine_chunks().cast(pa.string()))
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(
            f"cannot read vectors of entities from {path}: {error}; expected a Parquet file with columns {_ID} and "
            f"{_VECTOR}, as `prismrec export BUNDLE --format parquet` writes"
        ) from error
    if len(np.unique(np.diff(rows.offsets))) > 1:
        raise DataError(f"{path}: vectors of entities must be finite and of one length")
    return ids, vectors


def _information(together: csr_array) -> csr_array:
    """P of the module."""
    sums = np.asarray(together.sum(axis=1)).reshape(-1)
    rows = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
    expected = sums[rows] * sums[together.indices]
    values = np.log(together.data * sums.sum() / np.maximum(expected, 1e-12))
    return csr_array((np.maximum(values, 0), together.indices, together.indptr), shape=together.shape)


def _factors(matrix: csr_array, dim: int) -> NDArray[np.float64]:
    """(n, dim): the eigenvectors of the largest eigenvalues, times their roots; zero columns where there are fewer.

    By orthogonal iteration on a larger space (Halko, Martinsson & Tropp, 2011), which gives the same bits every time.
    """
    n = matrix.shape[0]
    found = np.zeros((n, dim))
    if not matrix.nnz:
        return found
    space = np.random.default_rng(0).normal(size=(n, min(n, 2 * dim + 8)))
    for _ in range(_ITERATIONS):
        space = matrix @ np.linalg.qr(space).Q
    base = np.linalg.qr(space).Q
    values, rotations = np.linalg.eigh(base.T @ (matrix @ base))
    k = min(dim, len(values))
    values, vectors = values[::-1][:k], (base @ rotations)[:, ::-1][:, :k]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(k)])
    found[:, :k] = vectors * signs * np.sqrt(np.maximum(values, 0))
    return found


__all__ = ["cooccurrence_vectors", "read_vectors"]
