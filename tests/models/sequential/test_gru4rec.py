"""GRU4Rec: the recurrence by loops, no look at the future, what it learns on planted data."""

import math

import numpy as np
import pytest
import torch

from prismrec.data.sequences import Sequences
from prismrec.models.neural.trainable import TorchTraining
from prismrec.models.sequential.configs import GRU4RecConfig
from prismrec.models.sequential.gru4rec import GRU4Rec, GRU4RecEncoder, GRU4RecNetwork

SMALL = {
    "embedding_dim": 16,
    "hidden_dim": 24,
    "max_length": 12,
    "batch_places": 256,
    "loss": "softmax",
    "learning_rate": 0.02,
    "dropout": 0.1,
}
NOBODY = np.full(4, -1)


def trained(data, epochs, **changes):
    model = GRU4Rec(GRU4RecConfig(**{**SMALL, **changes}), data, seed=0, device="cpu")
    training = TorchTraining(model, seed=0)
    for epoch in range(epochs):
        for step in range(training.steps_per_epoch):
            training.step(epoch, step, 0.0)
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_states_are_what_the_equations_say():
    config = GRU4RecConfig(embedding_dim=3, hidden_dim=2, max_length=4, batch_places=4, dropout=0.0)
    network = GRU4RecNetwork(5, config)
    network.initialise(torch.Generator().manual_seed(0))
    cell = {name: tensor.detach().numpy() for name, tensor in network.recurrent.named_parameters()}
    w_r, w_z, w = np.split(cell["weight_ih_l0"], 3)
    u_r, u_z, u = np.split(cell["weight_hh_l0"], 3)
    b_r, b_z, b = np.split(cell["bias_ih_l0"], 3)
    c_r, c_z, c = np.split(cell["bias_hh_l0"], 3)
    h, expected = np.zeros(2), []
    for item in (4, 0, 2):
        x = network.items[item].detach().numpy()
        r, z = sigmoid(w_r @ x + b_r + u_r @ h + c_r), sigmoid(w_z @ x + b_z + u_z @ h + c_z)
        h = (1 - z) * np.tanh(w @ x + b + r * (u @ h + c)) + z * h
        expected.append(h)
    states = network.states(torch.tensor([[4, 0, 2]]))
    np.testing.assert_allclose(states[0].detach().numpy(), expected, atol=1e-6)
    output, bias = network.output.weight.detach().numpy(), network.output.bias.detach().numpy()
    vectors = network.vectors(states)[0].detach().numpy()
    np.testing.assert_allclose(vectors, np.array(expected) @ output.T + bias, atol=1e-6)


def test_no_place_sees_what_follows_it_and_so_no_padding():
    network = GRU4RecNetwork(9, GRU4RecConfig(**SMALL)).eval()
    network.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = network.states(torch.tensor([[1, 2, 3, 4]])), network.states(torch.tensor([[1, 2, 8, 0]]))
    torch.testing.assert_close(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2:], other[:, 2:])


@pytest.mark.parametrize(("loss", "n_negatives", "epochs"), [("softmax", 0, 12), ("softmax", 20, 12), ("bce", 1, 40)])
def test_learns_the_next_item_of_the_planted_cycle(planted, loss, n_negatives, epochs):
    model = trained(planted((), n_sessions=200), epochs, loss=loss, n_negatives=n_negatives)
    asked = Sequences.from_lists([[3, 4, 5], [17], [28, 29], [9, 10, 11, 12]])
    scores = model.encoder().encode(asked, NOBODY) @ model.table().target.T
    for row, seen in zip(scores, asked, strict=True):
        row[seen] = -np.inf  # bce never pushes down what a user had
    assert scores.argmax(1).tolist() == [6, 18, 0, 13]


def test_one_by_one_and_together_are_the_same_and_only_the_latest_items_count(planted):
    model = trained(planted((), n_sessions=50), 1, n_layers=2)
    rows = [[3, 4, 5], [], [1], list(range(20))]
    encode = model.encoder().encode
    together = encode(Sequences.from_lists(rows), NOBODY)
    for row, vector in zip(rows, together, strict=True):
        alone = encode(Sequences.from_lists([row[-12:]]), NOBODY[:1])[0]
        np.testing.assert_allclose(alone, vector, atol=1e-5)
    assert not together[1].any()


def test_stored_and_opened_is_the_same_and_does_not_learn_on(planted):
    model = trained(planted((), n_sessions=50), 1)
    asked = Sequences.from_lists([[3, 4, 5], [6]])
    stored, encoder = model.stored(), model.encoder()
    before = encoder.encode(asked, NOBODY[:2])
    TorchTraining(model, seed=0).step(1, 0, 0.0)
    opened = GRU4RecEncoder.opened(stored.config, stored.arrays)
    assert not stored.knows_users
    assert (opened.encode(asked, np.array([3, -1])) == before).all()
    assert (encoder.encode(asked, NOBODY[:2]) == before).all()
    assert not (model.encoder().encode(asked, NOBODY[:2]) == before).all()


def test_an_epoch_reads_every_place_once(planted):
    data = planted((), n_sessions=50)
    model = GRU4Rec(GRU4RecConfig(**SMALL), data, seed=0, device="cpu")
    examples = [model.objective(0, step).losses["next_item"].n_examples for step in range(model.steps_per_epoch)]
    assert sum(examples) == (data.histories.lengths - 1).sum()


def test_a_fresh_network_finds_all_items_nearly_alike(planted):
    data = planted((), n_sessions=50)
    model = GRU4Rec(GRU4RecConfig(**SMALL), data, seed=0, device="cpu")
    assert model.objective(0, 0).losses["next_item"].mean == pytest.approx(math.log(len(data.items)), rel=0.05)


def test_a_seed_decides_every_parameter(planted):
    torch.manual_seed(1)
    one = GRU4Rec(GRU4RecConfig(**SMALL), planted((), n_sessions=5), seed=0, device="cpu").network.state_dict()
    torch.manual_seed(2)
    same = GRU4Rec(GRU4RecConfig(**SMALL), planted((), n_sessions=5), seed=0, device="cpu").network.state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
