"""Time, size and recall of every kind of index, and how fast a bundle opens.

    python benchmarks/bench_index.py [--items N] [--bundle PATH] [--json PATH]

Without a bundle an invented shop is searched: 200,000 items x 3 views x 64, categories and shops in topics, counts that
fall as 1/rank^0.9. Recall is the share of the 50 best that is found, the least of the weightings that the build looks
at. The floor of an exact search is the time in which memory delivers the matrix once, at the rate of summing it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle_files import BundleContents, read_bundle, write_bundle
from prismrec.retrieval.index.approximate import one_thread
from prismrec.retrieval.index.item_index import ItemIndex
from prismrec.retrieval.index.recall import RecallProbe
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.retrieval.matrices import ItemMatrices

DIM, N_CATEGORIES, N_SHOPS, N_TOPICS, K = 64, 2_000, 5_000, 60, 50
KINDS = {
    "exact": IndexSettings(kind="exact"),
    "scan": IndexSettings(kind="scan"),
    "scan, 8 per item": IndexSettings(kind="scan", over_fetch=8),
    "ivf, 16 probes": IndexSettings(kind="ivf", n_probes=16),
    "ivf, 64 probes": IndexSettings(kind="ivf", n_probes=64),
    "ivf, 256 probes": IndexSettings(kind="ivf", n_probes=256),
    "hnsw, effort 256": IndexSettings(kind="hnsw", search_effort=256),
}

OPENING = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from prismrec.retrieval.bundle_files import read_bundle, read_index
imported = time.perf_counter()
path = Path(sys.argv[1])
manifest, contents = read_bundle(path, sys.argv[2])
matrices, index = read_index(path, manifest, contents)
opened = time.perf_counter()
index.search(matrices.targets[:1], 50)
answered = time.perf_counter()
text = Path("/proc/self/smaps_rollup").read_text()
own = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous"))
print(imported - began, opened - imported, answered - opened, own / 1000)
"""


def invented_shop(n_items: int, seed: int = 0) -> BundleContents:
    """Items near their category and shop, both near topics; popular items first, as vocabularies have them."""
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    def table(rows: NDArray[np.float32]) -> EmbeddingTable:
        return EmbeddingTable(rows * np.float32(0.2), (rows + 0.3 * noise(*rows.shape)) * np.float32(0.6))

    topics = noise(N_TOPICS, DIM)
    categories = 0.8 * topics[rng.integers(0, N_TOPICS, N_CATEGORIES)] + 0.6 * noise(N_CATEGORIES, DIM)
    shops = 0.5 * topics[rng.integers(0, N_TOPICS, N_SHOPS)] + 0.8 * noise(N_SHOPS, DIM)
    category, shop = rng.zipf(1.3, n_items) % N_CATEGORIES, rng.zipf(1.3, n_items) % N_SHOPS
    items = 0.6 * categories[category] + 0.3 * shops[shop] + 0.6 * noise(n_items, DIM)
    items *= rng.uniform(0.3, 1, (n_items, 1)).astype(np.float32)
    counts = np.maximum(1, 2e6 / np.arange(1, n_items + 1) ** 0.9).astype(np.int64)
    sizes = {"item": n_items, "category": N_CATEGORIES, "shop": N_SHOPS}
    return BundleContents(
        vectors={"item": table(items), "category": table(categories), "shop": table(shops)},
        vocabularies={
            view: Vocabulary(pa.array(np.arange(n)), counts if view == "item" else np.ones(n, np.int64))
            for view, n in sizes.items()
        },
        item_nodes={
            "category": Sequences.from_lengths(category.astype(np.int32), np.ones(n_items, np.int64)),
            "shop": Sequences.from_lengths(shop.astype(np.int32), np.ones(n_items, np.int64)),
        },
        query=QuerySettings(view_weights={"item": 1.0, "category": 0.3, "shop": 0.2}, popularity_weight=0.5),
    )


def milliseconds(call: Callable[[int], Any], repeats: int) -> tuple[float, float]:
    """Median and 99th percentile of calls 0, 1, ... after one to warm up."""
    call(0)
    taken = []
    for i in range(repeats):
        began = time.perf_counter()
        call(i)
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.median(taken)), float(np.percentile(taken, 99))


