"""Batches of rows: which there are, what they may look at, and that nothing tells clicks from the rest."""

import numpy as np
import pytest

pytest.importorskip("torch")

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError
from prismrec.models.knowledge.impressions import GROUP, ImpressionBatches
from prismrec.models.neural.negatives import NegativeSettings, negative_draws
from prismrec.models.neural.unseen import UnseenItems

N_ITEMS = 60


def made(histories, disliked=None, n_negatives=1, max_history=30, batch_size=16, seed=0):
    rows = Sequences.from_lists(histories)
    items = Vocabulary.from_ids(list(range(N_ITEMS)), np.bincount(rows.values, minlength=N_ITEMS))
    users = Vocabulary.from_ids(list(range(len(rows))))
    shown = None if disliked is None else Sequences.from_lists(disliked)
    data = PreparedData(items, rows, users, rows, disliked=shown)
    draws = negative_draws(NegativeSettings(), data, UnseenItems(rows, N_ITEMS))
    return ImpressionBatches(data, draws, n_negatives, max_history, batch_size, seed)


def random_histories(n_users=12, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.choice(40, rng.integers(1, 25), replace=False).tolist() for _ in range(n_users)]


def rows_of(batches, epoch=0):
    """(history, candidate, label, what the row may look at) of every row of an epoch, in item indices."""
    for number in range(batches.n_batches):
        batch = batches.batch(epoch, number)
        clicked = np.where(batch.clicked >= 0, batch.articles[batch.clicked.clip(0)], -1)
        assert len(np.unique(batch.articles)) == len(batch.articles)
        for group, candidate, seen, label in zip(batch.group, batch.candidates, batch.seen, batch.labels, strict=True):
            history = clicked[group]
            yield history[history >= 0].tolist(), int(batch.articles[candidate]), bool(label), history[seen].tolist()


def test_every_click_and_what_was_shown_beside_it_is_a_row_once_per_epoch():
    histories, disliked = [[3, 1, 3], [2], []], [[4, 5], [], [6]]
    found = sorted((item, label) for _, item, label, _ in rows_of(made(histories, disliked)))
    assert found == [(1, True), (2, True), (3, True), (4, False), (5, False), (6, False)]


def test_where_nothing_is_said_to_be_shown_articles_never_had_are_drawn_anew_in_every_epoch():
    histories = random_histories()
    batches = made(histories, n_negatives=2)
    epochs = [sorted((item, label) for _, item, label, _ in rows_of(batches, epoch)) for epoch in (0, 1)]
    clicks = sorted(item for row in histories for item in row)
    for rows in epochs:
        assert sorted(item for item, label in rows if label) == clicks
        assert sum(not label for _, label in rows) == 2 * len(clicks)
    assert epochs[0] != epochs[1]
    for history, item, label, _ in rows_of(batches):
        owner = next(set(row) for row in histories if set(history) <= set(row))
        assert (item in owner) == label


@pytest.mark.parametrize("disliked", [None, "some"])
def test_every_row_sees_one_click_less_than_its_user_made(disliked):
    histories = random_histories()
    shown = None if disliked is None else [[40 + n % 20] for n in range(len(histories))]
    for history, item, label, seen in rows_of(made(histories, shown)):
        left_out = set(history) - set(seen)
        assert len(left_out) == 1
        assert not label or left_out == {item}
        assert item not in seen


def test_a_history_that_is_cut_is_cut_for_all_rows_alike():
    rng = np.random.default_rng(0)
    history = rng.permutation(40).tolist()
    batches = made([history] * 30, [[50]] * 30, max_history=10, batch_size=64)
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for whole, _, label, seen in rows_of(batches):
        assert len(whole) == 10
        assert set(whole) <= set(history)
        lengths[label].append(len(seen))
    assert np.mean(lengths[True]) == pytest.approx(9.75, abs=0.1)  # one of forty clicks is left out
    assert np.mean(lengths[False]) == pytest.approx(9.75, abs=0.3)


def test_rows_of_a_user_lie_in_few_groups_and_batches_are_of_like_size():
    batches = made(random_histories(40), n_negatives=3, batch_size=64)
    sizes, groups = [], []
    for number in range(batches.n_batches):
        batch = batches.batch(0, number)
        sizes.append(len(batch.labels))
        groups.append(np.bincount(batch.group).max())
        assert batch.group.max() + 1 == len(batch.clicked)
    assert max(groups) <= GROUP
    assert np.mean(sizes) == pytest.approx(64, rel=0.35)


def test_the_same_numbers_give_the_same_batch_and_another_seed_another():
    one, same, other = (made(random_histories(), seed=seed) for seed in (0, 0, 1))
    for name in ("articles", "clicked", "group", "candidates", "seen", "labels"):
        np.testing.assert_array_equal(getattr(one.batch(3, 1), name), getattr(same.batch(3, 1), name))
    assert one.batch(3, 1).articles.tolist() != other.batch(3, 1).articles.tolist()
    one.batch(4, 0)
    np.testing.assert_array_equal(one.batch(3, 1).clicked, same.batch(3, 1).clicked)  # however it came there


def test_a_user_who_was_only_shown_articles_has_no_history():
    found = list(rows_of(made([[1, 2], []], [[], [7, 8]])))
    assert sorted((item, seen) for history, item, _, seen in found if not history) == [(7, []), (8, [])]


def test_a_log_without_clicks_is_refused():
    with pytest.raises(DataError, match="no clicks to learn from"):
        made([[], []])
