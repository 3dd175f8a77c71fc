"""Work that takes too long for a request: done once, by one child, for all; it ends with its parent."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from prismrec.retrieval.bundle import Bundle
from prismrec.serving.page import work as page_work
from prismrec.serving.page.settings import PageSettings
from prismrec.serving.page.work import PageWork, compute

SETTINGS = PageSettings(map_items=10, reach_queries=10)


@pytest.fixture
def bundle(shop) -> Bundle:
    return Bundle.open(shop)


@pytest.fixture
def work(tmp_path):
    made = PageWork(tmp_path / "home" / "page", SETTINGS)
    yield made
    made.close()


def until_done(work, kind, bundle, seconds=300):
    deadline = time.monotonic() + seconds
    while (outcome := work.outcome(kind, bundle)).status == "working":
        assert time.monotonic() < deadline, "the child did not come to an end"
        time.sleep(0.05)
    return outcome


def test_first_asked_is_told_to_wait_and_later_gets_what_was_computed(work, bundle, tmp_path):
    assert work.outcome("map", bundle).status == "working"
    outcome = until_done(work, "map", bundle)
    assert outcome.status == "ready"
    assert outcome.value == compute("map", bundle, SETTINGS)
    again = PageWork(tmp_path / "home" / "page", SETTINGS)
    assert again.outcome("map", bundle).value == outcome.value, "kept on disk, whoever asks"


def test_reach_is_computed_too_and_one_after_the_other(work, bundle):
    assert work.outcome("map", bundle).status == "working"
    assert work.outcome("reach", bundle).status == "working"
    assert len(work._running) == 1
    assert until_done(work, "reach", bundle).value == json.loads(json.dumps(compute("reach", bundle, SETTINGS)))


def test_another_worker_at_it_is_waited_for(work, bundle, tmp_path):
    folder = tmp_path / "home" / "page"
    folder.mkdir(parents=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert work.outcome("map", bundle).status == "working"
        assert not work._running
    assert work.outcome("map", bundle).status == "working"
    assert len(work._running) == 1


def test_failure_is_told_and_not_tried_again(work, bundle, monkeypatch):
    monkeypatch.setattr(page_work, "_ONE_THREAD", {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"})
    outcome = until_done(work, "map", bundle)
    assert outcome.status == "failed"
    assert outcome.reason
    assert work.outcome("map", bundle) == outcome
    assert not work._running


def test_other_settings_or_another_bundle_are_other_work(work, bundle, make_shop, tmp_path):
    other = Bundle.open(make_shop(tmp_path / "other", seed=8))
    digests = {
        work._digest(bundle), work._digest(other),
        PageWork(tmp_path, PageSettings(map_items=11))._digest(bundle),
        PageWork(tmp_path, PageSettings(map_items=10, reach_queries=10, seed=1))._digest(bundle),
    }  # fmt: skip
    assert len(digests) == 4
    assert work._digest(Bundle.open(bundle.path)) == work._digest(bundle)


def test_only_the_latest_results_are_kept(work, bundle, tmp_path):
    folder = tmp_path / "home" / "page"
    folder.mkdir(parents=True)
    for age in range(12):
        (folder / f"map-{age}.json").write_text("[]")
        os.utime(folder / f"map-{age}.json", (10_000 - age, 10_000 - age))
    until_done(work, "map", bundle)
    assert sorted(file.name for file in folder.glob("map-?*.json") if len(file.name) < 20) == [
        f"map-{age}.json" for age in range(8)
    ]


def test_close_ends_the_child(work, bundle):
    work.outcome("map", bundle)
    [(process, _)] = work._running.values()
    work.close()
    assert process.returncode is not None
    assert not work._running


PARENT = """
import sys, time
from pathlib import Path
from prismrec.retrieval.bundle import Bundle
from prismrec.serving.page import work as page_work
from prismrec.serving.page.settings import PageSettings
work = page_work.PageWork(Path(sys.argv[2]), PageSettings(map_items=20000, reach_queries=20000))
work.outcome("reach", Bundle.open(sys.argv[1]))
[(process, _)] = work._running.values()
print(process.pid, flush=True)
time.sleep(600)
"""


def test_child_ends_when_its_parent_is_killed(shop, tmp_path, monkeypatch):
    # a child that would run for long: it waits for a file that never comes
    slow = tmp_path / "slow" / "sitecustomize.py"
    slow.parent.mkdir()
    slow.write_text(
        "import sys\n"
        "if 'prismrec.serving.page.work' in ' '.join(sys.orig_argv):\n"
        "    import prismrec.serving.page.reach as reach, time\n"
        "    reach.reach_of = lambda *_: time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(slow.parent)}
    command = [sys.executable, "-c", PARENT, str(shop), str(tmp_path / "page")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(3)
    assert os.path.exists(f"/proc/{child}")
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
