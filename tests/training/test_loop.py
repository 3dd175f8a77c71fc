"""The loop: the right steps in the right order, an honest log, early stop, clean ends, and exact resumption."""

import math
import os
import signal
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prismrec.cluster.crew import Attempt
from prismrec.config import build
from prismrec.errors import ArtifactError, ConfigError, DataError, TrainingError
from prismrec.models.contract import TaskLoss
from prismrec.training.checkpoints import RunFolder
from prismrec.training.loop import TrainingInterrupted, TrainingSettings, train
from prismrec.training.progress import QuietProgress

EAGER = 1e-9  # minutes: a checkpoint after every step


class Recorder:
    """Keeps what the loop tells whoever watches."""

    def __init__(self):
        self.events = []

    def start(self, plan):
        self.events.append(("start", plan))

    def step(self, report):
        self.events.append(("step", report))

    def epoch(self, entry):
        self.events.append(("epoch", entry))

    def note(self, text):
        self.events.append(("note", text))

    def close(self):
        self.events.append(("close", None))

    def of(self, kind):
        return [content for name, content in self.events if name == kind]


def settings(**values: Any) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 4, "checkpoint_minutes": EAGER, **values})


def at(moment, action):
    """A `before_step` that does something when (epoch, step) is `moment`."""
    return lambda epoch, step: action() if (epoch, step) == moment else None


def press(number=signal.SIGINT):
    return lambda: os.kill(os.getpid(), number)


def without_times(log):
    return replace(log, epochs=tuple(replace(entry, seconds=0.0) for entry in log.epochs))


def assert_equal_states(one, other):
    for name, array in one.state().items():
        assert array.tobytes() == other.state()[name].tobytes(), name


# ---------------------------------------------------------------- settings


def test_defaults_are_the_documented_ones():
    chosen = TrainingSettings()
    assert (chosen.epochs, chosen.learning_rate, chosen.patience, chosen.checkpoint_minutes) == (20, 0.2, 0, 5.0)
    assert len(TrainingSettings.model_fields) <= 12
    assert all(field.description for field in TrainingSettings.model_fields.values())


@pytest.mark.parametrize("values", [{"epochs": 0}, {"learning_rate": 0.0}, {"patience": -1}, {"device": "tpu"}])
def test_impossible_settings_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(TrainingSettings, values)


def test_cuda_needs_the_torch_implementation():
    with pytest.raises(ConfigError, match='device = "cuda" needs implementation = "torch"'):
        build(TrainingSettings, {"device": "cuda"})
    assert build(TrainingSettings, {"device": "cuda", "implementation": "torch"}).device == "cuda"


# ---------------------------------------------------------------- the course of training


def test_every_step_is_taken_once_in_order_with_its_share_of_all_training(toy):
    model = toy.TwoTasks(steps=5)
    train(model, settings(epochs=2))
    assert [(epoch, step) for epoch, step, _ in model.taken] == [(e, s) for e in range(2) for s in range(5)]
    assert [share for *_, share in model.taken] == pytest.approx([n / 10 for n in range(10)], abs=1e-15)


def test_training_learns_and_trusts_the_precise_task_more(toy):
    model = toy.TwoTasks()
    log = train(model, settings(epochs=20), validate=model.error)
    first, *_, last = (entry.validation or 0.0 for entry in log.epochs)
    assert first < -1.0
    assert -0.05 < last < 0.0
    assert log.epochs[-1].task_weights["precise"] > 2 * log.epochs[-1].task_weights["noisy"]


def test_log_holds_per_epoch_means_weights_and_counts(toy):
    model, watched = toy.TwoTasks(steps=3), []
    original = model.step

    def step(*args):
        watched.append((original(*args), model.task_weights()))
        return watched[-1][0]

    model.step = step
    log = train(model, settings(epochs=2))
    for number, entry in enumerate(log.epochs):
        steps = watched[3 * number : 3 * number + 3]
        assert entry.epoch == number + 1
        assert entry.n_examples == 3 * 2 * toy.BATCH
        assert entry.task_weights == steps[-1][1]
        assert entry.seconds > 0
        assert entry.validation is None
        for task in ("precise", "noisy"):
            expected = sum(losses[task].total for losses, _ in steps) / (3 * toy.BATCH)
            assert entry.losses[task] == pytest.approx(expected, rel=1e-12)
    assert (log.kept_epoch, log.stopped_early, log.best_epoch) == (2, False, None)


