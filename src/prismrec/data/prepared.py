"""What preparation leaves on disk and every model starts from: vocabularies, sequences per view, histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class View:
    """One view of the items: its nodes, and which of them each item has.

    Attributes:
        name: as configured, e.g. "category".
        nodes: the view's own vocabulary; counts are over the training sessions.
        item_nodes: one row per item index: the item's node indices (none, one or several).
        sessions: the item sessions mapped to this view, consecutive repeats collapsed.
    """

    name: str
    nodes: Vocabulary
    item_nodes: Sequences
    sessions: Sequences


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Training data with dense indices, all views over one item vocabulary.

    Attributes:
        items: every item seen in training, and items only in the item table at the end with count 0.
        sessions: item sessions: cut at gaps, consecutive repeats collapsed.
        users: whose history row i of `histories` is.
        histories: per user all items in time order, not cut into sessions, consecutive repeats collapsed.
        views: side views by name, in configured order; never holds "item".
        item_columns: the item table in the order of `items` (nulls where the table lacks an item); None without one.
        report: counts of what was read, dropped and quarantined, stage by stage.
    """

    items: Vocabulary
    sessions: Sequences
    users: Vocabulary
    histories: Sequences
    views: Mapping[str, View] = field(default_factory=dict)
    item_columns: pa.Table | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    def nodes(self, view: str) -> Vocabulary:
        """The vocabulary of a view, the item view included."""
        return self.items if view == ITEM_VIEW else self.views[view].nodes

    def view_sessions(self, view: str) -> Sequences:
        """The sequences of a view, the item view included."""
        return self.sessions if view == ITEM_VIEW else self.views[view].sessions

    @property
    def view_names(self) -> tuple[str, ...]:
        """The item view first, then the side views in configured order."""
        return (ITEM_VIEW, *self.views)


__all__ = ["PreparedData", "View"]
