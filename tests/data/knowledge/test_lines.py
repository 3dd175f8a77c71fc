"""Text by lines: rows are numbered as an editor numbers them, whatever the blocks and line ends are."""

import gzip

import pytest

from prismrec.data.knowledge import lines as lines_module
from prismrec.data.knowledge.lines import BadRow, Reading, first_line, read_lines
from prismrec.errors import DataError


def all_lines(path, reading=None, **options):
    return [
        pair
        for block in read_lines(path, Reading() if reading is None else reading, **options)
        for pair in zip(block.rows.to_pylist(), block.texts.to_pylist(), strict=True)
    ]


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path):
    (tmp_path / "a").write_bytes(b"one\r\n\n   \ntwo\nthree")
    reading = Reading()
    assert all_lines(tmp_path / "a", reading) == [(1, "one"), (4, "two"), (5, "three")]
    assert reading.n_rows == 3


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_blocks_change_nothing(tmp_path, monkeypatch, size):
    text = "".join(f"line {i}ä\n" for i in range(20)) + "last"
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", size)
    assert all_lines(tmp_path / "a.txt.gz") == [(i + 1, line) for i, line in enumerate(text.split("\n"))]


def test_lines_at_the_top_can_be_skipped(tmp_path):
    (tmp_path / "a").write_text("2\n0 1 2\n3 4 5\n")
    assert all_lines(tmp_path / "a", skip=1) == [(2, "0 1 2"), (3, "3 4 5")]


def test_a_line_that_is_no_utf8_is_set_aside_and_the_others_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"good\nb\xe9ad\nfine\n")
    reading = Reading()
    assert all_lines(tmp_path / "a", reading) == [(1, "good"), (3, "fine")]
    assert reading.bad == [BadRow("malformed line: not UTF-8", str(tmp_path / "a"), 2, r"b'b\xe9ad'")]
    assert reading.n_rows == 3


def test_a_mark_of_the_byte_order_is_no_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\n")
    assert all_lines(tmp_path / "a") == [(1, "one")]


def test_the_first_line_that_holds_something(tmp_path):
    (tmp_path / "a").write_text("\n \nthird\n")
    assert first_line(tmp_path / "a") == "third"
    (tmp_path / "b").write_text("\n")
    assert first_line(tmp_path / "b") == ""


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*nowhere"):
        all_lines(tmp_path / "nowhere")


def reading_of(n_rows, *bad):
    return Reading(n_rows, list(bad))


def test_too_many_bad_rows_are_an_error_that_shows_the_first():
    bad = [
        BadRow("no name", "kg.tsv", 7, "a\tb"),
        BadRow("malformed", "kg.tsv", 9, "c"),
        BadRow("malformed", "x", 1, ""),
    ]
    reading_of(60, *bad).check(0.05)
    message = (
        r"3 of 59 rows of the knowledge graph are bad \(5.1%, max_bad_share is 5.0%\): 2 malformed, 1 no name. "
        r"First: kg.tsv row 7: no name: a\tb. Mend"
    )
    with pytest.raises(DataError, match=message):
        reading_of(59, *bad).check(0.05)


def test_bad_rows_are_a_table_of_quarantine():
    table = reading_of(2, BadRow("r", "f", None, "t"), BadRow("s", "f", 3, "u")).table()
    assert table.to_pylist() == [
        {"reason": "r", "file": "f", "source_row": None, "row": "t"},
        {"reason": "s", "file": "f", "source_row": 3, "row": "u"},
    ]