def test_mean_loss_is_per_example_where_steps_differ_in_size(toy):
    model = toy.TwoTasks(steps=2)
    sizes = {0: TaskLoss(10.0, 1), 1: TaskLoss(2.0, 3)}
    model.step = lambda epoch, step, progress: {"only": sizes[step]} | ({"rare": TaskLoss(4.0, 2)} if step else {})
    log = train(model, settings(epochs=1))
    assert log.epochs[0].losses == {"only": 3.0, "rare": 2.0}
    assert log.trace[0].losses == {"only": 10.0}


def test_trace_follows_the_weights_within_epochs(toy):
    model = toy.TwoTasks(steps=100)
    log = train(model, settings(epochs=2))
    assert [point.epoch for point in log.trace] == pytest.approx([(n + 1) / 20 for n in range(40)])
    assert log.trace[19].task_weights == log.epochs[0].task_weights
    assert log.trace[0].task_weights != log.trace[1].task_weights


def test_watcher_hears_of_everything_in_order_and_the_end(toy):
    recorder = Recorder()
    log = train(toy.TwoTasks(steps=2), settings(epochs=2), progress=recorder)
    assert [name for name, _ in recorder.events] == ["start", *["step", "step", "epoch"] * 2, "close"]
    assert tuple(recorder.of("epoch")) == log.epochs
    reports = recorder.of("step")
    assert [(r.epoch, r.step, r.share) for r in reports] == [(1, 1, 0.25), (1, 2, 0.5), (2, 1, 0.75), (2, 2, 1.0)]
    assert reports[1].losses == log.epochs[0].losses
    assert reports[0].eta_seconds > 0
    assert reports[-1].eta_seconds == 0
    assert all(r.examples_per_second > 0 for r in reports)


def test_no_steps_is_an_error(toy):
    with pytest.raises(DataError, match="nothing to train on: an epoch has no steps"):
        train(toy.TwoTasks(steps=0), settings())


# ---------------------------------------------------------------- validation and early stop


def metric_by_epoch(model, values):
    """A validation metric that is planned: one value per epoch."""
    return lambda: values[model.taken[-1][0]]


def test_validation_comes_every_so_many_epochs_and_after_the_last(toy):
    model = toy.TwoTasks(steps=1)
    log = train(model, settings(epochs=5, validate_every=2), validate=model.error)
    assert [entry.validation is not None for entry in log.epochs] == [False, True, False, True, True]


def test_without_patience_the_last_vectors_stay_however_bad(toy):
    model = toy.TwoTasks(steps=2)
    log = train(model, settings(epochs=3), validate=metric_by_epoch(model, [3.0, 2.0, 1.0]))
    reference = toy.TwoTasks(steps=2)
    train(reference, settings(epochs=3))
    assert (log.kept_epoch, log.best_epoch, log.stopped_early) == (3, 1, False)
    assert_equal_states(model, reference)


def best_of(toy, n_epochs, **values):
    """The state after `n_epochs` of a longer training."""
    snapshots = []
    model = toy.TwoTasks(steps=2)

    def validate():
        snapshots.append({name: array.copy() for name, array in model.state().items()})
        return 0.0

    train(model, settings(**values), validate=validate)
    return snapshots[n_epochs - 1]


def test_early_stop_ends_after_patience_and_keeps_the_best_epochs_vectors(toy, tmp_path):
    model, recorder = toy.TwoTasks(steps=2), Recorder()
    values = [0.1, 0.5, 0.5, 0.4, 0.9, 0.9]
    log = train(
        model,
        settings(epochs=6, patience=2),
        validate=metric_by_epoch(model, values),
        run_folder=tmp_path,
        progress=recorder,
    )
    assert len(log.epochs) == 4
    assert (log.kept_epoch, log.best_epoch, log.stopped_early) == (2, 2, True)
    assert recorder.of("note") == ["no better validation since epoch 2: stopped, and its vectors are kept"]
    for name, array in best_of(toy, 2, epochs=6).items():
        assert model.state()[name].tobytes() == array.tobytes()


