"""The tables of docs/models.md: one `prismrec evaluate` per run below, each result kept as JSON.

python benchmarks/model_tables.py --data FOLDER [--only NAME ...] [--jobs 2]

FOLDER holds what `prismrec data get NAME -o FOLDER/NAME` wrote. A run whose JSON is there already is not run again:
remove the file to repeat it. Every run uses one thread, so that two of them share two cores evenly.
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
SEQUENTIAL = ("mf", "gru4rec", "hgn", "sasrec", "m2grl", "ma_gnn")
GRAPH = ("mf", "pinsage", "hin2vec", "ngcf", "lightgcn", "hgt", "mthgt")
PARTS_OF_MA_GNN = ()
PARTS_OF_MTHGT = ()


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
        output = str(RESULTS / f"{self.name}.json")
        return [sys.executable, "-m", "prismrec", "evaluate", str(config), "--models", models, "-o", output, *options]


RUNS: tuple[Run, ...] = ()


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
