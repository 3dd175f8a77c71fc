"""MKR: each equation against a slow version, its two tasks and their turns, and users that training did not see."""

import numpy as np
import pytest
import torch

from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.models.knowledge.configs import MKRConfig
from prismrec.models.knowledge.mkr import MKR, CrossAndCompress, triples_of_items
from prismrec.models.neural.trainable import TorchTraining

DIM = 3


def built(data, seed=0, **settings):
    model = MKR(MKRConfig(**{"embedding_dim": DIM, "batch_size": 4, **settings}), data, seed=seed, device="cpu")
    with torch.no_grad():  # nothing at zero, where errors hide
        for parameter in model.network.parameters():
            if not parameter.any():
                parameter.normal_(generator=torch.Generator().manual_seed(5))
    return model


def array(tensor):
    return tensor.detach().numpy().astype(float)


def slow_crossed(network, item, node):
    """Equations (1) and (2), with C."""
    v, e = array(network.items)[item], array(network.nodes)[node]
    for unit in network.units:
        c = np.outer(v, e)
        w = {name: array(getattr(unit, name)) for name in ("vv", "ev", "ve", "ee")}
        v, e = (
            c @ w["vv"] + c.T @ w["ev"] + array(unit.bias_v),
            c @ w["ve"] + c.T @ w["ee"] + array(unit.bias_e),
        )
    return v, e


def slow_layers(layers, x):
    for layer in layers:
        x = np.maximum(array(layer.weight) @ x + array(layer.bias), 0)
    return x


def slow_tail(network, item, node, relation):
    """Equation (8)."""
    _, e = slow_crossed(network, item, node)
    x = np.concatenate([e, slow_layers(network.relation_layers, array(network.relations)[relation])])
    x = slow_layers(network.tail_layers[:-1], x)
    last = network.tail_layers[-1]
    return 1 / (1 + np.exp(-(array(last.weight) @ x + array(last.bias))))


def logistic(scores, true):
    return np.log1p(np.exp(np.where(true, -scores, scores)))


def test_a_unit_crosses_and_compresses_without_the_matrix():
    unit = CrossAndCompress(DIM, torch.Generator().manual_seed(0))
    v, e = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(1)).unbind()
    found = unit(v, e)
    c = torch.einsum("bi,bj->bij", v, e)
    torch.testing.assert_close(found[0], c @ unit.vv + c.mT @ unit.ev + unit.bias_v)
    torch.testing.assert_close(found[1], c @ unit.ve + c.mT @ unit.ee + unit.bias_e)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (1, 3)])
def test_scores_of_known_users_are_those_of_equation_6(small, low, high):
    model = built(small, low_layers=low, high_layers=high)
    network = model.network
    scores = model.encoder().encode(Sequences.from_lists([[0], [1], [2]]), np.arange(3)) @ model.table().target.T
    for user in range(3):
        u = slow_layers(network.user_layers, array(network.users)[user])
        for item, node in enumerate([0, 1, 2, 5]):  # item 3 is no entity: its node is beyond them
            expected = u @ slow_crossed(network, item, node)[0] + array(network.bias)[item]
            assert scores[user, item] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_loss_of_clicks_is_the_logistic_loss_with_squares(small):
    model = built(small, l2=0.1)
    users, positives, negatives = model._clicks.batch(0, 0)
    items, network = np.concatenate([positives, negatives]), model.network
    nodes = model._nodes[items]
    u = [slow_layers(network.user_layers, array(network.users)[user]) for user in np.tile(users, 2)]
    v = [slow_crossed(network, item, node)[0] for item, node in zip(items, nodes, strict=True)]
    scores = (np.array(u) * v).sum(1) + array(network.bias)[items]
    expected = logistic(scores, np.arange(len(items)) < len(users)).mean()
    squares = (array(network.users)[users] ** 2).sum() + (array(network.items)[items] ** 2).sum()
    squares += (array(network.nodes)[nodes] ** 2).sum()
    value, loss = model._click_loss(0, 0)
    assert loss.mean == pytest.approx(expected, rel=1e-5)
    assert value.item() == pytest.approx(expected + 0.1 * squares / len(items), rel=1e-5)


