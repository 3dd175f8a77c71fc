"""The compiled step against the documented formula in slow double precision, and against finite differences."""

import numpy as np
import pytest
from numba import get_num_threads, njit, set_num_threads

from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.cpu import _sigmoid, learn_skip_gram, learn_source_only, skip_gram_gradients

N_SOURCES, N_TARGETS = 12, 15
DIMS = (8, 64, 100)


def tables(dim, scale=0.5, seed=0):
    """source, target, source_memory, target_memory, offsets."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(0, scale, (N_SOURCES, dim)).astype(np.float32),
        rng.normal(0, scale, (N_TARGETS, dim)).astype(np.float32),
        rng.uniform(0.1, 1, N_SOURCES).astype(np.float32),
        rng.uniform(0.1, 1, N_TARGETS).astype(np.float32),
        rng.normal(0, 1, N_TARGETS).astype(np.float32),
    )


def batch_of(anchors, contexts, negatives):
    """A batch from lists: the contexts of each anchor, and its negatives."""
    offsets = np.cumsum([0, *map(len, contexts)]).astype(np.int64)
    flat = np.array([row for rows in contexts for row in rows], np.int32)
    shaped = np.array(negatives, np.int32).reshape(len(anchors), -1)
    return SkipGramBatch(np.array(anchors, np.int32), offsets, flat, shaped)


def crowded_batch(n_anchors=40, seed=1):
    """Few rows and many draws: everything repeats, and negatives hit contexts; 1 to 7 contexts per anchor."""
    rng = np.random.default_rng(seed)
    contexts = [rng.integers(0, N_TARGETS, rng.integers(1, 8)) for _ in range(n_anchors)]
    negatives = rng.integers(0, N_TARGETS, (n_anchors, 6))
    batch = batch_of(rng.integers(0, N_SOURCES, n_anchors), contexts, negatives)
    hits = sum(set(c.tolist()) & set(k.tolist()) != set() for c, k in zip(contexts, negatives, strict=True))
    assert 0 < hits < n_anchors
    assert any(len(set(c.tolist())) < len(c) for c in contexts)
    return batch


def terms(batch):
    """(anchor place, row, sign, multiplicity) of every term of the loss: contexts pull, negatives push m times."""
    for i in range(len(batch.anchors)):
        contexts = batch.contexts[batch.context_offsets[i] : batch.context_offsets[i + 1]].tolist()
        yield from ((i, row, 1.0, 1) for row in contexts)
        yield from ((i, row, -1.0, len(contexts)) for row in batch.negatives[i].tolist() if row not in contexts)


def learn(arrays, batch, learning_rate, weight=1.0):
    """Learn in place from what `tables` gave."""
    source, target, source_memory, target_memory, offsets = arrays
    return learn_skip_gram(source, target, source_memory, target_memory, offsets, batch, learning_rate, weight)


def slow_loss(exact, batch):
    """sum_j -log s(u.v_j + b_j)  +  m * sum_k -log s(-(u.n_k + b_k)), one term at a time."""
    source, target, offsets = exact
    loss = 0.0
    for i, row, sign, times in terms(batch):
        loss += times * np.log1p(np.exp(-sign * (source[batch.anchors[i]] @ target[row] + offsets[row])))
    return loss


def slow_gradients(exact, batch):
    """d/dx -log s(sign x) = -sign s(-sign x), carried to both rows of each term."""
    source, target, offsets = exact
    gradients = np.zeros_like(source), np.zeros_like(target)
    for i, row, sign, times in terms(batch):
        anchor = batch.anchors[i]
        slope = -sign * times / (1 + np.exp(sign * (source[anchor] @ target[row] + offsets[row])))
        gradients[0][anchor] += slope * target[row]
        gradients[1][row] += slope * source[anchor]
    return gradients


def doubles(*arrays):
    return tuple(array.astype(np.float64) for array in arrays)


@pytest.fixture
def one_thread():
    before = get_num_threads()
    set_num_threads(1)
    yield
    set_num_threads(before)


def assert_near(found, expected, message=""):
    """Equal to 1e-5 of the largest entry."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=message)


