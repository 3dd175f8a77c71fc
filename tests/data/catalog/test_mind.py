"""Impressions of MIND by hand: labels, what was clicked before, entities."""

import json
from datetime import datetime

import pytest

from prismrec.data.catalog import mind
from prismrec.errors import DataError

APPLE = json.dumps([{"Label": "Apple", "WikidataId": "Q312", "SurfaceForms": ["Apple"], "OccurrenceOffsets": [0]}])


@pytest.fixture
def folder(tmp_path):
    for name, behaviors in (
        (
            "MINDsmall_train",
            ["1\tU2\t11/11/2019 9:05:58 AM\tN1 N3\tN2-1 N1-0", "2\tU1\t11/12/2019 1:00:00 PM\t\tN3-0 N2-1"],
        ),
        ("MINDsmall_dev", ["1\tU2\t11/15/2019 8:00:00 AM\tN1 N3\tN4-1"]),
    ):
        place = tmp_path / name
        place.mkdir()
        (place / "behaviors.tsv").write_text("\n".join(behaviors) + "\n")
        (place / "news.tsv").write_text(
            f'N1\tnews\tworld\tApple "rises"\tabstract\turl\t{APPLE}\t[]\n'
            f"N2\tsports\tgolf\tGolf\t\turl\t[]\t{APPLE}\n"
            + ("N4\tnews\tworld\tNew\t\turl\t\t\n" if "dev" in name else "N3\tnews\tlocal\tOld\t\turl\t[]\t[]\n")
        )
    return tmp_path


def test_rows_are_what_was_shown_and_before_it_what_had_been_clicked(folder):
    rows = mind.read(folder).clicks.to_pylist()
    day = datetime(2019, 11, 11, 9, 5)
    assert [(r["user_id"], r["article_id"], r["label"], r["part"]) for r in rows] == [
        ("U1", "N3", 0, "MINDsmall_train"), ("U1", "N2", 1, "MINDsmall_train"),
        ("U2", "N1", 1, "MINDsmall_train"), ("U2", "N3", 1, "MINDsmall_train"),
        ("U2", "N2", 1, "MINDsmall_train"), ("U2", "N1", 0, "MINDsmall_train"), ("U2", "N4", 1, "MINDsmall_dev"),
    ]  # fmt: skip
    assert [r["time"] for r in rows[2:5]] == [day.replace(second=s) for s in (56, 57, 58)]
    assert rows[0]["time"] == datetime(2019, 11, 12, 13)
    assert [r["impression_id"] for r in rows[2:]] == [None, None, "1", "1", "1"]


def test_articles_of_all_folders_are_there_once_with_the_entities_of_their_titles(folder):
    items = {row["article_id"]: row for row in mind.read(folder).items.to_pylist()}
    assert list(items) == ["N1", "N2", "N3", "N4"]
    assert items["N1"] == {
        "article_id": "N1", "category": "news", "subcategory": "world", "title": 'Apple "rises"',
        "annotations": "Q312:Apple", "entities": ["Q312"],
    }  # fmt: skip
    assert (items["N2"]["annotations"], items["N4"]["entities"]) == ("", [])


def test_notes_say_how_many_clicks_have_no_times(folder):
    assert mind.read(folder).notes[0].startswith("2 clicks made before a user's first impression have no times")


def test_impressions_without_labels_are_refused(folder):
    (folder / "MINDsmall_dev" / "behaviors.tsv").write_text("1\tU2\t11/15/2019 8:00:00 AM\tN1\tN4 N2\n")
    with pytest.raises(DataError, match="expected what was shown as article-1 or article-0, got 'N"):
        mind.read(folder)


def test_files_in_another_form_are_a_clear_error(folder):
    (folder / "MINDsmall_dev" / "behaviors.tsv").write_text("1\tU2\tyesterday\tN1\tN4-1\n")
    with pytest.raises(DataError, match=r"cannot read the impressions in .*behaviors\.tsv"):
        mind.read(folder)
    (folder / "MINDsmall_dev" / "behaviors.tsv").unlink()
    (folder / "MINDsmall_train" / "behaviors.tsv").unlink()
    with pytest.raises(DataError, match=r"no file named behaviors\.tsv"):
        mind.read(folder)
