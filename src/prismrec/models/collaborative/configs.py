"""The settings of the models that learn from who had what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prismrec.config import Section
from prismrec.models.neural.negatives import NegativeSettings


class MFConfig(Section):
    """Matrix factorisation with the BPR loss."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector")
    learning_rate: float = Field(0.003, gt=0, le=1, description="of Adam")
    batch_size: int = Field(4096, ge=1, description="interactions per step")
    l2: float = Field(1e-4, ge=0, description="weight of the squared vectors of a batch, per example")
    negatives: NegativeSettings = Field(
        default=NegativeSettings(), description="items that had ones are compared with, `[models.mf.negatives]`"
    )


class LightGCNConfig(Section):
    """LightGCN."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector")
    n_layers: int = Field(3, ge=1, le=8, description="propagations over the graph of users and items")
    loss: Literal["bpr", "sampled_softmax"] = Field(
        "sampled_softmax", description="what is made smaller; bpr is the paper's, and needs more epochs"
    )
    n_negatives: int = Field(1024, ge=1, le=65_536, description="items that a batch of sampled_softmax shares")
    temperature: float = Field(0.1, gt=0, le=10, description="of sampled_softmax: cosines are divided by it")
    learning_rate: float = Field(0.01, gt=0, le=1, description="of Adam")
    batch_size: int = Field(4096, ge=1, description="interactions per step")
    l2: float = Field(0.0, ge=0, description="weight of the squared vectors of a batch, per example; 1e-4 for bpr")


class NGCFConfig(Section):
    """NGCF."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector and layer; served are n_layers + 1")
    n_layers: int = Field(3, ge=1, le=8, description="propagations over the graph of users and items")
    message_dropout: float = Field(0.1, ge=0, lt=1, description="share of what a layer gives that is left out")
    node_dropout: float = Field(0.0, ge=0, lt=1, description="share of the nodes that send no messages in a step")
    learning_rate: float = Field(0.002, gt=0, le=1, description="of Adam")
    batch_size: int = Field(8192, ge=1, description="interactions per step")
    l2: float = Field(1e-4, ge=0, description="weight of the squared vectors of a batch, per example")


class PinSageConfig(Section):
    """PinSage."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector")
    n_layers: int = Field(2, ge=1, le=4, description="convolutions")
    n_neighbours: int = Field(20, ge=1, le=1000, description="most visited nodes that a node listens to")
    n_walks: int = Field(200, ge=1, le=10_000, description="random walks from each node")
    walk_length: int = Field(4, ge=1, le=100, description="steps of a walk")
    margin: float = Field(0.1, gt=0, description="by how much the score of an item had should lead")
    n_negatives: int = Field(500, ge=1, le=65_536, description="uniformly drawn items that a batch shares")
    n_hard: int = Field(2, ge=0, le=50, description="hard negatives per example, at most; one more in every epoch")
    hard_from: int = Field(20, ge=0, description="most visited items not had that are no hard negatives")
    learning_rate: float = Field(0.002, gt=0, le=1, description="of Adam")
    batch_size: int = Field(4096, ge=1, description="interactions per step")


__all__ = ["LightGCNConfig", "MFConfig", "NGCFConfig", "PinSageConfig"]
