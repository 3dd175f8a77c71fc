"""Pairs scored and told apart: figures by hand, and against definitions that count every pair."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from prismrec.data.click_splits import LabelledPairs
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError, TrainingError
from prismrec.evaluation import clicks
from prismrec.evaluation.clicks import (
    ClickQueries,
    best_scale,
    best_threshold,
    click_score,
    clicks_from,
    pair_scores,
    pooled_auc,
    told_apart,
    user_aucs,
)

N_ITEMS = 4
SCORES = np.array([[1, 2, 3, 4], [10, 0, 0, 0], [5, 5, 5, 5]], np.float32)


class Table:
    """Scores of a table, by user."""

    def score_users(self, histories, users):
        return SCORES[users].copy()


class Pairs(Table):
    """The same, pair by pair."""

    comparable = True

    def __init__(self):
        self.asked = []

    def score_candidates(self, histories, users, candidates):
        self.asked.append(candidates.copy())
        return SCORES[users[:, None], candidates]


def queries(candidates=((0, 3), (0, 1, 2), (2,)), labels=(0, 1, 1, 0, 0, 1), users=(0, 1, 2)):
    rows = Sequences.from_lists([[0]] * len(users))
    ids = pa.array([f"u{u}" for u in users])
    candidates = Sequences.from_lists([list(row) for row in candidates])
    return ClickQueries(rows, np.array(users), candidates, np.array(labels, bool), ids)


def test_the_pooled_auc_counts_equal_scores_as_one_half():
    scores, labels = np.array([4.0, 2.0, 2.0, 1.0, 3.0]), np.array([True, True, False, False, False])
    assert pooled_auc(scores, labels) == pytest.approx((3 + 0.5 + 1) / 6)
    assert pooled_auc(np.zeros(5), labels) == 0.5


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_pooled_auc_is_that_of_scikit_learn(pairs):
    scores, labels = np.array([s for s, _ in pairs], float), np.array([click for _, click in pairs])
    if labels.any() and not labels.all():
        assert pooled_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_the_auc_within_users_by_counting():
    rng = np.random.default_rng(0)
    rows = [list(range(n)) for n in (5, 2, 7, 1, 3)]
    labels = np.array([1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0], bool)
    asked = queries(rows, labels, users=range(5))
    scores = rng.integers(0, 3, 18).astype(float)
    found = user_aucs(scores, asked)
    for user in (0, 1, 2):
        own = asked.owners == user
        assert found[user] == pytest.approx(roc_auc_score(labels[own], scores[own]))
    assert np.isnan(found[[3, 4]]).all()  # a click alone, negatives alone


@pytest.mark.parametrize(
    ("scores", "labels", "threshold"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 2.5),
        ([1, 2, 2, 3], [0, 1, 1, 0], 1.5),  # 3 of 4; so is no other
        ([1, 2], [1, 1], 0.0),  # all are clicks: one below the lowest
        ([1, 2], [0, 0], 3.0),
        ([1, 2], [1, 0], 0.0),  # one right either way: the lowest
        ([7, 7, 7], [1, 0, 0], 8.0),
    ],
)
def test_the_threshold_is_the_most_accurate(scores, labels, threshold):
    assert best_threshold(np.array(scores, float), np.array(labels, bool)) == threshold


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30))
def test_no_threshold_is_more_accurate(pairs):
    scores, labels = np.array([s for s, _ in pairs], float), np.array([click for _, click in pairs])
    best = ((scores > best_threshold(scores, labels)) == labels).sum()
    assert best == max(((scores > t) == labels).sum() for t in np.arange(-4.5, 5))


def test_scores_are_gathered_for_each_pair_and_standardised_over_the_catalogue():
    found = pair_scores(Table(), queries(), N_ITEMS)
    np.testing.assert_allclose(found["raw"], [1, 4, 10, 0, 0, 5])
    own = [(1 - 2.5) / np.sqrt(1.25), (4 - 2.5) / np.sqrt(1.25), 7.5 / np.sqrt(18.75), *[-2.5 / np.sqrt(18.75)] * 2]
    np.testing.assert_allclose(found["standardised"], [*own, 0.0])


def test_few_scores_in_memory_give_the_same(monkeypatch):
    whole = pair_scores(Table(), queries(), N_ITEMS)
    monkeypatch.setattr(clicks, "SCORES_AT_ONCE", N_ITEMS)
    for scale, scores in pair_scores(Table(), queries(), N_ITEMS).items():
        np.testing.assert_array_equal(scores, whole[scale])


def test_a_pair_scorer_is_asked_for_its_pairs_alone():
    scorer = Pairs()
    found = pair_scores(scorer, queries(), N_ITEMS)
    assert list(found) == ["raw"]
    np.testing.assert_allclose(found["raw"], [1, 4, 10, 0, 0, 5])
    assert len(scorer.asked) == 1
    assert scorer.asked[0].shape == (3, 3)


def test_users_with_many_pairs_do_not_make_others_long(monkeypatch):
    rng = np.random.default_rng(0)
    lengths = [1, 40, 2, 3, 39, 1]
    rows = [rng.integers(0, N_ITEMS, n) for n in lengths]
    asked = queries(rows, np.arange(sum(lengths)) % 2, users=[0, 1, 2, 0, 1, 2])
    scorer = Pairs()
    found = pair_scores(scorer, asked, N_ITEMS)["raw"]
    np.testing.assert_allclose(found, SCORES[asked.users[asked.owners], asked.candidates.values])
    assert sorted(batch.shape for batch in scorer.asked) == [(2, 40), (4, 3)]
    monkeypatch.setattr(clicks, "PAIRS_AT_ONCE", 6)
    few = Pairs()
    np.testing.assert_array_equal(pair_scores(few, asked, N_ITEMS)["raw"], found)
    assert max(batch.shape[0] for batch in few.asked) == 2


def test_one_that_does_not_compare_users_is_standardised_too():
    scorer = Pairs()
    scorer.comparable = False
    assert list(pair_scores(scorer, queries(), N_ITEMS)) == ["raw", "standardised"]


def test_the_better_scale_is_taken_and_raw_where_they_are_equal():
    labels = np.array([True, False, True, False])
    good, bad = np.array([2.0, 1.0, 2.0, 1.0]), np.array([1.0, 2.0, 2.0, 1.0])
    assert best_scale({"raw": bad, "standardised": good}, labels) == ("standardised", 1.0)
    assert best_scale({"raw": good, "standardised": good}, labels) == ("raw", 1.0)


def test_scale_and_threshold_come_from_validation():
    validation = queries(labels=(0, 1, 1, 0, 0, 0))  # standardised: user 2 stands in the middle, raw: above user 0
    found = told_apart(Table(), validation, queries(), N_ITEMS)
    assert found.scale == "standardised"
    assert found.validation == 1.0
    assert click_score(Table(), validation, N_ITEMS) == 1.0
    assert found.threshold == pytest.approx((0 + 1.5 / np.sqrt(1.25)) / 2)
    np.testing.assert_allclose(found.scores, pair_scores(Table(), queries(), N_ITEMS)["standardised"])


def test_a_score_that_is_not_finite_names_user_and_item(monkeypatch):
    monkeypatch.setitem(globals(), "SCORES", np.where(SCORES == 10, np.nan, SCORES))
    with pytest.raises(TrainingError, match="item index 0 scores nan for user u1, but scores must be finite"):
        pair_scores(Table(), queries(), N_ITEMS)


def test_pairs_of_one_kind_are_refused():
    with pytest.raises(DataError, match=r"0 of 6 pairs are clicks"):
        queries(labels=[0] * 6)


def test_users_without_training_clicks_are_left_out_and_counted():
    histories = Sequences.from_lists([[2, 1], []])
    data = PreparedData(
        Vocabulary.from_ids(list(range(4))), histories, Vocabulary.from_ids(["known", "idle"]), histories
    )
    pairs = LabelledPairs(
        pa.array(["idle", "known", "nobody"]),
        Sequences.from_lists([[0, 1], [3, 0], [1, 2]]),
        np.array([1, 0, 1, 0, 1, 0], bool),
    )
    found = clicks_from(pairs, data)
    assert found.clusters.to_pylist() == ["known"]
    assert found.histories.to_lists() == [[2, 1]]
    assert found.users.tolist() == [0]
    assert found.candidates.to_lists() == [[3, 0]]
    assert found.labels.tolist() == [True, False]
    assert found.left_out == {"users_without_training_clicks": 2, "their_pairs": 4}


def test_a_sample_of_users_keeps_their_pairs():
    asked = queries([[0, 3], [1, 2, 0], [2, 1]] * 4, [1, 0, 0, 1, 0, 1, 0] * 4, users=[0, 1, 2] * 4)
    few = asked.sampled(5, seed=0)
    assert len(few) == 5
    assert few.labels.sum() == 5
    for row, user in enumerate(few.users.tolist()):
        assert few.candidates[row].tolist() == [[0, 3], [1, 2, 0], [2, 1]][user]
    assert asked.sampled(12, seed=0) is asked
    assert asked.sampled(5, seed=0).clusters.equals(few.clusters)
