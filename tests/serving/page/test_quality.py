"""Training curves, the comparison, the long tail: from what a bundle carries."""

import json

import numpy as np
import pyarrow as pa
import pytest

from prismrec.errors import DataError
from prismrec.evaluation.protocols import EvaluationSettings, Results
from prismrec.evaluation.tables import Experiment, compare, to_json
from prismrec.serving.page.quality import evaluation_document, long_tail, training_curves
from prismrec.training.log import EpochLog, TracePoint, TrainingLog


def test_curves_come_from_the_points_within_the_epochs():
    log = TrainingLog(
        epochs=(
            EpochLog(1, {"item": 2.0}, {"item": 0.5}, n_examples=10, seconds=1.5, validation=0.1),
            EpochLog(2, {"item": 1.0}, {"item": 0.4}, n_examples=10, seconds=2.5),
        ),
        trace=(
            TracePoint(0.5, {"item": 2.5}, {"item": 0.6}),
            TracePoint(1.5, {"item": 1.2, "shop": 3.0}, {"item": 0.45}),
        ),
        kept_epoch=2,
    )
    curves = training_curves(log.records())
    assert curves["losses"] == {"item": [[0.5, 2.5], [1.5, 1.2]], "shop": [[1.5, 3.0]]}
    assert curves["weights"] == {"item": [[0.5, 0.6], [1.5, 0.45]]}
    assert curves["validation"] == [[1, 0.1]]
    assert (curves["kept_epoch"], curves["n_epochs"], curves["seconds"]) == (2, 2, 4.0)


def test_epochs_stand_in_where_there_are_no_points_within():
    curves = training_curves([{"epoch": 1, "losses": {"item": 0.7}, "task_weights": {"item": 1.0}}])
    assert curves["losses"] == {"item": [[1, 0.7]]}
    assert curves["kept_epoch"] is None


def test_bundle_without_a_log_has_no_curves():
    assert training_curves([]) == {
        "losses": {}, "weights": {}, "validation": [], "kept_epoch": None, "n_epochs": 0, "seconds": 0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def document():
    """What `prismrec evaluate -o` writes of two invented models."""
    rng = np.random.default_rng(3)

    def results(rate: float) -> Results:
        hits = (rng.random(60) < rate).astype(float)
        rare = np.arange(60) < 20
        return Results(
            values={"HR@10": hits, "AUC": hits / 2 + 0.4},
            slices={"all": np.ones(60, bool), "rare": rare, "none": np.zeros(60, bool)},
            clusters=pa.array(range(60)), totals={"coverage@10": rate},
            counts={"queries": 60, "targets": 60, "unknown_targets": 0, "seen_targets": 0, "empty_truths": 0},
            exclude_seen=True, n_items=500, score_seconds=0.1, rank_seconds=0.1,
        )  # fmt: skip

    found = {"popularity": results(0.2), "m2grl": results(0.5)}
    experiment = Experiment("invented", "next_item", ("popularity",), {"popularity": 0.1, "m2grl": 4.0})
    return json.loads(json.dumps(to_json(compare(found, experiment, EvaluationSettings(n_resamples=100)))))


def test_comparison_is_shown_with_what_stands_behind_it(document):
    shown = evaluation_document(document)
    assert shown is not None
    assert (shown["data"], shown["protocol"], shown["n_items"], shown["exclude_seen"]) == (
        "invented",
        "next_item",
        500,
        True,
    )
    assert shown["parts"] == ["all", "rare"], "a slice without queries is not offered"
    assert shown["metrics"] == ["HR@10", "AUC"]
    assert shown["figures"]["m2grl"]["all"]["HR@10"] == document["models"]["m2grl"]["figures"]["all"]["HR@10"]
    assert shown["figures"]["m2grl"]["rare"]["AUC"]["difference"]["p_value"] >= 0
    assert shown["n_resamples"] == 100


def test_bundle_without_a_comparison_shows_none():
    assert evaluation_document(None) is None
    assert evaluation_document({}) is None


@pytest.mark.parametrize("broken", [{"data": "x"}, {"models": {}}, {"models": {"a": {"figures": 3}}}, {"models": []}])
def test_document_of_another_kind_is_refused(broken):
    with pytest.raises(DataError, match=r"not what `prismrec evaluate -o` writes .*: measure again"):
        evaluation_document(broken)


def test_long_tail_by_hand():
    shown = long_tail(np.array([6, 0, 1, 1, 2, 0, 30]))
    assert [(g["low"], g["high"], g["n_items"], g["n_clicks"]) for g in shown["groups"]] == [
        (0, 0, 2, 0), (1, 1, 2, 2), (2, 4, 1, 2), (5, 9, 1, 6), (10, 19, 0, 0), (20, 49, 1, 30),
    ]  # fmt: skip
    assert (shown["n_items"], shown["n_clicks"]) == (7, 40)
    assert shown["head_share"] == 30 / 40, "the top 1 % is one item at least"
    assert shown["half"] == 1 / 7
    assert shown["concentration"][:3] == ((0.0, 0.0), (1 / 7, 30 / 40), (2 / 7, 36 / 40))


def test_every_item_is_in_one_group():
    counts = np.random.default_rng(0).zipf(1.5, 5000) - 1
    shown = long_tail(counts)
    assert sum(group["n_items"] for group in shown["groups"]) == 5000
    assert sum(group["n_clicks"] for group in shown["groups"]) == counts.sum()
    assert shown["groups"][-1]["high"] is None


def test_half_of_even_clicks_goes_to_half_of_the_items():
    assert long_tail(np.full(10, 3))["half"] == 0.5


def test_catalogue_without_clicks_has_no_curve():
    shown = long_tail(np.zeros(3, np.int64))
    assert (shown["concentration"], shown["half"], shown["head_share"]) == ((), 0.0, 0.0)
