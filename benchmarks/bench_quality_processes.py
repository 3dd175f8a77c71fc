"""Quality of training in several processes against one: HR@10 and HR@50 with bootstrap intervals of the difference.

    nice -n 10 python benchmarks/bench_quality_processes.py movielens-1m/prismrec.toml [--json PATH] [--set KEY=VALUE]

Every way of training gets the same data (each user's last item held out), the same settings and the same query
settings, those of the file: what differs is how the step is computed, and by how many.

    numba             the compiled step, rows change after every anchor
    torch             2048 anchors see the same rows, one process
    torch, 2 processes   the same update, tables shared out among two processes by TorchRec
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from prismrec.data.splits import split
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.protocols import Results, evaluate
from prismrec.evaluation.queries import queries_from
from prismrec.evaluation.significance import bootstrap
from prismrec.fitting import fit
from prismrec.inputs import prepare_log, read_tables
from prismrec.settings import Settings, read_settings
from prismrec.training.progress import make_progress

METRICS = ("HR@10", "HR@50")
WAYS = {
    "numba": ("numba", 1),
    "torch, 2 processes": ("torch", 2),
    "torch": ("torch", 1),
}
REFERENCE = "torch"


def settings_of(config: Path, overrides: list[str], way: str) -> Settings:
    """The file's settings, trained in this way."""
    implementation, processes = WAYS[way]
    return read_settings(
        config, [*overrides, f"training.implementation={implementation}", f"sharding.processes={processes}"]
    )


def measure(config: Path, overrides: list[str]) -> tuple[dict[str, Results], dict[str, float]]:
    """What every way of training reaches, and its seconds in steps."""
    settings = settings_of(config, overrides, REFERENCE)
    log, items = read_tables(settings, None, None)
    held = next(split(log, settings.split))
    data = prepare_log(held.train, items, settings)
    queries = queries_from(held.queries, data.items, settings.evaluation.exclude_seen)
    catalogue = Catalogue(data.items.counts, {name: view.item_nodes for name, view in data.views.items()})
    results, seconds = {}, {}
    for way in WAYS:
        began = time.perf_counter()
        own = settings_of(config, overrides, way)
        fitted = fit(data, own, progress=make_progress("lines"))
        results[way] = evaluate(fitted.scorer(own.query), queries, own.evaluation, catalogue)
        seconds[way] = fitted.log.seconds
        print(f"{way}: {time.perf_counter() - began:.0f} s in all", flush=True)
    return results, seconds


def main() -> None:
    """Measure, print the table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    results, seconds = measure(options.config, options.overrides)
    table = Table(
        "training", "seconds", *(c for m in METRICS for c in (m, f"difference to {REFERENCE}, 95 % interval"))
    )
    rows = []
    for way, found in results.items():
        row: dict[str, object] = {"training": way, "seconds": seconds[way]}
        cells = []
        for metric in METRICS:
            drawn = bootstrap(
                np.stack([found.values[metric], results[REFERENCE].values[metric]], axis=1), found.clusters,
                n_resamples=2000, confidence=0.95, seed=0,
            )  # fmt: skip
            difference = drawn.difference(0, 1)
            row[metric] = found.mean(metric)
            row[f"{metric}_difference"] = [difference.mean, difference.low, difference.high]
            cells += [
                f"{found.mean(metric):.4f}",
                f"{difference.mean:+.4f} ({difference.low:+.4f}, {difference.high:+.4f})",
            ]
        rows.append(row)
        table.add_row(way, f"{seconds[way]:.0f}", *cells)
    Console(width=140).print(table)
    if options.json:
        options.json.write_text(json.dumps({"settings": options.overrides, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
