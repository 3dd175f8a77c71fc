"""Progress of another process: every event comes through as it was told."""

import io
from unittest.mock import Mock, call

from prismrec.training.log import EpochLog
from prismrec.training.progress import JsonProgress, Plan, StepReport
from prismrec.training.replay import Replay


def test_events_come_through_as_they_were_told():
    told, shown = io.StringIO(), Mock()
    clock = iter([0.0, 5.0, 5.0, 10.0])
    progress = JsonProgress(told, lambda: next(clock))
    plan = Plan(3, 10, 1, 4)
    report = StepReport(2, 5, 0.5, {"item": 1.25}, {"item": 0.5}, 1000.0, 2.5)
    entry = EpochLog(1, {"item": 1.25}, {"item": 0.5}, 1000, 2.0)
    progress.start(plan)
    progress.step(report)
    progress.epoch(entry)
    progress.note("half way")
    progress.close()
    replay = Replay(shown)
    for line in told.getvalue().splitlines():
        replay.hear(line)
    assert shown.mock_calls == [call.start(plan), call.step(report), call.epoch(entry), call.note("half way")]


def test_line_that_is_no_event_is_a_note_and_an_empty_one_is_nothing():
    shown = Mock()
    for line in ("a library speaks", "", "[1, 2]"):
        Replay(shown).hear(line)
    assert shown.mock_calls == [call.note("a library speaks"), call.note("[1, 2]")]
