"""Histories in pieces: each place once, nothing from elsewhere, batches of like size; latest items for answers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.models.sequential.pieces import PieceBatches, latest_batches


def prepared(rows):
    histories = Sequences.from_lists(rows)
    items = Vocabulary.from_ids(list(range(1 + max(map(max, filter(None, rows)), default=0))))
    return PreparedData(items, histories, Vocabulary.from_ids(list(range(len(rows)))), histories)


def rows_of(batch):
    """(items, targets, user) of each row, without its padding."""
    width = batch.items.shape[1]
    owners = batch.places // width
    for row in range(len(batch.items)):
        own = owners == row
        users = set(batch.users[own].tolist())
        assert len(users) == 1
        places = batch.places[own] - row * width
        assert places.tolist() == list(range(own.sum()))  # padding is on the right alone
        yield batch.items[row, places].tolist(), batch.targets[own].tolist(), users.pop()


def all_rows(batches, epoch):
    return [row for number in range(batches.n_batches) for row in rows_of(batches.batch(epoch, number))]


def test_a_short_history_is_one_piece_that_starts_at_its_first_item():
    batches = PieceBatches(prepared([[4, 2, 7, 5]]), max_length=10, batch_places=10, seed=0)
    assert all_rows(batches, 0) == [([4, 2, 7], [2, 7, 5], 0)]


def test_users_with_less_than_two_items_have_no_place():
    batches = PieceBatches(prepared([[1], [], [2, 3]]), max_length=5, batch_places=5, seed=0)
    assert all_rows(batches, 0) == [([2], [3], 2)]


histories = st.lists(st.lists(st.integers(0, 30), max_size=25), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(histories, st.integers(1, 8), st.integers(8, 40), st.integers(0, 3))
def test_every_place_is_learned_from_once_per_epoch_with_what_really_follows(rows, max_length, batch_places, epoch):
    if max(map(len, rows)) < 2:
        return
    found: dict[int, list] = {}
    for items, targets, user in all_rows(PieceBatches(prepared(rows), max_length, batch_places, 1), epoch):
        assert len(items) <= max_length
        found.setdefault(user, []).append((items, targets))
    expected = sorted((u, a, b) for u, row in enumerate(rows) for a, b in pairwise(row))
    pairs = [
        (user, a, b) for user, pieces in found.items() for items, targets in pieces
        for a, b in zip(items, targets, strict=True)
    ]  # fmt: skip
    assert sorted(pairs) == expected
    for user, pieces in found.items():
        assert len(pieces) == -(-(len(rows[user]) - 1) // max_length)
        for items, targets in pieces:  # a piece is a stretch of the history
            text = "," + ",".join(map(str, rows[user])) + ","
            assert "," + ",".join(map(str, [*items, targets[-1]])) + "," in text


@settings(deadline=None, max_examples=60)
@given(histories, st.integers(1, 8), st.integers(8, 40))
def test_no_batch_of_an_epoch_is_empty_or_far_beyond_its_size(rows, max_length, batch_places):
    if max(map(len, rows)) < 2:
        return
    batches = PieceBatches(prepared(rows), max_length, batch_places, 1)
    sizes = [len(batches.batch(0, number).targets) for number in range(batches.n_batches)]
    assert min(sizes) > 0
    assert max(sizes) < 2 * batch_places + max_length


def test_cuts_move_from_epoch_to_epoch_and_with_the_seed_alone():
    data = prepared([list(range(10))])

    def firsts(seed, epoch):
        return sorted(items[0] for items, _, _ in all_rows(PieceBatches(data, 6, 6, seed), epoch))

    assert len({tuple(firsts(0, epoch)) for epoch in range(20)}) == 4  # 9 places in 2 x 6: 3 are missing
    assert firsts(0, 5) == firsts(0, 5)
    assert [firsts(0, e) for e in range(20)] != [firsts(1, e) for e in range(20)]


def test_pieces_of_a_batch_are_of_like_length():
    rng = np.random.default_rng(0)
    batches = PieceBatches(prepared([rng.integers(9, size=n).tolist() for n in rng.integers(2, 60, 800)]), 60, 256, 0)
    places = sum(batches.batch(0, n).items.size for n in range(batches.n_batches))
    assert places < 1.25 * sum(len(batches.batch(0, n).targets) for n in range(batches.n_batches))


def test_a_batch_smaller_than_a_piece_is_refused():
    with pytest.raises(ConfigError, match="batch_places = 9 is less than one sequence of max_length = 10"):
        PieceBatches(prepared([[1, 2]]), max_length=10, batch_places=9, seed=0)


def test_a_log_without_a_next_item_is_refused():
    with pytest.raises(DataError, match="no user of the log has two items"):
        PieceBatches(prepared([[1], [2]]), max_length=1, batch_places=1, seed=0)


def test_latest_items_of_each_query_that_has_any_come_once():
    asked = Sequences.from_lists([[1, 2, 3, 4, 5], [], [7], [8, 9], [3, 3, 3]])
    found = {}
    for batch in latest_batches(asked, max_length=3, places_at_once=6):
        assert batch.items.size <= 6
        for row, items, length in zip(batch.rows, batch.items, batch.lengths, strict=True):
            assert (items[length:] == 0).all()
            assert row not in found
            found[row] = items[:length].tolist()
    assert found == {0: [3, 4, 5], 2: [7], 3: [8, 9], 4: [3, 3, 3]}


def test_a_row_longer_than_a_batch_comes_alone():
    batches = list(latest_batches(Sequences.from_lists([[1, 2, 3], [4, 5, 6]]), max_length=3, places_at_once=1))
    assert [batch.items.tolist() for batch in batches] == [[[4, 5, 6]], [[1, 2, 3]]]


def test_no_query_no_batch():
    assert not list(latest_batches(Sequences.from_lists([[], []]), 5, 100))
