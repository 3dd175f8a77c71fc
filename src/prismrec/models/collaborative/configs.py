"""The settings of the models that learn from who had what."""

from __future__ import annotations

from pydantic import Field

from prismrec.config import Section


class MFConfig(Section):
    """Matrix factorisation with the BPR loss."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector")
    learning_rate: float = Field(0.003, gt=0, le=1, description="of Adam")
    batch_size: int = Field(4096, ge=1, description="interactions per step")
    l2: float = Field(1e-4, ge=0, description="weight of the squared vectors of a batch, per example")


class LightGCNConfig(Section):
    """LightGCN."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector")
    n_layers: int = Field(3, ge=1, le=8, description="propagations over the graph of users and items")
    learning_rate: float = Field(0.005, gt=0, le=1, description="of Adam")
    batch_size: int = Field(4096, ge=1, description="interactions per step")
    l2: float = Field(1e-4, ge=0, description="weight of the squared vectors of a batch, per example")


class NGCFConfig(Section):
    """NGCF."""

    embedding_dim: int = Field(64, ge=1, le=1024, description="numbers per vector and layer; served are n_layers + 1")
    n_layers: int = Field(3, ge=1, le=8, description="propagations over the graph of users and items")
    message_dropout: float = Field(0.1, ge=0, lt=1, description="share of what a layer gives that is left out")
    node_dropout: float = Field(0.0, ge=0, lt=1, description="share of the nodes that send no messages in a step")
    learning_rate: float = Field(0.001, gt=0, le=1, description="of Adam")
    batch_size: int = Field(4096, ge=1, description="interactions per step")
    l2: float = Field(1e-4, ge=0, description="weight of the squared vectors of a batch, per example")


class PinSageConfig(Section):
    """PinSage."""


__all__ = ["LightGCNConfig", "MFConfig", "NGCFConfig", "PinSageConfig"]
