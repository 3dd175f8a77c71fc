"""A run that was stopped goes on from its last whole stage; what changed is made again, and nothing else."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from prismrec.data.sessions import SessionSettings
from prismrec.data.sharded import read_whole
from prismrec.data.sharded.layout import MANIFEST
from prismrec.errors import ArtifactError, ConfigError, DataError

VIEWS = {"category": "kind", "shop": "shop"}
N_STAGES = 19


def told_by(run):
    """Which stages were written, and which were kept."""
    lines: list[str] = []
    run(lines.append)
    kept = {line.partition(":")[0] for line in lines if "kept from the earlier run" in line}
    return {line.partition(":")[0] for line in lines} - kept, kept


@pytest.fixture
def run(shard, log, side, tmp_path):
    def prepare(tell=lambda text: None, *, views=VIEWS, identity="the log", **job):
        job.setdefault("keep_stages", True)
        return shard(tmp_path / "p", log(), side(), views, identity=identity, tell=tell, **job)

    return prepare


def test_stages_are_told_as_they_end(run):
    lines: list[str] = []
    run(lines.append)
    assert len(lines) == N_STAGES
    assert lines[0].startswith("log/clean: 8 rows, ")


def test_second_run_finds_everything_whole(run, tmp_path):
    run()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    lines: list[str] = []
    run(lines.append)
    assert lines == [f"{tmp_path / 'p'}: whole, kept from the earlier run"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("stopped_after", range(1, N_STAGES + 1, 3))
def test_a_stopped_run_goes_on_where_it_was(run, tmp_path, stopped_after):
    told = []

    def stop_then(text):
        told.append(text)
        if len(told) == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop_then)
    assert not (tmp_path / "p").exists()
    made, kept = told_by(run)
    assert len(kept) == stopped_after
    assert len(made) == N_STAGES - stopped_after
    assert read_whole(tmp_path / "p").sessions.to_lists() == [[0, 1, 0], [2, 0], [3, 0]]


def test_a_changed_setting_redoes_what_depends_on_it(run):
    run()
    made, kept = told_by(lambda tell: run(tell, sessions=SessionSettings(min_session_length=3)))
    assert made == {f"{kind}/{view}" for kind in ("sequences", "counts") for view in ("item", "category", "shop")}
    assert {"log/clean", "vocabulary/item", "edges/shop"} <= kept


def test_a_changed_view_redoes_that_view_alone(run):
    run()
    made, _ = told_by(lambda tell: run(tell, views={"category": "kind", "shop": "kind"}))
    assert made == {f"{kind}/shop" for kind in ("pairs", "vocabulary", "edges", "sequences", "counts")}


def test_another_number_of_shards_redoes_all_that_stays_and_no_more(run, tmp_path):
    run(shards=2)
    made, kept = told_by(lambda tell: run(tell, shards=5))
    assert kept == {"log/clean", "item table", "quarantine"}
    assert len(made) + len(kept) == N_STAGES
    for folder in ("vocabulary/item", "sequences/shop", "counts/item", "edges/shop", "item_columns"):
        assert len(list((tmp_path / "p" / folder).iterdir())) == 5, folder


def test_a_changed_input_redoes_everything(run):
    run()
    made, kept = told_by(lambda tell: run(tell, identity="another log"))
    assert len(made) == N_STAGES
    assert kept == set()


def test_a_damaged_stage_is_made_again(run, tmp_path):
    run()
    (tmp_path / "p" / MANIFEST).unlink()
    for path in (tmp_path / "p").rglob("*.parquet"):
        path.unlink()
    for folder in sorted((tmp_path / "p").rglob("*"), reverse=True):
        folder.rmdir()
    part = tmp_path / "p.stages" / "vocabulary" / "item" / "part-00001.parquet"
    part.unlink()
    part.write_bytes(b"PAR1")
    made, kept = told_by(run)
    assert made == {"vocabulary/item"}
    assert len(kept) == N_STAGES - 1


def test_stages_go_when_the_folder_is_whole(run, tmp_path):
    run(keep_stages=False)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_stages_that_a_killed_run_left_behind_go_too(run, tmp_path):
    run()
    assert (tmp_path / "p.stages").exists()
    run(keep_stages=False)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_stages_of_a_run_at_work_stay(run, tmp_path):
    run(keep_stages=False)

    def another(text):
        run(keep_stages=False)  # whole already: nothing to do, and nothing of the other one's to remove
        assert (tmp_path / "p.stages" / "log" / "clean").exists()

    run(another, sequences="histories", keep_stages=False)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_folder_of_other_things_is_not_replaced(run, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match=r"p holds other files .* and will not be replaced"):
        run()
    assert (tmp_path / "p" / "thesis.txt").exists()


def test_a_bundle_is_not_replaced(run, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / MANIFEST).write_text('{"schema_version": 2, "index": {}, "files": {}}')
    with pytest.raises(ArtifactError, match=r"p holds other files .* and will not be replaced"):
        run()
    assert not (tmp_path / "p.stages").exists()


def test_an_older_folder_is_replaced_whole(run, tmp_path):
    run()
    run(sequences="histories")
    assert read_whole(tmp_path / "p").histories.to_lists() == [[0, 1, 0, 2, 0], [3, 0, 4]]


def test_two_runs_at_one_place_are_refused(run, shard, log, tmp_path):
    def another(text):
        with pytest.raises(ArtifactError, match=r"another process prepares data in .*p\.stages"):
            shard(tmp_path / "p", log())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(another)


def test_nothing_left_says_where_it_went(shard, log, tmp_path):
    rows = [("u", "a", 0), ("u", "b", 1)]
    with pytest.raises(DataError, match="no interaction is left to train on: 2 read, 2 short dwell, 0 repeats"):
        shard(tmp_path / "p", log(rows, dwell=[0.5, 0.5]))


def test_views_are_checked_before_work_begins(run, tmp_path):
    with pytest.raises(ConfigError, match="cannot be called 'user'"):
        run(views={"user": "kind"})
    with pytest.raises(DataError, match="view 'category': the item table has no column 'sort'; it has kind, shop"):
        run(views={"category": "sort"})


def test_a_full_disk_is_named_with_what_to_do(run, monkeypatch):
    from prismrec.data import engine

    def full(*arguments):
        raise DataError("the engine could not evaluate the tables: IO Error: No space left on device")

    monkeypatch.setattr(engine, "write_dataset", full)
    with pytest.raises(ArtifactError, match=r"no space left while the stage 'log/clean' was written .* free some"):
        run()


PROGRAM = """
import sys
from pathlib import Path
from prismrec.inputs import prepare_shards
from prismrec.settings import read_settings
tell = lambda text: print(text, flush=True)
prepare_shards(read_settings(sys.argv[1]), Path(sys.argv[2]), 2, tell=tell)
"""

CONFIG = """
[data]
interactions = "clicks.csv"
items = "items.csv"
[views]
kind = "kind"
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_comes_out_the_same(tmp_path):
    dice = random.Random(4)
    clicks = [
        f"{dice.randrange(900)},i{dice.randrange(300)},{1_600_000_000 + dice.randrange(10**6)}" for _ in range(20_000)
    ]
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(clicks))
    (tmp_path / "items.csv").write_text("item_id,kind\n" + "\n".join(f"i{n},k{n % 7}" for n in range(300)))
    (tmp_path / "shop.toml").write_text(CONFIG)
    program = tmp_path / "prepare.py"  # without a file, DuckDB takes the process for a session and shows progress
    program.write_text(PROGRAM)

    def start(folder):
        command = [sys.executable, str(program), str(tmp_path / "shop.toml"), str(tmp_path / folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    undisturbed = start("calm")
    assert len(undisturbed.communicate()[0].splitlines()) == 14
    n_kept = 0
    for _ in range(4):
        process = start("storm")
        for _ in range(n_kept + dice.randrange(1, 4)):  # kept stages, then some new ones
            process.stdout.readline()
        time.sleep(dice.random() / 20)  # in the middle of a stage
        os.kill(process.pid, signal.SIGKILL)
        rest = process.communicate()[0]
        n_kept = max(n_kept, len(list((tmp_path / "storm.stages").rglob("_SUCCESS"))))
        assert not (tmp_path / "storm").exists(), rest
    last = start("storm").communicate()[0].splitlines()
    assert sum("kept" in line for line in last) == n_kept >= 4
    one, two = (read_whole(tmp_path / folder, checksums=True) for folder in ("calm", "storm"))
    assert one.items.ids.equals(two.items.ids)
    assert one.sessions.to_lists() == two.sessions.to_lists()
    assert one.view_sessions("kind").to_lists() == two.view_sessions("kind").to_lists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["calm", "storm"]
