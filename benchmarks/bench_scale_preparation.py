"""Preparation as logs grow: time, memory and disk of `prismrec prepare`, in memory and staged, on either engine.

    python benchmarks/bench_scale_preparation.py                             # 200 k and 2 M clicks, for a quick look
    nice -n 10 python benchmarks/bench_scale_preparation.py --clicks 2e6 20e6 100e6 \\
        --json benchmarks/results/scale_preparation.json                     # 100 M: about 12 GB of disk
    python benchmarks/bench_scale_preparation.py --ways spark                # staged on Spark, local[2]

whole     everything is brought into memory and saved
staged    on the engine, Parquet from stage to stage (--shards), nothing but counts comes into the process

The log is that of bench_preparation.py, in files of 20 M clicks. Every run is a process of its own; its peak memory is
what the system says of it, or of the largest of its children. Data lie in `--folder` and are removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from bench_preparation import generate

CLICKS_PER_FILE = 20_000_000
WAYS = ("whole", "staged", "spark")

SETTINGS = """
engine = "{engine}"

[data]
interactions = "clicks"
items = "items.parquet"

[data.columns]
dwell = "dwell"

[views]
category = "category"
shop = "shop"

[duckdb]
memory_limit = "{memory_limit}"
threads = {threads}

[spark]
master = "local[{threads}]"
memory = "{spark_memory}"
work_folder = "{folder}"
"""


def generate_log(n_clicks: int, folder: Path) -> None:
    """clicks/*.parquet of at most 20 M clicks each, users of their own in each, and items.parquet."""
    (folder / "clicks").mkdir(parents=True, exist_ok=True)
    sizes = [CLICKS_PER_FILE] * (n_clicks // CLICKS_PER_FILE) + [n_clicks % CLICKS_PER_FILE]
    for number, size in enumerate(size for size in sizes if size):
        generate(size, folder)
        table = pq.read_table(folder / "clicks.parquet")
        users = pa.compute.add(table["user_id"], number * 1_000_000_000)
        table = table.set_column(0, "user_id", users)
        pq.write_table(table, folder / "clicks" / f"{number:03d}.parquet", row_group_size=500_000)
        (folder / "clicks.parquet").unlink()


def measure(n_clicks: int, way: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """One `prismrec prepare` in a process of its own, and what it left on disk."""
    output, config = folder / "prepared", folder / "settings.toml"
    chosen = {name: getattr(arguments, name) for name in ("memory_limit", "spark_memory", "threads")}
    config.write_text(SETTINGS.format(engine="spark" if way == "spark" else "duckdb", folder=folder, **chosen))
    command = [sys.executable, "-m", "prismrec", "prepare", str(config), "-o", str(output), "--json"]
    if way != "whole":
        command += ["--shards", str(max(2, n_clicks // 25_000_000)), "--keep-stages"]
    began = time.perf_counter()
    said = folder / "said.txt"
    with said.open("w") as stream, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stream) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}\n{said.read_text()}")
    found = {
        "clicks": n_clicks,
        "way": way,
        "threads": arguments.threads,
        "load": os.getloadavg()[0],
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gigabytes": usage.ru_maxrss * 1024 / 1e9,
        "log_gigabytes": gigabytes(folder / "clicks"),
        "stages_gigabytes": gigabytes(folder / "prepared.stages"),
        "prepared_gigabytes": gigabytes(output),
    }
    shutil.rmtree(output)
    shutil.rmtree(folder / "prepared.stages", ignore_errors=True)
    return found


def gigabytes(folder: Path) -> float:
    """Of all files below a folder; those that were linked into another folder too count in both."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def exponent(small: dict[str, Any], large: dict[str, Any], name: str) -> float:
    """b in cost ~ clicks^b between two points."""
    return math.log(large[name] / small[name]) / math.log(large["clicks"] / small["clicks"])


def show(results: list[dict[str, Any]], arguments: argparse.Namespace, console: Console) -> None:
    """Print one row per point; growth is against the point before that went the same way."""
    table = Table(title=f"prismrec prepare on {arguments.threads} threads, DuckDB limited to {arguments.memory_limit}")
    names = (
        "clicks",
        "way",
        "seconds",
        "CPU s",
        "time ~ clicks^",
        "peak GB",
        "memory ~ clicks^",
        "log GB",
        "stages GB",
    )
    for name in (*names, "prepared GB"):
        table.add_column(name, justify="right")
    for place, r in enumerate(results):
        before = [other for other in results[:place] if other["way"] == r["way"]]
        growth = [f"{exponent(before[-1], r, name):.2f}" if before else "" for name in ("seconds", "peak_gigabytes")]
        sizes = [f"{r[f'{name}_gigabytes']:.2f}" for name in ("log", "stages", "prepared")]
        table.add_row(
            f"{r['clicks']:,}", r["way"], f"{r['seconds']:.1f}", f"{r['cpu_seconds']:.1f}", growth[0],
            f"{r['peak_gigabytes']:.2f}", growth[1], *sizes,
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Measure every point, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=float, nargs="+", default=[2e5, 2e6], help="sizes to measure")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["whole", "staged"], help="how to prepare")
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine")
    parser.add_argument("--memory-limit", default="4GB", help="what DuckDB may hold before it spills to disk")
    parser.add_argument("--spark-memory", default="2g", help="memory of Spark's driver, which works itself here")
    parser.add_argument("--folder", type=Path, help="where data lie while it runs; a temporary folder unless given")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    results = []
    for n_clicks in map(int, arguments.clicks):
        with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="prismrec-scale-") as name:
            generate_log(n_clicks, Path(name))
            results += [measure(n_clicks, way, Path(name), arguments) for way in arguments.ways]
    results.sort(key=lambda result: WAYS.index(result["way"]))
    show(results, arguments, Console(width=150))
    if arguments.json:
        keep(results, arguments.json)


def keep(results: list[dict[str, Any]], path: Path) -> None:
    """Write the points; those of an earlier run that were not measured again stay."""
    known = json.loads(path.read_text())["results"] if path.exists() else []
    points = {(WAYS.index(r["way"]), r["clicks"]): r for r in (*known, *results)}
    ordered = [points[at] for at in sorted(points)]
    document = {"benchmark": "scale_preparation", "cpus": os.cpu_count(), "results": ordered}
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
