"""What a person or a program sees while a model trains."""

import io
import json

import pytest

from prismrec.training.log import EpochLog
from prismrec.training.progress import (
    BarProgress,
    JsonProgress,
    LineProgress,
    Plan,
    QuietProgress,
    StepReport,
    _duration,
    _short,
    make_progress,
)

PLAN = Plan(n_epochs=20, steps_per_epoch=50)
REPORT = StepReport(
    epoch=3,
    step=11,
    share=0.111,
    losses={"item": 2.41349, "item-category": 0.68},
    task_weights={"item": 0.523, "item-category": 1.3},
    examples_per_second=5_912_000.0,
    eta_seconds=75.2,
)
EPOCH = EpochLog(3, {"item": 2.25}, {"item": 0.5}, n_examples=24_680, seconds=2.0, validation=0.28125)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drive(progress, clock, seconds=60.0):
    progress.start(PLAN)
    clock.now += seconds
    progress.step(REPORT)
    progress.epoch(EPOCH)
    progress.note("stopped: [patience] is over")
    progress.close()


def test_lines_say_position_speed_time_left_losses_and_weights():
    stream, clock = io.StringIO(), Clock()
    drive(LineProgress(stream, clock), clock)
    assert stream.getvalue().splitlines() == [
        "epoch 3/20 step 11/50  5.91 M examples/s, 1:15 left  item 2.4135 ×0.52  item-category 0.6800 ×1.30",
        "epoch 3/20  2.0 s  12.3 k examples/s  item 2.2500 ×0.50  validation 0.2812",
        "stopped: [patience] is over",
    ]


def test_lines_within_an_epoch_come_every_ten_seconds_and_not_right_after_an_epochs_line():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    progress.start(PLAN)
    for second in range(35):
        clock.now = float(second)
        progress.step(REPORT)
        if second == 15:
            progress.epoch(EPOCH)
    lines = stream.getvalue().splitlines()
    assert ["step" in line for line in lines] == [True, False, True]


def test_task_without_a_weight_shows_its_loss_alone():
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress(stream, clock)
    progress.epoch(EpochLog(1, {"bpr": 0.7}, {}, 10, 1.0))
    assert "bpr 0.7000" in stream.getvalue()
    assert "×" not in stream.getvalue()
    assert "validation" not in stream.getvalue()


def test_json_lines_carry_every_number_unrounded():
    stream, clock = io.StringIO(), Clock()
    drive(JsonProgress(stream, clock), clock)
    start, step, epoch, note, end = map(json.loads, stream.getvalue().splitlines())
    assert start == {"event": "start", "n_epochs": 20, "steps_per_epoch": 50, "epoch": 0, "step": 0}
    assert step["losses"] == REPORT.losses
    assert step["task_weights"] == REPORT.task_weights
    assert (step["event"], step["share"], step["eta_seconds"]) == ("step", 0.111, 75.2)
    assert (epoch["event"], epoch["validation"], epoch["examples_per_second"]) == ("epoch", 0.28125, 12_340.0)
    assert note == {"event": "note", "text": "stopped: [patience] is over"}
    assert end == {"event": "end"}


def test_json_steps_come_at_most_once_per_second_but_every_epoch_comes():
    stream, clock = io.StringIO(), Clock()
    progress = JsonProgress(stream, clock)
    for tenth in range(1, 31):
        clock.now = tenth / 10
        progress.step(REPORT)
        progress.epoch(EPOCH)
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events.count("step") == 3
    assert events.count("epoch") == 30


def test_quiet_shows_nothing(capfd):
    drive(QuietProgress(), Clock())
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_bar_shows_position_speed_time_left_losses_and_weights(wide_terminal):
    clock = Clock()
    drive(BarProgress(wide_terminal, clock), clock)
    shown = wide_terminal.getvalue()
    for part in ("epoch 3/20 step 11/50", "11%", "5.91 M examples/s, 1:15 left", "item-category 0.6800 ×1.30"):
        assert part in shown
    assert "validation 0.2812" in shown
    assert "stopped: [patience] is over" in shown


def test_bar_gives_the_cursor_back(wide_terminal):
    clock = Clock()
    drive(BarProgress(wide_terminal, clock), clock)
    assert wide_terminal.getvalue().count("\x1b[?25l") == wide_terminal.getvalue().count("\x1b[?25h") == 1


def test_bar_redraws_at_most_ten_times_per_second(wide_terminal):
    clock = Clock()
    progress = BarProgress(wide_terminal, clock)
    progress.start(PLAN)
    for thousandth in range(1, 1001):
        clock.now = thousandth / 1000
        progress.step(REPORT)
    progress.close()
    assert 5 <= wide_terminal.getvalue().count("epoch 3/20") <= 11


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("bar", BarProgress), ("lines", LineProgress), ("json", JsonProgress), ("quiet", QuietProgress)],
)
def test_mode_chooses_the_progress(mode, kind):
    assert type(make_progress(mode, Terminal())) is kind


def test_bar_becomes_lines_where_there_is_no_terminal():
    assert type(make_progress("bar", io.StringIO())) is LineProgress


def test_progress_goes_to_stderr(capsys):
    make_progress("lines").note("here")
    assert capsys.readouterr() == ("", "here\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (4.21, "4.2 s"), (59.94, "59.9 s"), (59.96, "1:00"), (3599.6, "1:00:00"), (7384, "2:03:04")],
)
def test_durations_read_as_a_person_says_them(seconds, text):
    assert _duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(87.4, "87"), (12_340, "12.3 k"), (5_912_000, "5.91 M"), (0.0, "0")])
def test_counts_are_shown_short(number, text):
    assert _short(number) == text
