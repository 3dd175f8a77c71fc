"""How the suite runs: parallel workers compile apart from each other; a slow machine fails no property test."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from prismrec.data.engines.settings import SparkSettings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile(
    "prismrec",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,  # a landing is not decided by the luck of a draw
)
settings.load_profile("prismrec")


def pytest_configure() -> None:
    """Take Ctrl-C, and give each worker of pytest-xdist a folder for machine code; subprocesses of tests inherit it.

    Where there is no GPU, Triton's kernels run in its interpreter: it has to know before it is imported.

    A shell starts background jobs with SIGINT ignored, and training respects that; its tests send the signal.

    numba's cache on disk is written by one process at a time or not at all: two that compile different signatures of
    one function may swap their files. And it looks at a function's own file only, so the folder is named after all
    sources: code inlined from an edited module is never an old one.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if shutil.which("nvidia-smi") is None:
        os.environ.setdefault("TRITON_INTERPRET", "1")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and "NUMBA_CACHE_DIR" not in os.environ:
        folders = ROOT / ".pytest_cache" / "machine_code"
        _remove_older_than_a_day(folders)
        os.environ["NUMBA_CACHE_DIR"] = str(folders / _digest_of_sources() / worker)


def _remove_older_than_a_day(folders: Path) -> None:
    for folder in folders.glob("*/"):
        if time.time() - folder.stat().st_mtime > 86_400:
            shutil.rmtree(folder, ignore_errors=True)


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def run_crew() -> Callable[..., list[subprocess.CompletedProcess[str]]]:
    """`run_crew(n, program, *arguments)`: a program in n processes that find each other as under torchrun."""
    return _run_crew


def _run_crew(
    n: int, program: Path, *arguments: Any, check: bool = True, timeout: float = 120.0
) -> list[subprocess.CompletedProcess[str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n)}
    command = [sys.executable, str(program), *map(str, arguments)]
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **shared, "OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(n)
    ]  # fmt: skip
    finished = []
    for process in processes:
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            for other in processes:
                other.kill()
            out, errors = process.communicate()
        finished.append(subprocess.CompletedProcess(command, process.returncode, out, errors))
    failed = [f"rank {rank}: {run.stderr}" for rank, run in enumerate(finished) if run.returncode]
    assert not (check and failed), "\n".join(failed)
    return finished


@pytest.fixture(scope="session")
def spark_settings() -> SparkSettings:
    """Small and quick to start: Spark has one session per process, so every test that asks for it gets this one."""
    quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # no time is spent on code that runs for seconds only
    settings = {"spark.sql.shuffle.partitions": "2", "spark.driver.extraJavaOptions": quick}
    return SparkSettings(master="local[2]", memory="1g", settings=settings)


@pytest.fixture(scope="session")
def spark(spark_settings: SparkSettings) -> Iterator[Any]:
    """Ibis's connection to a real Spark on this machine; its process of Java ends with the tests."""
    from prismrec.data.engines import spark_session

    yield spark_session.connect(spark_settings)
    spark_session.stop()


LINKS = """
[data]
name = "grid"

[knowledge]
triples = "train.tsv"
valid_triples = "valid.tsv"
test_triples = "test.tsv"

[split]
protocol = "link"

[evaluation]
n_resamples = 100

[training]
threads = 1

[rivals]
epochs = 12
patience = 2
validate_every = 4

[models.transe]
embedding_dim = 16
n_negatives = 64
batch_size = 16
learning_rate = 0.2
"""


@pytest.fixture(scope="session")
def write_links() -> Callable[[Path], Path]:
    """`write_links(folder)`: facts of a 5 x 5 grid in three files, and the settings beside them, whose path it gives.

    The places are named `2,3` for row 2, column 3; relations are right, down, and left, which is right the other way
    round. Every sixth fact is for the test, every sixth for validation.
    """

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        places = [(y, x) for y in range(5) for x in range(5)]
        right = [(f"{y},{x}", "right", f"{y},{x + 1}") for y, x in places if x < 4]
        down = [(f"{y},{x}", "down", f"{y + 1},{x}") for y, x in places if y < 4]
        facts = [*right, *down, *((tail, "left", head) for head, _, tail in right)]
        parts = {"test": facts[3::6], "valid": facts[5::6]}
        parts["train"] = [fact for fact in facts if fact not in parts["test"] + parts["valid"]]
        for name, rows in parts.items():
            (folder / f"{name}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
        (folder / "links.toml").write_text(LINKS, encoding="utf-8")
        return folder / "links.toml"

    return write
