"""prismrec tune: the table, the settings file, and a search that is killed and goes on."""

import json
import signal
import time

import pytest

pytest.importorskip("optuna")

from prismrec.settings import read_settings

QUICK = ["--only", "model.window,training.learning_rate", "--progress", "quiet"]


def test_tune_prints_the_trials_and_writes_what_train_and_evaluate_read(prismrec, shop, tmp_path):
    best = tmp_path / "best.toml"
    result = prismrec("tune", shop, "-o", best, "--trials", 2, *QUICK)
    assert result.exit_code == 0, result.stderr
    assert "m2grl, next_item: 2 trials" in result.stdout
    assert "learning_rate" in result.stdout
    assert result.stdout.count("*") == 2, "at the best, and where the star is explained"
    assert result.stdout.splitlines()[-2] == f"Next: prismrec train {best} -o bundle"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.study", "best.toml"]
    trained = prismrec(
        "train", best, "-o", tmp_path / "b", "--no-tune", "--set", "training.patience=0", "--progress", "quiet"
    )
    assert trained.exit_code == 0, trained.stderr
    assert prismrec("evaluate", best, "--models", "popularity").exit_code == 0


def test_json_holds_every_trial_and_what_to_change(answer, shop, tmp_path):
    best = tmp_path / "best.toml"
    document = answer("tune", shop, "-o", best, "--trials", 2, *QUICK)
    assert [trial["number"] for trial in document["trials"]] == [0, 1]
    assert document["score"] == max(trial["score"] for trial in document["trials"] if trial["score"] is not None)
    settings = read_settings(best)
    assert settings.model.window == document["changes"]["model.window"]
    assert settings.query.model_dump(mode="json") == document["changes"]["query"]
    assert settings.training.learning_rate == document["changes"]["training.learning_rate"]


def test_called_again_with_more_trials_it_goes_on(answer, shop, tmp_path):
    command = ("tune", shop, "-o", tmp_path / "best.toml", "--study", tmp_path / "kept.study", *QUICK)
    first = answer(*command, "--trials", 1)
    later = answer(*command, "--trials", 2)
    assert later["trials"][0] == first["trials"][0]
    assert len(later["trials"]) == 2
    assert not (tmp_path / "best.study").exists()


def test_another_search_in_the_same_file_is_refused(prismrec, shop, tmp_path):
    command = ("tune", shop, "-o", tmp_path / "best.toml", "--trials", 1, *QUICK)
    assert prismrec(*command).exit_code == 0
    refused = prismrec(*command, "--set", "model.embedding_dim=4")
    assert refused.exit_code == 1
    assert "best.study holds another search: model.embedding_dim was 8, is 4" in refused.stderr


def test_a_setting_without_a_table_is_refused_before_training(prismrec, shop, tmp_path):
    refused = prismrec("tune", shop, "-o", tmp_path / "best.toml", "--only", "dropout")
    assert refused.exit_code == 1
    assert "there is nothing to try for 'dropout' of m2grl; there is training.learning_rate" in refused.stderr


@pytest.mark.slow
def test_killed_it_goes_on_and_ends_as_if_it_never_had_been(process, answer, shop, tmp_path):
    quick = ["--only", "model.window", "--trials", "3", "--progress", "quiet"]
    whole = answer("tune", shop, "-o", tmp_path / "whole.toml", *quick)
    command = ["tune", shop, "-o", tmp_path / "best.toml", *quick]
    study = tmp_path / "best.study"
    with process(*command) as killed:
        end = time.monotonic() + 60
        while not study.exists() or '"outcome"' not in study.read_text():  # the first trial is done
            assert killed.poll() is None, killed.communicate()
            assert time.monotonic() < end, "no trial came to its end"
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=60)
    resumed = answer(*command)
    chosen = [[(trial["values"], trial["score"]) for trial in found["trials"]] for found in (whole, resumed)]
    assert chosen[0] == chosen[1]
    assert json.dumps(whole["changes"]) == json.dumps(resumed["changes"])
