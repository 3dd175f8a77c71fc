"""From a small log to indices one can check by hand, and from the real tables to the counts their documents give."""

import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.preparation import prepare
from prismrec.data.reading import connect, read_interactions, read_items
from prismrec.data.schema import InteractionColumns
from prismrec.data.sessions import SessionSettings
from prismrec.data.views import ViewSettings
from prismrec.errors import ConfigError, DataError

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
DAY = 1_577_836_800
CON = connect(threads=1)


def log(rows, **columns):
    """Rows are (user, item, minute)."""
    users, items, minutes = zip(*rows, strict=True)
    source = pa.table({"user_id": users, "item_id": items, "timestamp": [DAY + 60 * m for m in minutes], **columns})
    named = {"dwell": "dwell"} if "dwell" in columns else {}
    named |= {"session": "session"} if "session" in columns else {}
    return read_interactions(source, InteractionColumns(**named), max_bad_share=0.5, connection=CON)


def side(**columns):
    return read_items(pa.table(columns), max_bad_share=0.5, connection=CON)


def columns_of(data):
    assert data.item_columns is not None
    return data.item_columns.to_pydict()


def by_id(data, sequences, view="item"):
    return [data.nodes(view).ids_of(row) for row in sequences]


SMALL = [
    ("ann", "b", 0), ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 90), ("ann", "b", 95),
    ("bob", "d", 0), ("bob", "b", 5), ("bob", "b", 6), ("bob", "e", 500),
]  # fmt: skip
ITEMS = {"item_id": ["a", "b", "c", "d", "z"], "kind": ["x", "x", "y", None, "q"], "shop": [7, 8, 8, 9, 7]}


def test_items_are_ordered_by_falling_count_and_ties_by_id():
    data = prepare(log(SMALL))
    assert data.items.ids.to_pylist() == ["b", "a", "c", "d", "e"]
    assert data.items.counts.tolist() == [4, 1, 1, 1, 1]
    assert data.users.ids.to_pylist() == ["ann", "bob"]
    assert data.users.counts.tolist() == [5, 3]


def test_sessions_and_histories_of_the_small_log():
    data = prepare(log(SMALL))
    assert by_id(data, data.sessions) == [["b", "a", "b"], ["c", "b"], ["d", "b"]]
    assert by_id(data, data.histories) == [["b", "a", "b", "c", "b"], ["d", "b", "e"]]
    assert data.sessions.values.dtype == np.int32
    assert data.sessions.offsets.dtype == np.int64


def test_a_history_collapses_repeats_across_sessions():
    data = prepare(log([("u", "a", 0), ("u", "b", 1), ("u", "b", 100), ("u", "c", 101)]))
    assert by_id(data, data.sessions) == [["a", "b"], ["b", "c"]]
    assert by_id(data, data.histories) == [["a", "b", "c"]]


def test_histories_of_interleaved_sessions_are_in_the_order_of_time():
    data = prepare(log([("u", "a", 0), ("u", "x", 1), ("u", "b", 2), ("u", "y", 3)], session=["s", "t", "s", "t"]))
    assert by_id(data, data.sessions) == [["a", "b"], ["x", "y"]]
    assert by_id(data, data.histories) == [["a", "x", "b", "y"]]


def test_every_dropped_click_is_counted():
    rows = [*SMALL, ("eve", "a", 0)]
    data = prepare(log(rows, dwell=[5.0] * 9 + [0.1]))
    assert data.report["interactions"] == {
        "read": 10, "short_dwell": 1, "repeats": 1, "outside_activity_bounds": 0, "kept": 8,
    }  # fmt: skip
    assert data.report["sessions"] == {"found": 4, "too_short": 1, "cut": 0, "clicks": 8}
    assert data.report["prepared"]["clicks_in_sessions"] == 7


def test_views_map_sessions_and_collapse_repeats():
    data = prepare(log(SMALL), side(**ITEMS), {"category": "kind", "shop": "shop"})
    assert data.view_names == ("item", "category", "shop")
    assert by_id(data, data.view_sessions("category"), "category") == [["x"], ["y", "x"], ["x"]]
    assert by_id(data, data.view_sessions("shop"), "shop") == [[8, 7, 8], [8], [9, 8]]
    assert data.nodes("category").ids.to_pylist() == ["x", "y"]
    assert data.nodes("category").counts.tolist() == [5, 1]
    assert data.nodes("shop").ids.to_pylist() == [8, 7, 9]
    assert by_id(data, data.views["category"].item_nodes, "category") == [["x"], ["x"], ["y"], [], []]


def test_the_report_says_how_much_of_a_view_is_filled():
    data = prepare(log(SMALL), side(**ITEMS), {"category": "kind"})
    assert data.report["views"]["category"] == {"nodes": 2, "items_with_a_node": 3, "values": 4}


