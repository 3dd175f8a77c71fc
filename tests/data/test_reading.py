"""Ids come back as they were, bad rows say why, and what cannot be read says what to do."""

import gzip
import sqlite3
import uuid
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data import engine
from prismrec.data.reading import connect, read_interactions, read_items, read_user_links, read_users
from prismrec.data.schema import InteractionColumns
from prismrec.errors import DataError

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
DAY = 1_577_836_800  # 2020-01-01 in seconds


@pytest.fixture(scope="module")
def con():
    return connect(threads=1)


def rows(interactions):
    return sorted(engine.arrow(interactions.table).to_pylist(), key=lambda row: row["source_row"])


def column(interactions, name):
    return [row[name] for row in rows(interactions)]


def bad(table):
    return sorted(engine.arrow(table.quarantined).to_pylist(), key=lambda row: (row["file"], row["source_row"]))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def table(n=3, **columns):
    base = {"user_id": [1] * n, "item_id": [f"i{i}" for i in range(n)], "timestamp": [DAY + i for i in range(n)]}
    return pa.table({**base, **columns})


def real(*parts):
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def test_csv_ids_that_round_trip_become_integers_and_others_stay_text(tmp_path, con):
    file = write(tmp_path / "log.csv", f"user_id,item_id,timestamp\n9223372036854775807,007,{DAY}\n-5,8,{DAY}\n")
    log = read_interactions(file, connection=con)
    assert column(log, "user_id") == [9223372036854775807, -5]
    assert column(log, "item_id") == ["007", "8"]


@pytest.mark.parametrize("odd", ["9223372036854775808", "+1", "1.0", "1e5", " 1", "-0", "Ünï-☃", "x"])
def test_one_odd_id_keeps_the_whole_column_as_text(tmp_path, con, odd):
    file = write(tmp_path / "log.csv", f"user_id,item_id,timestamp\n1,12,{DAY}\n1,{odd},{DAY}\n")
    assert column(read_interactions(file, connection=con), "item_id") == ["12", odd]


def test_integer_and_text_ids_of_typed_tables_keep_their_type(con):
    source = table(2, user_id=pa.array([2**63, 1], pa.uint64()), item_id=["007", "8"])
    log = read_interactions(source, connection=con)
    assert column(log, "user_id") == [2**63, 1]
    assert column(log, "item_id") == ["007", "8"]


def test_uuids_are_ids(con):
    ids = [uuid.uuid4() for _ in range(2)]
    source = table(2, item_id=pa.array([i.bytes for i in ids], pa.uuid()))
    assert column(read_interactions(source, connection=con), "item_id") == [str(i) for i in ids]


def test_float_ids_are_refused_with_advice(con):
    with pytest.raises(DataError, match=r"'user_id' has type float64, which is no id: .*Int64"):
        read_interactions(table(2, user_id=[1.0, 2.0]), connection=con)


def test_dates_are_no_ids(con):
    with pytest.raises(DataError, match="'item_id' has type boolean, which is no id"):
        read_interactions(table(2, item_id=[True, False]), connection=con)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"])
def test_tables_in_memory_are_read_with_their_row_numbers(con, make):
    source = make({"u": [3, 1], "i": ["a", "ß"], "t": [DAY * 1000, DAY * 1000 + 1]})
    log = read_interactions(source, InteractionColumns(user="u", item="i", time="t"), connection=con)
    assert rows(log) == [
        {"user_id": 3, "item_id": "a", "timestamp": DAY * 1_000_000, "source_row": 1},
        {"user_id": 1, "item_id": "ß", "timestamp": DAY * 1_000_000 + 1000, "source_row": 2},
    ]
    assert "epoch milliseconds, detected from the whole column" in log.notes["timestamps"]


def test_ibis_tables_are_read_on_their_own_engine(con):
    query = engine.register(con, table(3)).filter(lambda t: t.item_id != "i1")
    log = read_interactions(query)
    assert engine.backend_of(log.table) is con
    assert column(log, "item_id") == ["i0", "i2"]


