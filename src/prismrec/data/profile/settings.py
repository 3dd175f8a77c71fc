"""The thresholds of a profile."""

from __future__ import annotations

from pydantic import Field

from prismrec.config import Section
from prismrec.data.profile.steps import StepSettings


class ProfileSettings(Section):
    """What counts as a session, a suspicion or a risk."""

    session_gap_minutes: float = Field(
        default=30.0, gt=0, description="a pause this long starts a new session (minutes)"
    )
    top: int = Field(default=10, ge=1, description="how many users, items and suspects are named")
    bot_min_interactions: int = Field(
        default=100, ge=2, description="users with fewer interactions are never suspected"
    )
    bot_per_hour: int = Field(
        default=600, ge=1, description="fast: this many interactions in one clock hour, one in 6 s"
    )
    bot_gap_variation: float = Field(
        default=0.1, ge=0, description="regular: deviation over mean of the pauses, at most this"
    )
    bot_distinct_share: float = Field(
        default=0.02, ge=0, le=1, description="repetitive: distinct items over interactions"
    )
    bot_catalogue_share: float = Field(
        default=0.5, gt=0, le=1, description="crawling: share of all items one user has seen"
    )
    late_share: float = Field(
        default=0.1, gt=0, lt=1, description="the last share of the interactions that counts as the end"
    )
    batch_rows: int = Field(
        default=1000, ge=2, description="this many rows of several users at one instant are an import"
    )
    derived_correlation: float = Field(
        default=0.9, gt=0, le=1, description="rank correlation that makes a column suspicious"
    )
    steps: StepSettings = Field(default=StepSettings(), description="what steps before training would leave out")


__all__ = ["ProfileSettings"]
