"""prismrec evaluate and train on triples: tables for people, everything for programs."""

import json

import pytest

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def links(write_links, tmp_path_factory):
    return write_links(tmp_path_factory.mktemp("links"))


def test_tables_for_all_for_each_end_and_how_models_learned(prismrec, links, tmp_path):
    path = tmp_path / "results.json"
    result = prismrec("evaluate", links, "--models", "popularity,rules,transe", "-o", path)
    assert result.exit_code == 0, result.stderr
    shown = result.stdout
    assert [part in shown for part in ("grid, link (20 queries)", "link, head (10", "link, tail (10")] == [True] * 3
    assert "MRR" in shown
    assert "Hits@10" in shown
    assert shown.count("ties share their mean rank") == 1
    assert "transe: " in shown.split("Learned in epochs")[1]
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["protocol"] == "link"
    assert document["models"]["transe"]["figures"]["all"]["MRR"]["reference"] == "rules"
    assert document["config"]["links"]["hits"] == [1, 3, 10]


def test_json_metrics_and_reference_are_those_asked_for(prismrec, answer, links):
    document = answer("evaluate", links, "--models", "popularity,rules", "--against", "popularity")
    assert document["models"]["rules"]["figures"]["all"]["MRR"]["reference"] == "popularity"
    shown = prismrec("evaluate", links, "--models", "popularity", "--metrics", "AUC").stdout
    assert "AUC" in shown
    assert "MRR" not in shown.split("Learned")[0]


@pytest.mark.parametrize("option", [["--ablations"], ["--diversity"], ["--keep", "folder"]])
def test_options_of_other_protocols_are_refused(prismrec, links, option):
    result = prismrec("evaluate", links, *option)
    assert result.exit_code == 2
    assert "link compares whole" in " ".join(result.stderr.replace("│", " ").split())


def test_reference_that_is_not_compared_is_refused(prismrec, links):
    result = prismrec("evaluate", links, "--models", "popularity", "--against", "transe")
    assert result.exit_code == 2
    assert "is not compared here: transe" in " ".join(result.stderr.replace("│", " ").split())


def test_trained_bundle_answers_which_entities_are_alike(prismrec, answer, links, tmp_path):
    bundle = tmp_path / "bundle"
    result = prismrec(
        "train", links, "-o", bundle, "--no-tune", "--set", "algorithm=transe", "--set", "training.epochs=5"
    )
    assert result.exit_code == 0, result.stderr
    assert "25 items" in result.stdout
    found = answer("similar", bundle, "2,2")
    assert "label" in json.dumps(found)
