"""Invented bundles of any size: clustered vectors, skewed popularity, an item table; the same from the same seed.

An item belongs to a cluster; clusters share categories, and shops are drawn by item. Source and target vectors of an
item lie near the centre of its cluster, so that neighbours exist, and approximate search has the task that trained
vectors give it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import prismrec.retrieval
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle, BundleContents
from prismrec.retrieval.index.settings import IndexSettings

QUERY = QuerySettings(view_weights={"item": 1.0, "category": 0.3, "shop": 0.2}, popularity_weight=0.1)

_RETRIEVAL = Path(prismrec.retrieval.__path__[0])

_NOISE = 0.6
"""Length of an item's own part of its vector, beside a centre of length 1."""


@dataclass(frozen=True)
class Shape:
    """How large a catalogue is.

    Attributes:
        n_clusters: what items are alike by; several clusters share a category.
        skew: exponent of Zipf's law for the counts.
    """

    n_items: int = 200_000
    n_categories: int = 500
    n_shops: int = 5_000
    n_clusters: int = 2_000
    dim: int = 64
    skew: float = 0.9
    seed: int = 0


def catalogue(shape: Shape, ids: list[Any], index: IndexSettings) -> BundleContents:
    """A bundle with the views item, category and shop, and the columns name, price and category.

    Args:
        ids: one id per item, by falling popularity.
        index: how it is searched.
    """
    rng = np.random.default_rng(shape.seed)
    clusters = rng.integers(0, shape.n_clusters, shape.n_items)
    categories = clusters % shape.n_categories
    nodes = {"category": categories, "shop": rng.integers(0, shape.n_shops, shape.n_items)}
    sizes = {"category": shape.n_categories, "shop": shape.n_shops}
    counts = np.maximum(1, 1e6 / np.arange(1, shape.n_items + 1) ** shape.skew).astype(np.int64)
    centres = _unit(rng.normal(size=(shape.n_clusters, shape.dim)))
    vectors = {"item": EmbeddingTable(_around(centres, clusters, rng), _around(centres, clusters, rng))}
    vocabularies = {"item": Vocabulary.from_ids(ids, counts)}
    for view, size in sizes.items():
        near = rng.integers(0, shape.n_clusters, size)
        vectors[view] = EmbeddingTable(_around(centres, near, rng), _around(centres, near, rng))
        total = np.bincount(nodes[view], weights=counts, minlength=size).astype(np.int64)
        vocabularies[view] = Vocabulary.from_ids([f"{view} {i}" for i in range(size)], total)
    one_each = np.ones(shape.n_items, np.int64)
    return BundleContents(
        vectors=vectors,
        vocabularies=vocabularies,
        item_nodes={view: Sequences.from_lengths(own.astype(np.int32), one_each) for view, own in nodes.items()},
        item_columns=_table(ids, categories, rng),
        query=QUERY,
        config={"views": {"category": {"column": "category"}}},
        seed=shape.seed,
        data_fingerprint="invented",
        index=index,
    )


def cached_bundle(shape: Shape, index: IndexSettings) -> Path:
    """The folder of such a bundle with integer ids, kept in the system's folder for temporary files.

    It is made again when anything changed that it is made by; what was made before is removed then.
    """
    kept = Path(tempfile.gettempdir()) / f"prismrec-bench-{index.kind}"
    made_by = b"".join(path.read_bytes() for path in (Path(__file__), *sorted(_RETRIEVAL.rglob("*.py"))))
    folder = kept / hashlib.sha256(made_by + f"{shape}{index!r}".encode()).hexdigest()[:12]
    if not folder.exists():
        shutil.rmtree(kept, ignore_errors=True)
        Bundle.write(folder, catalogue(shape, integer_ids(shape), index))
    return folder


def integer_ids(shape: Shape) -> list[int]:
    """Ids in no order of popularity, as databases give them."""
    return [int(i) for i in 10_000_000 + np.random.default_rng(shape.seed).permutation(shape.n_items)]


def popular(shape: Shape, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) item indices, drawn by popularity."""
    weights = 1 / np.arange(1, shape.n_items + 1) ** shape.skew
    return rng.choice(shape.n_items, n, p=weights / weights.sum())


def _around(centres: NDArray[Any], clusters: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
    own = _NOISE * _unit(rng.normal(size=(len(clusters), centres.shape[1])))
    found: NDArray[np.float32] = (centres[clusters] + own).astype(np.float32)
    return found


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    unit: NDArray[Any] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _table(ids: list[Any], categories: NDArray[Any], rng: np.random.Generator) -> pa.Table:
    prices = np.round(rng.lognormal(2, 1, len(ids)), 2)
    return pa.table(
        {
            "item_id": ids,
            "name": [f"article {i} of the invented catalogue" for i in range(len(ids))],
            "price": prices,
            "category": [f"category {c}" for c in categories],
        }
    )


__all__ = ["QUERY", "Shape", "cached_bundle", "catalogue", "integer_ids", "popular"]