def test_best_vectors_are_kept_also_where_patience_lasts_to_the_end(toy):
    model = toy.TwoTasks(steps=2)
    log = train(model, settings(epochs=4, patience=3), validate=metric_by_epoch(model, [0.1, 0.5, 0.4, 0.4]))
    assert (len(log.epochs), log.kept_epoch, log.stopped_early) == (4, 2, False)
    for name, array in best_of(toy, 2, epochs=4).items():
        assert model.state()[name].tobytes() == array.tobytes()


def test_patience_counts_epochs_where_validation_is_rarer(toy):
    model = toy.TwoTasks(steps=1)
    log = train(
        model,
        settings(epochs=20, patience=3, validate_every=2),
        validate=metric_by_epoch(model, [1.0] * 20),
    )
    assert (len(log.epochs), log.kept_epoch) == (6, 2)


def test_patience_without_validation_is_a_config_error(toy):
    with pytest.raises(ConfigError, match=r"training\.patience = 3 needs a validation metric"):
        train(toy.TwoTasks(), settings(patience=3))


# ---------------------------------------------------------------- numbers that are not finite


@pytest.mark.parametrize("metric", [math.nan, math.inf])
def test_validation_that_is_not_finite_stops_training(toy, metric):
    model = toy.TwoTasks(steps=3)
    with pytest.raises(TrainingError, match=r"the validation metric is (nan|inf) at epoch 2 of 4, step 3 of 3; try a"):
        train(model, settings(), validate=metric_by_epoch(model, [0.1, metric, 0.2, 0.3]))


def test_loss_that_is_not_finite_names_task_epoch_and_step(toy):
    model, recorder = toy.TwoTasks(steps=3), Recorder()
    model.before_step = at((1, 2), lambda: model.targets.__setitem__(1, np.nan))
    message = r"the loss of task 'noisy' is nan at epoch 2 of 4, step 3 of 3; try a lower training\.learning_rate"
    with pytest.raises(TrainingError, match=message):
        train(model, settings(), progress=recorder)
    assert recorder.events[-1] == ("close", None)


def test_divergence_is_caught_as_it_happens(toy):
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match=r"is (inf|nan) at epoch 1 of 500"):
        train(toy.TwoTasks(learning_rate=1e6), settings(epochs=500))


def test_weight_that_is_not_finite_is_named(toy):
    model = toy.TwoTasks()
    model.task_weights = lambda: {"precise": 1.0, "noisy": math.inf}
    with pytest.raises(TrainingError, match="the weight of task 'noisy' is inf at epoch 1 of 4, step 1 of 10"):
        train(model, settings())


def test_bad_array_is_found_at_the_epochs_end(toy):
    model = toy.TwoTasks(steps=3)
    original = model.state
    model.state = lambda: {**original(), "unused": np.array([0.0, math.inf if model.taken[-1][0] == 1 else 0.0])}
    with pytest.raises(TrainingError, match=r"array 'unused' holds inf at index \[1\] after epoch 2 of 4, step 3 of 3"):
        train(model, settings())


def test_bad_array_never_reaches_a_checkpoint(toy, tmp_path):
    model = toy.TwoTasks(steps=5)
    model.before_step = at((1, 2), lambda: model.log_variance.__setitem__(0, 300.0))  # its exp stays finite: 0
    original = model.step

    def step(epoch, step, progress):
        losses = original(epoch, step, progress)
        if (epoch, step) == (1, 2):
            model.weights[4] = np.nan
        return losses

    model.step = step
    with pytest.raises(
        TrainingError, match=r"array 'weights' holds nan at index \[4\] after epoch 2 of 4, step 3 of 5"
    ):
        train(model, settings(), run_folder=tmp_path)
    with open(tmp_path / "checkpoint" / "state.json") as file:
        assert '"step": 2' in file.read()


# ---------------------------------------------------------------- stopping and going on


def uninterrupted(toy, **values):
    model = toy.TwoTasks()
    log = train(model, settings(**values), validate=model.error)
    return model, log


