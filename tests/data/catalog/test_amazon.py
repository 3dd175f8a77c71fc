"""Pickled sequences: plain lists come in, anything that could run code does not."""

import pickle
from collections import OrderedDict

import pytest

from prismrec.data.catalog import amazon
from prismrec.errors import DataError


def write(path, value):
    path.write_bytes(pickle.dumps(value, protocol=2))
    return path


class Harmful:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_sequences_become_clicks_in_order_with_original_ids(tmp_path):
    write(tmp_path / "CDs_item_sequences.pkl", [[1, 0, 1], [2]])
    write(tmp_path / "CDs_user_mapping.pkl", ["u0", "u1"])
    write(tmp_path / "CDs_item_mapping.pkl", ["i0", "i1", "i2"])
    tables = amazon.read(tmp_path)
    assert [tuple(row.values()) for row in tables.clicks.to_pylist()] == [
        ("u0", "i1", 0), ("u0", "i0", 1), ("u0", "i1", 2), ("u1", "i2", 0),
    ]  # fmt: skip
    assert tables.items["item_id"].to_pylist() == ["i0", "i1", "i2"]


def test_without_mappings_the_numbers_are_the_ids(tmp_path):
    write(tmp_path / "CDs_item_sequences.pkl", [[1], [0]])
    assert amazon.read(tmp_path).clicks["item_id"].to_pylist() == [1, 0]


def test_a_mapping_that_is_too_short_is_an_error(tmp_path):
    write(tmp_path / "CDs_item_sequences.pkl", [[3]])
    write(tmp_path / "CDs_item_mapping.pkl", ["i0"])
    with pytest.raises(DataError, match="expected a list of at least 4 ids"):
        amazon.read(tmp_path)


@pytest.mark.parametrize("value", [{"a": [1]}, [[1], "x"], [[-1]], [[1.5]], [[True]]], ids=repr)
def test_something_else_than_lists_of_numbers_is_an_error(tmp_path, value):
    write(tmp_path / "CDs_item_sequences.pkl", value)
    with pytest.raises(DataError, match="expected a list of lists of item numbers"):
        amazon.read(tmp_path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    path = write(tmp_path / "CDs_item_sequences.pkl", [Harmful()])
    with pytest.raises(DataError, match=r"it asks for (builtins|__builtin__)\.print, which plain data never does"):
        amazon.read(tmp_path)
    assert "never" not in capsys.readouterr().out
    with pytest.raises(DataError, match=r"it asks for collections\.OrderedDict"):
        amazon.load_plain(write(path, OrderedDict(a=1)))


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([[1, 2, 3]])[:-4]], ids=["empty", "text", "cut"])
def test_a_damaged_file_is_a_clear_error(tmp_path, content):
    (tmp_path / "CDs_item_sequences.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*CDs_item_sequences\.pkl as plain lists"):
        amazon.read(tmp_path)


def test_text_of_python_2_is_read_as_latin_1(tmp_path):
    path = tmp_path / "old.pkl"
    path.write_bytes(b"(lp0\nS'caf\\xe9'\np1\na.")  # protocol 0, a byte string
    assert amazon.load_plain(path) == ["café"]
