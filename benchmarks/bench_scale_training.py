"""Training on large catalogues: positive pairs per second, peak memory, checkpoint, and how they grow with the items.

    python benchmarks/bench_scale_training.py                                        # 100 k items, for a quick look
    nice -n 10 python benchmarks/bench_scale_training.py --items 1e6 10e6 --json benchmarks/results/scale_training.json

    numba      the compiled step, one process            torch      the same in torch, one process
    sharded    torch, tables shared out among two processes by TorchRec, over gloo

Each point runs in processes of its own, so that their peak memory is their own: fresh vectors, some steps that are not
counted, then whole steps for at least `--seconds`, then a checkpoint. Memory is that of all processes together. The
catalogue (popularity 1/rank^0.9, sequences of 5.7 clicks on average with geometric lengths, a category per item) has
`--clicks-per-item` clicks.
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
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from prismrec.cluster.crew import ALONE, Crew
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import TrainingData, edges_of
from prismrec.data.views import mapped
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.sizing.job import Job
from prismrec.sizing.traffic import rows_per_epoch

MEAN_LENGTH, ITEMS_PER_CATEGORY, WARM_STEPS = 5.7, 1_000, 2
SIZES = [1e5]
ENGINES = ("numba", "torch", "sharded")
PROCESSES = 2


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


def train_once(arguments: argparse.Namespace, crew: Crew) -> dict[str, Any]:
    """One point, in this process and those of its crew; figures of the crew."""
    from prismrec.models.m2grl.model import M2GRL

    n_items, engine = int(arguments.items[0]), arguments.engines[0]
    data = generate(n_items, int(n_items * arguments.clicks_per_item))
    threads = max(1, arguments.threads // crew.size)
    if engine != "numba":
        import torch

        torch.set_num_threads(threads)
    began = time.perf_counter()
    model = M2GRL(
        M2GRLConfig(embedding_dim=arguments.dim), data.share(crew.rank, crew.size), n_threads=threads,
        implementation="numba" if engine == "numba" else "torch", crew=crew,
    )  # fmt: skip
    built = time.perf_counter() - began
    pairs, steps, seconds, cpu_seconds = take_steps(model, arguments.seconds, crew)
    job = Job(
        clicks=data.n_clicks, items=n_items, views={"category": data.n_nodes["category"]}, sequence_length=MEAN_LENGTH
    )
    rows = rows_per_epoch(job) * steps / model.steps_per_epoch
    peak = crew.total(np.array([peak_gigabytes()]))[0]
    cpu_seconds = float(crew.total(np.array([cpu_seconds]))[0])
    written, checkpoint = write_state(model, arguments.folder)
    return {
        "items": n_items,
        "clicks": data.n_clicks,
        "engine": engine,
        "processes": crew.size,
        "threads": threads * crew.size,
        "dim": arguments.dim,
        "load": os.getloadavg()[0],
        "steps": steps,
        "build_seconds": built,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "pairs_per_second": pairs / seconds,
        "rows_per_second": rows / seconds,
        "rows_per_cpu_second": rows / cpu_seconds,
        "peak_gigabytes": float(peak),
        "checkpoint_gigabytes": float(crew.total(np.array([checkpoint]))[0]),
        "checkpoint_seconds": written,
    }


def take_steps(model: Any, at_least: float, crew: Crew) -> tuple[int, int, float, float]:
    """Steps until the slowest of the crew has taken so many seconds: pairs of items, steps, seconds, CPU seconds."""
    pairs, step, began, used, going_on = 0, 0, 0.0, 0.0, True
    while going_on:
        if step == WARM_STEPS:
            pairs, began, used = 0, time.perf_counter(), time.process_time()
        losses = model.step(step // model.steps_per_epoch, step % model.steps_per_epoch, 0.5)
        pairs += losses[ITEM_VIEW].n_examples
        step += 1
        going_on = bool(crew.most(int(step <= WARM_STEPS or time.perf_counter() - began < at_least)))
    return pairs, step - WARM_STEPS, time.perf_counter() - began, time.process_time() - used


def write_state(model: Any, folder: Path) -> tuple[float, float]:
    """Seconds and gigabytes of what a checkpoint of this process's arrays takes."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for number, array in enumerate(model.state().values()):
            np.save(Path(name) / f"{number}.npy", array)
        os.sync()
        seconds = time.perf_counter() - began
        return seconds, sum(file.stat().st_size for file in Path(name).iterdir()) / 1e9


def peak_gigabytes() -> float:
    """The most this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def crew_of(engine: str) -> AbstractContextManager[Crew]:
    """The processes that torchrun started, or this one alone."""
    from prismrec.cluster.process_group import process_group

    return process_group() if engine == "sharded" else nullcontext(ALONE)


def measure(n_items: int, engine: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One point in processes of its own: one, or two that share the tables."""
    command = [__file__, "--point", "--items", str(n_items), "--engines", engine]
    for name in ("threads", "dim", "seconds", "clicks_per_item", "folder"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    if engine == "sharded":
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES), *command]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, arguments.threads))}
    output = subprocess.run(
        [sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True, env=environment
    ).stdout
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
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="sharded: 2 processes")
    parser.add_argument("--threads", type=int, default=2, help="of all processes together")
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
        with crew_of(arguments.engines[0]) as crew:
            found = train_once(arguments, crew)
            if crew.rank == 0:
                print(json.dumps(found))
        return
    results = [measure(int(n), engine, arguments) for engine in arguments.engines for n in arguments.items]
    show(results, Console(width=140))
    if arguments.json:
        keep(results, arguments.json)


def keep(results: list[dict[str, Any]], path: Path) -> None:
    """Write the points; those of an earlier run that were not measured again stay."""
    known = json.loads(path.read_text())["results"] if path.exists() else []
    points = {(r["engine"], r["processes"], r["items"]): r for r in (*known, *results)}
    document = {"benchmark": "scale_training", "cpus": os.cpu_count(), "results": [points[at] for at in sorted(points)]}
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
