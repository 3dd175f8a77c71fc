"""Approximate inner-product search by faiss: which items may be among the best, from compressed copies of the vectors.

ivf    the items in lists around centroids; a query looks into the lists of its nearest centroids ("probes")
hnsw   a graph of near neighbours; a query walks along it ("effort": how many candidates it keeps in sight)

Codes are compressed, since `index.ItemIndex` scores every candidate again from the float32 targets. Vectors are padded
with zeros to a multiple of 16, without which faiss falls back to loops that are four times slower. faiss lays its
threads out per calling thread: building uses all of them, a search uses the thread that calls it and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from prismrec.retrieval.index_settings import IndexSettings
from prismrec.retrieval.manifest import damaged

INDEX = "items.faiss"

ApproximateKind = Literal["ivf", "hnsw"]

_BLOCK = 65_536  # rows that are padded and added at a time
_PER_LIST = 64  # rows per centroid that k-means learns from
_CODE_SAMPLE = 65_536  # rows that codes are learnt from
_WIDEST = 8  # how many times its own effort a filtered walk through the graph may take


@dataclass(frozen=True, eq=False)
class ApproximateIndex:
    """A faiss index over the rows of a target matrix.

    Attributes:
        kind: "ivf" or "hnsw".
        effort: ivf: lists looked into; hnsw: candidates in sight (efSearch).
        faiss_index: the index itself.
    """

    kind: ApproximateKind
    effort: int
    faiss_index: Any

    @classmethod
    def build(cls, targets: NDArray[np.float32], kind: ApproximateKind, settings: IndexSettings) -> ApproximateIndex:
        """Learn lists and codes from a sample of the rows and add all of them, a block at a time.

        The same rows, settings and seed give the same "ivf" index, byte for byte. The links of "hnsw" depend on the
        order in which threads add items, unless OMP_NUM_THREADS is 1.
        """
        index = _ivf(targets, settings) if kind == "ivf" else _hnsw(targets, settings)
        for start in range(0, len(targets), _BLOCK):
            index.add(_padded(targets[start : start + _BLOCK]))
        effort = settings.n_probes if kind == "ivf" else settings.search_effort
        return cls(kind, min(effort, index.nlist) if kind == "ivf" else effort, index)

    @property
    def most_effort(self) -> int:
        """The effort beyond which more is pointless: all lists, or eight times what a graph is usually walked with."""
        return int(self.faiss_index.nlist) if self.kind == "ivf" else max(self.effort, 1024)

    def candidates(
        self, queries: NDArray[np.float32], m: int, allowed: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Up to m items per query that are probably among its best: (B, m) int64, padded with -1, in no order.

        Args:
            queries: (B, D) float32.
            m: how many candidates.
            allowed: (n_items,) which items may be among them; the search looks the further, the fewer they are.
        """
        share = 1.0 if allowed is None else max(int(np.count_nonzero(allowed)), 1) / len(allowed)
        # the selector reads the bits wherever they lie: both names keep them alive until the search is done
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        with one_thread():
            found = self.faiss_index.search(_padded(queries), m, params=self._parameters(selector, share))[1]
        indices: NDArray[np.int64] = found
        return indices

    def _parameters(self, selector: Any, share: float) -> Any:
        effort = int(np.ceil(self.effort / share))
        chosen = {} if selector is None else {"sel": selector}
        if self.kind == "ivf":
            return faiss.SearchParametersIVF(nprobe=min(effort, self.most_effort), **chosen)
        return faiss.SearchParametersHNSW(efSearch=min(effort, _WIDEST * self.effort), **chosen)

    def save(self, folder: Path) -> None:
        """Write `items.faiss`."""
        faiss.write_index(self.faiss_index, str(folder / INDEX))

    @classmethod
    def load(cls, folder: Path, kind: ApproximateKind, effort: int, n_items: int, dim: int) -> ApproximateIndex:
        """Memory-map what `save` wrote.

        Args:
            folder: where the file lies.
            kind, effort: as when it was saved.
            n_items, dim: the shape of the targets that it was built from.

        Raises:
            ArtifactError: the file is missing or damaged, or is an index of something else; names the file.
        """
        path = folder / INDEX
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:
            raise damaged(path, f"faiss cannot read it ({_last_line(error)})") from error
        expected = faiss.IndexIVF if kind == "ivf" else faiss.IndexHNSW
        if not isinstance(index, expected):
            raise damaged(path, f"it holds {type(index).__name__} instead of an index of kind {kind!r}")
        if (index.ntotal, index.d) != (n_items, _padded_dim(dim)):
            raise damaged(
                path,
                f"it holds {index.ntotal} vectors of {index.d} numbers instead of {n_items} of {_padded_dim(dim)}",
            )
        return cls(kind, effort, index)


@contextmanager
def one_thread() -> Iterator[None]:
    """faiss on the calling thread alone.

    A service answers requests side by side: one thread each is faster than all of them sharing all cores. OpenMP keeps
    the number per calling thread, so this changes nothing for others.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _ivf(targets: NDArray[np.float32], settings: IndexSettings) -> Any:
    n, dim = len(targets), _padded_dim(targets.shape[1])
    n_lists = min(settings.n_lists or round(4 * n**0.5), max(1, n // _PER_LIST))
    centroids = faiss.IndexFlatIP(dim)
    if settings.codes == "4bit":
        index = faiss.IndexIVFPQFastScan(centroids, dim, n_lists, dim // 2, 4, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.seed = settings.seed
        index.pq.cp.min_points_per_centroid = 1
    else:
        index = faiss.IndexIVFScalarQuantizer(centroids, dim, n_lists, _quantizer(settings), faiss.METRIC_INNER_PRODUCT)
    index.own_fields = True
    centroids.this.disown()
    index.cp.seed = settings.seed
    index.cp.min_points_per_centroid = 1  # small catalogues get small lists, and no warning on the standard error
    index.train(_sample(targets, max(n_lists * _PER_LIST, _CODE_SAMPLE), settings.seed))
    return index


def _hnsw(targets: NDArray[np.float32], settings: IndexSettings) -> Any:
    dim = _padded_dim(targets.shape[1])
    index = faiss.IndexHNSWSQ(dim, _quantizer(settings), settings.n_links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.build_effort
    index.train(_sample(targets, _CODE_SAMPLE, settings.seed))
    return index


def _quantizer(settings: IndexSettings) -> Any:
    kinds = {"8bit": faiss.ScalarQuantizer.QT_8bit, "16bit": faiss.ScalarQuantizer.QT_fp16}
    return kinds.get(settings.codes, faiss.ScalarQuantizer.QT_8bit)


def _sample(targets: NDArray[np.float32], n: int, seed: int) -> NDArray[np.float32]:
    """Padded rows to learn from: at most n of them, and at least 256, which codes need, by repetition."""
    if len(targets) > n:
        chosen = np.sort(np.random.default_rng(seed).choice(len(targets), n, replace=False))
    else:
        chosen = np.resize(np.arange(len(targets)), max(len(targets), 256))
    return _padded(targets[chosen])


def _padded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.zeros((len(rows), _padded_dim(rows.shape[1])), np.float32)
    padded[:, : rows.shape[1]] = rows
    return padded


def _padded_dim(dim: int) -> int:
    return -(-dim // 16) * 16


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2].rpartition("Error: ")[2]


__all__ = ["ApproximateIndex", "ApproximateKind", "one_thread"]