@pytest.mark.parametrize("dim", DIMS)
def test_loss_and_both_gradients_equal_the_slow_formula(dim):
    source, target, _, _, offsets = tables(dim, scale=2 / np.sqrt(dim))
    batch = crowded_batch()
    loss, *gradients = skip_gram_gradients(source, target, offsets, batch)
    exact = doubles(source, target, offsets)
    assert loss == pytest.approx(slow_loss(exact, batch), rel=1e-5)
    for found, expected in zip(gradients, slow_gradients(exact, batch), strict=True):
        assert_near(found, expected)


def test_gradients_equal_finite_differences():
    source, target, _, _, offsets = tables(8)
    batch = crowded_batch(n_anchors=12)
    _, *gradients = skip_gram_gradients(source, target, offsets, batch)
    exact = doubles(source, target, offsets)
    for table, gradient in zip(exact[:2], gradients, strict=True):
        slopes = np.zeros_like(table)
        for place in np.ndindex(table.shape):
            middle = table[place]
            table[place] = middle + 1e-5
            slopes[place] = slow_loss(exact, batch)
            table[place] = middle - 1e-5
            slopes[place] -= slow_loss(exact, batch)
            table[place] = middle
        assert_near(gradient, slopes / 2e-5)


def test_loss_by_hand():
    source, target = np.zeros((1, 8), np.float32), np.zeros((3, 8), np.float32)
    source[0, :2] = 1.0, 0.0
    target[:, 0] = 0.0, np.log(3), -np.log(3)
    loss, *_ = skip_gram_gradients(source, target, np.zeros(3, np.float32), batch_of([0], [[0, 1]], [[2, 1]]))
    # s(0) = 1/2 and s(log 3) = 3/4 pull; the negative 2 counts twice with 1 - s(-log 3) = 3/4; the negative 1 is a
    # context and counts not at all
    assert loss == pytest.approx(np.log(2) + 3 * np.log(4 / 3), rel=1e-6)


def test_offset_is_added_to_the_logit():
    zeros, offsets = np.zeros((2, 8), np.float32), np.array([np.log(3), -np.log(7)], np.float32)
    loss, *_ = skip_gram_gradients(zeros, zeros, offsets, batch_of([0], [[0]], [[1]]))
    assert loss == pytest.approx(np.log(4 / 3) + np.log(8 / 7), rel=1e-6)


def test_gradients_touch_only_the_rows_of_the_batch():
    source, target, _, _, offsets = tables(8)
    _, of_source, of_target = skip_gram_gradients(source, target, offsets, batch_of([3], [[1, 2]], [[5, 2]]))
    assert np.flatnonzero(of_source.any(axis=1)).tolist() == [3]
    assert np.flatnonzero(of_target.any(axis=1)).tolist() == [1, 2, 5]


@pytest.mark.parametrize("n_contexts", range(1, 10))
def test_any_number_of_contexts_is_handled_like_the_others(n_contexts):
    source, target, _, _, offsets = tables(8)
    batch = batch_of([0, 1], [list(range(n_contexts)), [14]], [[12, 13], [0, 1]])
    loss, *gradients = skip_gram_gradients(source, target, offsets, batch)
    exact = doubles(source, target, offsets)
    assert loss == pytest.approx(slow_loss(exact, batch), rel=1e-5)
    for found, expected in zip(gradients, slow_gradients(exact, batch), strict=True):
        assert_near(found, expected)


def test_loss_of_hundreds_of_terms_does_not_run_out_of_range():
    source, target, _, _, offsets = tables(8, scale=2.0)
    batch = batch_of([0], [np.arange(400) % 10], [np.arange(300) % 5 + 10])
    loss, *_ = skip_gram_gradients(source, target, offsets, batch)
    assert loss == pytest.approx(slow_loss(doubles(source, target, offsets), batch), rel=1e-5)


