"""The door to the engine: data sets of several files, with an order and places that cross the files."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.errors import DataError

CON = engine.connect(threads=1)


def numbers(values):
    return engine.register(CON, pa.table({"n": pa.array(values, pa.int64()), "text": [str(v) for v in values]}))


def test_a_data_set_has_as_many_files_as_asked_of_about_equal_size(tmp_path):
    engine.write_dataset(numbers(range(10)), tmp_path / "set", 3)
    files = sorted((tmp_path / "set").iterdir())
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert [engine.parquet_rows(file) for file in files] == [3, 3, 4]


def test_files_beyond_the_number_of_rows_are_empty(tmp_path):
    engine.write_dataset(numbers([1]), tmp_path, 3)
    assert sum(engine.parquet_rows(file) for file in tmp_path.iterdir()) == 1
    assert engine.arrow(engine.read_dataset(CON, tmp_path)).to_pydict() == {"n": [1], "text": ["1"]}


@settings(max_examples=10)
@given(values=st.lists(st.integers(-5, 5), max_size=30), files=st.integers(1, 4))
def test_rows_are_ordered_from_file_to_file_and_numbered_over_all(tmp_path_factory, values, files):
    folder = tmp_path_factory.mktemp("set")
    engine.write_dataset(numbers(values), folder, files, order_by=("n",))
    inside = [n for file in sorted(folder.iterdir()) for n in pq.read_table(file)["n"].to_pylist()]
    assert inside == sorted(values)
    placed = engine.arrow(engine.numbered_dataset(CON, folder, "place"))
    assert sorted(placed["place"].to_pylist()) == list(range(len(values)))
    assert all(
        inside[place] == n for place, n in zip(placed["place"].to_pylist(), placed["n"].to_pylist(), strict=True)
    )
    assert placed.schema.field("place").type == pa.int64()


def test_a_folder_takes_one_data_set(tmp_path):
    engine.write_dataset(numbers([1]), tmp_path, 1)
    with pytest.raises(DataError, match=r"holds a data set already: name another folder"):
        engine.write_dataset(numbers([1]), tmp_path, 1)


def test_a_data_set_has_a_file(tmp_path):
    with pytest.raises(DataError, match=r"at least one file, got files=0"):
        engine.write_dataset(numbers([1]), tmp_path, 0)


def test_a_folder_without_a_data_set_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"there is no data set in .*: expected files part-\*\.parquet"):
        engine.read_dataset(CON, tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "part-00000.parquet").write_text("no")
    with pytest.raises(DataError, match=r"cannot read .*part-00000.parquet as Parquet"):
        engine.numbered_dataset(CON, tmp_path, "place")
