"""Positive pairs per second of the whole intra-view step on one device, against the bytes that it must move.

    python benchmarks/bench_device.py [--json PATH] [--device cpu] [--rows 100000 ...] [--dims 64 128] [--storage fp32]

A step draws the examples of `--clicks` clicks (pairs, reaches, negatives by alias tables) and learns from them. All
ways learn from the same batches, window 5, forward, 10 negatives by count^0.5:

- numba: the compiled engine on the CPU, whatever `--device` says;
- torch: the torch engine with torch's kernels on the device, examples drawn there where it is a GPU;
- triton: the same with Triton's kernels; on a GPU only, since its interpreter says nothing of speed;
- sparse embedding: the peer, torch's `nn.Embedding(sparse=True)` with autograd and `optim.Adagrad`, or `SparseAdam`.

The floor: every row that an anchor meets is read and written once with its accumulator, 1 + m + K rows for m pairs, at
the bandwidth that copying a large tensor reaches on the same device in the same run. gensim publishes 1.76 M words/s.

On a GPU with room for it: --device cuda --rows 1000000 100000000 --anchors 65536 --clicks 1048576 --storage fp32 bf16
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import TrainingData
from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.models.m2grl.cpu_engine import CpuEngine
from prismrec.models.m2grl.device_batches import parts_of, to_device
from prismrec.models.m2grl.device_sampler import DeviceSampler
from prismrec.models.m2grl.local_tables import LocalTables
from prismrec.models.m2grl.row_gradients import anchor_of_pair
from prismrec.models.m2grl.row_storage import BYTES_OF, Storage, dtype_of
from prismrec.models.m2grl.sampler import Examples, Sampler
from prismrec.models.m2grl.torch_device import Kernels, TorchDevice
from prismrec.models.m2grl.torch_engine import TorchEngine

WINDOW, NEGATIVES, POWER, LENGTH, RATE = 5, 10, 0.5, 20, 0.1
GENSIM_WORDS_PER_SECOND = 1.76e6
GOAL_PAIRS_PER_SECOND = 57e9 / 600
"""57 billion examples in ten minutes."""


@dataclass(frozen=True)
class Case:
    """One size and how it is run."""

    n_rows: int
    dim: int
    storage: Storage
    anchors: int
    data: TrainingData

    @property
    def config(self) -> M2GRLConfig:
        """Settings of the examples."""
        return M2GRLConfig(embedding_dim=self.dim, window=WINDOW, negatives=NEGATIVES, negative_power=POWER)


def generate(n_rows: int, n_clicks: int, seed: int = 0) -> TrainingData:
    """Sequences of 20 items by a power law, density ~ place^(-2/3): few items are met often, most of them seldom."""
    rng = np.random.default_rng(seed)
    items = (n_rows * rng.random(n_clicks // LENGTH * LENGTH, np.float32) ** 3).astype(np.int32)
    items = np.minimum(items, n_rows - 1)
    sequences = Sequences.from_lengths(items, np.full(n_clicks // LENGTH, LENGTH))
    counts = np.bincount(items, minlength=n_rows) + 1
    return TrainingData({ITEM_VIEW: n_rows}, {ITEM_VIEW: sequences}, {ITEM_VIEW: counts}, {}, {})


def copy_bandwidth(device: TorchDevice) -> float:
    """Bytes per second, reads and writes added, of copying a tensor far larger than any cache."""
    numbers = 1 << (30 if device.is_cuda else 26)
    one = torch.ones(numbers, device=device.device)
    other = torch.empty_like(one)
    seconds = best_seconds(lambda: other.copy_(one), device, 5)
    return 2 * 4 * numbers / seconds


def best_seconds(work: Callable[[], Any], device: TorchDevice, turns: int) -> float:
    """The fastest of some turns after one that warms up."""
    seconds = []
    for _ in range(turns + 1):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def floor_bytes_per_pair(batch: SkipGramBatch, dim: int, storage: Storage) -> float:
    """Bytes of the rows and accumulators that the anchors of a batch meet, read and written, per positive pair."""
    n_rows = len(batch.anchors) * (1 + NEGATIVES) + batch.n_pairs
    return n_rows * (2 * dim * BYTES_OF[storage] + 8) / batch.n_pairs


def run_numba(case: Case, turns: int) -> float:
    """Seconds of a step of the compiled engine."""
    rng = np.random.default_rng(0)
    source = rng.standard_normal((case.n_rows, case.dim), np.float32) * np.float32(0.1)
    state = {"item.source": source, "item.target": np.zeros_like(source)}
    state |= {f"item.{side}_memory": np.full(case.n_rows, 0.1, np.float32) for side in ("source", "target")}
    return _seconds_of(CpuEngine(state), Sampler(case.config, case.data), case, TorchDevice("cpu"), turns)


def run_torch(case: Case, device: TorchDevice, turns: int) -> float:
    """Seconds of a step of the torch engine; examples are drawn where the product draws them."""
    tables = LocalTables(tensors_of(case, device), device)
    engine = TorchEngine(tables, {}, case.data.n_nodes, device, anchors_per_update=case.anchors)
    sampler: Examples = Sampler(case.config, case.data)
    if device.is_cuda:
        sampler = DeviceSampler(case.config, case.data, device)
    return _seconds_of(engine, sampler, case, device, turns)


def run_peer(case: Case, device: TorchDevice, turns: int, optimizer: str) -> float:
    """Seconds of a step of sparse embeddings; its examples are drawn before the clock starts."""
    source, target = (torch.nn.Embedding(case.n_rows, case.dim, sparse=True, device=device.device) for _ in range(2))
    torch.nn.init.normal_(source.weight, std=0.1)
    torch.nn.init.zeros_(target.weight)
    parameters = [source.weight, target.weight]
    kinds: dict[str, Any] = {"Adagrad": torch.optim.Adagrad, "SparseAdam": torch.optim.SparseAdam}
    learner = kinds[optimizer](parameters, lr=0.05)
    batch = to_device(_batch_of(case), device)
    n_parts = -(-len(batch.anchors) // case.anchors)

    def step() -> None:
        for part in parts_of(batch, case.anchors, n_parts, device):
            u, v, n = source(part.anchors), target(part.contexts), target(part.negatives)
            owner = anchor_of_pair(part)
            positive = (u[owner] * v).sum(1)
            negative = torch.bmm(n, u[:, :, None]).squeeze(2)
            softplus = torch.nn.functional.softplus
            loss = softplus(-positive).sum() + (part.offsets.diff()[:, None] * softplus(negative)).sum()
            learner.zero_grad()
            loss.backward()
            learner.step()

    return best_seconds(step, device, turns)


def tensors_of(case: Case, device: TorchDevice) -> dict[str, torch.Tensor]:
    """Tables made on the device: no copy of them ever lies in main memory."""
    kind = dtype_of(case.storage, device)
    device.require_room(
        2 * case.n_rows * (case.dim * BYTES_OF[case.storage] + 4), f"{case.n_rows:,} rows", "take fewer --rows"
    )
    source = torch.empty((case.n_rows, case.dim), dtype=kind, device=device.device).normal_(0, 0.1)
    tables = {"item.source": source, "item.target": torch.zeros_like(source)}
    memories = {f"{name}_memory": torch.full((case.n_rows,), 0.1, device=device.device) for name in tables}
    return tables | memories


def _seconds_of(engine: Any, sampler: Examples, case: Case, device: TorchDevice, turns: int) -> float:
    offsets = np.zeros(case.n_rows, np.float32)
    order = sampler.order(np.arange(sampler.n_sequences(ITEM_VIEW)), ITEM_VIEW)

    def step() -> None:
        float(engine.learn_intra(ITEM_VIEW, sampler.intra(ITEM_VIEW, order, (0, 0)), offsets, RATE, 1.0))

    return best_seconds(step, device, turns)


def _batch_of(case: Case) -> SkipGramBatch:
    chosen: NDArray[np.int64] = np.arange(len(case.data.sequences[ITEM_VIEW]))
    return Sampler(case.config, case.data).intra(ITEM_VIEW, chosen, (0, 0))


def _wait(device: TorchDevice) -> None:
    if device.is_cuda:
        torch.cuda.synchronize(device.device)


def measure(case: Case, name: str, options: argparse.Namespace, bandwidth: float) -> list[dict[str, Any]]:
    """Every way at one size."""
    batch = _batch_of(case)
    n_bytes = floor_bytes_per_pair(batch, case.dim, case.storage)
    ways: dict[str, Callable[[TorchDevice], float]] = {"torch": lambda device: run_torch(case, device, options.turns)}
    if TorchDevice(name).is_cuda:
        ways["triton"] = ways["torch"]
    if case.storage == "fp32":  # numba and the peers store 32 bits
        for optimizer in ("Adagrad", "SparseAdam"):
            peer = partial(run_peer, case, turns=options.turns, optimizer=optimizer)
            ways[f"sparse embedding, {optimizer}"] = peer
        if case.n_rows <= options.most_numba_rows:
            ways["numba on CPU"] = lambda device: run_numba(case, options.turns)
    found = []
    for way, run in ways.items():
        kernels: Kernels = "triton" if way == "triton" else "torch"
        seconds = run(TorchDevice(name, kernels=kernels))
        found.append({
            "rows": case.n_rows, "dim": case.dim, "storage": case.storage, "way": way,
            "pairs_per_second": batch.n_pairs / seconds, "pairs_per_step": batch.n_pairs,
            "floor_bytes_per_pair": n_bytes, "floor_pairs_per_second": bandwidth / n_bytes,
        })  # fmt: skip
        gc.collect()
        if TorchDevice(name).is_cuda:
            torch.cuda.empty_cache()
    return found


def show(results: list[dict[str, Any]], device: TorchDevice, bandwidth: float) -> None:
    """Print what was measured."""
    table = Table(title=f"One intra-view step on {device.name}: {bandwidth / 1e9:,.0f} GB/s by copying")
    for column in ("rows", "dim", "stored", "way", "M pairs/s", "of the floor", "of 95 M/s"):
        table.add_column(column, justify="right")
    for one in results:
        speed = one["pairs_per_second"]
        # the compiled engine runs on the CPU, whose bandwidth is not the device's
        share = (
            "" if one["way"] == "numba on CPU" and device.is_cuda else f"{speed / one['floor_pairs_per_second']:.1%}"
        )
        table.add_row(
            f"{one['rows']:,}", str(one["dim"]), one["storage"], one["way"], f"{speed / 1e6:.3f}", share,
            f"{speed / GOAL_PAIRS_PER_SECOND:.1%}",
        )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    console.print(f"gensim, as published: {GENSIM_WORDS_PER_SECOND / 1e6:.2f} M words/s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--storage", choices=sorted(BYTES_OF), nargs="+", default=["fp32"])
    parser.add_argument("--clicks", type=int, default=131_072, help="of one step")
    parser.add_argument("--anchors", type=int, default=2048, help="whose gradients are added up for one update")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0 is all")
    parser.add_argument("--most-numba-rows", type=int, default=10_000_000, help="more do not fit into main memory")
    options = parser.parse_args()

    if options.threads:
        import numba

        torch.set_num_threads(options.threads)
        numba.set_num_threads(options.threads)
    torch.sparse.check_sparse_tensor_invariants.disable()  # said aloud, or torch warns of its own default
    device = TorchDevice(options.device)
    bandwidth = copy_bandwidth(device)
    results = []
    for n_rows in options.rows:
        data = generate(n_rows, options.clicks)
        for dim in options.dims:
            for storage in options.storage:
                case = Case(n_rows, dim, storage, options.anchors, data)
                results += measure(case, options.device, options, bandwidth)
    show(results, device, bandwidth)
    if options.json:
        summary = {"device": device.name, "copy_bytes_per_second": bandwidth, "anchors_per_update": options.anchors}
        options.json.write_text(json.dumps({**summary, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
