"""RippleNet: what a user likes spreads from their items through a knowledge graph, read anew for each item asked for.

    S^k = triples that the history reaches at hop k, M of them                       `graphs.ripples`      (2)
    p_i = softmax_i( v^T R_i h_i )            over the triples (h_i, r_i, t_i) of S^k                      (4)
    o^k = sum_i p_i t_i                                                                                    (5)
    v  <- o^k | v + o^k | W o^k | W (v + o^k)                                       the four `item_update`s
    u   = sum_k a_k o^k,   sum_k a_k = 1                                                                   (6)
    y   = u^T v + b_v                                                                                      (7)
    L   = mean -[ log s(y) if clicked else log(1 - s(y)) ]
          + l2 / 2 ( |E|^2 + |R|^2 )  +  kge_weight / 2n sum_r | I_r - E R_r E^T |^2          n triples   (11)

Wang, Zhang, Wang, Zhao, Li, Xie & Guo: RippleNet: Propagating User Preferences on the Knowledge Graph for Recommender
Systems. CIKM 2018, https://arxiv.org/abs/1803.03467. Cost of a step with B questions over G ripples, dim d: time
O(G H M d^2 + B H M d + n_nodes d^2), memory O(G H M d + B H M); of scoring N items for Q queries time O(Q N H M d),
memory O(Q N M), in blocks of bounded size.

y is no inner product: it is what `score_candidates` says. `encode` finds candidates: of each query it makes the vector
whose products with (v, b_v, 1) come nearest, by least squares, to the model's own scores of some hundred items.

Differs from the paper, or decides what it leaves open:
- What is asked for is left out of the history, and ripples are drawn anew in every epoch (`ripple_batches`). Those of
  the paper come from all of a user's clicks, those asked for too, once.
- M may be larger in answers than in training: attention takes as many triples as there are, and more tell more.
- b_v, a bias per item; a_k are learned by a softmax. v in (7) is the vector after the last update, as in the authors'
  program, which sums all o^k or takes the last: `hop_weights` "equal" and "last".
- The third loss is that of the paper, over all pairs of entities: |E R E^T|^2 = tr(R (E^T E) R^T (E^T E)); what true
  triples have in it is estimated from as many as the batch has questions. It is a mean over triples, L one over clicks.
- An item without a triple in the graph speaks for itself: see `graphs.ripples`. Without a graph all do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.ripples import RippleGraph, RippleSets, content_seeds, ripple_graph, ripple_sets
from prismrec.models.contract import EmbeddingTable, KnowledgeNames, KnowledgePath, StoredEncoder, TaskLoss
from prismrec.models.knowledge.configs import RippleNetConfig
from prismrec.models.knowledge.ripple_batches import RippleBatches, RippleShape
from prismrec.models.knowledge.ripple_paths import explained_paths
from prismrec.models.neural.arrays import arrays_of, copied, fill
from prismrec.models.neural.contract import Objective

CLICKS = "clicks"
TRIPLES = "triples"

_SPREAD = 0.2
"""Length of fresh vectors: where few clicks say what a node is, what the graph says of it counts."""
_N_PROBES = 256
_RIDGE = 1e-3
"""Of the least squares of `encode`, as a share of the mean square of what it multiplies."""
_NUMBERS_AT_ONCE = 2**23
"""Attention that scoring holds at a time: 32 MB."""
_GRAPH = "graph."


class RippleNetwork(nn.Module):
    """Vectors of nodes, matrices of relations, the transform of items, weights of hops, biases."""

    def __init__(self, config: RippleNetConfig, sizes: tuple[int, int, int], generator: torch.Generator) -> None:
        """Fresh parameters; sizes are those of nodes, relations ("is itself" among them) and items."""
        super().__init__()
        n_nodes, n_relations, n_items = sizes
        dim = config.embedding_dim
        self._update, self._weighing = config.item_update, config.hop_weights
        self.nodes = nn.Parameter(_SPREAD * torch.randn(n_nodes, dim, generator=generator) / dim**0.5)
        self.relations = nn.Parameter(torch.randn(n_relations, dim, dim, generator=generator) / dim**0.5)
        self.bias = nn.Parameter(torch.zeros(n_items))
        if "transform" in config.item_update:
            self.transform = nn.Parameter(torch.eye(dim))
        if config.hop_weights == "learned":
            self.hop_logits = nn.Parameter(torch.zeros(config.n_hops))

    def forward(self, ripples: RippleSets, items: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """(G, N) scores y, equation (7).

        Args:
            ripples: of G histories.
            items: (G, N) or (1, N) int64: whose biases.
            nodes: their nodes, in the same shape.
        """
        scores, _ = self.attended(ripples, items, nodes)
        return scores

    def attended(
        self, ripples: RippleSets, items: torch.Tensor, nodes: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(G, N) scores, and p of each hop, (G, N, M)."""
        v = F.embedding(nodes, self.nodes)
        weights, attention = self.weights_of_hops(ripples.heads.shape[1]), []
        user = torch.zeros(())
        for hop, weight in enumerate(weights.unbind()):
            keys = self._keys(ripples.heads[:, hop], ripples.relations[:, hop])
            p = (v @ keys.mT).softmax(-1)
            o = p @ F.embedding(_tensor(ripples.tails[:, hop], self.nodes), self.nodes)
            user = user + weight * o
            v = self._updated(v, o)
            attention.append(p)
        return (user * v).sum(-1) + self.bias[items], attention

    def weights_of_hops(self, n_hops: int) -> torch.Tensor:
        """(H,) a of equation (6)."""
        if self._weighing == "learned":
            return self.hop_logits.softmax(0)
        weights = torch.ones(n_hops) if self._weighing == "equal" else torch.eye(n_hops)[-1]
        return (weights / weights.sum()).to(self.nodes.device)

    def triple_loss(self, n_entities: int, triples: NDArray[np.int64], n_triples: int) -> torch.Tensor:
        """The third part of (11) without its weight, as the mean over triples.

        1/2 [ 1 - 2 mean h^T R t + sum_r tr(R G R^T G) / n ],  G = E^T E

        Args:
            n_entities: how many of the nodes are entities.
            triples: (B, 3) int64, drawn from all.
            n_triples: n, of the whole graph.
        """
        entities, matrices = self.nodes[:n_entities], self.relations[:-1]
        heads, relations, tails = triples[np.argsort(triples[:, 1], kind="stable")].T
        mapped = self._mapped(F.embedding(_tensor(tails, self.nodes), self.nodes), relations)
        true = (F.embedding(_tensor(heads, self.nodes), self.nodes) * mapped).sum(1).mean()
        gram = entities.T @ entities
        everywhere = ((matrices @ gram) * (gram @ matrices)).sum()
        return 0.5 * (1 - 2 * true + everywhere / n_triples)

    def _updated(self, v: torch.Tensor, o: torch.Tensor) -> torch.Tensor:
        added = v + o if self._update.startswith("plus") else o
        return added @ self.transform.T if self._update.endswith("transform") else added

    def _keys(self, heads: NDArray[np.int32], relations: NDArray[np.int32]) -> torch.Tensor:
        """(G, M, dim) R h, each pair of a relation and a head of the batch reckoned once."""
        n_nodes = len(self.nodes)
        pairs, places = np.unique(relations.astype(np.int64) * n_nodes + heads, return_inverse=True)
        kinds, nodes = np.divmod(pairs, n_nodes)
        mapped = self._mapped(F.embedding(_tensor(nodes, self.nodes), self.nodes), kinds)
        return F.embedding(_tensor(places.reshape(heads.shape), self.nodes), mapped)

    def _mapped(self, vectors: torch.Tensor, relations: NDArray[np.int64]) -> torch.Tensor:
        """(n, dim) R_r x for rows in the order of their relations, one product per relation."""
        counts = np.bincount(relations, minlength=len(self.relations))
        parts, matrices = vectors.split(counts.tolist()), self.relations.unbind()  # one gradient for all matrices
        return torch.cat([part @ matrices[r].T for r, part in enumerate(parts) if counts[r]])


