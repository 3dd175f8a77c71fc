"""What the size of an update and 16-bit rows cost in quality: HR@50 of the torch step beside the compiled one.

    python benchmarks/bench_updates.py [--json PATH] [--anchors 256 2048 8192 32768] [--seeds 3] [--epochs 4]

The corpus and the score of `bench_skipgram.py`, 10,000 items and 20,000 sequences unless told otherwise, contexts
forward, rate 0.3, one thread. Several seeds of training, one corpus: the spread is that of training alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench_skipgram import Corpus, config, generate, hit_rate, prepared
from prismrec.data.training_data import training_data
from prismrec.models.m2grl.model import M2GRL
from prismrec.models.m2grl.sharding import ShardingSettings


def trained(corpus: Corpus, seed: int, epochs: int, implementation: str, sharding: ShardingSettings) -> float:
    """HR@50 after some epochs."""
    data = training_data(prepared(corpus, {}), "sessions")
    model = M2GRL(
        config(context="forward"), data, learning_rate=0.3, seed=seed, n_threads=1,
        implementation=implementation, sharding=sharding,
    )  # fmt: skip
    n = model.steps_per_epoch * epochs
    for number in range(n):
        model.step(number // model.steps_per_epoch, number % model.steps_per_epoch, number / n)
    return hit_rate(corpus, model.tables()["item"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--sequences", type=int, default=20_000)
    parser.add_argument("--anchors", type=int, nargs="+", default=[256, 2_048, 8_192, 32_768])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()

    corpus = generate(options.items, options.sequences)
    ways = [("compiled, one anchor after the other", "numba", ShardingSettings())]
    ways += [(f"torch, {n:,} anchors", "torch", ShardingSettings(anchors_per_update=n)) for n in options.anchors]
    ways += [("torch, 2,048 anchors, fp16", "torch", ShardingSettings(storage="fp16"))]
    ways += [("torch, 2,048 anchors, bf16", "torch", ShardingSettings(storage="bf16"))]
    rows: list[dict[str, Any]] = []
    table = Table("step", "HR@50", "by seed", title=f"Updates, {options.items:,} items, {options.epochs} epochs")
    for name, implementation, sharding in ways:
        found = [trained(corpus, seed, options.epochs, implementation, sharding) for seed in range(options.seeds)]
        rows.append({"step": name, "hr_at_50": found})
        table.add_row(name, f"{np.mean(found):.3f}", " ".join(f"{each:.3f}" for each in found))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps({"epochs": options.epochs, "items": options.items, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
