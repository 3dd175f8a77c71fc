"""How the index over the items is built: the `[index]` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prismrec.config import Section

IndexKind = Literal["exact", "ivf", "hnsw"]


class IndexSettings(Section):
    """Which index finds the best items, and how thoroughly."""

    kind: Literal["auto", "exact", "ivf", "hnsw"] = Field(
        default="auto", description="auto: exact for small catalogues, else ivf with as many probes as recall needs"
    )
    exact_below: int = Field(default=50_000, ge=0, description="catalogues of fewer items are searched exactly by auto")
    n_lists: int = Field(default=0, ge=0, description="ivf: lists; 0 = 4 times the square root of the number of items")
    n_probes: int = Field(default=16, ge=1, description="ivf: lists that a query looks into")
    codes: Literal["4bit", "8bit", "16bit"] = Field(
        default="4bit",
        description="bits per number while candidates are found (hnsw: 8 at least); scores are exact all the same",
    )
    n_links: int = Field(default=16, ge=2, description="hnsw: neighbours of an item in the graph")
    build_effort: int = Field(default=80, ge=1, description="hnsw: candidates in sight while links are chosen")
    search_effort: int = Field(default=128, ge=1, description="hnsw: candidates in sight of a query")
    over_fetch: int = Field(default=4, ge=1, description="candidates that are scored exactly, per item asked for")
    recall_floor: float = Field(
        default=0.95, ge=0, le=1, description="share of the 50 best that must be found, under every view weighting"
    )
    seed: int = Field(default=0, ge=0, description="seed of centroids, codes and measured queries")


__all__ = ["IndexKind", "IndexSettings"]
