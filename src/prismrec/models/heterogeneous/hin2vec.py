"""HIN2Vec: nodes and meta-paths of a heterogeneous graph (Fu, Lee & Lei, CIKM 2017,
https://doi.org/10.1145/3132847.3132953).

    O(x, y, r) = sigmoid( sum_d x_d * y_d * f(r)_d ),    f(r) = sigmoid(r)                                         (1)
    L = - log O(x, y, r) - sum_{k = 1..K} log(1 - O(x, y_k, r))                                                    (2)

(numbers are ours). x and y are nodes that random walks meet within w steps, r the meta-path between them: the sequence
of the relations taken, user-item, item-genre-item and so on (`graphs/typed_walks.py`). f keeps what a path says of a
dimension between 0 and 1. y_k are drawn uniformly among the nodes of y's type.

A user u and an item i are scored by the path of one step, u -> i: (p_u * f(r_ui)) . q_i, an inner product. An unknown
user is the mean of q_j * f(r_jui) over their items j, with the path item -> user -> item: who had j also had i.

Cost per epoch: walks_per_node walks of `walk_length` from every node make some V walks_per_node walk_length w pairs,
each of time (K + 1) d; memory: V d numbers for V nodes, 6 bytes per directed edge, and (K + 1) d per pair of a batch.
Users x items is never made.

Differs from the paper:
- f is the sigmoid, of the paper's two; the binary step has no gradient;
- nodes have one vector, whether they stand for x or y;
- Adam on batches of walks instead of SGD pair by pair;
- a pair whose walk came back to the same node is left out, as the paper proposes for paths that are cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, USERS
from prismrec.graphs.heterogeneous import CLICKED, CLICKED_BY, HeteroGraph, heterogeneous_graph
from prismrec.graphs.typed_walks import TypedWalks
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.heterogeneous.configs import HIN2VecConfig
from prismrec.models.heterogeneous.node_vectors import ByType
from prismrec.models.neural.arrays import copied
from prismrec.models.neural.contract import Objective
from prismrec.models.user_vectors import UserVectors


class HIN2VecNetwork(nn.Module):
    """Vectors of nodes, type by type so that each can grow, and of meta-paths."""

    def __init__(self, n_nodes: Mapping[str, int], n_paths: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self._types = tuple(n_nodes)
        drawn = 0.1 * torch.randn(sum(n_nodes.values()), dim, generator=generator)
        own = drawn.split(list(n_nodes.values()))
        self.own = ByType({name: nn.Parameter(part.clone()) for name, part in zip(n_nodes, own, strict=True)})
        self.paths = nn.Parameter(0.1 * torch.randn(n_paths, dim, generator=generator))

    @property
    def nodes(self) -> torch.Tensor:
        """(V, D): the vectors of all nodes, numbered through."""
        return torch.cat([self.own[name] for name in self._types])

    def forward(
        self, x: torch.Tensor, paths: torch.Tensor, y: torch.Tensor, others: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Equation (1) before its outer sigmoid: (B,) of the pairs, (B, K) of x with other nodes.

        Args:
            x: (B,) int64 nodes.
            paths: (B,) int64.
            y: (B,) int64 nodes.
            others: (B, K) int64 nodes.
        """
        nodes = self.nodes
        query = F.embedding(x, nodes) * torch.sigmoid(F.embedding(paths, self.paths))
        right = (query * F.embedding(y, nodes)).sum(1)
        wrong = torch.bmm(F.embedding(others, nodes), query[:, :, None])[:, :, 0]
        return right, wrong


class HIN2Vec:
    """Vectors from meta-paths; a `NeuralModel`."""

    def __init__(self, config: HIN2VecConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """Fresh vectors for the nodes of the graph of `data`.

        Raises:
            DataError: the graph has no edge, or far too many meta-paths.
        """
        graph = heterogeneous_graph(data)
        self._config, self._seed, self._device = config, seed, device
        self._walks = TypedWalks(graph, config.max_steps)
        self._starts = np.repeat(self._walks.starts, config.walks_per_node)
        self._order = lru_cache(maxsize=1)(self._order_of)
        self._first, self._size = _types(graph)
        self._to_item, self._to_other_item = _recommending_paths(graph, self._walks)
        generator = torch.Generator().manual_seed(seed)
        n_paths, dim = len(self._walks.paths), config.embedding_dim
        self.network = HIN2VecNetwork(graph.n_nodes, n_paths, dim, generator).to(device)

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Batches of walks from every node."""
        return -(-len(self._starts) // self._config.walks_per_step)

    def objective(self, epoch: int, step: int) -> Objective:
        """Equation (2), mean over the pairs of some walks."""
        width = self._config.walks_per_step
        rng = np.random.default_rng([self._seed, epoch, step])
        starts = self._order(epoch)[step * width : (step + 1) * width]
        pairs = self._walks.pairs(starts, self._config.walk_length, int(rng.integers(2**63)))
        x, y, paths = (torch.from_numpy(part.astype(np.int64)).to(self._device) for part in pairs)
        others = torch.from_numpy(self._others(pairs.targets, rng)).to(self._device)
        right, wrong = self.network(x, paths, y, others)
        n_pairs = len(pairs.sources)
        loss = (F.softplus(-right).sum() + F.softplus(wrong).sum()) / max(n_pairs, 1)
        return Objective(loss, {"paths": TaskLoss(float(loss.detach()) * n_pairs, n_pairs)})

    def _others(self, targets: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int64]:
        """(B, K) int64: nodes of the type of each target."""
        drawn = rng.random((len(targets), self._config.n_negatives), np.float32)
        within = (drawn * self._size[targets, None]).astype(np.int64)
        others: NDArray[np.int64] = self._first[targets, None] + np.minimum(within, self._size[targets, None] - 1)
        return others

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).permutation(self._starts)

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"paths": 1.0}

    def table(self) -> EmbeddingTable:
        """Items; as sources through the path item -> user -> item."""
        items = self._vectors(ITEM_VIEW)
        return EmbeddingTable(items * self._gate(self._to_other_item), items)

    def encoder(self) -> UserVectors:
        """Users through the path user -> item; unknown ones by their items through item -> user -> item."""
        users = self._vectors(USERS) * self._gate(self._to_item)
        return UserVectors(users, self.table().source)

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("hin2vec")

    def _vectors(self, node_type: str) -> NDArray[np.float32]:
        return copied(self.network.own[node_type])

    def _gate(self, path: int) -> NDArray[np.float32]:
        """(D,): f of a path."""
        return copied(torch.sigmoid(self.network.paths[path]))


def _types(graph: HeteroGraph) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(V,) and (V,) int64: the first node of each node's type, and how many there are."""
    sizes = np.array(list(graph.n_nodes.values()), np.int64)
    firsts = np.array([graph.starts[name] for name in graph.types], np.int64)
    return np.repeat(firsts, sizes), np.repeat(sizes, sizes)


def _recommending_paths(graph: HeteroGraph, walks: TypedWalks) -> tuple[int, int]:
    """The numbers of the paths user -> item, and item -> user -> item."""
    keys = [relation.key for relation in graph.relations]
    to_item, to_user = keys.index((ITEM_VIEW, CLICKED_BY, USERS)), keys.index((USERS, CLICKED, ITEM_VIEW))
    return walks.paths.number(to_item), walks.paths.number(to_user, to_item)


__all__ = ["HIN2Vec"]
