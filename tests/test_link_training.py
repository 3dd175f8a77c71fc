"""Entities as a bundle: the triples of the settings become vectors that answer by id, and go on where they stopped."""

import os
import signal
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from prismrec.errors import ArtifactError, ConfigError
from prismrec.pipeline import run_folder_of, train, train_prepared
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import read_settings
from prismrec.training.loop import TrainingInterrupted
from prismrec.training.progress import QuietProgress

FAST = ["algorithm=transe", "training.epochs=12", "training.patience=2", "training.validate_every=4"]


class Told(QuietProgress):
    """Remembers what it was told."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def trained(write_links, tmp_path_factory):
    """A bundle of the grid, the settings that it was made with, and what was told meanwhile."""
    folder, told = tmp_path_factory.mktemp("links"), Told()
    settings = read_settings(write_links(folder), [*FAST, "training.epochs=40"])
    return train(settings, folder / "bundle", progress=told), settings, told.notes


def test_entities_are_the_items_and_their_labels_the_item_table(trained):
    bundle = trained[0]
    assert len(bundle.items) == 25
    labels = bundle.contents.item_columns.column("label").to_pylist()
    assert len(labels) == 25
    assert bundle.similar("2,2", k=1)[0].columns["label"]


def test_places_that_are_near_are_similar(trained):
    bundle = trained[0]
    near = [abs(int(y) - 2) + abs(int(x) - 2) for y, x in (a.item_id.split(",") for a in bundle.similar("2,2", k=4))]
    assert np.mean(near) < 2.3, "the mean distance of all others is 2.5"


def test_similarity_is_the_cosine_either_way(trained):
    plain, cosine = (trained[0].similar("2,2", k=24, similarity=kind) for kind in ("source_target", "cosine"))
    assert [answer.item_id for answer in plain] == [answer.item_id for answer in cosine]
    np.testing.assert_allclose([a.score for a in plain], [a.score for a in cosine], atol=1e-5)
    assert max(answer.score for answer in plain) <= 1 + 1e-5


def test_bundle_opens_again_with_its_metrics_and_its_settings(trained):
    bundle = Bundle.open(trained[0].path)
    assert 0 < bundle.manifest.metrics["held_out_MRR"] <= 1
    assert bundle.manifest.config["models"]["transe"]["embedding_dim"] == 16
    assert bundle.manifest.config["algorithm"] == "transe"
    assert bundle.manifest.data_fingerprint


def test_first_model_stops_by_held_out_triples_and_the_second_learns_from_all(trained):
    bundle, settings, notes = trained
    assert notes[0] == "25 entities, 3 relations, 40 triples and 20 held out"
    assert [note.split(":")[0] for note in notes if note.startswith("t")] == ["tuning", "training"]
    log = bundle.contents.training_log
    assert 0 < len(log) <= settings.training.epochs
    assert log[0]["n_examples"] == 2 * (40 + 20)


def test_without_tuning_epochs_are_those_of_the_settings(write_links, tmp_path):
    settings = read_settings(write_links(tmp_path), [*FAST, "training.epochs=3"])
    bundle = train(settings, tmp_path / "bundle", tune_on_validation=False)
    assert len(bundle.contents.training_log) == 3
    assert not bundle.manifest.metrics


def test_stopped_training_goes_on_to_the_same_vectors(write_links, tmp_path):
    settings = read_settings(write_links(tmp_path), [*FAST, "training.checkpoint_minutes=1e-9", "training.epochs=4"])

    class Stop(QuietProgress):
        def epoch(self, entry):
            if entry.epoch == 2 and entry.validation is None:
                os.kill(os.getpid(), signal.SIGTERM)

    whole = train(settings, tmp_path / "whole", tune_on_validation=False)
    with pytest.raises(TrainingInterrupted):
        train(settings, tmp_path / "stopped", tune_on_validation=False, progress=Stop())
    assert run_folder_of(tmp_path / "stopped").exists()
    resumed = train(settings, tmp_path / "stopped", tune_on_validation=False, resume=True)
    for bundle in (whole, resumed):
        assert len(bundle.contents.training_log) == 4
    one, two = (np.asarray(bundle.contents.vectors["item"].source) for bundle in (whole, resumed))
    np.testing.assert_array_equal(one, two)
    assert not run_folder_of(tmp_path / "stopped").exists()


def test_resuming_nothing_is_refused(write_links, tmp_path):
    with pytest.raises(ArtifactError, match="start without --resume"):
        train(read_settings(write_links(tmp_path), FAST), tmp_path / "bundle", resume=True)


def test_tables_and_bundles_to_start_from_are_refused(trained, tmp_path):
    bundle, settings, _ = trained
    nothing: Any = None  # it is refused before it is looked at
    with pytest.raises(ConfigError, match=r"transe learns from the triples of .* takes no tables and no bundle"):
        train(settings, tmp_path / "bundle", start=bundle)
    with pytest.raises(ConfigError, match="transe learns from triples, not from prepared clicks"):
        train_prepared(nothing, settings, tmp_path / "bundle")
