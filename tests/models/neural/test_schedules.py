"""Which of two tasks has its turn: every batch of both comes round, in the numbers that the settings say."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.models.neural.schedules import ScheduleSettings, Turn, Turns


def turns_of(settings, n_main, n_side, epochs):
    turns = Turns(settings, n_main, n_side)
    return [[turns.at(epoch, step) for step in range(turns.steps_per_epoch)] for epoch in range(epochs)]


def test_alternating_mixes_a_third_of_the_side_task_into_every_epoch():
    found = turns_of(ScheduleSettings(kind="alternating", interval=3), 4, 6, 3)
    assert all(len(epoch) == 6 for epoch in found)
    assert [[turn.task for (turn,) in epoch] for epoch in found] == [["main", "main", "side"] * 2] * 3
    assert [turn.number for epoch in found for (turn,) in epoch if turn.task == "side"] == [0, 1, 2, 3, 4, 5]
    assert [turn.number for (turn,) in found[1] if turn.task == "main"] == [0, 1, 2, 3]


some_settings = st.builds(
    ScheduleSettings, kind=st.just("alternating"), interval=st.integers(1, 5), side_epochs=st.integers(1, 3)
)


@given(some_settings, st.integers(1, 9), st.integers(1, 20))
def test_alternating_has_every_main_batch_in_each_epoch_and_every_side_batch_in_each_interval(settings, n_main, n_side):
    found = turns_of(settings, n_main, n_side, 2 * settings.interval)
    assert len({len(epoch) for epoch in found}) == 1
    for number, epoch in enumerate(found):
        main = [turn for (turn,) in epoch if turn.task == "main"]
        assert main == [Turn("main", number, n) for n in range(n_main)]
    side = [turn for epoch in found for (turn,) in epoch if turn.task == "side"]
    assert side == [Turn("side", n // n_side, n % n_side) for n in range(len(side))], "in order, over and over"
    assert 2 * n_side <= len(side) < 2 * (n_side + settings.interval)


@given(some_settings, st.integers(1, 9), st.integers(1, 20))
def test_alternating_spreads_the_side_task_evenly(settings, n_main, n_side):
    [epoch] = turns_of(settings, n_main, n_side, 1)
    sides = [turn.task == "side" for (turn,) in epoch]
    share = sum(sides) / len(sides)
    assert all(abs(sum(sides[:n]) - share * n) < 1 for n in range(len(sides)))


def test_joint_trains_both_in_every_step_and_the_side_task_goes_round():
    found = turns_of(ScheduleSettings(kind="joint"), 2, 3, 3)
    assert [[(m.number, s.epoch, s.number) for m, s in epoch] for epoch in found] == [
        [(0, 0, 0), (1, 0, 1)],
        [(0, 0, 2), (1, 1, 0)],
        [(0, 1, 1), (1, 1, 2)],
    ]


def test_sequential_has_the_side_task_first_and_then_the_main_one_from_its_start():
    found = turns_of(ScheduleSettings(kind="sequential", side_epochs=2), 3, 4, 4)
    tasks = Counter((number, turn.task) for number, epoch in enumerate(found) for (turn,) in epoch)
    assert tasks == {(0, "side"): 3, (1, "side"): 3, (2, "main"): 3, (3, "main"): 3}
    assert [turn.number for epoch in found[:2] for (turn,) in epoch] == [0, 1, 2, 3, 0, 1]
    assert found[2][0] == (Turn("main", 0, 0),)


@pytest.mark.parametrize("kind", ["alternating", "joint", "sequential"])
def test_without_a_side_task_every_step_is_of_the_main_one(kind):
    found = turns_of(ScheduleSettings(kind=kind), 3, 0, 7)
    assert found == [[(Turn("main", epoch, step),) for step in range(3)] for epoch in range(7)]
