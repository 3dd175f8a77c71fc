"""HGT: the layer of the library is the paper's, edge by edge; the model learns, and is the same in blocks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from prismrec.data.prepared import PreparedData
from prismrec.graphs.subgraphs import SubgraphSettings
from prismrec.models.algorithms import open_encoder
from prismrec.models.heterogeneous.configs import HGTConfig
from prismrec.models.heterogeneous.hgt import HGT, convolved, layer_name
from prismrec.models.neural.trainable import TorchTraining

SMALL = {
    "embedding_dim": 4, "layers": 1, "heads": 2, "learning_rate": 0.03,
    "subgraph": SubgraphSettings(nodes_per_type=20, sampling="dense"),
}  # fmt: skip


def model_of(data: PreparedData, seed: int = 0, **settings: object) -> HGT:
    return HGT(HGTConfig(**{**SMALL, **settings}), data, seed=seed, device="cpu")


def trained(model: HGT, n_steps: int) -> TorchTraining:
    training = TorchTraining(model, seed=0)
    for number in range(n_steps):
        training.step(*divmod(number, training.steps_per_epoch), 0.0)
    return training


@torch.no_grad()
def slow(layer, vectors: dict, edges: dict, target: str, t: int) -> np.ndarray:
    """The equations of the module for one node; the library keeps the weights of all relations, by head, in one."""
    n_heads, n_relations, dim = 2, len(layer.edge_types), 4
    d = dim // n_heads

    def parts(node_type: str, node: int) -> list[np.ndarray]:
        weight, bias = layer.kqv_lin.lins[layer_name(node_type)].weight, layer.kqv_lin.lins[layer_name(node_type)].bias
        made = (weight @ vectors[node_type][node] + bias).numpy()
        return [made[i * dim : (i + 1) * dim] for i in range(3)]

    heard = []
    for head in range(n_heads):
        own = slice(head * d, (head + 1) * d)
        query, scores, messages = parts(target, t)[1][own], [], []
        for number, key in enumerate(edges):
            assert layer.edge_types[number] == (layer_name(key[0]), key[1], layer_name(key[2]))
            if key[2] != target:
                continue
            for s, to in edges[key].T.tolist():
                if to == t:
                    k, _, v = parts(key[0], s)
                    place = head * n_relations + number
                    prior = float(layer.p_rel["__".join(layer.edge_types[number])][0, head])
                    scores.append(k[own] @ layer.k_rel.weight[place].numpy() @ query * prior / math.sqrt(d))
                    messages.append(v[own] @ layer.v_rel.weight[place].numpy())
        weights = np.exp(np.array(scores) - max(scores))
        heard.append((weights / weights.sum()) @ np.array(messages))
    activated = torch.nn.functional.gelu(torch.from_numpy(np.concatenate(heard)))
    linear = layer.out_lin.lins[layer_name(target)]
    share = 1 / (1 + math.exp(-float(layer.skip[layer_name(target)])))
    updated = share * (linear.weight @ activated + linear.bias) + (1 - share) * vectors[target][t]
    return np.asarray(updated)


def test_layer_of_the_library_is_the_papers(two_tastes):
    model = model_of(two_tastes())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    sub = model._batches.batch(0, 0)
    vectors = {
        name: torch.randn(len(own), 4, generator=generator, dtype=torch.float64) for name, own in sub.nodes.items()
    }
    edges = {key: torch.from_numpy(np.stack([own.sources, own.targets])) for key, own in sub.messages.items()}
    layer = model.network.layers[0].double()
    made = convolved(layer, vectors, edges)
    for name in ("user", "item", "genre"):
        heard = {int(t) for key, own in sub.messages.items() if key[2] == name for t in own.targets}
        for t in sorted(heard)[:6]:
            np.testing.assert_allclose(made[name][t].detach().numpy(), slow(layer, vectors, edges, name, t), rtol=1e-9)


@pytest.mark.parametrize("name", ["type", "items", "training"])
def test_views_may_have_the_names_of_what_modules_have(two_tastes, name):
    data = two_tastes()
    model = model_of(replace(data, views={name: data.views["genre"]}))
    trained(model, 2)
    assert model.table().target.shape == (len(data.items), 4)


@pytest.mark.parametrize("sampling", ["dense", "random"])
def test_learns_planted_tastes(two_tastes, sampling):
    data = two_tastes()
    model = model_of(data, subgraph=SubgraphSettings(nodes_per_type=20, sampling=sampling))
    trained(model, 40)
    users = np.arange(len(data.users))
    found = model.encoder().encode(data.histories, users) @ model.table().target.T
    for user, row in enumerate(found):
        row[data.histories[user]] = -np.inf
    best = np.argsort(-found, axis=1)[:, :5]
    assert np.mean(best % 2 == users[:, None] % 2) > 0.9  # by chance 0.3


def test_blocks_of_the_whole_graph_are_the_network_on_all_of_it(two_tastes):
    data = two_tastes()
    model = model_of(data, layers=2)
    nodes = {name: torch.arange(n) for name, n in model._graph.n_nodes.items()}
    messages = model._batches._sampler._edges({name: own.numpy() for name, own in nodes.items()})
    edges = {key: torch.from_numpy(np.stack([own.sources, own.targets])) for key, own in messages.items()}
    with torch.no_grad():
        made = model.network(nodes, edges)["item"]
    expected = torch.nn.functional.normalize(made, dim=1) / 0.15**0.5
    np.testing.assert_allclose(model.table().target, expected.numpy(), atol=1e-5)


def test_same_seed_same_numbers_and_the_generator_of_others_is_left_alone(two_tastes):
    data = two_tastes()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    models = [model_of(data, seed) for seed in (0, 0, 1)]
    assert torch.rand(1) == expected
    for model in models:
        trained(model, 2)
    first, same, other = (model.table().target for model in models)
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_resumed_run_goes_on_bit_by_bit(two_tastes):
    data = two_tastes()
    whole = trained(model_of(data), 3)
    resumed = TorchTraining(model_of(data), seed=0)
    resumed.restore(trained(model_of(data), 2).state())
    resumed.step(0, 2, 0.0)
    ended = resumed.state()
    for name, value in whole.state().items():
        np.testing.assert_array_equal(ended[name], value, err_msg=name)


def test_stored_encoder_opens_without_the_model(two_tastes):
    data = two_tastes()
    model = model_of(data)
    stored = model.stored()
    asked = data.histories.take([3, 4]), np.array([3, -1])
    np.testing.assert_array_equal(open_encoder(stored).encode(*asked), model.encoder().encode(*asked))
    assert (stored.algorithm, stored.knows_users, model.task_weights()) == ("hgt", True, {"recommendation": 1.0})


def test_one_step_logs_the_clicks_that_were_hidden(two_tastes):
    model = model_of(two_tastes(), hidden_share=1.0)
    subgraph = model._batches.batch(1, 0)
    logged = model.objective(1, 0).losses["recommendation"]
    assert logged.n_examples == len(subgraph.questions["user", "clicked", "item"].known) > 0


def test_its_subgraphs_are_random_unless_set():
    assert HGTConfig().subgraph.sampling == "random"


def test_dimension_must_be_shared_out_among_heads():
    with pytest.raises(ValidationError, match="embedding_dim 9 is not a multiple of heads 2"):
        HGTConfig(embedding_dim=9)
