"""prismrec evaluate --diversity: each control turned up on validation data, then measured on test data."""

import json

import pytest
import typer

from prismrec.cli.spreading import levels_of
from prismrec.trade_off import LEVELS

FAST = ["--set", "training.epochs=1", "--set", "split.max_queries=50"]
NAMES = ["mmr", "dpp", "quotas", "view_weights"]


@pytest.fixture(scope="module")
def measured(prismrec, shop, tmp_path_factory):
    """What the command printed, and the file it wrote."""
    path = tmp_path_factory.mktemp("spread") / "diversity.json"
    result = prismrec("evaluate", shop, "--diversity", "--levels", "0.5, 0.1", "-o", path, *FAST)
    assert result.exit_code == 0, result.stderr
    return result, json.loads(path.read_text(encoding="utf-8"))


def test_both_tables_are_shown_with_the_protocol_line_once(measured):
    shown = measured[0].stdout
    assert "validation data: each control until it costs too much" in shown
    assert "next_item: test data" in shown
    assert shown.count("paired bootstrap") == 1
    for name in NAMES:
        assert shown.count(name) >= 2
    for column in ("HR@10", "HR@50", "category", "shop", "novelty@20", "coverage"):
        assert column in shown


def test_progress_tells_whose_turn_it_is(measured):
    notes = measured[0].stderr
    turns = ["m2grl: tuning", "m2grl: tuned", *(f"{name}: turning it up" for name in NAMES), "comparing"]
    places = [notes.index(turn) for turn in turns]
    assert places == sorted(places)


def test_file_has_curves_choices_figures_and_settings(measured):
    document = measured[1]
    assert list(document["models"]) == ["by score", *NAMES]
    figure = document["models"]["dpp"]["figures"]["all"]["HR@50"]
    assert figure["reference"] == "by score"
    assert figure["difference"] is None or 0 < figure["difference"]["p_value"] <= 1
    assert document["most_lost"] == 0.05
    assert set(document["chosen"]) == set(NAMES)
    point = document["validation"]["dpp"][0]
    base = document["validation"]["by score"]
    assert point["strength"] == 0.1
    assert point["kept"] == pytest.approx(point["values"]["HR@50"] / base["HR@50"])
    assert document["config"]["training"]["epochs"] == 1


def test_json_on_stdout_is_the_same_document(answer, shop, measured):
    document = answer("evaluate", shop, "--diversity", "--levels", "0.5,0.1", *FAST)
    assert list(document) == list(measured[1])
    assert document["chosen"] == measured[1]["chosen"]


def test_levels_are_numbers():
    assert levels_of("0.2, 0.5") == (0.2, 0.5)
    assert levels_of("") == LEVELS
    with pytest.raises(typer.BadParameter, match=r"expected numbers such as 0.2,0.5, got 'much'"):
        levels_of("much")


@pytest.mark.parametrize(
    "others", [["--models", "ease"], ["--ablations"], ["--metrics", "HR@10"], ["--against", "ease"]]
)
def test_diversity_stands_alone(prismrec, shop, others):
    assert prismrec("evaluate", shop, "--diversity", *others).exit_code == 2


def test_levels_without_diversity_are_refused(prismrec, shop):
    assert prismrec("evaluate", shop, "--levels", "0.5").exit_code == 2


def test_levels_out_of_range_are_an_error(prismrec, shop):
    result = prismrec("evaluate", shop, "--diversity", "--levels", "2", *FAST)
    assert result.exit_code == 1
    assert "levels of diversity lie above 0 and are at most 1, got [2.0]" in result.stderr
