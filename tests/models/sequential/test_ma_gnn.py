"""MA-GNN: its equations against loops in plain numpy, its parts one by one, and planted histories."""

import math
from functools import cache

import numpy as np
import pytest
import torch

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import ConfigError, DataError
from prismrec.evaluation.tuning import replaced
from prismrec.graphs.item_graph import item_graph
from prismrec.models.neural.trainable import TorchTraining
from prismrec.models.neural.unseen import UnseenItems
from prismrec.models.sequential.configs import MAGNNConfig, MAGNNParts, MAGNNWindows
from prismrec.models.sequential.ma_gnn import MAGNN, MAGNNEncoder, Neighbours, sinusoids

N_ITEMS = 12
ROWS = [[0, 1, 2, 3, 4, 5, 6, 7], [3, 2, 1], [7], [5, 6, 5, 4], [8, 9, 10, 11, 0, 2]]
SMALL = MAGNNConfig(
    embedding_dim=6, heads=3, memory_slots=4, windows=MAGNNWindows(near=2, far=4, stride=1), dropout=0.0, batch_size=8
)
ABLATIONS = {
    "whole": {},
    "paper": {"parts.recency": "equal"},
    "short": {"parts.interests": "short"},
    "long": {"parts.interests": "long", "parts.bilinear": False},
    "no_memory": {"parts.memory": False},
    "no_gate": {"parts.gate": False},
    "no_bilinear": {"parts.bilinear": False},
    "no_graph": {"parts.graph": False},
    "no_user": {"parts.user": False},
}