class RippleNetEncoder:
    """Finds and orders candidates, and says by which paths; a `CandidateScorer` and a `PathExplainer`."""

    def __init__(self, config: RippleNetConfig, graph: RippleGraph, network: RippleNetwork) -> None:
        """Bind graph and network, and prepare the least squares."""
        self._config, self._graph, self._network = config, graph, network.requires_grad_(False).eval()
        n_items = len(graph.item_nodes)
        self._probes = np.unique(np.linspace(0, n_items - 1, min(_N_PROBES, n_items)).astype(np.int64))
        features = target_vectors(network, graph)[self._probes].astype(np.float64)
        square = features.T @ features
        ridge = _RIDGE * np.trace(square) / len(square)
        self._fit = np.linalg.solve(square + ridge * np.eye(len(square)), features.T).T.astype(np.float32)

    @classmethod
    def opened(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> RippleNetEncoder:
        """From what `stored` gave."""
        own = {name.removeprefix(_GRAPH): np.asarray(a) for name, a in arrays.items() if name.startswith(_GRAPH)}
        learned = {name: array for name, array in arrays.items() if not name.startswith(_GRAPH)}
        graph = RippleGraph(**own, n_relations=len(learned["relations"]) - 1)
        return cls.of(RippleNetConfig(**config), graph, learned)

    @classmethod
    def of(cls, config: RippleNetConfig, graph: RippleGraph, learned: Mapping[str, NDArray]) -> RippleNetEncoder:
        """An encoder with a network of its own, filled from arrays."""
        network = RippleNetwork(config, _sizes(graph), torch.Generator())
        fill(network, learned)
        return cls(config, graph, network)

    def stored(self, names: KnowledgeNames) -> StoredEncoder:
        """To be written into a bundle."""
        graph = self._graph
        learned: dict[str, NDArray] = dict(arrays_of(self._network))
        for name in ("offsets", "relations", "tails", "item_nodes"):
            learned[f"{_GRAPH}{name}"] = getattr(graph, name)
        config = self._config.model_dump(mode="json")
        return StoredEncoder("ripplenet", config, learned, knows_users=False, knowledge=names)

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, dim + 2) float32: the vectors whose products are nearest to the scores of some items."""
        return self._scored(histories, self._probes[None]) @ self._fit

    def score_candidates(
        self, histories: Sequences, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(n_queries, n_candidates) float32, equation (7); zero for an empty history."""
        return self._scored(histories, candidates)

    def paths(self, history: NDArray[np.int64], user: int, candidate: int, n_paths: int) -> tuple[KnowledgePath, ...]:
        """See `PathExplainer`; of the same ripples that its scores come from."""
        ripples = self._ripples(Sequences.from_lists([history]))
        if not ripples.found[0]:
            return ()
        asked = self._asked(np.array([[candidate]]))
        with torch.inference_mode():
            attention = self._network.attended(ripples, *asked)[1]
            weights = self._network.weights_of_hops(len(attention))
        shares = np.stack([float(a) * p[0, 0].numpy() for a, p in zip(weights, attention, strict=True)])
        return explained_paths(self._graph, ripples, shares, candidate, n_paths)

    def _scored(self, histories: Sequences, candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, n_candidates): candidates are of each query, or a single row for all."""
        found = np.zeros((len(histories), candidates.shape[1]), np.float32)
        at_once = max(1, _NUMBERS_AT_ONCE // max(1, candidates.shape[1] * self._config.answer_triples))
        with torch.inference_mode():
            for begin in range(0, len(histories), at_once):
                part = slice(begin, min(begin + at_once, len(histories)))
                asked = self._asked(candidates if len(candidates) == 1 < len(histories) else candidates[part])
                ripples = self._ripples(histories.slice(part.start, part.stop))
                scores = self._network(ripples, *asked).numpy()
                found[part] = np.where(ripples.found[:, None], scores, 0)
        return found

    def _asked(self, items: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Items and their nodes, copied: what they come from may be mapped from disk."""
        return torch.tensor(items), torch.tensor(self._graph.item_nodes[items])

    def _ripples(self, histories: Sequences) -> RippleSets:
        shape = self._config.n_hops, self._config.answer_triples
        return ripple_sets(self._graph, histories, *shape, content_seeds(histories))


