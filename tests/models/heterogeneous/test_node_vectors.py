"""How models of typed graphs begin and end: projected vectors, the whole graph in blocks, vectors once per state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from prismrec.data.sequences import Sequences
from prismrec.graphs.heterogeneous import HeteroGraph, Relation
from prismrec.models.heterogeneous.node_vectors import NodeVectors, WholeGraphVectors, propagated, unit

GRAPH = HeteroGraph(
    {"user": 3, "item": 4},
    (
        Relation("user", "clicked", "item", Sequences.from_lists([[0, 1], [2], [], [0, 2]])),
        Relation("item", "clicked_by", "user", Sequences.from_lists([[0, 3], [0], [1, 3]])),
    ),
)


def test_projection_is_the_equation():
    made = NodeVectors({"user": 3, "item": 2}, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.own["item"].copy_(torch.tensor([[0.5, -1.0], [2.0, 0.0]]))
        made.projection["item"].copy_(torch.tensor([[1.0, 0.5], [0.0, 2.0]]))
    found = made({"item": torch.tensor([1, 0])})["item"]
    torch.testing.assert_close(found, torch.tensor([[2.0, 1.0], [0.5, 0.25 - 2.0]]).tanh())
    torch.testing.assert_close(made.whole()["item"][[1, 0]], found)
    assert made.whole()["user"].shape == (3, 2)


@pytest.mark.parametrize("name", ["type", "items", "training", "of", "a-b"])
def test_a_view_may_have_any_name(name):
    made = NodeVectors({"user": 3, name: 2}, 2, torch.Generator().manual_seed(0)).train().eval()
    assert made.whole()[name].shape == (2, 2)
    assert {key: tuple(p.shape) for key, p in made.own.named_parameters()} == {
        "of__user": (3, 2),
        f"of__{name}": (2, 2),
    }


def test_unit_vectors_have_cosines_over_the_temperature_as_products():
    vectors = unit(torch.tensor([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]]), 0.5)
    torch.testing.assert_close(vectors @ vectors.T, torch.tensor([[1, 0.8, 0], [0.8, 1, 0], [0, 0, 0]]) / 0.5)


@pytest.mark.parametrize("edges_at_once", [1, 3, 100])
def test_propagation_sees_the_layer_before_whatever_the_blocks(edges_at_once):
    """Each layer sums the sources' vectors: two layers count paths of two edges, as the product of matrices does."""

    def summed(block, vectors):
        total = torch.zeros(block.end - block.begin, 1)
        for key, edges in block.edges.items():
            sources = vectors[key[0]][torch.from_numpy(edges.sources)]
            total = total.index_add(0, torch.from_numpy(edges.targets), sources)
        return total

    start = {"user": torch.tensor([[1.0], [2.0], [3.0]]), "item": torch.tensor([[1.0], [10.0], [100.0], [1000.0]])}
    had = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 1]], np.float32)  # users x items
    made = propagated(GRAPH, start, [summed, summed], edges_at_once)
    np.testing.assert_allclose(made["user"].numpy(), had @ had.T @ start["user"].numpy())
    np.testing.assert_allclose(made["item"].numpy(), had.T @ had @ start["item"].numpy())
    assert start["user"].tolist() == [[1.0], [2.0], [3.0]]  # what came in is left alone


def test_vectors_for_answers_are_made_once_for_each_state_of_the_parameters():
    network = nn.Linear(2, 2)
    calls = []

    def make():
        calls.append(1)
        return {"user": network.weight.clone(), "item": -network.weight.clone()}

    whole = WholeGraphVectors(network, make)
    before = whole.users_and_items()[0].copy()
    whole.table(), whole.encoder()
    assert len(calls) == 1
    with torch.no_grad():
        network.weight.mul_(2)
    np.testing.assert_allclose(whole.users_and_items()[0], 2 * before)
    network.load_state_dict({name: torch.zeros_like(value) for name, value in network.state_dict().items()})
    assert not whole.table().target.any()
    assert len(calls) == 3


def test_vectors_for_answers_change_when_adam_steps():
    network = nn.Linear(2, 2)
    whole = WholeGraphVectors(network, lambda: {"user": network.weight.clone(), "item": network.weight.clone()})
    adam, before = torch.optim.Adam(network.parameters(), lr=0.1), whole.users_and_items()[0]
    network(torch.ones(1, 2)).sum().backward()
    adam.step()
    assert not np.allclose(whole.users_and_items()[0], before)


def test_table_and_encoder_hold_the_same_vectors():
    network = nn.Linear(1, 1)
    users, items = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])
    whole = WholeGraphVectors(network, lambda: {"user": users, "item": items})
    queries = whole.encoder().encode(Sequences.from_lists([[0], [0, 1]]), np.array([0, -1]))
    np.testing.assert_allclose(queries, [[1, 2], [4, 5]])
    np.testing.assert_allclose(whole.table().target, items.numpy())
    np.testing.assert_allclose(whole.table().source, items.numpy())
