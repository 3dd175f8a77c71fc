"""NGCF against numbers by hand and a slow version of its equations."""

import math

import numpy as np
import pytest
import torch

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.models.algorithms import open_encoder
from prismrec.models.collaborative.configs import NGCFConfig
from prismrec.models.collaborative.ngcf import NGCF, NGCFLayer

TINY = NGCFConfig(embedding_dim=4, n_layers=2, batch_size=40, l2=0.01, message_dropout=0.0)


def fresh(data, config=TINY, seed=1):
    return NGCF(config, data, seed=seed, device="cpu")


def scores(model, data):
    return model.encoder().encode(data.histories, np.arange(len(data.users))) @ model.table().target.T


def test_layer_adds_sums_and_products_and_keeps_a_fifth_of_what_is_negative():
    layer = NGCFLayer(2, torch.Generator())
    with torch.no_grad():
        layer.of_sums.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        layer.of_products.weight.copy_(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
        layer.of_sums.bias.copy_(torch.tensor([0.5, 0.0]))
    own, received = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    # sums (4, 1) -> (4 + 0.5, 2); products (3, -2) -> (-2, -3); together (2.5, -1)
    assert layer(own, received).tolist() == [pytest.approx([2.5, -0.2])]


def test_vectors_of_two_users_of_one_item(make_log):
    """dim 1, W1 = 1, W2 = 2: one layer beside the first, of length 1."""
    model = fresh(make_log([[0], [0]], 1), NGCFConfig(embedding_dim=1, n_layers=1, message_dropout=0.0))
    with torch.no_grad():
        model.network.users.copy_(torch.tensor([[1.0], [-3.0]]))
        model.network.items.copy_(torch.tensor([[2.0]]))
        model.network.layers[0].of_sums.weight.fill_(1.0)
        model.network.layers[0].of_products.weight.fill_(2.0)
    root = math.sqrt(2)
    next_user = -3 + 2 / root + 2 * (2 / root * -3)  # negative, so its length-1 version is -1
    assert next_user < 0
    assert model.table().target[0] == pytest.approx([2.0, -1.0])  # the item: 2 - 2/r + 2 (-2/r 2) < 0
    users = model.encoder().encode(Sequences.from_lists([[], []]), np.arange(2))
    np.testing.assert_allclose(users, [[1.0, 1.0], [-3.0, -1.0]], rtol=1e-6)


def slow_vectors(model, data):
    """e* of every node in float64, message by message: (3)-(5) of the paper, node by node."""
    n_users = len(data.users)
    vectors = torch.cat([model.network.users, model.network.items]).detach().double().numpy()
    neighbours: dict[int, set[int]] = {node: set() for node in range(len(vectors))}
    for user, items in enumerate(data.histories):
        for item in items.tolist():
            neighbours[user].add(n_users + item)
            neighbours[n_users + item].add(user)
    parts = [vectors]
    for layer in model.network.layers:
        w1, b1, w2, b2 = (
            p.detach().double().numpy()
            for linear in (layer.of_sums, layer.of_products)
            for p in (linear.weight, linear.bias)
        )
        after = np.empty_like(vectors)
        for node, near in neighbours.items():
            total = w1 @ vectors[node] + b1 + b2
            for other in near:
                share = 1 / math.sqrt(len(near) * len(neighbours[other]))
                total = total + share * (w1 @ vectors[other] + w2 @ (vectors[other] * vectors[node]))
            after[node] = np.where(total > 0, total, 0.2 * total)
        vectors = after
        parts.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return np.concatenate(parts, 1)


@pytest.fixture
def with_biases(groups):
    """Biases are zero at first, so that none would be missed."""
    model = fresh(groups)
    with torch.no_grad():
        for layer in model.network.layers:
            for linear in (layer.of_sums, layer.of_products):
                linear.bias.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(3))
    return model


def test_vectors_are_those_of_messages_one_by_one(groups, with_biases):
    expected = slow_vectors(with_biases, groups)
    assert expected.shape == (60, 12)
    np.testing.assert_allclose(with_biases.table().target, expected[40:], rtol=1e-4, atol=1e-5)
    users = with_biases.encoder().encode(groups.histories, np.arange(40))
    np.testing.assert_allclose(users, expected[:40], rtol=1e-4, atol=1e-5)


def slow_objective(model, data):
    final = slow_vectors(model, data)
    total = 0.0
    users, positives, negatives = model._batches.batch(2, 1)
    for user, positive, negative in zip(users, positives, negatives, strict=True):
        u, i, j = final[user], final[40 + positive], final[40 + negative]
        total += math.log1p(math.exp(-(u @ i - u @ j))) + TINY.l2 * (u @ u + i @ i + j @ j)
    return total / len(users)


