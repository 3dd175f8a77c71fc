"""prismrec train in several processes: by --processes, and under torchrun on prepared data."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torchrec", reason='needs pip install "prismrec[cluster]"', exc_type=ImportError)

from prismrec.retrieval.bundle import Bundle

ONE_EPOCH = ["--set", "training.epochs=1", "--progress", "lines"]


def vectors(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "vectors").iterdir())}


@pytest.fixture(scope="module")
def prepared(prismrec, shop, tmp_path_factory):
    """The shop's data in three shards."""
    folder = tmp_path_factory.mktemp("prepared") / "shards"
    assert prismrec("prepare", shop, "-o", folder, "--shards", "3").exit_code == 0
    return folder


@pytest.fixture(scope="module")
def two(prismrec, shop, prepared, tmp_path_factory):
    """The bundle of two processes on these data, and what was said."""
    path = tmp_path_factory.mktemp("two") / "bundle"
    return path, prismrec("train", shop, "-o", path, "--prepared", prepared, "--processes", "2", *ONE_EPOCH)


@pytest.mark.slow
def test_two_processes_write_a_bundle_that_says_how_it_was_made(two, shop):
    path, result = two
    assert result.exit_code == 0, result.stderr
    assert "2 processes train together: implementation torch, tables shared out by TorchRec" in result.stderr
    assert "epoch 1/1" in result.stderr
    bundle = Bundle.open(path)
    config = json.loads((path / "manifest.json").read_text())["config"]
    assert config["sharding"]["processes"] == 2
    assert config["training"]["implementation"] == "torch"
    assert len(bundle.recommend([bundle.items.id_of(0)], k=5)) == 5
    assert sorted(place.name for place in path.parent.iterdir()) == ["bundle"], "nothing is left beside it"


@pytest.mark.slow
def test_torchrun_gives_the_same_bundle_bit_for_bit(two, shop, prepared, tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "prismrec",
        "train", shop, "--prepared", prepared, "-o", tmp_path / "bundle", *ONE_EPOCH,
    ]  # fmt: skip
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Next: prismrec similar") == 1, "only the process of rank 0 speaks"
    assert vectors(tmp_path / "bundle") == vectors(two[0])


@pytest.mark.slow
def test_one_process_in_torch_reaches_about_the_same_vectors_scores(two, prismrec, shop, prepared, tmp_path):
    options = ["--prepared", prepared, "--set", "training.implementation=torch", *ONE_EPOCH]
    assert prismrec("train", shop, "-o", tmp_path / "one", *options).exit_code == 0
    logs = [json.loads((path / "training_log.json").read_text())[-1] for path in (two[0], tmp_path / "one")]
    assert logs[0]["losses"] == pytest.approx(logs[1]["losses"], rel=0.05)
    assert logs[0]["n_examples"] == pytest.approx(logs[1]["n_examples"], rel=0.05)


@pytest.mark.slow
def test_warm_start_in_two_processes_begins_from_the_old_vectors(two, prismrec, shop, tmp_path):
    result = prismrec(
        "train", shop, "-o", tmp_path / "next", "--no-tune", "--from", two[0], "--processes", "2", *ONE_EPOCH,
        "--set", "training.learning_rate=1e-6",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    old, new = (Bundle.open(path).contents.vectors["item"].source for path in (two[0], tmp_path / "next"))
    np.testing.assert_allclose(new, old, atol=1e-4)


def test_under_torchrun_data_must_be_prepared(prismrec, shop, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "0")
    refused = prismrec("train", shop, "-o", tmp_path / "b")
    assert refused.exit_code == 1
    assert "run `prismrec prepare CONFIG -o DIR --shards N`, then `torchrun" in refused.stderr
    twice = prismrec("train", shop, "-o", tmp_path / "b", "--processes", "2")
    assert twice.exit_code == 2
    assert "torchrun has started the processes already" in twice.stderr
    assert "RANK" in os.environ


def test_early_stopping_with_processes_is_refused_in_one_line(prismrec, shop, tmp_path):
    refused = prismrec("train", shop, "-o", tmp_path / "b", "--processes", "2", "--set", "training.patience=2")
    assert refused.exit_code == 1
    assert "training.patience = 2: early stopping validates in one process" in refused.stderr
