"""Vocabularies on the engine: string ids in a log become an ordered vocabulary and a log of indices; time, peak memory.

    python benchmarks/bench_vocabulary.py                  # 1 M, 5 M and 20 M distinct ids
    python benchmarks/bench_vocabulary.py --ids 1e6 --memory-limit 1GB --json vocabulary.json

The stages are those of `prismrec prepare --shards`: count and order the ids, write them to Parquet, number them by
their place, join the numbers to the log. Each id is 20 characters and occurs twice on average; users are a twentieth of
the clicks. Generating and measuring are processes of their own, so that the peak is that of the stages alone; what the
engine may hold before it spills to disk is --memory-limit, and the peak grows with that, not with the ids.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

CLICKS_PER_ID = 2
CLICKS_PER_USER = 20
SHARDS = 4


def generate(n_ids: int, folder: Path) -> None:
    """Write a log of `CLICKS_PER_ID` clicks per id: every id once, and others at random with a bias to few."""
    n_clicks = n_ids * CLICKS_PER_ID
    place = folder.with_name(folder.name + ".partial")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with duckdb.connect(config={"temp_directory": str(place / "spill"), "memory_limit": "2GB"}) as connection:
        connection.sql(f"""
            COPY (
                SELECT printf('user-%015d', (hash(i) % {max(n_clicks // CLICKS_PER_USER, 1)})::BIGINT) AS user_id,
                    printf('sku-%016x', hash(if(i < {n_ids}, i, ({n_ids} * pow(random(), 3))::BIGINT))) AS item_id,
                    1700000000000000 + 1000 * i AS timestamp, i AS source_row, 0::INTEGER AS session_number
                FROM range({n_clicks}) t(i)
            ) TO '{place}/part-00000.parquet' (FORMAT parquet)""")
    shutil.rmtree(place / "spill", ignore_errors=True)
    place.rename(folder)


def measure_once(folder: Path, threads: int, memory_limit: str) -> dict[str, Any]:
    """The stages on a generated log; seconds, and the peak memory of this process after each."""
    from prismrec.data import engine
    from prismrec.data.reading import connect
    from prismrec.data.sharded.job import ShardJob, Tables
    from prismrec.data.sharded.recipe import Recipe
    from prismrec.data.sharded.stages import Stages

    def unread() -> Any:
        raise RuntimeError("the log is there already")

    connection = connect(threads, memory_limit)
    stages = Stages(folder / "stages", lambda text: None)
    recipe = Recipe(Tables(unread, "generated"), connection, ShardJob(folder / "out", SHARDS), stages)

    def link(place: Path) -> dict[str, Any]:
        os.link(folder / "part-00000.parquet", place / "part-00000.parquet")
        return {}

    log = stages.run("log/clean", {}, link)
    start_bytes, begin = _peak(), time.perf_counter()
    items = recipe.items(log, None)
    ordered, vocabulary_bytes = time.perf_counter(), _peak()
    users = recipe.users(log)
    both = time.perf_counter()
    indexed = recipe.indexed_log(log, users, items)
    end = time.perf_counter()
    if indexed.rows != log.rows:
        raise RuntimeError(f"{log.rows} clicks became {indexed.rows}")
    size = sum(path.stat().st_size for path in items.folder.glob("*.parquet"))
    table = items.table(connection)
    counted = engine.one_row(table.aggregate(n=table["count"].sum()))["n"]
    if counted != log.rows:
        raise RuntimeError(f"the counts add up to {counted}, not {log.rows}")
    return {
        "ids": items.rows,
        "clicks": log.rows,
        "memory_limit": memory_limit,
        "vocabulary_seconds": ordered - begin,
        "indexing_seconds": end - both,
        "start_bytes": start_bytes,
        "vocabulary_peak_bytes": vocabulary_bytes,
        "peak_bytes": _peak(),
        "vocabulary_file_bytes": size,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(n_ids: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One size in a process of its own."""
    folder = Path(tempfile.gettempdir()) / f"prismrec-bench-vocabulary-{n_ids}"
    command = [sys.executable, __file__, "--folder", str(folder), "--threads", str(arguments.threads)]
    command += ["--memory-limit", arguments.memory_limit, "--ids", str(n_ids)]
    if not folder.exists():
        subprocess.run([*command, "--generate"], check=True)
    shutil.rmtree(folder / "stages", ignore_errors=True)
    try:
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        shutil.rmtree(folder / "stages", ignore_errors=True)
    result: dict[str, Any] = json.loads(output)
    return result


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Print one row per size."""
    table = Table(title=f"Vocabularies on the engine, memory limit {results[0]['memory_limit']}")
    for name in ("ids", "clicks", "vocabulary s", "indexing s", "start GB", "vocabulary peak GB", "peak GB", "file MB"):
        table.add_column(name, justify="right")
    for r in results:
        table.add_row(
            f"{r['ids']:,}", f"{r['clicks']:,}", f"{r['vocabulary_seconds']:.1f}", f"{r['indexing_seconds']:.1f}",
            *(f"{r[name] / 1e9:.2f}" for name in ("start_bytes", "vocabulary_peak_bytes", "peak_bytes")),
            f"{r['vocabulary_file_bytes'] / 1e6:.0f}",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Measure every size, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=float, nargs="+", default=[1e6, 5e6, 20e6], help="distinct ids to measure")
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine")
    parser.add_argument("--memory-limit", default="1GB", help="what the engine may hold before it spills to disk")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--generate", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        generate(int(arguments.ids[0]), arguments.folder)
        return
    if arguments.folder:
        print(json.dumps(measure_once(arguments.folder, arguments.threads, arguments.memory_limit)))
        return
    results = [measure(int(n), arguments) for n in arguments.ids]
    show(results, Console())
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
        arguments.json.write_text(json.dumps({"benchmark": "vocabulary", **machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()
