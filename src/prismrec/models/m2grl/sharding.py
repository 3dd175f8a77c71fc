"""Settings of training on several processes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prismrec.config import Section


class ShardingSettings(Section):
    """How many processes train, where their rows lie, and what happens when one of them is lost."""

    processes: int = Field(default=1, ge=1, le=1024, description="processes that train together on this machine")
    anchors_per_update: int = Field(
        default=2048,
        ge=1,
        description="anchors of all processes together whose steps are added up before the next see them (torch)",
    )
    storage: Literal["fp32", "fp16", "bf16"] = Field(
        default="fp32", description="how sharded rows are kept; accumulators and all arithmetic stay fp32"
    )
    placement: Literal["device", "host", "cached"] = Field(
        default="device",
        description="where sharded rows lie: with the device, in main memory, or there with a cache on the device",
    )
    cache_share: float = Field(
        default=0.2, gt=0, le=1, description="share of the rows that the device cache holds, for placement = cached"
    )
    restarts: int = Field(
        default=3, ge=0, description="how often a lost process makes all start again from the last checkpoint"
    )
    timeout_seconds: float = Field(
        default=600.0, gt=0, description="seconds that a process waits for another one before it gives up"
    )


__all__ = ["ShardingSettings"]
