"""What is asked of a `Retriever`: history, weights, filters, diversity. Ids are external, as in the user's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, StrictBool, StrictInt, StrictStr, model_validator

from prismrec.config import Section
from prismrec.retrieval.blend import QuerySettings, Similarity

Value = StrictBool | StrictInt | Annotated[FiniteFloat, Field(strict=True)] | StrictStr
"""A value of a column, or the id of a view's node, as JSON has it."""

Number = StrictInt | Annotated[FiniteFloat, Field(strict=True)]


class Condition(Section):
    """What one view or item column must be like; everything given must hold.

    On a list-valued column or a view with several nodes per item, `any_of` asks for at least one of the values and
    `none_of` for none of them. A missing value meets `none_of` alone.
    """

    any_of: tuple[Value, ...] | None = Field(default=None, description="only items with one of these values")
    none_of: tuple[Value, ...] = Field(default=(), description="no item with one of these values")
    min: Number | StrictStr | None = Field(default=None, description="at least this: a number, or an ISO date or time")
    max: Number | StrictStr | None = Field(default=None, description="at most this: a number, or an ISO date or time")


class Filters(Section):
    """Which items may be answered; everything given must hold."""

    where: dict[str, Condition] = Field(
        default_factory=dict, description="conditions by name of a view or of a column of the item table"
    )
    allow: tuple[Any, ...] | None = Field(default=None, description="only these item ids; all where left out")
    block: tuple[Any, ...] = Field(default=(), description="none of these item ids")


class Diversity(Section):
    """How much a list may give up of its scores to spread over what it shows.

    `level` is the one knob: 0 ranks by score alone, 1 by unlikeness alone; `docs/serving.md` says what lies between.
    """

    level: float = Field(default=0.0, ge=0, le=1, description="0 = by score alone, 1 = by unlikeness alone")
    method: Literal["mmr", "dpp"] = Field(
        default="dpp",
        description="mmr: each next item is weighed against the most similar one before it; dpp: against all of them",
    )
    views: dict[str, Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="weight of each view in likeness; all side views alike where left out"
    )
    quotas: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="at most this many items per value of a view, such as shop = 3"
    )
    pool: int = Field(default=0, ge=0, description="how many of the best candidates are weighed; 0 = chosen from k")


@dataclass(frozen=True)
class Request:
    """One query.

    Attributes:
        history: item ids in time order, the latest last; unknown ones are reported in the answer.
        user: id of the user, for a bundle whose encoder knows users; one that it does not know is as good as None.
        k: how many items; fewer come only where fewer match.
        query: how the history becomes a query; the bundle's own settings where None.
        weights: view weights of this request, negative to push away; those of `query` where None.
        exclude_seen: leave out the items of the history.
        filters: which items may be answered.
        diversity: how the list is spread.
        preferences: view name -> ids of its nodes that a user likes: one more item of the history, older than all of
            it; for a bundle with an encoder only where neither history nor user is known.
        explain: say for every item where its score comes from.
    """

    history: tuple[Any, ...] = ()
    k: int = 20
    query: QuerySettings | None = None
    weights: Mapping[str, float] | None = None
    exclude_seen: bool = True
    filters: Filters = field(default_factory=Filters)
    diversity: Diversity = field(default_factory=Diversity)
    preferences: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    explain: bool = False
    user: Any = None


@dataclass(frozen=True)
class SimilarRequest:
    """Items near one item.

    Attributes:
        item_id: whose neighbours; itself is left out.
        k, weights, filters, diversity, explain: as in `Request`; without weights the item view alone decides.
        similarity: "source_target": what goes with it or comes after it; "cosine": what is used like it. Where None,
            "cosine" for a bundle with an encoder, whose vectors were not trained to find pairs, else "source_target".
    """

    item_id: Any
    k: int = 20
    weights: Mapping[str, float] | None = None
    similarity: Similarity | None = None
    filters: Filters = field(default_factory=Filters)
    diversity: Diversity = field(default_factory=Diversity)
    explain: bool = False


class NewItem(Section):
    """An item that the bundle does not hold, or whose columns changed: placed by its nodes in the side views."""

    item_id: Any = Field(description="its id, of the type that the bundle's ids have")
    views: dict[str, tuple[Value, ...]] = Field(
        default_factory=dict, description="view name -> ids of its nodes there, such as category = ['cheese']"
    )
    columns: dict[str, Any] = Field(default_factory=dict, description="its row of the item table: name, price, ...")

    @model_validator(mode="before")
    @classmethod
    def _single_nodes(cls, values: Any) -> Any:
        """`category = "cheese"` is short for a list of one."""
        if not isinstance(values, Mapping) or not isinstance(values.get("views"), Mapping):
            return values
        views = {name: (v if isinstance(v, list | tuple) else [v]) for name, v in values["views"].items()}
        return {**values, "views": views}


__all__ = ["Condition", "Diversity", "Filters", "NewItem", "Number", "Request", "SimilarRequest", "Value"]
