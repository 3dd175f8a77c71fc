"""The Triton kernel against the step in torch and a slow reference: in Triton's interpreter where there is no GPU."""

import math

import numpy as np
import pytest

from prismrec.models.m2grl.batches import SkipGramBatch

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
from prismrec.models.m2grl import torch_step, triton_step  # noqa: E402
from prismrec.models.m2grl.device_batches import parts_of, to_device  # noqa: E402
from prismrec.models.m2grl.row_gradients import Rows  # noqa: E402
from prismrec.models.m2grl.torch_device import TorchDevice  # noqa: E402

DEVICE = TorchDevice("cuda" if torch.cuda.is_available() else "cpu", kernels="triton")
N_SOURCES, N_TARGETS = 9, 12


def random_batch(n_anchors, n_negatives, most_contexts=4, seed=1):
    """Rows repeat; contexts repeat within an anchor; some negatives are contexts; some anchors have no contexts."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, most_contexts + 1, n_anchors))]).astype(np.int64)
    return SkipGramBatch(
        rng.integers(0, N_SOURCES, n_anchors).astype(np.int32),
        offsets,
        rng.integers(0, N_TARGETS, offsets[-1]).astype(np.int32),
        rng.integers(0, N_TARGETS, (n_anchors, n_negatives)).astype(np.int32),
    )


def part_of(batch):
    (part,) = parts_of(to_device(batch, DEVICE), max(1, len(batch.anchors)), 1, DEVICE)
    return part


def tables(dim, dtype=torch.float32, seed=0):
    """Source and target rows, and logit offsets."""
    rng = np.random.default_rng(seed)
    source, target = (rng.normal(0, 1.5 / math.sqrt(dim), (n, dim)) for n in (N_SOURCES, N_TARGETS))
    return (
        DEVICE.tensor(source.astype(np.float32)).to(dtype),
        DEVICE.tensor(target.astype(np.float32)).to(dtype),
        DEVICE.tensor(rng.standard_normal(N_TARGETS).astype(np.float32)),
    )


def assert_steps_equal(batch, source, target, offsets, weight=0.7, fetched=False):
    part = part_of(batch)
    rows = Rows(source, part.anchors), Rows(target, part.targets)
    if fetched:
        rows = Rows(rows[0].gathered()), Rows(rows[1].gathered())
    expected = torch_step.skip_gram(*rows, offsets, part, weight, DEVICE)
    found = triton_step.skip_gram(*rows, offsets, part, weight, DEVICE)
    assert found.loss.dtype == torch.float64
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.anchors, expected.anchors, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.targets.scales, expected.targets.scales, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.targets.dense(), expected.targets.dense(), rtol=1e-5, atol=1e-5)
    return found


@pytest.mark.parametrize("dim", [8, 20, 64, 100, 256])
def test_every_dimension_gives_the_step_of_torch(dim):
    assert_steps_equal(random_batch(7, 5), *tables(dim))


@pytest.mark.parametrize("n_negatives", [1, 3, 10, 16, 20])
def test_every_number_of_negatives_gives_the_step_of_torch(n_negatives):
    assert_steps_equal(random_batch(6, n_negatives), *tables(8))


def test_anchors_with_more_contexts_than_are_read_at_once(monkeypatch):
    monkeypatch.setattr(triton_step, "MOST_NUMBERS_AT_ONCE", 32)  # 4 rows of 8
    assert_steps_equal(random_batch(5, 7, most_contexts=15), *tables(8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rows_of_16_bits_are_computed_with_in_32(dtype):
    source, target, offsets = tables(12, dtype)
    found = assert_steps_equal(random_batch(6, 4), source, target, offsets)
    assert found.anchors.dtype == found.targets.sources.dtype == torch.float32
    exact = assert_steps_equal(random_batch(6, 4), source.float(), target.float(), offsets)
    torch.testing.assert_close(found.anchors, exact.anchors, rtol=1e-6, atol=1e-6)


def test_fetched_rows_give_the_same_step_as_rows_in_their_tables():
    batch, (source, target, offsets) = random_batch(6, 4), tables(8)
    in_place = assert_steps_equal(batch, source, target, offsets)
    fetched = assert_steps_equal(batch, source, target, offsets, fetched=True)
    assert torch.equal(in_place.anchors, fetched.anchors)
    assert torch.equal(in_place.targets.scales, fetched.targets.scales)


def test_no_offsets_are_zeros():
    batch, (source, target, offsets) = random_batch(6, 4), tables(8)
    none = assert_steps_equal(batch, source, target, None)
    zeros = assert_steps_equal(batch, source, target, torch.zeros_like(offsets))
    assert torch.equal(none.anchors, zeros.anchors)


def test_loss_of_one_anchor_by_hand():
    source = torch.tensor([[1.0, 0.0]], device=DEVICE.device)
    target = torch.tensor([[0.0, 5.0], [math.log(3.0), 1.0], [-math.log(3.0), 1.0]], device=DEVICE.device)
    batch = SkipGramBatch(
        np.array([0], np.int32), np.array([0, 2]), np.array([0, 1], np.int32), np.array([[2, 1]], np.int32)
    )
    part = part_of(batch)
    found = triton_step.skip_gram(Rows(source, part.anchors), Rows(target, part.targets), None, part, 0.5, DEVICE)
    # s(0) = 1/2 and s(log 3) = 3/4 pull; the first negative counts twice, with 1 - s(-log 3) = 3/4; the second is a
    # context and counts not at all
    assert float(found.loss) == pytest.approx(math.log(2) + math.log(4 / 3) + 2 * math.log(4 / 3), rel=1e-6)
    expected = [-0.5 * 1 / 2, -0.5 * 1 / 4, 0.5 * 2 * 1 / 4, 0.0]
    assert found.targets.scales.tolist() == pytest.approx(expected, rel=1e-6)
    assert found.anchors[0].tolist() == pytest.approx(
        [expected[1] * math.log(3) - expected[2] * math.log(3), expected[0] * 5 + expected[1] + expected[2]], rel=1e-6
    )


def test_anchor_without_contexts_has_no_loss_and_no_gradient():
    batch = SkipGramBatch(
        np.array([3, 4], np.int32), np.array([0, 0, 1]), np.array([5], np.int32), np.array([[1], [2]], np.int32)
    )
    found = assert_steps_equal(batch, *tables(8))
    assert not found.anchors[0].any()
    assert found.targets.scales[1] == 0  # the negative of the first anchor stands behind the one context
    assert found.anchors[1].any()


def test_empty_part_gives_nothing():
    empty = SkipGramBatch(
        np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros((0, 5), np.int32)
    )
    found = assert_steps_equal(empty, *tables(8))
    assert float(found.loss) == 0
    assert found.targets.dense().shape == (0, 8)


def test_far_logits_neither_overflow_nor_vanish():
    source, target, _ = tables(8)
    found = assert_steps_equal(random_batch(6, 4), source, target, torch.linspace(-80, 80, N_TARGETS).to(DEVICE.device))
    assert torch.isfinite(found.anchors).all()


def test_result_repeats_bit_for_bit():
    one, other = (assert_steps_equal(random_batch(7, 5), *tables(20)) for _ in range(2))
    assert torch.equal(one.anchors, other.anchors)
    assert torch.equal(one.targets.scales, other.targets.scales)
