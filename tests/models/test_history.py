import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.config import build
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.models.baselines.item_knn import ItemKNN, ItemKNNConfig
from prismrec.models.history import (
    HistorySettings,
    add_priors,
    asked_with,
    fit_settings,
    popularity_prior,
    query_matrix,
    score_by_neighbours,
    user_item_counts,
)

HALVES = HistorySettings(history_length=3, recency_decay=0.5)


def slow_query(row, n_items, settings):
    weights = np.zeros(n_items)
    for age, item in enumerate(reversed(row)):
        if settings.history_length == 0 or age < settings.history_length:
            weights[item] += settings.recency_decay**age
    return weights


def test_the_latest_item_weighs_one_and_each_step_back_the_decay():
    assert query_matrix(Sequences.from_lists([[1, 0, 2]]), 3, HALVES).toarray().tolist() == [[0.5, 0.25, 1.0]]


def test_only_the_latest_items_count():
    assert query_matrix(Sequences.from_lists([[0, 1, 2, 3]]), 4, HALVES).toarray().tolist() == [[0, 0.25, 0.5, 1]]


def test_an_item_that_occurs_twice_adds_both_weights():
    assert query_matrix(Sequences.from_lists([[0, 1, 0]]), 2, HALVES).toarray().tolist() == [[1.25, 0.5]]


@given(
    rows=st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=6),
    length=st.integers(0, 6),
    decay=st.floats(0.1, 1.0),
)
@settings(max_examples=150, deadline=None)
def test_queries_equal_the_slow_definition(rows, length, decay):
    chosen = HistorySettings(history_length=length, recency_decay=decay)
    expected = np.array([slow_query(row, 6, chosen) for row in rows]).reshape(len(rows), 6)
    queries = query_matrix(Sequences.from_lists(rows), 6, chosen)
    assert queries.shape == expected.shape
    np.testing.assert_allclose(queries.toarray(), expected, rtol=1e-5)


def test_queries_of_a_slice_are_those_of_the_whole():
    histories = Sequences.from_lists([[0, 1], [2, 0], [1]])
    part = query_matrix(histories.slice(1, 3), 3, HALVES).toarray()
    assert part.tolist() == query_matrix(histories, 3, HALVES).toarray()[1:].tolist()


def test_an_unknown_item_in_a_history_is_refused():
    with pytest.raises(DataError, match=r"item indices 0\.\.1, got -1\.\.1; leave items out"):
        query_matrix(Sequences.from_lists([[-1, 1]]), 2, HALVES)


def test_the_popularity_prior_is_the_standardised_logarithm():
    # log(1 + count) is 0, log 3, 2 log 3: mean log 3, spread log 3 * sqrt(2 / 3)
    np.testing.assert_allclose(popularity_prior(np.array([0, 2, 8])), [-np.sqrt(1.5), 0, np.sqrt(1.5)], atol=1e-6)


@pytest.mark.parametrize("counts", [[3, 3, 3], [0], []])
def test_the_prior_of_equal_counts_is_zero(counts):
    assert popularity_prior(np.array(counts, np.int64)).tolist() == [0.0] * len(counts)


def test_priors_are_added_with_their_weights():
    chosen = HistorySettings(popularity_weight=2.0, repeat_weight=3.0)
    queries = sp.csr_array(np.array([[0, 0.5], [0, 0]], np.float32))
    scores = add_priors(np.ones((2, 2), np.float32), queries, np.array([-1, 1], np.float32), chosen)
    assert scores.tolist() == [[-1.0, 3.0 + 1.5], [-1.0, 3.0]]


def test_scores_by_neighbours_are_the_matrix_product():
    rng = np.random.default_rng(1)
    queries = sp.csr_array(sp.random_array((20, 30), density=0.2, rng=rng, dtype=np.float32))
    similarity = sp.csr_array(sp.random_array((30, 30), density=0.3, rng=rng, dtype=np.float32))
    expected = queries.toarray().astype(np.float64) @ similarity.toarray()
    np.testing.assert_allclose(score_by_neighbours(queries, similarity), expected, rtol=1e-5, atol=1e-6)


def test_user_item_counts_count_repeats():
    items, users = Vocabulary.from_ids(["a", "b", "c"]), Vocabulary.from_ids([1, 2])
    rows = Sequences.from_lists([[0, 1, 0], [2]])
    assert user_item_counts(PreparedData(items, rows, users, rows)).toarray().tolist() == [[2, 1, 0], [0, 0, 1]]
    assert rows.to_lists() == [[0, 1, 0], [2]]


def fitted_knn(**values):
    """Item-kNN on six users of four items."""
    histories = Sequences.from_lists([[0, 1, 2], [0, 1], [1, 2, 3], [3, 0], [2, 3], [1, 0, 3]])
    items = Vocabulary.from_ids(list("abcd"), np.bincount(histories.values))
    data = PreparedData(items, histories, Vocabulary.from_ids(list(range(6))), histories)
    return ItemKNN(ItemKNNConfig(**values)).fit(data)


ASKED = Sequences.from_lists([[0, 1], [3]])


def test_fit_settings_are_all_but_those_of_the_query():
    config = ItemKNNConfig()
    assert set(fit_settings(config)) == set(ItemKNNConfig.model_fields) - set(HistorySettings.model_fields)
    assert fit_settings(config)["shrinkage"] == config.shrinkage
    assert fit_settings(HistorySettings()) == {}


def test_a_model_asked_otherwise_answers_as_one_fitted_so():
    other = {"recency_decay": 0.3, "history_length": 1, "popularity_weight": 0.7, "repeat_weight": 2.0}
    first, expected = fitted_knn(shrinkage=1.0), fitted_knn(shrinkage=1.0, **other)
    before = first.score(ASKED)
    asked = asked_with(first, ItemKNNConfig(shrinkage=1.0, **other))
    assert asked.score(ASKED).tobytes() == expected.score(ASKED).tobytes()
    assert (before != expected.score(ASKED)).any()
    assert first.score(ASKED).tobytes() == before.tobytes(), "the first model is asked as before"
    assert type(asked) is ItemKNN


def test_a_model_asked_otherwise_shares_what_was_fitted():
    first = fitted_knn()
    asked = asked_with(first, ItemKNNConfig(recency_decay=0.3))
    assert all(value is vars(first)[name] for name, value in vars(asked).items() if name != "config")


def test_settings_that_need_a_new_fit_are_refused():
    with pytest.raises(ConfigError, match="only the query settings of a fitted model can change; fit it again"):
        asked_with(fitted_knn(shrinkage=1.0), ItemKNNConfig(shrinkage=2.0))


@pytest.mark.parametrize("values", [{"recency_decay": 0}, {"recency_decay": 1.1}, {"history_length": -1}])
def test_settings_refuse_weights_that_cannot_be(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(HistorySettings, values)
