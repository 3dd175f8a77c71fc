"""The training log: what it derives, and that JSON keeps every bit of it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import ArtifactError
from prismrec.training.log import TRACE_POINTS_PER_EPOCH, EpochLog, TracePoint, TrainingLog, is_trace_step

numbers = st.floats(allow_nan=False, allow_infinity=False)
per_task = st.dictionaries(st.text(max_size=8), numbers, max_size=3)
epochs = st.builds(
    EpochLog,
    epoch=st.integers(1, 999),
    losses=per_task,
    task_weights=per_task,
    n_examples=st.integers(0, 10**12),
    seconds=numbers,
    validation=st.none() | numbers,
)
logs = st.builds(
    TrainingLog,
    epochs=st.lists(epochs, max_size=3).map(tuple),
    trace=st.lists(st.builds(TracePoint, epoch=numbers, losses=per_task, task_weights=per_task), max_size=3).map(tuple),
    kept_epoch=st.none() | st.integers(1, 999),
    stopped_early=st.booleans(),
)


def epoch(number, validation=None, seconds=2.0):
    return EpochLog(number, {"item": 1.5}, {"item": 1.0}, n_examples=300, seconds=seconds, validation=validation)


@given(logs)
def test_json_gives_back_an_equal_log(log):
    assert TrainingLog.from_json(log.to_json()) == log


@pytest.mark.parametrize("text", ["", "[]", '{"epochs": [{"epoch": "first"}]}', '{"trace": 3}'])
def test_text_that_is_no_log_is_refused(text):
    with pytest.raises(ArtifactError, match="this is not a training log"):
        TrainingLog.from_json(text)


def test_speed_is_examples_by_time_in_steps():
    assert epoch(1).examples_per_second == 150.0
    assert epoch(1, seconds=0.0).examples_per_second == 0.0


def test_seconds_add_up_over_epochs():
    assert TrainingLog((epoch(1), epoch(2, seconds=0.5))).seconds == 2.5


def test_best_epoch_is_the_earliest_of_the_highest():
    log = TrainingLog((epoch(1, -0.5), epoch(2), epoch(3, 0.25), epoch(4, 0.25), epoch(5, 0.1)))
    assert log.best_epoch == 3


def test_no_validation_no_best_epoch():
    assert TrainingLog((epoch(1), epoch(2))).best_epoch is None
    assert TrainingLog().best_epoch is None


def traced(*places):
    return tuple(TracePoint(place, {"item": place}, {"item": 0.5}) for place in places)


def test_records_are_one_per_epoch_with_the_points_of_its_own_curves():
    log = TrainingLog((epoch(1, 0.2), epoch(2, 0.1)), traced(0.5, 1.0, 1.001, 1.5, 2.0), kept_epoch=1)
    first, second = log.records()
    assert first == {
        "epoch": 1, "losses": {"item": 1.5}, "task_weights": {"item": 1.0}, "n_examples": 300, "seconds": 2.0,
        "validation": 0.2, "examples_per_second": 150.0, "kept": True,
        "trace": [
            {"epoch": 0.5, "losses": {"item": 0.5}, "task_weights": {"item": 0.5}},
            {"epoch": 1.0, "losses": {"item": 1.0}, "task_weights": {"item": 0.5}},
        ],
    }  # fmt: skip
    assert [point["epoch"] for point in second["trace"]] == [1.001, 1.5, 2.0]
    assert not second["kept"]
    assert second["validation"] == 0.1


def test_records_of_nothing_are_empty_and_of_an_unfinished_run_name_no_kept_epoch():
    assert TrainingLog().records() == []
    assert [record["kept"] for record in TrainingLog((epoch(1), epoch(2))).records()] == [False, False]


@given(st.lists(epochs, max_size=3), st.lists(st.floats(0.001, 3.0), max_size=9))
def test_records_are_json_and_lose_no_point_of_the_epochs_they_hold(entries, places):
    numbered = tuple(replace(entry, epoch=n + 1) for n, entry in enumerate(entries))
    records = TrainingLog(numbered, traced(*sorted(places)), kept_epoch=1).records()
    assert json.loads(json.dumps(records)) == records
    found = [point["epoch"] for record in records for point in record["trace"]]
    assert found == [place for place in sorted(places) if place <= len(numbered)]


@pytest.mark.parametrize("steps", [20, 21, 59, 400, 1003])
def test_trace_has_twenty_evenly_spread_points_and_the_last_step(steps):
    chosen = [step for step in range(steps) if is_trace_step(step, steps)]
    gaps = [b - a for a, b in zip([-1, *chosen], chosen, strict=False)]
    assert len(chosen) == TRACE_POINTS_PER_EPOCH
    assert chosen[-1] == steps - 1
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("steps", [1, 7, 19])
def test_trace_of_a_short_epoch_has_every_step(steps):
    assert all(is_trace_step(step, steps) for step in range(steps))
