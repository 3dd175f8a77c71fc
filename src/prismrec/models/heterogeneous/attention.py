"""One layer of graph convolution of MTHGT: who attends to whom, what is said, and what becomes of it.

For an edge e = (s, relation, t), i the head, n_h heads of d = dim / n_h numbers each:

    K^i = K-Linear_type(s)(H[s])      Q^i = Q-Linear_type(t)(H[t])                                         (7)
    H_ATT^i(s, e, t) = (K^i W_ATT^i Q^i) W_PRI^i / sqrt(d)                                                 (6)
    ATT(s, e, t)     = softmax over all s in N(t), of all relations, of H_ATT^i, head by head              (5)
    H_MSG^i(s, e, t) = M-Linear_type(s)(H[s]) W_MSG^i                                                      (9)
    MSG(s, e, t)     = the heads side by side                                                              (8)
    H_agg[t]         = sum over s in N(t) of ATT(s, e, t) MSG(s, e, t)                                     (10)
    H_hat[t]         = S-Linear_type(t)(H_agg[t])                                                          (11)
    H'[t]            = a sigma(W_type(t) H_hat[t]) + (1 - a) H[t],  a = sigmoid(a learned number per type) (4)

W_ATT, W_MSG (d x d per head) and W_PRI (a number per head) belong to the relation. Equations of Luo, Liu & Yang, 2023,
doi 10.3969/j.issn.1007-130X.2023.04.020. A softmax over edges of several relations is a quotient of sums, so that
each relation is summed in the way that suits it: one that joins many of its pairs by matrices (n_targets, n_sources)
with the pairs without an edge left out, one with few edges edge by edge.

Cost: time and memory O(heads x n_sources x n_targets) by matrices, O(edges x dim) by edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from prismrec.graphs.subgraphs import Block, Edges, RelationKey
from prismrec.models.heterogeneous.node_vectors import ByType, Layer, Vectors

_DENSE_FROM = 0.03
"""Share of the pairs with an edge from which matrices are faster, as measured by benchmarks/bench_subgraphs.py."""


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Edges of one relation as a layer takes them.

    Attributes:
        sources: (E,) int64.
        targets: (E,) int64.
        apart: (n_targets, n_sources) bool, true where there is no edge; None where the relation is summed by edges.
    """

    sources: torch.Tensor
    targets: torch.Tensor
    apart: torch.Tensor | None

    @classmethod
    def of(
        cls,
        sources: torch.Tensor,
        targets: torch.Tensor,
        n_sources: int,
        n_targets: int,
        dense_from: float = _DENSE_FROM,
    ) -> Adjacency:
        """Edges among so many nodes, as matrices where they join at least the share `dense_from` of the pairs."""
        if len(sources) < dense_from * n_sources * n_targets or not len(sources):
            return cls(sources, targets, None)
        apart = torch.ones(n_targets * n_sources, dtype=torch.bool, device=sources.device)
        apart[targets * n_sources + sources] = False
        return cls(sources, targets, apart.view(n_targets, n_sources))


Adjacencies = Mapping[RelationKey, Adjacency]


def adjacencies(messages: Mapping[RelationKey, Edges], nodes: Vectors, device: str) -> dict[RelationKey, Adjacency]:
    """Edges of a sub-graph with these nodes of each type, on a device."""
    return {
        key: Adjacency.of(*_on(edges, device), n_sources=len(nodes[key[0]]), n_targets=len(nodes[key[2]]))
        for key, edges in messages.items()
    }


def over_blocks(layer: MutualAttention, device: str) -> Layer:
    """A layer as `node_vectors.propagated` wants it."""

    def update(block: Block, vectors: Vectors) -> torch.Tensor:
        edges = {key: Adjacency(*_on(own, device), None) for key, own in block.edges.items()}
        return layer.updated(block.node_type, vectors[block.node_type][block.begin : block.end], vectors, edges)

    return update


