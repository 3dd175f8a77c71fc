"""Writing a bundle from memory-mapped vectors: seconds, peak memory, bytes on disk.

    python benchmarks/bench_bundle.py                               # 1 M items x 64 x 2 views
    python benchmarks/bench_bundle.py --items 5000000 --json bundle.json

An invented shop (text ids, an item table, nodes near topics, counts that fall as 1/rank^0.9) is laid down as sharded
training leaves it: one .npy file per table, vocabularies and item table in Arrow files. A process of its own maps these
and writes the bundle, index and measured recall included; anonymous memory (RssAnon) is what it holds itself, as seen
every few milliseconds from outside, and VmHWM counts the mapped pages too that the system keeps in memory because they
were read last. One table is the item view's source or target vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.index.settings import IndexSettings

N_NODES = {"category": 2_000, "shop": 5_000, "brand": 10_000}
N_TOPICS, ROWS = 60, 100_000
EVERY_SECONDS = 0.002


def generate(folder: Path, n_items: int, dim: int, views: list[str]) -> None:
    """Lay down vectors, ids, nodes and item table, a block of items at a time."""
    rng = np.random.default_rng(0)
    topics = noise(rng, N_TOPICS, dim)
    nodes = {view: rng.integers(0, N_NODES[view], n_items).astype(np.int32) for view in views}
    tables = {v: 0.7 * topics[rng.integers(0, N_TOPICS, N_NODES[v])] + 0.7 * noise(rng, N_NODES[v], dim) for v in views}
    for view, table in tables.items():
        ids = pa.array([f"{view} {i}" for i in range(len(table))])
        Vocabulary.from_ids(ids, np.bincount(nodes[view], minlength=len(table))).save(folder / f"{view}.arrow")
        Sequences.from_lengths(nodes[view], np.ones(n_items, np.int64)).save(folder, view)
        for side in ("source", "target"):
            np.save(folder / f"{view}.{side}.npy", 0.3 * (table + 0.3 * noise(rng, *table.shape)))
    files = {s: open_memmap(folder / f"item.{s}.npy", "w+", np.float32, (n_items, dim)) for s in ("source", "target")}
    for start in range(0, n_items, ROWS):
        rows = slice(start, min(start + ROWS, n_items))
        centre = sum((0.5 * tables[view][nodes[view][rows]] for view in views), np.zeros((1, dim), np.float32))
        for file in files.values():
            file[rows] = 0.3 * (centre + 0.6 * noise(rng, rows.stop - rows.start, dim))
    ids = pa.array([f"item-{i:011d}" for i in rng.permutation(n_items).tolist()])
    counts = np.maximum(1, 2e6 / np.arange(1, n_items + 1) ** 0.9).astype(np.int64)
    Vocabulary.from_ids(ids, counts).save(folder / "item.arrow")
    columns = pa.table({"item_id": ids, "price": rng.random(n_items)})
    with pa.OSFile(str(folder / "items.arrow"), "wb") as sink, pa.ipc.new_file(sink, columns.schema) as writer:
        writer.write_table(columns)


def noise(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Normal numbers as float32."""
    return rng.standard_normal(shape, dtype=np.float32)


def mapped_contents(folder: Path, views: list[str], kind: str) -> BundleContents:
    """What training leaves, memory-mapped."""

    def matrix(view: str, side: str) -> NDArray[np.float32]:
        return np.asarray(np.load(folder / f"{view}.{side}.npy", mmap_mode="r"))

    names = ["item", *views]
    return BundleContents(
        vectors={view: EmbeddingTable(matrix(view, "source"), matrix(view, "target")) for view in names},
        vocabularies={view: Vocabulary.load(folder / f"{view}.arrow") for view in names},
        item_nodes={view: Sequences.load(folder, view) for view in views},
        item_columns=pa.ipc.open_file(pa.memory_map(str(folder / "items.arrow"))).read_all(),
        query=QuerySettings(view_weights={"item": 1.0, **dict.fromkeys(views, 0.3)}, popularity_weight=0.5),
        index=IndexSettings.model_validate({"kind": kind}),
    )


def write_once(folder: Path, views: list[str], kind: str) -> None:
    """Write the bundle; say on the standard output when the work begins and how it went."""
    contents = mapped_contents(folder, views, kind)
    print("ready", flush=True)
    began, began_cpu = time.perf_counter(), time.process_time()
    bundle = Bundle.write(folder / "bundle", contents)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    index = bundle.manifest.index
    assert index is not None
    on_disk = sum(record.bytes for record in bundle.manifest.files.values())
    told = {"seconds": seconds, "cpu_seconds": cpu_seconds, "hwm": status("self", "VmHWM"), "on_disk": on_disk}
    print(
        json.dumps({**told, "kind": index.kind, "over_fetch": index.settings.over_fetch, "recall": index.recall}),
        flush=True,
    )


def status(process: int | str, field: str) -> int:
    """Bytes that /proc says of a process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The writing process, watched."""
    command = [sys.executable, __file__, "--folder", str(folder), "--views", *arguments.views, "--kind", arguments.kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = peak = status(process.pid, "RssAnon")
        while process.poll() is None:
            peak = max(peak, status(process.pid, "RssAnon"))
            time.sleep(EVERY_SECONDS)
        told: dict[str, Any] = json.loads(process.stdout.read())
    one_table = 4 * arguments.items * arguments.dim
    return {
        "items": arguments.items, "dim": arguments.dim, "views": 1 + len(arguments.views), **told,
        "one_table": one_table, "anon_before": before, "anon_peak": peak, "ratio": (peak - before) / one_table,
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    """One row."""
    title = f"Bundle of {result['items']:,} items x {result['dim']} x {result['views']} views, index {result['kind']}"
    table = Table(title=title)
    for name in (
        "seconds",
        "CPU s",
        "one table MB",
        "before MB",
        "peak MB",
        "(peak - before) / table",
        "VmHWM MB",
        "disk MB",
    ):
        table.add_column(name, justify="right")
    sizes = [f"{result[name] / 1e6:,.0f}" for name in ("one_table", "anon_before", "anon_peak", "hwm", "on_disk")]
    table.add_row(
        f"{result['seconds']:.1f}", f"{result['cpu_seconds']:.1f}", *sizes[:3], f"{result['ratio']:.2f}", *sizes[3:]
    )
    Console(width=120).print(table)


def main() -> None:
    """Generate, measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--views", nargs="*", choices=list(N_NODES), default=["category"], help="beside the items")
    parser.add_argument("--kind", default="auto", help="of the index")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        write_once(arguments.folder, arguments.views, arguments.kind)
        return
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name), arguments.items, arguments.dim, arguments.views)
        result = measure(Path(name), arguments)
    show(result)
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
        arguments.json.write_text(json.dumps({"benchmark": "bundle", **machine, "results": [result]}, indent=1))


if __name__ == "__main__":
    main()