def test_loss_of_impossible_pairs_is_large_and_finite():
    source, target = np.full((1, 8), 10, np.float32), np.full((2, 8), [[-10.0], [10.0]], np.float32)
    loss, *gradients = skip_gram_gradients(source, target, np.zeros(2, np.float32), batch_of([0], [[0]], [[1]]))
    assert loss == pytest.approx(2 * np.log(1e12), rel=1e-6)
    for gradient in gradients:
        assert np.abs(gradient).max() == pytest.approx(20 if gradient is gradients[0] else 10)


@njit
def sigmoids(x, out):
    for i in range(x.shape[0]):
        out[i] = _sigmoid(x[i])


def test_sigmoid_is_right_to_five_parts_in_ten_million():
    x = np.concatenate([np.linspace(-60, 60, 200_001), [0.0, -0.0, 88.0, -88.0, 1e4, -1e4]]).astype(np.float32)
    found = np.empty_like(x)
    sigmoids(x, found)
    exact = 1 / (1 + np.exp(np.clip(-x.astype(np.float64), -700, 700)))
    assert np.abs(found - exact).max() < 5e-7
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[x == 0].tolist() == [0.5] * (x == 0).sum()


def test_one_update_is_row_wise_adagrad_by_hand():
    source, target, source_memory, target_memory, offsets = before = tables(8)
    after = tuple(array.copy() for array in before)
    rate, weight = 0.3, 0.7
    loss = learn(after, batch_of([4], [[1, 6]], [[9, 2, 6]]), rate, weight)

    u, rows, signs, times = source[4].astype(np.float64), [1, 6, 9, 2], np.array([1, 1, -1, -1]), [1, 1, 2, 2]
    logits = target[rows].astype(np.float64) @ u + offsets[rows]
    slopes = -weight * signs * times / (1 + np.exp(signs * logits))
    assert loss == pytest.approx((times * np.log1p(np.exp(-signs * logits))).sum(), rel=1e-5)
    for row, slope in zip(rows, slopes, strict=True):
        gradient = slope * u
        memory = target_memory[row] + np.mean(gradient**2)
        assert after[3][row] == pytest.approx(memory, rel=1e-5)
        np.testing.assert_allclose(after[1][row], target[row] - rate * gradient / np.sqrt(memory), rtol=1e-5)
    gradient = slopes @ target[rows]
    memory = source_memory[4] + np.mean(gradient**2)
    assert after[2][4] == pytest.approx(memory, rel=1e-5)
    np.testing.assert_allclose(after[0][4], source[4] - rate * gradient / np.sqrt(memory), rtol=1e-5, atol=1e-7)


def test_an_update_leaves_all_other_rows_and_the_offsets_alone():
    before = tables(8)
    after = tuple(array.copy() for array in before)
    learn(after, batch_of([4], [[1, 6]], [[9, 2, 6]]), 0.3)
    changed = [np.flatnonzero((a != b).reshape(len(a), -1).any(axis=1)).tolist() for a, b in zip(before, after)]  # noqa: B905
    assert changed == [[4], [1, 2, 6, 9], [4], [1, 2, 6, 9], []]


