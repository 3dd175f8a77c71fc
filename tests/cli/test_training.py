"""prismrec train: bundles, warm starts, prepared data, and what is left when it is stopped."""

import itertools
import json
import signal
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

from prismrec.cli.training import ShowProgress
from prismrec.retrieval.bundle import Bundle
from prismrec.training.progress import ProgressMode

MILK = 1029743
LONG = ["--set", "training.epochs=100", "--progress", "lines"]
OFTEN = ["--set", "training.checkpoint_minutes=0.0005"]
"""A checkpoint after nearly every step, so that a long run can be stopped with one."""


def vectors(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "vectors").iterdir())}


def wait_for(path, process, seconds=60.0):
    """Wait until a file is there; a process that ended before fails the test with what it said."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.01)


def test_progress_modes_are_those_of_training():
    assert set(ShowProgress) == set(get_args(ProgressMode))


def test_train_writes_a_bundle_and_says_what_to_do_next(prismrec, shop, tmp_path):
    result = prismrec("train", shop, "-o", tmp_path / "bundle", "--progress", "lines", "--set", "training.epochs=1")
    assert result.exit_code == 0
    assert f"Next: prismrec similar {tmp_path / 'bundle'}" in result.stdout
    notes = result.stderr.splitlines()
    assert notes[0].startswith("read ")
    assert "clicks.parquet; timestamps read as" in notes[0]
    assert [line for line in notes if line.startswith(("tuning", "training"))] == [
        "tuning: a first model is trained without each user's last item",
        "training: the model of the bundle, on everything",
    ]
    assert len(Bundle.open(tmp_path / "bundle").recommend([MILK], k=5)) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"], "checkpoints go when the bundle is there"


def test_tuning_chooses_query_settings_and_no_tune_keeps_those_of_the_file(answer, shop, bundle, tmp_path):
    tuned = answer("train", shop, "-o", tmp_path / "bundle", "--set", "query.history_length=7")
    kept = answer("train", shop, "-o", tmp_path / "other", "--no-tune", "--set", "query.history_length=7")
    assert kept["query"]["history_length"] == 7
    assert tuned["query"] != kept["query"]
    assert tuned["data_fingerprint"] == kept["data_fingerprint"]
    assert vectors(tmp_path / "bundle") == vectors(tmp_path / "other") == vectors(bundle)


def test_an_evaluation_lies_in_the_bundle_and_another_file_is_refused(prismrec, shop, tmp_path):
    document = tmp_path / "results.json"
    evaluated = prismrec("evaluate", shop, "--models", "popularity", "-o", document)
    assert evaluated.exit_code == 0, evaluated.stderr
    command = ("train", shop, "-o", tmp_path / "b", "--no-tune", "--progress", "quiet", "--evaluation")
    assert prismrec(*command, document).exit_code == 0
    assert Bundle.open(tmp_path / "b").contents.evaluation == json.loads(document.read_text(encoding="utf-8"))
    for wrong, told in ((shop, "cannot read the evaluation"), (tmp_path / "x.json", "is not what `prismrec evaluate")):
        (tmp_path / "x.json").write_text("{}")
        refused = prismrec(*command, wrong)
        assert refused.exit_code == 1
        assert told in refused.stderr


def test_tuning_leaves_what_the_model_reached_on_validation_data(answer, shop, tmp_path):
    summary = answer("train", shop, "-o", tmp_path / "b", "--progress", "quiet")
    reached = summary["metrics"]
    assert 0 < reached["validation_HR@10"] <= reached["validation_HR@20"] <= reached["validation_HR@50"] <= 1
    assert set(reached) == {f"validation_{metric}@{k}" for metric in ("HR", "NDCG") for k in (10, 20, 50)}


def test_json_summary_and_json_progress_do_not_mix(prismrec, shop, tmp_path):
    result = prismrec("train", shop, "-o", tmp_path / "bundle", "--no-tune", "--json", "--progress", "json")
    summary = json.loads(result.stdout)
    assert summary["views"] == {view: len(nodes) for view, nodes in _vocabularies(tmp_path / "bundle").items()}
    assert summary["n_items"] == summary["views"]["item"]
    assert len(summary["training_log"]) >= 2
    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert events[0] == "note"
    assert events.count("epoch") == 2
    assert events[-1] == "end"


def test_bad_rows_are_counted_kept_and_told_of(prismrec, make_shop, tmp_path):
    config = make_shop(tmp_path / "shop", last=40)
    clicks = pq.read_table(config.parent / "clicks.parquet")
    ids = clicks["product_id"].to_pylist()
    ids[3] = ids[5] = None
    place = clicks.column_names.index("product_id")
    pq.write_table(clicks.set_column(place, "product_id", [ids]), config.parent / "clicks.parquet")
    result = prismrec("train", config, "-o", tmp_path / "bundle", "--no-tune", "--progress", "lines")
    assert result.exit_code == 0
    kept = tmp_path / "bundle.quarantine" / "interactions.parquet"
    assert "interactions: 2 rows set aside: 2 missing item id" in result.stderr
    assert f"interactions: the rows set aside are in {kept}" in result.stderr
    assert pq.read_table(kept)["source_row"].to_pylist() == [4, 6]


def test_a_path_with_other_files_is_refused_before_training(prismrec, shop, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    result = prismrec("train", shop, "-o", tmp_path)
    assert result.exit_code == 1
    assert "holds other files" in result.stderr
    assert "epoch" not in result.stderr


def test_a_view_name_that_cannot_be_a_file_is_refused_before_training(prismrec, shop, tmp_path):
    result = prismrec("train", shop, "-o", tmp_path / "bundle", "--set", 'views={"a/b" = "brand"}')
    assert result.exit_code == 1
    assert "the view name 'a/b' cannot name a file" in result.stderr


def test_warm_start_twice_keeps_every_index_and_adds_new_ids(prismrec, make_shop, tmp_path):
    bundles: list[Path] = []
    for number, (first, last) in enumerate([(0, 30), (20, 60), (50, 90)]):
        config = make_shop(tmp_path / f"shop{number}", first, last)
        start = ["--from", bundles[-1]] if bundles else []
        path = tmp_path / f"bundle{number}"
        result = prismrec("train", config, "-o", path, "--no-tune", "--progress", "quiet", *start)
        assert result.exit_code == 0, result.stderr
        bundles.append(path)
    for before, after in itertools.pairwise(bundles):
        for view, nodes in _vocabularies(before).items():
            later = _vocabularies(after)[view]
            assert later.ids[: len(nodes)].equals(nodes.ids)
            assert len(later) > len(nodes)
    assert len(Bundle.open(bundles[-1]).recommend([MILK], k=5)) == 5


def test_warm_start_begins_at_the_old_vectors(prismrec, shop, bundle, tmp_path):
    still = ["--set", "training.learning_rate=1e-9", "--no-tune", "--progress", "quiet"]
    assert prismrec("train", shop, "-o", tmp_path / "bundle", "--from", bundle, *still).exit_code == 0
    before, after = Bundle.open(bundle).contents, Bundle.open(tmp_path / "bundle").contents
    for view in before.vectors:
        assert np.allclose(before.vectors[view].source, after.vectors[view].source, atol=1e-6)
    assert before.alignment.keys() == {"category", "shop"}
    for view, matrices in before.alignment.items():
        assert matrices.shape == (2, 8, 8)
        assert np.allclose(matrices, after.alignment[view], atol=1e-6)


def test_prepared_data_train_the_same_vectors(prismrec, shop, bundle, tmp_path):
    assert prismrec("prepare", shop, "-o", tmp_path / "prepared").exit_code == 0
    result = prismrec("train", shop, "-o", tmp_path / "bundle", "--prepared", tmp_path / "prepared")
    assert result.exit_code == 0, result.stderr
    assert vectors(tmp_path / "bundle") == vectors(bundle)


def test_prepared_data_start_from_a_bundle_they_were_prepared_on(prismrec, make_shop, bundle, tmp_path):
    config = make_shop(tmp_path / "shop", 60, 120)
    train = ["train", config, "-o", tmp_path / "bundle", "--from", bundle, "--prepared"]
    assert prismrec("prepare", config, "-o", tmp_path / "fresh").exit_code == 0
    refused = prismrec(*train, tmp_path / "fresh")
    assert refused.exit_code == 1
    assert "number the nodes of view 'item' unlike the bundle" in refused.stderr
    assert "prepare them with --from that bundle" in refused.stderr
    assert prismrec("prepare", config, "-o", tmp_path / "grown", "--from", bundle).exit_code == 0
    assert prismrec(*train, tmp_path / "grown").exit_code == 0
    old = Bundle.open(bundle).items
    assert Bundle.open(tmp_path / "bundle").items.ids[: len(old)].equals(old.ids)


def test_prepared_data_cannot_be_tuned_on(prismrec, shop, tmp_path):
    result = prismrec("train", shop, "-o", tmp_path / "bundle", "--prepared", tmp_path, "--tune")
    assert result.exit_code == 2


def test_resume_without_a_checkpoint_says_so(prismrec, shop, tmp_path):
    result = prismrec("train", shop, "-o", tmp_path / "bundle", "--resume")
    assert result.exit_code == 1
    assert f"there is no checkpoint in {tmp_path / 'bundle.run'}: start without --resume" in result.stderr
    assert "epoch" not in result.stderr, "it is known before anything is trained"


@pytest.fixture(scope="module")
def uninterrupted(prismrec, shop, tmp_path_factory):
    """The vectors of a long run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = prismrec("train", shop, "-o", folder / "bundle", "--no-tune", *LONG)
    assert result.exit_code == 0, result.stderr
    return vectors(folder / "bundle")