def test_item_columns_follow_the_item_order_with_nulls_for_unknown_items():
    data = prepare(log(SMALL), side(**ITEMS))
    assert columns_of(data) == {
        "item_id": ["b", "a", "c", "d", "e"],
        "kind": ["x", "x", "y", None, None],
        "shop": [8, 7, 8, 9, None],
    }


def test_unknown_items_are_kept_and_counted_by_default():
    data = prepare(log(SMALL), side(**ITEMS))
    assert data.report["unknown_items"] == {"interactions": 1, "items": 1}
    assert "e" in data.items.ids.to_pylist()


def test_unknown_items_can_be_quarantined():
    data = prepare(log(SMALL), side(**ITEMS), settings=SessionSettings(unknown_items="quarantine"))
    assert "e" not in data.items.ids.to_pylist()
    rows = engine.arrow(data.quarantine["interactions"]).to_pylist()
    assert [(r["reason"], r["file"], r["source_row"]) for r in rows] == [("unknown item", "the pyarrow table", 9)]
    assert '"item_id":"e"' in rows[0]["row"]


def test_unclicked_items_come_last_when_asked():
    chosen = SessionSettings(keep_unclicked_items=True)
    data = prepare(log(SMALL), side(**ITEMS), {"category": "kind"}, chosen)
    assert data.items.ids.to_pylist() == ["b", "a", "c", "d", "e", "z"]
    assert data.items.counts.tolist()[-1] == 0
    assert data.nodes("category").ids.to_pylist() == ["x", "y", "q"]
    assert data.nodes("category").counts.tolist() == [5, 1, 0]


def test_multi_valued_views_come_from_lists_and_from_split_text():
    rows = [("u", "a", 0), ("u", "b", 1), ("u", "a", 2)]
    items = side(item_id=["a", "b"], tags=[["p", "q", "p"], ["q"]], text=["p | q|", "q"])
    views: dict[str, str | ViewSettings] = {
        "tags": "tags",
        "text": ViewSettings(column="text", separator="|"),
        "whole": "text",
    }
    data = prepare(log(rows), items, views)
    for name in ("tags", "text"):
        assert data.nodes(name).ids.to_pylist() == ["q", "p"]  # 3 clicks against 2
        assert by_id(data, data.views[name].item_nodes, name) == [["q", "p"], ["q"]]
        assert by_id(data, data.view_sessions(name), name) == [["q", "p", "q", "p"]]
    assert data.nodes("whole").ids.to_pylist() == ["p | q|", "q"]


def test_a_view_can_be_the_first_characters():
    data = prepare(
        log([("u", 85123, 0), ("u", 85999, 1), ("u", 22000, 2)]),
        side(item_id=[85123, 85999, 22000], code=[85123, 85999, 22000]),
        {"family": ViewSettings(column="code", prefix=3)},
    )
    assert by_id(data, data.view_sessions("family"), "family") == [["851", "859", "220"]]


def test_a_warm_start_keeps_every_known_index_twice_in_a_row():
    views = {"category": "kind"}
    first = prepare(log(SMALL), side(**ITEMS), views)
    base = {"item": first.items, "user": first.users, "category": first.nodes("category")}
    day_two = [("zoe", "z", 0), ("zoe", "c", 1), ("bob", "z", 0), ("bob", "c", 3)]
    second = prepare(log(day_two), side(**ITEMS), views, base=base)
    assert second.items.ids.to_pylist() == ["b", "a", "c", "d", "e", "z"]
    assert second.items.counts.tolist() == [0, 0, 2, 0, 0, 2]
    assert second.users.ids.to_pylist() == ["ann", "bob", "zoe"]
    assert by_id(second, second.histories) == [[], ["z", "c"], ["z", "c"]]
    assert second.nodes("category").ids.to_pylist() == ["x", "y", "q"]
    third = prepare(log(SMALL), side(**ITEMS), views, base={"item": second.items, "user": second.users})
    assert third.items.ids.to_pylist() == second.items.ids.to_pylist()
    assert by_id(third, third.sessions) == by_id(first, first.sessions)


def test_uuid_ids_reach_the_vocabulary_unchanged():
    ids = [uuid.UUID(int=n) for n in (5, 2**120, 77)]
    stored = pa.array([i.bytes for i in ids], pa.uuid())
    source = pa.table({"user_id": [1, 1, 1], "item_id": stored, "timestamp": [DAY, DAY + 1, DAY + 2]})
    items = read_items(pa.table({"item_id": stored, "kind": ["a", "b", "a"]}), connection=CON)
    data = prepare(read_interactions(source, connection=CON), items, {"kind": "kind"})
    assert by_id(data, data.sessions) == [ids]
    assert by_id(data, data.view_sessions("kind"), "kind") == [["a", "b", "a"]]


