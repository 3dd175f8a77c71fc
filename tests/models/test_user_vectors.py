"""Known users by their vectors, others by the mean of what their items say."""

import numpy as np
import pytest

from prismrec.data.sequences import Sequences
from prismrec.models.user_vectors import UserVectors

USERS = np.array([[1, 2], [3, 4]], np.float32)
SOURCES = np.array([[1, 0], [0, 2], [4, 4]], np.float32)
HISTORIES = Sequences.from_lists([[0, 1], [2, 2, 1], [], [0], []])
ASKED = np.array([-1, -1, -1, 1, 0])


@pytest.fixture
def encoder():
    return UserVectors(USERS, SOURCES)


def test_known_users_have_their_vector_whatever_they_did(encoder):
    assert encoder.encode(HISTORIES, ASKED)[3:].tolist() == [[3, 4], [1, 2]]


def test_others_have_the_mean_of_their_items_an_item_that_occurs_twice_counts_twice(encoder):
    encoded = encoder.encode(HISTORIES, ASKED)
    np.testing.assert_allclose(encoded[:2], [[1 / 2, 2 / 2], [8 / 3, (8 + 2) / 3]], rtol=1e-6)


def test_where_nothing_is_known_it_is_zero(encoder):
    assert encoder.encode(HISTORIES, ASKED)[2].tolist() == [0, 0]


def test_a_query_alone_has_the_bits_it_has_among_others(encoder):
    together = encoder.encode(HISTORIES, ASKED)
    for row in range(len(HISTORIES)):
        alone = encoder.encode(HISTORIES.take([row]), ASKED[row : row + 1])
        assert alone[0].tobytes() == together[row].tobytes()
    assert together.dtype == np.float32


def test_what_is_stored_opens_as_the_same(encoder):
    stored = encoder.stored("mf")
    assert (stored.algorithm, stored.knows_users) == ("mf", True)
    opened = UserVectors.opened(stored.config, stored.arrays)
    assert opened.encode(HISTORIES, ASKED).tobytes() == encoder.encode(HISTORIES, ASKED).tobytes()


def test_histories_of_known_users_are_not_looked_at(encoder):
    assert encoder.encode(Sequences.from_lists([[99]]), np.array([0])).tolist() == [[1, 2]]
