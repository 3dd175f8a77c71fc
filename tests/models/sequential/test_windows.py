"""Windows against slices of plain lists."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.models.sequential.windows import Windows, last_window

HISTORIES = st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=5)


def windows(rows, near=2, far=3, targets=2, stride=1, batch_size=100, seed=0):
    sequences = Sequences.from_lists(rows)
    return Windows(sequences, near=near, far=far, targets=targets, stride=stride, batch_size=batch_size, seed=seed)


def left(items, width):
    return [-1] * (width - len(items)) + list(items)


def expected_window(row, place, near, far, targets):
    after = list(row[place : place + targets])
    return (
        left(row[max(0, place - near) : place], near),
        left(row[max(0, place - near - far) : max(0, place - near)], far),
        after + [-1] * (targets - len(after)),
    )


def as_lists(batch):
    return [
        (int(user), near.tolist(), far.tolist(), targets.tolist())
        for user, near, far, targets in zip(*batch, strict=True)
    ]


def test_a_window_is_what_came_before_and_after_a_place():
    found = sorted(as_lists(windows([[10, 11, 12, 13, 14, 15, 16]]).batch(0, 0)))
    assert (0, [13, 14], [10, 11, 12], [15, 16]) in found
    assert (0, [14, 15], [11, 12, 13], [16, -1]) in found
    assert (0, [-1, 10], [-1, -1, -1], [11, 12]) in found
    assert len(found) == 6


@given(HISTORIES, st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_all_windows_are_slices_of_their_history(rows, near, far, targets):
    if max(map(len, rows)) < 2:
        return
    expected = [
        (user, *expected_window(row, place, near, far, targets))
        for user, row in enumerate(rows)
        for place in range(1, len(row))
    ]
    found = as_lists(windows(rows, near, far, targets).batch(0, 0))
    assert Counter(map(repr, found)) == Counter(map(repr, expected))


@pytest.mark.parametrize("stride", [1, 3, 9])
def test_a_cycle_of_epochs_takes_each_place_once(stride):
    loader = windows([[*range(7)], [7, 8, 9, 10]], stride=stride, batch_size=2)
    places = [
        target[0]
        for epoch in range(stride)
        for number in range(loader.n_batches)
        for *_, target in as_lists(loader.batch(epoch, number))
    ]
    assert sorted(places) == [1, 2, 3, 4, 5, 6, 8, 9, 10]


def test_a_stride_that_does_not_divide_the_places_repeats_a_few():
    loader = windows([[*range(6)]], stride=3, batch_size=10)
    places = [target[0] for epoch in range(3) for *_, target in as_lists(loader.batch(epoch, 0))]
    assert len(places) == 6
    assert set(places) == {1, 2, 3, 4, 5}


def test_batches_are_the_same_whenever_they_are_asked_for():
    rows = [[*range(20)], [*range(20, 30)]]
    first, second = windows(rows, batch_size=4), windows(rows, batch_size=4)
    late = as_lists(first.batch(5, 2))
    first.batch(0, 0)
    assert as_lists(first.batch(5, 2)) == as_lists(second.batch(5, 2)) == late


def test_epochs_and_seeds_have_orders_of_their_own():
    rows = [[*range(30)]]
    orders = [as_lists(windows(rows, seed=seed).batch(epoch, 0)) for seed in (0, 1) for epoch in (0, 1)]
    assert len({repr(order) for order in orders}) == 4


def test_batches_are_counted_and_the_last_may_be_smaller():
    loader = windows([[*range(8)]], batch_size=3)
    assert (loader.n_windows, loader.n_batches) == (7, 3)
    assert [len(loader.batch(0, number).users) for number in range(3)] == [3, 3, 1]


def test_histories_of_one_item_leave_nothing_to_learn():
    with pytest.raises(DataError, match="no history has two items"):
        windows([[1], [], [2]])


def test_the_window_before_what_comes_next_is_that_of_a_further_item():
    rows = [[1, 2, 3, 4, 5, 6, 7], [], [8], [9, 10, 11]]
    near, far = last_window(Sequences.from_lists(rows), 2, 3)
    for row, near_items, far_items in zip(rows, near.tolist(), far.tolist(), strict=True):
        expected_near, expected_far, _ = expected_window([*row, 99], len(row), 2, 3, 1)
        assert (near_items, far_items) == (expected_near, expected_far)


def test_without_any_history_there_is_no_item():
    near, far = last_window(Sequences.from_lists([[], []]), 2, 3)
    assert near.tolist() == [[-1, -1], [-1, -1]]
    assert far.tolist() == [[-1, -1, -1], [-1, -1, -1]]
