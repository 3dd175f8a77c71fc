"""Spark writes the shards that DuckDB writes, id for id and row for row, and each goes on with the other's stages."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from prismrec.data.preparation import prepare
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.schema import InteractionColumns
from prismrec.data.sessions import SessionSettings
from prismrec.data.sharded import read_shards, read_whole
from prismrec.data.views import ViewSettings

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
DAY = 1_577_836_800
CANONICAL = InteractionColumns()


@pytest.fixture(scope="session")
def both(shard, same_data, spark, connection, tmp_path_factory):
    """`both(clicks, items, views, **job)` shards the same tables on both engines, compares, and gives Spark's whole."""

    def compare(clicks, items=None, views=None, *, columns=CANONICAL, kind="sessions", **job):
        folders = {}
        for name, backend in (("spark", spark), ("duckdb", connection)):
            log = read_interactions(clicks, columns, max_bad_share=0.5, connection=backend)
            table = None if items is None else read_items(items, columns.item, max_bad_share=0.5, connection=backend)
            folders[name] = tmp_path_factory.mktemp(name) / "p"
            manifest = shard(folders[name], log, table, views, sequences=kind, **job)
        wholes = {name: read_whole(folder, checksums=True) for name, folder in folders.items()}
        same_data(wholes["spark"], wholes["duckdb"], kind)
        sources = {"input", "item_table"}  # name where the tables came from
        for part in manifest.report.keys() - sources:
            assert wholes["spark"].report[part] == wholes["duckdb"].report[part], part
        for rank in range(2):
            one, two = (read_shards(folder, rank, 2) for folder in folders.values())
            for view in two.view_names:
                assert one.sequences[view].to_lists() == two.sequences[view].to_lists()
                assert one.counts[view].tolist() == two.counts[view].tolist()
            for view in two.edges:
                assert one.edges[view].items.tolist() == two.edges[view].items.tolist()
        return wholes["spark"]

    return compare


def table(rows, **columns):
    users, items, minutes = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": [DAY + 60 * m for m in minutes], **columns})


SMALL = [
    ("ann", "b", 0), ("ann", "a", 1), ("ann", "b", 2), ("ann", "c", 90), ("ann", "b", 95),
    ("bob", "d", 0), ("bob", "b", 5), ("bob", "b", 6), ("bob", "é", 500), ("bob", "Z", 501),
]  # fmt: skip
ITEMS = pa.table({
    "item_id": ["a", "b", "c", "d", "z"], "kind": ["x|y", "x", "y", None, "q"], "shop": [7, 8, 8, 9, 7],
    "price": [1.5, None, 2.0, 0.5, 3.0],
})  # fmt: skip
VIEWS = {"category": ViewSettings(column="kind", separator="|"), "shop": "shop"}


def test_small_log_with_views(both):
    whole = both(table(SMALL), ITEMS, VIEWS, sessions=SessionSettings(keep_unclicked_items=True))
    assert whole.items.ids.to_pylist() == ["b", "Z", "a", "c", "d", "é", "z"]
    assert whole.item_columns.to_pydict()["price"] == [None, None, 1.5, 2.0, 0.5, None, 3.0]


def test_warm_start_with_bounds_and_unknown_items(both, log):
    base = {"item": prepare(log([("u", "z", 0), ("u", "b", 1)])).items}
    chosen = SessionSettings(min_item_interactions=2, unknown_items="quarantine", min_session_length=1)
    whole = both(table(SMALL), ITEMS, VIEWS, kind="histories", base=base, sessions=chosen)
    assert whole.items.ids.to_pylist() == ["b", "z"]


def test_uuids_and_unsigned_integers_come_back_as_they_were(both, log, connection):
    ids = [uuid.UUID(int=n) for n in (5, 2**120, 77)]
    stored = pa.array([i.bytes for i in ids], pa.uuid())
    users = pa.array([2**63 + 1, 2**63 + 1, 7], pa.uint64())
    clicks = pa.table({"user_id": users, "item_id": stored, "timestamp": [DAY, DAY + 1, DAY + 2]})
    items = pa.table({"item_id": stored, "kind": ["a", "b", "a"]})
    whole = both(clicks)
    assert sorted(whole.items.ids_of([0, 1, 2])) == sorted(ids)
    assert whole.users.ids_of([0, 1]) == [2**63 + 1, 7]
    both(clicks, items, {"kind": "kind"}, base={"item": whole.items, "user": whole.users})


@settings(max_examples=1, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # many small jobs of Spark
@given(
    rows=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 7), st.integers(0, 300)), min_size=20, max_size=60),
    lengths=st.tuples(st.integers(1, 2), st.integers(2, 5)),
    kind=st.sampled_from(["sessions", "histories"]),
    collapse=st.booleans(),
)
@pytest.mark.slow
def test_any_log(both, rows, lengths, kind, collapse):
    chosen = SessionSettings(min_session_length=lengths[0], max_session_length=lengths[1], collapse_repeats=collapse)
    both(table(rows), kind=kind, sessions=chosen)


@pytest.mark.slow
def test_complete_journey(both):
    folder = DATA / "completejourney"
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    columns = InteractionColumns(
        user="household_id", item="product_id", time="transaction_timestamp", session="basket_id"
    )
    views = {"category": "product_type"}
    both(
        folder / "transactions_sample_100k.csv.gz", folder / "products.csv.gz", views, columns=columns, kind="histories"
    )


@pytest.mark.slow
def test_movielens(both, tmp_path):
    """A quarter of the users: the whole takes a minute, and `engines.test_equality` takes it."""
    ratings = DATA / "ml-1m" / "ratings.parquet"
    if not ratings.exists():
        pytest.skip(f"{ratings} is not here")
    pq.write_table(pq.read_table(ratings, filters=[("user_id", "<=", 1_500)]), tmp_path / "ratings.parquet")
    whole = both(tmp_path / "ratings.parquet", columns=InteractionColumns(item="movie_id"))
    assert len(whole.users) == 1_500


def test_duckdb_goes_on_where_spark_was_stopped(shard, same_data, spark, connection, tmp_path):
    def read(backend):
        clicks = read_interactions(table(SMALL), connection=backend)
        return clicks, read_items(ITEMS, connection=backend), VIEWS

    told = []

    def stop_after_six(text):
        told.append(text)
        if len(told) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shard(tmp_path / "p", *read(spark), identity="one log", tell=stop_after_six)
    kept: list[str] = []
    shard(tmp_path / "p", *read(connection), identity="one log", tell=kept.append)
    assert sum("kept from the earlier run" in line for line in kept) == 6
    same_data(read_whole(tmp_path / "p"), prepare(*read(connection)))
