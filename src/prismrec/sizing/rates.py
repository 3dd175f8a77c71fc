"""Every speed that times are worked out from, in one place, each with where it comes from.

measured     by a program of ours, whose results lie in benchmarks/results; tests compare
data sheet   what a maker says; nothing on a GPU was ever measured for these, so times from them are floors
assumed      an allowance, stated
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Provenance = Literal["measured", "data sheet", "assumed"]


@dataclass(frozen=True)
class Rate:
    """So many of something per second, or per something else.

    Attributes:
        value, unit: e.g. 420,000 clicks per core and second.
        provenance, source: who says so.
    """

    value: float
    unit: str
    provenance: Provenance
    source: str


# ---- measured, on 2 cores of a Xeon at 2.9 GHz ----

PREPARATION = Rate(
    0.42e6, "clicks per core and second", "measured", "benchmarks/results/preparation.json, 20 M clicks on 2 cores"
)
"""Reading, checking, cutting and saving, item and two side views."""

STAGED_PREPARATION = Rate(
    0.2e6,
    "clicks per core and second",
    "measured",
    "benchmarks/bench_scale_preparation.py, 2 M clicks, processor time",
)
"""The same stage by stage (`prismrec prepare --shards`), each written to disk and read again."""

PREPARATION_START = Rate(2.0, "seconds", "measured", "benchmarks/bench_scale_preparation.py, 200,000 clicks in 2.5 s")
"""Before the first row: imports, and a connection to the engine."""

STAGES_OF_THE_LOG = Rate(
    20.0, "bytes per click", "measured", "benchmarks/bench_scale_preparation.py, 2 M clicks: log/clean and log/indexed"
)
"""Both copies of the log between stages, compressed Parquet."""

PREPARATION_MEMORY = Rate(
    56.0, "bytes per click", "measured", "benchmarks/results/preparation.json, the slope from 2 M to 20 M clicks"
)
PREPARATION_BASE = Rate(0.36e9, "bytes", "measured", "the same at no clicks")

ROWS: Mapping[int, Rate] = {
    100_000: Rate(
        14e6,
        "rows per core and second at dim 64",
        "measured",
        "benchmarks/results/skipgram.json, 16.5 M where clusters repeat, and bench_scale_training.py, 11.5 M",
    ),
    1_000_000: Rate(
        10.5e6, "rows per core and second at dim 64", "measured", "benchmarks/bench_scale_training.py, 1 M items"
    ),
    10_000_000: Rate(
        7.7e6, "rows per core and second at dim 64", "measured", "benchmarks/bench_scale_training.py, 10 M items"
    ),
}
"""Rows that the compiled step reads and writes, by the size of the catalogue: larger tables miss the caches more."""

SHARDED_ROWS = Rate(
    0.15e6,
    "rows per process and second at dim 64",
    "measured",
    "benchmarks/bench_scale_training.py, sharded, 2 processes, 100,000 and 1 M items",
)
"""The same where several processes share the tables: by torch, one thread each."""

PROGRAM = Rate(
    0.26e9, "bytes per process", "measured", "benchmarks/bench_scale_training.py, numba, nearly without data"
)
TORCH_PROGRAM = Rate(0.62e9, "bytes per process", "measured", "the same with torch; without CUDA")
"""What a training process holds before it has data: libraries and compiled code."""

CODES = Rate(24e6, "numbers per second", "measured", "docs/benchmarks.md, index: 200,000 x 194 in 1.6 s on 2 cores")
"""Building the 4-bit codes of a bundle."""

SCAN = Rate(34e9, "codes per thread and second", "measured", "docs/benchmarks.md, index: 200,000 x 194 in 1.12 ms")
"""Answering one query from them."""

# ---- assumed ----

EFFICIENCY = Rate(0.7, "of linear", "assumed", "what is left of a rate on 2 cores for each of more cores or machines")

USABLE_GPU_MEMORY = Rate(0.9, "of the device", "assumed", "the rest is for the CUDA context and the allocator")

DISK = Rate(0.5e9, "bytes per second", "assumed", "writing checkpoints and bundles with a checksum")

# ---- data sheets ----

GPU_MEMORY = Rate(141e9, "bytes", "data sheet", "NVIDIA H200 SXM")
GPU_BANDWIDTH = Rate(4.8e12, "bytes per second", "data sheet", "NVIDIA H200 SXM, HBM3e")
GPU_LINK = Rate(450e9, "bytes per second and direction", "data sheet", "NVLink 4: 900 GB/s both ways together")
GPU_NETWORK = Rate(50e9, "bytes per second and GPU", "data sheet", "one 400 Gb/s adapter per GPU, as in a DGX H200")

__all__ = [
    "CODES",
    "DISK",
    "EFFICIENCY",
    "GPU_BANDWIDTH",
    "GPU_LINK",
    "GPU_MEMORY",
    "GPU_NETWORK",
    "PREPARATION",
    "PREPARATION_BASE",
    "PREPARATION_MEMORY",
    "PREPARATION_START",
    "PROGRAM",
    "ROWS",
    "SCAN",
    "SHARDED_ROWS",
    "STAGED_PREPARATION",
    "STAGES_OF_THE_LOG",
    "TORCH_PROGRAM",
    "USABLE_GPU_MEMORY",
    "Provenance",
    "Rate",
]
