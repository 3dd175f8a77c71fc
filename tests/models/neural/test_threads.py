"""Threads of torch round compiled kernels."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from prismrec.models.neural.threads import threads_kept  # noqa: E402

FIRST_KERNEL = """
import numpy as np, torch
from prismrec.data.sequences import Sequences
from prismrec.evaluation.ranking import rank
from prismrec.models.neural.threads import threads_kept
torch.set_num_threads(1)
torch.get_num_threads()
none = Sequences.from_lists([[], []])
with threads_kept():
    rank(np.ones((2, 3), np.float32), none, none, 1, np.arange(2))
print(torch.get_num_threads())
"""


@pytest.fixture(autouse=True)
def as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_are_those_of_before():
    torch.set_num_threads(1)
    with threads_kept():
        torch.set_num_threads(2)
    assert torch.get_num_threads() == 1


def test_threads_are_those_of_before_after_an_error_too():
    @threads_kept()
    def failing():
        torch.set_num_threads(2)
        raise KeyError

    torch.set_num_threads(1)
    with pytest.raises(KeyError):
        failing()
    assert torch.get_num_threads() == 1


def test_the_first_compiled_kernel_of_a_process_changes_nothing():
    told = subprocess.run([sys.executable, "-c", FIRST_KERNEL], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1"]