def _on(edges: Edges, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(edges.sources).to(device), torch.from_numpy(edges.targets).to(device)


class MutualAttention(nn.Module):
    """Equations (4) to (11) for all node types at once."""

    def __init__(
        self, types: Iterable[str], relations: Iterable[RelationKey], dim: int, heads: int, generator: torch.Generator
    ) -> None:
        """Fresh weights: attention that begins even, messages and residuals that begin near what came in."""
        super().__init__()
        self._heads = heads
        types, self._names = list(types), {key: "__".join(key) for key in relations}
        self.key, self.query, self.message, self.merge, self.residual = (
            ByType({name: _near_identity(dim, generator) for name in types}) for _ in range(5)
        )
        self.bias = ByType({name: nn.Parameter(torch.zeros(dim)) for name in types})
        self.share = ByType({name: nn.Parameter(torch.zeros(())) for name in types})
        same = torch.eye(dim // heads).repeat(heads, 1, 1)
        self.relation_attention, self.relation_message = (
            nn.ParameterDict({name: nn.Parameter(same.clone()) for name in self._names.values()}) for _ in range(2)
        )
        self.prior = nn.ParameterDict({name: nn.Parameter(torch.ones(heads)) for name in self._names.values()})

    def forward(self, vectors: Vectors, edges: Adjacencies) -> dict[str, torch.Tensor]:
        """New vectors of all nodes, (n_nodes, dim) of every type."""
        into: dict[str, dict[RelationKey, Adjacency]] = {name: {} for name in vectors}
        for key, adjacency in edges.items():
            into[key[2]][key] = adjacency
        return {name: self.updated(name, vectors[name], vectors, own) for name, own in into.items()}

    def updated(self, target: str, own: torch.Tensor, vectors: Vectors, edges: Adjacencies) -> torch.Tensor:
        """New vectors of some nodes of one type: equations (11) and (4); without edges H_hat is zero.

        Args:
            target: their type.
            own: (n_targets, dim): their vectors.
            vectors: of all nodes that edges come from.
            edges: of relations into this type; targets are rows of `own`.
        """
        edges = {key: adjacency for key, adjacency in edges.items() if len(adjacency.sources)}
        heard = self._aggregated(target, own, vectors, edges) if edges else torch.zeros_like(own)
        new = torch.tanh(heard @ self.merge[target] @ self.residual[target] + self.bias[target])
        share = torch.sigmoid(self.share[target])
        return share * new + (1 - share) * own

    def _aggregated(self, target: str, own: torch.Tensor, vectors: Vectors, edges: Adjacencies) -> torch.Tensor:
        """Equation (10), (n_targets, dim)."""
        queries = self._split(own @ self.query[target])
        parts = []
        for key, adjacency in edges.items():
            keys, messages = self._keys_and_messages(key, vectors[key[0]])
            parts.append((adjacency, _logits(queries, keys, adjacency), messages))
        highest = torch.stack([_highest(logits, a, len(own)) for a, logits, _ in parts]).amax(0)
        highest = highest.masked_fill(highest == -torch.inf, 0.0)
        weighted, total = torch.zeros_like(queries), torch.zeros_like(highest)
        for adjacency, logits, messages in parts:
            part_weighted, part_total = _sums(logits, adjacency, messages, highest)
            weighted, total = weighted + part_weighted, total + part_total
        heard = weighted / (total + (total == 0))[..., None]  # nothing divided by one where there is no edge
        return heard.transpose(0, 1).reshape(len(own), -1)

    def _keys_and_messages(self, key: RelationKey, sources: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Equations (7) and (9), the constants of (6) within the keys: each (heads, n_sources, d)."""
        keys = torch.bmm(self._split(sources @ self.key[key[0]]), self._weight("relation_attention", key))
        scale = self._weight("prior", key) / keys.shape[2] ** 0.5
        messages = torch.bmm(self._split(sources @ self.message[key[0]]), self._weight("relation_message", key))
        return keys * scale[:, None, None], messages

    def _weight(self, part: str, key: RelationKey) -> torch.Tensor:
        weight: torch.Tensor = getattr(self, part)[self._names[key]]
        return weight

    def _split(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, dim) to (heads, n, dim / heads)."""
        return vectors.view(len(vectors), self._heads, -1).transpose(0, 1)


def _near_identity(dim: int, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.eye(dim) + 0.02 * torch.randn(dim, dim, generator=generator))


def _logits(queries: torch.Tensor, keys: torch.Tensor, edges: Adjacency) -> torch.Tensor:
    """Equation (6): (heads, n_targets, n_sources), or (heads, E) by edges."""
    if edges.apart is None:
        return (queries[:, edges.targets] * keys[:, edges.sources]).sum(2)
    return torch.bmm(queries, keys.transpose(1, 2)).masked_fill_(edges.apart, -torch.inf)


def _highest(logits: torch.Tensor, edges: Adjacency, n_targets: int) -> torch.Tensor:
    """(heads, n_targets): the largest logit of each target, -inf without an edge."""
    if edges.apart is not None:
        return logits.detach().amax(2)
    lowest = logits.new_full((len(logits), n_targets), -torch.inf)
    return lowest.scatter_reduce(1, edges.targets.expand(len(logits), -1), logits.detach(), "amax")


def _sums(
    logits: torch.Tensor, edges: Adjacency, messages: torch.Tensor, highest: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Numerator (heads, n_targets, d) and denominator (heads, n_targets) of the softmax's weighted mean."""
    if edges.apart is not None:
        weights = (logits - highest[..., None]).exp_()
        return torch.bmm(weights, messages), weights.sum(2)
    weights = (logits - highest[:, edges.targets]).exp_()
    total = torch.zeros_like(highest).index_add(1, edges.targets, weights)
    said = weights[..., None] * messages[:, edges.sources]
    weighted = messages.new_zeros(*highest.shape, messages.shape[2]).index_add(1, edges.targets, said)
    return weighted, total


__all__ = ["Adjacencies", "Adjacency", "MutualAttention", "adjacencies", "over_blocks"]
