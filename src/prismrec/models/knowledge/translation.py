"""Translation and matching models of a knowledge graph: TransE, TransH, TransR, TransD, RESCAL, DistMult, ComplEx.

A model gives each entity and relation vectors, and every triple (h, r, t) a score by its formula
(`translation_scores`); true triples are to score higher than those with one end replaced (`graphs.triple_negatives`,
`link_losses`). Papers:

    TransE    https://papers.nips.cc/paper/5071          TransH    https://doi.org/10.1609/aaai.v28i1.8870
    TransR    https://doi.org/10.1609/aaai.v29i1.9491    TransD    https://aclanthology.org/P15-1067
    RESCAL    https://dl.acm.org/doi/10.5555/3104482.3104584       DistMult  https://arxiv.org/abs/1412.6575
    ComplEx   https://arxiv.org/abs/1606.06357

A step costs O(B K dim) for B triples against K shared entities, one matrix product per side, and moves only the rows
that it met; TransR and RESCAL add a matrix of dim^2 per relation of the batch. Memory: two float32 per parameter, three
with Adam. All of it is torch, on the CPU and on a GPU alike.

Differs from the papers: the negatives of a batch are shared; the loss is a setting, softmax unless set (that of the
papers is `margin`, `logistic` in ComplEx); no vector is brought to length 1, nor are orthogonality and length penalised
as in TransH and TransR (the normals of TransH have length 1 where they are used): `l3` holds vectors small where set;
distances are Euclidean or squared ones, never L1, which is no matrix product; TransR and TransD map into a space of
the same dimension; TransR starts at fresh vectors, not at those of TransE. `embedding_dim` counts real numbers: ComplEx
has half as many complex ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.errors import ConfigError, DataError
from prismrec.graphs.triple_answers import Side
from prismrec.graphs.triple_negatives import Corrupted, TripleNegatives
from prismrec.models.contract import EmbeddingTable, OwnRows, TaskLoss
from prismrec.models.knowledge.configs import LinkModelConfig, TranslationConfig, TranslationName
from prismrec.models.knowledge.link_losses import link_losses
from prismrec.models.knowledge.row_steps import RowSteps
from prismrec.models.knowledge.translation_scores import ENTITY, MATRIX, SCORES, Rows

_NEAR = 1e-9
"""The least squared distance that a root is taken of: its slope has no bound at 0."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """Triples of a step as rows of the entities and relations that it touches.

    Attributes:
        heads, tails: (B,) int64 rows of the touched entities.
        which: (B,) int64 rows of the touched relations.
        parts: the replaced ends, and the rows (K,) of their candidates.
    """

    heads: Tensor
    tails: Tensor
    which: Tensor
    parts: list[tuple[Corrupted, Tensor]]


class TranslationModel:
    """Vectors of entities and relations; `Trainable`, and a `LinkScorer` of `evaluation.links`."""

    def __init__(
        self, name: TranslationName, config: LinkModelConfig, graph: KnowledgeGraph, *, seed: int, device: str
    ) -> None:
        """Fresh vectors for a graph.

        Raises:
            DataError: the graph has no triples, or fewer than two entities.
            ConfigError: the dimension does not fit the model.
        """
        _check(name, config, graph)
        self._config, self._score, self._seed, self._device = config, SCORES[name], seed, device
        self._rooted = isinstance(config, TranslationConfig) and config.distance == "euclidean"
        self._triples, self._n_entities = graph.triples, graph.n_entities
        self._negatives = TripleNegatives(
            graph, config.n_negatives, config.corruption, type_constrained=config.type_constrained
        )
        generator = torch.Generator().manual_seed(seed)
        dim, n, m = config.embedding_dim, graph.n_entities, graph.n_relations
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(self._score.entity_tables, (n, dim))
        shapes |= {table: (m, *shape) for table, shape in self._score.relation_shapes(dim).items()}
        self._tables = {
            table: (torch.randn(shape, generator=generator) * dim**-0.5).to(device) for table, shape in shapes.items()
        }
        if name == "transr":
            self._tables[MATRIX] = torch.eye(dim, device=device).repeat(m, 1, 1)
        self._steps = RowSteps(self._tables, config.optimizer, config.learning_rate)
        self._order = (-1, np.zeros(0, np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Batches that go once over all triples."""
        return -(-len(self._triples) // self._config.batch_size)

    def step(self, epoch: int, step: int, progress: float) -> Mapping[str, TaskLoss]:
        """One step with the rows that a batch and its negatives touch."""
        triples = self._triples_of(epoch, step)
        drawn = self._negatives.draw(triples, np.random.default_rng([self._seed, epoch, step]))
        rows, batch = self._touched(triples, drawn)
        leaves = {name: table.index_select(0, rows[name]).requires_grad_() for name, table in self._tables.items()}
        losses = self._losses(leaves, batch)
        objective = losses.mean()
        if self._config.l3:
            objective = objective + self._config.l3 * self._cubes(leaves, batch)
        objective.backward()
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                self._steps.move(name, rows[name], leaf.detach(), leaf.grad, epoch * self.steps_per_epoch + step)
        return {"link": TaskLoss(float(losses.detach().sum()), len(losses))}

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"link": 1.0}

    def state(self) -> Mapping[str, NDArray]:
        """Tables, and their moments under `<moment>.<table>`."""
        return {name: tensor.cpu().numpy() for name, tensor in {**self._tables, **self._steps.moments}.items()}

    def own_rows(self) -> Mapping[str, OwnRows]:
        """Nothing is shared out among processes."""
        return {}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state` gave."""
        for name, tensor in {**self._tables, **self._steps.moments}.items():
            tensor.copy_(torch.from_numpy(np.array(state[name])))

    def score_links(self, side: Side, known: NDArray[np.int64], relations: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, n_entities) float32: every entity as the missing end of n triples, see `evaluation.links.LinkScorer`."""
        present, which = np.unique(relations, return_inverse=True)
        with torch.inference_mode():
            entities, ends = self._entities(self._tables), self._tensor(known)
            of_relations = {n: self._tables[n][self._tensor(present)] for n in self._tables if n not in entities}
            rows = {name: table[ends] for name, table in entities.items()}
            places = self._tensor(which)
            scores = self._score.products(side, rows, of_relations, places, entities).scores(places)
            found: NDArray[np.float32] = self._shaped(scores).cpu().numpy()
        return found

    def table(self) -> EmbeddingTable:
        """The vectors of all entities at length 1, the same as source and as target: their products are cosines."""
        vectors: NDArray[np.float32] = normalize(self._tables[ENTITY], dim=1).cpu().numpy()
        return EmbeddingTable(vectors, vectors)

    def _triples_of(self, epoch: int, step: int) -> NDArray[np.int32]:
        """(B, 3) the batch of a step; the order of an epoch is made once."""
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self._triples)))
        size = self._config.batch_size
        return self._triples[self._order[1][step * size : (step + 1) * size]]

    def _touched(self, triples: NDArray[np.int32], drawn: list[Corrupted]) -> tuple[dict[str, Tensor], _Batch]:
        """Which rows of each table a step touches, and the batch in terms of these."""
        wide = triples.astype(np.int64)  # as torch has indices
        ends = np.concatenate([wide[:, 0], wide[:, 2], *(part.candidates for part in drawn)])
        entities, places = np.unique(ends, return_inverse=True)
        relations, which = np.unique(wide[:, 1], return_inverse=True)
        heads, tails, *candidates = self._tensor(places).split([len(triples)] * 2 + [len(p.candidates) for p in drawn])
        rows = dict.fromkeys(self._tables, self._tensor(relations))
        rows |= dict.fromkeys(self._score.entity_tables, self._tensor(entities))
        return rows, _Batch(heads, tails, self._tensor(which), list(zip(drawn, candidates, strict=True)))

    def _losses(self, leaves: Rows, batch: _Batch) -> Tensor:
        """(n,) the loss of every replaced end."""
        entities = self._entities(leaves)
        relations = {name: leaf for name, leaf in leaves.items() if name not in entities}
        heads, tails = (_rows(entities, ends) for ends in (batch.heads, batch.tails))
        true = self._shaped(self._score.pairs(heads, relations, batch.which, tails))
        config, losses = self._config, []
        for part, candidates in batch.parts:
            chosen = self._tensor(part.rows)
            known, which = _rows(tails if part.side == "head" else heads, chosen), batch.which[chosen]
            products = self._score.products(part.side, known, relations, which, _rows(entities, candidates))
            losses.append(
                link_losses(
                    config.loss, true[chosen], self._shaped(products.scores(which)), self._tensor(part.hidden),
                    self._n_entities, config.margin, config.temperature,
                )
            )  # fmt: skip
        return torch.cat(losses)

    def _cubes(self, leaves: Rows, batch: _Batch) -> Tensor:
        """The mean over triples of sum |x|^3 over the vectors of head, relation and tail."""
        total = torch.zeros((), device=self._device)
        for name, leaf in leaves.items():
            cubes = leaf.abs().pow(3).flatten(1).sum(1)
            ends = (batch.heads, batch.tails) if name in self._score.entity_tables else (batch.which,)
            total = total + sum(cubes[end].mean() for end in ends)
        return total

    def _entities(self, tables: Rows) -> dict[str, Tensor]:
        return {name: tables[name] for name in self._score.entity_tables}

    def _shaped(self, scores: Tensor) -> Tensor:
        """Scores as they are, or minus distances instead of minus squares of these."""
        return -(-scores).clamp(min=_NEAR).sqrt() if self._rooted else scores

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _rows(tables: Rows, places: Tensor) -> dict[str, Tensor]:
    return {name: table.index_select(0, places) for name, table in tables.items()}


def _check(name: str, config: LinkModelConfig, graph: KnowledgeGraph) -> None:
    if not graph.n_triples or graph.n_entities < 2:
        raise DataError(
            f"{name} learns from triples between two entities at least: the graph has {graph.n_triples} triples and "
            f"{graph.n_entities} entities"
        )
    if name == "complex" and config.embedding_dim % 2:
        raise ConfigError(
            f"models.complex.embedding_dim = {config.embedding_dim} counts real and imaginary parts: make it even"
        )


__all__ = ["TranslationModel"]
