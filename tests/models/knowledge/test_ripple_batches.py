"""Questions beside ripples: every click once an epoch, never its own answer, the same for the same numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.schema import UNKNOWN
from prismrec.errors import DataError
from prismrec.graphs.ripples import ripple_graph
from prismrec.models.knowledge.ripple_batches import RippleBatches, RippleShape
from prismrec.models.neural.negatives import NegativeSettings

N_ITEMS = 12


def batches_of(make_graph, make_log, histories, asked_together=2, batch_size=8, seed=0, n_triples=12):
    """Items that are no entities: each stands for itself, so that heads of ripples are the histories."""
    knowledge = ItemKnowledge(make_graph(1, []), np.full(N_ITEMS, UNKNOWN, np.int64))
    data = make_log(histories, N_ITEMS, knowledge)
    shape = RippleShape(2, n_triples, asked_together, batch_size)
    return RippleBatches(ripple_graph(knowledge), data, shape, NegativeSettings(), seed)


def epoch_of(batches, epoch=0):
    return [batches.batch(epoch, number) for number in range(batches.n_batches)]


def groups(batch):
    """(clicks, items not had, items of the ripple's history) of every ripple of a batch."""
    half = batch.items.shape[1] // 2
    for row in range(len(batch.items)):
        asked = batch.asked[row]
        assert (asked[:half] == asked[half:]).all(), "one item not had for each click"
        history = set((batch.ripples.heads[row, 0] - 1).tolist()) if batch.ripples.found[row] else set()
        yield batch.items[row, :half][asked[:half]].tolist(), batch.items[row, half:][asked[half:]].tolist(), history


some_histories = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=9), min_size=1, max_size=8).filter(
    lambda rows: any(len(set(row)) > 1 for row in rows)
)


@given(some_histories, st.integers(1, 4), st.integers(2, 20), st.integers(0, 3))
def test_every_click_is_asked_for_once_with_the_others_of_its_user_around(
    make_graph, make_log, histories, asked_together, batch_size, epoch
):
    batches = batches_of(make_graph, make_log, histories, asked_together, batch_size)
    found = []
    for batch in epoch_of(batches, epoch):
        assert batch.items.shape[1] == 2 * asked_together
        for clicks, others, history in groups(batch):
            assert 1 <= len(clicks) <= asked_together
            assert len(clicks) <= len(history), "half of the clicks stay to ask with"
            assert history.isdisjoint(clicks)
            whole = history | set(clicks)
            assert whole.isdisjoint(others) or len(whole) > N_ITEMS // 2
            found += [(sorted(whole), click) for click in clicks]
    expected = [(sorted(set(row)), click) for row in histories if len(set(row)) > 1 for click in set(row)]
    assert sorted(found) == sorted(expected)


def test_batches_hold_as_many_questions_as_asked_for(make_graph, make_log):
    batches = batches_of(make_graph, make_log, [list(range(8))] * 6, asked_together=4, batch_size=24)
    found = epoch_of(batches)
    assert [len(batch.items) for batch in found] == [3, 3, 3, 3]
    assert all(batch.asked.sum() == 24 for batch in found)


def test_a_batch_is_told_by_its_numbers_alone(make_graph, make_log):
    histories = [[0, 1, 2, 3], [4, 5], [6, 7, 8]]
    one, other = (batches_of(make_graph, make_log, histories, batch_size=4, n_triples=2) for _ in range(2))
    epoch_of(one, 5)  # what came before does not matter
    for number in range(one.n_batches):
        a, b = one.batch(2, number), other.batch(2, number)
        for left, right in ((a.items, b.items), (a.asked, b.asked), (a.ripples.heads, b.ripples.heads)):
            np.testing.assert_array_equal(left, right)
    assert any((one.batch(3, n).items != one.batch(2, n).items).any() for n in range(one.n_batches))


def test_clicks_of_a_user_come_together_anew_in_every_epoch(make_graph, make_log):
    batches = batches_of(make_graph, make_log, [list(range(10))], asked_together=2)
    together = [
        frozenset(frozenset(clicks) for batch in epoch_of(batches, epoch) for clicks, _, _ in groups(batch))
        for epoch in range(4)
    ]
    assert len(set(together)) == 4


def test_nobody_with_two_clicks_is_refused(make_graph, make_log):
    with pytest.raises(DataError, match=r"one click of a user from the others, but nobody has two"):
        batches_of(make_graph, make_log, [[0], [1, 1], []])
