"""Users without variance and erratic items leave the training rows, judged by these rows alone."""

import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.preparation import prepare
from prismrec.data.rating_bounds import RatingSettings, erratic_items, even_users, rated_rows, within_rating_bounds
from prismrec.data.reading import read_interactions
from prismrec.data.schema import InteractionColumns
from prismrec.data.sessions import SessionSettings, clean
from prismrec.errors import ConfigError

ROWS = [
    ("even", "a", 4.0), ("even", "b", 4.0), ("even", "c", 4.0),
    ("ann", "a", 5.0), ("ann", "b", 1.0), ("ann", "c", 3.0),
    ("bob", "a", 4.0), ("bob", "b", 5.0), ("bob", "c", 4.0), ("bob", "d", None),
    ("new", "a", 4.0), ("new", "d", 4.0),
]  # fmt: skip
ALL = SessionSettings(min_session_length=1)


def log(rows=ROWS, columns=InteractionColumns(rating="rating")):  # noqa: B008
    table = {name: [row[i] for row in rows] for i, name in enumerate(("user_id", "item_id", "rating"))}
    table["timestamp"] = list(range(len(rows)))
    return read_interactions(pa.table(table), columns, timestamp_unit="order")


def left(interactions):
    rows = engine.arrow(interactions.table).to_pylist()
    return [(row["user_id"], row["item_id"]) for row in sorted(rows, key=lambda row: row["source_row"])]


def ids(table, column):
    return {row[column]: row["deviation"] for row in engine.arrow(table).to_pylist()}


def test_deviations_are_those_of_the_population():
    # b: 4, 1, 5: mean 10/3, squares (4 + 49 + 25) / 9 / 3
    assert ids(erratic_items(rated_rows(log()), 1.0, 3), "item_id") == {"b": pytest.approx((78 / 27) ** 0.5)}
    assert ids(even_users(rated_rows(log()), 0.1, 3), "user_id") == {"even": 0.0}


def test_users_and_items_with_few_ratings_are_not_judged():
    assert set(ids(even_users(rated_rows(log()), 0.1, 2), "user_id")) == {"even", "new"}
    assert ids(erratic_items(rated_rows(log()), 1.0, 4), "item_id") == {}


def test_who_and_what_scatters_wrongly_is_left_out_and_counted():
    settings = RatingSettings(min_user_deviation=0.1, max_item_deviation=1.0, min_ratings=3)
    kept, counts = within_rating_bounds(log(), settings)
    assert left(kept) == [
        ("ann", "a"),
        ("ann", "c"),
        ("bob", "a"),
        ("bob", "c"),
        ("bob", "d"),
        ("new", "a"),
        ("new", "d"),
    ]
    assert counts == {"users_without_variance": 1, "erratic_items": 1, "interactions": 5}


def test_each_bound_alone():
    users, _ = within_rating_bounds(log(), RatingSettings(min_user_deviation=0.1, min_ratings=3))
    assert {user for user, _ in left(users)} == {"ann", "bob", "new"}
    items, counts = within_rating_bounds(log(), RatingSettings(max_item_deviation=1.0, min_ratings=3))
    assert {item for _, item in left(items)} == {"a", "c", "d"}
    assert counts["users_without_variance"] == 0


def test_without_bounds_nothing_happens():
    whole = log()
    assert within_rating_bounds(whole, RatingSettings()) == (whole, {})


def test_preparation_says_what_was_left_out():
    data = prepare(log(), settings=ALL, ratings=RatingSettings(min_user_deviation=0.1, min_ratings=3))
    assert sorted(data.users.ids.to_pylist()) == ["ann", "bob", "new"]
    assert data.report["ratings"] == {"users_without_variance": 1, "erratic_items": 0, "interactions": 3}
    assert "ratings" not in prepare(log(), settings=ALL).report


def test_dislikes_count_in_the_judgement_as_far_as_training_may_know_them():
    settings = SessionSettings(min_session_length=1, min_rating=4.0)
    bounds = RatingSettings(min_user_deviation=0.1, min_ratings=3)
    rows = [("ann", "a", 4.0), ("ann", "b", 1.0), ("ann", "c", 4.0), ("ann", "d", 4.0)]
    assert len(prepare(log(rows), settings=settings, ratings=bounds).users) == 1, "ann disliked b before her last click"
    late = [rows[0], rows[2], rows[3], rows[1]]
    kept, counts = within_rating_bounds(clean(log(late), settings), bounds)
    assert (left(kept), counts["users_without_variance"]) == ([], 1), "what comes after it is the future"
    assert engine.arrow(kept.disliked).num_rows == 0, "dislikes of a user who is left out go too"


def test_bounds_without_ratings_are_an_error():
    with pytest.raises(ConfigError, match=r"ratings\.min_user_deviation and .* need ratings, and the log has none"):
        prepare(log(columns=InteractionColumns()), ratings=RatingSettings(min_user_deviation=0.1))