def test_many_parquet_files_are_one_log_with_rows_counted_through(tmp_path, con):
    for name, start in (("b", 10), ("a", 0)):
        pq.write_table(table(2, item_id=[f"{name}{start}", f"{name}{start + 1}"]), tmp_path / f"{name}.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    for source in (tmp_path, str(tmp_path / "*.parquet")):
        assert column(read_interactions(source, connection=con), "item_id") == ["a0", "a1", "b10", "b11"]


def test_a_bad_row_is_named_by_its_own_file_and_row(tmp_path, con):
    pq.write_table(table(3), tmp_path / "a.parquet")
    pq.write_table(table(3, item_id=["x", None, "z"]), tmp_path / "b.parquet")
    log = read_interactions(tmp_path, max_bad_share=0.5, connection=con)
    found = bad(log)
    assert [(row["reason"], row["file"], row["source_row"]) for row in found] == [
        ("missing item id", str(tmp_path / "b.parquet"), 2)
    ]
    assert found[0]["row"] == f'{{"user_id":1,"item_id":null,"timestamp":{DAY + 1}}}'


@pytest.mark.parametrize("address", ["duckdb:///{}::clicks", "duckdb:///{}::main.clicks"])
def test_a_duckdb_table_is_read_by_address(tmp_path, con, address):
    file = tmp_path / f"shop{len(address)}.db"
    with duckdb.connect(str(file)) as database:
        database.sql("CREATE TABLE clicks AS SELECT 1 AS user_id, 'a' AS item_id, TIMESTAMP '2020-01-01' AS timestamp")
    assert column(read_interactions(address.format(file), connection=con), "timestamp") == [DAY * 1_000_000]


def test_a_missing_database_or_table_is_named(tmp_path, con):
    with pytest.raises(DataError, match=r"there is no DuckDB file at .*nowhere\.db"):
        read_interactions(f"duckdb:///{tmp_path}/nowhere.db::clicks", connection=con)
    with pytest.raises(DataError, match="names no table: write DATABASE::TABLE"):
        read_interactions("duckdb:///shop.db", connection=con)
    duckdb.connect(str(tmp_path / "empty.db")).close()
    with pytest.raises(DataError, match="cannot read the table 'clicks'"):
        read_interactions(f"duckdb:///{tmp_path}/empty.db::clicks", connection=con)


def test_gzipped_tab_separated_text_with_a_byte_order_mark_is_read(tmp_path, con):
    file = tmp_path / "log.tsv.gz"
    with gzip.open(file, "wt", encoding="utf-8-sig", newline="") as out:
        out.write(f'user_id\titem_id\ttimestamp\r\n1\t"a\tb"\t{DAY}\r\n')
    assert column(read_interactions(file, connection=con), "item_id") == ["a\tb"]


def test_malformed_lines_are_quarantined_and_rows_keep_their_place(tmp_path, con):
    text = f"user_id,item_id,timestamp\n1,a,{DAY}\n1,b\n1,c,{DAY},9\n1,d,{DAY}\n1,,{DAY}\n"
    log = read_interactions(write(tmp_path / "log.csv", text), max_bad_share=0.9, connection=con)
    assert [(row["item_id"], row["source_row"]) for row in rows(log)] == [("a", 1), ("d", 4)]
    assert [(row["reason"], row["source_row"]) for row in bad(log)] == [
        ("malformed line: missing columns", 2),
        ("malformed line: too many columns", 3),
        ("missing item id", 5),
    ]
    assert log.notes["rows"] == 5
    assert log.notes["bad_rows"] == 3


def test_text_that_is_not_utf8_is_quarantined(tmp_path, con):
    file = tmp_path / "log.csv"
    file.write_bytes(f"user_id,item_id,timestamp\n1,a,{DAY}\n1,caf\xe9,{DAY}\n".encode("latin-1"))
    log = read_interactions(file, max_bad_share=0.5, connection=con)
    assert log.notes["bad_by_reason"] == {"malformed line: invalid encoding": 1}


def test_a_quote_that_never_closes_counts_every_row_it_swallows(tmp_path, con):
    text = f'user_id,item_id,timestamp\n1,a,{DAY}\n1,"b,{DAY}\n1,c,{DAY}\n1,d,{DAY}\n'
    log = read_interactions(write(tmp_path / "log.csv", text), max_bad_share=0.9, connection=con)
    assert log.notes["rows"] == 4
    assert log.notes["bad_rows"] == 3


def test_every_reason_is_counted_and_shown(con):
    source = pa.table(
        {
            "user_id": [None, "u", "u", "u", "u", "u", "u", "u", ""],
            "item_id": ["a", None, "", "a", "a", "a", "a", "a", "a"],
            "timestamp": ["2020-01-01"] * 3 + [None, "soon", "1956-01-01", "2020-01-01", "2020-01-01", "2020-01-01"],
            "dwell": ["1"] * 6 + ["-0.5", "long", "1"],
            "stars": ["5"] * 9,
        }
    )
    columns = InteractionColumns(dwell="dwell", rating="stars")
    log = read_interactions(source, columns, max_bad_share=1.0, connection=con)
    assert rows(log) == []
    assert [row["reason"] for row in bad(log)] == [
        "missing user id", "missing item id", "missing item id", "missing time", "unparsable time", "impossible time",
        "negative dwell", "unparsable dwell", "missing user id",
    ]  # fmt: skip


def test_missing_dwell_and_rating_are_no_reason(con):
    source = table(3, dwell=[None, float("nan"), 2.5], stars=["", None, "4"])
    log = read_interactions(source, InteractionColumns(dwell="dwell", rating="stars"), connection=con)
    assert column(log, "dwell_seconds") == [None, None, 2.5]
    assert column(log, "rating") == [None, None, 4.0]


def test_too_many_bad_rows_stop_with_counts_and_the_first_example(con):
    source = table(4, item_id=["a", None, None, "d"])
    with pytest.raises(
        DataError,
        match=r"2 of 4 rows of the pyarrow table are bad \(50\.0%, max_bad_share is 5\.0%\): 2 missing item id\. "
        r'First: the pyarrow table row 2: missing item id: \{"user_id":1,"item_id":null',
    ):
        read_interactions(source, connection=con)


def test_a_bad_share_at_the_limit_goes_on(con):
    log = read_interactions(table(4, item_id=["a", None, "c", "d"]), max_bad_share=0.25, connection=con)
    assert log.notes["bad_by_reason"] == {"missing item id": 1}


def test_a_missing_column_names_the_nearest(con):
    with pytest.raises(DataError, match="the pyarrow table has no column 'itemid'; did you mean 'item_id'"):
        read_interactions(table(), InteractionColumns(item="itemid"), connection=con)


def test_an_empty_table_is_named(tmp_path, con):
    with pytest.raises(DataError, match=r"log\.csv is empty: it has columns but no rows"):
        read_interactions(
            write(tmp_path / "log.csv", "user_id,item_id,timestamp\n"), timestamp_unit="s", connection=con
        )
    with pytest.raises(DataError, match=r"none\.csv is empty: expected a header line"):
        read_interactions(write(tmp_path / "none.csv", ""), connection=con)


def test_unreadable_files_are_named(tmp_path, con):
    with pytest.raises(DataError, match=r"nothing to read at .*nowhere\.csv"):
        read_interactions(tmp_path / "nowhere.csv", connection=con)
    with pytest.raises(DataError, match=r"cannot read .*broken\.parquet as Parquet"):
        read_interactions(write(tmp_path / "broken.parquet", "no"), connection=con)
    with pytest.raises(DataError, match=r"cannot read .*broken\.csv\.gz"):
        read_interactions(write(tmp_path / "broken.csv.gz", "no"), connection=con)
    with pytest.raises(DataError, match="cannot read a int as a table"):
        read_interactions(5, connection=con)


def test_a_folder_of_two_kinds_and_files_of_two_headers_are_refused(tmp_path, con):
    write(tmp_path / "a.csv", f"user_id,item_id,timestamp\n1,a,{DAY}\n")
    write(tmp_path / "b.csv", f"item_id,user_id,timestamp\n1,a,{DAY}\n")
    with pytest.raises(DataError, match=r"b\.csv has other columns than .*a\.csv"):
        read_interactions(tmp_path, connection=con)
    pq.write_table(table(), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="holds Parquet and text files"):
        read_interactions(tmp_path, connection=con)


@pytest.mark.filterwarnings("ignore:.*infer_string")  # Ibis asks pandas for an option that pandas 3 deprecates
def test_a_sqlite_table_is_read_by_address_and_large_ids_beside_nulls_survive(tmp_path, con):
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE clicks (user_id INTEGER, item_id TEXT, timestamp INTEGER)")
        clicks = [(9_007_199_254_740_993, "a", DAY), (None, "b", DAY)]
        database.executemany("INSERT INTO clicks VALUES (?, ?, ?)", clicks)
    database.close()
    log = read_interactions(f"sqlite:///{file}::clicks", max_bad_share=0.5, connection=con)
    assert column(log, "user_id") == [9_007_199_254_740_993]
    with pytest.raises(DataError, match="cannot read the table 'nothing'"):
        read_interactions(f"sqlite:///{file}::nothing", connection=con)


def test_items_keep_their_side_columns_and_the_first_of_duplicates(con):
    source = pa.table({"sku": ["b", "a", "b", None], "shop": [1, 2, 3, 4], "tags": [["x"], [], None, ["y"]]})
    items = read_items(source, "sku", max_bad_share=0.5, connection=con)
    assert sorted(engine.arrow(items.table).to_pylist(), key=lambda r: r["item_id"]) == [
        {"item_id": "a", "shop": 2, "tags": []},
        {"item_id": "b", "shop": 1, "tags": ["x"]},
    ]
    assert [(r["reason"], r["source_row"]) for r in bad(items)] == [("duplicate item id", 3), ("missing item id", 4)]


def test_side_columns_of_text_files_become_integers_only_if_exact(tmp_path, con):
    text = "item_id,shop,code,price,none\n1,10,007,1.50,\n2,,8,2,\n"
    items = read_items(write(tmp_path / "items.csv", text), connection=con)
    assert sorted(engine.arrow(items.table).to_pylist(), key=lambda r: r["item_id"]) == [
        {"item_id": 1, "shop": 10, "code": "007", "price": "1.50", "none": None},
        {"item_id": 2, "shop": None, "code": "8", "price": "2", "none": None},
    ]


def test_an_item_table_with_two_item_columns_is_refused(con):
    with pytest.raises(DataError, match="has a column 'item_id' beside the item column 'sku'"):
        read_items(pa.table({"sku": [1], "item_id": [2]}), "sku", connection=con)


def test_users_keep_their_side_columns_and_the_first_of_duplicates(con):
    source = pa.table({"customer": ["b", "a", "b", ""], "age": [30, 40, 50, 60]})
    users = read_users(source, "customer", max_bad_share=0.5, connection=con)
    assert sorted(engine.arrow(users.table).to_pylist(), key=lambda r: r["user_id"]) == [
        {"user_id": "a", "age": 40},
        {"user_id": "b", "age": 30},
    ]
    assert [(r["reason"], r["source_row"]) for r in bad(users)] == [("duplicate user id", 3), ("missing user id", 4)]
    assert users.notes["bad_by_reason"] == {"duplicate user id": 1, "missing user id": 1}


def test_a_user_table_with_two_user_columns_is_refused(con):
    with pytest.raises(DataError, match="has a column 'user_id' beside the user column 'customer': rename or drop it"):
        read_users(pa.table({"customer": [1], "user_id": [2]}), "customer", connection=con)


def test_links_are_two_columns_of_users_whatever_they_are_called(tmp_path, con):
    text = "userID,friendID\n1,2\n2,1\n3,3\n,4\n5,\n"
    links = read_user_links(write(tmp_path / "friends.csv", text), max_bad_share=0.6, connection=con)
    rows = sorted(engine.arrow(links.table).to_pylist(), key=lambda r: r["user_id"])
    assert rows == [{"user_id": 1, "linked_id": 2}, {"user_id": 2, "linked_id": 1}]
    assert [(r["reason"], r["source_row"]) for r in bad(links)] == [
        ("user linked to themselves", 3), ("missing user id", 4), ("missing user id", 5),
    ]  # fmt: skip


def test_links_of_three_columns_are_refused_with_their_names(con):
    table = pa.table({"a": [1], "b": [2], "since": [3]})
    with pytest.raises(DataError, match=r"has 3 columns \(a, b, since\): links of users are a table of two"):
        read_user_links(table, connection=con)
    with pytest.raises(DataError, match="'a' has type float64, which is no id"):
        read_user_links(pa.table({"a": [1.5], "b": [2.5]}), connection=con)


def test_complete_journey_has_the_counts_that_its_readme_gives(con):
    columns = InteractionColumns(
        user="household_id", item="product_id", time="transaction_timestamp", session="basket_id"
    )
    log = read_interactions(real("completejourney", "transactions_sample_100k.csv.gz"), columns, connection=con)
    counts = engine.one_row(
        log.table.aggregate(
            rows=log.table.count(),
            users=log.table.user_id.nunique(),
            items=log.table.item_id.nunique(),
            baskets=log.table.session_id.nunique(),
        )
    )
    assert counts == {"rows": 100_000, "users": 2_405, "items": 23_950, "baskets": 56_625}
    assert log.quarantined is None
    basket = log.table.filter(log.table.session_id == "4.0128e+10")  # one id is spelt like this: it stays as it is
    assert engine.one_row(basket.aggregate(n=basket.count()))["n"] >= 1


def test_online_retail_refuses_float_customers_and_reads_after_a_cast(con):
    path = real("online-retail", "online_retail_2010-12_2011-12.parquet")
    columns = InteractionColumns(user="CustomerID", item="StockCode", time="InvoiceDate", session="InvoiceNo")
    with pytest.raises(DataError, match="'CustomerID' has type float64"):
        read_interactions(path, columns, connection=con)
    raw = pq.read_table(path)
    ids = raw["CustomerID"].cast(pa.int64())
    mended = raw.set_column(raw.schema.get_field_index("CustomerID"), "CustomerID", ids)
    log = read_interactions(mended, columns, max_bad_share=0.3, connection=con)
    assert log.notes["rows"] == 541_909
    assert log.notes["bad_by_reason"] == {"missing user id": ids.null_count}
    assert engine.one_row(log.table.aggregate(n=log.table.user_id.nunique())) == {"n": 4_372}


def test_movielens_times_are_found_to_be_seconds(con):
    columns = InteractionColumns(item="movie_id", rating="rating")
    log = read_interactions(real("ml-1m", "ratings.parquet"), columns, connection=con)
    assert log.notes["rows"] == 1_000_209
    assert "epoch seconds, detected" in log.notes["timestamps"]
    first = engine.one_row(log.table.aggregate(t=log.table.timestamp.min()))["t"]
    assert np.datetime64(first, "us") == np.datetime64("2000-04-25T23:05:32")


def test_lastfm_tag_dates_before_1990_are_quarantined(con):
    raw = pl.read_csv(real("lastfm-hetrec", "user_taggedartists.dat"), separator="\t")
    dated = raw.with_columns(pl.date("year", "month", "day").alias("date"))
    columns = InteractionColumns(user="userID", item="artistID", time="date")
    log = read_interactions(dated, columns, connection=con)
    old = raw.filter(pl.col("year") < 1990)
    assert log.notes["rows"] == 186_479
    assert 0 < old.height == log.notes["bad_by_reason"]["impossible time"]
    assert {row["reason"] for row in bad(log)} == {"impossible time"}


def test_remote_files_are_refused_with_advice():
    with pytest.raises(
        DataError, match=r"cannot read s3a://shop/clicks: files are read from disks alone.*mount what s3a:// leads to"
    ):
        read_interactions("s3a://shop/clicks")
