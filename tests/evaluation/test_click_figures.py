"""Figures side by side: by hand where they can be, and the bootstrap against one that repeats rows."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.evaluation.click_figures import (
    ACCURACY,
    AUC,
    F1,
    METRICS,
    USER_AUC,
    _Drawn,
    compare_clicks,
    half_width,
)
from prismrec.evaluation.clicks import ClickQueries, ClickResults, pooled_auc
from prismrec.evaluation.protocols import EvaluationSettings
from prismrec.evaluation.tables import Experiment

SETTINGS = EvaluationSettings(n_resamples=200)
N_USERS = 25


def deal(seed=0, lost=0):
    """Up to six pairs of 25 users; labels at random."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 100, rng.integers(2, 7)) for _ in range(N_USERS)]
    candidates = Sequences.from_lists(rows)
    labels = rng.random(len(candidates.values)) < 0.5
    ids = pa.array([f"u{u}" for u in rng.permutation(40)[:N_USERS]])
    left_out = {"users_without_training_clicks": lost} if lost else {}
    return ClickQueries(Sequences.from_lists([[0]] * N_USERS), np.arange(N_USERS), candidates, labels, ids, left_out)


def answered(queries, skill, seed=0, threshold=0.5):
    """Scores that know the label by so much, rounded so that some are tied."""
    noise = np.random.default_rng(seed).normal(size=len(queries.labels))
    scores = np.round(skill * queries.labels + noise, 1)
    return ClickResults(queries, scores, "raw", threshold, 0.5, 0.25)


DEALS = [deal(0), deal(1, lost=2), deal(2)]
RESULTS = {
    name: [answered(queries, skill, seed) for seed, queries in enumerate(DEALS)]
    for name, skill in (("popularity", 0.3), ("easy", 0.6), ("ripplenet", 1.5), ("ripplenet_shuffled", 1.0))
}
EXPERIMENT = Experiment("films", "click", ("popularity", "easy"), {"popularity": 1.25})


@pytest.fixture(scope="module")
def compared():
    return compare_clicks(RESULTS, EXPERIMENT, SETTINGS, {"ripplenet": ["ripplenet_shuffled"]})


def test_each_figure_is_the_mean_over_the_deals(compared):
    own = RESULTS["ripplenet"]
    truths = [(one.queries.labels, one.scores, one.scores > 0.5) for one in own]
    expected = {
        AUC: [roc_auc_score(labels, scores) for labels, scores, _ in truths],
        ACCURACY: [accuracy_score(labels, taken) for labels, _, taken in truths],
        F1: [f1_score(labels, taken) for labels, _, taken in truths],
    }
    for metric, values in expected.items():
        figure = compared.figures[metric]["ripplenet"]
        np.testing.assert_allclose(figure.deals, values)
        assert figure.estimate.mean == pytest.approx(np.mean(values))


def test_the_auc_of_users_is_the_mean_over_those_who_have_both(compared):
    one = RESULTS["easy"][0]
    own = [one.queries.owners == user for user in range(N_USERS)]
    both = [mine for mine in own if 0 < one.queries.labels[mine].sum() < mine.sum()]
    expected = np.mean([roc_auc_score(one.queries.labels[mine], one.scores[mine]) for mine in both])
    assert 0 < len(both) < N_USERS
    assert compared.figures[USER_AUC]["easy"].deals[0] == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_a_draw_of_users_is_the_figure_of_their_pairs_repeated(metric):
    one = RESULTS["easy"][1]
    weights = np.random.default_rng(0).integers(0, 3, (4, N_USERS))
    for drawn, weight in zip(_Drawn(metric, one)(weights.astype(np.float32), 0.0), weights, strict=True):
        users = np.repeat(np.arange(N_USERS), weight)
        queries = one.queries
        starts, stops = queries.candidates.offsets[:-1], queries.candidates.offsets[1:]
        places = np.concatenate([np.arange(starts[u], stops[u]) for u in users])
        repeated = ClickQueries(
            Sequences.from_lists([[0]] * len(users)), users, queries.candidates.take(users), queries.labels[places],
            queries.clusters.take(pa.array(users)),
        )  # fmt: skip
        again = ClickResults(repeated, one.scores[places], "raw", 0.5, 0.0, 0.0)
        ratio = _Drawn(metric, again)._ratio
        expected = pooled_auc(again.scores, repeated.labels)
        if metric != AUC:
            assert ratio is not None
            expected = ratio[0].sum() / ratio[1].sum()
        assert drawn == pytest.approx(expected)


def test_a_draw_without_clicks_counts_as_the_whole():
    one = RESULTS["easy"][0]
    for metric in METRICS:
        assert _Drawn(metric, one)(np.zeros((1, N_USERS), np.float32), 0.7).tolist() == [0.7]


def test_a_user_is_drawn_with_all_deals_and_the_same_for_all_models():
    twice = {"a": [RESULTS["easy"][0]] * 2, "b": [RESULTS["easy"][0]] * 2}
    once = {"a": [RESULTS["easy"][0]]}
    both = compare_clicks(twice, Experiment("x", "click", ("b",)), SETTINGS, {}).figures[AUC]["a"]
    single = compare_clicks(once, Experiment("x", "click"), SETTINGS, {}).figures[AUC]["a"]
    assert both.estimate == single.estimate
    assert both.difference.low == both.difference.high == 0
    assert both.difference.p_value == 1


def test_the_interval_over_deals_is_student_s():
    values = np.array([0.90, 0.91, 0.92, 0.91, 0.90])
    assert half_width(values, 0.95) == pytest.approx(2.776445 * np.std(values, ddof=1) / np.sqrt(5))
    assert half_width(values[:1], 0.95) is None


def test_the_best_simple_baseline_is_the_reference_of_each_figure(compared):
    for metric in METRICS:
        figures = compared.figures[metric]
        best = max(("popularity", "easy"), key=lambda name: figures[name].estimate.mean)
        assert figures["ripplenet"].reference == best
        assert figures[best].difference is None
        assert figures["ripplenet"].difference.mean == pytest.approx(
            figures["ripplenet"].estimate.mean - figures[best].estimate.mean
        )


def test_a_knowledge_aware_model_is_told_apart_from_its_controls(compared):
    found = compared.controls["ripplenet"]["ripplenet_shuffled"][AUC]
    means = [compared.figures[AUC][name].estimate.mean for name in ("ripplenet", "ripplenet_shuffled")]
    assert found.mean == pytest.approx(means[0] - means[1])
    assert found.low < found.mean < found.high


def test_models_on_different_pairs_are_not_compared():
    with pytest.raises(DataError, match="'b' and 'a' were measured on different pairs"):
        compare_clicks({"a": RESULTS["easy"][:1], "b": RESULTS["easy"][1:2]}, EXPERIMENT, SETTINGS, {})
    with pytest.raises(DataError, match="no results to compare"):
        compare_clicks({}, EXPERIMENT, SETTINGS, {})


def test_users_with_one_kind_of_pair_alone_have_no_auc():
    labels, ids = np.array([True, False]), pa.array(["a", "b"])
    apart = ClickQueries(Sequences.from_lists([[0], [0]]), np.arange(2), Sequences.from_lists([[1], [2]]), labels, ids)
    with pytest.raises(DataError, match="no user has both a click and a negative"):
        compare_clicks({"a": [answered(apart, 1.0)]}, Experiment("x", "click"), SETTINGS, {})
