"""The study: what it proposes, that it goes on where it was stopped, and what it refuses."""

import builtins
import json
import math
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from prismrec.errors import ArtifactError, MissingExtraError
from prismrec.search.spaces import Knob, OneOf, Real, Whole
from prismrec.search.study import RANDOM_TRIALS, Study

SPACE: dict[str, Knob] = {"x": Real(-1.0, 1.0), "n": Whole(1, 9), "kind": OneOf(("round", "flat"))}
START = {"x": 0.9, "n": 2, "kind": "flat"}


OPEN: dict[Path, Study] = {}


def study(path, space=SPACE, start=START, seed=0, **identity):
    """A study of the file, which another process would have to itself: the one before ends."""
    if path in OPEN:
        OPEN.pop(path).close()
    OPEN[path] = Study(path, space, start, seed=seed, identity=identity)
    return OPEN[path]


@pytest.fixture(autouse=True)
def closed():
    """No test leaves a file open."""
    yield
    while OPEN:
        OPEN.popitem()[1].close()


def height(values):
    """A hill with its top at x = 0.3, n = 6, round."""
    return 1 - (values["x"] - 0.3) ** 2 - ((values["n"] - 6) / 8) ** 2 - 0.3 * (values["kind"] == "flat")


def climb(search, n):
    tried = []
    for _ in range(n):
        candidate = search.ask()
        tried.append(candidate.values)
        search.tell("scored", 1.0, score=height(candidate.values))
    return tried


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.study"


def test_the_settings_as_they_are_come_first(path):
    search = study(path)
    first = search.ask()
    assert (first.number, first.values, first.again) == (0, START, False)
    search.tell("scored", 1.0, score=0.5)
    assert search.ask().values != START


def test_it_finds_the_top_better_than_chance(path):
    search = study(path)
    climb(search, 45)
    later = [height(trial.values) for trial in search.trials[RANDOM_TRIALS + 5 :]]
    chance = [height(trial.values) for trial in search.trials[1:RANDOM_TRIALS]]
    assert sum(later) / len(later) > sum(chance) / len(chance) + 0.2
    best = search.best
    assert best is not None
    assert best.score == max(trial.score for trial in search.trials) > 0.95


def test_every_value_lies_in_its_range(path):
    for values in climb(study(path), 25):
        assert all(SPACE[name].holds(value) for name, value in values.items())
        assert isinstance(values["n"], int)


