"""Notes that workers leave, and which of them tells the cause."""

import pytest

from prismrec import errors
from prismrec.cluster.outcomes import Outcome, forget_outcome, read_outcomes
from prismrec.errors import CrewError, DataError


def test_error_comes_before_a_signal_and_last_those_who_only_lost_the_others(tmp_path):
    lost = Outcome(0, "CrewError", "rank 2 stopped")
    stopped = Outcome(1, "TrainingInterrupted", "stopped", 15)
    failed = Outcome(2, "DataError", "row 7 is bad")
    for outcome in (lost, stopped, failed):
        outcome.write(tmp_path)
    assert read_outcomes(tmp_path) == [failed, stopped, lost]


def test_no_outcome_where_all_went_well(tmp_path):
    assert read_outcomes(tmp_path) == []


def test_outcome_of_an_earlier_start_is_forgotten(tmp_path):
    forget_outcome(tmp_path, 0)
    for rank in range(2):
        Outcome(rank, "CrewError", "rank 2 stopped").write(tmp_path)
    forget_outcome(tmp_path, 0)
    assert [outcome.rank for outcome in read_outcomes(tmp_path)] == [1]


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "PrismRecError"])
def test_every_error_of_prismrec_comes_back_as_itself(tmp_path, name):
    Outcome(0, name, "what came").write(tmp_path)
    (outcome,) = read_outcomes(tmp_path)
    error = outcome.error()
    assert type(error) is getattr(errors, name)
    assert str(error) == "what came"


def test_error_that_is_not_known_is_one_of_the_crew():
    assert type(Outcome(0, "NewError", "x").error()) is CrewError
    assert type(Outcome(0, "DataError", "x").error()) is DataError
