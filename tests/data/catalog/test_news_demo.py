"""News clicks by hand: articles, order, labels, entities of a title that comes twice."""

import pytest

from prismrec.data.catalog import get, news_demo
from prismrec.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "raw_train.txt").write_text(
        "100\tstar wars leia\t0\t7:Star Wars\n"
        "0\tapple pie\t1\t3:Apple\n"
        "100\tstar wars leia\t1\t7:Star Wars;8:Leia\n"
        "100\tapple pie\t0\t3:Apple\n"
    )
    (tmp_path / "raw_test.txt").write_text("0\tünew title\t0\t9:A: B\n")
    return tmp_path


def test_rows_are_by_user_in_the_order_of_the_files(folder):
    rows = news_demo.read(folder).clicks.to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0, "a1", 1, 0, "train"), (0, "a2", 0, 1, "test"),
        (100, "a0", 0, 0, "train"), (100, "a0", 1, 1, "train"), (100, "a1", 0, 2, "train"),
    ]  # fmt: skip


def test_an_article_has_all_entities_that_any_of_its_rows_has(folder):
    items = news_demo.read(folder).items.to_pylist()
    assert items[0] == {
        "article_id": "a0", "title": "star wars leia", "annotations": "7:Star Wars;8:Leia", "entities": ["7", "8"],
    }  # fmt: skip
    assert items[2]["annotations"] == "9:A: B"


def test_notes_say_what_repeats(folder):
    assert (
        "1 rows repeat a user and a title; 1 of these pairs have both labels: clicked." in news_demo.read(folder).notes
    )


def test_an_import_learns_from_clicks_and_what_was_shown(folder, tmp_path):
    from prismrec.inputs import prepare_log, read_tables
    from prismrec.settings import read_settings

    result = get("news-demo", tmp_path / "news", from_path=folder)
    assert (result.n_clicks, result.n_items) == (5, 3)
    settings = read_settings(result.settings)
    data = prepare_log(*read_tables(settings), settings)
    assert len(data.items) == 3
    assert data.users.ids_of(range(2)) == [0, 100]
    assert [[data.items.id_of(i) for i in row] for row in data.histories] == [["a1"], ["a0"]]
    assert data.view_names == ("item", "entity")
    assert data.item_columns is not None
    assert data.item_columns["title"].to_pylist() == [
        {"a0": "star wars leia", "a1": "apple pie", "a2": "ünew title"}[i] for i in data.items.ids_of(range(3))
    ]


@pytest.mark.parametrize("row", ["x\tt\t1\t3:A", "1\tt\t2\t3:A"])
def test_users_and_labels_that_are_none_are_named(folder, row):
    (folder / "raw_test.txt").write_text(f"1\tt\t1\t3:A\n{row}\n")
    with pytest.raises(DataError, match=r"raw_test\.txt, row 2: expected a user number and a label 0 or 1, got"):
        news_demo.read(folder)


def test_rows_in_another_form_are_named(folder):
    (folder / "raw_train.txt").write_text("1\tt\t1\n")
    with pytest.raises(DataError, match=r"raw_train\.txt, row 1: expected 4 fields separated by tabs, got 3"):
        news_demo.read(folder)
    (folder / "raw_train.txt").write_text("1\tt\t1\tApple\n")
    with pytest.raises(DataError, match="expected the entities of a title as id:name;id:name, got 'Apple'"):
        news_demo.read(folder)
