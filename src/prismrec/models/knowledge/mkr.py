"""MKR: a recommender and the tails of triples learned side by side, item and entity exchanging what they know.

    C = v e^T                                                                                              (1)
    v' = C w_vv + C^T w_ev + b_v      e' = C w_ve + C^T w_ee + b_e          cross and compress, L times    (2)
    u_L = M^L(u),  r_L = M^L(r)       M(x) = relu(W x + b)                                              (4), (8)
    y_ui = u_L . v_L + b_i                                                                                 (6)
    t^   = s( M^H( [e_L, r_L] ) )     score(h, r, t) = t . t^                                         (8), (9)
    L_recommendation = mean -[ log s(y) if clicked else log(1 - s(y)) ]
    L_knowledge      = mean -[ log s(score) if in the graph else log(1 - s(score)) ]                      (10)

v is the vector of item i, e that of the entity that i is; both are of the item that a triple begins at, too, and s is
the sigmoid. The two tasks are trained as the schedule says. Wang, Zhang, Zhao, Li, Xie & Guo: Multi-Task Feature
Learning for Knowledge Graph Enhanced Recommendation. WWW 2019, https://arxiv.org/abs/1901.08907. C is never made:
C w = v (e . w), so a unit takes O(dim) for each item. Cost of a step with B examples: O(B L dim^2) time, O(B L dim)
memory, and Adam's O((users + items + entities) dim).

Differs from the paper, or decides what it leaves open:
- b_i, a bias per item; one Adam and one learning rate for both tasks, where the authors' program has one for each.
- (10) takes score(true) - score(false), which has no floor: here it is the logistic loss, a corrupted tail beside each.
- Only triples that begin at an item are learned: the others have no v to cross e with. Items that are no entity have
  an e of their own, of which no triple says anything.
- Alternation is by steps, not by epochs: see `neural.schedules`.
- Users whom training did not see are answered by the mean of v_L B over their items, with the matrix B for which that
  comes nearest to u_L of the known users, by least squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import UNKNOWN
from prismrec.errors import DataError
from prismrec.graphs.ripples import item_nodes
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.knowledge.configs import MKRConfig
from prismrec.models.neural.arrays import copied
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.interactions import InteractionBatches
from prismrec.models.neural.scheduled import ScheduledTasks, Task
from prismrec.models.user_vectors import UserVectors, history_means

RECOMMENDATION = "recommendation"
KNOWLEDGE = "knowledge"

_SPREAD = 0.3
"""Length of fresh vectors: where few clicks say what an item is, what the graph says of it counts."""
_RIDGE = 1e-3
"""Of the least squares for unknown users, as a share of the mean square of what it multiplies."""


class CrossAndCompress(nn.Module):
    """Equations (1) and (2)."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        """Fresh weights."""
        super().__init__()
        for name in ("vv", "ev", "ve", "ee"):
            self.register_parameter(name, nn.Parameter(torch.randn(dim, generator=generator) / dim**0.5))
        self.bias_v, self.bias_e = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, v: torch.Tensor, e: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, dim) item and entity vectors to such vectors: C w = v (e . w), C^T w = e (v . w)."""
        of_v = v * (e @ self.vv)[:, None] + e * (v @ self.ev)[:, None] + self.bias_v
        of_e = v * (e @ self.ve)[:, None] + e * (v @ self.ee)[:, None] + self.bias_e
        return of_v, of_e