@pytest.mark.usefixtures("one_thread")
def test_an_anchor_sees_what_the_anchor_before_it_left():
    batch = crowded_batch()
    whole, singly = tables(8), tables(8)
    loss = learn(whole, batch, 0.2, 0.6)
    alone = 0.0
    for i in range(len(batch.anchors)):
        contexts = batch.contexts[batch.context_offsets[i] : batch.context_offsets[i + 1]]
        alone += learn(singly, batch_of([batch.anchors[i]], [contexts], [batch.negatives[i]]), 0.2, 0.6)
    assert loss == pytest.approx(alone, rel=1e-9)
    for one, other in zip(whole, singly, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.usefixtures("one_thread")
def test_one_thread_is_bit_equal_twice():
    runs = [tables(8), tables(8)]
    losses = [[learn(run, crowded_batch(300, seed), 0.2) for seed in range(5)] for run in runs]
    assert losses[0] == losses[1]
    for one, other in zip(*runs, strict=True):
        assert one.tobytes() == other.tobytes()


def test_learning_lowers_the_loss():
    run, batch = tables(8), crowded_batch(100)
    losses = [learn(run, batch, 0.1) for _ in range(15)]
    assert losses[-1] < 0.9 * losses[0]


def test_weight_scales_the_gradient_but_not_the_loss():
    source, target, _, _, offsets = tables(8)
    batch = crowded_batch()
    loss, *plain = skip_gram_gradients(source, target, offsets, batch)
    same, *scaled = skip_gram_gradients(source, target, offsets, batch, weight=0.25)
    assert same == loss
    for one, other in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(0.25 * one, other, rtol=1e-5, atol=1e-6)


def test_weight_zero_learns_nothing_and_tells_the_loss():
    before, after = tables(8), tables(8)
    assert learn(after, crowded_batch(), 0.5, weight=0.0) > 0
    for one, other in zip(before, after, strict=True):
        assert one.tobytes() == other.tobytes()


def distinct_anchors():
    """Anchors that occur once: none of them sees what another one changed."""
    contexts = [[i % N_TARGETS, (3 * i + 1) % N_TARGETS] for i in range(N_SOURCES)]
    negatives = [[(i + 5) % N_TARGETS, (i + 7) % N_TARGETS, (3 * i + 1) % N_TARGETS] for i in range(N_SOURCES)]
    return batch_of(np.random.default_rng(2).permutation(N_SOURCES), contexts, negatives)


def test_learning_the_source_only_leaves_the_target_and_returns_its_gradient():
    source, target, source_memory, _, _ = tables(8)
    no_offsets, batch = np.zeros(N_TARGETS, np.float32), distinct_anchors()
    expected_loss, of_source, of_target = skip_gram_gradients(source, target, no_offsets, batch, 0.4)
    learned, memory, kept = source.copy(), source_memory.copy(), target.copy()
    loss, gradient = learn_source_only(learned, kept, memory, batch, 0.3, 0.4)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert kept.tobytes() == target.tobytes()
    np.testing.assert_allclose(gradient, of_target, rtol=1e-4, atol=1e-6)
    expected_memory = source_memory + np.mean(of_source**2, axis=1)
    np.testing.assert_allclose(memory, expected_memory, rtol=1e-5)
    np.testing.assert_allclose(learned, source - 0.3 * of_source / np.sqrt(expected_memory)[:, None], rtol=1e-4)


def test_threads_share_the_work_and_none_of_the_gradient_is_lost():
    before = get_num_threads()
    if before < 2:
        pytest.skip("one core here: nothing is shared")
    found = []
    try:
        for threads in (1, before):
            set_num_threads(threads)
            source, target, memory, _, _ = tables(8)
            found.append((*learn_source_only(source, target, memory, distinct_anchors(), 0.3), source, memory))
    finally:
        set_num_threads(before)
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for one, other in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_batch_without_anchors_changes_nothing():
    empty = SkipGramBatch(
        np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros((0, 6), np.int32)
    )
    before, after = tables(8), tables(8)
    assert learn(after, empty, 0.5) == 0
    assert learn_source_only(after[0], after[1][:0], after[2], empty, 0.5)[1].shape == (0, 8)
    loss, gradient = learn_source_only(after[0], after[1], after[2], empty, 0.5)
    assert loss == 0
    assert not gradient.any()
    for one, other in zip(before, after, strict=True):
        assert one.tobytes() == other.tobytes()