def measure_kind(settings: IndexSettings, matrices: ItemMatrices, probe: RecallProbe) -> dict[str, float]:
    """Build one kind and ask it single queries, batches of 16, and with masks."""
    began = time.perf_counter()
    index = ItemIndex.build(matrices.targets, settings)
    built = time.perf_counter() - began
    queries = probe.queries["bundle"]
    draws = np.random.default_rng(1).random(matrices.n_items)
    figures = {"build_seconds": built}
    for name, allowed in (("all", None), ("30 % allowed", draws < 0.3), ("1 % allowed", draws < 0.01)):
        median, tail = milliseconds(lambda i, a=allowed: index.search(queries[i : i + 1], K, a), 100)  # type: ignore[misc]
        figures |= {f"{name}: single ms": median, f"{name}: p99 ms": tail}
    batch = milliseconds(lambda i: index.search(queries[16 * (i % 8) :][:16], K), 16)[0] / 16
    recall = probe.measure(index)
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        **figures,
        "batch of 16: ms each": batch,
        "file_mb": size / 1e6,
        **{f"recall {n}": r for n, r in recall.items()},
    }


def measure_rivals(targets: NDArray[np.float32], queries: NDArray[np.float32]) -> dict[str, float]:
    """Other ways to search exactly, and the floor: milliseconds for one query, on one thread where it can be set."""
    with one_thread():
        flat = milliseconds(lambda i: faiss.knn(queries[i : i + 1], targets, K, metric=faiss.METRIC_INNER_PRODUCT), 20)[
            0
        ]
        flat_16 = milliseconds(lambda i: faiss.knn(queries[:16], targets, K, metric=faiss.METRIC_INNER_PRODUCT), 3)[0]

    def product(n: int) -> float:
        return milliseconds(lambda i: np.argpartition(queries[:n] @ targets.T, -K, axis=1), 10)[0] / n

    return {
        "floor: one pass over the matrix": milliseconds(lambda _: targets.sum(), 20)[0],
        "faiss.knn, one": flat,
        "faiss.knn, 16: each": flat_16 / 16,
        "matrix product and argpartition, one": product(1),
        "matrix product and argpartition, 16: each": product(16),
    }


def measure_opening(path: Path) -> dict[str, dict[str, float]]:
    """Seconds of a fresh process: imports, opening, first answer; and its memory, shared files aside."""
    names = ("import", "open", "first answer", "own memory, MB")
    found = {}
    for verify in ("sizes", "full"):
        command = [sys.executable, "-c", OPENING, str(path), verify]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
        found[verify] = {name: float(np.median([float(run[i]) for run in runs])) for i, name in enumerate(names)}
    return found


def show(console: Console, title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row if not name.startswith("recall ")))
    table = Table("", *columns, "least recall", title=title)
    for name, row in rows.items():
        recalls = {n.removeprefix("recall "): value for n, value in row.items() if n.startswith("recall ")}
        worst = min(recalls, key=lambda n: recalls[n]) if recalls else ""
        least = f"{recalls[worst]:.3f} ({worst})" if recalls else ""
        table.add_row(name, *(f"{row[column]:.2f}" for column in columns), least)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--bundle", type=Path, help="search a bundle instead of the invented shop")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    contents = read_bundle(arguments.bundle)[1] if arguments.bundle else invented_shop(arguments.items)
    counts = contents.vocabularies["item"].counts
    console = Console(width=200)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        began = time.perf_counter()
        write_bundle(path, contents)
        written = time.perf_counter() - began
        opening = measure_opening(path)
    matrices = ItemMatrices.of(contents.vectors, contents.item_nodes, counts, contents.query.similarity)
    probe = RecallProbe(matrices, contents.query)
    kinds = {name: measure_kind(settings, matrices, probe) for name, settings in KINDS.items()}
    rivals = measure_rivals(matrices.targets, probe.queries["bundle"])
    show(console, f"Index over {matrices.targets.shape[0]:,} x {matrices.targets.shape[1]}, k = {K}", kinds)
    show(console, "Exact search otherwise, ms", {"": rivals})
    show(console, f"A fresh process opens the bundle (written in {written:.1f} s), seconds", opening)
    if arguments.json:
        figures = {"kinds": kinds, "exact_ms": rivals, "opening": opening, "write_seconds": written}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
