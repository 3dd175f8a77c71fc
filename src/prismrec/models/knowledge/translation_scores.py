"""What each translation or matching model says of a triple, pair by pair and against many entities at once.

h, r, t are vectors of head, relation and tail; scores are higher for what is believed.

    TransE    -|h + r - t|^2                                                  Bordes et al. 2013
    TransH    -|h' + r - t'|^2      e' = e - (w.e) w,  |w| = 1                Wang et al. 2014
    TransR    -|M h + r - M t|^2                                              Lin et al. 2015
    TransD    -|h' + r - t'|^2      e' = e + (e_p.e) r_p                      Ji et al. 2015
    RESCAL    h^T M t                                                         Nickel et al. 2011
    DistMult  sum_i h_i r_i t_i                                               Yang et al. 2015
    ComplEx   Re sum_i h_i r_i conj(t_i), complex numbers                     Trouillon et al. 2016

Every one of them is, for a known end and a relation, a product with the vectors of all entities:

    score(query, entity) = query . target(entity) + constant(query) + offset(relation, entity)

where squares are multiplied out: -|q - c|^2 = 2 q.c - |q|^2 - |c|^2. B queries against K entities so take one matrix
product (B, dim) x (dim, K) and no array of B x K x dim numbers; offsets are (relations of the batch, K). TransR's need
M c for each of these relations: O(relations x K x dim^2) time, O(relations x K x dim) memory.

A model names its tables: those of entities have one vector per entity, the shapes of relations are given per relation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prismrec.graphs.triple_answers import Side

Rows = Mapping[str, Tensor]
"""Rows of each table of entities or of relations, by the name of the table."""

ENTITY = "entity"
RELATION = "relation"
MATRIX = "matrix"


class Products(NamedTuple):
    """Queries and entities, ready to be multiplied.

    Attributes:
        queries: (B, D).
        targets: (K, D).
        constants: (B,), or None for zeros.
        offsets: (R, K) by relation of the batch, (1, K) where all are alike, or None for zeros.
    """

    queries: Tensor
    targets: Tensor
    constants: Tensor | None = None
    offsets: Tensor | None = None

    def scores(self, which: Tensor) -> Tensor:
        """(B, K) scores; `which` (B,) is the row of `offsets` of each query."""
        scores = self.queries @ self.targets.T
        if self.constants is not None:
            scores = scores + self.constants[:, None]
        if self.offsets is None:
            return scores
        return scores + (self.offsets if len(self.offsets) == 1 else self.offsets[which])


class TripleScore(Protocol):
    """One model's formula."""

    @property
    def entity_tables(self) -> tuple[str, ...]:
        """The tables with a vector per entity, the one that a bundle takes first."""
        ...

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """The tables of relations, and what they hold per relation."""
        ...

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """(B,) scores of triples; `which` (B,) is the relation of each, as a row of `relations`."""
        ...

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """Queries with one end known against candidates for the other.

        Args:
            side: the end that is asked for.
            known: (B, ...) the known ends.
            relations: (R, ...) the distinct relations of the batch.
            which: (B,) the relation of each query, as a row of `relations`.
            candidates: (K, ...) entities that may take the other end.
        """
        ...


class TransE:
    """A relation is a step from head to tail."""

    entity_tables = (ENTITY,)

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """A step."""
        return {RELATION: (dim,)}

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """-|h + r - t|^2."""
        return -(heads[ENTITY] + relations[RELATION][which] - tails[ENTITY]).square().sum(1)

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """q = h + r, or t - r."""
        q = _stepped(side, known[ENTITY], relations[RELATION][which])
        c = candidates[ENTITY]
        return Products(2 * q, c, -q.square().sum(1), -c.square().sum(1)[None])


class TransH:
    """A relation is a hyperplane, and a step within it."""

    entity_tables = (ENTITY,)

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """A step and a normal, which is brought to length 1 where it is used."""
        return {RELATION: (dim,), "normal": (dim,)}

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """-|h' + r - t'|^2."""
        w = normalize(relations["normal"], dim=1)[which]
        apart = _onto_plane(heads[ENTITY], w) + relations[RELATION][which] - _onto_plane(tails[ENTITY], w)
        return -apart.square().sum(1)

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """q = h' + r; |q - c'|^2 = |q|^2 - 2 q'.c + |c|^2 - (w.c)^2, as c' = c - (w.c) w."""
        normals, c = normalize(relations["normal"], dim=1), candidates[ENTITY]
        w = normals[which]
        q = _stepped(side, _onto_plane(known[ENTITY], w), relations[RELATION][which])
        offsets = (normals @ c.T).square() - c.square().sum(1)
        return Products(2 * _onto_plane(q, w), c, -q.square().sum(1), offsets)


class TransR:
    """Each relation has a space of its own, and a matrix that leads there."""

    entity_tables = (ENTITY,)

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """A step and a matrix."""
        return {RELATION: (dim,), MATRIX: (dim, dim)}

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """-|M (h - t) + r|^2."""
        between = _mapped(heads[ENTITY] - tails[ENTITY], relations[MATRIX].mT, which)
        return -(between + relations[RELATION][which]).square().sum(1)

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """q = M h + r; |q - M c|^2 = |q|^2 - 2 (M^T q).c + |M c|^2."""
        matrices, c = relations[MATRIX], candidates[ENTITY]
        q = _stepped(side, _mapped(known[ENTITY], matrices.mT, which), relations[RELATION][which])
        offsets = -(matrices @ c.T).square().sum(1)
        return Products(2 * _mapped(q, matrices, which), c, -q.square().sum(1), offsets)


