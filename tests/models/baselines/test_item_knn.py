import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.models.baselines.item_knn import ItemKNN, ItemKNNConfig

N_ITEMS = 6
ROWS = [[0, 1, 2], [0, 1], [1, 2, 3, 1], [4], [0, 1, 4, 0, 0]]


def prepared(rows):
    histories = Sequences.from_lists(rows)
    items = Vocabulary.from_ids(list(range(N_ITEMS)), np.bincount(histories.values, minlength=N_ITEMS))
    return PreparedData(items, histories, Vocabulary.from_ids(list(range(len(rows)))), histories)


def similarity(rows=ROWS, ratings=None, **config):
    model = ItemKNN(ItemKNNConfig(**config)).fit(prepared(rows), ratings)
    return model.score(Sequences.from_lists([[i] for i in range(N_ITEMS)]))


def slow_similarity(rows, weighting="none", shrinkage=0.0):
    """The module's equations, pair by pair, without a limit on neighbours."""
    counts = np.zeros((len(rows), N_ITEMS))
    for user, row in enumerate(rows):
        for item in row:
            counts[user, item] += 1
    weights = np.zeros_like(counts)
    totals = counts.sum(axis=0)
    for u, i in zip(*np.nonzero(counts), strict=True):
        idf = np.log((1 + N_ITEMS) / (1 + (counts[u] > 0).sum()))
        if weighting == "none":
            weights[u, i] = 1
        elif weighting == "tfidf":
            weights[u, i] = np.sqrt(counts[u, i]) * idf
        else:
            relative = totals[i] / totals[totals > 0].mean()
            weights[u, i] = idf * counts[u, i] * 2.2 / (counts[u, i] + 1.2 * (0.25 + 0.75 * relative))
    result = weights.T @ weights
    if weighting != "bm25":
        norms = np.linalg.norm(weights, axis=0)
        scale = np.outer(norms, norms) + shrinkage
        result = np.divide(result, scale, out=np.zeros_like(result), where=scale > 0)
    np.fill_diagonal(result, 0)
    return result


def test_cosine_counts_common_users_over_the_mean_of_both():
    scores = similarity()
    np.testing.assert_allclose(scores[0, 1], 3 / np.sqrt(3 * 4), rtol=1e-6)  # three of 0's three and 1's four users
    np.testing.assert_allclose(scores[2, 3], 1 / np.sqrt(2 * 1), rtol=1e-6)
    assert scores[3, 4] == 0
    assert (np.diag(scores) == 0).all()


def test_shrinkage_adds_to_the_denominator():
    np.testing.assert_allclose(similarity(shrinkage=4.0)[0, 1], 3 / (np.sqrt(12) + 4), rtol=1e-6)


@given(
    rows=st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=8), min_size=1, max_size=10),
    weighting=st.sampled_from(["none", "tfidf", "bm25"]),
    shrinkage=st.sampled_from([0.0, 3.0]),
)
@settings(max_examples=150, deadline=None)
def test_similarities_equal_the_slow_definition(rows, weighting, shrinkage):
    expected = slow_similarity(rows, weighting, shrinkage)
    scores = similarity(rows, weighting=weighting, shrinkage=shrinkage)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_a_user_of_every_item_tells_nothing_under_tfidf():
    rows = [[0, 1], [0, 1, 2, 3, 4, 5]]
    assert similarity(rows, weighting="tfidf")[2, 3] == 0
    assert similarity(rows, weighting="none")[2, 3] == 1


@given(
    st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=6), min_size=1, max_size=12), st.integers(1, 4)
)
@settings(max_examples=100, deadline=None)
def test_only_the_most_alike_are_kept_and_ties_go_to_the_lower_index(rows, k):
    every, kept = similarity(rows), similarity(rows, neighbours=k)
    for i in range(N_ITEMS):
        order = np.lexsort((np.arange(N_ITEMS), -every[i]))[:k]
        expected = np.zeros(N_ITEMS, np.float32)
        expected[order] = every[i, order]
        np.testing.assert_array_equal(kept[i], expected)


# ---- penalties ----


def test_short_users_are_left_out():
    assert (similarity(min_user_items=3) == similarity([ROWS[0], ROWS[2], ROWS[4]])).all()
    assert similarity(min_user_items=3)[0, 1] != similarity()[0, 1]


def test_users_who_rate_everything_alike_are_left_out():
    rows = [[0, 1, 2], [0, 1], [1, 2]]
    ratings = [5, 5, 5, 4, 2, 3, 5]  # the first user's variance is 0, the others' 1
    scores = similarity(rows, ratings, min_user_rating_variance=0.5)
    assert (scores == similarity(rows[1:])).all()


def test_items_with_erratic_ratings_count_less():
    rows = [[0, 1], [0, 1], [0, 2]]
    ratings = [1, 3, 5, 3, 3, 4]  # item 0: 1, 5, 3, variance 8/3; the others do not vary; the mean over 6 items is 4/9
    scores = similarity(rows, ratings, item_variance_penalty=0.5)
    np.testing.assert_allclose(scores, similarity(rows) * (1 / (1 + 0.5 * 6)), rtol=1e-6)  # every pair has item 0


def test_ratings_that_never_vary_bring_no_penalty():
    ratings = np.full(sum(map(len, ROWS)), 3.0)
    assert (similarity(ratings=ratings, item_variance_penalty=2.0) == similarity()).all()


def test_a_variance_penalty_without_ratings_is_refused():
    with pytest.raises(ConfigError, match="need ratings: give them to fit"):
        similarity(item_variance_penalty=1.0)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (np.ones(3), r"per place of the histories, \(15,\), got \(3,\)"),
        (np.full(15, np.nan), "must be finite; 15 are not"),
    ],
)
def test_ratings_that_do_not_fit_are_refused(ratings, message):
    with pytest.raises(DataError, match=message):
        similarity(ratings=ratings, item_variance_penalty=1.0)


def test_leaving_every_user_out_gives_zeros():
    assert (similarity(min_user_items=6) == 0).all()