def test_objective_is_that_of_the_equations(groups, with_biases):
    objective = with_biases.objective(2, 1)
    assert objective.value.item() == pytest.approx(slow_objective(with_biases, groups), rel=1e-5)
    plain = fresh(groups, TINY.model_copy(update={"l2": 0.0}))
    plain.network.load_state_dict(with_biases.network.state_dict())
    assert objective.losses["ranking"].mean == pytest.approx(plain.objective(2, 1).value.item())
    assert objective.losses["ranking"].n_examples == 40


@pytest.mark.parametrize("name", ["users", "items", "layers.0.of_products.weight", "layers.1.of_sums.weight"])
def test_gradient_is_the_slope_of_the_slow_objective(groups, with_biases, name):
    parameter = dict(with_biases.network.named_parameters())[name]
    with_biases.objective(2, 1).value.backward()
    place = divmod(int(parameter.grad.abs().argmax()), parameter.shape[1])
    values = []
    for shift in (1e-3, -1e-3):
        with torch.no_grad():
            parameter[place] += shift
            values.append(slow_objective(with_biases, groups))
            parameter[place] -= shift
    assert parameter.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=0.02)


def test_dropout_is_of_training_alone(groups):
    model = fresh(groups, TINY.model_copy(update={"message_dropout": 0.5, "node_dropout": 0.3}))
    first = model.table().target
    assert np.array_equal(model.table().target, first)
    assert model.network.training
    assert model.objective(0, 0).value.item() != model.objective(0, 0).value.item()


def test_message_dropout_leaves_out_numbers_of_layers(groups):
    network = fresh(groups, TINY.model_copy(update={"message_dropout": 0.5})).network
    torch.manual_seed(0)
    parts = network(fresh(groups)._graph).split(4, 1)
    assert (parts[0] != 0).all()
    assert 0.3 < (torch.cat(parts[1:]) == 0).float().mean().item() < 0.7


def test_node_dropout_silences_whole_nodes(groups):
    network = fresh(groups, TINY.model_copy(update={"node_dropout": 0.5})).network
    torch.manual_seed(0)
    sent = network._sent(torch.ones(1000, 3))
    rows = sent[:, 0]
    assert (sent == rows[:, None]).all()
    assert set(rows.tolist()) == {0.0, 2.0}  # what is left is scaled, so that the mean stays
    assert 0.4 < (rows == 0).float().mean().item() < 0.6


def test_unknown_user_is_the_mean_of_their_items(groups):
    model = fresh(groups)
    encoder, items = model.encoder(), model.table().target
    got = encoder.encode(Sequences.from_lists([[3, 5, 5], []]), np.array([-1, -1]))
    np.testing.assert_allclose(got[0], (items[3] + 2 * items[5]) / 3, rtol=1e-5)
    assert not got[1].any()


def test_learns_who_belongs_together(groups, trained, lead):
    model = fresh(groups, NGCFConfig(embedding_dim=8, n_layers=2, batch_size=64, learning_rate=0.02))
    before = lead(model, groups)
    trained(model, 20)
    assert lead(model, groups) > 0.99 > before


def test_same_seed_same_numbers(groups, trained):
    dropping = TINY.model_copy(update={"message_dropout": 0.1})
    one, same, other = (fresh(groups, dropping, seed) for seed in (1, 1, 2))
    for model in (one, same, other):
        trained(model, 1)
    assert scores(one, groups).tobytes() == scores(same, groups).tobytes()
    assert (scores(one, groups) != scores(other, groups)).any()


def test_resumed_is_as_if_never_stopped(groups, trained):
    dropping = TINY.model_copy(update={"message_dropout": 0.1, "node_dropout": 0.1})
    whole, first, second = (fresh(groups, dropping) for _ in range(3))
    trained(whole, 2)
    begun = trained(first, 1)
    resumed = trained(second, 0)
    resumed.restore(begun.state())
    for step in range(resumed.steps_per_epoch):
        resumed.step(1, step, 0.5)
    assert scores(second, groups).tobytes() == scores(whole, groups).tobytes()


def test_opened_encoder_is_the_stored_one_and_batches_change_nothing(groups):
    model = fresh(groups)
    stored = model.stored()
    assert (stored.algorithm, stored.knows_users) == ("ngcf", True)
    users = np.where(np.arange(40) % 3, np.arange(40), -1)
    encoded = model.encoder().encode(groups.histories, users)
    assert np.array_equal(open_encoder(stored).encode(groups.histories, users), encoded)
    single = [
        model.encoder().encode(groups.histories.slice(row, row + 1), users[row : row + 1])[0] for row in range(40)
    ]
    np.testing.assert_array_equal(encoded, single)


def test_log_without_interactions_is_refused(make_log):
    with pytest.raises(DataError, match="no interactions"):
        fresh(make_log([[]], 2))