class TransD:
    """As TransR, the matrix made of a vector of the relation and one of the entity: r_p e_p^T + I."""

    entity_tables = (ENTITY, "entity_projection")

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """A step and a projection vector."""
        return {RELATION: (dim,), "relation_projection": (dim,)}

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """-|h' + r - t'|^2."""
        p = relations["relation_projection"][which]
        return -(_projected(heads, p) + relations[RELATION][which] - _projected(tails, p)).square().sum(1)

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """With s = c_p.c: |q - c - s r_p|^2 = |q|^2 - 2 q.c - 2 s (q.r_p) + |c|^2 + 2 s (r_p.c) + s^2 |r_p|^2.

        s is one more column of the targets, q.r_p one more of the queries.
        """
        projections, c = relations["relation_projection"], candidates[ENTITY]
        p, s = projections[which], (candidates["entity_projection"] * c).sum(1)
        q = _stepped(side, _projected(known, p), relations[RELATION][which])
        queries = 2 * torch.cat([q, (q * p).sum(1, keepdim=True)], 1)
        lengths = projections.square().sum(1, keepdim=True)
        offsets = -(c.square().sum(1) + 2 * s * (projections @ c.T) + s.square() * lengths)
        return Products(queries, torch.cat([c, s[:, None]], 1), -q.square().sum(1), offsets)


class RESCAL:
    """A relation is a linear map that takes heads to their tails: the bilinear matching that ANALOGY restricts."""

    entity_tables = (ENTITY,)

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """A matrix."""
        return {MATRIX: (dim, dim)}

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """h^T M t."""
        return (_mapped(heads[ENTITY], relations[MATRIX], which) * tails[ENTITY]).sum(1)

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """q = M^T h, or M t."""
        matrices = relations[MATRIX] if side == "tail" else relations[MATRIX].mT
        return Products(_mapped(known[ENTITY], matrices, which), candidates[ENTITY])


class DistMult:
    """RESCAL with diagonal matrices: every relation is symmetric."""

    entity_tables = (ENTITY,)

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """A diagonal."""
        return {RELATION: (dim,)}

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """sum h r t."""
        return (heads[ENTITY] * relations[RELATION][which] * tails[ENTITY]).sum(1)

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """q = h r, or t r."""
        return Products(known[ENTITY] * relations[RELATION][which], candidates[ENTITY])


class ComplEx:
    """DistMult in complex numbers, with directed relations; the halves of a vector are its real and imaginary parts."""

    entity_tables = (ENTITY,)

    def relation_shapes(self, dim: int) -> Mapping[str, tuple[int, ...]]:
        """A diagonal."""
        return {RELATION: (dim,)}

    def pairs(self, heads: Rows, relations: Rows, which: Tensor, tails: Rows) -> Tensor:
        """Re h r conj(t)."""
        return (_turned("tail", heads[ENTITY], relations[RELATION][which]) * tails[ENTITY]).sum(1)

    def products(self, side: Side, known: Rows, relations: Rows, which: Tensor, candidates: Rows) -> Products:
        """q = h r, or t conj(r): the real part of q conj(c) is a product of real vectors."""
        return Products(_turned(side, known[ENTITY], relations[RELATION][which]), candidates[ENTITY])


def _stepped(side: Side, known: Tensor, steps: Tensor) -> Tensor:
    """From the head forward, from the tail back."""
    return known + steps if side == "tail" else known - steps


def _onto_plane(vectors: Tensor, normals: Tensor) -> Tensor:
    return vectors - (vectors * normals).sum(1, keepdim=True) * normals


def _projected(entities: Rows, projections: Tensor) -> Tensor:
    return entities[ENTITY] + (entities["entity_projection"] * entities[ENTITY]).sum(1, keepdim=True) * projections


def _turned(side: Side, known: Tensor, relations: Tensor) -> Tensor:
    """(B, dim) known ends times the relation, or times its conjugate where the head is asked for."""
    real, imaginary = known.chunk(2, 1)
    r_real, r_imaginary = relations.chunk(2, 1)
    if side == "head":
        r_imaginary = -r_imaginary
    return torch.cat([real * r_real - imaginary * r_imaginary, real * r_imaginary + imaginary * r_real], 1)


def _mapped(vectors: Tensor, matrices: Tensor, which: Tensor) -> Tensor:
    """(B, dim): row i times matrices[which[i]], relation by relation: no copy of a matrix per row."""
    order = torch.argsort(which)
    counts = torch.bincount(which, minlength=len(matrices)).tolist()
    parts = [part @ matrices[i] for i, part in enumerate(vectors[order].split(counts)) if len(part)]
    return torch.cat(parts)[torch.argsort(order)]


SCORES: Mapping[str, TripleScore] = {
    "transe": TransE(),
    "transh": TransH(),
    "transr": TransR(),
    "transd": TransD(),
    "rescal": RESCAL(),
    "distmult": DistMult(),
    "complex": ComplEx(),
}
"""By the name of the algorithm."""

DISTANCES = ("transe", "transh", "transr", "transd")
"""Models whose scores are minus squared distances."""

__all__ = ["DISTANCES", "ENTITY", "MATRIX", "RELATION", "SCORES", "Products", "Rows", "TripleScore"]