@pytest.mark.parametrize("moment", [(0, 0), (0, 9), (1, 4), (2, 0), (3, 9)])
@pytest.mark.parametrize("patience", [0, 3])
def test_interrupted_and_resumed_ends_bit_equal(toy, tmp_path, moment, patience):
    first = toy.TwoTasks(before_step=at(moment, press()))
    with pytest.raises(TrainingInterrupted):
        train(first, settings(patience=patience), validate=first.error, run_folder=tmp_path)
    assert first.taken[-1][:2] == moment

    second = toy.TwoTasks()
    log = train(second, settings(patience=patience), validate=second.error, run_folder=tmp_path, resume=True)
    reference, reference_log = uninterrupted(toy, patience=patience)
    assert first.taken + second.taken == reference.taken
    assert_equal_states(second, reference)
    assert without_times(log) == without_times(reference_log)
    assert log.seconds > 0


def test_best_vectors_from_before_the_interruption_are_kept(toy, tmp_path):
    values = [0.1, 0.9, 0.2, 0.3, 0.4, 0.5]
    chosen = settings(epochs=6, patience=3)
    first = toy.TwoTasks(steps=2, before_step=at((3, 0), press()))
    with pytest.raises(TrainingInterrupted):
        train(first, chosen, validate=metric_by_epoch(first, values), run_folder=tmp_path)
    second = toy.TwoTasks(steps=2)
    log = train(second, chosen, validate=metric_by_epoch(second, values), run_folder=tmp_path, resume=True)
    assert (len(log.epochs), log.kept_epoch, log.stopped_early) == (5, 2, True)
    for name, array in best_of(toy, 2, epochs=6).items():
        assert second.state()[name].tobytes() == array.tobytes()


def test_time_of_a_divided_epoch_is_counted_on_both_sides(toy, tmp_path):
    def slow_or_stop(epoch, step):
        time.sleep(0.05 if step == 0 else 0.0)
        if step == 1:
            press()()

    with pytest.raises(TrainingInterrupted):
        train(toy.TwoTasks(before_step=slow_or_stop), settings(epochs=1), run_folder=tmp_path)
    log = train(toy.TwoTasks(), settings(epochs=1), run_folder=tmp_path, resume=True)
    assert log.epochs[0].seconds > 0.05


def test_interruption_says_where_and_how_to_go_on(toy, tmp_path):
    model = toy.TwoTasks(before_step=at((1, 4), press()))
    message = r"training stopped by Ctrl-C after epoch 2 of 4, step 5 of 10; go on with --resume from .*run"
    with pytest.raises(TrainingInterrupted, match=message) as caught:
        train(model, settings(), run_folder=tmp_path / "run")
    assert caught.value.exit_code == 130


def test_sigterm_stops_likewise(toy, tmp_path):
    model = toy.TwoTasks(before_step=at((1, 4), press(signal.SIGTERM)))
    with pytest.raises(TrainingInterrupted, match="training stopped by SIGTERM after epoch 2") as caught:
        train(model, settings(), run_folder=tmp_path)
    assert caught.value.exit_code == 143
    with RunFolder(tmp_path, {}) as folder:
        assert folder.holds_unfinished_run()


def test_interruption_without_run_folder_says_that_nothing_is_kept(toy):
    with pytest.raises(TrainingInterrupted, match="no run folder: nothing kept"):
        train(toy.TwoTasks(before_step=at((0, 3), press())), settings())


def test_second_signal_stops_within_the_step_and_leaves_the_checkpoint_before(toy, tmp_path):
    def twice():
        press()()
        press()()

    model = toy.TwoTasks(before_step=at((1, 4), twice))
    with pytest.raises(TrainingInterrupted, match="training stopped at once; an earlier checkpoint is untouched"):
        train(model, settings(), run_folder=tmp_path)
    assert model.taken[-1][:2] == (1, 3)
    resumed = toy.TwoTasks()
    train(resumed, settings(), run_folder=tmp_path, resume=True)
    assert resumed.taken[0][:2] == (1, 4)


