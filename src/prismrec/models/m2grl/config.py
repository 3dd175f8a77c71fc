"""The settings of M2GRL."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from prismrec.config import Section


class M2GRLConfig(Section):
    """What is learned; how long and how fast is `prismrec.training.TrainingSettings`."""

    sequences: Literal["sessions", "histories"] = Field(
        "sessions", description="learn from sessions, or from each user's whole history where sessions are too short"
    )
    embedding_dim: int = Field(64, ge=2, le=1024, description="numbers per vector, the same in every view")
    window: int = Field(
        5,
        ge=1,
        le=100,
        description="contexts lie 1..window steps away; each anchor draws its own reach, so near ones count more",
    )
    context: Literal["forward", "symmetric"] = Field(
        "forward", description="forward: an anchor predicts what comes after it; symmetric: what is around it"
    )
    negatives: int = Field(10, ge=1, le=100, description="negatives per anchor, shared by its contexts")
    negative_power: float = Field(0.5, ge=0, le=2, description="negatives are drawn by count^power; 0 is uniform")
    hard_negatives: float = Field(
        0.0, ge=0, le=1, description="share of item negatives drawn within the anchor's own node of `hard_view`"
    )
    hard_view: str = Field("", description="the view whose nodes group the hard negatives, e.g. category")
    popularity_offset: bool = Field(
        True, description="popularity explains itself: the vectors learn only what it leaves over (noise-contrastive)"
    )
    alignment: bool = Field(True, description="learn the inter-view tasks: items beside the nodes of each side view")
    task_weights: Literal["uncertainty", "equal", "fixed"] = Field(
        "uncertainty", description="how tasks are weighed: learned, all alike, or as in fixed_weights"
    )
    fixed_weights: dict[str, float] = Field(
        default_factory=dict, description="task name -> weight, for task_weights = fixed; e.g. {item = 1.0}"
    )

    @model_validator(mode="after")
    def _consistent(self) -> M2GRLConfig:
        if self.hard_negatives > 0 and not self.hard_view:
            raise ValueError("hard_negatives needs hard_view, the view whose nodes group the items")
        if (self.task_weights == "fixed") != bool(self.fixed_weights):
            raise ValueError("fixed_weights go with task_weights = fixed, and only with it")
        if any(not (0 <= w < float("inf")) for w in self.fixed_weights.values()):
            raise ValueError("fixed_weights must be finite and not negative")
        return self


__all__ = ["M2GRLConfig"]
