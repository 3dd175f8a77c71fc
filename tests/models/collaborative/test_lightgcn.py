"""LightGCN against numbers by hand, a dense version, and the one of torch_geometric."""

import math

import numpy as np
import pytest
import torch

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.models.algorithms import open_encoder
from prismrec.models.collaborative.configs import LightGCNConfig
from prismrec.models.collaborative.lightgcn import LightGCN

TINY = LightGCNConfig(loss="bpr", embedding_dim=4, n_layers=2, batch_size=40, l2=0.01)


def fresh(data, config=TINY, seed=1):
    return LightGCN(config, data, seed=seed, device="cpu")


def scores(model, data):
    return model.encoder().encode(data.histories, np.arange(len(data.users))) @ model.table().target.T


def test_vectors_are_the_mean_of_the_layers(make_log):
    """Two users of one item: the item hears (p0 + p1) / sqrt 2, each user q / sqrt 2."""
    model = fresh(make_log([[0], [0]], 1), LightGCNConfig(loss="bpr", embedding_dim=1, n_layers=2))
    with torch.no_grad():
        model.network.users.copy_(torch.tensor([[1.0], [3.0]]))
        model.network.items.copy_(torch.tensor([[8.0]]))
    root = math.sqrt(2)
    of_item = (8 + 4 / root + 8) / 3  # second layer: 2 users x (8 / root) / root
    of_users = [(1 + 8 / root + 4 / 2) / 3, (3 + 8 / root + 4 / 2) / 3]
    assert model.table().target[:, 0] == pytest.approx([of_item])
    assert model.encoder().encode(Sequences.from_lists([[], []]), np.arange(2))[:, 0] == pytest.approx(of_users)


def test_vectors_are_those_of_torch_geometric(groups, geometric):
    model = fresh(groups, LightGCNConfig(loss="bpr", embedding_dim=8, n_layers=3))
    reference = geometric.LightGCN(60, 8, 3)
    with torch.no_grad():
        reference.embedding.weight.copy_(torch.cat([model.network.users, model.network.items]))
    owners = np.repeat(np.arange(40), groups.histories.lengths)
    one = torch.from_numpy(np.stack([owners, 40 + groups.histories.values.astype(np.int64)]))
    expected = reference.get_embedding(torch.cat([one, one.flip(0)], 1)).detach().numpy()
    np.testing.assert_allclose(model.table().target, expected[40:], atol=1e-6)
    np.testing.assert_allclose(model.encoder().encode(groups.histories, np.arange(40)), expected[:40], atol=1e-6)


def dense_objective(model, data, batch):
    """(15) in float64, one triple after the other, and its gradients."""
    n_users, n_items = len(data.users), len(data.items)
    adjacency = torch.zeros(n_users + n_items, n_users + n_items, dtype=torch.float64)
    for user, items in enumerate(data.histories):
        for item in items:
            adjacency[user, n_users + item] = adjacency[n_users + item, user] = 1
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    smooth = scale[:, None] * adjacency * scale
    first = torch.cat([model.network.users, model.network.items]).detach().double().requires_grad_()
    final = (first + smooth @ first + smooth @ smooth @ first) / 3
    total = torch.zeros((), dtype=torch.float64)
    for user, positive, negative in zip(*(array.tolist() for array in batch), strict=True):
        nodes = (user, n_users + positive, n_users + negative)
        u, i, j = (final[node] for node in nodes)
        total = total - torch.log(torch.sigmoid(u @ i - u @ j))
        total = total + TINY.l2 * sum((first[node] ** 2).sum() for node in nodes)
    value = total / len(batch[0])
    (gradient,) = torch.autograd.grad(value, first)
    return value.item(), gradient.numpy()


def test_objective_and_gradient_are_those_of_a_dense_version(groups):
    model = fresh(groups)
    objective = model.objective(2, 1)
    objective.value.backward()
    value, gradient = dense_objective(model, groups, model._batches.batch(2, 1))
    assert objective.value.item() == pytest.approx(value, rel=1e-5)
    ours = np.concatenate([model.network.users.grad.numpy(), model.network.items.grad.numpy()])
    np.testing.assert_allclose(ours, gradient, rtol=1e-4, atol=1e-7)
    assert np.abs(gradient).max() > 1e-3


def test_log_shows_the_loss_without_the_penalty(groups):
    batch = fresh(groups).objective(0, 0)
    plain = fresh(groups, TINY.model_copy(update={"l2": 0.0})).objective(0, 0)
    task = batch.losses["ranking"]
    assert task.mean == pytest.approx(plain.value.item())
    assert task.n_examples == 40
    assert batch.value.item() > plain.value.item()


SOFTMAX = TINY.model_copy(update={"loss": "sampled_softmax", "n_negatives": 6, "temperature": 0.5})


def slow_softmax(model):
    """Of batch 1 of epoch 2, in float64, one pair after the other."""
    layers = [layer.detach().double().numpy() for layer in model.network(model._graph, 2)]
    final = sum(layers) / 3
    unit = final / np.linalg.norm(final, axis=1, keepdims=True)
    users, positives, _ = model._batches.batch(2, 1)
    shared = np.random.default_rng([1, 2, 1, 1]).integers(20, size=6)
    total = 0.0
    for user, positive in zip(users, positives, strict=True):
        right = unit[user] @ unit[40 + positive] / 0.5
        others = [unit[user] @ unit[40 + j] / 0.5 for j in shared if j != positive]
        total += math.log(sum(map(math.exp, [right, *others]))) - right
        total += TINY.l2 * ((layers[0][user] ** 2).sum() + (layers[0][40 + positive] ** 2).sum())
    return total / len(users)


