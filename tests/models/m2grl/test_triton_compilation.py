"""Triton's kernels become machine code of an H100 or H200 (sm_90): the compiler needs no GPU for that.

The interpreter forgives what the compiler does not: types that change in a loop, values of two types in one place.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

PROGRAM = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from prismrec.models.m2grl import triton_draws, triton_rows, triton_step

POINTERS = {
    "source": None, "target": None, "table": None, "anchors": "*i64", "targets": "*i64", "offsets": "*i64",
    "in_order": "*i32", "order": "*i64", "owner": "*i64", "weight": "fp32", "rate": "fp32",
    "states": "*i64", "alias": "*i32", "drawn": "*i32", "n_anchors": "i32", "n_chunks": "i32", "n_nodes": "i32",
    "n": "i32", "n_pairs": "i32", "n_negatives": "i32",
}

def compiled(kernel, stored, constants):
    names = kernel.arg_names
    constants = {name: value for name, value in constants.items() if name in names}
    kinds = {name: "constexpr" if name in constants else POINTERS.get(name, "*fp32") or stored for name in names}
    places = {(names.index(name),): value for name, value in constants.items()}
    found = triton.compile(ASTSource(kernel, kinds, places), target=GPUTarget("cuda", 90, 32))
    assert len(found.asm["cubin"]) > 1000
    print(kernel.__name__, stored, constants)

compiled(triton_draws._draw, "*fp32", {"N_NEGATIVES": 10, "BLOCK": 1024})
for dim, stored, dropped in ((64, "*fp32", 0), (100, "*fp16", 13), (128, "*bf16", 16)):
    width = triton.next_power_of_2(dim)
    for short in (False, True):
        step = dict(DIM=dim, N_NEGATIVES=10, SOURCE_IS_FETCHED=short, TARGET_IS_FETCHED=short, HAS_OFFSETS=not short)
        compiled(triton_step._skip_gram, stored, {**step, "BLOCK_DIM": width, "BLOCK_ROWS": 16})
        rows = dict(SHORT=short, DIM=dim, LEARNS=True, DROPPED=dropped, IS_HALF=stored == "*fp16")
        rows |= dict(BLOCK_DIM=width, BLOCK_ROWS=8, PIECE=64)
        for kernel in (triton_rows._add_pieces, triton_rows._add_runs):
            compiled(kernel, stored, rows)
            if not dropped:
                compiled(kernel, stored, {**rows, "LEARNS": False})
"""


def test_every_kernel_compiles_for_hopper(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 1 + 3 * 2 * 3 + 2 * 2
