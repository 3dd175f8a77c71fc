"""How articles are read: which columns they are in, how names in titles become entities, how much is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prismrec.config import Section


class NewsSettings(Section):
    """What of the item table is a title, and what is known of the entities in it."""

    title: str = Field("title", min_length=1, description="column of the item table with the title of an article")
    annotations: str = Field(
        "annotations", description="column with the entities of a title, `id:name;id:name`; empty: none are given"
    )
    linking: Literal["given", "dictionary", "both"] = Field(
        "both",
        description="which entities a title has: those given; those found by the names of entities; these where "
        "none are given",
    )
    min_link_share: float = Field(
        0.3, ge=0, le=1, description="share of a name's occurrences that must mean an entity, for it to be found"
    )
    context_weight: float = Field(
        0.1, ge=0, description="weight of the title's other words, beside popularity, where a name has several meanings"
    )
    max_words: int = Field(20, ge=1, le=512, description="words of a title that are read, from its beginning")
    min_word_count: int = Field(2, ge=1, description="titles that a word must be in to be known")
    min_entity_count: int = Field(1, ge=1, description="titles that an entity must be in to be known")


__all__ = ["NewsSettings"]
