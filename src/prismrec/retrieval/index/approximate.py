"""Approximate inner-product search by faiss: which items may be among the best, from compressed copies of the vectors.

scan   all items, from codes of 4 bits per number that are compared in registers: whatever a query weighs
ivf    8 bits per number, items in lists around centroids; a query looks into the lists of its nearest centroids
hnsw   8 bits per number, a graph of near neighbours; a query walks along it

Candidates may be wrong, since `index.ItemIndex` scores them again from the float32 targets. Lists and graphs are laid
out for vectors that weigh all views alike: a query of one view, or away from another, finds less in them, as
`recall.RecallProbe` measures. A scan has no such blind spot, but 16 levels are too few for a popularity prior, whose
few high values decide: it is written as two digits to base 16, a column each (a third would be lost: faiss rounds what
a query gives each level to 8 bits).

faiss lays its threads out per calling thread: building uses all, a search the thread that calls it and no other. Of a
file that is opened, lists and graphs stay memory-mapped; the codes of a scan (half a byte per number) are copied.

While it is built an index lies in memory whole (`index_bytes`), the vectors do not. 100 M items of two views and 64
dimensions are 7.3 GB for "scan", 15 GB for "ivf", 28 GB for "hnsw"; the codes of a scan are laid elsewhere whenever
they pass a power of two, so that for a moment they need up to twice as much.
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

from prismrec.data.blocks import row_blocks
from prismrec.retrieval.index.quantisation import digits, quantisation_levels
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.manifest import damaged

INDEX = "items.faiss"

ApproximateKind = Literal["scan", "ivf", "hnsw"]

_BLOCK = 65_536  # rows that are laid out and added at a time
_SAMPLE = 20_000  # rows that codes are learnt from
_PER_LIST = 64  # rows per centroid that lists are learnt from
_LARGEST_SAMPLE = 2**20  # where more lists get fewer rows each: 16 M items
_ID_BYTES = 8  # of an item in a list
_LINK_BYTES = 4  # of a neighbour in a graph; the upper layers, one item in `n_links`, are left out
_NODE_BYTES = 12  # of an item in a graph: its layer, and where its links begin
_WIDEST = 8  # how many times as far a walk through the graph may go when most items are not allowed


@dataclass(frozen=True, eq=False)
class ApproximateIndex:
    """A faiss index over the rows of a target matrix. Immutable: threads may share it.

    Attributes:
        kind: how candidates are found.
        settings: of the index: probes and efforts.
        faiss_index: the index itself.
    """

    kind: ApproximateKind
    settings: IndexSettings
    faiss_index: Any

    @classmethod
    def build(cls, targets: NDArray[np.float32], kind: ApproximateKind, settings: IndexSettings) -> ApproximateIndex:
        """Learn codes and lists from a sample of the rows and add all of them, a block at a time.

        The same rows and settings give the same bytes, except for the links of "hnsw", which depend on the order in
        which threads add items (with OMP_NUM_THREADS=1 they do not).

        Args:
            targets: (n_items, D) float32, at least one row, the popularity prior last.
            kind: how candidates are to be found.
            settings: of the index.
        """
        index = cls(kind, settings, _EMPTY[kind](targets, settings))
        low, high = targets[:, -1].min(), targets[:, -1].max()
        for rows in row_blocks(len(targets), 8 * targets.shape[1], _BLOCK):
            block = targets[rows]
            index.faiss_index.add(_with_digits(block, low, high) if kind == "scan" else _padded(block))
        return index

    def candidates(
        self, queries: NDArray[np.float32], m: int, allowed: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Up to m items per query that are probably among its best: (B, m) int64, padded with -1, in no order.

        Args:
            queries: (B, D) float32.
            m: how many candidates.
            allowed: (n_items,) which items may be among them; lists and graphs are searched the further, the fewer.
        """
        share = 1.0 if allowed is None else max(int(np.count_nonzero(allowed)), 1) / len(allowed)
        # the selector reads the bits where they lie: both names keep them alive until the search is done
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        laid_out = _repeated_prior(queries) if self.kind == "scan" else _padded(queries)
        with one_thread():
            found: NDArray[np.int64] = self.faiss_index.search(laid_out, m, params=self._parameters(selector, share))[1]
        return found

    def _parameters(self, selector: Any, share: float) -> Any:
        chosen = {} if selector is None else {"sel": selector}
        if self.kind == "hnsw":
            effort = min(int(self.settings.search_effort / share), _WIDEST * self.settings.search_effort)
            return faiss.SearchParametersHNSW(efSearch=effort, **chosen)
        probes = 1 if self.kind == "scan" else min(int(self.settings.n_probes / share), self.faiss_index.nlist)
        return faiss.SearchParametersIVF(nprobe=probes, **chosen)

    def save(self, folder: Path) -> None:
        """Write `items.faiss`."""
        faiss.write_index(self.faiss_index, str(folder / INDEX))

    @classmethod
    def load(
        cls, folder: Path, kind: ApproximateKind, settings: IndexSettings, shape: tuple[int, ...]
    ) -> ApproximateIndex:
        """Open what `save` wrote, memory-mapped as far as faiss can.

        Args:
            folder: where the file lies.
            kind, settings: as when it was built.
            shape: (n_items, D) of the targets that it was built from.

        Raises:
            ArtifactError: the file is missing or damaged, or is an index of something else; names the file.
        """
        path = folder / INDEX
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:
            raise damaged(path, f"faiss cannot read it ({_reason(error)})") from error
        expected = {"scan": faiss.IndexIVFPQFastScan, "ivf": faiss.IndexIVFScalarQuantizer, "hnsw": faiss.IndexHNSWSQ}
        if not isinstance(index, expected[kind]):
            raise damaged(path, f"it holds {type(index).__name__} instead of an index of kind {kind!r}")
        n_items, dim = shape[0], (_scan_dim if kind == "scan" else _padded_dim)(shape[1])
        if (index.ntotal, index.d) != (n_items, dim):
            raise damaged(path, f"it holds {index.ntotal} vectors of {index.d} numbers instead of {n_items} of {dim}")
        return cls(kind, settings, index)


