"""Training in several processes against one: the same losses, the same quality; killed, stopped, resumed."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchrec", reason='needs pip install "prismrec[cluster]"', exc_type=ImportError)

from prismrec.cluster.crew import ALONE
from prismrec.config import build
from prismrec.crew_fitting import identity_of_prepared, own_share, too_little_for
from prismrec.data.prepared import PreparedData, View, save_prepared
from prismrec.data.sequences import Sequences
from prismrec.data.training_data import training_data
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ArtifactError, ConfigError, ResourceError
from prismrec.fitting import as_run, fingerprint_of, fit, for_crew
from prismrec.models.m2grl.config import M2GRLConfig
from prismrec.resources import Disk, Resources
from prismrec.settings import build_settings
from prismrec.training.checkpoints import RunFolder, held_by_launcher
from prismrec.training.interrupts import TrainingInterrupted

N_ITEMS = 60
SETTINGS = {
    "model": {"embedding_dim": 8, "popularity_offset": False},
    "training": {"implementation": "torch", "threads": 1, "epochs": 16, "checkpoint_minutes": 0.0001},
    "sharding": {"anchors_per_update": 128},
}


def settings_with(*overrides):
    return build_settings(SETTINGS, overrides)


@pytest.fixture(scope="module")
def data():
    """Two families of items that never meet, each with a category of its own."""
    rng = np.random.default_rng(0)
    families = rng.integers(0, 2, 400)
    sessions = Sequences.from_lists([rng.integers(0, 30, 8) + 30 * family for family in families])
    nodes = Sequences.from_lists([[item // 30] for item in range(N_ITEMS)])
    categories = Sequences.from_lists([[family] for family in families])
    view = View("category", Vocabulary.from_ids(["a", "b"]), nodes, categories)
    items, users = Vocabulary.from_ids(list(range(N_ITEMS))), Vocabulary.from_ids(list(range(400)))
    return PreparedData(items, sessions, users, sessions, {"category": view})


class Told:
    """Progress that remembers."""

    def __init__(self):
        self.notes = []
        self.reports = []
        self.entries = []

    def start(self, plan):
        self.notes.append(f"start {plan.epoch}")

    def step(self, report):
        self.reports.append(report)

    def epoch(self, entry):
        self.entries.append(entry)

    def note(self, text):
        self.notes.append(text)

    def close(self):
        self.notes.append("end")


def vectors(fitted):
    tables = {
        f"{v}.{side}": getattr(t, side) for v, t in fitted.model.tables().items() for side in ("source", "target")
    }
    return {name: np.array(array) for name, array in (tables | fitted.model.alignments()).items()}


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    """Two processes that nothing disturbs, and what they told."""
    told = Told()
    run = tmp_path_factory.mktemp("two") / "run"
    return fit(data, settings_with("sharding.processes=2"), run_folder=run, progress=told), told


def test_two_processes_learn_what_one_does(data, two):
    fitted, told = two
    alone = fit(data, settings_with())
    n_examples = [sum(entry.n_examples for entry in log.epochs) for log in (fitted.log, alone.log)]
    assert n_examples[0] == pytest.approx(n_examples[1], rel=0.01)
    found, expected = fitted.log.epochs[-1], alone.log.epochs[-1]  # other random draws, the same task
    assert dict(found.losses) == pytest.approx(dict(expected.losses), rel=0.1, abs=0.05)
    assert dict(found.task_weights) == pytest.approx(dict(expected.task_weights), rel=0.1)
    item = fitted.model.tables()["item"]
    scores = item.source @ item.target.T
    assert scores[:30, :30].mean() > scores[:30, 30:].mean() + 1
    assert scores[30:, 30:].mean() > scores[30:, :30].mean() + 1
    assert told.notes[0].startswith("2 processes train together: implementation torch, tables shared out by TorchRec")
    assert told.notes[1:] == ["computing on cpu with torch", "start 0", "end"]
    assert tuple(told.entries) == fitted.log.epochs
    assert {type(table.source) for table in fitted.model.tables().values()} == {np.memmap}


def workers_of(run):
    """The processes that train in this folder and no other, by rank."""
    found: dict[int, int] = {}
    for place in Path("/proc").iterdir():
        try:
            if str(run / "job").encode() in (place / "cmdline").read_bytes():
                environment = (place / "environ").read_bytes().split(b"\0")
                found |= {int(v[5:]): int(place.name) for v in environment if v.startswith(b"RANK=")}
        except OSError:
            continue
    return found


def when_checkpointed(run, epoch, do):
    """Do something once, when the checkpoint of an epoch is there."""
    state = run / "checkpoint" / "state.json"

    def wait():
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                if json.loads(state.read_text())["epoch"] >= epoch:
                    return do()
            except (OSError, ValueError):
                pass  # not there yet, or just being replaced
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.slow
def test_killed_process_makes_all_start_again_and_the_result_is_that_of_a_run_never_killed(data, two, tmp_path):
    told, run = Told(), tmp_path / "run"
    killer = when_checkpointed(run, 3, lambda: os.kill(workers_of(run)[1], signal.SIGKILL))
    fitted = fit(data, settings_with("sharding.processes=2"), run_folder=run, progress=told)
    killer.join()
    assert [note for note in told.notes if note.startswith("checkpoint read: going on after epoch")]
    assert sum(note.startswith("start") for note in told.notes) == 2

    def without_times(log):
        return replace(log, epochs=tuple(replace(entry, seconds=0.0) for entry in log.epochs))

    assert without_times(fitted.log) == without_times(two[0].log)
    for name, array in vectors(two[0]).items():
        assert vectors(fitted)[name].tobytes() == array.tobytes(), name


@pytest.mark.slow
def test_stopped_run_goes_on_with_another_number_of_processes(data, tmp_path):
    run = tmp_path / "run"
    stopper = when_checkpointed(run, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingInterrupted, match=r"training stopped by SIGTERM after epoch .* go on with --resume"):
        fit(data, settings_with("sharding.processes=2"), run_folder=run)
    stopper.join()
    assert workers_of(run) == {}
    stopped = RunFolder(run, {})
    assert stopped.holds_unfinished_run()
    fitted = fit(data, settings_with(), run_folder=run, resume=True)
    assert [entry.epoch for entry in fitted.log.epochs] == list(range(1, 17))


def test_error_of_a_worker_is_raised_as_itself_and_nothing_starts_again(data, tmp_path):
    told = Told()
    with pytest.raises(ArtifactError, match=r"there is no checkpoint in .*: start without --resume"):
        fit(data, settings_with("sharding.processes=2"), run_folder=tmp_path / "run", resume=True, progress=told)
    assert told.notes[-2:] == ["computing on cpu with torch", "end"]
    assert told.notes.count("computing on cpu with torch") == 1


def test_room_that_the_checkpoint_before_takes_is_not_asked_for_again(tmp_path, monkeypatch):
    """Two checkpoints of 5.2 GB and a bundle of 10.9 GB: with room for all of it a run begins, and then goes on."""
    nodes, settings = {"item": 10_000_000}, settings_with("model.embedding_dim=64")
    run, free = tmp_path / "run", 25 * 10**9

    def there(places, **_):
        return Resources(disks={name: Disk(1, free, path) for name, path in places.items()})

    monkeypatch.setattr("prismrec.preflight.read_resources", there)
    assert too_little_for(nodes, settings, run, 1) == []
    free -= 5 * 10**9
    with pytest.raises(ResourceError, match="for run and bundle"):
        too_little_for(nodes, settings, run, 1)
    (run / "checkpoint" / "state").mkdir(parents=True)
    with open(run / "checkpoint" / "state" / "000-item.source.npy", "wb") as file:
        file.truncate(5 * 10**9)
    too_little_for(nodes, settings, run, 1)


def test_second_launcher_leaves_the_job_of_the_first_alone(data, tmp_path):
    run = tmp_path / "run"
    (run / "job").mkdir(parents=True)
    (run / "job" / "job.json").write_text("of the first")
    with held_by_launcher(run), pytest.raises(ArtifactError, match=r"another process is training in .*run: wait for"):
        fit(data, settings_with("sharding.processes=2"), run_folder=run)
    assert (run / "job" / "job.json").read_text() == "of the first"
    assert not (run / "prepared").exists()


def test_early_stopping_in_several_processes_is_refused(data):
    with pytest.raises(ConfigError, match=r"training\.patience = 3: early stopping validates in one process"):
        fit(data, settings_with("sharding.processes=2", "training.patience=3"))


def test_settings_say_which_implementation_several_processes_use():
    assert as_run(settings_with("training.implementation=numba")).training.implementation == "numba"
    several = as_run(settings_with("training.implementation=numba", "sharding.processes=2"))
    assert several.training.implementation == "torch"
    crew = for_crew(settings_with("training.implementation=numba", "sharding.processes=7"), 1)
    assert (crew.training.implementation, crew.sharding.processes) == ("torch", 1)


def test_a_precision_that_m2grl_lacks_is_refused_alone_and_in_a_crew(data):
    settings = settings_with("training.precision=bf16")
    with pytest.raises(ConfigError, match=r"precision = 'bf16' is for models in torch; m2grl computes in fp32"):
        fit(data, settings)
    with pytest.raises(ConfigError, match="leave it out"):
        for_crew(settings, 2)


def test_a_share_of_prepared_data_is_that_of_the_data_themselves(data, tmp_path):
    save_prepared(data, tmp_path / "prepared")
    assert identity_of_prepared(tmp_path / "prepared") == fingerprint_of(data)

    class SecondOfThree:
        rank, size = 1, 3

    config = build(M2GRLConfig, {})
    found = own_share(tmp_path / "prepared", config, SecondOfThree())  # type: ignore[arg-type]
    expected = training_data(data, "sessions").share(1, 3)
    assert found.sequences["item"].to_lists() == expected.sequences["item"].to_lists()
    np.testing.assert_array_equal(found.edges["category"].items, expected.edges["category"].items)
    whole = own_share(tmp_path / "prepared", config, ALONE)
    np.testing.assert_array_equal(whole.counts["item"], found.counts["item"])
