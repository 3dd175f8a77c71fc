"""similar, recommend and export: ids in, ids out."""

import dataclasses
import shutil

import numpy as np
import pytest

from prismrec.cli.asking import answer_table
from prismrec.cli.terminal import show
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.contract import StoredEncoder
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle, Recommendation, Recommendations

MILK, BANANAS = 1029743, 1082185


def test_similar_lists_what_python_lists(answer, bundle):
    found = answer("similar", bundle, MILK, "-k", 5, "--weight", "item=1", "--weight", "shop=-0.2")
    expected = Bundle.open(bundle).similar(MILK, 5, weights={"item": 1.0, "shop": -0.2})
    assert found["item_id"] == MILK
    assert [item["item_id"] for item in found["items"]] == expected.item_ids
    assert [item["score"] for item in found["items"]] == pytest.approx([item.score for item in expected])
    assert found["items"][0]["columns"]["name"] == expected[0].columns["name"]


def test_weights_and_likeness_change_the_answer(answer, bundle):
    plain = answer("similar", bundle, MILK)["items"]
    assert answer("similar", bundle, MILK, "--weight", "category=1")["items"] != plain
    assert answer("similar", bundle, MILK, "--similarity", "cosine")["items"] != plain


def test_similar_as_a_table_shows_ids_and_names(prismrec, bundle):
    result = prismrec("similar", bundle, MILK, "-k", 3)
    assert result.exit_code == 0
    for item in Bundle.open(bundle).similar(MILK, 3):
        assert str(item.item_id) in result.stdout


def test_unknown_item_is_an_error(prismrec, bundle):
    result = prismrec("similar", bundle, "no-such-product")
    assert result.exit_code == 1
    assert "unknown id 'no-such-product': it is not among the" in result.stderr
    assert "ids here are integers" in result.stderr


def test_recommend_lists_what_python_lists(answer, bundle):
    found = answer("recommend", bundle, "--history", BANANAS, "--history", MILK, "-k", 7)
    expected = Bundle.open(bundle).recommend([BANANAS, MILK], 7)
    assert found["history"] == [BANANAS, MILK]
    assert [item["item_id"] for item in found["items"]] == expected.item_ids
    assert not {BANANAS, MILK} & set(expected.item_ids)


def test_seen_items_come_when_asked_for(answer, bundle):
    everything = len(Bundle.open(bundle).items)
    found = answer("recommend", bundle, "--history", MILK, "-k", everything, "--include-seen")
    assert MILK in [item["item_id"] for item in found["items"]]


def test_unknown_ids_of_a_history_are_named_on_stderr(prismrec, answer, bundle):
    result = prismrec("recommend", bundle, "--history", MILK, "--history", "5", "--history", "x")
    assert result.exit_code == 0
    assert "the bundle does not know 5: left out" in result.stderr
    assert "the bundle does not know 'x': left out" in result.stderr
    assert "most popular" not in result.stderr
    assert answer("recommend", bundle, "--history", MILK, "--history", "5")["unknown_ids"] == [5]


def test_a_history_without_a_known_id_gets_popular_items_and_is_told_so(prismrec, bundle):
    result = prismrec("recommend", bundle, "--history", "5", "--history", "5")
    assert result.exit_code == 0
    assert "no id of the history is known: these are the most popular items" in result.stderr


def test_recommendations_are_filtered_and_spread(answer, bundle):
    opened = Bundle.open(bundle)
    found = answer("recommend", bundle, "--history", MILK, "--where", "shop=69", "--where", "brand=Private", "-k", 9)
    assert found["items"]
    cards = [opened.retriever.item(item["item_id"]) for item in found["items"]]
    assert all(card.views["shop"] == [69] and card.columns["brand"] == "Private" for card in cards)
    spread = answer("recommend", bundle, "--history", MILK, "--at-most", "category=1", "--diversity", "0.5", "-k", 9)
    kinds = [tuple(opened.retriever.item(item["item_id"]).views["category"]) for item in spread["items"]]
    assert len(kinds) == 9
    assert len(set(kinds)) == 9


def test_the_report_of_a_spread_list_and_reasons_are_shown(prismrec, bundle):
    result = prismrec("recommend", bundle, "--history", MILK, "-k", 3, "--diversity", "0.5", "--explain")
    assert "relevance kept" in result.stdout
    assert "category " in result.stdout
    assert result.stdout.count(f"(history: {MILK} ") == 3
    plain = prismrec("recommend", bundle, "--history", MILK, "-k", 3)
    assert "relevance kept" not in plain.stdout
    assert "history" not in plain.stdout


