"""HGN: the gates by loops, users unknown and histories short, what it learns on planted data."""

import math

import numpy as np
import pytest
import torch

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.models.neural.trainable import TorchTraining
from prismrec.models.sequential.configs import HGNConfig
from prismrec.models.sequential.hgn import HGN, HGNEncoder, HGNNetwork

SMALL = {"embedding_dim": 8, "window": 3, "targets": 2, "batch_size": 64, "learning_rate": 0.02}


def trained(data, epochs, **changes):
    model = HGN(HGNConfig(**{**SMALL, **changes}), data, seed=0, device="cpu")
    training = TorchTraining(model, seed=0)
    for epoch in range(epochs):
        for step in range(training.steps_per_epoch):
            training.step(epoch, step, 0.0)
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_loops(network, user, items):
    """Equations (1)-(4) for one query: `items` with their columns in the window."""
    values = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    gated, products = [], np.zeros_like(user)
    for column, item in items:
        e = values["sources"][item]
        f = e * sigmoid(values["item_gate"] @ e + values["user_gate"] @ user + values["gate_bias"])
        gated.append(f * sigmoid(values["instance_gate"] @ f + values["instance_user_gate"][column] @ user))
        products += e
    if not gated:
        return user
    pooled = np.mean(gated, axis=0) if network.pooling == "mean" else np.max(gated, axis=0)
    return user + pooled + products


@pytest.fixture(params=["mean", "max"])
def network(request):
    net = HGNNetwork(4, 6, HGNConfig(embedding_dim=3, window=3, pooling=request.param))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(generator=generator)
    return net


def test_query_vectors_are_what_the_equations_say(network):
    near = torch.tensor([[1, 5, 2], [UNKNOWN, 3, 3], [UNKNOWN, UNKNOWN, 0], [UNKNOWN] * 3])
    vectors = network(network.users, near).detach().numpy()
    places = [[(0, 1), (1, 5), (2, 2)], [(1, 3), (2, 3)], [(2, 0)], []]
    for user, items, vector in zip(network.users.detach().numpy(), places, vectors, strict=True):
        np.testing.assert_allclose(vector, by_loops(network, user, items), rtol=1e-5)


def test_gradients_pass_windows_without_items(network):
    network(network.users, torch.tensor([[UNKNOWN] * 3] * 4)).sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


def encoder_of(network):
    config = HGNConfig(embedding_dim=3, window=3, pooling=network.pooling)
    return HGNEncoder(network, config)


def test_unknown_users_are_the_mean_of_all(network):
    vectors = encoder_of(network).encode(Sequences.from_lists([[1, 2]]), np.array([UNKNOWN]))
    mean = network.users.detach().numpy().mean(0)
    expected = [*by_loops(network, mean, [(1, 1), (2, 2)]), 1.0]
    np.testing.assert_allclose(vectors[0], expected, rtol=1e-5)


def test_who_is_unknown_and_did_nothing_is_zero_and_a_known_user_is_their_own_vector(network):
    vectors = encoder_of(network).encode(Sequences.from_lists([[], []]), np.array([UNKNOWN, 2]))
    assert not vectors[0].any()
    np.testing.assert_allclose(vectors[1], [*network.users[2].tolist(), 1.0], rtol=1e-6)


def test_one_by_one_and_together_are_the_same_and_only_the_window_counts(network, monkeypatch):
    monkeypatch.setattr("prismrec.models.sequential.hgn._QUERIES_AT_ONCE", 2)
    rows, users = [[5, 4, 3, 2, 1], [3, 2, 1], [], [4], [1, 1]], np.array([1, 1, -1, 0, -1])
    encode = encoder_of(network).encode
    together = encode(Sequences.from_lists(rows), users)
    for number, row in enumerate(rows):
        alone = encode(Sequences.from_lists([row]), users[number : number + 1])[0]
        np.testing.assert_allclose(together[number], alone, rtol=1e-5)
    np.testing.assert_allclose(together[0], together[1], rtol=1e-6)