def test_softmax_is_over_cosines_and_shared_items(groups):
    model = fresh(groups, SOFTMAX)
    objective = model.objective(2, 1)
    assert objective.value.item() == pytest.approx(slow_softmax(model), rel=1e-5)
    assert objective.losses["ranking"].n_examples == 40


@pytest.mark.parametrize("name", ["users", "items"])
def test_gradient_of_softmax_is_its_slope(groups, name):
    model = fresh(groups, SOFTMAX)
    parameter = getattr(model.network, name)
    model.objective(2, 1).value.backward()
    place = divmod(int(parameter.grad.abs().argmax()), 4)
    values = []
    for shift in (1e-3, -1e-3):
        with torch.no_grad():
            parameter[place] += shift
            values.append(slow_softmax(model))
            parameter[place] -= shift
    assert parameter.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=0.01)


def test_softmax_serves_vectors_of_length_one(groups):
    model, plain = fresh(groups, SOFTMAX), fresh(groups)
    items, users = model.table().target, model.encoder().encode(groups.histories, np.arange(40))
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([items, users]), axis=1), 1, rtol=1e-6)
    long = plain.table().target
    np.testing.assert_allclose(items, long / np.linalg.norm(long, axis=1, keepdims=True), rtol=1e-5)


def test_softmax_learns_who_belongs_together(groups, trained, lead):
    model = fresh(groups, SOFTMAX.model_copy(update={"learning_rate": 0.02}))
    trained(model, 15)
    assert lead(model, groups) > 0.99


def test_unknown_user_is_what_propagation_makes_of_their_items(groups):
    model = fresh(groups)
    history, n_users = [4, 7, 7], 40
    first, second, _ = (layer.detach().numpy() for layer in model.network(model._graph, 2))
    of_items = np.bincount(np.concatenate([np.unique(h) for h in groups.histories]), minlength=20)
    n_mean = groups.histories.lengths.mean()
    expected = sum(
        (first[n_users + i] + second[n_users + i]) / 3 / math.sqrt(of_items[i]) * math.sqrt(n_mean) / len(history)
        for i in history
    )
    got = model.encoder().encode(Sequences.from_lists([history]), np.array([-1]))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_unknown_user_without_history_is_zero_and_cold_item_is_finite(small):
    model = fresh(small)
    assert not model.encoder().encode(Sequences.from_lists([[]]), np.array([-1])).any()
    assert np.isfinite(scores(model, small)).all()


def test_learns_who_belongs_together(groups, trained, lead):
    model = fresh(groups, LightGCNConfig(loss="bpr", embedding_dim=8, batch_size=64, learning_rate=0.02))
    before = lead(model, groups)
    trained(model, 20)
    assert lead(model, groups) > 0.99 > before


def test_unknown_users_get_items_of_their_group(groups, trained):
    model = fresh(groups, LightGCNConfig(loss="bpr", embedding_dim=8, batch_size=64, learning_rate=0.02))
    trained(model, 20)
    queries = model.encoder().encode(Sequences.from_lists([[0, 4], [1, 5]]), np.array([-1, -1]))
    found = queries @ model.table().target.T
    assert found[0, 0::2].min() > found[0, 1::2].max()
    assert found[1, 1::2].min() > found[1, 0::2].max()


def test_same_seed_same_numbers(groups, trained):
    one, same, other = (fresh(groups, seed=seed) for seed in (1, 1, 2))
    for model in (one, same, other):
        trained(model, 1)
    assert scores(one, groups).tobytes() == scores(same, groups).tobytes()
    assert (scores(one, groups) != scores(other, groups)).any()


def test_resumed_is_as_if_never_stopped(groups, trained):
    whole, first, second = fresh(groups), fresh(groups), fresh(groups)
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
    assert (stored.algorithm, stored.knows_users) == ("lightgcn", True)
    users = np.where(np.arange(40) % 3, np.arange(40), -1)
    encoded = model.encoder().encode(groups.histories, users)
    assert np.array_equal(open_encoder(stored).encode(groups.histories, users), encoded)
    single = [
        model.encoder().encode(groups.histories.slice(row, row + 1), users[row : row + 1])[0] for row in range(40)
    ]
    np.testing.assert_array_equal(encoded, single)


def test_encoder_stays_as_it_is_when_training_goes_on(groups, trained):
    model = fresh(groups)
    encoder, table = model.encoder(), model.table()
    before, targets = encoder.encode(groups.histories, np.arange(40)), table.target.copy()
    trained(model, 1)
    assert np.array_equal(encoder.encode(groups.histories, np.arange(40)), before)
    assert np.array_equal(table.target, targets)
    assert (model.table().target != targets).any()


def test_log_without_interactions_is_refused(make_log):
    with pytest.raises(DataError, match="no interactions"):
        fresh(make_log([[]], 2))
