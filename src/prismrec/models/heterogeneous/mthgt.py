"""MTHGT: a graph of users, items and all their attributes, learned in dense sub-graphs for two tasks at once.

Of a sub-graph, drawn by squared budgets (2), each task k makes node vectors of its own, and scores are products:

    H^0 = sigma(W_type x)                                                     projection by node type      (3)
    H^k = GNN^k(H^0)                    mutual attention, messages, residuals by type, layer by layer (4)-(11)
    e^k = E^k(H^k)                                          mixture of experts with a residual        (12)-(14)
    y^k(t, s) = e^k_t . e^k_s                                                                             (15)
    L   = sum_k [ L^k / s_k^2 + log s_k ]                                     automatic weighted loss (16)-(17)

Task `recommendation` asks for clicks, `links` for the edges of every relation, clicks among them, each relation alike;
users are served with the vectors of the first. `tasks = "recommendation"` leaves `links` out, and with it the mixture
and the weights; `subgraph.sampling = "random"` leaves (2) out. So the ablations are: HGT both, HGT-d the first, HGT-m
the second, MTHGT none. `shared_layers` is what the source leaves to the future: one GNN for both tasks.

Luo, Liu & Yang: A graph neural network recommendation model based on multi-task learning. Computer Engineering &
Science 45(4), 2023, doi 10.3969/j.issn.1007-130X.2023.04.020. Cost of a step with p nodes per type, k GNNs: time and
memory O(k layers heads p^2) for relations whose edges are dense, O(k layers edges dim) for others: see `attention`.
Vectors of all users and items come from the whole graph, in blocks: see `node_vectors`.

Differs from the paper, or decides what it leaves open:
- What is to be predicted carries no message in the same sub-graph: a share of its edges is hidden (`subgraph_tasks`).
- Loss: softmax over the nodes of the sub-graph without an edge, or BPR; (16) names a softmax, of what is not said.
- e^k have unit length, over a fixed temperature: cosines, which learn faster and rank better than raw products.
- (13) has a weight per gate, as MMoE has; a in (4) and (14) is a sigmoid of a number per type, so it stays a share.
- sigma is tanh. (5) prints a product over the heads, which stand side by side in HGT: they do so here, in (8) too.
- Seeds of a sub-graph are p/4 users and p/4 items in turn: what a pool begins with is not said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, USERS
from prismrec.graphs.heterogeneous import HeteroGraph, heterogeneous_graph
from prismrec.graphs.subgraphs import RelationKey
from prismrec.models.contract import EmbeddingTable, StoredEncoder
from prismrec.models.heterogeneous.attention import Adjacencies, MutualAttention, adjacencies, over_blocks
from prismrec.models.heterogeneous.configs import MTHGTConfig
from prismrec.models.heterogeneous.multitask import AutomaticWeights, GatedExperts
from prismrec.models.heterogeneous.node_vectors import NodeVectors, Vectors, WholeGraphVectors, propagated, unit
from prismrec.models.heterogeneous.subgraph_tasks import (
    CLICKS,
    Question,
    SubgraphBatches,
    TrainingSubgraph,
    asked_relations,
    link_losses,
    tensors,
)
from prismrec.models.neural.contract import Objective
from prismrec.models.user_vectors import UserVectors

RECOMMENDATION = "recommendation"
LINKS = "links"


class MTHGTNetwork(nn.Module):
    """All that is learned."""

    def __init__(self, config: MTHGTConfig, graph: HeteroGraph, generator: torch.Generator) -> None:
        """Fresh weights for the node types and relations of a graph."""
        super().__init__()
        dim, keys = config.embedding_dim, [relation.key for relation in graph.relations]
        self.tasks = (RECOMMENDATION, LINKS) if config.tasks == "both" else (RECOMMENDATION,)
        self._temperature = config.temperature
        self.vectors = NodeVectors(graph.n_nodes, dim, generator)
        self._stack_of = {task: 0 if config.shared_layers else number for number, task in enumerate(self.tasks)}
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                MutualAttention(graph.types, keys, dim, config.heads, generator) for _ in range(config.layers)
            )
            for _ in range(max(self._stack_of.values()) + 1)
        )
        both = config.tasks == "both"
        self.mixture = GatedExperts(self.tasks, graph.types, dim, config.experts, generator) if both else None
        self.weights = AutomaticWeights(self.tasks) if both else None

    def forward(self, nodes: Vectors, edges: Adjacencies) -> dict[str, dict[str, torch.Tensor]]:
        """Of each task, the vectors of each type's nodes, (n, dim)."""
        start = self.vectors(nodes)
        convolved = [_through(stack, start, edges) for stack in self.stacks]
        return {
            task: {name: self.ended(task, name, vectors) for name, vectors in convolved[self._stack_of[task]].items()}
            for task in self.tasks
        }

    def stack(self, task: str) -> Sequence[MutualAttention]:
        """The layers that a task has, alone or with the other."""
        return list(self.stacks[self._stack_of[task]])

    def ended(self, task: str, node_type: str, vectors: torch.Tensor) -> torch.Tensor:
        """What one task makes of convolved vectors: equations (12) to (14), then unit length."""
        mixed = vectors if self.mixture is None else self.mixture(task, node_type, vectors)
        return unit(mixed, self._temperature)


