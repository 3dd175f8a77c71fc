"""Losses against sums written out, gradients against autograd and finite differences."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from prismrec.models.neural.losses import bpr, full_softmax, sampled_softmax


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    queries = torch.tensor(rng.normal(size=(5, 3)), dtype=torch.float64, requires_grad=True)
    targets = torch.tensor(rng.normal(size=(7, 3)), dtype=torch.float64, requires_grad=True)
    return queries, targets, torch.tensor([0, 6, 3, 3, 1])


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


def test_bpr_is_the_mean_of_minus_log_sigmoid_of_differences():
    positive, negative = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert bpr(positive, negative).item() == pytest.approx(expected, rel=1e-6)


def test_full_softmax_of_two_items_by_hand():
    queries, targets = torch.tensor([[2.0]]), torch.tensor([[1.0], [3.0]])
    expected = math.log(math.exp(2) + math.exp(6)) - 2
    assert full_softmax(queries, targets, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scores_at_once", [1, 7, 14, 20, 1000])
def test_full_softmax_equals_cross_entropy_with_its_gradients_in_parts_of_any_size(vectors, scores_at_once):
    queries, targets, positives = vectors
    slow = F.cross_entropy(queries @ targets.T, positives)
    fast = full_softmax(queries, targets, positives, scores_at_once)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-6)
    for ours, theirs in zip(gradients(3 * fast, *vectors[:2]), gradients(3 * slow, *vectors[:2]), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_full_softmax_bears_scores_beyond_the_range_of_exp():
    queries, targets = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[1000.0], [0.0]], requires_grad=True)
    loss = full_softmax(queries, targets, torch.tensor([1]))
    assert loss.item() == pytest.approx(1000.0)
    assert gradients(loss, queries)[0].item() == pytest.approx(1000.0)


def test_full_softmax_never_holds_more_scores_than_allowed(monkeypatch):
    held = []
    plain = torch.Tensor.exp_

    def counted(scores):
        held.append(scores.numel())
        return plain(scores)

    monkeypatch.setattr(torch.Tensor, "exp_", counted)
    full_softmax(torch.ones(50, 2), torch.ones(10, 2), torch.zeros(50, dtype=torch.int64), scores_at_once=100)
    assert max(held) == 100
    assert sum(held) == 500


def test_full_softmax_in_half_precision_is_near():
    generator = torch.Generator().manual_seed(1)
    queries, targets = torch.randn(64, 16, generator=generator), torch.randn(300, 16, generator=generator)
    queries.requires_grad_()
    positives = torch.arange(64)
    exact = full_softmax(queries, targets, positives)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = full_softmax(queries, targets, positives)
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.01)
    assert gradients(rough, queries)[0].dtype == torch.float32


def test_sampled_softmax_by_hand():
    queries, targets = torch.tensor([[1.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    loss = sampled_softmax(queries, targets, torch.tensor([0]), torch.tensor([1, 2, 2]))
    expected = math.log(math.exp(0.5) + math.exp(1) + 2 * math.exp(2)) - 0.5
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_sampled_softmax_ignores_negatives_that_are_the_positive():
    queries, targets = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    loss = sampled_softmax(queries, targets, torch.tensor([0, 1]), torch.tensor([1, 0]))
    first = math.log(math.exp(0.5) + math.exp(1)) - 0.5  # of query 0 item 1 alone is a negative
    second = math.log(math.exp(1) + math.exp(0.5)) - 1.0
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_sampled_softmax_without_a_negative_left_is_zero_and_so_is_its_gradient():
    queries = torch.tensor([[1.0]], requires_grad=True)
    loss = sampled_softmax(queries, torch.tensor([[0.5], [1.0]]), torch.tensor([0]), torch.tensor([0, 0]))
    assert loss.item() == 0.0
    assert gradients(loss, queries)[0].item() == 0.0


def test_sampled_softmax_over_every_other_item_is_the_full_softmax(vectors):
    queries, targets, positives = vectors
    everything = torch.arange(len(targets))
    sampled, full = sampled_softmax(queries, targets, positives, everything), full_softmax(queries, targets, positives)
    assert sampled.item() == pytest.approx(full.item(), rel=1e-6)
    for ours, theirs in zip(gradients(sampled, *vectors[:2]), gradients(full, *vectors[:2]), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_corrected_sampled_softmax_estimates_the_sum_of_the_full_softmax(vectors):
    queries, targets, positives = (tensor.detach() for tensor in vectors)
    chance = torch.tensor([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1])
    generator = torch.Generator().manual_seed(2)
    negatives = torch.multinomial(chance, 200_000, replacement=True, generator=generator)
    corrected = sampled_softmax(queries, targets, positives, negatives, (len(negatives) * chance[negatives]).log())
    assert corrected.item() == pytest.approx(full_softmax(queries, targets, positives).item(), rel=0.01)
    plain = sampled_softmax(queries, targets, positives, negatives)
    assert plain.item() > corrected.item() + 1


@pytest.mark.parametrize("scores_at_once", [1, 6, 1000])
def test_gradients_of_sampled_softmax_equal_finite_differences(vectors, scores_at_once):
    queries, targets, positives = vectors
    negatives, expected = torch.tensor([2, 3, 0, 3, 5]), torch.tensor([0.1, -0.3, 0.2, -0.3, 0.7], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda q, t: sampled_softmax(q, t, positives, negatives, expected, scores_at_once), (queries, targets)
    )


def test_sampled_softmax_equals_the_sum_written_out(vectors):
    queries, targets, positives = vectors
    negatives, expected = [2, 3, 0, 3, 5], [0.1, -0.3, 0.2, -0.3, 0.7]
    slow = 0.0
    for query, positive in zip(queries.tolist(), positives.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(query, target, strict=True)) for target in targets.tolist()]
        wrong = [scores[j] - c for j, c in zip(negatives, expected, strict=True) if j != positive]
        slow += math.log(math.exp(scores[positive]) + sum(math.exp(s) for s in wrong)) - scores[positive]
    ours = sampled_softmax(queries, targets, positives, torch.tensor(negatives), torch.tensor(expected))
    assert ours.item() == pytest.approx(slow / len(queries), rel=1e-6)