@pytest.fixture(autouse=True)
def one_thread():
    """Steps this small wait for threads far longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prepared(rows, n_items=N_ITEMS):
    sequences = Sequences.from_lists(rows)
    return PreparedData(
        Vocabulary.from_ids(list(range(n_items))), sequences, Vocabulary.from_ids(list(range(len(rows)))), sequences
    )


def changed(config, changes):
    for field, value in changes.items():
        config = replaced(config, field, value)
    return config


def built(changes=None, rows=ROWS, seed=3):
    """A model whose parameters are all far from zero, so that every term of every equation counts."""
    model = MAGNN(changed(SMALL, changes or {}), prepared(rows), seed=seed, device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return model


def softmax(values):
    powers = np.exp(values - np.max(values))
    return powers / powers.sum()


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


class Slow:
    """Equations (1) to (8) for one user at a time, term by term, in float64."""

    def __init__(self, model, config, rows=ROWS):
        self.w = {name: value.detach().double().numpy() for name, value in model.network.named_parameters()}
        self.config = config
        self.graph = item_graph(Sequences.from_lists(rows), N_ITEMS, neighbours=config.neighbours).to_scipy().toarray()

    def weights(self, n, row):
        if self.config.parts.recency == "equal":
            return np.full(n, 1 / n)
        chosen = np.exp(self.w["ages"][row][self.config.windows.near - n :])
        return chosen / chosen.sum()

    def h(self, i):
        total = self.w["items"][i] @ self.w["self_loop"]
        if self.config.parts.graph:
            for k in range(N_ITEMS):
                total = total + self.graph[i, k] * (self.w["items"][k] @ self.w["neighbours"])
        return np.tanh(total)

    def short_term(self, near, p_u):
        mean = np.zeros(self.config.embedding_dim)
        for weight, item in zip(self.weights(len(near), 0) if near else [], near, strict=True):
            mean = mean + weight * self.h(item)
        return np.tanh(mean @ self.w["short"] + p_u @ self.w["short_user"])

    def query(self, far, p_u):
        if not far:
            return np.zeros(self.config.embedding_dim)
        dim = self.config.embedding_dim
        x = []
        for age, item in enumerate(reversed(far)):  # the latest has position 0
            position = [
                (math.sin if column % 2 == 0 else math.cos)(age / 10000 ** (column // 2 * 2 / dim))
                for column in range(dim)
            ]
            x.append(self.w["items"][item] + 0.02 * np.array(position))
        scores = np.array([self.w["heads"] @ np.tanh(row @ self.w["key"] + p_u @ self.w["key_user"]) for row in x])
        heads = [np.tanh(softmax(scores[:, head]) @ np.array(x)) for head in range(self.config.heads)]
        return np.mean(heads, axis=0)

    def attention(self, far, p_u):
        return softmax(self.w["memory_keys"] @ self.query(far, p_u))

    def long_term(self, far, p_u):
        z = self.query(far, p_u)
        return z + self.attention(far, p_u) @ self.w["memory_values"] if self.config.parts.memory else z

    def parts_of(self, history):
        windows = self.config.windows
        return history[-windows.near :], history[: -windows.near][-windows.far :]

    def vector(self, history, p_u):
        near, far = self.parts_of(history)
        parts = self.config.parts
        p_s, p_h = self.short_term(near, p_u), self.long_term(far, p_u)
        gate = sigmoid(p_s @ self.w["gate_short"] + p_h @ self.w["gate_long"] + p_u @ self.w["gate_user"])
        fused = gate * p_s + (1 - gate) * p_h if parts.gate else (p_s + p_h) / 2
        vector = {"both": fused, "short": p_s, "long": p_h}[parts.interests]
        if parts.user:
            vector = vector + p_u
        if parts.bilinear:
            for weight, item in zip(self.weights(len(near), 1) if near else [], near, strict=True):
                vector = vector + weight * (self.w["items"][item] @ self.w["bilinear"])
        return vector


HISTORIES = [[0, 1, 2, 3, 4, 5, 6, 7], [3, 2, 1], [7], [], [9, 9, 8, 1, 4], [1, 2, 3]]
USERS = np.array([0, 1, 2, 3, 4, -1])


# ---- equations ----


def test_positions_are_sines_and_cosines_in_turn():
    table = sinusoids(3, 4)
    assert table[0].tolist() == [0, 1, 0, 1]
    expected = [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)]
    assert table[2].tolist() == pytest.approx(expected)
    assert sinusoids(2, 5).shape == (2, 5)


@pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)
def test_queries_are_those_of_the_equations(changes):
    model = built(changes)
    slow = Slow(model, changed(SMALL, changes))
    found = model.encoder().encode(Sequences.from_lists(HISTORIES), USERS)
    for row, history, user in zip(found, HISTORIES, USERS, strict=True):
        p_u = slow.w["users"][user] if user >= 0 else slow.w["users"].mean(0)
        np.testing.assert_allclose(row, slow.vector(history, p_u), rtol=2e-5, atol=2e-6)


def test_every_switch_changes_the_queries():
    queries = [
        built(changes).encoder().encode(Sequences.from_lists([HISTORIES[0]]), np.array([0]))[0]
        for changes in ABLATIONS.values()
    ]
    for i, one in enumerate(queries):
        for other in queries[:i]:
            assert np.abs(one - other).max() > 1e-3


def test_memory_attention_is_the_softmax_of_query_and_keys():
    model = built()
    slow = Slow(model, SMALL)
    found = model.encoder().memory_attention(Sequences.from_lists(HISTORIES), USERS)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    expected = [
        slow.attention(slow.parts_of(row)[1], slow.w["users"][user])
        for row, user in zip(HISTORIES[:5], USERS, strict=False)
    ]
    np.testing.assert_allclose(found[:5], expected, rtol=1e-5)


def test_only_the_last_items_count():
    encoder = built().encoder()
    vectors = encoder.encode(Sequences.from_lists([[1, 2, 3, 4, 5, 6], [9, 8, 1, 2, 3, 4, 5, 6]]), np.array([0, 0]))
    np.testing.assert_array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("items", [[4, 0, 7], list(range(N_ITEMS))], ids=["few", "all"])
def test_neighbours_and_their_gradient_are_those_of_the_dense_product(items, monkeypatch):
    graph = item_graph(Sequences.from_lists(ROWS), N_ITEMS, neighbours=0)
    if len(items) < N_ITEMS:
        monkeypatch.setattr("prismrec.models.sequential.ma_gnn._FEW", 2)
    vectors = torch.randn(N_ITEMS, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    outer = torch.randn(len(items), 5, generator=torch.Generator().manual_seed(1))
    dense = torch.from_numpy(graph.to_scipy().toarray())[items]
    found = Neighbours(graph, torch.device("cpu")).mean(torch.tensor(items), vectors)
    torch.testing.assert_close(found, dense @ vectors)
    (gradient,) = torch.autograd.grad(found, vectors, outer)
    torch.testing.assert_close(gradient, dense.T @ outer)


# ---- objective ----


def first_batch(model):
    """Histories before each target of the first batch, as lists, with users and targets."""
    batch = model._windows.batch(0, 0)
    rows = [
        [i for i in (*far, *near) if i >= 0] for near, far in zip(batch.near.tolist(), batch.far.tolist(), strict=True)
    ]
    return batch, Sequences.from_lists(rows)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_objective_is_the_loss_of_the_encoders_scores_and_the_squares(loss):
    model = built({"loss": loss, "l2": 0.01, "windows.targets": 2})
    batch, histories = first_batch(model)
    scores = model.encoder().encode(histories, batch.users).astype(np.float64) @ model.table().target.T
    owners, columns = np.nonzero(batch.targets >= 0)
    positives = batch.targets[owners, columns]
    right = scores[owners, positives]
    if loss == "bpr":
        unseen = UnseenItems(Sequences.from_lists(ROWS), N_ITEMS)
        negatives = unseen.draw(batch.users[owners], np.random.default_rng([3, 0, 0]))
        each = np.log1p(np.exp(scores[owners, negatives] - right))
    else:
        each = np.log(np.exp(scores[owners]).sum(1)) - right
    squares = sum(float(p.detach().double().square().sum()) for p in model.network.parameters())
    objective = model.objective(0, 0)
    assert objective.losses["ranking"].mean == pytest.approx(each.mean(), rel=1e-5)
    assert objective.losses["ranking"].n_examples == len(owners) > len(batch.users)
    assert float(objective.value.detach()) == pytest.approx(each.mean() + 0.01 * squares, rel=1e-5)


def test_gradient_is_that_of_differences():
    model = built({"loss": "softmax", "l2": 0.001})
    model.network.double()
    model._neighbours._whole = tuple(part.double() for part in model._neighbours._whole)
    model.objective(0, 0).value.backward()
    rng = np.random.default_rng(0)
    for name, parameter in model.network.named_parameters():
        place = tuple(int(rng.integers(n)) for n in parameter.shape)
        values = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                parameter[place] += step
            values.append(float(model.objective(0, 0).value.detach()))
            with torch.no_grad():
                parameter[place] -= step
        expected = (values[0] - values[1]) / 2e-4
        assert float(parameter.grad[place]) == pytest.approx(expected, rel=2e-3, abs=2e-5), name


def test_negatives_of_softmax_are_the_same_in_each_run_and_others_in_each_step():
    model = built({"loss": "softmax", "n_negatives": 5})
    first, again, later = (float(model.objective(*where).value.detach()) for where in ((0, 0), (0, 0), (0, 1)))
    assert first == again != later


def test_dropout_is_there_in_training_alone():
    model = built({"dropout": 0.5})
    queries = Sequences.from_lists(HISTORIES[:1])
    model.network.train()
    torch.manual_seed(0)
    one = float(model.objective(0, 0).value.detach())
    other = float(model.objective(0, 0).value.detach())
    assert one != other
    once, twice = (model.encoder().encode(queries, np.array([0])) for _ in range(2))
    np.testing.assert_array_equal(once, twice)
    assert model.network.training


# ---- the contract ----


def planted():
    """Everyone walks a ring of items: after i comes i + 1."""
    rng = np.random.default_rng(0)
    return [[int(start + step) % N_ITEMS for step in range(6)] for start in rng.integers(N_ITEMS, size=60)]


def trained(changes=None, epochs=25, seed=0):
    config = changed(SMALL, {"embedding_dim": 8, "learning_rate": 0.02, "batch_size": 64, "l2": 0.0, **(changes or {})})
    model = MAGNN(config, prepared(planted()), seed=seed, device="cpu")
    training = TorchTraining(model, seed=seed)
    for epoch in range(epochs):
        for step in range(model.steps_per_epoch):
            training.step(epoch, step, 0.0)
    return model


def predicted(model, histories, users):
    scores = model.encoder().encode(Sequences.from_lists(histories), users) @ model.table().target.T
    for row, history in zip(scores, histories, strict=True):
        row[history] = -np.inf
    return scores.argmax(1)


@cache
def learned(loss, n_negatives):
    return trained({"loss": loss, "n_negatives": n_negatives})


@pytest.mark.parametrize(("loss", "n_negatives"), [("bpr", 1), ("softmax", 8), ("softmax", 0)])
def test_it_learns_what_follows_what(loss, n_negatives):
    model = learned(loss, n_negatives)
    rows = planted()
    expected = [(row[-1] + 1) % N_ITEMS for row in rows]
    assert np.mean(predicted(model, rows, np.arange(len(rows))) == expected) > 0.9
    unknown = [[i % N_ITEMS, (i + 1) % N_ITEMS] for i in range(N_ITEMS)]
    expected = [(i + 2) % N_ITEMS for i in range(N_ITEMS)]
    assert np.mean(predicted(model, unknown, np.full(N_ITEMS, -1)) == expected) > 0.8


def test_sources_are_similar_to_what_follows():
    table = learned("softmax", 0).table()
    products = table.source @ table.target.T
    np.fill_diagonal(products, -np.inf)
    assert np.mean(products.argmax(1) == (np.arange(N_ITEMS) + 1) % N_ITEMS) > 0.6


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others():
    first, second, other = (trained(epochs=2, seed=seed).table().target for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_run_that_is_resumed_goes_on_as_if_never_stopped():
    whole = trained({"dropout": 0.3}, epochs=3)
    config = changed(SMALL, {"embedding_dim": 8, "learning_rate": 0.02, "batch_size": 64, "l2": 0.0, "dropout": 0.3})
    first = TorchTraining(MAGNN(config, prepared(planted()), seed=0, device="cpu"), seed=0)
    for step in range(first.steps_per_epoch):
        first.step(0, step, 0.0)
    model = MAGNN(config, prepared(planted()), seed=0, device="cpu")
    second = TorchTraining(model, seed=0)
    second.restore({name: np.array(value) for name, value in first.state().items()})
    for epoch in (1, 2):
        for step in range(second.steps_per_epoch):
            second.step(epoch, step, 0.0)
    np.testing.assert_array_equal(model.table().target, whole.table().target)


def test_a_stored_encoder_answers_like_the_model():
    model = built({"parts.memory": False})
    stored = model.stored()
    assert stored.knows_users
    assert "targets" not in stored.arrays
    opened = MAGNNEncoder.opened(stored.config, stored.arrays)
    queries = Sequences.from_lists(HISTORIES)
    np.testing.assert_array_equal(opened.encode(queries, USERS), model.encoder().encode(queries, USERS))


def test_queries_in_batches_are_those_asked_one_by_one(monkeypatch):
    encoder = built().encoder()
    monkeypatch.setattr("prismrec.models.sequential.ma_gnn._QUERIES_AT_ONCE", 4)
    together = encoder.encode(Sequences.from_lists(HISTORIES), USERS)
    for row, history, user in zip(together, HISTORIES, USERS, strict=True):
        alone = encoder.encode(Sequences.from_lists([history]), np.array([user]))[0]
        np.testing.assert_allclose(row, alone, rtol=1e-5, atol=1e-6)


def test_who_is_unknown_and_did_nothing_is_the_zero_vector():
    vectors = built().encoder().encode(Sequences.from_lists([[], [], [1]]), np.array([-1, 0, -1]))
    assert not vectors[0].any()
    assert vectors[1].any()
    assert vectors[2].any()


def test_an_encoder_stays_as_it_was_when_training_goes_on():
    model = built()
    encoder = model.encoder()
    queries = Sequences.from_lists(HISTORIES)
    before = encoder.encode(queries, USERS)
    TorchTraining(model, seed=0).step(0, 0, 0.0)
    np.testing.assert_array_equal(encoder.encode(queries, USERS), before)
    assert not np.array_equal(model.encoder().encode(queries, USERS), before)


def test_counting_the_graph_leaves_the_threads_of_torch_alone():
    built()
    assert torch.get_num_threads() == 1


def test_an_encoder_with_unknown_settings_is_refused():
    stored = built().stored()
    with pytest.raises(ConfigError, match="the encoder's configuration: unknown key 'haeds'"):
        MAGNNEncoder.opened({**stored.config, "haeds": 3}, stored.arrays)


def test_histories_of_one_item_are_refused():
    with pytest.raises(DataError, match="no history has two items"):
        MAGNN(SMALL, prepared([[1], [2]]), seed=0, device="cpu")


def test_the_paper_is_one_setting_away():
    paper = MAGNNConfig(loss="bpr", windows=MAGNNWindows(targets=3), parts=MAGNNParts(recency="equal"), heads=20)
    assert paper.parts.interests == "both"
    assert paper.neighbours == 0
