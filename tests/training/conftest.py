"""The small model of `toy.py` for every test of the training stage, and crews of threads."""

import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prismrec.errors import PrismRecError

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="session")
def toy():
    """The module `toy.py`, which is also a program: the tests are no package, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location("prismrec_training_toy", TOY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def in_crew():
    """`in_crew(n, do)`: what `do(crew)` gives in each of n threads that form a crew; an error is given, not raised."""
    return _in_crew


def _in_crew(n, do):
    with ThreadPoolExecutor(n) as pool:
        meeting = _Meeting(n)
        futures = [pool.submit(_given, do, ThreadCrew(rank, n, meeting)) for rank in range(n)]
        return [future.result() for future in futures]


def _given(do, crew):
    try:
        return do(crew)
    except PrismRecError as error:
        return error


class _Meeting:
    def __init__(self, n):
        self.barrier = threading.Barrier(n, timeout=30)
        self.said = [None] * n


class ThreadCrew:
    """`Crew` of threads of this process."""

    def __init__(self, rank, size, meeting):
        self.rank, self.size, self._meeting = rank, size, meeting

    def gather(self, value):
        self._meeting.said[self.rank] = value
        self._meeting.barrier.wait()
        said = list(self._meeting.said)
        self._meeting.barrier.wait()
        return said

    def total(self, values):
        return sum(self.gather(values))

    def most(self, value):
        return max(self.gather(value))

    def first(self, value):
        return self.gather(value)[0]

    def wait(self):
        self.gather(0)