def index_bytes(kind: ApproximateKind, n_items: int, dim: int, settings: IndexSettings) -> int:
    """What an index is, in memory and on disk, its centroids and other small parts left out.

    Args:
        kind: how candidates are found.
        n_items: rows of the targets.
        dim: columns of the targets, the prior among them.
        settings: of the index.
    """
    if kind == "scan":
        return n_items * (_scan_dim(dim) // 2 + _ID_BYTES)
    if kind == "ivf":
        return n_items * (_padded_dim(dim) + _ID_BYTES)
    return n_items * (_padded_dim(dim) + 2 * settings.n_links * _LINK_BYTES + _NODE_BYTES)


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


def _empty_scan(targets: NDArray[np.float32], settings: IndexSettings) -> Any:
    """One list that holds everything, in codes whose levels are set here: learning them takes faiss a hundred times
    as long, and gives the rare digits of the prior no level of their own."""
    dim = _scan_dim(targets.shape[1])
    sample = _with_digits(_sample(targets, _SAMPLE, settings.seed), targets[:, -1].min(), targets[:, -1].max())
    centroids = faiss.IndexFlatIP(dim)
    centroids.add(np.zeros((1, dim), np.float32))
    index = faiss.IndexIVFPQFastScan(centroids, dim, 1, dim, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = False
    faiss.copy_array_to_vector(quantisation_levels(sample).ravel(), index.pq.centroids)
    index.is_trained = True
    return _owning(index, centroids)


def _empty_ivf(targets: NDArray[np.float32], settings: IndexSettings) -> Any:
    n, dim = len(targets), _padded_dim(targets.shape[1])
    n_lists = min(settings.n_lists or round(4 * n**0.5), max(1, n // _PER_LIST))
    centroids = faiss.IndexFlatIP(dim)
    eight_bits = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(centroids, dim, n_lists, eight_bits, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = settings.seed
    index.cp.min_points_per_centroid = 1  # small catalogues get small lists, and no warning on the standard error
    n_sampled = min(max(n_lists * _PER_LIST, _SAMPLE), _LARGEST_SAMPLE)
    index.train(_padded(_sample(targets, n_sampled, settings.seed)))
    return _owning(index, centroids)


def _empty_hnsw(targets: NDArray[np.float32], settings: IndexSettings) -> Any:
    dim, eight_bits = _padded_dim(targets.shape[1]), faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexHNSWSQ(dim, eight_bits, settings.n_links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.build_effort
    index.train(_padded(_sample(targets, _SAMPLE, settings.seed)))
    return index


_EMPTY = {"scan": _empty_scan, "ivf": _empty_ivf, "hnsw": _empty_hnsw}


def _owning(index: Any, centroids: Any) -> Any:
    """Let the index free its centroids, not Python."""
    index.own_fields = True
    centroids.this.disown()
    return index


def _sample(targets: NDArray[np.float32], n: int, seed: int) -> NDArray[np.float32]:
    """At most n rows to learn from, in their order."""
    if len(targets) <= n:
        return targets
    rows: NDArray[np.float32] = targets[np.sort(np.random.default_rng(seed).choice(len(targets), n, replace=False))]
    return rows


def _padded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Zeros up to a multiple of 16 columns, without which faiss falls back to loops that are four times slower."""
    return _widened(rows, _padded_dim(rows.shape[1]))


def _with_digits(rows: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """The prior in the last column as two digits, whose sum it is."""
    wide = _widened(rows, _scan_dim(rows.shape[1]))
    wide[:, rows.shape[1] - 1 : rows.shape[1] + 1] = digits(rows[:, -1], low, high)
    return wide


def _repeated_prior(queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Both digits of the prior have the prior's weight."""
    dim = queries.shape[1]
    wide = _widened(queries, _scan_dim(dim))
    wide[:, dim] = queries[:, -1]
    return wide


def _widened(rows: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    wide = np.zeros((len(rows), dim), np.float32)
    wide[:, : rows.shape[1]] = rows
    return wide


def _scan_dim(dim: int) -> int:
    return dim + 2 - dim % 2  # one more digit; faiss wants an even number


def _padded_dim(dim: int) -> int:
    return -(-dim // 16) * 16


def _reason(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2].rpartition("Error: ")[2]


__all__ = ["ApproximateIndex", "ApproximateKind", "index_bytes", "one_thread"]