class MKRNetwork(nn.Module):
    """All that is learned."""

    def __init__(self, config: MKRConfig, sizes: Mapping[str, int], generator: torch.Generator) -> None:
        """Fresh vectors for the users, items, nodes (entities, and items that are none) and relations of `sizes`."""
        super().__init__()
        dim, low = config.embedding_dim, config.low_layers
        for name in ("users", "items", "nodes", "relations"):
            vectors = _SPREAD * torch.randn(sizes[name], dim, generator=generator) / dim**0.5
            self.register_parameter(name, nn.Parameter(vectors))
        self.bias = nn.Parameter(torch.zeros(sizes["items"]))
        self.units = nn.ModuleList(CrossAndCompress(dim, generator) for _ in range(low))
        self.user_layers = nn.ModuleList(_linear(dim, dim, generator) for _ in range(low))
        self.relation_layers = nn.ModuleList(_linear(dim, dim, generator) for _ in range(low))
        widths = [2 * dim] * config.high_layers + [dim]
        self.tail_layers = nn.ModuleList(_linear(a, b, generator) for a, b in pairwise(widths))

    def crossed(self, items: torch.Tensor, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, dim) v_L and e_L of items, (B,), and the nodes that they are."""
        v, e = F.embedding(items, self.items), F.embedding(nodes, self.nodes)
        for unit in self.units:
            v, e = unit(v, e)
        return v, e

    def of_users(self, users: torch.Tensor) -> torch.Tensor:
        """(B, dim) u_L."""
        return _through(self.user_layers, F.embedding(users, self.users))

    def tails(self, items: torch.Tensor, nodes: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """(B, dim) t^: what the tail of each triple should be, by the item at its head and its relation."""
        _, e = self.crossed(items, nodes)
        r = _through(self.relation_layers, F.embedding(relations, self.relations))
        x = _through(self.tail_layers[:-1], torch.cat([e, r], 1))
        return torch.sigmoid(self.tail_layers[-1](x))


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, inputs, generator=generator) * (2 / inputs) ** 0.5)
        layer.bias.zero_()
    return layer


def _through(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = torch.relu(layer(x))
    return x


class MKR:
    """MKR, and each of its tasks alone; a `NeuralModel`."""

    def __init__(self, config: MKRConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh model of the clicks and triples of `data`.

        Raises:
            DataError: there is no graph, or nothing to learn from.
            ConfigError: the settings of negatives ask for what the data do not have.
        """
        if data.knowledge is None:
            raise DataError("MKR learns from a knowledge graph, and the data have none: set [knowledge]")
        graph = data.knowledge.graph
        self._config, self._seed, self._device, self._histories = config, seed, device, data.histories
        self._nodes = item_nodes(data.knowledge)
        self._n_entities = graph.n_entities
        self._triples = triples_of_items(graph.triples, data.knowledge.entity_items)
        self._clicks = InteractionBatches(data, config.batch_size, seed, config.negatives)
        sizes = {"users": len(data.users), "items": len(data.items), "nodes": int(self._nodes.max(initial=-1)) + 1}
        sizes |= {"nodes": max(sizes["nodes"], graph.n_entities), "relations": graph.n_relations}
        self.network = MKRNetwork(config, sizes, torch.Generator().manual_seed(seed)).to(device)
        self._tasks = ScheduledTasks(config.schedule, *self._chosen_tasks())

    def _chosen_tasks(self) -> tuple[Task, ...]:
        """The main task first; where the graph says nothing of items there is none but clicks."""
        size = self._config.batch_size
        clicks = Task(RECOMMENDATION, self._clicks.n_batches, self._click_loss)
        triples = Task(KNOWLEDGE, -(-len(self._triples) // size), self._triple_loss)
        if self._config.tasks == "knowledge":
            if not len(self._triples):
                raise DataError('mkr.tasks = "knowledge" needs triples that begin at an item: the graph has none')
            return (triples,)
        return (clicks, triples) if self._config.tasks == "both" and len(self._triples) else (clicks,)

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """As the schedule says."""
        return self._tasks.steps_per_epoch

    def objective(self, epoch: int, step: int) -> Objective:
        """The loss of the task, or tasks, whose turn it is."""
        return self._tasks.objective(epoch, step)

    def task_weights(self) -> Mapping[str, float]:
        """How the losses are weighed where a step has both."""
        return self._tasks.task_weights()

    def table(self) -> EmbeddingTable:
        """v_L of all items, the bias as last column of the targets, where sources have zero."""
        items, bias = self._items(), copied(self.network.bias)[:, None]
        return EmbeddingTable(np.column_stack([items, np.zeros_like(bias)]), np.column_stack([items, bias]))

    def encoder(self) -> UserVectors:
        """u_L of all users; the last column, 1, meets the bias."""
        with torch.inference_mode():
            users = copied(self.network.of_users(torch.arange(len(self.network.users), device=self._device)))
        items = self._items()
        means = history_means(self._histories, items).astype(np.float64)
        square = means.T @ means
        ridge = _RIDGE * np.trace(square) / len(square) + np.finfo(np.float64).tiny
        towards_users = np.linalg.solve(square + ridge * np.eye(len(square)), means.T @ users).astype(np.float32)
        ones = (np.ones((len(part), 1), np.float32) for part in (users, items))
        return UserVectors(*map(np.column_stack, zip((users, items @ towards_users), ones, strict=True)))

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("mkr")

    def tail_error(self) -> float:
        """Root of the mean square of t - t^ over all triples that begin at an item, per number of a vector."""
        items, relations, tails = (torch.from_numpy(column).to(self._device) for column in self._triples.T)
        with torch.inference_mode():
            predicted = self.network.tails(items, self._of(items), relations)
            return float((predicted - F.embedding(tails, self.network.nodes)).square().mean().sqrt())

    def _items(self) -> NDArray[np.float32]:
        """(n_items, dim) v_L."""
        with torch.inference_mode():
            items = torch.arange(len(self._nodes), device=self._device)
            return copied(self.network.crossed(items, self._of(items))[0])

    def _of(self, items: torch.Tensor) -> torch.Tensor:
        """The nodes that items are."""
        return torch.from_numpy(self._nodes).to(self._device)[items]

    def _click_loss(self, epoch: int, number: int) -> tuple[torch.Tensor, TaskLoss]:
        users, positives, negatives = (torch.from_numpy(a).to(self._device) for a in self._clicks.batch(epoch, number))
        items = torch.cat([positives, negatives])
        v, _ = self.network.crossed(items, self._of(items))
        u = self.network.of_users(users).repeat(2, 1)
        return self._labelled((u * v).sum(1) + self.network.bias[items], (users, self.network.users), items)

    def _triple_loss(self, epoch: int, number: int) -> tuple[torch.Tensor, TaskLoss]:
        order = np.random.default_rng([self._seed, epoch, 1]).permutation(len(self._triples))  # 1: not that of clicks
        size = self._config.batch_size
        chosen = self._triples[order[number * size : (number + 1) * size]]
        corrupted = np.random.default_rng([self._seed, epoch, number, 1]).integers(self._n_entities, size=len(chosen))
        items, relations, tails = (torch.from_numpy(column).to(self._device) for column in chosen.T)
        predicted = self.network.tails(items, self._of(items), relations).repeat(2, 1)
        ends = torch.cat([tails, torch.from_numpy(corrupted).to(self._device)])
        scores = (F.embedding(ends, self.network.nodes) * predicted).sum(1)
        return self._labelled(scores, (ends, self.network.nodes), items)

    def _labelled(
        self, scores: torch.Tensor, vectors: tuple[torch.Tensor, torch.Tensor], items: torch.Tensor
    ) -> tuple[torch.Tensor, TaskLoss]:
        """The logistic loss, of which the first half of the scores is true, and the squares of what it looked at."""
        n = len(scores)
        labels = (torch.arange(n, device=scores.device) < n // 2).to(torch.float32)
        loss = F.binary_cross_entropy_with_logits(scores.float(), labels)
        looked_at = (F.embedding(*vectors), F.embedding(items, self.network.items),
                     F.embedding(self._of(items), self.network.nodes))  # fmt: skip
        squares = torch.stack([part.square().sum() for part in looked_at]).sum() / n
        return loss + self._config.l2 * squares, TaskLoss(float(loss.detach()) * n, n)


def triples_of_items(triples: NDArray[np.int32], entity_items: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 3) int64: item, relation, tail entity of the triples whose head is an item."""
    items = entity_items[triples[:, 0]]
    own = items != UNKNOWN
    return np.column_stack([items[own], triples[own, 1:].astype(np.int64)])


__all__ = ["KNOWLEDGE", "MKR", "RECOMMENDATION", "CrossAndCompress", "MKRNetwork", "triples_of_items"]