def test_signal_during_validation_stops_after_the_epoch(toy, tmp_path):
    model = toy.TwoTasks()

    def validate():
        if model.taken[-1][0] == 1:
            press()()
        return model.error()

    with pytest.raises(TrainingInterrupted, match="after epoch 2 of 4, step 10 of 10"):
        train(model, settings(), validate=validate, run_folder=tmp_path)
    resumed = toy.TwoTasks()
    log = train(resumed, settings(), validate=resumed.error, run_folder=tmp_path, resume=True)
    assert resumed.taken[0][:2] == (2, 0)
    assert without_times(log) == without_times(uninterrupted(toy)[1])


def test_signal_while_the_last_checkpoint_is_written_is_not_lost(toy, tmp_path, monkeypatch):
    original = RunFolder.save

    def save(self, checkpoint):
        if checkpoint.finished:
            press()()
        original(self, checkpoint)

    monkeypatch.setattr(RunFolder, "save", save)
    with pytest.raises(TrainingInterrupted, match="after epoch 4 of 4, step 10 of 10"):
        train(toy.TwoTasks(), settings(), run_folder=tmp_path)


def test_finished_run_resumes_to_its_result_without_a_step(toy, tmp_path):
    trained = toy.TwoTasks()
    log = train(trained, settings(patience=2), validate=trained.error, run_folder=tmp_path)
    again, recorder = toy.TwoTasks(), Recorder()
    assert (
        train(again, settings(patience=2), validate=again.error, run_folder=tmp_path, resume=True, progress=recorder)
        == log
    )
    assert again.taken == []
    assert_equal_states(again, trained)
    assert recorder.of("note") == ["checkpoint read: the run is already finished"]


def test_resumed_run_tells_where_it_goes_on(toy, tmp_path):
    with pytest.raises(TrainingInterrupted):
        train(toy.TwoTasks(before_step=at((1, 4), press())), settings(), run_folder=tmp_path)
    recorder = Recorder()
    train(toy.TwoTasks(), settings(), run_folder=tmp_path, resume=True, progress=recorder)
    assert recorder.of("note") == ["checkpoint read: going on after epoch 2 of 4, step 5 of 10"]
    assert (recorder.of("start")[0].epoch, recorder.of("start")[0].step) == (1, 5)


def test_starting_anew_over_an_unfinished_run_says_so(toy, tmp_path):
    with pytest.raises(TrainingInterrupted):
        train(toy.TwoTasks(before_step=at((1, 4), press())), settings(), run_folder=tmp_path)
    recorder = Recorder()
    train(toy.TwoTasks(), settings(), run_folder=tmp_path, progress=recorder)
    assert "will be replaced; to go on with it, stop now and use --resume" in recorder.of("note")[0]
    recorder = Recorder()
    train(toy.TwoTasks(), settings(), run_folder=tmp_path, progress=recorder)
    assert recorder.of("note") == []


def interrupted_run(toy, folder, identity=None):
    with pytest.raises(TrainingInterrupted):
        train(toy.TwoTasks(before_step=at((1, 4), press())), settings(), run_folder=folder, identity=identity)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 5}, r"training\.epochs was 4, is 5"),
        ({"seed": 1}, r"training\.seed was 0, is 1"),
        ({"learning_rate": 0.01}, r"training\.learning_rate was 0\.2, is 0\.01"),
    ],
)
def test_resuming_with_other_settings_is_refused(toy, tmp_path, changed, message):
    interrupted_run(toy, tmp_path)
    with pytest.raises(ArtifactError, match=message):
        train(toy.TwoTasks(), settings(**changed), run_folder=tmp_path, resume=True)


def test_resuming_with_other_data_is_refused(toy, tmp_path):
    interrupted_run(toy, tmp_path, {"data": "aaaa"})
    with pytest.raises(ArtifactError, match="is of another run: data was aaaa, is bbbb"):
        train(toy.TwoTasks(), settings(), run_folder=tmp_path, resume=True, identity={"data": "bbbb"})


def test_threads_and_checkpoint_minutes_may_change_on_resume(toy, tmp_path):
    interrupted_run(toy, tmp_path)
    model = toy.TwoTasks()
    train(model, settings(threads=1, checkpoint_minutes=9.0), run_folder=tmp_path, resume=True)
    assert_equal_states(model, uninterrupted(toy)[0])


