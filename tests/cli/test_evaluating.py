"""prismrec evaluate: tables for people, everything for programs."""

import json

import pytest

FAST = ["--set", "training.epochs=1", "--set", "split.max_queries=50"]


@pytest.fixture(scope="module")
def measured(prismrec, shop, tmp_path_factory):
    """What a small comparison printed, and the file it wrote."""
    path = tmp_path_factory.mktemp("evaluate") / "results.json"
    result = prismrec("evaluate", shop, "--models", "popularity,m2grl", "--metrics", "HR@10,MRR@20", "-o", path, *FAST)
    assert result.exit_code == 0, result.stderr
    return result, json.loads(path.read_text(encoding="utf-8"))


def test_tables_for_all_and_for_rare_targets_with_the_protocol_line_once(measured):
    shown = measured[0].stdout
    assert "rare targets" in shown
    assert "MRR@20" in shown
    assert "NDCG@10" not in shown
    assert shown.count("paired bootstrap") == 1
    assert "Chosen on validation data:\n  popularity: " in shown


def test_progress_tells_whose_turn_it_is(measured):
    notes = measured[0].stderr
    assert notes.startswith("read ")
    turns = ["popularity (1 of 2)", "popularity: fitted", "m2grl (2 of 2)", "m2grl: fitted", "comparing"]
    places = [notes.index(turn) for turn in turns]
    assert places == sorted(places)


def test_file_has_figures_intervals_choices_and_settings(measured):
    document = measured[1]
    assert document["protocol"] == "next_item"
    assert document["n_queries"]["all"] > 0
    figure = document["models"]["m2grl"]["figures"]["all"]["HR@10"]
    assert figure["estimate"]["low"] <= figure["estimate"]["mean"] <= figure["estimate"]["high"]
    assert 0 < figure["difference"]["p_value"] <= 1
    assert figure["reference"] == "popularity"
    assert document["chosen"]["m2grl"]["view_weights"]["item"] > 0
    assert document["config"]["training"]["epochs"] == 1


def test_json_on_stdout_is_the_same_document(answer, shop):
    document = answer("evaluate", shop, "--models", "popularity", *FAST)
    assert list(document["models"]) == ["popularity"]
    assert document["models"]["popularity"]["figures"]["all"]["HR@50"]["reference"] == "popularity"


def test_ablations_are_compared_with_the_whole_model(answer, shop, monkeypatch):
    monkeypatch.setattr(
        "prismrec.contenders.ABLATIONS", {"m2grl": ("m2grl", "no_alignment")}
    )  # all seven take their time
    document = answer("evaluate", shop, "--ablations", *FAST)
    assert list(document["models"]) == ["m2grl", "no_alignment"]
    assert document["models"]["no_alignment"]["figures"]["all"]["HR@50"]["reference"] == "m2grl"


def test_models_are_compared_with_whom_the_user_names(answer, shop):
    document = answer("evaluate", shop, "--models", "popularity,item_knn", "--against", "item_knn", *FAST)
    figures = {name: model["figures"]["all"]["HR@50"] for name, model in document["models"].items()}
    assert {name: figure["reference"] for name, figure in figures.items()} == dict.fromkeys(figures, "item_knn")
    assert figures["item_knn"]["difference"] is None
    assert figures["popularity"]["difference"] is not None


def test_whom_to_compare_with_must_be_compared(prismrec, shop):
    result = prismrec("evaluate", shop, "--models", "popularity", "--against", "ease,item_knn", *FAST)
    assert result.exit_code == 2
    assert "is not compared here: ease, item_knn" in " ".join(result.stderr.split())


def test_a_model_without_ablations_says_so(prismrec, shop):
    result = prismrec("evaluate", shop, "--ablations", "--set", "algorithm=mf", *FAST)
    assert result.exit_code == 1
    assert "there are no ablations of algorithm = 'mf': name models by --models" in result.stderr


def test_models_in_torch_say_how_they_learned(prismrec, shop, tmp_path):
    path = tmp_path / "results.json"
    small = ["--set", "rivals.epochs=2", "--set", "models.mf.embedding_dim=8"]
    result = prismrec("evaluate", shop, "--models", "popularity,mf", "--verbose", "-o", path, *small, *FAST)
    assert result.exit_code == 0, result.stderr
    (trial,) = json.loads(path.read_text(encoding="utf-8"))["trials"]["mf"]
    learned = trial["learned"]
    assert 1 <= learned["kept_epochs"] <= learned["epochs"] <= 2
    assert learned["seconds_per_epoch"] > 0
    assert f"\n  mf: {learned['kept_epochs']} of {learned['epochs']} epochs kept, " in result.stdout
    assert f"s each, validation score {learned['score']:.4f}" in result.stdout
    assert "epoch 1/2" in result.stderr
    assert trial["chosen"]["popularity_weight"] >= 0


def test_folds_are_announced_one_by_one(prismrec, shop):
    folds = ["--set", "split.protocol=kfold", "--set", "split.n_folds=2"]
    result = prismrec("evaluate", shop, "--models", "popularity", *folds, *FAST)
    assert result.exit_code == 0, result.stderr
    assert "popularity (1 of 2)" in result.stderr
    assert "popularity (2 of 2)" in result.stderr


def test_unknown_model_names_those_there_are(prismrec, shop):
    result = prismrec("evaluate", shop, "--models", "bert")
    assert result.exit_code == 1
    assert "there is no model 'bert'; there are random, popularity" in result.stderr


def test_unknown_metric_names_those_that_were_measured(prismrec, shop):
    result = prismrec("evaluate", shop, "--models", "popularity", "--metrics", "HR@11", *FAST)
    assert result.exit_code == 1
    assert "metric 'HR@11' was not measured" in result.stderr


def test_models_and_ablations_exclude_each_other(prismrec, shop):
    assert prismrec("evaluate", shop, "--models", "ease", "--ablations").exit_code == 2


def test_withheld_items_have_a_table_among_themselves_and_one_in_the_whole_catalogue(prismrec, shop, tmp_path):
    path = tmp_path / "results.json"
    cold = ["--set", "split.protocol=cold_item", "--set", "split.cold_share=0.2"]
    result = prismrec("evaluate", shop, "--models", "category_mean,m2grl", "-o", path, *cold, *FAST)
    assert result.exit_code == 0, result.stderr
    assert "among the withheld items" in result.stdout
    assert "whole catalogue" in result.stdout
    assert "rare targets" not in result.stdout
    document = json.loads(path.read_text(encoding="utf-8"))
    other = document["others"]["whole catalogue"]
    assert other["n_items"] > document["n_items"]
    for table in (document, other):
        assert table["models"]["m2grl"]["figures"]["all"]["HR@50"]["reference"] == "category_mean"


def test_withheld_items_have_ablations_of_their_own(answer, shop, monkeypatch):
    monkeypatch.setattr("prismrec.cold_contenders.COLD_ABLATIONS", ("m2grl", "ridge"))
    cold = ["--set", "split.protocol=cold_item", "--set", "split.cold_share=0.2"]
    document = answer("evaluate", shop, "--ablations", *cold, *FAST)
    assert list(document["models"]) == ["m2grl", "ridge"]