class RippleNet:
    """RippleNet; a `NeuralModel`."""

    def __init__(self, config: RippleNetConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh model of the graph of `data`.

        Raises:
            DataError: there is no graph, or nothing to learn from.
            ConfigError: the settings of negatives ask for what the data do not have.
        """
        if data.knowledge is None:
            raise DataError("RippleNet spreads through a knowledge graph, and the data have none: set [knowledge]")
        self._config, self._knowledge = config, data.knowledge
        self._graph = ripple_graph(data.knowledge)
        shape = RippleShape(config.n_hops, config.triples_per_hop, config.asked_together, config.batch_size)
        self._batches = RippleBatches(self._graph, data, shape, config.negatives, seed)
        self._seed, self._device = seed, device
        self.network = RippleNetwork(config, _sizes(self._graph), torch.Generator().manual_seed(seed)).to(device)

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Batches that go once over all clicks of who has two."""
        return self._batches.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """Equation (11) on one batch."""
        batch, network = self._batches.batch(epoch, step), self.network
        items = torch.from_numpy(batch.items).to(self._device)
        nodes = torch.from_numpy(self._graph.item_nodes[batch.items]).to(self._device)
        asked = torch.from_numpy(batch.asked).to(self._device)
        clicked = torch.zeros_like(asked, dtype=torch.float32)
        clicked[:, : clicked.shape[1] // 2] = 1
        scores = network(batch.ripples, items, nodes)[asked]
        loss = F.binary_cross_entropy_with_logits(scores.float(), clicked[asked])
        value = loss + 0.5 * self._config.l2 * (network.nodes.square().sum() + network.relations.square().sum())
        losses = {CLICKS: TaskLoss(float(loss.detach()) * len(scores), len(scores))}
        if self._knowledge.graph.n_triples:
            known, drawn = self._knowledge.graph, self._drawn_triples(epoch, step)
            of_triples = network.triple_loss(known.n_entities, drawn, known.n_triples)
            value = value + self._config.kge_weight * of_triples
            losses[TRIPLES] = TaskLoss(float(of_triples.detach()) * len(drawn), len(drawn))
        return Objective(value, losses)

    def task_weights(self) -> Mapping[str, float]:
        """The loss of triples has a fixed weight; there is none where the graph is empty."""
        triples = {TRIPLES: self._config.kge_weight} if self._knowledge.graph.n_triples else {}
        return {CLICKS: 1.0, **triples}

    def table(self) -> EmbeddingTable:
        """Sources: vectors of items. Targets: what the vectors of `encode` meet."""
        targets = target_vectors(self.network, self._graph)
        sources = targets.copy()
        sources[:, -2:] = 0
        return EmbeddingTable(sources, targets)

    def encoder(self) -> RippleNetEncoder:
        """With a copy of the network."""
        return RippleNetEncoder.of(self._config, self._graph, arrays_of(self.network))

    def stored(self) -> StoredEncoder:
        """Graph, network, and the names that paths are read with."""
        known = self._knowledge
        return self.encoder().stored(KnowledgeNames(known.graph.labels, known.graph.relations, known.item_entities))

    def _drawn_triples(self, epoch: int, step: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self._seed, epoch, step, 1])  # 1: other numbers than those of the batch
        triples = self._knowledge.graph.triples
        return triples[rng.integers(len(triples), size=self._config.batch_size)].astype(np.int64)


def target_vectors(network: RippleNetwork, graph: RippleGraph) -> NDArray[np.float32]:
    """(n_items, dim + 2) float32: v, b_v and 1."""
    vectors = copied(network.nodes)[graph.item_nodes]
    return np.column_stack([vectors, copied(network.bias), np.ones(len(vectors), np.float32)])


def _sizes(graph: RippleGraph) -> tuple[int, int, int]:
    return graph.n_nodes, graph.n_relations + 1, len(graph.item_nodes)


def _tensor(array: NDArray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)


__all__ = ["CLICKS", "TRIPLES", "RippleNet", "RippleNetEncoder", "RippleNetwork", "target_vectors"]
