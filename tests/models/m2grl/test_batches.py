"""Batches against a slow reference, and their random draws against the distributions they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import get_num_threads, set_num_threads
from scipy.stats import chisquare

from prismrec.data.sequences import Sequences
from prismrec.graphs.negatives import build_alias_table, build_group_table, popularity_weights
from prismrec.models.m2grl.batches import ROWS_PER_CHUNK, draw_inter_batch, draw_intra_batch
from prismrec.models.m2grl.config import M2GRLConfig

N_ITEMS = 12
COUNTS = np.array([400, 300, 200, 100, 90, 80, 70, 60, 50, 25, 9, 0])
NOISE = build_alias_table(popularity_weights(COUNTS, 0.5))
UNLIKELY = 1e-4
"""A right sampler fails a test at this level once in 10,000 seeds, and the seeds here are fixed."""


def reference_contexts(row, place, reach, forward):
    first = place + 1 if forward else max(0, place - reach)
    return [row[other] for other in range(first, min(len(row), place + reach + 1)) if other != place]


def contexts_of(batch):
    """The contexts of each anchor as lists."""
    return [
        batch.contexts[a:b].tolist() for a, b in zip(batch.context_offsets, batch.context_offsets[1:], strict=False)
    ]


def drawn(sessions, rows=None, stream=(0, 1, 2), groups=None, **values):
    chosen = np.arange(len(sessions)) if rows is None else np.asarray(rows, np.int64)
    return draw_intra_batch(sessions, chosen, M2GRLConfig(**values), NOISE, stream, groups)


def many_sessions(n=500, seed=0):
    rng = np.random.default_rng(seed)
    return Sequences.from_lists([rng.integers(0, N_ITEMS, rng.integers(0, 9)) for _ in range(n)])


def assert_equal(one, other):
    for name in one._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@settings(max_examples=60)
@given(
    sessions=st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=9), min_size=1, max_size=9),
    window=st.integers(1, 4),
    context=st.sampled_from(["forward", "symmetric"]),
    data=st.data(),
)
def test_every_anchor_has_the_contexts_of_some_reach_within_the_window(sessions, window, context, data):
    rows = data.draw(st.lists(st.integers(0, len(sessions) - 1), max_size=12))
    batch = drawn(Sequences.from_lists(sessions), rows, window=window, context=context, negatives=2)
    places = [(sessions[row], place) for row in rows for place in range(len(sessions[row]))]
    forward = context == "forward"
    expected = [(row, place) for row, place in places if reference_contexts(row, place, 1, forward)]
    assert batch.anchors.tolist() == [row[place] for row, place in expected]
    for found, (row, place) in zip(contexts_of(batch), expected, strict=True):
        assert found in [reference_contexts(row, place, reach, forward) for reach in range(1, window + 1)]
    assert batch.context_offsets[0] == 0
    assert batch.context_offsets[-1] == len(batch.contexts) == batch.n_pairs
    assert batch.negatives.shape == (len(batch.anchors), 2)


def test_window_of_one_by_hand():
    sessions = Sequences.from_lists([[3, 1, 4], [7], [], [5, 5]])
    forward = drawn(sessions, [3, 0, 1, 2], window=1)
    assert forward.anchors.tolist() == [5, 3, 1]
    assert contexts_of(forward) == [[5], [1], [4]]
    around = drawn(sessions, [0], window=1, context="symmetric")
    assert around.anchors.tolist() == [3, 1, 4]
    assert contexts_of(around) == [[1], [3, 4], [1]]


@pytest.mark.parametrize("context", ["forward", "symmetric"])
def test_each_reach_of_the_window_is_as_likely(context):
    long = Sequences.from_lists([np.arange(3000) % N_ITEMS] * 3)
    lengths = np.diff(drawn(long, window=5, context=context).context_offsets)
    inner = lengths[5:2900]  # the first session, away from its ends
    reaches = inner if context == "forward" else inner // 2
    counts = np.bincount(reaches)
    assert len(counts) == 6
    assert counts[0] == 0
    assert chisquare(counts[1:]).pvalue > UNLIKELY


def test_a_batch_is_the_same_whatever_the_number_of_threads():
    sessions, before = many_sessions(), get_num_threads()
    groups = build_group_table(Sequences.from_lists([[i % 3] for i in range(N_ITEMS)]), 3, COUNTS)
    batches = []
    try:
        for threads in {1, before}:
            set_num_threads(threads)
            batches.append((drawn(sessions), drawn(sessions, groups=groups, hard_negatives=0.5, hard_view="c")))
    finally:
        set_num_threads(before)
    for plain, hard in batches:
        assert_equal(plain, batches[0][0])
        assert_equal(hard, batches[0][1])
    assert len(sessions) > 3 * ROWS_PER_CHUNK  # several chunks, or the threads had nothing to share


def test_same_stream_same_batch_other_stream_other_batch():
    sessions = many_sessions()
    assert_equal(drawn(sessions, stream=(7, 0, 0, 0)), drawn(sessions, stream=(7, 0, 0, 0)))
    for stream in [(8, 0, 0, 0), (7, 1, 0, 0), (7, 0, 1, 0), (7, 0, 0, 1)]:
        first, other = drawn(sessions, stream=(7, 0, 0, 0)), drawn(sessions, stream=stream)
        assert (first.negatives[:50] != other.negatives[:50]).any()
        assert first.contexts.tolist() != other.contexts.tolist()


def test_chunks_draw_apart():
    twice = Sequences.from_lists([list(range(9))] * (2 * ROWS_PER_CHUNK))
    negatives = drawn(twice, negatives=8, window=1).negatives
    first, second = np.split(negatives, 2)
    assert (first != second).mean() > 0.5


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_negatives_are_drawn_by_count_to_the_power(power):
    noise = build_alias_table(popularity_weights(COUNTS, power))
    sessions = Sequences.from_lists([[0, 1]] * 2000)
    batch = draw_intra_batch(sessions, np.arange(2000), M2GRLConfig(negatives=20), noise, (3,))
    seen = np.bincount(batch.negatives.ravel(), minlength=N_ITEMS)
    shares = COUNTS**power / (COUNTS**power).sum()
    assert chisquare(seen[shares > 0], seen.sum() * shares[shares > 0]).pvalue > UNLIKELY
    assert seen[shares == 0].sum() == 0


def test_hard_negatives_come_from_the_group_of_the_anchor_in_the_set_share():
    group_of = np.arange(N_ITEMS) % 3
    groups = build_group_table(Sequences.from_lists([[g] for g in group_of]), 3, COUNTS**0.5)
    sessions = Sequences.from_lists([[0, 4, 8, 1, 5]] * 800)
    for share in (1.0, 0.3):
        batch = drawn(sessions, groups=groups, hard_negatives=share, hard_view="c", negatives=10)
        own = group_of[batch.negatives] == group_of[batch.anchors][:, None]
        weight = COUNTS**0.5 / (COUNTS**0.5).sum()
        by_chance = np.array([weight[group_of == g].sum() for g in group_of[batch.anchors]])
        expected = (share + (1 - share) * by_chance).mean()
        assert own.mean() == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(own.size))


def test_hard_negatives_are_weighed_within_the_group():
    groups = build_group_table(Sequences.from_lists([[i % 3] for i in range(N_ITEMS)]), 3, COUNTS)
    batch = drawn(Sequences.from_lists([[1, 2]] * 3000), groups=groups, hard_negatives=1.0, hard_view="c", negatives=5)
    members = np.array([1, 4, 7, 10])
    seen = np.bincount(batch.negatives.ravel(), minlength=N_ITEMS)[members]
    assert seen.sum() == batch.negatives.size
    assert chisquare(seen, seen.sum() * COUNTS[members] / COUNTS[members].sum()).pvalue > UNLIKELY


def test_an_anchor_without_a_group_has_negatives_from_all():
    lone = build_group_table(Sequences.from_lists([[] for _ in range(N_ITEMS)]), 1, COUNTS)
    batch = drawn(Sequences.from_lists([[0, 1]] * 300), groups=lone, hard_negatives=1.0, hard_view="c")
    assert len(np.unique(batch.negatives)) == N_ITEMS - 1  # the item with count 0 is never drawn


@pytest.mark.parametrize("rows", [[], [1], [1, 2, 1]])
def test_rows_without_pairs_give_an_empty_batch(rows):
    batch = drawn(Sequences.from_lists([[3, 1], [7], []]), rows)
    assert batch.n_pairs == 0
    assert len(batch.anchors) == 0
    assert batch.context_offsets.tolist() == [0]
    assert batch.negatives.shape == (0, 10)


def test_inter_batch_pairs_each_item_with_its_node():
    items, nodes = np.array([4, 0, 4], np.int32), np.array([1, 3, 2], np.int32)
    batch = draw_inter_batch(items, nodes, 5, NOISE, (1, 2))
    assert batch.anchors.tolist() == [4, 0, 4]
    assert contexts_of(batch) == [[1], [3], [2]]
    assert batch.negatives.shape == (3, 5)
    assert_equal(batch, draw_inter_batch(items, nodes, 5, NOISE, (1, 2)))
    assert (batch.negatives != draw_inter_batch(items, nodes, 5, NOISE, (1, 3)).negatives).any()


def test_inter_batch_draws_its_negatives_from_the_noise():
    nodes = np.zeros(5000, np.int32)
    seen = np.bincount(draw_inter_batch(nodes, nodes, 6, NOISE, (1,)).negatives.ravel(), minlength=N_ITEMS)[:-1]
    shares = np.sqrt(COUNTS[:-1]) / np.sqrt(COUNTS[:-1]).sum()
    assert chisquare(seen, seen.sum() * shares).pvalue > UNLIKELY


def test_inter_batch_of_no_edges_is_empty():
    none = np.zeros(0, np.int32)
    batch = draw_inter_batch(none, none, 5, NOISE, (1,))
    assert batch.n_pairs == 0
    assert batch.negatives.shape == (0, 5)
