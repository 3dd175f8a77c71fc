"""Memory and time of a training step of MTHGT against the nodes per type of its sub-graphs, p, beside the whole graph.

    python benchmarks/bench_subgraphs.py [--json PATH] [--sizes 256 512 1024 2048] [--users 20000] [--items 20000]
                                         [--clicks 1000000] [--steps 3] [--threads 1]

A drawn log: users with as many clicks each, items by a power law, ten genres; nothing is downloaded. Each size runs in
a process of its own, as the peak of a process never falls. The memory of a step is what the steps added to the peak,
less gradients and the moments of Adam, which come with the first step whatever p is. Beside it stands what one matrix
users x items would take, as float32. A second table times one layer by matrices and by edges: where they cross is
`attention._DENSE_FROM`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.graphs.subgraphs import SubgraphSettings
from prismrec.models.heterogeneous.attention import Adjacency, MutualAttention
from prismrec.models.heterogeneous.configs import MTHGTConfig
from prismrec.models.heterogeneous.mthgt import MTHGT
from prismrec.models.neural.trainable import TorchTraining

N_GENRES = 10
SHARES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
KEY = ("user", "clicked", "item")


def drawn(n_users: int, n_items: int, n_clicks: int) -> PreparedData:
    """Users with equally many clicks, items by a power law; item i has the genre i mod 10."""
    rng = np.random.default_rng(0)
    chance = 1.0 / np.arange(10, n_items + 10)
    clicks = rng.choice(n_items, size=n_clicks, p=chance / chance.sum())
    histories = Sequences.from_lengths(clicks, np.bincount(np.arange(n_clicks) % n_users, minlength=n_users))
    genres = Vocabulary.from_ids(list(range(N_GENRES)))
    nodes = Sequences.from_lists([[item % N_GENRES] for item in range(n_items)])
    items = Vocabulary.from_ids(list(range(n_items)), np.bincount(clicks, minlength=n_items))
    users = Vocabulary.from_ids(list(range(n_users)))
    return PreparedData(
        items, histories, users, histories, {"genre": View("genre", genres, nodes, Sequences.from_lists([]))}
    )


def peak_mb() -> float:
    """The largest resident size that this process had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(options: argparse.Namespace, nodes_per_type: int) -> dict[str, Any]:
    """Some steps at one size, in this process."""
    torch.set_num_threads(options.threads)
    data = drawn(options.users, options.items, options.clicks)
    config = MTHGTConfig(subgraph=SubgraphSettings(nodes_per_type=nodes_per_type))
    model = MTHGT(config, data, seed=0, device="cpu")
    training = TorchTraining(model, seed=0)
    parameters = sum(parameter.nbytes for parameter in model.network.parameters()) / 2**20
    before = peak_mb()
    seconds = []
    for step in range(options.steps):
        started = time.perf_counter()
        training.step(0, step, 0.0)
        seconds.append(time.perf_counter() - started)
    edges = sum(map(len, model._batches.batch(0, 0).messages.values()))
    grown = peak_mb() - before - 3 * parameters
    return {"nodes_per_type": nodes_per_type, "message_edges": edges, "mb": grown, "seconds": min(seconds)}


def layer_seconds(share: float, matrices: bool, n: int = 1024, dim: int = 64, heads: int = 2) -> float:
    """One layer forward and backward on n users and n items of whose pairs a share has an edge; the best of three."""
    rng = np.random.default_rng(0)
    targets, sources = (torch.from_numpy(part) for part in np.nonzero(rng.random((n, n)) < share))
    edges = {KEY: Adjacency.of(sources, targets, n, n, 0.0 if matrices else 2.0)}
    layer = MutualAttention(["user", "item"], [KEY], dim, heads, torch.Generator().manual_seed(0))
    vectors = {name: torch.randn(n, dim, requires_grad=True) for name in ("user", "item")}
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        layer(vectors, edges)["item"].square().sum().backward()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def in_own_process(arguments: list[str], nodes_per_type: int) -> dict[str, Any]:
    """`measured`, in a process that ends with it."""
    command = [sys.executable, __file__, *arguments, "--only", str(nodes_per_type)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def parsed() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--clicks", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", type=int, help="one size in this process, as JSON")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parsed()
    if options.only:
        print(json.dumps(measured(options, options.only)))
        return
    names = ("users", "items", "clicks", "steps", "threads")
    arguments = [text for name in names for text in (f"--{name}", str(getattr(options, name)))]
    rows = [in_own_process(arguments, size) for size in options.sizes]
    adjacency = options.users * options.items * 4 / 2**20
    title = f"{options.users:,} users x {options.items:,} items: {adjacency:,.0f} MB; {options.clicks:,} clicks"
    table = Table("nodes per type", "message edges", "MB of a step", "bytes / p^2", "s per step", title=title)
    for row in rows:
        per_pair = row["mb"] * 2**20 / row["nodes_per_type"] ** 2
        table.add_row(
            f"{row['nodes_per_type']:,}", f"{row['message_edges']:,}", f"{row['mb']:,.0f}", f"{per_pair:,.0f}",
            f"{row['seconds']:.2f}",
        )  # fmt: skip
    Console().print(table)

    torch.set_num_threads(options.threads)
    layers = [
        {"share": share, "matrices": layer_seconds(share, True), "edges": layer_seconds(share, False)}
        for share in SHARES
    ]
    table = Table(
        "pairs with an edge", "ms by matrices", "ms by edges", title="One layer, 1,024 x 1,024, 2 heads of 32"
    )
    for layer in layers:
        table.add_row(f"{layer['share']:.1%}", f"{1000 * layer['matrices']:.0f}", f"{1000 * layer['edges']:.0f}")
    Console().print(table)
    if options.json:
        found = {"users_x_items_mb": adjacency, "sizes": rows, "layers": layers}
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
