"""The tables of docs/models.md: one `prismrec evaluate` per run below, each result kept as JSON.

python benchmarks/model_tables.py --data FOLDER [--only NAME ...] [--jobs 2]

FOLDER holds what `prismrec data get NAME -o FOLDER/NAME` wrote. A run whose JSON is there already is not run again, nor
is a model whose results `--keep` finds: what ended early goes on. Every run uses one thread, so that two of them share
two cores evenly.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "models"

SIMPLE = ("popularity", "item_knn", "cooccurrence", "ease")
SEQUENTIAL = (*SIMPLE, "m2grl", "mf", "gru4rec", "hgn", "sasrec", "ma_gnn")
GRAPH = (*SIMPLE, "mf", "pinsage", "hin2vec", "ngcf", "lightgcn", "hgt", "mthgt")
PARTS_OF_MA_GNN = tuple(
    f"ma_gnn_{part}" for part in ("short", "long", "no_memory", "no_gate", "no_bilinear", "no_graph")
)
SIZES_OF_MA_GNN = tuple(f"ma_gnn_{size}" for size in ("heads_1", "heads_16", "memory_5", "memory_80"))
PARTS_OF_MTHGT = ("hgt_plain", "hgt_d", "hgt_m", "mthgt", "mthgt_shared")

EPOCHS = ("rivals.epochs=40", "rivals.patience=3")
LARGE_EASE = ("baselines.ease.precision=float32", "baselines.ease.max_items=12000")  # 35,118 items take 10 GB
GRAPH_EPOCHS = ("rivals.epochs=150", "rivals.patience=3", "rivals.validate_every=5")
SMALL_EASE = ("baselines.ease.precision=float32", "baselines.ease.max_items=6000")


@dataclass(frozen=True)
class Run:
    """One call of `prismrec evaluate`.

    Attributes:
        name: of its JSON file.
        data: folder of the data set.
        models: contenders, in the order of the table.
        settings: `--set` overrides.
    """

    name: str
    data: str
    models: tuple[str, ...]
    settings: tuple[str, ...] = ()

    def command(self, folder: Path) -> list[str]:
        """What a user would type."""
        options = [f"--set={setting}" for setting in ("training.threads=1", *self.settings)]
        config = folder / self.data / "prismrec.toml"
        models = ",".join(self.models)
        output, kept = str(RESULTS / f"{self.name}.json"), str(RESULTS / "kept")
        program = [sys.executable, "-m", "prismrec", "evaluate", str(config)]
        return [*program, "--models", models, "--output", output, "--keep", kept, *options]


RUNS: tuple[Run, ...] = (
    Run("sequential-amazon-cds", "amazon-cds", SEQUENTIAL, (*EPOCHS, *LARGE_EASE)),
    Run("sequential-movielens-1m", "movielens-1m", SEQUENTIAL, EPOCHS),
    Run("sequential-online-retail", "online-retail", SEQUENTIAL, EPOCHS),
    Run("parts-of-ma-gnn", "amazon-cds", ("ma_gnn", *PARTS_OF_MA_GNN, *SIZES_OF_MA_GNN), EPOCHS),
    Run("graph-lastfm", "lastfm", (*GRAPH, *PARTS_OF_MTHGT), (*GRAPH_EPOCHS, *SMALL_EASE)),
    Run("graph-movielens-1m", "movielens-1m-graph", GRAPH, ("split.max_folds=1", *GRAPH_EPOCHS)),
)


def run(job: Run, folder: Path) -> None:
    """Run one evaluation unless its result is there; what it says goes to a log beside the result."""
    result = RESULTS / f"{job.name}.json"
    if result.exists():
        print(f"{job.name}: kept")
        return
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with result.with_suffix(".log").open("w", encoding="utf-8") as log:
        ended = subprocess.run(job.command(folder), env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    outcome = "done" if ended.returncode == 0 else f"FAILED ({ended.returncode}), see {result.with_suffix('.log')}"
    print(f"{job.name}: {outcome} in {(time.monotonic() - began) / 60:.1f} min", flush=True)


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets' folders")
    parser.add_argument("--only", nargs="*", choices=[job.name for job in RUNS], help="these runs alone")
    parser.add_argument("--jobs", type=int, default=1, help="evaluations side by side")
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    chosen = [job for job in RUNS if not arguments.only or job.name in arguments.only]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda job: run(job, arguments.data), chosen))


if __name__ == "__main__":
    main()
