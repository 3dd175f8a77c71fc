"""Rows with a low rating are no clicks; what a user disliked is known, and nothing of the future."""

import pyarrow as pa
import pytest

from prismrec.data.dislikes import disliked_items, liked
from prismrec.data.preparation import prepare
from prismrec.data.prepared import load_prepared, save_prepared
from prismrec.data.reading import read_interactions
from prismrec.data.schema import InteractionColumns
from prismrec.data.sessions import SessionSettings, clean
from prismrec.data.splits import SplitSettings, split
from prismrec.errors import ConfigError

COLUMNS = InteractionColumns(rating="rating")
ROWS = [
    ("ann", "heat", 5.0, 1), ("ann", "jaws", 1.0, 2), ("ann", "alien", 4.0, 3), ("ann", "heat", 2.0, 4),
    ("ann", "solaris", 4.0, 5), ("bob", "jaws", 4.0, 1), ("bob", "alien", None, 2), ("bob", "heat", 3.9, 9),
]  # fmt: skip
LIKED = SessionSettings(min_rating=4.0, min_session_length=1)


def log(rows=ROWS, columns=COLUMNS):
    names = ("user_id", "item_id", "rating", "timestamp")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    return read_interactions(table, columns, timestamp_unit="order")


def disliked_by(data):
    lists = data.disliked.to_lists()
    return {
        user: sorted(data.items.ids_of(lists[i])) for i, user in enumerate(data.users.ids_of(range(len(data.users))))
    }


def histories(data):
    return {u: data.items.ids_of(data.histories[i]) for i, u in enumerate(data.users.ids_of(range(len(data.users))))}


def test_rows_below_the_least_rating_are_no_clicks_and_rows_without_a_rating_are():
    data = prepare(log(), settings=LIKED)
    assert histories(data) == {"ann": ["heat", "alien", "solaris"], "bob": ["jaws", "alien"]}


def test_a_dislike_counts_if_it_is_known_before_the_last_click_and_the_item_was_never_clicked():
    data = prepare(log(), settings=LIKED)
    # ann clicked on heat too; bob's 3.9 for heat comes after his last click
    assert disliked_by(data) == {"ann": ["jaws"], "bob": []}
    assert data.report["disliked"] == {"rows": 3, "items_of_users": 1, "users": 1}
    assert data.report["interactions"]["read"] == 5


def test_a_dislike_at_the_moment_of_the_last_click_may_come_after_it():
    rows = [("ann", "heat", 5.0, 1), ("ann", "big", 1.0, 2), ("ann", "jaws", 4.0, 2), ("bob", "big", 5.0, 1)]
    assert disliked_by(prepare(log(rows), settings=LIKED))["ann"] == []
    earlier = [rows[0], ("ann", "big", 1.0, 1), *rows[2:]]
    assert disliked_by(prepare(log(earlier), settings=LIKED))["ann"] == ["big"]


def test_without_a_least_rating_all_rows_are_clicks_and_nothing_is_said_of_dislikes():
    data = prepare(log(), settings=SessionSettings(min_session_length=1))
    assert data.disliked is None
    assert "disliked" not in data.report
    assert data.report["interactions"]["kept"] == 8


def test_dislikes_go_through_every_split_and_only_the_past_is_known():
    cleaned = clean(log(), LIKED)
    part = next(iter(split(cleaned, SplitSettings(protocol="next_item"))))
    assert histories(prepare(part.train, settings=LIKED)) == {"ann": ["heat", "alien"], "bob": ["jaws"]}
    assert disliked_by(prepare(part.train, settings=LIKED)) == {"ann": ["jaws"], "bob": []}
    later = [(*row[:3], row[3] + 1) if row[3] >= 2 else row for row in ROWS]  # jaws now after ann's first click but one
    early = next(
        iter(split(clean(log([r for r in later if r[1] != "alien"]), LIKED), SplitSettings(protocol="next_item")))
    )
    assert disliked_by(prepare(early.train, settings=LIKED))["ann"] == [], "heat is the last training click, jaws later"


def test_cleaning_twice_parts_once():
    once = clean(log(), LIKED)
    assert clean(once, LIKED).disliked is once.disliked
    assert liked(once, 4.0) is once


def test_a_least_rating_without_ratings_is_an_error_that_names_the_setting():
    with pytest.raises(ConfigError, match=r"sessions\.min_rating is 4, but the log has no ratings: name their column"):
        prepare(log(columns=InteractionColumns()), settings=LIKED)


def test_where_nothing_was_parted_there_is_nothing_to_list():
    data = prepare(log(), settings=SessionSettings(min_session_length=1))
    assert disliked_items(log(), data.users, data.items) == (None, {})


def test_dislikes_survive_on_disk(tmp_path):
    data = prepare(log(), settings=LIKED)
    save_prepared(data, tmp_path / "prepared")
    assert load_prepared(tmp_path / "prepared").disliked.to_lists() == data.disliked.to_lists()
