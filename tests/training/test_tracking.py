"""The watcher that a tracking tool hears through: what it passes on, and what it does when the tool is lost."""

import numpy as np
import pytest

from prismrec.config import build
from prismrec.errors import ArtifactError, ConfigError, TrainingError
from prismrec.training import tracking
from prismrec.training.interrupts import TrainingGivenUp
from prismrec.training.log import EpochLog
from prismrec.training.loop import TrainingInterrupted, TrainingSettings, train
from prismrec.training.progress import Plan, QuietProgress
from prismrec.training.tracking import TrackedProgress, TrackingSettings, tracked


class Shown(QuietProgress):
    """What a person would have seen."""

    def __init__(self):
        self.told = []

    def start(self, plan):
        self.told.append("start")

    def step(self, report):
        self.told.append("step")

    def epoch(self, entry):
        self.told.append("epoch")

    def note(self, text):
        self.told.append(text)

    def close(self):
        self.told.append("close")


class Tool:
    """A tracker and its runs in one: keeps all it hears; `broken_at` is the call of `scalars` that fails."""

    def __init__(self, broken_at=None):
        self.begun, self.points, self.ended = [], [], []
        self.broken_at = broken_at

    def begin(self, name, parameters):
        self.begun.append((name, dict(parameters)))
        return self

    def scalars(self, values, step):
        if len(self.points) == self.broken_at:
            raise ArtifactError("cannot track to nowhere: gone")
        self.points.append((step, dict(values)))

    def end(self, outcome):
        self.ended.append(outcome)


class Toy:
    """A model of one number with `n_steps` steps per epoch; step `bad` raises."""

    def __init__(self, n_steps=3, bad=None, error=None):
        self.steps_per_epoch = n_steps
        self._value, self._bad, self._error, self._taken = np.zeros(1), bad, error, 0

    def step(self, epoch, step, progress):
        from prismrec.models.contract import TaskLoss

        if self._taken == self._bad:
            raise self._error
        self._taken += 1
        return {"item": TaskLoss(8.0 / self._taken, 4)}

    def task_weights(self):
        return {"item": 0.5}

    def state(self):
        return {"value": self._value}

    def own_rows(self):
        return {}

    def restore(self, state):
        self._value = state["value"]


def watched(tool, model, **settings):
    shown = Shown()
    progress = TrackedProgress(shown, tool, "bundle", {"seed": "0"})
    train(model, TrainingSettings(**settings), progress=progress, validate=lambda: 0.25)
    return shown


def test_each_training_is_a_run_with_curves_by_step_and_by_epoch():
    tool = Tool()
    shown = watched(tool, Toy(), epochs=2)
    assert tool.begun == [("bundle", {"seed": "0"})]
    by_step = [(step, values) for step, values in tool.points if "loss/item" in values]
    assert [step for step, _ in by_step] == [1, 2, 3, 4, 5, 6]
    # 8/1 and 8/2 over 4 examples each: the mean since the epoch began is (2 + 1) / 2
    assert by_step[1][1] == {"loss/item": 1.5, "weight/item": 0.5}
    by_epoch = [(step, values) for step, values in tool.points if "epoch/validation" in values]
    assert [step for step, _ in by_epoch] == [1, 2]
    assert by_epoch[0][1]["epoch/validation"] == 0.25
    assert by_epoch[0][1]["epoch/loss/item"] == pytest.approx((8 + 4 + 8 / 3) / 12)
    assert tool.ended == ["finished"]
    assert shown.told == ["start", "step", "step", "step", "epoch", "step", "step", "step", "epoch", "close"]


def test_long_epochs_give_at_most_twenty_points():
    tool = Tool()
    watched(tool, Toy(n_steps=90), epochs=1)
    assert len([step for step, values in tool.points if "loss/item" in values]) == 20


def test_an_epoch_without_validation_has_no_such_point():
    tool = Tool()
    progress = TrackedProgress(QuietProgress(), tool, "bundle", {})
    progress.start(Plan(1, 1))
    progress.epoch(EpochLog(1, {"item": 1.0}, {}, 4, 2.0))
    assert tool.points == [(1, {"epoch/loss/item": 1.0, "epoch/seconds": 2.0, "epoch/examples_per_second": 2.0})]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TrainingError("diverged"), "failed"),
        (TrainingInterrupted("Ctrl-C", 2), "stopped"),
        (TrainingGivenUp(), "stopped"),
    ],
    ids=["failed", "stopped", "given up"],
)
def test_how_training_ended_is_told(error, outcome):
    tool = Tool()
    with pytest.raises(type(error)):
        watched(tool, Toy(bad=2, error=error), epochs=1)
    assert tool.ended == [outcome]


def test_a_tool_that_is_lost_is_noted_once_and_costs_no_training():
    tool = Tool(broken_at=2)
    shown = watched(tool, Toy(), epochs=2)
    assert [text for text in shown.told if "gone" in text] == [
        "cannot track to nowhere: gone; training goes on untracked"
    ]
    assert shown.told.count("step") == 6
    assert tool.ended == []


def test_a_tool_that_refuses_at_the_start_stops_training():
    class Refusing(Tool):
        def begin(self, name, parameters):
            raise ArtifactError("cannot track to nowhere: no such place")

    with pytest.raises(ArtifactError, match="no such place"):
        watched(Refusing(), Toy(), epochs=1)


def test_nothing_is_wrapped_where_nothing_is_tracked():
    shown = Shown()
    assert tracked(shown, TrackingSettings(), "bundle", {}) is shown


@pytest.mark.parametrize("tool", ["tensorboard", "mlflow"])
def test_the_setting_chooses_the_tool(tool, monkeypatch, tmp_path):
    built = []
    for name in ("TensorBoard", "MLflow"):
        monkeypatch.setattr(tracking, name, lambda *arguments, name=name: built.append((name, *arguments)))
    settings = TrackingSettings(to=tool, folder=str(tmp_path), experiment="shop", server="http://here")
    assert isinstance(tracked(QuietProgress(), settings, "bundle", {}), TrackedProgress)
    expected = {"tensorboard": ("TensorBoard", tmp_path, "shop"), "mlflow": ("MLflow", tmp_path, "shop", "http://here")}
    assert built == [expected[tool]]


def test_an_unknown_tool_is_refused():
    with pytest.raises(ConfigError, match="'to': Input should be 'none', 'tensorboard' or 'mlflow'"):
        build(TrackingSettings, {"to": "wandb"})