def _through(stack: nn.ModuleList, vectors: Vectors, edges: Adjacencies) -> Vectors:
    for layer in stack:
        vectors = layer(vectors, edges)
    return vectors


class MTHGT:
    """MTHGT and its ablations; a `NeuralModel`."""

    def __init__(self, config: MTHGTConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh model of the graph of `data`.

        Raises:
            DataError: there is nothing to learn from.
        """
        self._config = config
        self._graph = heterogeneous_graph(data)
        asked = asked_relations(self._graph, all_links=config.tasks == "both")
        self._batches = SubgraphBatches(self._graph, config.subgraph, asked, config.hidden_share, seed)
        self.network = MTHGTNetwork(config, self._graph, torch.Generator().manual_seed(seed)).to(device)
        self._device = device
        self._whole = WholeGraphVectors(self.network, self._propagated)

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Sub-graphs until every user has been a seed."""
        return self._batches.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """All tasks on one sub-graph."""
        subgraph = self._batches.batch(epoch, step)
        nodes = tensors(subgraph.nodes, self._device)
        made = self.network(nodes, adjacencies(subgraph.messages, nodes, self._device))
        losses, logged = {}, {}
        for task, vectors in made.items():
            losses[task], logged[task] = link_losses(vectors, _asked(subgraph, task), self._config.loss)
        weights = self.network.weights
        return Objective(losses[RECOMMENDATION] if weights is None else weights(losses), logged)

    def task_weights(self) -> Mapping[str, float]:
        """1 / s_k^2 of each task."""
        weights = self.network.weights
        return {RECOMMENDATION: 1.0} if weights is None else weights.current()

    def table(self) -> EmbeddingTable:
        """Item vectors of the recommendation task; sources are targets."""
        return self._whole.table()

    def encoder(self) -> UserVectors:
        """User vectors of the recommendation task."""
        return self._whole.encoder()

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("mthgt")

    def _propagated(self) -> Vectors:
        network = self.network
        layers = [over_blocks(layer, self._device) for layer in network.stack(RECOMMENDATION)]
        vectors = propagated(self._graph, network.vectors.whole(), layers)
        return {name: network.ended(RECOMMENDATION, name, vectors[name]) for name in (USERS, ITEM_VIEW)}


def _asked(subgraph: TrainingSubgraph, task: str) -> Mapping[RelationKey, Question]:
    """What a task asks for: clicks, or everything that is hidden."""
    return {CLICKS: subgraph.questions[CLICKS]} if task == RECOMMENDATION else subgraph.questions


__all__ = ["LINKS", "MTHGT", "RECOMMENDATION", "MTHGTNetwork"]
