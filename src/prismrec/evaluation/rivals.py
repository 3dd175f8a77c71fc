"""How models in torch learn where they are compared with M2GRL, whose `[training]` is not meant for them."""

from __future__ import annotations

from pydantic import Field

from prismrec.config import Section


class RivalSettings(Section):
    """Training of models in torch in a comparison whose `algorithm` is m2grl; else `[training]` is theirs."""

    epochs: int = Field(default=100, ge=1, description="passes over the training data, at most")
    patience: int = Field(default=5, ge=1, description="stop after so many epochs without better validation")
    validate_every: int = Field(default=1, ge=1, description="epochs between validations")


__all__ = ["RivalSettings"]
