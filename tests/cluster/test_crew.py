"""A crew of one, and how rows and sequences are shared out among several."""

import numpy as np
import pytest

from prismrec.cluster.crew import ALONE, rows_of, share_of


def test_alone_is_a_crew_of_one():
    values = np.array([1.5, 2.0])
    assert (ALONE.rank, ALONE.size) == (0, 1)
    assert ALONE.total(values) is values
    assert ALONE.most(7) == 7
    assert ALONE.first("go on") == "go on"
    assert ALONE.gather("here") == ["here"]
    ALONE.wait()


@pytest.mark.parametrize("n_rows", [0, 1, 3, 10, 12])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_row_belongs_to_one_process(n_rows, size):
    shares = [rows_of(n_rows, rank, size) for rank in range(size)]
    assert [row for begin, end in shares for row in range(begin, end)] == list(range(n_rows))
    assert max(end - begin for begin, end in shares) == -(-n_rows // size)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_sequence_is_read_by_one_process_and_all_read_about_as_much(size):
    lengths = np.random.default_rng(0).integers(0, 9, 500)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    shares = [share_of(starts, rank, size) for rank in range(size)]
    assert [row for begin, end in shares for row in range(begin, end)] == list(range(500))
    values = [starts[end] - starts[begin] for begin, end in shares]
    assert max(values) - min(values) <= 2 * lengths.max()


def test_few_long_sequences_are_shared_out_too():
    starts = np.array([0, 100, 101])
    assert [share_of(starts, rank, 3) for rank in range(3)] == [(0, 1), (1, 1), (1, 2)]