def test_similar_items_are_filtered(answer, bundle):
    found = answer("similar", bundle, MILK, "--where", "shop!=69", "-k", 5)
    opened = Bundle.open(bundle)
    assert all(opened.retriever.item(item["item_id"]).views["shop"] != [69] for item in found["items"])


def test_weight_of_an_unknown_view_names_the_nearest(prismrec, bundle):
    result = prismrec("recommend", bundle, "--history", MILK, "--weight", "categry=1")
    assert result.exit_code == 1
    assert "there is no view 'categry'; did you mean 'category'?" in result.stderr


def test_a_weight_without_a_number_is_a_wrong_command_line(prismrec, bundle):
    assert prismrec("recommend", bundle, "--history", MILK, "--weight", "category").exit_code == 2


def test_a_damaged_bundle_is_refused_by_name_of_the_file(prismrec, bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    path = copy / "vectors" / "item.source.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for arguments in (["similar", copy, MILK], ["recommend", copy, "--history", MILK]):
        result = prismrec(*arguments)
        assert result.exit_code == 1
        assert f"{path} is damaged" in result.stderr


@pytest.mark.parametrize("format", ["parquet", "word2vec", "faiss"])
def test_export_writes_what_it_names(answer, bundle, tmp_path, format):
    found = answer("export", bundle, "--format", format, "-o", tmp_path / "out")
    assert found["format"] == format
    assert sorted(found["files"]) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert "export.json" in found["files"]


def test_export_to_a_folder_with_other_files_is_refused(prismrec, bundle, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    result = prismrec("export", bundle, "--format", "faiss", "-o", tmp_path)
    assert result.exit_code == 1
    assert "will not be replaced" in result.stderr
    assert prismrec("export", bundle, "--format", "csv", "-o", tmp_path / "out").exit_code == 2


def test_table_never_cuts_an_id_and_drops_columns_that_do_not_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    long_id = "9" * 45
    columns = {"name": "[red]Chair[/red]", "tags": ["a", None], "note": None, "wide": "w" * 200}
    show(answer_table(Recommendations((Recommendation(long_id, float(np.float32(1.5)), columns),)), "Title"))
    shown = capsys.readouterr().out
    assert long_id in shown
    assert "1.500" in shown
    assert "ww" not in shown


def test_table_without_answers_is_empty(capsys):
    show(answer_table(Recommendations(())))
    assert "score" in capsys.readouterr().out


# ---- a model that encodes its queries ----


@pytest.fixture(scope="module")
def encoded(bundle, tmp_path_factory):
    """The same shop by a model with a vector for each of two households."""
    plain = Bundle.open(bundle).contents
    sources = np.asarray(plain.vectors["item"].source)
    arrays = {"users": sources[[5, 9]], "sources": sources}
    contents = dataclasses.replace(
        plain,
        vectors={"item": plain.vectors["item"]},
        alignment={},
        query=QuerySettings(popularity_weight=0.0),
        encoder=StoredEncoder("mf", {}, arrays, knows_users=True),
        users=Vocabulary.from_ids([41, 42]),
    )
    return Bundle.write(tmp_path_factory.mktemp("encoded") / "bundle", contents).path


def test_recommend_for_a_user_lists_what_python_lists(answer, encoded):
    found = answer("recommend", encoded, "--user", 42, "--history", MILK, "-k", 7)
    expected = Bundle.open(encoded).recommend([MILK], 7, user=42)
    assert [item["item_id"] for item in found["items"]] == expected.item_ids
    assert (found["user"], found["basis"], found["history"]) == ("42", "user", [MILK])


def test_a_user_that_the_model_does_not_know_is_told(prismrec, answer, encoded):
    result = prismrec("recommend", encoded, "--user", 99)
    assert "the model does not know the user '99': left out" in result.stderr
    assert "neither user nor history is known: these are the most popular items" in result.stderr
    assert answer("recommend", encoded, "--user", 99, "--history", MILK)["basis"] == "history"


def test_nothing_to_recommend_after_is_an_error(prismrec, encoded):
    result = prismrec("recommend", encoded)
    assert result.exit_code == 1
    assert "nothing to recommend after: give --history ID, or --user USER" in result.stderr


def test_a_user_is_refused_where_the_model_knows_none(prismrec, bundle):
    result = prismrec("recommend", bundle, "--user", 42)
    assert result.exit_code == 1
    assert "knows no users: leave out user '42'" in result.stderr


def test_similar_items_of_an_encoder_are_compared_by_cosine(answer, encoded):
    assert answer("similar", encoded, MILK, "-k", 5) == answer(
        "similar", encoded, MILK, "-k", 5, "--similarity", "cosine"
    )
