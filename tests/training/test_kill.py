"""`kill -9` at any moment leaves the checkpoint before whole; resumed, training ends bit-equal. Real processes."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from prismrec.training.log import TrainingLog

TOY = Path(__file__).with_name("toy.py")


def command(folder, *options):
    result = folder / "result.json"
    return [sys.executable, str(TOY), str(folder / "run"), str(result), *map(str, options)]


def run(folder, *options):
    return subprocess.run(command(folder, *options), capture_output=True, text=True, timeout=60, check=False)


def first_line(process):
    """Wait until the program takes its first step; empty where it ended before."""
    assert process.stdout is not None
    return process.stdout.readline()


def result(folder):
    """Final arrays as bytes, and the log without its times."""
    log = TrainingLog.from_json((folder / "result.json").read_text())
    log = replace(log, epochs=tuple(replace(entry, seconds=0.0) for entry in log.epochs))
    return (folder / "result.npz").read_bytes(), log


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The results of runs that nothing disturbs, by patience."""
    results = {}
    for patience in (0, 2):
        folder = tmp_path_factory.mktemp("uninterrupted")
        assert run(folder, "--patience", patience).returncode == 0
        results[patience] = result(folder)
    return results


def checkpointed(folder):
    return (folder / "run" / "checkpoint" / "state.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, 2])
def test_killed_at_random_moments_and_resumed_ends_bit_equal(tmp_path, patience, uninterrupted):
    moments = random.Random(7)
    kills = 0
    while kills < 4:
        options = ["--patience", patience, "--step-seconds", 0.01, *(["--resume"] if checkpointed(tmp_path) else [])]
        with subprocess.Popen(command(tmp_path, *options), stdout=subprocess.PIPE, text=True) as process:
            if not first_line(process):
                break  # it was finished already
            time.sleep(moments.uniform(0.0, 0.08))
            process.send_signal(signal.SIGKILL)
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert kills >= 2
    last = run(tmp_path, "--patience", patience, *(["--resume"] if checkpointed(tmp_path) else []))
    assert last.returncode == 0, last.stderr
    assert result(tmp_path) == uninterrupted[patience]
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"lock", "checkpoint"}


@pytest.mark.slow
@pytest.mark.parametrize("call", ["os.fsync 18", "os.fsync 23", "os.fsync 24", "shutil.rmtree 3"])
def test_killed_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, call, uninterrupted):
    killed = run(tmp_path, "--kill-at", *call.split())
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "run").glob(".checkpoint.*.partial"))
    last = run(tmp_path, "--resume")
    assert last.returncode == 0, last.stderr
    assert last.stdout.split("\n")[0] != "0 0"
    assert result(tmp_path) == uninterrupted[0]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_signal_from_outside_ends_with_a_message_and_the_shells_exit_code(tmp_path, number, code, name, uninterrupted):
    with subprocess.Popen(
        command(tmp_path, "--step-seconds", 0.02), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        first_line(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"training stopped by {name} after epoch" in errors
    assert run(tmp_path, "--resume").returncode == 0
    assert result(tmp_path) == uninterrupted[0]
