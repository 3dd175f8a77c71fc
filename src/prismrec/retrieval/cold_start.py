"""Vectors for items that nobody clicked, from the nodes of their side views: solved through the learned alignment.

Per side (source, target) the item vector is what the alignment asks for, corrected by what warm items show:

    i_hat = argmin_i  sum_v w_v |W_v i - W_v c_v|^2 + lambda |i|^2     c_v: mean of the item's nodes in view v
          = (sum_v w_v G_v + lambda I)^-1  sum_v w_v G_v c_v           G_v = W_v^T W_v
    i     = m + gain (i_hat - m_hat) + sum_v mean_{c in v} u_v(c)

The alignment was trained by log s((W i).(W c)), which fixes directions and leaves lengths open. So `gain` is the
least-squares factor between the centred solutions and the learned vectors of the warm items (m, m_hat: their means),
each item weighed by how far its own clicks can be trusted, t = n / (n + `TRUST`). lambda is `regularisation` times the
mean eigenvalue of sum_v w_v G_v; the larger it is, the less the solve turns vectors away from sum_v w_v G_v c_v.

What the solve leaves over is partly common to the items of a node: u_v(c), shrunk as far as the warm items say
(`node_effects`), times `shrinkage`.

The vectors of a side view are the mean over the item's nodes there, as for every item. The prior is the expected log
count of an item with these nodes, fitted on the counts of the warm items as the residuals are, plus `lean`: a count of
zero would bury what nobody had a chance to click.

What is known decides what an item gets (`ColdStart.basis`): with a node in an aligned view all of the above; with nodes
in views without alignment the mean m and what their items have in common; with no known node the mean alone.

Cost of `of`: O(n (dim^2 + edges dim)) per side, one pass, and some 20 n dim bytes of memory, for n warm items: all of
them, or `calibrated_on` of them, drawn evenly, where there are more. Of `place`: the same time per new item.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from prismrec.config import Section
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.retrieval.blend import Similarity, mean_log_count, popularity_prior, unit_rows
from prismrec.retrieval.bundle_files import BundleContents
from prismrec.retrieval.node_effects import Matrix, NodeEffects, known_nodes, node_means

Basis = Literal["alignment", "neighbours", "average"]

TRUST = 5.0
"""A warm item with this many clicks is trusted half: its vector has hardly left the place where it started."""

_TINY = 1e-12


class ColdStartSettings(Section):
    """How items without clicks are placed."""

    regularisation: float = Field(
        default=1.0, gt=0, description="lambda of the solve, in units of the mean eigenvalue of its matrix"
    )
    view_weights: dict[str, float] = Field(
        default_factory=dict, description="weight of each aligned view in the solve; a view left out has 1"
    )
    shrinkage: float = Field(
        default=1.0, gt=0, description="times the estimated shrinkage of what a node's items share: above 1 less of it"
    )
    lean: FiniteFloat = Field(
        default=0.0, description="added to the prior of new items (log counts): above 0 favours, below 0 holds back"
    )
    calibrated_on: int = Field(
        default=1_000_000,
        ge=1,
        description="warm items that are looked at, drawn evenly where there are more: memory, against how well it is "
        "known what the items of a rare node share",
    )


class ColdStart:
    """Places items by their nodes in the side views; made once per bundle, then asked as often as items come."""

    def __init__(
        self,
        contents: BundleContents,
        settings: ColdStartSettings,
        sides: tuple[_Placement, _Placement],
        prior: NodeEffects,
    ) -> None:
        """Use `ColdStart.of`."""
        self.settings = settings
        self._contents = contents
        self._sides = sides
        self._prior = prior

    @classmethod
    def of(cls, contents: BundleContents, settings: ColdStartSettings) -> Self:
        """Calibrate on the warm items of a bundle; deterministic.

        Raises:
            DataError: an alignment matrix does not fit the vectors, or the settings weigh a view without one.
        """
        _check_alignment(contents, settings)
        counts = np.asarray(contents.vocabularies[ITEM_VIEW].counts)
        warm = _drawn(np.flatnonzero(counts > 0), settings.calibrated_on, contents.seed)
        nodes = {view: rows.take(warm) for view, rows in contents.item_nodes.items()}
        trust = counts[warm] / (counts[warm] + TRUST)
        sides = tuple(_Placement.fitted(contents, settings, side, nodes, warm, trust) for side in (0, 1))
        n_nodes = {view: len(contents.vocabularies[view]) for view in nodes}
        logs = popularity_prior(counts[warm], mean_log_count(counts))[:, None].astype(np.float64)
        prior = NodeEffects.fitted(logs, np.ones(len(warm)), nodes, n_nodes)
        return cls(contents, settings, (sides[0], sides[1]), prior)

    def place(
        self,
        item_nodes: Mapping[str, Sequences],
        similarity: Similarity = "source_target",
        n_items: int | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of new items, in the column order of the bundle's vectors.

        Args:
            item_nodes: per side view one row per new item: its node indices, -1 for a node that the bundle does not
                know. A view that is left out holds no node of any item.
            similarity: what the vectors are for; with "cosine" both sides are unit source vectors, as in `blend`.
            n_items: how many items, where `item_nodes` is empty.

        Returns:
            sources (n, D) float32, and targets (n, D + 1) float32, the popularity prior last.

        Raises:
            DataError: a view that the bundle lacks, a node index outside it, or rows for different numbers of items.
        """
        nodes, n = self._known(item_nodes, n_items)
        blocks: tuple[list[Matrix], list[Matrix]] = ([], [])
        for view, table in self._contents.vectors.items():
            for side, vectors in enumerate((table.source, table.target)):
                rows = self._sides[side].place(nodes, n) if view == ITEM_VIEW else node_means(nodes[view], vectors)
                blocks[side].append(rows)
        units = [unit_rows(block.astype(np.float32)) for block in blocks[0]] if similarity == "cosine" else blocks[0]
        sources = np.column_stack(units)
        targets = sources if similarity == "cosine" else np.column_stack(blocks[1])
        prior = self._prior.of_items(nodes, n) + self.settings.lean
        return sources.astype(np.float32), np.column_stack([targets, prior]).astype(np.float32)

    def preferences(self, liked: Mapping[str, Sequences], similarity: Similarity = "source_target") -> NDArray:
        """(n, D) float32 source vectors of pseudo items with the nodes that users say they like, one row per user.

        The inverse use: a query made of such a row, as if it were the only item of a history, finds what goes with it.

        Raises:
            DataError: as for `place`.
        """
        return self.place(liked, similarity)[0]

    def basis(self, item_nodes: Mapping[str, Sequences], n_items: int | None = None) -> list[Basis]:
        """What each item is placed by: "alignment", "neighbours" (nodes in unaligned views alone) or "average".

        Raises:
            DataError: as for `place`.
        """
        nodes, n = self._known(item_nodes, n_items)
        aligned, any_node = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        for view, rows in nodes.items():
            any_node |= rows.lengths > 0
            if view in self._contents.alignment:
                aligned |= rows.lengths > 0
        return ["alignment" if a else "neighbours" if b else "average" for a, b in zip(aligned, any_node, strict=True)]

    def _known(self, item_nodes: Mapping[str, Sequences], n_items: int | None) -> tuple[dict[str, Sequences], int]:
        """The known nodes of every side view of the bundle, and the number of items."""
        views = list(self._contents.item_nodes)
        for view in item_nodes:
            if view not in views:
                near = difflib.get_close_matches(view, views, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"side views are {', '.join(views) or 'none'}"
                raise DataError(f"new items have nodes in view {view!r}, which the bundle lacks; {hint}")
        lengths = {len(rows) for rows in item_nodes.values()} | ({n_items} if n_items is not None else set())
        if len(lengths) != 1:
            raise DataError(
                f"new items need one row per item in every view, got rows for {sorted(lengths) or 'no'} items: "
                "say n_items where there are no views"
            )
        n = lengths.pop()
        empty = Sequences(np.zeros(0, np.int32), np.zeros(n + 1, np.int64))
        found = {view: item_nodes.get(view, empty) for view in views}
        return {v: known_nodes(v, rows, len(self._contents.vocabularies[v])) for v, rows in found.items()}, n


@dataclass(frozen=True, eq=False)
class _Placement:
    """The item vectors of one side: the solve through the alignment, its gain, and the residuals of the nodes.

    Attributes:
        grams: aligned view -> (dim, dim): w_v G_v.
        tables: view -> (n_nodes, dim): the vectors of this side.
        penalty: lambda.
        gain: factor on the centred solution.
        centre: (dim,) m_hat, the mean solution of the warm items.
        effects: m, and the residuals by node.
    """

    grams: Mapping[str, Matrix]
    tables: Mapping[str, NDArray[np.float32]]
    penalty: float
    gain: float
    centre: Matrix
    effects: NodeEffects

    @classmethod
    def fitted(
        cls,
        contents: BundleContents,
        settings: ColdStartSettings,
        side: int,
        nodes: Mapping[str, Sequences],
        warm: NDArray[np.int64],
        trust: NDArray[np.float64],
    ) -> Self:
        """Calibrate one side (0 source, 1 target) on the warm items."""
        tables = {v: (t.source, t.target)[side] for v, t in contents.vectors.items()}
        left = np.asarray(tables[ITEM_VIEW][warm], np.float32)
        grams, penalty = _grams(contents, settings, side)
        solved, known = _solve(grams, penalty, tables, nodes, len(warm))
        weights = (trust * known).astype(np.float32)
        centre = weights @ solved / max(float(weights.sum()), _TINY)
        solved -= centre
        solved[~known] = 0
        gain = _gain(solved, left, weights)
        solved *= gain
        left -= solved
        n_nodes = {view: len(contents.vocabularies[view]) for view in nodes}
        effects = NodeEffects.fitted(left, trust, nodes, n_nodes, settings.shrinkage)
        return cls(grams, tables, penalty, gain, centre, effects)

    def place(self, nodes: Mapping[str, Sequences], n: int) -> Matrix:
        """(n, dim) item vectors."""
        solved, known = _solve(self.grams, self.penalty, self.tables, nodes, n)
        return np.asarray(
            self.effects.of_items(nodes, n) + self.gain * np.where(known[:, None], solved - self.centre, 0)
        )


def _grams(contents: BundleContents, settings: ColdStartSettings, side: int) -> tuple[dict[str, Matrix], float]:
    """w_v W_v^T W_v of the aligned views, and lambda."""
    grams: dict[str, Matrix] = {}
    for view, matrices in contents.alignment.items():
        matrix = np.asarray(matrices[side], np.float64)
        grams[view] = settings.view_weights.get(view, 1.0) * (matrix.T @ matrix)
    scale = sum(float(np.trace(gram)) for gram in grams.values()) / max(1, len(next(iter(grams.values()), ())))
    return grams, settings.regularisation * scale


def _solve(
    grams: Mapping[str, Matrix],
    penalty: float,
    tables: Mapping[str, NDArray[np.float32]],
    nodes: Mapping[str, Sequences],
    n: int,
) -> tuple[Matrix, NDArray[np.bool_]]:
    """(n, dim) float32 solutions, and (n,) whether an aligned view knows the item; grouped by the views items have."""
    solved, known = np.zeros((n, tables[ITEM_VIEW].shape[1]), np.float32), np.zeros(n, np.bool_)
    if not n or not grams:
        return solved, known
    has = np.array([nodes[view].lengths > 0 for view in grams])
    for pattern in np.unique(has, axis=1).T:
        present = [view for view, there in zip(grams, pattern, strict=True) if there]
        if not present:
            continue
        rows = np.flatnonzero((has == pattern[:, None]).all(axis=0))
        known[rows] = True
        whole = sum(grams[view] for view in present) + penalty * np.eye(solved.shape[1])
        for view in present:
            share = np.linalg.solve(whole, grams[view]).T.astype(np.float32)
            solved[rows] += node_means(nodes[view].take(rows), tables[view]) @ share
    return solved, known


def _drawn(warm: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """At most n of the warm items, all alike likely, in their order."""
    if len(warm) <= n:
        return warm
    return warm[np.sort(np.random.default_rng(seed).choice(len(warm), n, replace=False))]


def _gain(solved: Matrix, learned: Matrix, weights: NDArray[np.float32]) -> float:
    """The factor on the centred solutions that comes nearest to the learned vectors; 0 where solutions are alike."""
    power = float(weights @ np.einsum("ij,ij->i", solved, solved))
    return float(weights @ np.einsum("ij,ij->i", solved, learned)) / power if power > 0 else 0.0


def _check_alignment(contents: BundleContents, settings: ColdStartSettings) -> None:
    dim = contents.vectors[ITEM_VIEW].source.shape[1]
    for view, matrices in contents.alignment.items():
        node_dim = contents.vectors[view].source.shape[1]
        if matrices.shape != (2, dim, dim) or node_dim != dim:
            raise DataError(
                f"the alignment of view {view!r} has shape {matrices.shape} beside item vectors of {dim} and node "
                f"vectors of {node_dim} numbers: expected (2, {dim}, {dim}) for source and target, and equal dimensions"
            )
    for view in settings.view_weights:
        if view not in contents.alignment:
            known = ", ".join(contents.alignment) or "none"
            raise DataError(f"cold_start.view_weights: view {view!r} has no alignment; aligned views are {known}")


__all__ = ["Basis", "ColdStart", "ColdStartSettings"]