@pytest.mark.slow
def test_killed_and_resumed_ends_bit_equal(process, prismrec, shop, tmp_path, uninterrupted):
    command = ["train", shop, "-o", tmp_path / "bundle", "--no-tune", *LONG]
    with process(*command, *OFTEN) as killed:
        wait_for(tmp_path / "bundle.run" / "checkpoint" / "state.json", killed)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "bundle").exists()
    resumed = prismrec(*command, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "checkpoint read: going on after epoch" in resumed.stderr
    assert vectors(tmp_path / "bundle") == uninterrupted
    assert not (tmp_path / "bundle.run").exists()


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_says_how_to_go_on(process, prismrec, shop, tmp_path, uninterrupted):
    command = ["train", shop, "-o", tmp_path / "bundle", *LONG]
    tuning = tmp_path / "bundle.run" / "tuning"
    with process(*command, *OFTEN) as stopped:
        wait_for(tuning / "checkpoint" / "state.json", stopped)
        stopped.send_signal(signal.SIGINT)
        output, notes = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert output == ""
    last = notes.splitlines()[-1]
    assert last.startswith("prismrec: training stopped by Ctrl-C after epoch")
    assert "--resume" in last
    assert "Traceback" not in notes
    resumed = prismrec(*command, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "checkpoint read: going on after epoch" in resumed.stderr
    assert vectors(tmp_path / "bundle") == uninterrupted


@pytest.mark.slow
def test_sigterm_exits_with_143(process, shop, tmp_path):
    with process("train", shop, "-o", tmp_path / "bundle", "--no-tune", *LONG, *OFTEN) as stopped:
        wait_for(tmp_path / "bundle.run" / "lock", stopped)
        stopped.terminate()
        stopped.communicate(timeout=60)
    assert stopped.returncode == 143


@pytest.mark.parametrize("command", ["train", "tune"])
def test_one_setting_lets_tensorboard_see_every_training(prismrec, shop, tmp_path, command):
    pytest.importorskip("tensorboard")
    more = ["--trials", 1, "--only", "model.window"] if command == "tune" else []
    tracking = ["--set", "tracking.to=tensorboard", "--set", f"tracking.folder={tmp_path / 'curves'}"]
    result = prismrec(command, shop, "-o", tmp_path / "b.toml", "--progress", "quiet", *more, *tracking)
    assert result.exit_code == 0, result.stderr
    runs = [path.name.rpartition("-2")[0] for path in (tmp_path / "curves" / "prismrec").iterdir()]
    assert set(runs) == {"shop0 m2grl"}
    assert len(runs) == (2 if command == "train" else 1), "train: one that chooses the query, and the bundle's own"


def _vocabularies(path):
    return Bundle.open(path).contents.vocabularies