def test_large_integer_ids_never_lose_a_digit():
    ids = [9_007_199_254_740_993, 9_223_372_036_854_775_807, 9_007_199_254_740_992]
    data = prepare(log([(2**62 + 1, i, n) for n, i in enumerate(ids)]))
    assert by_id(data, data.sessions) == [ids]
    assert data.users.ids.to_pylist() == [2**62 + 1]


def test_text_ids_of_the_item_table_meet_integers_of_the_log():
    data = prepare(
        log([("u", 10, 0), ("u", 7, 1)]), side(item_id=["10", "007", "9e+05"], kind=["x", "y", "z"]), {"kind": "kind"}
    )
    assert columns_of(data) == {"item_id": [7, 10], "kind": [None, "x"]}
    assert data.report["item_table"]["ids_of_another_type"] == 2


def test_an_item_table_of_another_engine_is_brought_over():
    items = read_items(pa.table(ITEMS), connection=connect(threads=1))
    data = prepare(log(SMALL), items, {"category": "kind"})
    assert data.nodes("category").ids.to_pylist() == ["x", "y"]


def test_ids_of_two_types_are_refused():
    items = read_items(pa.table({"item_id": pa.array([uuid.UUID(int=1).bytes], pa.uuid())}), connection=CON)
    with pytest.raises(DataError, match="item ids are int64 in the interactions and uuid in the item table"):
        prepare(log([("u", 1, 0), ("u", 2, 1)]), items)


def test_views_are_checked_before_work_begins():
    with pytest.raises(ConfigError, match="cannot be called 'item'"):
        prepare(log(SMALL), side(**ITEMS), {"item": "kind"})
    with pytest.raises(ConfigError, match="no item table was given"):
        prepare(log(SMALL), None, {"category": "kind"})
    with pytest.raises(DataError, match="view 'category': the item table has no column 'sort'; it has kind, shop"):
        prepare(log(SMALL), side(**ITEMS), {"category": "sort"})
    with pytest.raises(DataError, match="view 'price': column 'price' has type float64: expected text"):
        prepare(log(SMALL), side(item_id=["a"], price=[1.5]), {"price": "price"})
    with pytest.raises(DataError, match="only text can be split"):
        prepare(log(SMALL), side(**ITEMS), {"shop": ViewSettings(column="shop", separator="|")})


def test_nothing_left_is_an_error_that_says_where_it_went():
    with pytest.raises(DataError, match="no interaction is left to train on: 9 read, 9 short dwell, 0 repeats"):
        prepare(log(SMALL, dwell=[0.5] * 9))


def test_repeats_that_arise_from_dropped_items_collapse_too():
    rows = [("u", "a", 0), ("u", "rare", 1), ("u", "a", 2), ("v", "a", 0), ("v", "b", 1), ("u", "b", 3)]
    data = prepare(log(rows), settings=SessionSettings(min_item_interactions=2, min_session_length=1))
    assert by_id(data, data.sessions) == [["a", "b"], ["a", "b"]]
    assert data.report["interactions"]["outside_activity_bounds"] == 1
    assert data.report["interactions"]["repeats"] == 1


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6), st.integers(0, 300)), min_size=2, max_size=60),
    st.integers(1, 3),
    st.integers(1, 5),
)
def test_counts_add_up_and_indices_are_dense(rows, shortest, longest):
    chosen = SessionSettings(min_session_length=shortest, max_session_length=longest)
    data = prepare(log(rows), settings=chosen)
    assert data.items.counts.sum() == data.users.counts.sum() == data.report["interactions"]["kept"]
    assert set(data.histories.values.tolist()) == set(range(len(data.items)))
    assert len(data.histories) == len(data.users)
    assert not len(data.sessions) or shortest <= data.sessions.lengths.min() <= data.sessions.lengths.max() <= longest
    order = sorted(range(len(data.items)), key=lambda i: (-data.items.counts[i], data.items.ids[i].as_py()))
    assert order == list(range(len(data.items)))


def test_complete_journey_comes_out_with_its_views():
    folder = DATA / "completejourney"
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    columns = InteractionColumns(user="household_id", item="product_id", time="transaction_timestamp")
    clicks = read_interactions(folder / "transactions_sample_100k.csv.gz", columns, connection=CON)
    items = read_items(folder / "products.csv.gz", "product_id", connection=CON)
    views = {"category": "product_type", "shop": "manufacturer_id"}
    data = prepare(clicks, items, views, SessionSettings(collapse_repeats=False, min_session_length=1))
    assert (len(data.users), len(data.items), len(data.sessions.values)) == (2_405, 23_950, 100_000)
    assert len(data.nodes("category")) <= 1_770
    assert len(data.nodes("shop")) <= 2_651
    assert data.report["unknown_items"]["items"] == columns_of(data)["department"].count(None)
