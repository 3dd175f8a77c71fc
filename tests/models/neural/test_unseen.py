"""Negatives: uniform over what a user never had, the same for the same numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.models.neural.unseen import UnseenItems

N_ITEMS = 12
some_histories = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=8), min_size=1, max_size=10).filter(any)


def test_draws_are_uniform_over_what_a_user_never_had():
    unseen = UnseenItems(Sequences.from_lists([[0, 1, 2], [5]]), 6)
    rng = np.random.default_rng(0)
    first = unseen.draw(np.zeros(6000, np.int64), rng)
    assert set(first) == {3, 4, 5}
    assert np.bincount(first)[3:] == pytest.approx([2000, 2000, 2000], abs=150)
    assert 5 not in unseen.draw(np.ones(200, np.int64), rng)


@given(some_histories, st.integers(0, 100))
def test_nobody_is_given_what_they_had_while_half_is_left(histories, seed):
    unseen = UnseenItems(Sequences.from_lists(histories), N_ITEMS)
    users = np.repeat(np.arange(len(histories)), 5)
    for user, item in zip(users.tolist(), unseen.draw(users, np.random.default_rng(seed)).tolist(), strict=True):
        assert 0 <= item < N_ITEMS
        assert len(set(histories[user])) > N_ITEMS // 2 or item not in histories[user]  # twenty draws find one


def test_draws_have_the_shape_of_the_users_and_come_from_the_generator_alone():
    unseen = UnseenItems(Sequences.from_lists([[0, 1, 2], [3]]), 9)
    users = np.array([[0, 1, 0], [1, 1, 0]])
    first, again = (unseen.draw(users, np.random.default_rng(4)) for _ in range(2))
    assert first.shape == (2, 3)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first.reshape(-1), unseen.draw(users.reshape(-1), np.random.default_rng(4)))


def test_a_user_who_had_everything_still_gets_an_item():
    unseen = UnseenItems(Sequences.from_lists([[0, 1, 2]]), 3)
    assert set(unseen.draw(np.zeros((4, 2), np.int64), np.random.default_rng(0)).reshape(-1)) <= {0, 1, 2}


def test_pairs_are_told_once_and_rising():
    assert UnseenItems(Sequences.from_lists([[2, 0, 2], [], [1]]), 5).had.tolist() == [0, 2, 11]


def test_pairs_are_known_by_user_and_item():
    unseen = UnseenItems(Sequences.from_lists([[2, 0], [], [4]]), 5)
    users, items = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 2, 4, 0])
    assert unseen.holds(users, items).tolist() == [True, False, False, True, False]
    nobody = UnseenItems(Sequences.from_lists([[], []]), 5)
    assert not nobody.holds(users % 2, items).any()
