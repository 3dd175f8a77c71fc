"""Group commit: every caller gets its own result, from as few writes as there are turns."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from prismrec.serving.state.engine import StateError
from prismrec.serving.state.group_commit import GroupCommit


class Gate:
    """A write that can be held, and remembers what it wrote together."""

    def __init__(self, error=None):
        self.groups = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.error = error

    def write(self, works):
        self.groups.append(list(works))
        self.entered.set()
        assert self.open.wait(10)
        if self.error is not None:
            raise self.error
        return [work * 10 for work in works]


def queued(group, n):
    """Wait until n calls lie there and wait for their turn."""
    for _ in range(1000):
        if len(group._waiting) == n:
            return
        threading.Event().wait(0.005)
    pytest.fail(f"{len(group._waiting)} calls wait instead of {n}")


def test_lone_call_writes_at_once_and_alone():
    gate = Gate()
    gate.open.set()
    group = GroupCommit(gate.write)
    assert [group(1), group(2)] == [10, 20]
    assert gate.groups == [[1], [2]]


def test_calls_that_come_during_a_write_share_the_next_and_get_their_own_results():
    gate = Gate()
    group = GroupCommit(gate.write)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group, 0)
        assert gate.entered.wait(10)
        others = {work: pool.submit(group, work) for work in range(1, 9)}
        queued(group, 8)
        gate.open.set()
        assert first.result(10) == 0
        assert {work: call.result(10) for work, call in others.items()} == {work: 10 * work for work in range(1, 9)}
    assert [sorted(works) for works in gate.groups] == [[0], list(range(1, 9))]


def test_failed_transaction_fails_all_that_share_it_and_none_after_it():
    gate = Gate()
    group = GroupCommit(gate.write)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(group, 0)
        assert gate.entered.wait(10)
        others = [pool.submit(group, work) for work in (1, 2, 3)]
        queued(group, 3)
        gate.error = StateError("the disk is full")
        gate.open.set()
        for call in [first, *others]:
            with pytest.raises(StateError, match="the disk is full"):
                call.result(10)
    gate.error = None
    assert group(4) == 40


def test_interrupted_writer_leaves_nobody_waiting_or_wrongly_assured():
    gate = Gate(error=KeyboardInterrupt())
    group = GroupCommit(gate.write)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(group, 0)
        assert gate.entered.wait(10)
        gate.open.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(10)
        gate.error = None
        assert pool.submit(group, 1).result(10) == 10


def test_followers_of_an_interrupted_writer_are_told_that_nothing_is_known():
    gate = Gate()
    group = GroupCommit(gate.write)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(group, 0)
        assert gate.entered.wait(10)
        calls = [pool.submit(group, work) for work in (1, 2)]
        queued(group, 2)
        group._write = lambda works: _raise(KeyboardInterrupt())
        gate.open.set()
        assert first.result(10) == 0
        raised = sorted(type(call.exception(10)).__name__ for call in calls)
    assert raised == ["KeyboardInterrupt", "StateError"]
    told = next(str(call.exception()) for call in calls if isinstance(call.exception(), StateError))
    assert "whether it is stored is not known" in told


def test_writers_work_side_by_side_as_far_as_allowed():
    gate = Gate()
    group = GroupCommit(gate.write, writers=2)
    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(group, 1)]
        assert gate.entered.wait(10)
        gate.entered.clear()
        calls.append(pool.submit(group, 2))
        assert gate.entered.wait(10)
        calls += [pool.submit(group, work) for work in (3, 4, 5)]
        queued(group, 3)
        assert gate.groups == [[1], [2]]
        gate.open.set()
        assert [call.result(10) for call in calls] == [10, 20, 30, 40, 50]
    assert sorted(gate.groups[2]) == [3, 4, 5]


def test_call_whose_work_is_being_written_waits_though_a_writer_is_idle():
    gates = {work: threading.Event() for work in (1, 2, 3, 4)}
    entered = {work: threading.Event() for work in gates}

    def write(works):
        for work in works:
            entered[work].set()
        assert gates[works[0]].wait(10)
        return [work * 10 for work in works]

    group = GroupCommit(write, writers=2)
    with ThreadPoolExecutor(4) as pool:
        calls = {}
        for work in (1, 2):
            calls[work] = pool.submit(group, work)
            assert entered[work].wait(10)
        for n_waiting, work in enumerate((3, 4), start=1):
            calls[work] = pool.submit(group, work)
            queued(group, n_waiting)
        gates[1].set()
        assert entered[4].wait(10)  # 3 and 4 are written together, by the thread of one of them
        gates[2].set()
        assert calls[2].result(10) == 20
        assert not calls[3].done()
        assert not calls[4].done()
        gates[3].set()
        assert [calls[work].result(10) for work in (1, 3, 4)] == [10, 30, 40]


def _raise(error):
    raise error


@pytest.mark.parametrize("writers", [1, 2, 5])
def test_many_threads_lose_and_mix_up_nothing(writers):
    gate = Gate()
    gate.open.set()
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(GroupCommit(gate.write, writers), range(2000))) == [10 * work for work in range(2000)]
    assert sorted(work for works in gate.groups for work in works) == list(range(2000))
