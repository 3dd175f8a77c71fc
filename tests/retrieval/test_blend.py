"""The scorer against hand-computed numbers and a slow version that follows the docstring term by term."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from prismrec.config import build
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings, popularity_prior


def table(source, target):
    return EmbeddingTable(np.array(source, np.float32), np.array(target, np.float32))


ITEMS = table([[1, 0], [0, 1], [2, 2]], [[1, 1], [3, 0], [0, -1]])
CATEGORIES = table([[1], [5]], [[2], [-4]])
CATEGORIES_OF_ITEMS = Sequences.from_lists([[0], [0, 1], []])
COUNTS = [np.e, np.e**3, 0]  # log(count) is 1, 3 and, for the item never seen, log(1/2)
PRIOR = [-1, 1, -np.log(2) - 2]  # less the mean of the two that were seen


def scorer(**values):
    """The popularity prior is switched off unless asked for."""
    return MultiViewScorer(
        {"item": ITEMS, "category": CATEGORIES},
        {"category": CATEGORIES_OF_ITEMS},
        COUNTS,
        QuerySettings(**{"popularity_weight": 0.0, **values}),
    )


def one(*items):
    return Sequences.from_lists([list(items)])


def test_score_of_one_item_is_source_times_target():
    assert scorer().score(one(2)).tolist() == [[4, 6, -2]]


def test_query_is_the_decayed_mean_of_the_sources_latest_first():
    query = scorer(recency_decay=0.5).query(one(0, 1))  # ages 1 and 0: weights 0.5 and 1
    assert query[0, :2].tolist() == pytest.approx([0.5 / 1.5, 1 / 1.5])


def test_only_the_latest_items_count():
    recent = scorer(history_length=2)
    assert recent.score(one(2, 2, 0, 1)).tolist() == recent.score(one(0, 1)).tolist()
    assert scorer().score(one(2, 2, 0, 1)).tolist() != recent.score(one(0, 1)).tolist()


def test_decay_zero_keeps_the_latest_item_alone():
    assert scorer(recency_decay=0.0).score(one(0, 1, 2)).tolist() == scorer().score(one(2)).tolist()


def test_an_item_twice_in_the_history_weighs_twice():
    query = scorer(recency_decay=1.0).query(one(0, 1, 0))
    assert query[0, :2].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_side_view_vector_is_the_mean_over_nodes_and_zero_without_any():
    vectors = scorer().item_vectors("category")
    assert vectors.source.tolist() == [[1], [3], [0]]
    assert vectors.target.tolist() == [[2], [-1], [0]]


def test_view_weights_scale_and_may_be_negative():
    item_only = np.array([1, 0, -1])  # source of item 1: (0, 1) in the item view, 3 in the category view
    scores = scorer(view_weights={"item": 2.0, "category": -0.5}).score(one(1))
    assert scores[0].tolist() == pytest.approx((2 * item_only - 0.5 * 3 * np.array([2, -1, 0])).tolist())


def test_item_view_may_have_no_weight():
    assert scorer(view_weights={"item": 0.0, "category": 1.0}).score(one(0)).tolist() == [[2, -1, 0]]


def test_prior_is_the_natural_logarithm_less_its_mean_over_items_with_a_count():
    assert popularity_prior(COUNTS).tolist() == pytest.approx(PRIOR)
    assert popularity_prior([8, 2, 0]).tolist() == pytest.approx([np.log(2), -np.log(2), -np.log(8)])
    assert popularity_prior(COUNTS).dtype == np.float32


def test_prior_of_equal_counts_is_zero_and_of_items_never_seen_the_same_for_all():
    assert popularity_prior([7, 7]).tolist() == [0, 0]
    assert popularity_prior([0, 0]).tolist() == pytest.approx([-np.log(2)] * 2)
    assert popularity_prior([]).tolist() == []


def test_differences_of_the_prior_are_log_odds():
    counts = np.array([1, 5, 40, 1000, 0, 3])
    prior = popularity_prior(counts)
    assert prior[counts > 0].mean() == pytest.approx(0, abs=1e-6)
    assert np.exp(prior[3] - prior[1]) == pytest.approx(200, rel=1e-5)
    assert np.exp(prior[4] - prior[0]) == pytest.approx(0.5, rel=1e-5)


def test_popularity_weight_adds_the_prior():
    plain, popular = scorer().score(one(0)), scorer(popularity_weight=0.5).score(one(0))
    assert (popular - plain)[0].tolist() == pytest.approx((0.5 * np.array(PRIOR)).tolist())


def test_by_default_the_prior_weighs_one():
    unset = MultiViewScorer({"item": ITEMS}, {}, COUNTS)
    assert unset.score(one(0))[0].tolist() == pytest.approx(scorer(popularity_weight=1.0).score(one(0))[0].tolist())


@pytest.mark.parametrize("weight", [0.0, 0.5, -3.0])
def test_empty_history_is_answered_by_popularity(weight):
    scores = scorer(popularity_weight=weight, repeat_weight=1.0).score(one())
    assert scores[0].tolist() == pytest.approx(PRIOR)


def test_repeat_bonus_decays_and_adds_up():
    plain = scorer(recency_decay=0.5).score(one(0, 1, 0))
    bonus = scorer(recency_decay=0.5, repeat_weight=10.0).score(one(0, 1, 0)) - plain
    assert bonus[0].tolist() == pytest.approx([10 * (1 + 0.25), 10 * 0.5, 0])


def test_cosine_uses_unit_sources_on_both_sides():
    scores = scorer(similarity="cosine").score(one(2))
    assert scores[0].tolist() == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 1])


def test_cosine_of_an_item_without_nodes_is_zero_not_nan():
    scores = scorer(similarity="cosine", view_weights={"category": 1.0}).score(one(2))
    assert scores.tolist() == [[0, 0, 0]]


def test_scores_are_query_times_targets():
    asked = scorer(view_weights={"item": 0.7, "category": -0.2}, popularity_weight=0.3)
    histories = Sequences.from_lists([[0, 1], [], [2], [1, 1, 0]])
    np.testing.assert_allclose(asked.score(histories), asked.query(histories) @ asked.targets.T, atol=1e-6)
    assert asked.targets.shape == (3, 4)
    assert asked.sources.shape == (3, 3)
    assert asked.score(histories).dtype == np.float32


def test_with_settings_shares_the_vectors_and_leaves_the_first_alone():
    first = scorer()
    before = first.score(one(0)).tolist()
    second = first.with_settings(QuerySettings(view_weights={"category": 1.0}, popularity_weight=0.0))
    assert second.score(one(0)).tolist() == [[2, -1, 0]]
    assert first.score(one(0)).tolist() == before
    assert second.item_vectors("category").source is first.item_vectors("category").source


def test_the_two_similarities_do_not_share_vectors():
    first = scorer()
    before = first.score(one(2)).tolist()
    cosine = first.with_settings(QuerySettings(similarity="cosine", popularity_weight=0.0))
    assert cosine.score(one(2))[0, 2] == pytest.approx(1)
    assert first.score(one(2)).tolist() == before
    assert cosine.targets[2, :2].tolist() == pytest.approx([np.sqrt(0.5)] * 2)


def test_unknown_view_names_the_nearest():
    with pytest.raises(ConfigError, match="no view 'categry'; did you mean 'category'"):
        scorer(view_weights={"categry": 1.0})
    with pytest.raises(ConfigError, match="no view 'zzz'; views are item, category"):
        scorer().with_settings(QuerySettings(view_weights={"zzz": 1.0}))


def test_disagreeing_sizes_are_refused():
    with pytest.raises(DataError, match="view 'item' has rows for 3 items, but there are 2"):
        MultiViewScorer({"item": ITEMS}, {}, [1, 2])
    with pytest.raises(DataError, match="view 'category' has vectors, but nothing says"):
        MultiViewScorer({"item": ITEMS, "category": CATEGORIES}, {}, COUNTS)


@pytest.mark.parametrize(
    "values", [{"recency_decay": 1.5}, {"history_length": 0}, {"view_weights": {"item": float("nan")}}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(QuerySettings, values)
    with pytest.raises(ValidationError):
        QuerySettings(**values)


def slow_scores(tables, nodes, counts, s, history):
    """The docstring of blend.py, one term at a time."""
    n_items = len(counts)
    item_nodes = {view: [[i] for i in range(n_items)] if view == "item" else nodes[view].to_lists() for view in tables}
    recent = list(reversed(history))[: s.history_length]
    scores = np.zeros(n_items)
    for i in range(n_items):
        for view, weight in s.view_weights.items():

            def vector(item, side, view=view):
                rows = [getattr(tables[view], side)[n] for n in item_nodes[view][item]]
                return np.mean(rows, axis=0) if rows else np.zeros(tables[view].source.shape[1])

            total = sum(s.recency_decay**age for age in range(len(recent)))
            for age, item in enumerate(recent):
                product = vector(item, "source") @ vector(i, "target")
                scores[i] += weight * s.recency_decay**age / total * product
        scores[i] += (s.popularity_weight if recent else 1.0) * popularity_prior(counts)[i]
        scores[i] += s.repeat_weight * sum(s.recency_decay**age for age, h in enumerate(recent) if h == i)
    return scores


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_batch_equals_the_slow_version(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n_items, n_nodes = 6, 4
    tables = {
        "item": table(rng.normal(size=(n_items, 3)), rng.normal(size=(n_items, 3))),
        "shop": table(rng.normal(size=(n_nodes, 2)), rng.normal(size=(n_nodes, 2))),
    }
    nodes = {"shop": Sequences.from_lists([rng.choice(n_nodes, rng.integers(0, 3), replace=False) for _ in range(6)])}
    counts = rng.integers(0, 5, n_items)
    s = QuerySettings(
        view_weights={"item": rng.normal(), "shop": rng.normal()},
        history_length=data.draw(st.integers(1, 5)),
        recency_decay=data.draw(st.floats(0, 1)),
        popularity_weight=rng.normal(),
        repeat_weight=rng.normal(),
    )
    histories = data.draw(st.lists(st.lists(st.integers(0, n_items - 1), max_size=7), min_size=1, max_size=4))
    found = MultiViewScorer(tables, nodes, counts, s).score(Sequences.from_lists(histories))
    slow = np.array([slow_scores(tables, nodes, counts, s, history) for history in histories])
    np.testing.assert_allclose(found, slow, rtol=1e-4, atol=1e-4)
