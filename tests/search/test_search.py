"""The search: what candidates see and are scored by, when it gives up on one, when it ends, and how it goes on."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("optuna")

from prismrec.contenders.arena import Arena, Side
from prismrec.data import engine
from prismrec.data.click_splits import click_splits
from prismrec.data.sessions import clean
from prismrec.data.splits import split, validation_split
from prismrec.errors import ArtifactError, ConfigError, DataError, ResourceError, TrainingError
from prismrec.evaluation.clicks import clicks_from
from prismrec.evaluation.tuning import replaced
from prismrec.fitting import TUNING_QUERIES
from prismrec.search import search as module
from prismrec.search.search import PATIENCE, Budget, search
from prismrec.settings import demo_settings
from prismrec.training.interrupts import TrainingInterrupted
from prismrec.training.log import EpochLog
from prismrec.training.progress import QuietProgress


class Notes(QuietProgress):
    def __init__(self):
        self.told = []

    def note(self, text):
        self.told.append(text)


@pytest.fixture
def trained(monkeypatch, tables, settings):
    """Training that costs nothing: `trained(score_of)` scores settings by a function, and lists what it was given.

    `score_of(settings, call)` gives a score, or early scores with the last as the score, or raises.
    """
    log, items = tables
    outer = next(split(log, settings.split))
    side = Side.of(outer.train, items, outer.queries, settings)
    monkeypatch.setattr(module, "_validation_side", lambda *arguments: side)

    def install(score_of):
        calls = []

        def tuned_on(data, queries, settings, *, run_folder, resume, progress):
            calls.append(SimpleNamespace(settings=settings, resume=resume, run_folder=run_folder))
            scores = score_of(settings, len(calls) - 1)
            scores = scores if isinstance(scores, list) else [scores]
            for epoch, score in enumerate(scores, 1):
                progress.epoch(EpochLog(epoch, {}, {}, 1, 1.0, score))
            return SimpleNamespace(settings=settings, score=scores[-1])

        monkeypatch.setattr(module, "tuned_on", tuned_on)
        return calls

    return install


def window(settings):
    """Best where the window is 11."""
    return 1 - abs(settings.model.window - 11) / 20


@pytest.fixture
def run(tables, settings, tmp_path):
    """`run(trials)` searches; the study lies in tmp_path / "a.study"."""

    def start(trials=4, settings=settings, **more):
        log, items = tables
        minutes = more.pop("minutes", math.inf)
        return search(log, items, settings, tmp_path / "a.study", Budget(trials, minutes), **more)

    return start


def test_the_settings_as_they_are_are_tried_first_and_the_best_wins(trained, run, settings):
    calls = trained(lambda s, call: window(s))
    found = run(16)
    assert len(calls) == len(found.trials) == 16
    first = found.trials[0]
    assert first.values["model.window"] == settings.model.window
    assert calls[0].settings.model == settings.model
    assert found.best.score == max(trial.score for trial in found.trials) > first.score


def test_each_candidate_is_trained_with_its_values_and_nothing_else_changed(trained, run, settings):
    calls = trained(lambda s, call: 0.5)
    found = run(3)
    for call, trial in zip(calls, found.trials, strict=True):
        expected = settings
        for field, value in {**trial.values, "training.patience": PATIENCE}.items():
            expected = replaced(expected, field, value)
        assert call.settings.model_dump() == expected.model_dump()


def test_candidates_stop_early_by_the_patience_of_the_settings_or_by_three(trained, run, settings, tmp_path):
    calls = trained(lambda s, call: 0.5)
    found = run(1)
    assert calls[-1].settings.training.patience == PATIENCE == found.changes["training.patience"]
    patient = replaced(settings, "training.patience", 7)
    (tmp_path / "a.study").unlink()
    assert run(1, patient).changes["training.patience"] == 7
    assert calls[-1].settings.training.patience == 7


def test_changes_are_the_values_of_the_best_and_the_query_chosen_with_them(trained, run, settings):
    trained(lambda s, call: window(s))
    found = run(3)
    assert found.changes["model.window"] == found.best.values["model.window"]
    assert found.changes["query"] == settings.query.model_dump()
    assert "model.window" not in found.best.chosen


def test_a_hopeless_candidate_is_given_up_after_its_second_epoch(trained, run):
    trained(lambda s, call: [0.1] * 5 if call == 5 else [0.5 + call / 100] * 5)
    found = run(7)
    assert [trial.outcome for trial in found.trials] == ["scored"] * 5 + ["pruned", "scored"]
    assert found.trials[5].epoch_scores == {1: 0.1, 2: 0.1}


def test_a_candidate_that_diverges_is_told_of_and_the_search_goes_on(trained, run):
    def diverges(s, call):
        if call == 1:
            raise TrainingError("the loss is nan at epoch 1")
        return 0.5

    progress = Notes()
    trained(diverges)
    found = run(3, progress=progress)
    assert [trial.outcome for trial in found.trials] == ["scored", "failed", "scored"]
    assert found.trials[1].reason == "the loss is nan at epoch 1"
    assert progress.told[1].startswith("trial 1: failed: the loss is nan at epoch 1 after")


def test_a_start_that_diverges_is_what_a_search_may_mend(trained, run):
    def diverges(s, call):
        if call == 0:
            raise TrainingError("the loss is nan")
        return 0.5

    trained(diverges)
    assert run(2).best.number == 1


@pytest.mark.parametrize("error", [ConfigError, DataError, ResourceError])
def test_a_start_that_cannot_be_is_an_error_and_a_later_candidate_is_not(trained, run, error, tmp_path):
    def refuses(at):
        def score(s, call):
            if call == at:
                raise error("no such device")
            return 0.5

        return score

    trained(refuses(0))
    with pytest.raises(error, match="no such device"):
        run(2)
    (tmp_path / "a.study").unlink()
    trained(refuses(1))
    assert [trial.outcome for trial in run(3).trials] == ["scored", "failed", "scored"]


def test_where_nothing_can_be_trained_the_last_reason_is_told(trained, run):
    def diverges(s, call):
        raise TrainingError(f"nan in call {call}")

    trained(diverges)
    with pytest.raises(TrainingError, match="none of 2 candidates could be trained; the last: nan in call 1"):
        run(2)


def test_every_trial_is_told_with_the_best_so_far(trained, run):
    progress = Notes()
    trained(lambda s, call: [0.25, 0.75, 0.5][call])
    run(3, progress=progress)
    starts = [line.partition(" after ")[0] for line in progress.told]
    assert starts == [
        "trial 0: validation score 0.2500",
        "trial 1: validation score 0.7500",
        "trial 2: validation score 0.5000",
    ]
    assert "; best 0.7500 of trial 1: learning_rate " in progress.told[2]


# ---- budget, and going on ----


def test_minutes_end_it_but_not_before_the_first_candidate(trained, run):
    trained(lambda s, call: 0.5)
    assert len(run(10, minutes=0).trials) == 1


def test_time_is_that_of_this_call(trained, run, monkeypatch):
    now = iter([0.0, 59.0, 89.0, 119.0, 149.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now), perf_counter=lambda: 0.0))
    trained(lambda s, call: 0.5)
    assert len(run(10, minutes=2).trials) == 3  # begun after 59, 89 and 119 seconds


def test_a_search_that_is_called_again_tries_only_what_is_left(trained, run):
    trained(lambda s, call: window(s))
    whole = run(3)
    calls = trained(lambda s, call: window(s))
    assert run(3) == whole
    assert calls == []
    more = run(5)
    assert len(calls) == 2
    assert more.trials[:3] == whole.trials


def test_ctrl_c_names_the_trial_and_the_next_call_takes_it_up_from_its_checkpoint(trained, run, tmp_path):
    def stopped(s, call):
        if call == 1:
            checkpoint = tmp_path / "a.study.run" / "checkpoint"
            checkpoint.mkdir(parents=True)
            (checkpoint / "state.json").touch()
            raise TrainingInterrupted("training stopped by SIGTERM", 15)
        return window(s)

    before = trained(stopped)
    with pytest.raises(TrainingInterrupted, match="stopped in trial 1; the same command goes on with it") as stop:
        run(3)
    assert stop.value.exit_code == 128 + 15
    after = trained(lambda s, call: window(s))
    found = run(3)
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    assert after[0].settings == before[1].settings
    assert [call.resume for call in after] == [True, False]
    assert not (tmp_path / "a.study.run").exists()


def test_a_checkpoint_of_no_candidate_is_not_taken_up(trained, run, tmp_path):
    (tmp_path / "a.study.run" / "checkpoint").mkdir(parents=True)
    (tmp_path / "a.study.run" / "checkpoint" / "state.json").touch()
    calls = trained(lambda s, call: 0.5)
    run(1)
    assert not calls[0].resume


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.alignment=false", "model.alignment was true, is false"),
        ("split.test_share=0.3", "split.test_share was 0.2, is 0.3"),
        ("training.seed=4", "seed was 0, is 4"),
    ],
)
def test_a_study_of_other_settings_is_refused(trained, run, change, told):
    from tests.search.conftest import FAST

    trained(lambda s, call: 0.5)
    run(1)
    with pytest.raises(ArtifactError, match=f"a.study holds another search: .*{told}"):
        run(1, demo_settings([*FAST, change]))


def test_settings_of_other_models_are_no_part_of_a_search(trained, run):
    from tests.search.conftest import FAST

    trained(lambda s, call: 0.5)
    run(1)
    assert len(run(2, demo_settings([*FAST, "models.hgn.window=7", "serving.port=8001"])).trials) == 2


def test_a_study_goes_on_with_other_threads(trained, run):
    from tests.search.conftest import FAST

    trained(lambda s, call: 0.5)
    run(1)
    assert len(run(2, demo_settings([*FAST, "training.threads=2", "training.checkpoint_minutes=9"])).trials) == 2


def test_only_the_fields_asked_for_are_searched(trained, run):
    trained(lambda s, call: 0.5)
    assert all(set(trial.values) == {"model.window"} for trial in run(3, only=["model.window"]).trials)


def test_withheld_items_are_refused(run, settings):
    with pytest.raises(ConfigError, match="tune scores clicks to come, not withheld items"):
        run(1, replaced(settings, "split.protocol", "cold_item"))


# ---- nothing replaced: what is trained on, and that evaluate sees the same ----


@pytest.mark.parametrize("protocol", ["next_item", "kfold"])
def test_candidates_see_what_evaluate_tunes_on_and_no_test_click(tables, settings, protocol):
    settings, (log, items) = replaced(settings, "split.protocol", protocol), tables
    outer = next(split(log, settings.split))
    inner = validation_split(outer, settings.split.model_copy(update={"max_queries": TUNING_QUERIES}))
    expected = Side.of(inner.train, items, inner.queries, settings)
    side = module._validation_side(log, items, settings)
    assert side.data.histories.values.tolist() == expected.data.histories.values.tolist()
    assert side.queries.truths.values.tolist() == expected.queries.truths.values.tolist()
    n_rows, n_test = engine.arrow(log.table).num_rows, sum(map(len, outer.queries.queries["truth"].to_pylist()))
    assert len(side.data.histories.values) + len(side.queries.truths.values) <= n_rows - n_test


def test_the_best_settings_score_the_same_when_evaluate_tunes_with_them(tables, settings, tmp_path):
    log, items = tables
    fields = ["model.window", "training.learning_rate"]
    found = search(log, items, settings, tmp_path / "a.study", Budget(2), only=fields)
    chosen = settings
    for field, value in found.changes.items():
        chosen = replaced(chosen, field, value)
    outer = next(split(log, settings.split))
    side = module._validation_side(log, items, settings)
    assert isinstance(side, Side)
    trial = Arena(chosen, side, Side.of(outer.train, items, outer.queries, settings)).try_out("m2grl")
    assert trial.validation == pytest.approx(found.best.score, abs=1e-12)


def test_under_click_candidates_are_scored_by_the_pairs_of_the_first_deal(settings, raw_tables):
    chosen = settings.model_copy(update={"split": settings.split.model_copy(update={"protocol": "click"})})
    raw, items = raw_tables
    side = module._validation_side(raw, items, chosen)
    log = clean(raw_tables[0], chosen.sessions)
    deal = next(click_splits(raw_tables[0], log, chosen.split))
    assert side.data.items.ids.equals(deal.items.ids)
    assert side.queries.candidates.values.tolist() == clicks_from(deal.validation, side.data).candidates.values.tolist()
    trained = set(zip(*[np.repeat(np.arange(len(side.data.users)), side.data.histories.lengths).tolist(),
                        side.data.histories.values.tolist()], strict=True))  # fmt: skip
    assert not trained & set(
        zip(side.queries.users[side.queries.owners].tolist(), side.queries.candidates.values.tolist(), strict=True)
    )
