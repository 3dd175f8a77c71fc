"""Settings of the explorer page."""

from __future__ import annotations

from pydantic import Field

from prismrec.config import Section


class PageSettings(Section):
    """What the explorer page shows."""

    title: str = Field(
        default="", description="what the page calls the catalogue; the name of the data set where empty"
    )
    name_column: str = Field(
        default="", description="column of the item table that names an item; name, title, ... are found where empty"
    )
    map_items: int = Field(
        default=3000, ge=10, le=20_000, description="how many of the most popular items are on the map"
    )
    reach_queries: int = Field(
        default=1000, ge=10, le=20_000, description="how many visitors are drawn to see how far recommendations reach"
    )
    seed: int = Field(default=0, ge=0, description="of the map and of the visitors drawn")


__all__ = ["PageSettings"]
