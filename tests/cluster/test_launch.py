"""Workers started, heard, stopped, lost and started again: real processes under torchrun's agent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from prismrec.cluster.launch import launch
from prismrec.errors import CrewError

WORKER = """
import os, signal, sys, time
from pathlib import Path
from prismrec.cluster.agent import dies_with_parent
from prismrec.cluster.outcomes import Outcome
dies_with_parent(int(sys.argv[2]))
def say(*words):  # in one piece, where print writes every word by itself between those of the other process
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
folder, rank, attempt = Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """`work(code, n, restarts)`: workers that run this code, and the lines that were heard."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    folder = tmp_path / "job"
    folder.mkdir()

    def run(code, n=2, restarts=0):
        (tmp_path / "stand_in_worker.py").write_text(WORKER + code)
        lines: list[str] = []
        return launch(folder, "stand_in_worker", n, restarts, 1, lines.append), lines

    return run


def test_lines_of_workers_are_heard_and_every_worker_knows_its_threads(work):
    outcomes, lines = work("say(rank, os.environ['WORLD_SIZE'], os.environ['OMP_NUM_THREADS'])")
    assert outcomes == []
    assert sorted(lines) == ["0 2 1", "1 2 1"]


def test_worker_that_is_killed_starts_all_again(work):
    outcomes, lines = work(
        """
say(rank, attempt)
if attempt == 0 and rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0 if attempt else 60)
""",
        restarts=1,
    )
    assert outcomes == []
    assert sorted(lines) == ["0 0", "0 1", "1 0", "1 1"]


def test_worker_that_is_lost_too_often_is_named(work):
    with pytest.raises(CrewError, match=r"training in 2 processes failed: rank 1 was killed by SIGKILL"):
        work("os.kill(os.getpid(), signal.SIGKILL) if rank else time.sleep(60)")


def test_error_that_nobody_caught_is_told(work):
    with pytest.raises(CrewError, match=r"rank 1 ended with exit code 1; MemoryError: too many rows$"):
        work("if rank:\n    raise MemoryError('too many rows')\ntime.sleep(60)")


def test_workers_stop_when_nobody_hears_them(work, tmp_path):
    def deaf(line):
        raise BrokenPipeError(line)

    (tmp_path / "stand_in_worker.py").write_text(WORKER + 'say("words")\ntime.sleep(60)')
    began = time.monotonic()
    with pytest.raises(BrokenPipeError, match="words"):
        launch(tmp_path / "job", "stand_in_worker", 2, 3, 1, deaf)
    assert time.monotonic() - began < 45


def test_worker_that_cannot_go_on_is_not_started_again(work):
    outcomes, lines = work("say(rank); Outcome(rank, 'DataError', f'row {rank} is bad').write(folder)", restarts=3)
    assert [outcome.message for outcome in outcomes] == ["row 0 is bad", "row 1 is bad"]
    assert sorted(lines) == ["0", "1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_goes_on_to_the_workers(work, tmp_path, number):
    handled = signal.getsignal(number)
    stopper = threading.Thread(target=stop_when_there, args=(tmp_path / "job", number))
    stopper.start()
    outcomes, _ = work(
        """
def stop(number, frame):
    Outcome(rank, "TrainingInterrupted", "stopped", number).write(folder)
    sys.exit(0)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
(folder / f"ready-{rank}").touch()
time.sleep(60)
"""
    )
    stopper.join()
    assert [(outcome.rank, outcome.signal_number) for outcome in outcomes] == [(0, number), (1, number)]
    assert signal.getsignal(number) is handled


def stop_when_there(folder, number):
    end = time.monotonic() + 60
    while len(list(folder.glob("ready-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(os.getpid(), number)


def test_workers_end_with_the_process_that_wanted_them(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "stand_in_worker.py").write_text(
        WORKER + '(folder / f"ready-{rank}").write_text(str(os.getpid()))\ntime.sleep(300)'
    )
    code = (
        "from pathlib import Path; from prismrec.cluster.launch import launch; "
        f"launch(Path({str(tmp_path / 'job')!r}), 'stand_in_worker', 2, 0, 1, print)"
    )
    paths = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}) as parent:
        workers = [int(wait_for_text(tmp_path / "job" / f"ready-{rank}")) for rank in range(2)]
        parent.kill()
    end = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < end, "workers were left behind"
        time.sleep(0.1)


def wait_for_text(path):
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.05)
    return path.read_text()
