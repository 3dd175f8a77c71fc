"""prismrec evaluate under click: one table with both intervals, and everything for programs."""

import json

import pytest

FAST = ["--set", "split.protocol=click", "--set", "split.repeats=2"]


@pytest.fixture(scope="module")
def measured(prismrec, shop, tmp_path_factory):
    """What a small comparison printed, and the file it wrote."""
    path = tmp_path_factory.mktemp("clicks") / "results.json"
    result = prismrec("evaluate", shop, "--models", "popularity,svd", "--metrics", "AUC,F1", "-o", path, *FAST)
    assert result.exit_code == 0, result.stderr
    return result, json.loads(path.read_text(encoding="utf-8"))


def test_the_table_has_the_chosen_figures_and_says_how_it_was_measured(measured):
    shown = measured[0].stdout
    assert "click (2 deals)" in shown
    assert "F1" in shown
    assert "user AUC" not in shown
    assert "Chosen on validation pairs, in the last deal:\n  popularity: scores " in shown


def test_progress_tells_deal_and_turn(measured):
    notes = measured[0].stderr
    turns = ["deal 1 of 2, popularity (1 of 2)", "popularity: fitted", "deal 2 of 2, svd (2 of 2)", "comparing"]
    places = [notes.index(turn) for turn in turns]
    assert places == sorted(places)


def test_the_file_has_figures_of_every_deal_choices_and_settings(measured):
    document = measured[1]
    assert document["protocol"] == "click"
    assert len(document["deals"]) == 2
    figure = document["models"]["svd"]["figures"]["user AUC"]
    assert len(figure["deals"]) == 2
    assert figure["estimate"]["low"] <= figure["estimate"]["mean"] <= figure["estimate"]["high"]
    assert document["chosen"]["svd"]["rank"] > 0
    assert document["trials"]["svd"][0]["validation"] > 0
    assert document["config"]["split"]["protocol"] == "click"


def test_json_on_stdout_is_the_same_document(answer, shop):
    assert list(answer("evaluate", shop, "--models", "popularity", *FAST)["models"]) == ["popularity"]


@pytest.mark.parametrize("option", ["--ablations", "--diversity"])
def test_what_click_does_not_measure_is_refused(prismrec, shop, option):
    result = prismrec("evaluate", shop, option, *FAST)
    assert result.exit_code == 2
    assert "click compares whole" in " ".join(result.stderr.split())


def test_controls_stand_beside_a_model_unless_the_settings_say_otherwise(prismrec, shop, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "prismrec.click_contenders.run", lambda log, items, settings, names, **rest: asked.append(names)
    )
    monkeypatch.setattr("prismrec.cli.clicking.clicks_document", lambda measured, settings: {})
    for more in ([], ["--set", "evaluation.controls=false"]):
        assert prismrec("evaluate", shop, "--models", "mkr", "--json", *FAST, *more).exit_code == 0
    assert asked == [("mkr", "mkr_shuffled", "mkr_absent"), ("mkr",)]
