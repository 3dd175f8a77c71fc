"""Checkpoints written by some number of processes, read by another: bit-equal, whole or not at all, and agreed on."""

import shutil
from itertools import product

import numpy as np
import pytest

from prismrec.cluster.crew import ALONE, rows_of
from prismrec.errors import ArtifactError
from prismrec.models.contract import OwnRows
from prismrec.training import shards
from prismrec.training.checkpoints import Checkpoint, RunFolder
from prismrec.training.log import TrainingLog
from prismrec.training.shards import first_damaged, read_rows, write_shards

SHARDED = {"item.source": (10, 3), "item.source_memory": (10,), "shop.source": (2, 3)}
"""With four processes there are two without any row of the last one."""


def whole_state():
    rng = np.random.default_rng(1)
    state = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHARDED.items()}
    return state | {"log/variances": rng.normal(size=2), "shop.alignment_source": np.eye(3, dtype=np.float32)}


def own_rows(crew):
    if crew.size == 1:
        return {}
    return {name: OwnRows(*rows_of(shape[0], crew.rank, crew.size), shape[0]) for name, shape in SHARDED.items()}


def own_state(crew):
    rows = own_rows(crew)
    return {n: a[rows[n].begin : rows[n].end] if n in rows else a for n, a in whole_state().items()}


def checkpoint_of(crew, step=3):
    return Checkpoint(
        epoch=1, step=step, finished=False, log=TrainingLog(), sums={}, seconds=1.5,
        state=own_state(crew), best_state=own_state(crew), rows=own_rows(crew),
    )  # fmt: skip


def save(path, crew, step=3, launch=""):
    with RunFolder(path, {"seed": "0"}, crew, launch) as folder:
        folder.save(checkpoint_of(crew, step))


def load(path, crew):
    with RunFolder(path, {"seed": "0"}, crew) as folder:
        return folder.load(own_rows(crew))


def only(results):
    """The one thing that all processes gave."""
    assert len({str(result) for result in results}) == 1
    return results[0]


@pytest.mark.parametrize(("writers", "readers"), list(product(range(1, 5), repeat=2)))
def test_saved_on_n_loads_on_m_bit_equal(tmp_path, in_crew, writers, readers):
    assert in_crew(writers, lambda crew: save(tmp_path / "run", crew)) == [None] * writers
    loaded = in_crew(readers, lambda crew: (crew, load(tmp_path / "run", crew)))
    for crew, checkpoint in loaded:
        assert (checkpoint.epoch, checkpoint.step, checkpoint.seconds) == (1, 3, 1.5)
        assert checkpoint.processes == writers
        for found in (checkpoint.state, checkpoint.best_state):
            expected = own_state(crew)
            assert list(found) == list(expected)
            for name, array in expected.items():
                assert found[name].tobytes() == array.tobytes(), name
                assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize("writers", [1, 3])
def test_finished_run_gives_whole_arrays_mapped_from_disk(tmp_path, in_crew, writers):
    def finish(crew):
        with RunFolder(tmp_path / "run", {}, crew) as folder:
            folder.save(Checkpoint(**{**vars(checkpoint_of(crew)), "finished": True}))

    in_crew(writers, finish)
    arrays, log = RunFolder(tmp_path / "run", {}).result(tmp_path / "tables")
    assert log == TrainingLog()
    for name, array in whole_state().items():
        assert isinstance(arrays[name], np.memmap)
        assert arrays[name].tobytes() == array.tobytes()


def test_disk_that_is_full_when_tables_are_put_together_is_told(tmp_path, in_crew):
    def finish(crew):
        with RunFolder(tmp_path / "run", {}, crew) as folder:
            folder.save(Checkpoint(**{**vars(checkpoint_of(crew)), "finished": True}))

    in_crew(2, finish)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "000.npy").symlink_to("/dev/full")
    with pytest.raises(ArtifactError, match=r"cannot put the tables together in .*tables: .*No space left on device"):
        RunFolder(tmp_path / "run", {}).result(tmp_path / "tables")


def test_unfinished_run_has_no_result(tmp_path):
    save(tmp_path / "run", ALONE)
    with pytest.raises(ArtifactError, match="is not finished: go on with it by --resume"):
        RunFolder(tmp_path / "run", {}).result(tmp_path / "tables")


