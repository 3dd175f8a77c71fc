"""The settings of the models that read histories in their order."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from prismrec.config import Section

LossName = Literal["softmax", "bce"]
"""Losses of the models that learn at every place of a history, see `next_item`."""

_N_NEGATIVES = "items that a step draws for its softmax; a catalogue of no more is taken whole, as any is with 0"


class MAGNNWindows(Section):
    """How MA-GNN cuts histories into windows."""

    near: int = Field(5, ge=1, le=100, description="|L|: items that are the short-term interest")
    far: int = Field(30, ge=1, le=2000, description="items before these that are the long-term interest")
    targets: int = Field(1, ge=1, le=20, description="|T|: next items that a window predicts")
    stride: int = Field(3, ge=1, le=100, description="epochs in which each place of each history comes once")


class MAGNNParts(Section):
    """Which parts of MA-GNN are there: all of them are the paper's model, each can be left out."""

    interests: Literal["both", "short", "long"] = Field("both", description="which interests are fused")
    memory: bool = Field(True, description="the memory of the long-term interest; else its query alone")
    gate: bool = Field(True, description="fuse the interests by a gate; else by their mean")
    bilinear: bool = Field(True, description="the co-occurrence term")
    graph: bool = Field(True, description="neighbours in the item graph; else the items themselves")
    user: bool = Field(True, description="the matrix factorisation term")
    recency: Literal["equal", "learned"] = Field(
        "learned", description="how the near items are averaged: alike (the paper), or weighed by a weight per age"
    )


class MAGNNConfig(Section):
    """MA-GNN."""

    embedding_dim: int = Field(64, ge=2, le=1024, description="numbers per vector")
    heads: int = Field(4, ge=1, le=64, description="dimensions of the attention over the far items")
    memory_slots: int = Field(20, ge=1, le=4096, description="latent interests in the memory that users share")
    neighbours: int = Field(0, ge=0, description="edges kept per item of the graph, the heaviest; 0 keeps all")
    windows: MAGNNWindows = Field(MAGNNWindows(), description="what a window holds")
    parts: MAGNNParts = Field(MAGNNParts(), description="what is left out")
    loss: Literal["softmax", "bpr"] = Field("softmax", description="what is made smaller; bpr is the paper's")
    n_negatives: int = Field(4096, ge=0, description=_N_NEGATIVES)
    learning_rate: float = Field(0.003, gt=0, le=1, description="of Adam")
    batch_size: int = Field(1024, ge=1, description="windows per step")
    l2: float = Field(1e-6, ge=0, description="weight of the squares of all that is learned")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="share of the numbers of items and users that a step leaves out"
    )


class SASRecConfig(Section):
    """SASRec: causal self-attention."""

    embedding_dim: int = Field(64, ge=1, le=4096, description="numbers per vector")
    n_blocks: int = Field(2, ge=1, le=64, description="blocks of attention and feed-forward network")
    n_heads: int = Field(1, ge=1, description="attention heads; they divide embedding_dim")
    max_length: int = Field(200, ge=1, description="latest items of a history that are read, and those of a piece")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of numbers that a step leaves out")
    loss: LossName = Field("softmax", description="what is made smaller; bce is the paper's")
    n_negatives: int = Field(4096, ge=0, description=_N_NEGATIVES)
    learning_rate: float = Field(0.002, gt=0, le=1, description="of Adam")
    batch_places: int = Field(4096, ge=1, description="places of histories per step, at least max_length")

    @model_validator(mode="after")
    def _heads_divide(self) -> SASRecConfig:
        if self.embedding_dim % self.n_heads:
            raise ValueError(f"embedding_dim = {self.embedding_dim} is not a multiple of n_heads = {self.n_heads}")
        return self


class GRU4RecConfig(Section):
    """GRU4Rec: a recurrent network."""

    embedding_dim: int = Field(64, ge=1, le=4096, description="numbers per item vector")
    hidden_dim: int = Field(128, ge=1, le=4096, description="numbers of the recurrent state")
    n_layers: int = Field(1, ge=1, le=16, description="recurrent layers")
    max_length: int = Field(200, ge=1, description="latest items of a history that are read, and those of a piece")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of numbers that a step leaves out")
    loss: LossName = Field("softmax", description="what is made smaller; bce has one negative")
    n_negatives: int = Field(4096, ge=0, description=_N_NEGATIVES)
    learning_rate: float = Field(0.002, gt=0, le=1, description="of Adam")
    batch_places: int = Field(4096, ge=1, description="places of histories per step, at least max_length")


class HGNConfig(Section):
    """HGN: feature gating, instance gating and item-item products."""

    embedding_dim: int = Field(64, ge=1, le=4096, description="numbers per vector")
    window: int = Field(5, ge=1, description="latest items that are read, |L|")
    targets: int = Field(3, ge=1, description="following items that are learned from each window, |T|")
    pooling: Literal["mean", "max"] = Field("mean", description="how the gated items of a window become one vector")
    learning_rate: float = Field(0.003, gt=0, le=1, description="of Adam")
    batch_size: int = Field(4096, ge=1, description="windows per step")
    l2: float = Field(1e-4, ge=0, description="weight of the squared vectors and weights of a batch, per example")


__all__ = ["GRU4RecConfig", "HGNConfig", "LossName", "MAGNNConfig", "MAGNNParts", "MAGNNWindows", "SASRecConfig"]