def test_objective_is_bpr_over_every_target_there_is_and_the_penalty(monkeypatch):
    rows = [[0, 1, 2], [2, 3]]
    histories = Sequences.from_lists(rows)
    items = Vocabulary.from_ids(list(range(4)))
    data = PreparedData(items, histories, Vocabulary.from_ids(["u", "v"]), histories)
    model = HGN(HGNConfig(**{**SMALL, "targets": 3, "l2": 0.01}), data, seed=0, device="cpu")
    batch = model._windows.batch(0, 0)
    assert len(batch.users) == 1
    values = {name: tensor.detach().numpy() for name, tensor in model.network.named_parameters()}
    user = values["users"][batch.users[0]]
    near = [(column, item) for column, item in enumerate(batch.near[0]) if item != UNKNOWN]
    query = by_loops(model.network, user, near)
    targets = [item for item in batch.targets[0] if item != UNKNOWN]
    others = model._unseen.draw(np.repeat(batch.users, len(targets)), np.random.default_rng([0, 0, 0]))
    assert not set(others) & set(rows[batch.users[0]])
    margins = [query @ (values["targets"][i] - values["targets"][j]) for i, j in zip(targets, others, strict=True)]
    ranking = np.mean([math.log(1 + math.exp(-m)) for m in margins])
    used = [values["sources"][item] for _, item in near]
    right, wrong = values["targets"][targets], values["targets"][others]
    gates = ("item_gate", "user_gate", "instance_gate", "instance_user_gate")
    penalty = np.square(user).sum() + np.square(used).sum() + sum(np.square(values[gate]).sum() for gate in gates)
    penalty += np.square(right).sum(1).mean() + np.square(wrong).sum(1).mean()
    objective = model.objective(0, 0)
    assert objective.losses["ranking"].mean == pytest.approx(ranking, rel=1e-5)
    assert objective.losses["ranking"].n_examples == len(targets)
    assert objective.value.item() == pytest.approx(ranking + 0.01 * penalty, rel=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_learns_the_next_item_of_the_planted_cycle(planted, pooling):
    model = trained(planted((), n_sessions=100), 25, targets=1, window=2, embedding_dim=16, pooling=pooling)
    asked = Sequences.from_lists([[3, 4, 5], [17, 18], [27, 28], [9, 10, 11, 12]])
    scores = model.encoder().encode(asked, np.full(4, UNKNOWN)) @ model.table().target.T
    for row, seen in zip(scores, asked, strict=True):
        row[seen] = -np.inf  # no step ever pushed down what a user had
    assert scores.argmax(1).tolist() == [6, 19, 29, 13]


def test_learns_what_a_user_likes_where_the_order_says_nothing():
    rng = np.random.default_rng(0)
    rows = [(rng.permutation(10)[:7] + 10 * (user % 2)).tolist() for user in range(60)]
    histories = Sequences.from_lists(rows)
    items = Vocabulary.from_ids(list(range(20)), np.bincount(histories.values, minlength=20))
    data = PreparedData(items, histories, Vocabulary.from_ids(list(range(60))), histories)
    model = trained(data, 20, batch_size=32)
    users = np.array([4, 5])
    scores = model.encoder().encode(Sequences.from_lists([[], []]), users) @ model.table().target.T
    assert scores[0, :10].mean() > scores[0, 10:].mean() + 0.5
    assert scores[1, 10:].mean() > scores[1, :10].mean() + 0.5


def test_bias_meets_the_last_column(planted):
    model = trained(planted((), n_sessions=30), 1)
    table = model.table()
    np.testing.assert_array_equal(table.target[:, -1], model.network.bias.detach().numpy())
    assert not table.source[:, -1].any()


def test_stored_and_opened_is_the_same_and_does_not_learn_on(planted):
    model = trained(planted((), n_sessions=30), 1)
    asked, users = Sequences.from_lists([[3, 4, 5], [6], []]), np.array([2, -1, 1])
    stored, encoder = model.stored(), model.encoder()
    before = encoder.encode(asked, users)
    TorchTraining(model, seed=0).step(1, 0, 0.0)
    assert stored.knows_users
    assert (HGNEncoder.opened(stored.config, stored.arrays).encode(asked, users) == before).all()
    assert (encoder.encode(asked, users) == before).all()
    assert not (model.encoder().encode(asked, users) == before).all()


def test_a_seed_decides_every_parameter(planted):
    torch.manual_seed(1)
    one = HGN(HGNConfig(**SMALL), planted((), n_sessions=5), seed=0, device="cpu").network.state_dict()
    torch.manual_seed(2)
    same = HGN(HGNConfig(**SMALL), planted((), n_sessions=5), seed=0, device="cpu").network.state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
