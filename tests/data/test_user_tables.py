"""What is known of the users, over the users of the log: views of them and links, on one engine and on the other."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.preparation import prepare
from prismrec.data.prepared import load_prepared, save_prepared
from prismrec.data.reading import connect, read_interactions, read_user_links, read_users
from prismrec.data.schema import Interactions, UserLinks, UserTable
from prismrec.data.sessions import DEFAULTS, clean
from prismrec.data.splits import SplitSettings, next_item, validation_split
from prismrec.data.user_tables import checked_user_views, user_side
from prismrec.data.view_values import ViewSettings
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError

DAY = 1_577_836_800
CLICKS = [("ann", "a"), ("ann", "b"), ("ann", "c"), ("bob", "a"), ("bob", "b"), ("cid", "a")]
USERS = {
    "user_id": ["zoe", "cid", "bob", "ann"],
    "age": [50, 25, 18, 25],
    "zip": ["9", "48067", "48000", "10001"],
    "likes": [["x"], [], ["jazz", "folk"], ["jazz"]],
}
LINKS = {"one": ["ann", "cid", "bob", "zoe"], "other": ["bob", "ann", "ann", "ann"]}
VIEWS: dict[str, str | ViewSettings] = {"age": "age", "area": ViewSettings(column="zip", prefix=3), "taste": "likes"}


def log(clicks=CLICKS, users=None, links=None, connection=None):
    """A log of (user, item), a minute apart, with the tables that are given."""
    connection = connection or connect(threads=1)
    names, items = zip(*clicks, strict=True)
    table = pa.table({"user_id": names, "item_id": items, "timestamp": [DAY + 60 * n for n in range(len(clicks))]})
    return replace(
        read_interactions(table, connection=connection),
        users=None if users is None else read_users(pa.table(users), max_bad_share=0.5, connection=connection),
        user_links=None
        if links is None
        else read_user_links(pa.table(links), max_bad_share=0.5, connection=connection),
    )


def by_id(data, rows, nodes):
    """A dict from user to what the user has, in ids."""
    return {user: nodes.ids_of(row) for user, row in zip(data.users.ids.to_pylist(), rows, strict=True)}


# ---- views ----


def test_columns_of_the_user_table_are_views_of_the_users_of_the_log():
    data = prepare(log(users=USERS), user_views=VIEWS)
    views = data.user_views
    assert list(views) == ["age", "area", "taste"]
    assert by_id(data, views["age"].user_nodes, views["age"].nodes) == {"ann": [25], "bob": [18], "cid": [25]}
    area = by_id(data, views["area"].user_nodes, views["area"].nodes)
    assert area == {"ann": ["100"], "bob": ["480"], "cid": ["480"]}
    taste = by_id(data, views["taste"].user_nodes, views["taste"].nodes)
    assert taste == {"ann": ["jazz"], "bob": ["jazz", "folk"], "cid": []}


def test_nodes_stand_by_the_clicks_of_their_users_and_users_without_clicks_have_no_say():
    data = prepare(log(users=USERS), user_views=VIEWS)
    age = data.user_views["age"].nodes
    assert (age.ids.to_pylist(), age.counts.tolist()) == ([25, 18], [3 + 1, 2]), "50 is the age of zoe alone"
    assert data.user_views["taste"].nodes.counts.tolist() == [3 + 2, 2]


def test_what_was_found_is_counted():
    report = prepare(log(users=USERS, links=LINKS), user_views=VIEWS).report
    assert report["user_table"]["rows"] == 4
    assert report["user_table"]["users_of_the_log"] == 3
    assert report["user_table"]["other_users"] == 1
    assert report["user_views"]["taste"] == {"nodes": 2, "users_with_a_node": 2}
    assert report["user_links"]["links"] == 2
    assert report["user_links"]["rows_of_other_users"] == 1
    assert report["user_links"]["users_with_a_link"] == 3


def test_users_whom_the_table_lacks_have_no_node():
    few = {"user_id": ["bob"], "age": [18]}
    data = prepare(log(users=few), user_views={"age": "age"})
    assert by_id(data, data.user_views["age"].user_nodes, data.user_views["age"].nodes) == {
        "ann": [], "bob": [18], "cid": [],
    }  # fmt: skip


def test_older_nodes_keep_their_index():
    base = {"age": Vocabulary.from_ids([70, 18])}
    age = prepare(log(users=USERS), user_views={"age": "age"}, base=base).user_views["age"].nodes
    assert age.ids.to_pylist() == [70, 18, 25]
    assert age.counts.tolist() == [0, 2, 4]


def test_text_ids_of_the_user_table_meet_integers_of_the_log():
    clicks = [(1, "a"), (2, "b")]
    users = {"user_id": ["1", "2", "guest"], "age": [7, 8, 9]}
    data = prepare(log(clicks, users, {"a": ["1"], "b": ["2"]}), user_views={"age": "age"})
    assert by_id(data, data.user_views["age"].user_nodes, data.user_views["age"].nodes) == {1: [7], 2: [8]}
    assert data.report["user_table"]["ids_of_another_type"] == 1
    assert data.user_links.to_lists() == [[1], [0]]


# ---- links ----


def test_links_have_no_direction_and_each_counts_once():
    data = prepare(log(links=LINKS))
    assert by_id(data, data.user_links, data.users) == {"ann": ["bob", "cid"], "bob": ["ann"], "cid": ["ann"]}


def test_links_of_users_whom_the_log_lacks_are_left_out():
    data = prepare(log(links={"a": ["zoe"], "b": ["ann"]}))
    assert data.user_links.to_lists() == [[], [], []]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda p: p[0] != p[1]), min_size=1))
def test_links_are_the_pairs_of_known_users_both_ways(pairs):
    known = Vocabulary.from_ids([4, 2, 5, 0])
    one, other = zip(*pairs, strict=True)
    interactions = log([(0, "a")], links={"x": one, "y": other})
    links = user_side(interactions, known, {}, {}).links
    place = {user: index for index, user in enumerate(known.ids.to_pylist())}
    expected: list[set[int]] = [set() for _ in place]
    for a, b in pairs:
        if a in place and b in place:
            expected[place[a]].add(place[b])
            expected[place[b]].add(place[a])
    assert links.to_lists() == [sorted(row) for row in expected]


# ---- with splits, on disk, on Spark ----


def test_every_split_of_a_log_keeps_what_is_known_of_its_users():
    chosen = SplitSettings(protocol="next_item")
    outer = next(next_item(clean(log(users=USERS, links=LINKS), DEFAULTS), chosen))
    for part in (outer, validation_split(outer, chosen)):
        data = prepare(part.train, user_views=VIEWS)
        assert data.user_views["age"].nodes.counts.sum() == len(part.train.table.to_pyarrow())
        assert data.user_links is not None


def test_nothing_configured_changes_nothing():
    plain, told = prepare(log()), prepare(log(users=USERS))
    assert (plain.user_views, plain.user_links) == ({}, None)
    assert {"user_table", "user_views", "user_links"}.isdisjoint(plain.report)
    assert told.user_views == {}
    assert told.histories.to_lists() == plain.histories.to_lists()


def test_saved_and_loaded_is_equal(tmp_path):
    users = {**USERS, "user_id": ["zoe", "cid", "bob", None]}
    data = prepare(log(users=users, links=LINKS), user_views=VIEWS)
    assert sorted(data.quarantine) == ["users"]
    save_prepared(data, tmp_path / "prepared")
    back = load_prepared(tmp_path / "prepared")
    assert list(back.user_views) == list(data.user_views)
    for name, view in data.user_views.items():
        assert back.user_views[name].nodes.ids.equals(view.nodes.ids)
        assert back.user_views[name].nodes.counts.tolist() == view.nodes.counts.tolist()
        assert back.user_views[name].user_nodes.to_lists() == view.user_nodes.to_lists()
    assert back.user_links.to_lists() == data.user_links.to_lists()
    assert isinstance(back.user_links.values.base, np.memmap)
    assert (tmp_path / "prepared" / "quarantine" / "users.parquet").is_file()


def test_spark_finds_the_same(spark):
    users = Vocabulary.from_ids(["ann", "bob", "cid"], [3, 2, 1])
    on_spark, on_duckdb = (
        user_side(
            Interactions(
                engine.register(connection, pa.table({"user_id": ["ann"]})),
                users=UserTable(engine.register(connection, pa.table(USERS))),
                user_links=read_user_links(pa.table(LINKS), connection=connection),
            ),
            users,
            {"taste": ViewSettings(column="likes")},
            {},
        )
        for connection in (spark, connect(threads=1))
    )
    one, two = (side.views["taste"] for side in (on_spark, on_duckdb))
    assert one.nodes.ids.equals(two.nodes.ids)
    assert one.nodes.counts.tolist() == two.nodes.counts.tolist() == [5, 2]
    assert one.user_nodes.to_lists() == two.user_nodes.to_lists() == [[0], [0, 1], []]
    assert on_spark.links.to_lists() == on_duckdb.links.to_lists() == [[1, 2], [0], [0]]
    assert on_spark.report["user_views"] == on_duckdb.report["user_views"]


# ---- what is refused ----


def test_names_of_user_views_are_checked_before_work_begins():
    interactions = log(users=USERS)
    for name in ("item", "user"):
        with pytest.raises(ConfigError, match=f"a user view cannot be called '{name}'"):
            prepare(interactions, user_views={name: "age"})
    with pytest.raises(ConfigError, match="'kind' is a view of the items and of the users"):
        checked_user_views({"kind": "age"}, item_views={"kind": None}, has_users=True)
    with pytest.raises(ConfigError, match="user views age, area are columns of the user table, but no user table"):
        checked_user_views({"age": "age", "area": "zip"}, item_views={}, has_users=False)


def test_a_missing_column_is_named_with_those_there_are():
    with pytest.raises(DataError, match="view 'job': the user table has no column 'job'; it has age, zip, likes"):
        prepare(log(users=USERS), user_views={"job": "job"})


def test_values_that_cannot_be_nodes_are_refused():
    users = {"user_id": ["ann"], "height": [1.7]}
    with pytest.raises(DataError, match="view 'height': column 'height' has type float64"):
        prepare(log(users=users), user_views={"height": "height"})


def test_ids_of_two_types_are_refused():
    clicks = log([(1, "a")])
    connection = clicks.table.get_backend()
    ids = pa.array([b"0123456789abcdef"], pa.binary(16)).cast(pa.uuid())
    table = engine.register(connection, pa.table({"user_id": ids, "linked_id": ids}))
    for given_tables in ({"users": UserTable(table)}, {"user_links": UserLinks(table)}):
        with pytest.raises(DataError, match="user ids are int64 in the interactions and uuid in the user table"):
            prepare(replace(clicks, **given_tables))
