"""A trained M2GRL that lies on disk: what a crew leaves, whose rows no single process ever held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from numpy.typing import NDArray

from prismrec.models.contract import EmbeddingTable
from prismrec.models.m2grl.tables import alignment_matrices


class StoredM2GRL:
    """Tables and matrices out of a state; its arrays may be memory-mapped, and are handed on as they are.

    Args:
        state: the arrays of `M2GRL.state`, whole.
        views: the item view first.
    """

    def __init__(self, state: Mapping[str, NDArray], views: Sequence[str]) -> None:
        self._state = state
        self._views = tuple(views)

    def tables(self) -> dict[str, EmbeddingTable]:
        """The vectors of each view."""
        return {v: EmbeddingTable(self._state[f"{v}.source"], self._state[f"{v}.target"]) for v in self._views}

    def alignments(self) -> dict[str, NDArray]:
        """The alignment matrices by name, `view.alignment_source` and `view.alignment_target`."""
        return alignment_matrices(self._state, self._views)


__all__ = ["StoredM2GRL"]
