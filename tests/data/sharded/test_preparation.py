"""The shards hold what ordinary preparation gives, on logs by hand, at random and real ones; a killed run goes on."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from prismrec.data.catalog import online_retail
from prismrec.data.preparation import prepare
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.schema import InteractionColumns
from prismrec.data.sessions import SessionSettings
from prismrec.data.sharded import read_whole
from prismrec.data.views import ViewSettings
from prismrec.errors import DataError

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
VIEWS = {"category": "kind", "shop": "shop"}


# ---- equal to ordinary preparation ----


@pytest.mark.parametrize("kind", ["sessions", "histories"])
@pytest.mark.parametrize("shards", [1, 2, 7])
def test_small_log_with_views(check, log, side, tmp_path, kind, shards):
    check(tmp_path / "p", log(), side(), VIEWS, sequences=kind, shards=shards)


def test_what_is_written_of_the_small_log(shard, log, side, tmp_path):
    shard(tmp_path / "p", log(), side(), {"category": "kind"})
    whole = read_whole(tmp_path / "p")
    assert whole.items.ids.to_pylist() == ["b", "a", "c", "d", "e"]
    assert whole.items.counts.tolist() == [4, 1, 1, 1, 1]
    assert whole.sessions.to_lists() == [[0, 1, 0], [2, 0], [3, 0]]
    assert whole.nodes("category").ids.to_pylist() == ["x", "y"]
    assert whole.view_sessions("category").to_lists() == [[0], [1, 0], [0]]
    assert whole.histories.to_lists() == [[], []]


def test_histories_collapse_repeats_across_sessions(check, log, tmp_path):
    rows = [("u", "a", 0), ("u", "b", 1), ("u", "b", 100), ("u", "c", 101)]
    expected, _ = check(tmp_path / "p", log(rows), sequences="histories")
    assert expected.histories.to_lists() == [[1, 0, 2]]


def test_interleaved_sessions(check, log, tmp_path):
    rows = [("u", "a", 0), ("u", "x", 1), ("u", "b", 2), ("u", "y", 3)]
    for kind in ("sessions", "histories"):
        check(tmp_path / kind, log(rows, session=["s", "t", "s", "t"]), sequences=kind)


def test_long_sessions_are_cut_and_short_pieces_dropped(check, log, tmp_path):
    rows = [("u", f"i{n % 5}", n) for n in range(11)]
    chosen = SessionSettings(max_session_length=3, min_session_length=3)
    expected, _ = check(tmp_path / "p", log(rows), sessions=chosen)
    assert expected.sessions.lengths.tolist() == [3, 3, 3]


def test_activity_bounds(check, log, tmp_path):
    rows = [("u", "a", 0), ("u", "rare", 1), ("u", "a", 2), ("v", "a", 0), ("v", "b", 1), ("u", "b", 3)]
    chosen = SessionSettings(min_item_interactions=2, min_session_length=1)
    expected, _ = check(tmp_path / "p", log(rows), sessions=chosen)
    assert expected.report["interactions"]["outside_activity_bounds"] == 1


@pytest.mark.parametrize("unknown", ["keep", "quarantine"])
@pytest.mark.parametrize("unclicked", [False, True])
def test_unclicked_and_unknown_items(check, log, side, tmp_path, unknown, unclicked):
    chosen = SessionSettings(keep_unclicked_items=unclicked, unknown_items=unknown)
    check(tmp_path / "p", log(), side(), VIEWS, sessions=chosen)


def test_rows_set_aside_are_kept(shard, log, side, tmp_path):
    shard(tmp_path / "p", log(), side(), sessions=SessionSettings(unknown_items="quarantine"))
    rows = pq.read_table(tmp_path / "p" / "quarantine" / "interactions.parquet").to_pylist()
    assert [(row["reason"], row["source_row"]) for row in rows] == [("unknown item", 9)]


def test_multi_valued_views(check, log, side, tmp_path):
    rows = [("u", "a", 0), ("u", "b", 1), ("u", "a", 2)]
    items = side(item_id=["a", "b"], tags=[["p", "q", "p"], ["q"]], text=["p | q|", "q"])
    views = {"tags": "tags", "text": ViewSettings(column="text", separator="|"), "whole": "text"}
    check(tmp_path / "p", log(rows), items, views)


def test_warm_start_twice_in_a_row(check, log, side, tmp_path):
    views = {"category": "kind"}
    first = prepare(log(), side(), views)
    base = {"item": first.items, "user": first.users, "category": first.nodes("category")}
    day_two = [("zoe", "z", 0), ("zoe", "c", 1), ("bob", "z", 0), ("bob", "c", 3)]
    for kind in ("sessions", "histories"):
        second, _ = check(tmp_path / kind, log(day_two), side(), views, base=base, sequences=kind)
    assert second.items.ids.to_pylist() == ["b", "a", "c", "d", "e", "z"]
    check(tmp_path / "third", log(), side(), views, base={"item": second.items, "user": second.users})


def test_warm_start_with_unclicked_items(check, log, side, tmp_path):
    base = {"item": prepare(log([("u", "z", 0), ("u", "e", 1)])).items}
    check(tmp_path / "p", log(), side(), VIEWS, base=base, sessions=SessionSettings(keep_unclicked_items=True))


def test_ids_of_another_type_than_before_are_refused(shard, log, tmp_path):
    base = {"item": prepare(log([("u", 1, 0), ("u", 2, 1)])).items}
    with pytest.raises(DataError, match="ids changed their type: int64 before, string now"):
        shard(tmp_path / "p", log(), base=base)


BIG = 2**63 + 5


@pytest.mark.parametrize(
    ("before", "was", "now", "kind"),
    [
        ([1, 2], "int64", [2, 7], "uint64"),
        ([1, 2], "int64", [2, BIG], "uint64"),
        ([1, 2], "uint64", [2, 7], "int64"),
        ([1, BIG], "uint64", [2, 7], "int64"),
        ([1, BIG], "uint64", [2, BIG + 1], "uint64"),
    ],
)
def test_warm_start_of_unsigned_ids(check, connection, tmp_path, before, was, now, kind):
    def clicks(items, kind):
        source = pa.table({"user_id": ["u", "u"], "item_id": pa.array(items, kind), "timestamp": [0, 1]})
        return read_interactions(source, timestamp_unit="order", connection=connection)

    base = {"item": prepare(clicks(before, was)).items}
    check(tmp_path / "p", clicks(now, kind), base=base)


def test_warm_start_of_ids_without_a_common_type(shard, connection, tmp_path):
    def clicks(items, kind):
        source = pa.table({"user_id": ["u", "u"], "item_id": pa.array(items, kind), "timestamp": [0, 1]})
        return read_interactions(source, timestamp_unit="order", connection=connection)

    base = {"item": prepare(clicks([1, BIG], "uint64")).items}
    with pytest.raises(DataError, match="negative ids and ids of 2\\^63 and above have no integer type in common"):
        shard(tmp_path / "p", clicks([-1, 2], "int64"), base=base)


def test_uuid_ids(check, connection, tmp_path):
    ids = [uuid.UUID(int=n) for n in (5, 2**120, 77)]
    stored = pa.array([i.bytes for i in ids], pa.uuid())
    source = pa.table({"user_id": [1, 1, 1], "item_id": stored, "timestamp": [1, 2, 3]})
    items = read_items(pa.table({"item_id": stored, "kind": ["a", "b", "a"]}), connection=connection)
    clicks = read_interactions(source, timestamp_unit="order", connection=connection)
    first, _ = check(tmp_path / "p", clicks, items, {"kind": "kind"})
    assert sorted(first.items.ids_of([0, 1, 2])) == sorted(ids)
    check(tmp_path / "again", clicks, items, {"kind": "kind"}, base={"item": first.items})


def test_large_integer_ids_never_lose_a_digit(check, log, tmp_path):
    ids = [9_007_199_254_740_993, 9_223_372_036_854_775_807, 9_007_199_254_740_992]
    expected, _ = check(tmp_path / "p", log([(2**62 + 1, i, n) for n, i in enumerate(ids)]))
    assert expected.items.ids_of(expected.sessions[0]) == ids


@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # an example takes a second
@given(
    rows=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 7), st.integers(0, 300)), min_size=2, max_size=60),
    lengths=st.tuples(st.integers(1, 3), st.integers(1, 5)),
    bound=st.integers(1, 2),
    kind=st.sampled_from(["sessions", "histories"]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    shards=st.integers(1, 4),
)
def test_any_log_comes_out_equal(check, log, side, tmp_path_factory, rows, lengths, bound, kind, flags, shards):
    given_sessions, collapse, unclicked, warm = flags
    chosen = SessionSettings(
        min_session_length=lengths[0], max_session_length=lengths[1], min_item_interactions=bound,
        collapse_repeats=collapse, keep_unclicked_items=unclicked,
    )  # fmt: skip
    columns = {"session": [minute % 3 for _, _, minute in rows]} if given_sessions else {}
    items = side(item_id=[0, 1, 2, 4, 9], kind=["a|b", "b", "", "c|a", "z"])
    views = {"kind": ViewSettings(column="kind", separator="|")}
    base = {"item": prepare(log([(1, 9, 0), (2, 5, 1)])).items} if warm else {}
    folder = tmp_path_factory.mktemp("any") / "p"
    try:
        prepare(log(rows, **columns), items, views, chosen)
    except DataError:  # nothing is left
        with pytest.raises(DataError, match="no interaction is left"):
            check(folder, log(rows, **columns), items, views, sessions=chosen)
        return
    check(folder, log(rows, **columns), items, views, sessions=chosen, sequences=kind, shards=shards, base=base)


@pytest.mark.parametrize("kind", ["sessions", "histories"])
def test_complete_journey(check, connection, tmp_path, kind):
    folder = _real("completejourney")
    columns = InteractionColumns(
        user="household_id", item="product_id", time="transaction_timestamp", session="basket_id"
    )
    clicks = read_interactions(folder / "transactions_sample_100k.csv.gz", columns, connection=connection)
    items = read_items(folder / "products.csv.gz", "product_id", connection=connection)
    views = {"category": "product_type", "shop": "manufacturer_id"}
    check(tmp_path / "p", clicks, items, views, sequences=kind)


def test_movielens_with_bounds(check, connection, tmp_path):
    ratings = _real("ml-1m") / "ratings.parquet"
    columns = InteractionColumns(item="movie_id")
    clicks = read_interactions(ratings, columns, connection=connection)
    chosen = SessionSettings(min_item_interactions=5, min_user_interactions=25, max_user_interactions=1_500)
    expected, _ = check(tmp_path / "p", clicks, sessions=chosen, sequences="histories")
    assert len(expected.users) > 5_000


def test_online_retail(check, connection, tmp_path):
    tables = online_retail.read(_real("online-retail"))
    columns = InteractionColumns(user="customer_id", item="stock_code", time="invoice_date", session="invoice_no")
    clicks = read_interactions(tables.clicks, columns, connection=connection)
    items = read_items(tables.items, "stock_code", connection=connection)
    check(tmp_path / "p", clicks, items, {"family": "code_prefix", "price": "price_band"})


def _real(name):
    folder = DATA / name
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    return folder
