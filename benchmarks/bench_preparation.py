"""Preparation: generated clicks in Parquet to item, category and shop sequences on disk; time and peak memory.

    python benchmarks/bench_preparation.py                 # 2 M and 20 M clicks
    python benchmarks/bench_preparation.py --clicks 2e6 --json preparation.json

Each size is generated and measured in processes of their own, so that the peak memory is that of preparation alone. The
data (one user per 20 clicks, 200 k items of Zipf popularity, sessions of about five clicks, dwell, an item table with
category and shop) is kept in the temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

N_ITEMS = 200_000
CLICKS_PER_USER = 20
SECONDS_LIMIT, GIGABYTES_LIMIT = 30.0, 2.0


def generate(n_clicks: int, folder: Path) -> None:
    """Write clicks.parquet (in time order, as a log is) and items.parquet."""
    rng = np.random.default_rng(n_clicks)
    weights = 1.0 / np.arange(1, N_ITEMS + 1) ** 0.9
    item = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(n_clicks))
    n_users = max(n_clicks // CLICKS_PER_USER, 1)
    user = np.sort(rng.integers(0, n_users, n_clicks))
    pause = np.where(
        rng.random(n_clicks) < 0.2, 1800 + rng.exponential(259_200, n_clicks), rng.exponential(60, n_clicks)
    )
    start = rng.integers(0, 30 * 86_400, n_users)[user]
    elapsed = np.cumsum(pause)
    first = np.searchsorted(user, user)
    micros = ((1.7e9 + start + elapsed - elapsed[first]) * 1e6).astype(np.int64)
    order = np.argsort(micros, kind="stable")
    clicks = {
        "user_id": user[order] + 7_000_000_000,
        "item_id": item[order] + 10**12,
        "timestamp": pa.array(micros[order], pa.timestamp("us")),
        "dwell": rng.exponential(20, n_clicks).round(1).astype(np.float32),
    }
    pq.write_table(pa.table(clicks), folder / "clicks.parquet", row_group_size=500_000)
    kinds = pa.array([f"category {n}" for n in range(1_500)])
    items = {
        "item_id": np.arange(N_ITEMS) + 10**12,
        "category": kinds.take(pa.array(rng.integers(0, 1_500, N_ITEMS))),
        "shop": rng.integers(0, 10_000, N_ITEMS),
    }
    pq.write_table(pa.table(items), folder / "items.parquet")


def prepare_once(folder: Path, threads: int, memory_limit: str) -> dict[str, Any]:
    """Read, prepare and save; seconds and the peak memory of this process."""
    from prismrec.data.preparation import prepare
    from prismrec.data.prepared import save_prepared
    from prismrec.data.reading import connect, read_interactions, read_items
    from prismrec.data.schema import InteractionColumns

    begin = time.perf_counter()
    connection = connect(threads, memory_limit)
    clicks = read_interactions(folder / "clicks.parquet", InteractionColumns(dwell="dwell"), connection=connection)
    items = read_items(folder / "items.parquet", connection=connection)
    read = time.perf_counter()
    data = prepare(clicks, items, {"category": "category", "shop": "shop"})
    prepared = time.perf_counter()
    save_prepared(data, folder / "prepared")
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "clicks": clicks.notes["rows"],
        "sessions": len(data.sessions),
        "read_seconds": read - begin,
        "prepare_seconds": prepared - read,
        "save_seconds": end - prepared,
        "seconds": end - begin,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gigabytes": usage.ru_maxrss * 1024 / 1e9,
    }


def measure(n_clicks: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One size in a process of its own."""
    folder = Path(tempfile.gettempdir()) / f"prismrec-bench-preparation-{n_clicks}"
    command = [sys.executable, __file__, "--folder", str(folder), "--threads", str(arguments.threads)]
    if not (folder / "items.parquet").exists():
        folder.mkdir(exist_ok=True)
        subprocess.run([*command, "--generate", "--clicks", str(n_clicks)], check=True)
    command += ["--memory-limit", arguments.memory_limit]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Print one row per size."""
    table = Table(title=f"Preparation (limits at 20 M clicks: {SECONDS_LIMIT:g} s, {GIGABYTES_LIMIT:g} GB)")
    for name in ("clicks", "read", "prepare", "save", "total s", "CPU s", "M/s", "peak GB"):
        table.add_column(name, justify="right")
    for r in results:
        parts = [r[f"{part}seconds"] for part in ("read_", "prepare_", "save_", "", "cpu_")]
        speed = r["clicks"] / r["seconds"] / 1e6
        table.add_row(f"{r['clicks']:,}", *(f"{p:.1f}" for p in parts), f"{speed:.2f}", f"{r['peak_gigabytes']:.2f}")
    console.print(table)


def main() -> None:
    """Measure every size, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=float, nargs="+", default=[2e6, 20e6], help="sizes to measure")
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine")
    parser.add_argument("--memory-limit", default="4GB", help="what the engine may hold before it spills to disk")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--generate", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        generate(int(arguments.clicks[0]), arguments.folder)
        return
    if arguments.folder:
        print(json.dumps(prepare_once(arguments.folder, arguments.threads, arguments.memory_limit)))
        return
    results = [measure(int(n), arguments) for n in arguments.clicks]
    show(results, Console())
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
        arguments.json.write_text(json.dumps({"benchmark": "preparation", **machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()
