"""Real processes that agree, and what those hear who wait for one that is gone."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from prismrec.cluster.crew import Attempt
from prismrec.cluster.process_group import attempt, own_threads, process_group, processes_here, started_by_torchrun
from prismrec.errors import ConfigError

PROGRAM = Path(__file__).with_name("crew_talk.py")


@pytest.mark.parametrize("size", [1, 3])
def test_processes_agree_to_the_last_bit(run_crew, tmp_path, size):
    run_crew(size, PROGRAM, tmp_path, "agree")
    said = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(size)]
    values = np.array([0.1, 1e16, -1e16])
    total = np.zeros(3) + values
    for rank in range(1, size):
        total += values * (rank + 1)
    for rank, found in enumerate(said):
        assert found["total"] == total.tobytes().hex()
        assert found["singles"] == [[size * (size + 1) / 2] * 2] * 2
        assert found["none"] == [0, 4]
        assert found["counts"] == [size * 2**40 + size * (size - 1) // 2]
        assert found["most"] == size - 6
        assert found["first"] == "says 0"
        assert found["gather"] == ["é" * other for other in range(size)]
        assert found["place"] == [rank, size]


def test_others_hear_why_a_process_stopped(run_crew, tmp_path):
    runs = run_crew(3, PROGRAM, tmp_path, "one_fails", check=False)
    assert all(run.returncode for run in runs)
    for rank in (0, 2):
        assert (
            f"CrewStopped: rank {rank} of 3 cannot go on: rank 1 stopped: DataError: row 7 is bad" in runs[rank].stderr
        )


def test_others_hear_who_was_killed(run_crew, tmp_path):
    runs = run_crew(3, PROGRAM, tmp_path, "one_is_killed", check=False)
    assert runs[1].returncode == -9
    for rank in (0, 2):
        assert f"CrewError: rank {rank} of 3 cannot go on: rank 1 is gone: it was killed" in runs[rank].stderr


def test_process_that_torchrun_did_not_start_says_how_to_start_it(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(
            ConfigError, match=r"WORLD_SIZE, LOCAL_RANK, .* not set; start it by `prismrec train --processes"
        ),
        process_group(),
    ):
        pass


def test_gpus_that_are_not_there_are_refused_in_every_process_before_any_waits(monkeypatch):
    places = {"RANK": "0", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**places, "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(ConfigError, match="a GPU for each of the 3 processes on this machine, and torch finds 2"):  # noqa: SIM117
        with process_group("cuda"):
            pass


def test_environment_tells_who_started_a_process_and_how_often():
    assert not started_by_torchrun({})
    assert not started_by_torchrun({"RANK": "0"})
    environment = {"RANK": "0", "TORCHELASTIC_RUN_ID": "abc", "TORCHELASTIC_RESTART_COUNT": "2"}
    assert started_by_torchrun(environment)
    assert attempt(environment) == Attempt("abc", 2)
    assert attempt({}) == Attempt("", 0)


def test_threads_are_shared_out_among_the_processes_of_a_machine():
    assert own_threads(8, {"LOCAL_WORLD_SIZE": "2"}) == 4
    assert own_threads(1, {"LOCAL_WORLD_SIZE": "2"}) == 1
    assert own_threads(6, {}) == 6
    assert (processes_here({}), processes_here({"LOCAL_WORLD_SIZE": "3"})) == (1, 3)
    assert own_threads(0, {"LOCAL_WORLD_SIZE": "100000"}) == 1