@pytest.mark.parametrize("high", [1, 2])
def test_the_loss_of_triples_has_a_corrupted_tail_beside_each(small, high):
    model = built(small, high_layers=high, batch_size=10, l2=0)
    corrupted = np.random.default_rng([0, 0, 0, 1]).integers(5, size=4)
    order = np.random.default_rng([0, 0, 1]).permutation(4)
    chosen, network = model._triples[order], model.network
    predicted = [slow_tail(network, item, model._nodes[item], relation) for item, relation, _ in chosen]
    nodes = array(network.nodes)
    true = (nodes[chosen[:, 2]] * predicted).sum(1)
    false = (nodes[corrupted] * predicted).sum(1)
    expected = (logistic(true, True) + logistic(false, False)).mean() / 2
    value, loss = model._triple_loss(0, 0)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert loss.n_examples == 8


def test_the_error_of_tails_is_a_root_of_a_mean_square(small):
    model = built(small)
    squares = [
        (slow_tail(model.network, item, model._nodes[item], relation) - array(model.network.nodes)[tail]) ** 2
        for item, relation, tail in model._triples
    ]
    assert model.tail_error() == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-5)


def test_triples_that_begin_elsewhere_are_left_out(small):
    found = triples_of_items(small.knowledge.graph.triples, small.knowledge.entity_items)
    assert found.tolist() == [[0, 0, 3], [1, 0, 3], [1, 1, 4], [2, 1, 4]]


def test_items_are_told_by_their_own_number_and_not_by_that_of_their_entity(make_graph, make_log):
    """Items 0 and 1 are entities 2 and 0."""
    known = ItemKnowledge(make_graph(3, [(0, 0, 1), (2, 1, 1)]), np.array([2, 0]))
    assert built(make_log([[0, 1], [1]], 2, known))._triples.tolist() == [[1, 0, 1], [0, 1, 1]]


def test_every_triple_comes_once_in_a_pass(small):
    model = built(small, batch_size=3)
    assert [model._triple_loss(2, number)[1].n_examples for number in range(2)] == [6, 2]


@pytest.mark.parametrize(
    ("schedule", "first"),
    [
        ({"kind": "alternating", "interval": 1}, {"recommendation"}),
        ({"kind": "joint"}, {"recommendation", "knowledge"}),
        ({"kind": "sequential"}, {"knowledge"}),
    ],
)
def test_the_schedule_says_which_task_has_the_first_step(small, schedule, first):
    assert set(built(small, schedule=schedule).objective(0, 0).losses) == first


def test_a_step_of_one_task_moves_nothing_that_only_the_other_has(small):
    model = built(small, embedding_dim=8, schedule={"kind": "sequential", "side_epochs": 1})
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    TorchTraining(model, seed=0).step(0, 0, 0.0)
    moved = {name for name, tensor in model.network.state_dict().items() if (tensor != before[name]).any()}
    assert "relations" in moved
    assert "items" in moved, "the unit lets what an item is take part in what its entity is"
    assert moved.isdisjoint({"users", "bias", "user_layers.0.weight"})


def test_each_task_can_be_learned_alone(small):
    assert set(built(small, tasks="recommendation").task_weights()) == {"recommendation"}
    alone = built(small, tasks="knowledge", learning_rate=0.05)
    assert set(alone.task_weights()) == {"knowledge"}
    training = TorchTraining(alone, seed=0)
    losses = [training.step(epoch, 0, 0.0)["knowledge"].mean for epoch in range(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_unknown_users_are_answered_nearly_as_known_ones_with_their_history(small):
    """Least squares with as many users as numbers: what is left over is the ridge."""
    model = built(small)
    histories = small.histories
    known = model.encoder().encode(histories, np.arange(3))
    unknown = model.encoder().encode(histories, np.full(3, -1))
    assert np.abs(known - unknown).max() < 0.2 * np.abs(known).max()
    assert (unknown[:, -1] == 1).all(), "the bias counts whole"


def test_without_triples_clicks_are_learned_alone_and_knowledge_alone_is_refused(make_graph, make_log):
    data = make_log([[0, 1], [2]], 3, ItemKnowledge(make_graph(3, []), np.arange(3)))
    assert set(built(data).task_weights()) == {"recommendation"}
    with pytest.raises(DataError, match=r'tasks = "knowledge" needs triples that begin at an item: the graph has none'):
        built(data, tasks="knowledge")


def test_data_without_knowledge_are_refused(make_log):
    with pytest.raises(
        DataError, match=r"MKR learns from a knowledge graph, and the data have none: set \[knowledge\]"
    ):
        built(make_log([[0, 1]], 3, None))
