"""Batches of who had what: every pair once, negatives never had, the same for the same numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.models.neural.interactions import InteractionBatches

N_ITEMS = 12
some_histories = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=8), min_size=1, max_size=10).filter(any)


def log(histories, n_items=N_ITEMS):
    rows = Sequences.from_lists(histories)
    return PreparedData(
        Vocabulary.from_ids(list(range(n_items))), rows, Vocabulary.from_ids(list(range(len(rows)))), rows
    )


def epoch_of(batches, epoch=0):
    parts = [batches.batch(epoch, number) for number in range(batches.n_batches)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@given(some_histories, st.integers(1, 7))
def test_an_epoch_has_every_pair_once_and_negatives_that_the_user_never_had(histories, batch_size):
    users, positives, negatives = epoch_of(InteractionBatches(log(histories), batch_size, seed=1))
    pairs = sorted({(user, item) for user, row in enumerate(histories) for item in row})
    assert sorted(zip(users.tolist(), positives.tolist(), strict=True)) == pairs
    had = [len(set(histories[user])) for user in users]
    for user, negative, n_had in zip(users.tolist(), negatives.tolist(), had, strict=True):
        assert 0 <= negative < N_ITEMS
        if n_had <= N_ITEMS // 2:  # twenty draws find one
            assert negative not in histories[user]


def test_batches_are_full_but_for_the_last():
    batches = InteractionBatches(log([[0, 1, 2], [3, 4], [5, 6]]), 3, seed=0)
    assert [len(batches.batch(0, number)[0]) for number in range(batches.n_batches)] == [3, 3, 1]


def test_a_batch_depends_on_seed_epoch_and_number_alone_in_any_order():
    data = log([list(range(10)), [1, 3, 5, 7], [2, 4]])
    one, other = (InteractionBatches(data, 4, seed=3) for _ in range(2))
    asked = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1)]
    found = {numbers: [column.tolist() for column in one.batch(*numbers)] for numbers in asked}
    for numbers in reversed(asked):
        assert [column.tolist() for column in other.batch(*numbers)] == found[numbers]
    assert found[0, 0] != found[1, 0]
    assert [c.tolist() for c in InteractionBatches(data, 4, seed=4).batch(0, 0)] != found[0, 0]


def test_negatives_are_uniform_over_what_was_not_had():
    batches = InteractionBatches(log([[0, 1, 2, 3]], n_items=8), 4, seed=0)
    drawn = np.concatenate([epoch_of(batches, epoch)[2] for epoch in range(1000)])
    shares = np.bincount(drawn, minlength=8) / len(drawn)
    assert (shares[:4] == 0).all()
    np.testing.assert_allclose(shares[4:], 1 / 4, atol=0.03)


def test_a_user_who_had_everything_keeps_an_item_that_they_had():
    users, positives, negatives = InteractionBatches(log([[0, 1, 2]], n_items=3), 8, seed=0).batch(0, 0)
    assert users.tolist() == [0, 0, 0]
    assert set(negatives.tolist()) <= {0, 1, 2}
    assert sorted(positives.tolist()) == [0, 1, 2]


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(DataError, match="no interactions to learn from"):
        InteractionBatches(log([[], []]), 4, seed=0)
