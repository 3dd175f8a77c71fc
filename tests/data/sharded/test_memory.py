"""What sharded preparation holds in memory is bounded by what the engine may hold, not by the log."""

import subprocess
import sys

import duckdb
import pytest

from prismrec.data.sharded.layout import read_manifest

PROGRAM = """
import re, sys
from pathlib import Path
from prismrec.inputs import prepare_shards
from prismrec.settings import build_settings
settings = build_settings({
    "data": {"interactions": sys.argv[1], "timestamp_unit": "us"},
    "duckdb": {"memory_limit": sys.argv[3], "threads": 2},
})
prepare_shards(settings, Path(sys.argv[2]), 2, tell=lambda text: print(text, file=sys.stderr))
# what getrusage tells of a process begins with the memory of the one that started it
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
"""

N_CLICKS, N_IDS = 5_000_000, 1_000_000


@pytest.mark.slow
def test_a_million_text_ids_in_five_million_clicks_stay_below_a_gigabyte(tmp_path):
    """The engine may hold 400 MB; the process itself, with all that it imports, has 200 MB."""
    clicks = tmp_path / "clicks.parquet"
    duckdb.sql(f"""
        COPY (SELECT printf('user-%09d', i // 10) AS user_id, printf('sku-%016x', hash(i % {N_IDS})) AS item_id,
            1600000000000000 + (i % 10) * 60000000 AS timestamp FROM range({N_CLICKS}) t(i))
        TO '{clicks}' (FORMAT parquet)""")
    program = tmp_path / "prepare.py"  # without a file, DuckDB takes the process for a session and shows progress
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(clicks), str(tmp_path / "p"), "400MB"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    manifest = read_manifest(tmp_path / "p")
    assert manifest.nodes["item"] == N_IDS
    assert manifest.report["prepared"]["clicks_in_sessions"] == N_CLICKS
    assert int(run.stdout) < 1_000_000_000
