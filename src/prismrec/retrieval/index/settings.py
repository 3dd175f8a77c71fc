"""How the index over the items is built: the `[index]` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prismrec.config import Section

IndexKind = Literal["exact", "scan", "ivf", "hnsw"]


class IndexSettings(Section):
    """Which index finds the best items, and how thoroughly. Scores are exact with all of them."""

    kind: Literal["auto", "exact", "scan", "ivf", "hnsw"] = Field(
        default="auto",
        description="exact: every item; scan: every item's 4-bit code; ivf: lists around centroids; hnsw: a graph; "
        "auto: exact for small catalogues, else scan, and exact where that finds too few",
    )
    exact_below: int = Field(default=50_000, ge=0, description="catalogues of fewer items are searched exactly by auto")
    over_fetch: int = Field(default=4, ge=1, description="candidates that are scored exactly, per item asked for")
    n_lists: int = Field(default=0, ge=0, description="ivf: lists; 0 = 4 times the square root of the number of items")
    n_probes: int = Field(default=64, ge=1, description="ivf: lists that a query looks into")
    n_links: int = Field(default=16, ge=2, description="hnsw: neighbours of an item in the graph")
    build_effort: int = Field(default=80, ge=1, description="hnsw: candidates in sight while links are chosen")
    search_effort: int = Field(default=256, ge=1, description="hnsw: candidates in sight of a query")
    recall_floor: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="share of the 50 best that must be found under each of several view weightings",
    )
    seed: int = Field(default=0, ge=0, description="seed of samples, centroids and measured queries")


__all__ = ["IndexKind", "IndexSettings"]
