"""Inputs of every kind on Spark: the same rows at the same places as on DuckDB, and the same rows set aside."""

import json
import uuid
from datetime import datetime
from pathlib import Path

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data import engine
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.sources import PLACE, open_source
from prismrec.errors import DataError

CON = engine.connect(threads=1)
TEXT = 'user_id,item_id,timestamp,note\n1,a,2020-01-01 10:00:00,x\n1,b,2020-01-01 10:01:00\n2,a,never,"q,r"\n2,c,,y\n'


def rows(source, backend):
    return engine.arrow(open_source(source, backend).table.order_by(PLACE)).to_pylist()


def bad(source, backend, **options):
    log = read_interactions(source, max_bad_share=0.9, connection=backend, **options)
    found = sorted(engine.arrow(log.quarantined).to_pylist(), key=lambda row: row["source_row"])
    good = sorted(engine.arrow(log.table).to_pylist(), key=lambda row: row["source_row"])
    return log.notes, found, good


def test_malformed_lines_of_text_are_the_same(spark, tmp_path):
    (tmp_path / "log.csv").write_text(TEXT)
    found, expected = (bad(tmp_path / "log.csv", backend) for backend in (spark, CON))
    assert found == expected
    assert found[0]["bad_by_reason"] == {"malformed line: missing columns": 1, "missing time": 1, "unparsable time": 1}


def test_parquet_is_read_by_spark_itself(spark, tmp_path):
    table = pa.table({"user_id": [1, None], "item_id": ["a", "b"], "timestamp": [1_577_836_800, -1], "x": [0.5, None]})
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(table, tmp_path / name)
    opened = open_source(tmp_path, spark)
    assert "parquet" in opened.table.get_name()
    assert rows(tmp_path, spark) == rows(tmp_path, CON)
    found, expected = (bad(tmp_path, backend) for backend in (spark, CON))
    assert [{**row, "row": json.loads(row["row"])} for row in found[1]] == [
        {**row, "row": json.loads(row["row"])} for row in expected[1]
    ]
    assert (found[0], found[2]) == (expected[0], expected[2])
    assert [Path(row["file"]).name for row in found[1]] == ["a.parquet", "b.parquet"]


def test_a_path_may_go_up_and_through_links(spark, tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    pq.write_table(pa.table({"n": [3, 1, 2]}), tmp_path / "far" / "table.parquet")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    up = tmp_path / "link" / ".." / "table.parquet"  # to the system, the folder above what the link leads to
    assert rows(up, spark) == rows(up, CON)
    assert [row["n"] for row in rows(up, spark)] == [3, 1, 2]


def test_types_that_spark_lacks_come_through_duckdb(spark, tmp_path):
    ids = [uuid.UUID(int=n << 120).bytes for n in (255, 1)]
    table = pa.table({"item_id": pa.array(ids, pa.uuid()), "at": pa.array([1_500, 2_000], pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "items.parquet")
    assert rows(tmp_path / "items.parquet", spark) == [
        {"item_id": str(uuid.UUID(bytes=ids[n])), "at": datetime(1970, 1, 1, 0, 0, 0, at), PLACE: n + 1}
        for n, at in ((0, 2), (1, 2))
    ]
    assert rows(tmp_path / "items.parquet", CON)[0]["at"] == pd.Timestamp(1_500, unit="ns")
    assert read_items(tmp_path / "items.parquet", connection=spark).table.item_id.type().is_uuid()


def test_tables_in_databases_and_in_memory_are_copied_once(spark, tmp_path):
    with duckdb.connect(str(tmp_path / "shop.db")) as database:
        database.execute("CREATE TABLE items AS SELECT * FROM (VALUES (1, 'x'), (2, NULL)) AS t(item_id, kind)")
    address = f"duckdb:///{tmp_path}/shop.db::items"
    frame = pd.DataFrame({"item_id": [1, 2], "kind": ["x", None]})
    for source in (address, frame, pa.table({"item_id": [1, 2], "kind": ["x", None]})):
        assert rows(source, spark) == rows(source, CON)


def test_tables_of_ibis_come_from_any_engine(spark):
    table = pa.table({"item_id": [3, 1, 2]})
    of_duckdb = engine.register(CON, table).mutate(kind=ibis.literal("x"))
    assert [row["item_id"] for row in rows(of_duckdb, spark)] == [3, 1, 2]
    of_spark = engine.register(spark, table)
    assert [row["item_id"] for row in rows(of_spark, spark)] == [3, 1, 2]
    other = ibis.pyspark.connect(engine.backend_of(of_spark)._session.newSession())
    other._session.range(3).createOrReplaceTempView("numbers")
    assert sorted(row["id"] for row in rows(other.table("numbers"), spark)) == [0, 1, 2]


def test_what_is_wrong_with_a_file_is_told_in_the_same_words(spark, tmp_path):
    (tmp_path / "no.parquet").write_text("no")
    for backend in (spark, CON):
        with pytest.raises(DataError, match=r"cannot read .*no.parquet as Parquet"):
            open_source(tmp_path / "no.parquet", backend)
        with pytest.raises(DataError, match=r"nothing to read at .*gone"):
            open_source(tmp_path / "gone", backend)


def test_folders_that_spell_a_column(spark, tmp_path):
    for folder in ("day=2020-01-01/shop=a%20b", "day=__HIVE_DEFAULT_PARTITION__/shop=ü+ 1", "day=5/shop="):
        (tmp_path / folder).mkdir(parents=True)
        pq.write_table(pa.table({"item_id": [1, 2]}), tmp_path / folder / "part-0.parquet")
    assert rows(tmp_path, spark) == rows(tmp_path, CON)
    assert {(row["day"], row["shop"]) for row in rows(tmp_path, spark)} == {
        ("2020-01-01", "a b"), (None, "ü+ 1"), ("5", ""),
    }  # fmt: skip
    pq.write_table(pa.table({"item_id": [1], "day": [2]}), tmp_path / "day=5" / "shop=" / "part-0.parquet")
    with pytest.raises(DataError, match=r"has a column 'day', which its folder names too: rename one of them"):
        open_source(tmp_path / "day=5", spark)