def test_same_seed_same_proposals_and_another_seed_others(tmp_path):
    first, again, other = (climb(study(tmp_path / str(i), seed=i // 2), 15) for i in range(3))
    assert first == again
    assert first[1:] != other[1:]


def test_opened_again_it_proposes_what_it_would_have_proposed(path, tmp_path):
    whole = climb(study(tmp_path / "whole"), 16)
    parts = [values for _ in range(8) for values in climb(study(path), 2)]
    assert parts == whole


def test_a_candidate_that_was_under_way_comes_again_with_its_early_scores(path):
    search = study(path)
    climb(search, 3)
    stopped = search.ask()
    search.report(1, 0.25)
    later = study(path)
    again = later.ask()
    assert (again.number, again.values, again.again) == (3, stopped.values, True)
    later.report(1, 0.99)  # trained again after an older checkpoint: the first score stands
    later.report(2, 0.5)
    done = later.tell("scored", 2.0, score=0.5)
    assert done.epoch_scores == {1: 0.25, 2: 0.5}
    assert [trial.number for trial in later.trials] == [0, 1, 2, 3]


def test_a_candidate_that_was_stopped_before_it_had_all_values_is_dropped(path):
    search = study(path)
    search._study.ask()  # as a process leaves it that is killed at once
    candidate = study(path).ask()
    assert candidate.values == START
    assert not candidate.again


def test_a_hopeless_candidate_is_told_after_its_second_epoch(path):
    search = study(path)
    for score in (0.5, 0.6, 0.7, 0.8):
        search.ask()
        assert not any(search.report(epoch, score) for epoch in (1, 2, 3))
        search.tell("scored", 1.0, score=score)
    search.ask()
    assert not search.report(1, 0.1), "the first epoch says little"
    assert search.report(2, 0.64), "0.65 is the median of the others"
    search.tell("pruned", 1.0)
    search.ask()
    assert not search.report(2, 0.66)


def test_its_best_epoch_so_far_speaks_for_a_candidate(path):
    search = study(path)
    for _ in range(4):
        search.ask()
        for epoch in (1, 2, 3):
            search.report(epoch, 0.5)
        search.tell("scored", 1.0, score=0.5)
    search.ask()
    assert not search.report(2, 0.6)
    assert not search.report(3, 0.4)


def test_trials_keep_what_was_told_of_them(path):
    search = study(path)
    search.ask()
    search.tell("scored", 1.5, score=0.5, chosen={"training.epochs": 7, "query": {"history_length": 30}})
    search.ask()
    search.tell("failed", 0.5, reason="diverged")
    first, second = study(path).trials
    assert (first.outcome, first.score, first.seconds) == ("scored", 0.5, 1.5)
    assert first.chosen == {"training.epochs": 7, "query": {"history_length": 30}}
    assert (second.outcome, second.reason, second.chosen) == ("failed", "diverged", {})
    assert math.isnan(second.score)


def test_the_best_is_the_first_of_the_highest_and_none_where_all_failed(path):
    search = study(path)
    search.ask()
    search.tell("failed", 1.0, reason="diverged")
    assert search.best is None
    for score in (0.3, 0.7, 0.7):
        search.ask()
        search.tell("scored", 1.0, score=score)
    best = search.best
    assert best is not None
    assert best.number == 2


def test_where_training_fails_is_proposed_less_often(tmp_path):
    def fails(search):
        """How many of trials 15 to 40 fall where training fails, x > 0."""
        count = 0
        for number in range(40):
            values = search.ask().values
            if values["x"] > 0:
                count += number >= 15
                search.tell("failed", 1.0, reason="diverged")
            else:
                search.tell("scored", 1.0, score=0.5)
        return count

    assert sum(fails(study(tmp_path / str(seed), seed=seed)) for seed in range(3)) < 0.3 * 75


def test_a_start_outside_a_range_is_left_out_of_the_first_proposal(path):
    first = study(path, {"rate": Real(0.1, 1.0, log=True), "n": Whole(1, 9)}, {"rate": 0.0, "n": 3}).ask()
    assert first.values["n"] == 3
    assert 0.1 <= first.values["rate"] <= 1.0


# ---- the file ----


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, r"seed was 0, is 1"),
        ({"data": "other"}, r"data was shop, is other"),
        ({"space": {**SPACE, "n": Whole(1, 4)}}, r"n was Whole\(low=1, high=9, log=False\), is Whole\(low=1, high=4"),
    ],
)
def test_another_search_is_refused_with_what_differs(path, changes, told):
    climb(study(path, data="shop"), 1)
    with pytest.raises(ArtifactError, match=rf"a\.study holds another search: {told}.*--study"):
        study(path, **{"data": "shop", **changes})


@pytest.mark.parametrize("text", ["name = 'shop'", '[data]\ninteractions = "clicks.parquet"\n', "{}\n{}\n"])
def test_a_file_of_another_kind_is_refused_and_left_alone(path, text):
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"a\.study is no study of `prismrec tune`"):
        study(path)
    assert path.read_text() == text


def test_half_a_line_of_a_killed_process_is_dropped(path):
    tried = climb(study(path), 3)
    path.write_bytes(path.read_bytes() + b'{"op_code":6,"worker')
    search = study(path)
    assert [trial.values for trial in search.trials] == tried
    climb(search, 1)
    assert len(study(path).trials) == 4


def test_damage_in_the_middle_is_told(path):
    climb(study(path), 3)
    lines = path.read_text().splitlines()
    lines[4] = lines[4][:20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ArtifactError, match=r"a\.study is damaged"):
        study(path)


def test_two_processes_do_not_share_a_file(path):
    climb(study(path), 1)
    with pytest.raises(ArtifactError, match=r"another process searches in .*a\.study: wait for it, or name another"):
        Study(path, SPACE, START, seed=0, identity={})
    assert len(study(path).trials) == 1, "closed, it can be had"


def test_no_lock_outlives_its_process(path):
    climb(study(path), 1)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_optuna_itself_reads_the_file(path):
    import optuna
    from optuna.storages.journal import JournalFileBackend

    tried = climb(study(path), 2)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    loaded = optuna.load_study(study_name="prismrec", storage=storage)
    assert [trial.params for trial in loaded.trials] == tried
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_without_optuna_the_extra_is_named(path, monkeypatch):
    original = builtins.__import__

    def imports(name, *rest):
        if name == "optuna":
            raise ModuleNotFoundError("No module named 'optuna'", name="optuna")
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", imports)
    with pytest.raises(MissingExtraError, match=r"tune needs optuna: pip install 'prismrec\[tune\]'"):
        study(path)
    assert not path.exists()
