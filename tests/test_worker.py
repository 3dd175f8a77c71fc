"""What a worker leaves and how it ends; the crew and the training are stand-ins."""

from contextlib import nullcontext

import pytest

from prismrec import worker
from prismrec.cluster.outcomes import Outcome, read_outcomes
from prismrec.cluster.process_group import CrewStopped
from prismrec.crew_fitting import Job
from prismrec.errors import CrewError, DataError
from prismrec.settings import build_settings
from prismrec.training.interrupts import TrainingInterrupted


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(error)`: the exit code of rank 1 when training ends with it, and what it left."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(worker, "process_group", lambda *_: nullcontext())
    Job(prepared="data", run_folder="run", identity={}, settings=build_settings({}, [])).write(tmp_path)

    def ended(error):
        def train(*_):
            if error is not None:
                raise error

        monkeypatch.setattr(worker, "train_in_crew", train)
        return worker.main(tmp_path), read_outcomes(tmp_path)

    return ended


def test_worker_that_is_done_leaves_nothing(run):
    assert run(None) == (0, [])


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DataError("row 7 is bad"), Outcome(1, "DataError", "row 7 is bad")),
        (CrewStopped("rank 0 stopped"), Outcome(1, "CrewError", "rank 0 stopped")),
        (TrainingInterrupted("stopped by SIGTERM", 15), Outcome(1, "TrainingInterrupted", "stopped by SIGTERM", 15)),
    ],
)
def test_what_would_come_again_is_left_and_nothing_starts_again(run, error, outcome):
    assert run(error) == (0, [outcome])


def test_loss_of_another_process_makes_all_start_again(run, capsys):
    assert run(CrewError("rank 0 is gone")) == (1, [])
    assert capsys.readouterr().err == "rank 0 is gone\n"


def test_what_an_earlier_start_left_is_not_the_end_of_this_one(run):
    assert run(CrewStopped("rank 0 stopped: OSError"))[1]
    assert run(None) == (0, [])
