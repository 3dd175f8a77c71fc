"""What writing a bundle holds in memory: blocks and codes, never a table, seen from outside the process that writes."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from prismrec.data.arrow_files import write_table
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary

N_ITEMS, DIM = 400_000, 64
N_NODES = {"category": 1_000, "shop": 3_000}
ONE_TABLE = 4 * N_ITEMS * DIM
CONSTANT = 128 * 2**20
"""Blocks of 64 MiB with what is made of them, 42 MB of codes, and what the libraries take when they are first used."""

WRITE = """
import sys
from pathlib import Path
import numpy as np
from prismrec.data.arrow_files import map_table
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.index.settings import IndexSettings

folder, views = Path(sys.argv[1]), ["item", "category", "shop"]
sides = {v: [np.load(folder / f"{v}.{side}.npy", mmap_mode="r") for side in ("source", "target")] for v in views}
contents = BundleContents(
    vectors={view: EmbeddingTable(*sides[view]) for view in views},
    vocabularies={view: Vocabulary.load(folder / f"{view}.arrow") for view in views},
    item_nodes={view: Sequences.load(folder, view) for view in views[1:]},
    item_columns=map_table(folder / "columns.arrow"),
    index=IndexSettings(kind="scan", recall_floor=0),
)
print("ready", flush=True)
Bundle.write(folder / "bundle", contents)
"""


def lay_down(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for view, n in {"item": N_ITEMS, **N_NODES}.items():
        for side in ("source", "target"):
            np.save(folder / f"{view}.{side}.npy", rng.standard_normal((n, DIM), dtype=np.float32))
        Vocabulary.from_ids(pa.array([f"{view}-{i:011d}" for i in range(n)]), np.arange(n, 0, -1)).save(
            folder / f"{view}.arrow"
        )
        if view != "item":
            nodes = rng.integers(0, n, N_ITEMS).astype(np.int32)
            Sequences.from_lengths(nodes, np.ones(N_ITEMS, np.int64)).save(folder, view)
    names = pa.array([f"article number {i}" for i in range(N_ITEMS)])
    write_table(folder / "columns.arrow", pa.table({"name": names}))


def anonymous_bytes(process: int) -> int:
    """What a process holds that lies in no file; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what a process holds")
def test_writing_a_bundle_holds_less_than_one_of_its_six_tables(tmp_path):
    lay_down(tmp_path)
    with subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        before = peak = anonymous_bytes(process.pid)
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(0.002)
    assert process.returncode == 0
    assert peak > before > 0
    held = peak - before
    assert held < ONE_TABLE + CONSTANT, f"{held / 1e6:.0f} MB held; one table is {ONE_TABLE / 1e6:.0f} MB"
    matrices = sum(path.stat().st_size for path in (tmp_path / "bundle" / "index").glob("*.npy"))
    assert matrices > 2 * (ONE_TABLE + CONSTANT), "too small a bundle to tell blocks from copies"
