"""The settings of the models that learn from a graph of users, items and their attributes."""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

from pydantic import Field, model_validator

from prismrec.config import Section
from prismrec.graphs.subgraphs import SubgraphSettings


class _WithHeads(Protocol):
    embedding_dim: int
    heads: int


_Config = TypeVar("_Config", bound=_WithHeads)


def _dim_in_heads(config: _Config) -> _Config:
    if config.embedding_dim % config.heads:
        raise ValueError(f"embedding_dim {config.embedding_dim} is not a multiple of heads {config.heads}")
    return config


class HIN2VecConfig(Section):
    """HIN2Vec: random walks and meta-paths."""

    embedding_dim: int = Field(64, ge=1, le=4096, description="numbers per vector")
    max_steps: int = Field(3, ge=2, le=8, description="relations of the longest meta-path")
    walk_length: int = Field(40, ge=2, description="nodes of a walk")
    walks_per_node: int = Field(2, ge=1, description="walks from every node in an epoch")
    walks_per_step: int = Field(128, ge=1, description="walks that are learned from at once")
    n_negatives: int = Field(5, ge=1, description="other nodes per pair")
    learning_rate: float = Field(0.01, gt=0, le=1, description="of Adam")


class HGTConfig(Section):
    """HGT."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector; a multiple of heads")
    layers: int = Field(2, ge=1, le=8, description="layers of attention")
    heads: int = Field(2, ge=1, le=64, description="attention heads of a layer")
    hidden_share: float = Field(
        0.3, ge=0, le=1, description="share of a sub-graph's clicks that are predicted from the others; 0: all from all"
    )
    loss: Literal["softmax", "bpr"] = Field("softmax", description="against all items of the sub-graph, or one")
    temperature: float = Field(0.15, gt=0, le=100, description="by which the products of unit vectors are divided")
    learning_rate: float = Field(0.01, gt=0, le=1, description="of Adam")
    subgraph: SubgraphSettings = Field(
        default=SubgraphSettings(sampling="random"), description="what a step learns from, `[models.hgt.subgraph]`"
    )

    _heads = model_validator(mode="after")(_dim_in_heads)


class MTHGTConfig(Section):
    """MTHGT."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector; a multiple of heads")
    layers: int = Field(2, ge=1, le=8, description="layers of attention")
    heads: int = Field(2, ge=1, le=64, description="attention heads of a layer")
    tasks: Literal["both", "recommendation"] = Field(
        "both", description="both: link prediction over all relations too, a mixture of experts, learned weights"
    )
    shared_layers: bool = Field(False, description="one graph network for both tasks instead of one for each")
    experts: int = Field(4, ge=1, le=64, description="experts of the mixture")
    hidden_share: float = Field(
        0.3, ge=0, le=1, description="share of a sub-graph's edges that are predicted from the others; 0: all from all"
    )
    loss: Literal["softmax", "bpr"] = Field("softmax", description="against all nodes of the sub-graph, or one")
    temperature: float = Field(0.15, gt=0, le=100, description="by which the products of unit vectors are divided")
    learning_rate: float = Field(0.01, gt=0, le=1, description="of Adam")
    subgraph: SubgraphSettings = Field(
        default=SubgraphSettings(), description="what a step learns from, `[models.mthgt.subgraph]`"
    )

    _heads = model_validator(mode="after")(_dim_in_heads)


__all__ = ["HGTConfig", "HIN2VecConfig", "MTHGTConfig"]
