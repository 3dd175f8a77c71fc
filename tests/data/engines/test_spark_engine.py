"""Spark behind the door: what goes in comes out, ordered, numbered, typed, and removed when it is dropped."""

import uuid

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data import engine
from prismrec.data.engines import spark_engine
from prismrec.data.engines.spark_session import running
from prismrec.errors import DataError

CON = engine.connect(threads=1)


def numbers(backend, values):
    return engine.register(backend, pa.table({"n": pa.array(values, pa.int64()), "text": [str(v) for v in values]}))


def test_a_table_comes_out_as_it_went_in_with_the_types_that_duckdb_gives(spark):
    table = pa.table(
        {
            "small": pa.array([1, None, 255], pa.uint8()),
            "large": pa.array([1, 2**64 - 1, None], pa.uint64()),
            "text": ["a'`\"\\", None, "ü\t"],
            "flag": [True, None, False],
            "day": pa.array([0, 1, None], pa.date32()),
            "moment": pa.array([0, 1_500_000, None], pa.timestamp("us")),
            "zoned": pa.array([0, 1_500_000, None], pa.timestamp("us", "UTC")),
            "list": [[1, 2], [], None],
            "half": pa.array([0.5, None, 2], pa.float32()),
            "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
            "odd `name`, (with) = signs": [1, 2, 3],
        }
    )
    found, expected = (engine.arrow(engine.register(backend, table).order_by("day")) for backend in (spark, CON))
    assert found.to_pylist() == expected.to_pylist()
    assert [(f.name, f.type) for f in found.schema if f.name != "list"] == [
        (f.name, f.type) for f in expected.schema if f.name != "list"
    ]


def test_batches_follow_the_order_and_the_size(spark):
    values = np.random.default_rng(0).permutation(1000)
    found = list(engine.batches(numbers(spark, values).order_by("n"), 100))
    assert pa.Table.from_batches(found)["n"].to_pylist() == list(range(1000))
    assert max(len(batch) for batch in found) <= 100


def test_what_is_fetched_leaves_nothing_behind(spark):
    table = numbers(spark, range(5))
    before = set(running().work_folder.iterdir())
    engine.arrow(table)
    list(engine.batches(table))
    with engine.held(table), engine.held_in_order(table, "place"):
        assert len(set(running().work_folder.iterdir()) - before) == 2
    assert set(running().work_folder.iterdir()) == before


def test_a_stored_table_is_evaluated_once(spark):
    kept = engine.stored(numbers(spark, range(50)).mutate(chance=ibis.random()))
    assert engine.arrow(kept.order_by("n")).equals(engine.arrow(kept.order_by("n")))
    engine.drop(kept)
    with pytest.raises(DataError, match=r"TABLE_OR_VIEW_NOT_FOUND"):
        engine.arrow(kept)


def test_rows_are_numbered_in_order_without_a_window_over_all(spark):
    values = np.random.default_rng(1).permutation(500).tolist()
    with engine.held_in_order(numbers(spark, values), "place", ("n",), first=7) as placed:
        assert engine.one_row(placed.count().name("n").as_table())["n"] == 500
        assert all(row["place"] == row["n"] + 7 for row in engine.arrow(placed).to_pylist())


def test_a_data_set_has_the_files_asked_for_and_can_be_read_by_both_engines(spark, tmp_path):
    values = np.random.default_rng(2).permutation(400).tolist()
    engine.write_dataset(numbers(spark, values), tmp_path / "set", 3, order_by=("n",))
    files = sorted((tmp_path / "set").iterdir())
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert [n for file in files for n in pq.ParquetFile(file).read()["n"].to_pylist()] == list(range(400))
    for backend in (spark, CON):
        placed = engine.arrow(engine.numbered_dataset(backend, tmp_path / "set", "place").order_by("place"))
        assert placed["n"].to_pylist() == placed["place"].to_pylist() == list(range(400))


def test_what_duckdb_wrote_of_types_that_spark_lacks_is_read_all_the_same(spark, tmp_path):
    ids, large = [uuid.UUID(int=n << 120) for n in (255, 1)], [2**64 - 1, 1]
    table = pa.table({"id": pa.array([i.bytes for i in ids], pa.uuid()), "n": pa.array(large, pa.uint64())})
    engine.write_dataset(engine.register(CON, table), tmp_path, 2, order_by=("n",))
    rows = engine.arrow(engine.numbered_dataset(spark, tmp_path, "place").order_by("place")).to_pylist()
    assert rows == [{"id": str(ids[1]), "n": 1, "place": 0}, {"id": str(ids[0]), "n": 2**64 - 1, "place": 1}]


def test_files_without_rows_are_written_too(spark, tmp_path):
    engine.write_dataset(numbers(spark, [3]), tmp_path, 4, order_by=("n",))
    assert [engine.parquet_rows(file) for file in sorted(tmp_path.iterdir())].count(0) == 3
    assert engine.arrow(engine.read_dataset(spark, tmp_path)).to_pydict() == {"n": [3], "text": ["3"]}


def test_files_with_odd_names_and_several_row_groups_keep_their_places(spark, tmp_path):
    folder = tmp_path / "a b%20é,[x]{1}*+#?"
    folder.mkdir()
    paths = [folder / "2 z.parquet", folder / "1%a=b.parquet"]
    pq.write_table(pa.table({"n": range(5)}), paths[0], row_group_size=2)
    pq.write_table(pa.table({"n": range(5, 9)}), paths[1], row_group_size=1)
    for files in (paths, paths[:1]):
        placed = engine.arrow(engine.read_parquet(spark, files, "place", 10))
        assert all(row["place"] == row["n"] + 10 for row in placed.to_pylist())
        assert placed.num_rows == sum(map(engine.parquet_rows, files))


def test_files_of_other_columns_are_refused_by_name(spark, tmp_path):
    pq.write_table(pa.table({"n": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b.parquet has other columns than .*a.parquet: n string; not n int64"):
        engine.read_parquet(spark, [tmp_path / "a.parquet", tmp_path / "b.parquet"])


def test_a_type_that_spark_lacks_is_refused_by_name(spark):
    table = pa.table({"at": pa.array([1], pa.time64("us"))})
    with pytest.raises(DataError, match=r"column 'at' has type time.*, which Spark cannot hold: cast it"):
        engine.register(spark, table)
    with pytest.raises(DataError, match=r"column 'at' has type time, which Spark cannot hold: cast it"):
        engine.moved(engine.register(CON, table), spark)


def test_one_file_of_all_rows(spark, tmp_path):
    engine.write_parquet(numbers(spark, range(3)), tmp_path / "one.parquet")
    assert sorted(pq.read_table(tmp_path / "one.parquet")["n"].to_pylist()) == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["one.parquet"]


def test_errors_of_spark_are_told_in_one_line(spark):
    table = numbers(spark, [2**62]).mutate(n=ibis._.n * 4)
    with pytest.raises(DataError, match=r"^the engine could not evaluate the tables: \[ARITHMETIC_OVERFLOW\][^\n]*$"):
        engine.arrow(table)


def test_files_that_cannot_be_opened_are_told_in_one_line(spark, monkeypatch):
    monkeypatch.setattr(spark_engine, "_address", lambda path: "nowhere://x")
    with pytest.raises(DataError, match=r"^the engine could not evaluate the tables: [^\n]*nowhere[^\n]*$"):
        numbers(spark, [1])
