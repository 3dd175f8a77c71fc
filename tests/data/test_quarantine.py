"""Rows part by the first reason that holds, keep their file and place, and are written whole."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prismrec.data import engine
from prismrec.data.quarantine import split, write_quarantine
from prismrec.data.sources import open_source
from prismrec.errors import DataError

TABLE = pa.table({"n": [1, 2, 3, 4, 5], "when": ["a", "b", 'c"', None, "e"]})


@pytest.fixture(scope="module")
def source():
    return open_source(TABLE, engine.connect(threads=1))


def test_good_and_bad_rows_part_and_add_up(source):
    parted = split(source, [(source.table.n == 3, "three"), (source.table.n > 4, "large")], 0.5)
    assert engine.arrow(parted.good)["n"].to_pylist() == [1, 2, 4]
    assert engine.arrow(parted.bad.order_by("source_row")).to_pylist() == [
        {"reason": "three", "file": "the pyarrow table", "source_row": 3, "row": '{"n":3,"when":"c\\""}'},
        {"reason": "large", "file": "the pyarrow table", "source_row": 5, "row": '{"n":5,"when":"e"}'},
    ]
    assert (parted.n_rows, parted.n_bad, parted.by_reason) == (5, 2, {"large": 1, "three": 1})


def test_the_first_reason_wins(source):
    parted = split(source, [(source.table.n == 3, "first"), (source.table.n == 3, "second")], 0.5)
    assert parted.by_reason == {"first": 1}


def test_a_condition_that_is_unknown_is_no_reason(source):
    parted = split(source, [(source.table.when == "b", "b")], 0.5)
    assert engine.arrow(parted.good)["n"].to_pylist() == [1, 3, 4, 5]


def test_without_bad_rows_there_is_no_quarantine(source):
    parted = split(source, [(source.table.n > 9, "large")], 0.0)
    assert parted.bad is None
    assert parted.good is source.table


def test_the_share_is_a_bound_that_may_be_reached(source):
    reasons = [(source.table.n == 1, "one")]
    assert split(source, reasons, 0.2).n_bad == 1
    with pytest.raises(
        DataError, match=r"1 of 5 rows .* bad \(20\.0%, max_bad_share is 19\.0%\): 1 one\. First: .* row 1"
    ):
        split(source, reasons, 0.19)


def test_written_rows_come_back_and_a_failed_write_leaves_nothing(source, tmp_path, monkeypatch):
    bad = split(source, [(source.table.n == 1, "one")], 0.5).bad
    write_quarantine(bad, tmp_path / "q" / "rows.parquet")
    assert pq.read_table(tmp_path / "q" / "rows.parquet").to_pylist() == engine.arrow(bad).to_pylist()

    def broken(table, path):
        path.write_text("half")
        raise DataError("disk full")

    monkeypatch.setattr(engine, "write_parquet", broken)
    with pytest.raises(DataError, match="disk full"):
        write_quarantine(bad, tmp_path / "q" / "other.parquet")
    assert [p.name for p in (tmp_path / "q").iterdir()] == ["rows.parquet"]
