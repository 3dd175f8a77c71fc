"""Fields between tabs, in whatever encoding a line is."""

import pytest

from prismrec.data.catalog.text_rows import integers_of, rows_of
from prismrec.errors import DataError


def test_every_line_is_decoded_on_its_own(tmp_path):
    (tmp_path / "a").write_bytes("id\tname\n1\tZoé\r\n".encode() + b'2\tBj\xf6rk "live"\n')
    assert rows_of(tmp_path / "a", 2, skip=1) == [["1", "Zoé"], ["2", 'Björk "live"']]


def test_a_row_with_other_fields_is_named_by_its_line(tmp_path):
    (tmp_path / "a").write_text("id\tname\n1\n")
    with pytest.raises(DataError, match=r"a, row 2: expected 2 fields separated by tabs, got 1"):
        rows_of(tmp_path / "a", 2, skip=1)


def test_numbers_must_be_whole(tmp_path):
    (tmp_path / "a").write_text("1\t2\n3\tx\n")
    with pytest.raises(DataError, match="expected whole numbers separated by tabs: invalid literal"):
        integers_of(tmp_path / "a", 2)
    (tmp_path / "a").write_text("1\t2\n")
    assert integers_of(tmp_path / "a", 2) == [[1, 2]]
