"""Tables in Arrow files: the same batches however they came, mapped where they are read, rows found without copies."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data import arrow_files
from prismrec.data.arrow_files import TableRows, map_table, write_table
from prismrec.errors import ArtifactError

TABLE = pa.table({
    "name": ["a", "bc", None, "", "dé", "f", "g"],
    "price": [0.5, None, 1.0, 2.0, 3.0, 4.0, 5.0],
    "tags": [["x"], [], None, ["y", "z"], ["x"], [], ["w"]],
})  # fmt: skip


@pytest.fixture
def three_rows(monkeypatch):
    monkeypatch.setattr(arrow_files, "BATCH_ROWS", 3)


def stream(table, rows_each):
    """The table as a reader that gives so many rows at a time."""
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=rows_each))


@pytest.mark.usefixtures("three_rows")
@pytest.mark.parametrize("rows_each", [1, 2, 3, 5, 7])
def test_batches_on_disk_are_alike_however_the_table_came(tmp_path, rows_each):
    write_table(tmp_path / "stream.arrow", stream(TABLE, rows_each))
    write_table(tmp_path / "chunks.arrow", pa.Table.from_batches(TABLE.to_batches(max_chunksize=rows_each)))
    for name in ("stream", "chunks"):
        found = map_table(tmp_path / f"{name}.arrow")
        assert found.equals(TABLE)
        assert [batch.num_rows for batch in found.to_batches()] == [3, 3, 1]


@pytest.mark.usefixtures("three_rows")
def test_what_was_mapped_is_written_again_as_it_was(tmp_path):
    write_table(tmp_path / "one.arrow", TABLE)
    write_table(tmp_path / "two.arrow", map_table(tmp_path / "one.arrow"))
    assert (tmp_path / "two.arrow").read_bytes() == (tmp_path / "one.arrow").read_bytes()


def test_a_mapped_table_takes_no_memory_of_its_own(tmp_path):
    write_table(tmp_path / "t.arrow", pa.table({"name": [f"article number {i}" for i in range(20_000)]}))
    before = pa.total_allocated_bytes()
    found = map_table(tmp_path / "t.arrow")
    assert pa.total_allocated_bytes() == before
    assert found["name"][7].as_py() == "article number 7"


@pytest.mark.usefixtures("three_rows")
def test_parquet_batches_with_dictionaries_of_their_own_become_values(tmp_path):
    coded = [pa.array(words).dictionary_encode() for words in (["a", "b"], ["c", "a"], ["d"])]
    batches = [pa.record_batch({"word": words}) for words in coded]
    write_table(tmp_path / "t.arrow", pa.RecordBatchReader.from_batches(batches[0].schema, batches))
    assert map_table(tmp_path / "t.arrow").equals(pa.table({"word": ["a", "b", "c", "a", "d"]}))


@pytest.mark.usefixtures("three_rows")
def test_a_table_in_memory_keeps_its_dictionaries(tmp_path):
    words = pa.chunked_array([pa.array(words).dictionary_encode() for words in (["a", "b"], ["c", "a"], ["d"])])
    write_table(tmp_path / "t.arrow", pa.table({"word": words}))
    found = map_table(tmp_path / "t.arrow")["word"]
    assert pa.types.is_dictionary(found.type)
    assert found.to_pylist() == ["a", "b", "c", "a", "d"]


def test_empty_tables_keep_their_columns(tmp_path):
    for table in (TABLE.slice(0, 0), stream(TABLE.slice(0, 0), 3)):
        write_table(tmp_path / "t.arrow", table)
        assert map_table(tmp_path / "t.arrow").schema == TABLE.schema


def test_a_parquet_file_is_streamed(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    with pq.ParquetFile(tmp_path / "t.parquet") as file:
        batches = file.iter_batches(2)
        write_table(tmp_path / "t.arrow", pa.RecordBatchReader.from_batches(file.schema_arrow, batches))
    assert map_table(tmp_path / "t.arrow").equals(TABLE)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"cannot read the table .*t.arrow"):
        map_table(tmp_path / "t.arrow")
    for content in (b"", b"ARROW1"):
        (tmp_path / "t.arrow").write_bytes(content)
        with pytest.raises(ArtifactError, match=r"cannot read the table .*t.arrow"):
            map_table(tmp_path / "t.arrow")


@given(st.lists(st.integers(0, len(TABLE) - 1), max_size=12), st.integers(1, 8))
def test_rows_come_in_the_order_asked_for_as_arrow_takes_them(rows, rows_each):
    table = pa.Table.from_batches(TABLE.to_batches(max_chunksize=rows_each))
    assert TableRows(table).take(rows) == TABLE.take(pa.array(rows, pa.int64())).to_pylist()


def test_rows_of_a_table_in_pieces_are_found_without_laying_it_together():
    n = 2_000_000
    names = pa.array(np.arange(n)).cast(pa.string())
    rows = TableRows(pa.Table.from_batches(pa.table({"name": names}).to_batches(max_chunksize=n // 4)))
    wanted = np.arange(0, n, n // 20)
    start = time.perf_counter()
    for _ in range(20):
        found = rows.take(wanted)
    seconds_each = (time.perf_counter() - start) / 20
    assert [row["name"] for row in found] == [str(i) for i in wanted]
    assert seconds_each < 4e-3, "Arrow's own take copies the column first: some 10 ms here, and growing with the table"
