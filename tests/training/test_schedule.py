"""When checkpoints are written."""

from prismrec.training.schedule import SHORTEST_PAUSE_SECONDS, WRITING_SHARE, CheckpointSchedule


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_schedule_writes_every_so_many_minutes_within_an_epoch():
    clock = Clock()
    schedule = CheckpointSchedule(2.0, clock)
    clock.now += 119.0
    assert not schedule.is_due(at_epoch_end=False)
    clock.now += 1.0
    assert schedule.is_due(at_epoch_end=False)
    schedule.wrote(0.1)
    assert not schedule.is_due(at_epoch_end=False)


def test_schedule_writes_at_epoch_ends_that_do_not_follow_too_closely():
    clock = Clock()
    schedule = CheckpointSchedule(2.0, clock)
    clock.now += SHORTEST_PAUSE_SECONDS - 0.5
    assert not schedule.is_due(at_epoch_end=True)
    clock.now += 0.5
    assert schedule.is_due(at_epoch_end=True)
    assert not schedule.is_due(at_epoch_end=False)


def test_slow_writing_makes_epoch_ends_wait_longer_but_never_longer_than_the_minutes():
    clock = Clock()
    schedule = CheckpointSchedule(2.0, clock)
    schedule.wrote(1.0)
    clock.now += 1.0 / WRITING_SHARE - 1.0
    assert not schedule.is_due(at_epoch_end=True)
    clock.now += 1.0
    assert schedule.is_due(at_epoch_end=True)
    schedule.wrote(1000.0)
    clock.now += 120.0
    assert schedule.is_due(at_epoch_end=True)
