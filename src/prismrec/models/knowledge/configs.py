"""The settings of the models that learn from a knowledge graph."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prismrec.config import Section

TranslationName = Literal["transe", "transh", "transr", "transd", "rescal", "distmult", "complex"]


class LinkModelConfig(Section):
    """What all models share that learn which triples are true: see `translation`."""

    embedding_dim: int = Field(100, ge=2, le=4096, description="real numbers per entity")
    loss: Literal["softmax", "self_adversarial", "logistic", "margin"] = Field(
        "softmax", description="what is made smaller; see link_losses"
    )
    margin: float = Field(6.0, gt=0, description="of margin and self_adversarial: by how much true triples lead")
    temperature: float = Field(1.0, ge=0, description="of self_adversarial: how much the hardest negatives count")
    n_negatives: int = Field(512, ge=1, description="entities that the triples of a batch share, per side")
    corruption: Literal["bernoulli", "uniform", "both"] = Field(
        "both", description="which end is replaced: each, one by a coin, or one by the relation's own odds"
    )
    type_constrained: bool = Field(
        False, description="replace an end only by entities that the relation has on that side"
    )
    optimizer: Literal["adagrad", "adam"] = Field("adagrad", description="of the rows that a batch touches")
    learning_rate: float = Field(0.1, gt=0, le=10, description="of the optimizer")
    batch_size: int = Field(512, ge=1, description="triples per step")
    l3: float = Field(0.0, ge=0, description="weight of the cubed vectors of a batch, per triple")


class TranslationConfig(LinkModelConfig):
    """Models whose scores are distances."""

    distance: Literal["squared", "euclidean"] = Field(
        "squared", description="minus what is a score: the squared distance, or the distance"
    )


class TransEConfig(TranslationConfig):
    """TransE."""


class TransHConfig(TranslationConfig):
    """TransH."""


class TransRConfig(TranslationConfig):
    """TransR."""


class TransDConfig(TranslationConfig):
    """TransD."""


class RESCALConfig(LinkModelConfig):
    """RESCAL."""


class DistMultConfig(LinkModelConfig):
    """DistMult."""


class ComplExConfig(LinkModelConfig):
    """ComplEx."""


__all__ = [
    "ComplExConfig",
    "DistMultConfig",
    "LinkModelConfig",
    "RESCALConfig",
    "TransDConfig",
    "TransEConfig",
    "TransHConfig",
    "TransRConfig",
    "TranslationConfig",
    "TranslationName",
]
