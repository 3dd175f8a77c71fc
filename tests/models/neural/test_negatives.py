"""Negatives three ways: who gets what, how often, and never what they had."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData, View
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError
from prismrec.models.neural.negatives import NegativeSettings, negative_draws
from prismrec.models.neural.unseen import UnseenItems

N_ITEMS = 12
GENRES = [[0], [0], [0], [0], [1], [1], [1], [2], [2, 1], [], [0], [2]]


def data(histories, counts=None, disliked=None):
    rows = Sequences.from_lists(histories)
    genre = Sequences.from_lists(GENRES)
    found = np.bincount(rows.values, minlength=N_ITEMS) if counts is None else counts
    return PreparedData(
        Vocabulary.from_ids(list(range(N_ITEMS)), found), rows, Vocabulary.from_ids(list(range(len(rows)))), rows,
        {"genre": View("genre", Vocabulary.from_ids(["a", "b", "c"]), genre, rows)},
        disliked=None if disliked is None else Sequences.from_lists(disliked),
    )  # fmt: skip


def draws(log, **settings):
    return negative_draws(NegativeSettings(**settings), log, UnseenItems(log.histories, N_ITEMS))


def drawn(log, users, positives, seed=0, **settings):
    users, positives = np.asarray(users, np.int64), np.asarray(positives, np.int64)
    return draws(log, **settings).draw(users, positives, np.random.default_rng(seed))


def test_uniform_negatives_are_those_of_unseen_items():
    log = data([[0, 1], [2]])
    users = np.array([0, 1, 0, 1])
    expected = UnseenItems(log.histories, N_ITEMS).draw(users, np.random.default_rng(3))
    np.testing.assert_array_equal(drawn(log, users, [0, 2, 1, 2], seed=3), expected)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_popular_negatives_come_by_their_counts_to_a_power(power):
    counts = np.array([100, 24, 8, 3, 0, 0, 0, 0, 0, 0, 0, 0])
    log = data([[0]], counts)
    n = 20_000
    found = np.bincount(drawn(log, np.zeros(n, int), np.zeros(n, int), kind="popular", power=power), minlength=N_ITEMS)
    weights = (counts + 1.0) ** power
    weights[0] = 0  # which the user had
    np.testing.assert_allclose(found / n, weights / weights.sum(), atol=0.012)


def test_hard_negatives_are_what_the_user_disliked_where_they_did():
    log = data([[0], [1]], disliked=[[5, 6], []])
    users = np.repeat([0, 1], 2000)
    found = drawn(log, users, users, kind="hard", share=1.0)
    assert set(found[:2000]) == {5, 6}
    assert set(found[2000:]) == set(range(N_ITEMS)) - {1}
    half = drawn(log, users, users, kind="hard", share=0.5)[:2000]
    assert np.isin(half, [5, 6]).mean() == pytest.approx(0.5 + 0.5 * 2 / 11, abs=0.04)


def test_hard_negatives_share_a_category_with_the_positive():
    log = data([[0, 4, 8, 9]])
    n = 3000
    of_genre = drawn(log, np.zeros(n, int), np.full(n, 0), kind="hard", share=1.0, view="genre")
    assert np.isin(of_genre, [1, 2, 3, 10]).mean() == pytest.approx(0.8 + 0.2 * 4 / 8, abs=0.03)  # 1 in 5 met item 0
    of_two = drawn(log, np.zeros(n, int), np.full(n, 8), kind="hard", share=1.0, view="genre")
    assert np.isin(of_two, [5, 6, 7, 11]).mean() > 0.7
    of_none = drawn(log, np.zeros(n, int), np.full(n, 9), kind="hard", share=1.0, view="genre")
    assert set(of_none) == set(range(N_ITEMS)) - {0, 4, 8, 9}


def test_what_was_disliked_goes_before_the_category():
    log = data([[0]], disliked=[[7]])
    assert set(drawn(log, np.zeros(50, int), np.zeros(50, int), kind="hard", share=1.0, view="genre")) == {7}


some_histories = st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=6), min_size=1, max_size=6)
ways = st.sampled_from([{"kind": "uniform"}, {"kind": "popular"}, {"kind": "hard", "view": "genre", "share": 1.0}])


@given(some_histories, ways, st.integers(0, 50))
def test_nobody_is_given_what_they_had(histories, way, seed):
    log = data(histories, disliked=[[0, 1]] * len(histories))
    users = np.repeat(np.arange(len(histories)), 4)
    positives = np.array([histories[user][0] for user in users])
    found = drawn(log, users, positives, seed=seed, **way)
    assert all(0 <= item < N_ITEMS and item not in histories[user] for user, item in zip(users, found, strict=True))
    np.testing.assert_array_equal(found, drawn(log, users, positives, seed=seed, **way))


@pytest.mark.parametrize("way", [{"kind": "popular"}, {"kind": "hard", "view": "genre"}])
def test_a_user_who_had_everything_still_gets_an_item(way):
    found = drawn(data([list(range(N_ITEMS))]), np.zeros(9, int), np.zeros(9, int), **way)
    assert set(found) <= set(range(N_ITEMS))


def test_no_pairs_get_nothing():
    for way in ({"kind": "uniform"}, {"kind": "popular"}, {"kind": "hard", "view": "genre"}):
        assert drawn(data([[0]]), [], [], **way).shape == (0,)


def test_hard_negatives_of_which_nobody_says_what_they_are_are_refused():
    with pytest.raises(ConfigError, match=r'kind = "hard" needs items that users disliked.*views? of the data.*genre'):
        draws(data([[0]]), kind="hard")
    with pytest.raises(ConfigError, match=r"negatives\.view = 'shop' is no view of the data: genre are"):
        draws(data([[0]]), kind="hard", view="shop")
