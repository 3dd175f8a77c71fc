"""Checkpoints: whole, verified, refused where they are of another run, and written at sensible moments."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from prismrec.errors import ArtifactError
from prismrec.files import sha256
from prismrec.models.contract import TaskLoss
from prismrec.training.checkpoints import SCHEMA_VERSION, Checkpoint, RunFolder
from prismrec.training.log import EpochLog, TracePoint, TrainingLog

IDENTITY = {"training.epochs": "20", "data": "abc"}


def checkpoint(**changes):
    rng = np.random.default_rng(3)
    whole = Checkpoint(
        epoch=2,
        step=7,
        finished=False,
        log=TrainingLog(
            (EpochLog(1, {"item": 0.1 + 0.2}, {"item": 1 / 3}, 30, 1.5, -2.5),), (TracePoint(0.05, {}, {}),)
        ),
        sums={"item": TaskLoss(0.1 + 0.7, 12)},
        seconds=0.3,
        state={
            "item.source": rng.standard_normal((5, 3)).astype(np.float32),
            "W/item→category": rng.standard_normal((2, 2)),
            "steps": np.array(7, np.int64),
            "empty": np.zeros((0, 3), np.float32),
        },
        best_state={"item.source": rng.standard_normal((5, 3)).astype(np.float32)},
    )
    return replace(whole, **changes)


@pytest.fixture
def folder(tmp_path):
    with RunFolder(tmp_path / "run", IDENTITY) as folder:
        yield folder


def assert_same_arrays(one, other):
    assert list(one) == list(other)
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert array.tobytes() == other[name].tobytes()
        assert array.shape == other[name].shape


def resave(folder, change):
    """Change the content of state.json and give it a fitting checksum, as a foreign program might."""
    path = folder.checkpoint_path / "state.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    path.with_name("state.json.sha256").write_text(sha256(path))


def test_loaded_is_what_was_saved_to_the_last_bit(folder):
    saved = checkpoint()
    folder.save(saved)
    loaded = folder.load()
    assert_same_arrays(saved.state, loaded.state)
    assert_same_arrays(saved.best_state, loaded.best_state)
    for name in ("epoch", "step", "finished", "log", "sums", "seconds"):
        assert getattr(loaded, name) == getattr(saved, name)


def test_new_checkpoint_takes_the_place_of_the_old_with_all_its_files(folder):
    folder.save(checkpoint())
    folder.save(checkpoint(epoch=3, step=0, state={"only": np.arange(3.0)}, best_state={}))
    assert folder.load().epoch == 3
    assert {p.name for p in folder.checkpoint_path.rglob("*.npy")} == {"000-only.npy"}
    assert {p.name for p in folder.path.iterdir()} == {"lock", "checkpoint"}


def test_names_that_differ_only_in_signs_keep_files_of_their_own(folder):
    state = {"a/b": np.zeros(1), "a b": np.ones(1), "../a": np.full(1, 2.0)}
    folder.save(checkpoint(state=state))
    assert_same_arrays(state, folder.load().state)
    assert all(folder.checkpoint_path in p.resolve().parents for p in folder.path.rglob("*.npy"))


def test_missing_checkpoint_is_said_clearly(folder):
    with pytest.raises(ArtifactError, match=r"there is no checkpoint in .*run: start without --resume"):
        folder.load()


def all_files(folder):
    return sorted(p for p in folder.checkpoint_path.rglob("*") if p.is_file())


def test_flipped_bit_in_any_file_is_found_and_the_file_named(folder):
    folder.save(checkpoint())
    for path in all_files(folder):
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 12}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            if path.name == "state.json.sha256" and place > 64:
                continue  # the file's name after the digest: for `sha256sum -c`, not read
            with pytest.raises(ArtifactError, match=rf"the checkpoint is damaged at .*{path.name.split('.')[0]}"):
                folder.load()
        path.write_bytes(whole)
    folder.load()


def test_cut_short_or_missing_file_is_found_and_the_file_named(folder):
    folder.save(checkpoint())
    for path in all_files(folder):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 3])
        with pytest.raises(ArtifactError, match=path.name.split(".")[0]):
            folder.load()
        path.unlink()
        with pytest.raises(
            ArtifactError, match=path.name.split(".")[0] if path.name != "state.json" else "there is no"
        ):
            folder.load()
        path.write_bytes(whole)


def test_checkpoint_of_another_run_is_refused_with_what_differs(folder):
    folder.save(checkpoint())
    other = RunFolder(folder.path, {**IDENTITY, "training.epochs": "30", "m2grl.dim": "64"})
    with pytest.raises(ArtifactError, match=r"is of another run: m2grl.dim was not set, is 64; training.epochs was 20"):
        other.load()


def test_checkpoint_of_another_version_is_refused(folder):
    folder.save(checkpoint())
    resave(folder, lambda content: content.update(schema_version=SCHEMA_VERSION + 1, something_new=1))
    with pytest.raises(ArtifactError, match=r"has schema version 3, this PrismRec .* reads 2: resume with the version"):
        folder.load()


@pytest.mark.parametrize("change", [lambda c: c.pop("epoch"), lambda c: c.update(step="x"), lambda c: c.update(x=1)])
def test_content_that_is_no_state_is_refused(folder, change):
    folder.save(checkpoint())
    resave(folder, change)
    with pytest.raises(ArtifactError, match=r"the checkpoint is damaged at .*state\.json"):
        folder.load()


def test_state_file_says_what_the_run_is(folder):
    folder.save(checkpoint())
    content = json.loads((folder.checkpoint_path / "state.json").read_text())
    assert content["identity"] == IDENTITY
    assert len(content["fingerprint"]) == 64
    assert {a["name"] for a in content["arrays"]} == set(checkpoint().state)


def test_one_process_at_a_time_trains_in_a_folder(folder):
    with pytest.raises(ArtifactError, match=r"another process is training in .*run: wait for it, or choose another"):
        RunFolder(folder.path, IDENTITY).__enter__()


def test_folder_is_free_again_after_use(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with RunFolder(tmp_path, IDENTITY):
            pass
    assert len(os.listdir("/proc/self/fd")) < before + 10


def test_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot write to the run folder .*file/run: Not a directory"):
        RunFolder(tmp_path / "file" / "run", IDENTITY).__enter__()


def test_full_disk_leaves_the_checkpoint_before(folder, monkeypatch):
    folder.save(checkpoint())

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ArtifactError, match=r"cannot write .*run/checkpoint: .*No space left"):
        folder.save(checkpoint(epoch=9))
    assert folder.load().epoch == 2
    assert {p.name for p in folder.path.iterdir()} == {"lock", "checkpoint"}


def test_leftovers_of_a_killed_run_are_removed_when_the_next_checkpoint_is_written(folder):
    leftover, foreign = (folder.path / f".{name}.1a2b3c4d.partial" for name in ("checkpoint", "bundle"))
    leftover.mkdir()
    foreign.mkdir()
    folder.save(checkpoint())
    assert not leftover.exists()
    assert foreign.exists()


def test_unfinished_run_is_told_from_finished_damaged_and_none(folder):
    assert not folder.holds_unfinished_run()
    folder.save(checkpoint())
    assert folder.holds_unfinished_run()
    folder.save(checkpoint(finished=True))
    assert not folder.holds_unfinished_run()
    folder.save(checkpoint())
    (folder.checkpoint_path / "state.json").write_text("{")
    assert not folder.holds_unfinished_run()
