"""MF: its loss by hand, its scores as products of what it serves."""

import numpy as np
import pytest
import torch

from prismrec.data.sequences import Sequences
from prismrec.models.collaborative.configs import MFConfig
from prismrec.models.collaborative.mf import MF

HISTORIES = [[0, 1], [2], [1, 3]]


@pytest.fixture
def model(make_log):
    """Three users, five items, three numbers; biases that are not zero."""
    built = MF(MFConfig(embedding_dim=3, batch_size=4, l2=0.1), make_log(HISTORIES, 5), seed=0, device="cpu")
    with torch.no_grad():
        built.network.bias.copy_(torch.linspace(-1, 1, 5))
    return built


def parts(model):
    return (p.detach().numpy() for p in (model.network.users, model.network.items, model.network.bias))


def test_the_objective_is_bpr_with_squares_per_example(model):
    users, positives, negatives = model._batches.batch(0, 0)
    p, q, b = parts(model)
    loss, squares = 0.0, 0.0
    for u, i, j in zip(users, positives, negatives, strict=True):
        margin = p[u] @ q[i] + b[i] - p[u] @ q[j] - b[j]
        loss -= np.log(1 / (1 + np.exp(-margin)))
        squares += (p[u] ** 2).sum() + (q[i] ** 2).sum() + (q[j] ** 2).sum() + b[i] ** 2 + b[j] ** 2
    found = model.objective(0, 0)
    assert found.value.item() == pytest.approx(loss / 4 + 0.1 * squares / 4, rel=1e-5)
    assert found.losses["ranking"].total == pytest.approx(loss, rel=1e-5)
    assert found.losses["ranking"].n_examples == 4


def test_its_gradient_is_that_of_the_formula(model):
    users, positives, negatives = model._batches.batch(0, 0)
    p, q, b = parts(model)
    expected = np.zeros_like(b)
    for u, i, j in zip(users, positives, negatives, strict=True):
        pull = 1 / (1 + np.exp(p[u] @ q[i] + b[i] - p[u] @ q[j] - b[j]))
        expected[i] += (-pull + 0.2 * b[i]) / 4
        expected[j] += (pull + 0.2 * b[j]) / 4
    model.objective(0, 0).value.backward()
    np.testing.assert_allclose(model.network.bias.grad.numpy(), expected, rtol=1e-4, atol=1e-7)


def test_scores_of_known_users_are_products_and_biases(model):
    p, q, b = parts(model)
    scores = model.encoder().encode(Sequences.from_lists(HISTORIES), np.arange(3)) @ model.table().target.T
    np.testing.assert_allclose(scores, p @ q.T + b, rtol=1e-5)


def test_unknown_users_are_the_mean_of_their_items_with_the_biases_whole(model):
    _, q, b = parts(model)
    scores = model.encoder().encode(Sequences.from_lists([[0, 1]]), np.array([-1])) @ model.table().target.T
    np.testing.assert_allclose(scores[0], (q[0] + q[1]) / 2 @ q.T + b, rtol=1e-5)


def test_sources_of_similar_items_meet_no_bias(model):
    _, q, _ = parts(model)
    table = model.table()
    np.testing.assert_allclose(table.source @ table.target.T, q @ q.T, rtol=1e-5, atol=1e-7)


def test_an_epoch_goes_once_over_all_pairs(model):
    assert model.steps_per_epoch == 2  # five pairs, four at a time
