"""Processes that find each other, whatever earlier starts left behind; threads around a real store of torch."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch.distributed as dist

from prismrec.cluster.meeting import meet
from prismrec.errors import CrewError


@pytest.fixture
def store(tmp_path):
    """One for all ranks, as that of an agent of torchrun is."""
    return dist.FileStore(str(tmp_path / "store"), -1)


def start(store, size):
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: meet(store, rank, size, 20), range(size)))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_every_start_has_one_name_and_no_other_start_has_it(store, size):
    names = [start(store, size) for _ in range(3)]
    assert [len(set(found)) for found in names] == [1, 1, 1]
    assert len({found[0] for found in names}) == 3


def test_process_that_comes_before_process_0_does_not_take_an_earlier_start_for_its_own(store):
    earlier = start(store, 2)[0]
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(meet, store, 1, 2, 20)
        with pytest.raises(TimeoutError):
            early.result(timeout=0.5)
        late = pool.submit(meet, store, 0, 2, 20)
        assert early.result() == late.result() != earlier


def test_name_of_a_process_0_that_is_dying_is_said_over(store):
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, store, 0, 2, 20)
        with pytest.raises(TimeoutError):
            first.result(timeout=0.3)
        store.set("start/name", "of the dying")
        assert pool.submit(meet, store, 1, 2, 20).result() == first.result() != "of the dying"


def test_whoever_does_not_come_is_named(store):
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(meet, store, rank, 4, 0.5) for rank in (0, 2)]
    with pytest.raises(CrewError, match=r"do not meet within 0 s: rank 1, rank 3 did not come"):
        found[0].result()
    with pytest.raises(CrewError, match="rank 0 did not come"):
        found[1].result()


@pytest.mark.slow
def test_machines_meet_at_once_after_one_of_them_lost_a_process(tmp_path):
    """Two agents, as on two machines: only that of the killed process counts a restart."""
    program = Path(__file__).with_name("crew_talk.py")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", tmp_path.name,
        str(program), str(tmp_path), "one_is_killed_once",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    agents = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [agent.communicate(timeout=120)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], "\n".join(said)
    assert "do not meet" not in "".join(said)
    assert sorted(path.name for path in tmp_path.glob("life-*")) == ["life-0-0", "life-0-1", "life-1-0", "life-1-1"]
