"""What is to be done, in numbers: how many clicks, items and nodes, and the settings that sizes depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from prismrec.config import Section
from prismrec.data.schema import ITEM_VIEW
from prismrec.errors import ConfigError

if TYPE_CHECKING:
    from prismrec.settings import Settings

Storage = Literal["fp32", "bf16", "fp16"]

MOST_NODES = 2**31 - 1
"""Indices are int32."""

CLICKS_PER_USER = 20


class Job(Section):
    """The size of a data set, and of what is learned from it."""

    clicks: int = Field(ge=1, description="rows of the log")
    items: int = Field(ge=1, le=MOST_NODES, description="distinct items")
    users: int = Field(0, ge=0, description="distinct users; 0 = one per 20 clicks")
    views: dict[str, int] = Field(default_factory=dict, description="side view -> its distinct nodes")
    dim: int = Field(64, ge=2, le=1024, description="numbers per vector: model.embedding_dim")
    window: int = Field(5, ge=1, le=100, description="model.window")
    negatives: int = Field(10, ge=1, le=100, description="model.negatives")
    context: Literal["forward", "symmetric"] = Field("forward", description="model.context")
    epochs: int = Field(20, ge=1, description="training.epochs")
    sequence_length: float = Field(5.7, gt=1, description="mean clicks of a sequence; 5.7 as in the benchmark's log")
    id_bytes: int = Field(12, ge=1, description="bytes of an external id, for text with 4 more for its place")
    storage: Storage = Field("fp32", description="how a table keeps a number: sharding.storage")

    @field_validator("views")
    @classmethod
    def _sizes(cls, views: dict[str, int]) -> dict[str, int]:
        for view, n in views.items():
            if not 1 <= n <= MOST_NODES:
                raise ValueError(f"view {view!r} must have 1 to {MOST_NODES:,} nodes, got {n:,}")
            if view == ITEM_VIEW:
                raise ValueError(f"{ITEM_VIEW!r} is the view of the items themselves: give their number as items")
        return views

    @property
    def n_users(self) -> int:
        """Distinct users."""
        return self.users or max(1, self.clicks // CLICKS_PER_USER)

    @property
    def n_sequences(self) -> int:
        """Sequences that the clicks are cut into."""
        return max(1, round(self.clicks / self.sequence_length))

    @property
    def n_nodes(self) -> Mapping[str, int]:
        """Nodes of every view, the item view first."""
        return {ITEM_VIEW: self.items, **self.views}

    @property
    def n_edges(self) -> int:
        """Edges from the items to the nodes of one side view: one per item."""
        return self.items


def job_settings(
    settings: Settings, nodes: Mapping[str, int], clicks_per_user: float = CLICKS_PER_USER
) -> dict[str, Any]:
    """What a settings file says of a job: the fields of `Job` that it decides.

    Args:
        nodes: side view -> its nodes, which no settings file knows.
        clicks_per_user: the mean length of a history.

    Raises:
        ConfigError: the nodes of a view of the settings are not given.
    """
    unknown = [view for view in settings.views if view not in nodes]
    if unknown:
        which = f"view{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))}"
        example = ",".join(f"{view}=N" for view in settings.views)
        raise ConfigError(f"the settings have the {which}: say how many nodes there are, --views {example}")
    model = settings.model
    length = {"sequence_length": clicks_per_user} if model.sequences == "histories" else {}
    return length | {
        "dim": model.embedding_dim,
        "window": model.window,
        "negatives": model.negatives,
        "context": model.context,
        "epochs": settings.training.epochs,
        "storage": settings.sharding.storage,
    }


__all__ = ["CLICKS_PER_USER", "MOST_NODES", "Job", "Storage", "job_settings"]
