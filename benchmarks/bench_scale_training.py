"""Training on large catalogues: positive pairs per second, peak memory, checkpoint, and how they grow with the items.

    python benchmarks/bench_scale_training.py                                        # 100 k items, for a quick look
    nice -n 10 python benchmarks/bench_scale_training.py --items 1e6 10e6 --json benchmarks/results/scale_training.json

Each point runs in a process of its own, so that its peak memory is its own: fresh vectors, some steps that are not
counted, then whole steps for at least `--seconds`, then a checkpoint. The catalogue (popularity 1/rank^0.9, sequences
of 5.7 clicks on average with geometric lengths, a category per item) has `--clicks-per-item` clicks.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import TrainingData, edges_of
from prismrec.data.views import mapped
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.sizing.job import Job
from prismrec.sizing.traffic import rows_per_epoch

MEAN_LENGTH, ITEMS_PER_CATEGORY, WARM_STEPS = 5.7, 1_000, 2
SIZES = [1e5]


def generate(n_items: int, n_clicks: int, seed: int = 0) -> TrainingData:
    """Sequences of items whose index falls with their popularity, and of their categories."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, n_items + 1) ** 0.9
    items = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(n_clicks)).astype(np.int32)
    items = np.minimum(items, np.int32(n_items - 1))
    ends = np.append(np.flatnonzero(rng.random(n_clicks - 1) < 1 / MEAN_LENGTH) + 1, n_clicks)
    sequences = Sequences(items, np.concatenate([[0], ends]).astype(np.int64))
    n_categories = max(2, n_items // ITEMS_PER_CATEGORY)
    nodes = rng.integers(0, n_categories, n_items).astype(np.int32)
    item_nodes = Sequences(nodes, np.arange(n_items + 1, dtype=np.int64))
    found = {ITEM_VIEW: sequences, "category": mapped(sequences, item_nodes)}
    n_nodes = {ITEM_VIEW: n_items, "category": n_categories}
    return TrainingData(
        n_nodes=n_nodes,
        sequences=found,
        counts={view: np.bincount(s.values, minlength=n_nodes[view]) for view, s in found.items()},
        edges={"category": edges_of(item_nodes)},
        item_nodes={"category": item_nodes},
    )


def train_once(arguments: argparse.Namespace) -> dict[str, Any]:
    """One point, in this process alone."""
    from prismrec.models.m2grl.model import M2GRL

    n_items = int(arguments.items[0])
    data = generate(n_items, int(n_items * arguments.clicks_per_item))
    generated = peak_gigabytes()
    began = time.perf_counter()
    model = M2GRL(
        M2GRLConfig(embedding_dim=arguments.dim), data, n_threads=arguments.threads, implementation=arguments.engine
    )
    built = time.perf_counter() - began
    pairs, step, began, used = 0, 0, 0.0, 0.0
    while step <= WARM_STEPS or time.perf_counter() - began < arguments.seconds:
        if step == WARM_STEPS:
            pairs, began, used = 0, time.perf_counter(), time.process_time()
        losses = model.step(step // model.steps_per_epoch, step % model.steps_per_epoch, 0.5)
        pairs += losses[ITEM_VIEW].n_examples
        step += 1
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - used
    trained = peak_gigabytes()
    began = time.perf_counter()
    job = Job(
        clicks=data.n_clicks, items=n_items, views={"category": data.n_nodes["category"]}, sequence_length=MEAN_LENGTH
    )
    rows = rows_per_epoch(job) * (step - WARM_STEPS) / model.steps_per_epoch
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for number, array in enumerate(model.state().values()):
            np.save(Path(folder) / f"{number}.npy", array)
        os.sync()
        written = time.perf_counter() - began
        checkpoint = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        "items": n_items,
        "clicks": data.n_clicks,
        "engine": arguments.engine,
        "processes": 1,
        "threads": arguments.threads,
        "dim": arguments.dim,
        "steps": step - WARM_STEPS,
        "build_seconds": built,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "pairs_per_second": pairs / seconds,
        "rows_per_second": rows / seconds,
        "rows_per_cpu_second": rows / cpu_seconds,
        "data_gigabytes": generated,
        "peak_gigabytes": trained,
        "checkpoint_gigabytes": checkpoint / 1e9,
        "checkpoint_seconds": written,
    }


def peak_gigabytes() -> float:
    """The most this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(n_items: int, engine: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One point in a process of its own."""
    command = [sys.executable, __file__, "--point", "--items", str(n_items), "--engines", engine]
    for name in ("threads", "dim", "seconds", "clicks_per_item", "folder"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def exponent(small: dict[str, Any], large: dict[str, Any], name: str) -> float:
    """b in cost ~ items^b between two points."""
    return math.log(large[name] / small[name]) / math.log(large["items"] / small["items"])


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Print one row per point; growth is against the point before with as many processes."""
    table = Table(title="Training: time per pair and memory by the size of the catalogue")
    names = (
        "items",
        "engine",
        "processes",
        "M pairs/s",
        "M rows/s",
        "M rows/CPU s",
        "time ~ items^",
        "peak GB",
        "memory ~ items^",
        "checkpoint",
    )
    for name in names:
        table.add_column(name, justify="right")
    for place, r in enumerate(results):
        before = [o for o in results[:place] if (o["engine"], o["processes"]) == (r["engine"], r["processes"])]
        time_growth = f"{-exponent(before[-1], r, 'pairs_per_second'):.2f}" if before else ""
        memory_growth = f"{exponent(before[-1], r, 'peak_gigabytes'):.2f}" if before else ""
        table.add_row(
            f"{r['items']:,}", r["engine"], str(r["processes"]), f"{r['pairs_per_second'] / 1e6:.2f}",
            f"{r['rows_per_second'] / 1e6:.1f}", f"{r['rows_per_cpu_second'] / 1e6:.1f}", time_growth,
            f"{r['peak_gigabytes']:.2f}", memory_growth,
            f"{r['checkpoint_gigabytes']:.2f} GB in {r['checkpoint_seconds']:.1f} s",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Measure every point, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=float, nargs="+", default=SIZES, help="catalogues to measure")
    parser.add_argument("--engines", nargs="+", default=["numba", "torch"], help="numba, torch")
    parser.add_argument("--threads", type=int, default=2, help="threads of the numba engine")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="at least so long is measured")
    parser.add_argument("--clicks-per-item", type=float, default=5.0)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where checkpoints are written"
    )
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--point", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        arguments.engine = arguments.engines[0]
        print(json.dumps(train_once(arguments)))
        return
    results = [measure(int(n), engine, arguments) for engine in arguments.engines for n in arguments.items]
    show(results, Console(width=140))
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
        arguments.json.write_text(json.dumps({"benchmark": "scale_training", **machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()
