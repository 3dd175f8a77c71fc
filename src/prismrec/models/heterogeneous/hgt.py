"""HGT: attention whose weights belong to node types and relations, on sub-graphs; what MTHGT is measured against.

    A(s, e, t) = softmax over all edges into t of (K_type(s)(h_s) W_ATT_e Q_type(t)(h_t)) mu_e / sqrt(d), by head
    m(s, e, t) = M_type(s)(h_s) W_MSG_e
    h'_t       = a_type(t) A-Linear_type(t)( gelu( sum over s of A(s, e, t) m(s, e, t) ) ) + (1 - a_type(t)) h_t

Hu, Dong, Wang & Sun: Heterogeneous Graph Transformer. WWW 2020, equations 1 to 5, https://arxiv.org/abs/2003.01332; the
layer is PyTorch Geometric's HGTConv. Trained, as MTHGT is, to predict hidden clicks of a sub-graph (`subgraph_tasks`),
and served from the whole graph (`node_vectors`). Cost of a step: time and memory O(layers edges dim).

Differs from the paper: no edge times, as attributes have none; nodes have no features, x_v is learned; the task is to
rank items, so final vectors have unit length, over a temperature. Sub-graphs are drawn at random unless
`subgraph.sampling = "dense"`, which is the paper's own sampling but for seeds of two types: as the baseline of MTHGT's
table and ablation it stands without.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, USERS
from prismrec.graphs.heterogeneous import HeteroGraph, heterogeneous_graph
from prismrec.graphs.subgraphs import Block, Edges, RelationKey
from prismrec.models.contract import EmbeddingTable, StoredEncoder
from prismrec.models.heterogeneous.configs import HGTConfig
from prismrec.models.heterogeneous.node_vectors import Layer, NodeVectors, Vectors, WholeGraphVectors, propagated, unit
from prismrec.models.heterogeneous.subgraph_tasks import SubgraphBatches, asked_relations, link_losses, tensors
from prismrec.models.neural.contract import Objective
from prismrec.models.user_vectors import UserVectors

with warnings.catch_warnings():  # of what torch deprecates, while the library is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import HGTConv


def layer_name(node_type: str) -> str:
    """What the library calls a node type: views have any name, and `type` or `items` are names of torch's own."""
    return f"of__{node_type}"


def convolved(layer: nn.Module, vectors: Vectors, edges: Mapping[RelationKey, torch.Tensor]) -> dict[str, torch.Tensor]:
    """(n, dim) of each type after one layer; a type that no relation leads to stays as it is."""
    named = {(layer_name(key[0]), key[1], layer_name(key[2])): pairs for key, pairs in edges.items()}
    made = layer({layer_name(name): own for name, own in vectors.items()}, named)
    return {name: made.get(layer_name(name), own) for name, own in vectors.items()}


class HGTNetwork(nn.Module):
    """All that is learned."""

    def __init__(self, config: HGTConfig, graph: HeteroGraph, seed: int) -> None:
        """Fresh weights for the node types and relations of a graph."""
        super().__init__()
        dim, keys = config.embedding_dim, [relation.key for relation in graph.relations]
        names = [(layer_name(source), name, layer_name(target)) for source, name, target in keys]
        metadata = ([layer_name(name) for name in graph.types], names)
        self.vectors = NodeVectors(graph.n_nodes, dim, torch.Generator().manual_seed(seed))
        with torch.random.fork_rng(devices=[]):  # the library draws from torch's one generator
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(HGTConv(dim, dim, metadata, heads=config.heads) for _ in range(config.layers))

    def forward(self, nodes: Vectors, edges: Mapping[RelationKey, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Of each type's nodes the vectors after the last layer, (n, dim)."""
        now: dict[str, torch.Tensor] = self.vectors(nodes)
        for layer in self.layers:
            now = convolved(layer, now, edges)
        return now


class HGT:
    """HGT; a `NeuralModel`."""

    def __init__(self, config: HGTConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh model of the graph of `data`.

        Raises:
            DataError: there is nothing to learn from.
        """
        self._config = config
        self._graph = heterogeneous_graph(data)
        asked = asked_relations(self._graph, all_links=False)
        self._batches = SubgraphBatches(self._graph, config.subgraph, asked, config.hidden_share, seed)
        self.network = HGTNetwork(config, self._graph, seed).to(device)
        self._device = device
        self._whole = WholeGraphVectors(self.network, self._propagated)

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """As many sub-graphs as give every user a turn as a seed."""
        return self._batches.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """The hidden clicks of one sub-graph."""
        subgraph = self._batches.batch(epoch, step)
        edges = {key: _edge_index(own, 0, self._device) for key, own in subgraph.messages.items()}
        made = self.network(tensors(subgraph.nodes, self._device), edges)
        ended = {name: unit(vectors, self._config.temperature) for name, vectors in made.items()}
        loss, logged = link_losses(ended, subgraph.questions, self._config.loss)
        return Objective(loss, {"recommendation": logged})

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"recommendation": 1.0}

    def table(self) -> EmbeddingTable:
        """Item vectors; sources are targets."""
        return self._whole.table()

    def encoder(self) -> UserVectors:
        """User vectors."""
        return self._whole.encoder()

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("hgt")

    def _propagated(self) -> Vectors:
        layers = [self._over_blocks(layer) for layer in self.network.layers]
        vectors = propagated(self._graph, self.network.vectors.whole(), layers)
        return {name: unit(vectors[name], self._config.temperature) for name in (USERS, ITEM_VIEW)}

    def _over_blocks(self, layer: nn.Module) -> Layer:
        def update(block: Block, vectors: Vectors) -> torch.Tensor:
            edges = {key: _edge_index(own, block.begin, self._device) for key, own in block.edges.items()}
            if not edges:
                return vectors[block.node_type][block.begin : block.end]
            return convolved(layer, vectors, edges)[block.node_type][block.begin : block.end]

        return update


def _edge_index(edges: Edges, first_target: int, device: str) -> torch.Tensor:
    """(2, E) int64: sources and targets."""
    pairs = torch.stack([torch.from_numpy(edges.sources), torch.from_numpy(edges.targets) + first_target])
    return pairs.to(device)


__all__ = ["HGT", "HGTNetwork", "convolved", "layer_name"]
