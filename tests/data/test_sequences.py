import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.errors import ArtifactError

ROWS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6), max_size=8)


@given(ROWS)
def test_lists_come_back(rows):
    sequences = Sequences.from_lists(rows)
    assert sequences.to_lists() == rows
    assert len(sequences) == len(rows)
    assert [row.tolist() for row in sequences] == rows
    assert sequences.lengths.tolist() == [len(row) for row in rows]
    assert sequences.values.dtype == np.int32
    assert sequences.offsets.dtype == np.int64


@given(ROWS.filter(len), st.data())
def test_take_is_indexing_row_by_row(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    assert Sequences.from_lists(rows).take(chosen).to_lists() == [rows[i] for i in chosen]


@given(ROWS, st.data())
def test_slice_is_a_view_of_the_rows(rows, data):
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    sequences = Sequences.from_lists(rows)
    part = sequences.slice(start, stop)
    assert part.to_lists() == rows[start:stop]
    assert part.offsets[0] == 0
    assert len(part.values) == 0 or np.shares_memory(part.values, sequences.values)
    assert part.take(range(len(part))).to_lists() == rows[start:stop]


@given(ROWS)
def test_ragged_positions_are_the_ranges_in_turn(rows):
    starts, lengths = np.array([len(r) * 3 for r in rows], np.int64), np.array([len(r) for r in rows], np.int64)
    expected = [i for s, n in zip(starts.tolist(), lengths.tolist(), strict=True) for i in range(s, s + n)]
    assert ragged_positions(starts, lengths).tolist() == expected


@given(ROWS)
def test_saved_rows_load_as_they_were(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("sequences")
    Sequences.from_lists(rows).save(folder, "item")
    loaded = Sequences.load(folder, "item")
    assert loaded.to_lists() == rows
    assert loaded.values.dtype == np.int32


def test_rows_count_from_the_end_and_not_beyond_it():
    sequences = Sequences.from_lists([[1, 2], [], [3]])
    assert sequences[-1].tolist() == [3]
    assert sequences[-3].tolist() == [1, 2]
    for index in (3, -4):
        with pytest.raises(IndexError, match="out of range"):
            sequences[index]


def test_loaded_rows_are_memory_mapped(tmp_path):
    Sequences.from_lists([[1, 2], [3]]).save(tmp_path, "item")
    assert isinstance(Sequences.load(tmp_path, "item").values.base, np.memmap)


def test_lengths_must_add_up():
    with pytest.raises(ValueError, match="row lengths add up to 3, but there are 2 values"):
        Sequences.from_lengths([1, 2], [1, 2])


def test_what_is_no_32_bit_integer_is_refused():
    with pytest.raises(ValueError, match=r"indices must fit into 32 bits, got values from 0 to 2147483648"):
        Sequences.from_lengths(np.array([0, 2**31]), [2])
    with pytest.raises(ValueError, match="indices must be integers, got float64"):
        Sequences.from_lists([[1], [1.5]])


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"cannot read the sequences 'item' in .*No such file"):
        Sequences.load(tmp_path, "item")
    Sequences.from_lists([[1, 2], [3]]).save(tmp_path, "item")
    Sequences.from_lists([[1, 2], [3, 4]]).save(tmp_path, "other")
    (tmp_path / "other.values.npy").replace(tmp_path / "item.values.npy")
    with pytest.raises(ArtifactError, match=r"'item' in .* damaged: offsets and values do not belong together"):
        Sequences.load(tmp_path, "item")
    for content in (b"", b"\x93NUMPY", (tmp_path / "item.values.npy").read_bytes()[:-2]):
        (tmp_path / "item.values.npy").write_bytes(content)
        with pytest.raises(ArtifactError, match="cannot read the sequences 'item'"):
            Sequences.load(tmp_path, "item")


def test_rows_follow_rows_empty_ones_too():
    first, second = Sequences.from_lists([[1, 2], []]), Sequences.from_lists([[], [3]])
    assert first.followed_by(second).to_lists() == [[1, 2], [], [], [3]]
    assert Sequences.from_lists([]).followed_by(first).to_lists() == [[1, 2], []]
