"""The comparisons of docs/model_results.md: one `prismrec evaluate` per run below, each result kept as JSON.

python benchmarks/model_tables.py --data FOLDER [--only NAME ...] [--jobs 2]

FOLDER holds what `prismrec data get NAME -o FOLDER/NAME` wrote; what is not there is fetched. A run whose JSON is there
already is not run again, nor is a model whose results `--keep` finds: what ended early goes on. Every run uses one
thread, so that two of them share two cores evenly. `render_models.py` makes the tables and plots.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "models"

SIMPLE = ("popularity", "item_knn", "cooccurrence", "ease")
SEQUENTIAL = (*SIMPLE, "m2grl", "mf", "hgn", "ma_gnn", "sasrec", "gru4rec")
GRAPH = (*SIMPLE, "mf", "pinsage", "hin2vec", "ngcf", "lightgcn", "hgt", "mthgt")
PARTS_OF_MA_GNN = (
    *SIMPLE, "ma_gnn", "ma_gnn_short", "ma_gnn_long", "ma_gnn_no_memory", "ma_gnn_no_gate", "ma_gnn_no_bilinear",
    "ma_gnn_no_graph", "ma_gnn_no_user", "ma_gnn_equal_recency", "ma_gnn_bpr",
)  # fmt: skip
SIZES_OF_MA_GNN = (
    *SIMPLE, "ma_gnn", *(f"ma_gnn_heads_{n}" for n in (1, 16)), *(f"ma_gnn_memory_{n}" for n in (5, 80))
)  # fmt: skip
PARTS_OF_MTHGT = (*SIMPLE, "hgt_plain", "hgt_d", "hgt_m", "mthgt", "mthgt_shared")

TOP = ("HR@10", "recall@10", "NDCG@10", "AUC")
LISTS = ("precision@10", "recall@10", "HR@10", "NDCG@10")
AT_N = tuple(f"{metric}@{n}" for metric in ("precision", "recall", "HR") for n in (5, 10, 20))

EPOCHS = ("rivals.epochs=40", "rivals.patience=3")
GRAPH_EPOCHS = ("rivals.epochs=150", "rivals.patience=3", "rivals.validate_every=5")
FEW_EPOCHS = ("rivals.epochs=20", "rivals.patience=2", "rivals.validate_every=4")
LARGE_EASE = ("baselines.ease.precision=float32", "baselines.ease.max_items=12000")  # 35,118 items take 10 GB
SMALL_EASE = ("baselines.ease.precision=float32", "baselines.ease.max_items=6000")
SPARSE = (
    *(f"models.{name}.dropout=0.5" for name in ("ma_gnn", "sasrec", "gru4rec")),
    *(f"models.{name}.n_negatives=8192" for name in ("ma_gnn", "sasrec", "gru4rec")),
    "models.ma_gnn.learning_rate=0.005",
)  # 13 reviews per CD: chosen on validation rows


@dataclass(frozen=True)
class Run:
    """One call of `prismrec evaluate`.

    Attributes:
        name: of its JSON file.
        data: name of the data set.
        models: contenders, in the order of the table.
        metrics: what its JSON keeps.
        settings: `--set` overrides.
        against: whom the others are compared with; the best simple baseline unless given.
    """

    name: str
    data: str
    models: tuple[str, ...]
    metrics: tuple[str, ...]
    settings: tuple[str, ...] = ()
    against: str = ""

    def command(self, folder: Path, output: Path) -> list[str]:
        """What a user would type."""
        options = [f"--set={setting}" for setting in ("training.threads=1", *self.settings)]
        config = folder / self.data / "prismrec.toml"
        program = [sys.executable, "-m", "prismrec", "evaluate", str(config)]
        options += ["--against", self.against] if self.against else []
        kept = str(RESULTS / "kept")
        return [*program, "--models", ",".join(self.models), "--output", str(output), "--keep", kept, *options]


RUNS: tuple[Run, ...] = (
    Run("sequential-amazon-cds", "amazon-cds", SEQUENTIAL, TOP, (*EPOCHS, *LARGE_EASE, *SPARSE)),
    Run("sequential-movielens-1m", "movielens-1m", SEQUENTIAL, TOP, EPOCHS),
    Run("sequential-online-retail", "online-retail", SEQUENTIAL, TOP, EPOCHS),
    Run("parts-of-ma-gnn", "amazon-cds", PARTS_OF_MA_GNN, TOP, (*EPOCHS, *LARGE_EASE, *SPARSE), against="ma_gnn"),
    Run("sizes-of-ma-gnn", "amazon-cds", SIZES_OF_MA_GNN, TOP, (*EPOCHS, *LARGE_EASE, *SPARSE), against="ma_gnn"),
    Run("graph-lastfm", "lastfm-hetrec", GRAPH, LISTS, (*GRAPH_EPOCHS, *SMALL_EASE)),
    Run(
        "parts-of-mthgt",
        "lastfm-hetrec",
        PARTS_OF_MTHGT,
        AT_N,
        ("split.max_folds=1", *GRAPH_EPOCHS, *SMALL_EASE),
        against="mthgt",
    ),
    Run("graph-movielens-1m", "movielens-1m-graph", GRAPH, LISTS, ("split.max_folds=1", *FEW_EPOCHS)),
)


def run(job: Run, folder: Path) -> None:
    """Run one evaluation unless its result is there; what it says goes to a log beside what it keeps."""
    result, kept = RESULTS / f"{job.name}.json", RESULTS / "kept"
    if result.exists():
        print(f"{job.name}: kept")
        return
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    output, log = kept / result.name, kept / f"{job.name}.log"
    with log.open("w", encoding="utf-8") as said:
        ended = subprocess.run(
            job.command(folder, output), env=environment, stdout=said, stderr=subprocess.STDOUT, check=False
        )
    if ended.returncode == 0:
        shortened = chosen(json.loads(output.read_text(encoding="utf-8")), job.metrics)
        result.write_text(json.dumps(shortened, indent=1) + "\n", encoding="utf-8")
    outcome = "done" if ended.returncode == 0 else f"FAILED ({ended.returncode}), see {log}"
    print(f"{job.name}: {outcome} in {(time.monotonic() - began) / 60:.1f} min", flush=True)


def chosen(document: dict[str, Any], metrics: tuple[str, ...]) -> dict[str, Any]:
    """A document of `evaluate` with these metrics of all queries alone: what a table shows."""
    models = {
        name: {
            "fit_seconds": model["fit_seconds"],
            "figures": {"all": {metric: model["figures"]["all"][metric] for metric in metrics}},
        }
        for name, model in document["models"].items()
    }
    kept = ("prismrec_version", "data", "protocol", "exclude_seen", "n_items", "counts", "chosen", "trials", "config")
    queries = {"n_queries": {"all": document["n_queries"]["all"]}}
    return {name: document[name] for name in kept} | queries | {"models": models}


def fetch(name: str, folder: Path) -> None:
    """The data set in a folder of its name, unless it is there.

    Raises:
        subprocess.CalledProcessError: it could not be had; what to do is said on stderr.
    """
    if not (folder / name / "prismrec.toml").exists():
        command = [sys.executable, "-m", "prismrec", "data", "get", name, "-o", str(folder / name)]
        subprocess.run(command, check=True)


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets' folders")
    parser.add_argument("--only", nargs="*", choices=[job.name for job in RUNS], help="these runs alone")
    parser.add_argument("--jobs", type=int, default=1, help="evaluations side by side")
    arguments = parser.parse_args()
    (RESULTS / "kept").mkdir(parents=True, exist_ok=True)
    runs = [job for job in RUNS if not arguments.only or job.name in arguments.only]
    for name in dict.fromkeys(job.data for job in runs):
        fetch(name, arguments.data)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda job: run(job, arguments.data), runs))


if __name__ == "__main__":
    main()