def test_every_process_writes_its_own_rows_and_the_first_what_all_share(tmp_path, in_crew):
    in_crew(2, lambda crew: save(tmp_path / "run", crew))
    files = sorted(path.name for path in (tmp_path / "run" / "checkpoint" / "state").iterdir())
    assert files == [
        "000-item.source.0-of-2.npy", "000-item.source.1-of-2.npy",
        "001-item.source_memory.0-of-2.npy", "001-item.source_memory.1-of-2.npy",
        "002-shop.source.0-of-2.npy", "002-shop.source.1-of-2.npy",
        "003-log_variances.npy", "004-shop.alignment_source.npy",
    ]  # fmt: skip
    own = np.load(tmp_path / "run" / "checkpoint" / "state" / "000-item.source.1-of-2.npy", allow_pickle=False)
    assert own.tobytes() == whole_state()["item.source"][5:].tobytes()


def test_disk_that_is_full_for_one_process_stops_all_and_leaves_the_checkpoint_before(tmp_path, in_crew, monkeypatch):
    in_crew(3, lambda crew: save(tmp_path / "run", crew))
    write = shards.write_shards

    def full_for_the_last(folder, part, arrays, rows, crew):
        if crew.rank == 2:
            raise OSError(28, "No space left on device")
        return write(folder, part, arrays, rows, crew)

    monkeypatch.setattr("prismrec.training.checkpoints.write_shards", full_for_the_last)
    refused = only(in_crew(3, lambda crew: save(tmp_path / "run", crew, step=4)))
    assert isinstance(refused, ArtifactError)
    assert "cannot write" in str(refused)
    assert "No space left on device" in str(refused)
    assert load(tmp_path / "run", ALONE).step == 3
    assert not list((tmp_path / "run").glob(".checkpoint.*.partial"))


def test_damage_that_one_process_finds_stops_all(tmp_path, in_crew):
    in_crew(2, lambda crew: save(tmp_path / "run", crew))
    path = tmp_path / "run" / "checkpoint" / "state" / "001-item.source_memory.1-of-2.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    error = only(in_crew(3, lambda crew: load(tmp_path / "run", crew)))
    assert "001-item.source_memory.1-of-2.npy: its content does not match its checksum" in str(error)
    path.unlink()
    assert first_damaged(tmp_path / "run" / "checkpoint", []) is None
    assert "it is missing" in str(only(in_crew(2, lambda crew: load(tmp_path / "run", crew))))


def test_folder_that_is_held_stops_all(tmp_path, in_crew):
    with RunFolder(tmp_path / "run", {}):
        error = only(in_crew(2, lambda crew: save(tmp_path / "run", crew)))
    assert "another process is training in" in str(error)


def test_processes_that_do_not_see_each_others_files_are_told_so(tmp_path, in_crew):
    """Rank 1 sees another disk under the same name, as on two machines without a shared file system."""

    def save_elsewhere(crew):
        (tmp_path / f"disk-{crew.rank}").mkdir()
        save(tmp_path / f"disk-{crew.rank}" / "run", crew)

    error = only([str(e).replace("disk-1", "disk-0") for e in in_crew(2, save_elsewhere)])
    assert "rank 1 does not see what rank 0 writes to" in error
    assert "on a file system that all of them share" in error


def test_checkpoint_of_another_launch_is_not_taken_for_its_own(tmp_path):
    save(tmp_path / "run", ALONE, launch="first")
    assert RunFolder(tmp_path / "run", {}, ALONE, "first").holds_own_launch()
    assert not RunFolder(tmp_path / "run", {}, ALONE, "second").holds_own_launch()
    assert not RunFolder(tmp_path / "run", {}, ALONE).holds_own_launch()
    shutil.rmtree(tmp_path / "run")
    assert not RunFolder(tmp_path / "run", {}, ALONE, "first").holds_own_launch()


def test_rows_are_read_across_the_borders_of_shards(tmp_path, in_crew):
    array = np.arange(14, dtype=np.int64).reshape(7, 2)

    def write(crew):
        own = OwnRows(*rows_of(7, crew.rank, crew.size), 7)
        return write_shards(tmp_path, "state", {"a": array[own.begin : own.end]}, {"a": own}, crew)

    written = [shard for found in in_crew(3, write) for shard in found]
    np.testing.assert_array_equal(read_rows(tmp_path, written, OwnRows(2, 7, 7)), array[2:])
    np.testing.assert_array_equal(read_rows(tmp_path, written[::-1], None), array)
    assert read_rows(tmp_path, written, OwnRows(7, 7, 7)).shape == (0, 2)