def test_checkpoint_whose_arrays_do_not_fit_is_refused_before_anything_is_taken_over(toy, tmp_path):
    interrupted_run(toy, tmp_path)
    model = toy.TwoTasks()
    model.log_variance = np.zeros(3, np.float32)
    message = r"array 'log/variance' is float32 \(2,\) there and float32 \(3,\) here; resume with the data"
    with pytest.raises(ArtifactError, match=message):
        train(model, settings(), run_folder=tmp_path, resume=True)
    assert not model.weights.any()


def test_resuming_without_a_checkpoint_or_folder_is_refused(toy, tmp_path):
    with pytest.raises(ArtifactError, match=r"there is no checkpoint in .*: start without --resume"):
        train(toy.TwoTasks(), settings(), run_folder=tmp_path, resume=True)
    with pytest.raises(ConfigError, match="--resume needs the run folder"):
        train(toy.TwoTasks(), settings(), resume=True)


def test_short_run_writes_one_checkpoint(toy, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(RunFolder, "save", lambda self, checkpoint: saved.append(checkpoint.finished))
    train(toy.TwoTasks(), settings(checkpoint_minutes=5.0), run_folder=tmp_path)
    assert saved == [True]


# ---- several processes: crews of threads ----


def crew_settings(**changes):
    return TrainingSettings(epochs=3, checkpoint_minutes=1e-9, **changes)


class Watcher(QuietProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def start(self, plan):
        self.notes.append("start")


def test_crew_trains_as_one_and_only_the_first_shows_it(toy, tmp_path, in_crew):
    watchers = [Watcher(), Watcher()]

    def run(crew):
        return train(
            toy.TwoTasks(), crew_settings(), run_folder=tmp_path / "run", progress=watchers[crew.rank], crew=crew
        )

    logs = in_crew(2, run)
    assert [entry.losses for entry in logs[0].epochs] == [entry.losses for entry in logs[1].epochs]
    assert logs[0].kept_epoch == 3
    assert [watcher.notes for watcher in watchers] == [["start"], []]


def test_early_stopping_in_a_crew_is_refused(toy, in_crew):
    errors = in_crew(2, lambda crew: train(toy.TwoTasks(), crew_settings(patience=2), validate=lambda: 1.0, crew=crew))
    assert all("training.patience = 2: early stopping validates in one process" in str(error) for error in errors)


@pytest.mark.parametrize(("launch", "first"), [("same", (1, 4)), ("other", (0, 0))])
def test_started_again_a_crew_goes_on_from_its_own_checkpoint_only(toy, tmp_path, in_crew, launch, first):
    def fail_later(epoch, step):
        if (epoch, step) == (1, 4):
            raise ArtifactError("lost")

    def run(crew, attempt, before_step=None):
        model = toy.TwoTasks(before_step=before_step)
        train(model, crew_settings(), run_folder=tmp_path / "run", crew=crew, attempt=attempt)
        return model

    lost = in_crew(2, lambda crew: run(crew, Attempt("same", 0), fail_later))
    assert [str(error) for error in lost] == ["lost", "lost"]
    again = in_crew(2, lambda crew: run(crew, Attempt(launch, crew.rank)))  # one of two machines knows of it
    undisturbed = toy.TwoTasks()
    train(undisturbed, crew_settings())
    for model in again:
        assert model.taken[0][:2] == first
        assert model.weights.tobytes() == undisturbed.weights.tobytes()


@pytest.mark.parametrize(("stopped_at", "noted"), [((1, 4), True), ((1, 0), False)])
def test_another_number_of_processes_within_an_epoch_is_told(toy, tmp_path, monkeypatch, stopped_at, noted):
    """What each process has met of an epoch depends on how many there are."""

    def fail(epoch, step):
        if (epoch, step) == stopped_at:
            raise ArtifactError("lost")

    with pytest.raises(ArtifactError, match="lost"):
        train(toy.TwoTasks(before_step=fail), crew_settings(), run_folder=tmp_path / "run")
    load = RunFolder.load
    monkeypatch.setattr(RunFolder, "load", lambda *given: replace(load(*given), processes=2))
    watcher = Watcher()
    train(toy.TwoTasks(), crew_settings(), run_folder=tmp_path / "run", resume=True, progress=watcher)
    assert any(note.startswith("2 shared out this epoch, 1 share it out anew") for note in watcher.notes) == noted
