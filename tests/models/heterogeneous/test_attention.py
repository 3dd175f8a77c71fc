"""MTHGT's layer against its equations, edge by edge; both ways to sum a relation; the whole graph in blocks."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.graphs.subgraphs import Block, Edges
from prismrec.models.heterogeneous.attention import Adjacency, MutualAttention, adjacencies, over_blocks

CLICKED, CLICKED_BY, LINKED = ("user", "clicked", "item"), ("item", "clicked_by", "user"), ("user", "linked", "user")
KEYS = [CLICKED, CLICKED_BY, LINKED]
SIZES = {"user": 5, "item": 4}
DIM, HEADS = 6, 2


def layer_of(seed: int = 0):
    """A layer all of whose weights are random, those too that begin even."""
    generator = torch.Generator().manual_seed(seed)
    layer = MutualAttention(SIZES, KEYS, DIM, HEADS, generator)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer.double()


def edges_of(seed: int, share: float = 0.5) -> dict[tuple[str, str, str], Edges]:
    rng = np.random.default_rng(seed)
    found = {}
    for source, name, target in KEYS:
        targets, sources = np.nonzero(rng.random((SIZES[target], SIZES[source])) < share)
        found[source, name, target] = Edges(sources, targets)
    return found


def vectors_of(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, DIM, generator=generator, dtype=torch.float64) for name, n in SIZES.items()}


def on(edges: dict, dense_from: float) -> dict[tuple[str, str, str], Adjacency]:
    return {
        key: Adjacency.of(
            torch.from_numpy(own.sources), torch.from_numpy(own.targets), SIZES[key[0]], SIZES[key[2]], dense_from
        )
        for key, own in edges.items()
    }


@torch.no_grad()
def slow(layer: MutualAttention, vectors: dict, edges: dict, target: str, t: int) -> list[float]:
    """Equations (4) to (11) for one node, number by number."""
    d = DIM // HEADS

    def linear(part: str, node_type: str, node: int, head: int) -> list[float]:
        weight, h = getattr(layer, part)[node_type], vectors[node_type][node]
        return [sum(float(h[a] * weight[a, head * d + b]) for a in range(DIM)) for b in range(d)]

    def times(vector: list[float], matrix: torch.Tensor) -> list[float]:
        return [sum(vector[a] * float(matrix[a, b]) for a in range(d)) for b in range(d)]

    heard = []
    for head in range(HEADS):
        query = linear("query", target, t, head)
        scores, messages = [], []
        for key, own in edges.items():
            if key[2] != target:
                continue
            name = "__".join(key)
            for s in own.sources[own.targets == t].tolist():
                keyed = times(linear("key", key[0], s, head), layer.relation_attention[name][head])
                product = sum(a * b for a, b in zip(keyed, query, strict=True))
                scores.append(product * float(layer.prior[name][head]) / math.sqrt(d))  # (6)
                messages.append(times(linear("message", key[0], s, head), layer.relation_message[name][head]))  # (9)
        weights = [math.exp(score) for score in scores]
        attention = [weight / sum(weights) for weight in weights]  # (5), over all relations together
        heard += [sum(a * m[b] for a, m in zip(attention, messages, strict=True)) for b in range(d)]  # (8), (10)
    merge, residual, bias = layer.merge[target], layer.residual[target], layer.bias[target]
    merged = [sum(heard[a] * float(merge[a, b]) for a in range(DIM)) for b in range(DIM)]  # (11)
    new = [math.tanh(sum(merged[a] * float(residual[a, b]) for a in range(DIM)) + float(bias[b])) for b in range(DIM)]
    share = 1 / (1 + math.exp(-float(layer.share[target])))
    return [share * new[b] + (1 - share) * float(vectors[target][t, b]) for b in range(DIM)]  # (4)


# ---- equations ----


@pytest.mark.parametrize("dense_from", [0.0, 0.5, 9.0], ids=["matrices", "mixed", "edges"])
@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_layer_equals_the_equations_number_by_number(dense_from, share):
    layer, edges, vectors = layer_of(), edges_of(3, share), vectors_of()
    made = layer(vectors, on(edges, dense_from))
    for name, n in SIZES.items():
        expected = [slow(layer, vectors, edges, name, t) for t in range(n)]
        np.testing.assert_allclose(made[name].detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_fresh_layer_attends_evenly_to_equal_neighbours_and_passes_on_what_it_hears():
    layer = MutualAttention(["user", "item"], [CLICKED], 2, 1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weights in (layer.key, layer.query, layer.message, layer.merge, layer.residual):
            for weight in weights.parameters():
                weight.copy_(torch.eye(2))
    vectors = {"user": torch.tensor([[0.3, 0.1], [0.3, -0.1]]), "item": torch.tensor([[0.5, 0.0]])}
    edges = {CLICKED: Adjacency(torch.tensor([0, 1]), torch.tensor([0, 0]), None)}
    made = layer(vectors, edges)["item"]  # both users have the product 0.15 with the item: attention 1/2 each
    np.testing.assert_allclose(made.detach().numpy(), [[(math.tanh(0.3) + 0.5) / 2, 0.0]], rtol=1e-6, atol=1e-8)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_matrices_and_edges_give_the_same_gradients(seed, share):
    edges = edges_of(seed, share)
    gradients = []
    for dense_from in (0.0, 9.0):
        layer, vectors = layer_of(seed % 5), {k: v.requires_grad_() for k, v in vectors_of(seed % 7).items()}
        made = layer(vectors, on(edges, dense_from))
        sum((own * torch.arange(own.numel()).view_as(own)).sum() for own in made.values()).backward()
        gradients.append([p.grad for p in (*layer.parameters(), *vectors.values())])
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


def test_gradients_are_those_of_small_differences():
    layer, edges = layer_of(1), on(edges_of(1), 0.5)
    inputs = [v.requires_grad_() for v in vectors_of(1).values()]
    assert torch.autograd.gradcheck(lambda u, i: tuple(layer({"user": u, "item": i}, edges).values()), inputs)


def test_large_scores_do_not_overflow():
    layer, vectors = layer_of(), {name: 100 * own for name, own in vectors_of().items()}
    for dense_from in (0.0, 9.0):
        made = layer(vectors, on(edges_of(0), dense_from))
        assert all(torch.isfinite(own).all() for own in made.values())


def test_node_without_edges_keeps_its_own_share_and_hears_nothing():
    layer, vectors = layer_of(), vectors_of()
    nothing = {key: Edges(np.zeros(0, np.int64), np.zeros(0, np.int64)) for key in KEYS}
    made = layer(vectors, on(nothing, 0.0))
    share = torch.sigmoid(layer.share["item"])
    expected = share * torch.tanh(layer.bias["item"]) + (1 - share) * vectors["item"]
    torch.testing.assert_close(made["item"], expected)


def test_attention_does_not_depend_on_the_order_of_edges():
    layer, vectors, edges = layer_of(), vectors_of(), edges_of(5)
    turned = {key: Edges(own.sources[::-1].copy(), own.targets[::-1].copy()) for key, own in edges.items()}
    one, other = layer(vectors, on(edges, 9.0)), layer(vectors, on(turned, 9.0))
    torch.testing.assert_close(one["user"], other["user"])


# ---- adjacency ----


def test_relation_is_summed_by_matrices_from_a_share_of_its_pairs_on():
    sources, targets = torch.tensor([0, 2]), torch.tensor([1, 0])
    dense = Adjacency.of(sources, targets, 3, 2, dense_from=2 / 6)
    assert dense.apart is not None
    assert dense.apart.tolist() == [[True, True, False], [False, True, True]]
    assert Adjacency.of(sources, targets, 3, 2, dense_from=2 / 6 + 1e-9).apart is None


def test_relation_without_edges_is_never_a_matrix():
    empty = torch.zeros(0, dtype=torch.int64)
    assert Adjacency.of(empty, empty, 3, 2, dense_from=0.0).apart is None


def test_edges_of_a_subgraph_become_adjacencies_of_its_sizes():
    nodes = {name: torch.arange(n) for name, n in SIZES.items()}
    made = adjacencies(edges_of(0, 1.0), nodes, "cpu")
    assert made[CLICKED].apart.shape == (4, 5)
    assert made[CLICKED_BY].apart.shape == (5, 4)


def test_blocks_of_targets_together_are_the_layer():
    layer, vectors, edges = layer_of(), vectors_of(), edges_of(2)
    whole = layer(vectors, on(edges, 9.0))
    update = over_blocks(layer, "cpu")
    for begin, end in pairwise([0, 2, 3, 5]):
        inside = {
            key: Edges(own.sources[kept], own.targets[kept] - begin)
            for key, own in edges.items()
            if key[2] == "user"
            for kept in [(own.targets >= begin) & (own.targets < end)]
        }
        part = update(Block("user", begin, end, inside), vectors)
        torch.testing.assert_close(part, whole["user"][begin:end])
