"""What a client may send, checked on the way in; every field says what it means, and so the OpenAPI document does.

Bodies are read in pydantic's strict JSON mode: "20" is no number and 1 is no truth value. Bounds that are settings
stand at their fields as `Limit(name)`: checking looks them up in the `LimitSettings` that come as validation context,
and the OpenAPI document shows their values (`openapi`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    PlainValidator,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from prismrec.retrieval.blend import Similarity
from prismrec.retrieval.request import Condition, Diversity, Filters, NewItem, Value
from prismrec.serving.settings import LimitSettings

LEAST_ID, LARGEST_ID = -(2**63), 2**64 - 1
"""What a 64-bit id column can hold, signed or unsigned."""

LIMIT_MARK = "x-limit"
"""Key in a JSON schema that stands for a bound of the settings."""

_DEFAULTS = LimitSettings()
_NO_FILTERS = Filters()


@dataclass(frozen=True)
class Limit:
    """The bound of a field, one of `LimitSettings`: of a number itself, or of the length of text, list or object."""

    name: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the bound after everything else."""
        return core_schema.with_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Mark where the bound belongs."""
        return {**handler(schema), LIMIT_MARK: self.name}

    def _checked(self, value: Any, info: ValidationInfo) -> Any:
        size = value if isinstance(value, int) else len(value)
        _check_size(size, self.name, info)
        return value


def _check_size(size: int, name: str, info: ValidationInfo) -> None:
    bound = getattr(info.context or _DEFAULTS, name)
    if size > bound:
        message = "{size} is more than this server takes: limits.{name} is {bound}"
        raise PydanticCustomError("limit", message, {"size": size, "name": name, "bound": bound})


def _checked_id(value: Any, info: ValidationInfo) -> int | str:
    """One function for both kinds: a union would tell of each kind why it did not fit."""
    if type(value) is str:
        _check_size(len(value), "text_length", info)
        return value
    if type(value) is not int or not LEAST_ID <= value <= LARGEST_ID:
        raise PydanticCustomError("id", "an id is text or an integer of 64 bits")
    return value


_TEXT = {"type": "string", LIMIT_MARK: "text_length"}
_ID_SCHEMA = {"anyOf": [{"type": "integer", "minimum": LEAST_ID, "maximum": LARGEST_ID}, _TEXT]}

Id = Annotated[int | str, PlainValidator(_checked_id), WithJsonSchema(_ID_SCHEMA)]
"""An id as JSON has it. Text is read as the type that the ids have: "123" finds item 123."""

Name = Annotated[str, Limit("text_length")]
Weights = Annotated[dict[Name, FiniteFloat], Limit("conditions")]
Nodes = Annotated[tuple[Value, ...], Limit("filter_values")]


class Body(BaseModel):
    """Base of all bodies: nothing unknown in them."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConditionBody(Condition):
    """What one view or item column must be like."""

    any_of: Nodes | None = Field(default=None, description="only items with one of these values")
    none_of: Nodes = Field(default=(), description="no item with one of these values")


class FilterBody(Body):
    """Which items may be answered; everything given must hold."""

    where: Annotated[dict[Name, ConditionBody], Limit("conditions")] = Field(
        default_factory=dict, description="conditions by name of a view or of a column of the item table"
    )
    allow: Annotated[tuple[Id, ...], Limit("filter_values")] | None = Field(
        default=None, description="only these item ids; all where left out"
    )
    block: Annotated[tuple[Id, ...], Limit("filter_values")] = Field(default=(), description="none of these item ids")


class DiversityBody(Diversity):
    """How much a list may give up of its scores to spread over what it shows."""

    views: Annotated[dict[Name, Annotated[FiniteFloat, Field(ge=0)]], Limit("conditions")] | None = Field(
        default=None, description="weight of each view in likeness; all side views alike where left out"
    )
    quotas: Annotated[dict[Name, Annotated[int, Field(ge=1)]], Limit("conditions")] = Field(
        default_factory=dict, description='at most this many items per value of a view: {"shop": 3}'
    )
    pool: Annotated[int, Field(ge=0), Limit("pool")] = Field(
        default=0, description="how many of the best candidates are weighed; 0 = chosen from k"
    )


def _kind(value: Any) -> str:
    return "all" if isinstance(value, Mapping | Diversity) else "level"


Spread = Annotated[
    Annotated[float, Field(ge=0, le=1), Tag("level")] | Annotated[DiversityBody, Tag("all")], Discriminator(_kind)
]


class Question(Body):
    """What recommendations and similar items have in common."""

    k: Annotated[int, Field(ge=1), Limit("k")] = Field(
        default=20, description="how many items; fewer come only where fewer match"
    )
    weights: Weights | None = Field(
        default=None,
        description='weight of each view, negative to push away: {"item": 1, "shop": -0.2}; refused where the model '
        "encodes histories",
    )
    filters: FilterBody | None = Field(default=None, description="which items may be answered; all where left out")
    diversity: Spread = Field(
        default=0.0, description="0 = by score alone .. 1 = by unlikeness alone; or an object that says how"
    )
    explain: bool = Field(default=False, description="say for every item where its score comes from")
    text_ids: bool = Field(
        default=False, description="all ids of the answer as text: JavaScript rounds integers beyond 2^53"
    )

    def filters_for(self, parsed: Any) -> Filters:
        """The filters, with ids as `parsed` turns them out."""
        if self.filters is None:
            return _NO_FILTERS
        allow = None if self.filters.allow is None else tuple(map(parsed, self.filters.allow))
        block = tuple(map(parsed, self.filters.block))
        return Filters.model_construct(where=dict(self.filters.where), allow=allow, block=block)

    @property
    def spread(self) -> Diversity:
        """The diversity in full, whichever way it was given."""
        return self.diversity if isinstance(self.diversity, Diversity) else Diversity(level=self.diversity)


class Recommend(Question):
    """What comes next for a user: by stored history, by the history given here, or by both, in this order."""

    user_id: Id | None = Field(
        default=None,
        description="whose stored history (see /v1/events) comes first; a model that knows users asks for them too",
    )
    history: Annotated[tuple[Id, ...], Limit("history")] = Field(
        default=(), description="item ids in time order, the latest last; unknown ones are named in the answer"
    )
    exclude_seen: bool = Field(default=True, description="leave out the items of the history")
    preferences: Annotated[dict[Name, Nodes], Limit("conditions")] = Field(
        default_factory=dict, description='nodes of views that the user likes: {"category": ["cheese"]}'
    )
    recency_decay: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="weight of an item relative to the one after it; 1 = all alike. Where the model encodes histories: "
        "of the bonus for repeats",
    )
    history_length: Annotated[int, Field(ge=1), Limit("history")] | None = Field(
        default=None,
        description="how many of the latest items form the query; where the model encodes histories: the bonus for "
        "repeats",
    )
    popularity_weight: FiniteFloat | None = Field(default=None, description="weight of the popularity prior")


class Similar(Question):
    """Items near one item; without weights the item view alone decides."""

    item_id: Id = Field(description="whose neighbours; itself is left out")
    similarity: Similarity | None = Field(
        default=None,
        description="source_target: what goes with it or after it; cosine: what is used like it; where left out, "
        "cosine for models that encode histories, source_target for others",
    )


class Item(Body):
    """An item to add, or what changed about one."""

    item_id: Id = Field(description="its id, of the type that the bundle's ids have, or as text")
    views: Annotated[dict[Name, Nodes], Limit("conditions")] = Field(
        default_factory=dict, description='its nodes in the side views: {"category": ["cheese"]}'
    )
    columns: dict[Name, JsonValue] = Field(
        default_factory=dict, description="its row of the item table: name, price, ...; views follow from it"
    )

    def new_item(self, parsed: Any) -> NewItem:
        """The item as the retriever takes it, its id as `parsed` turns it out."""
        return NewItem.model_construct(item_id=parsed(self.item_id), views=dict(self.views), columns=dict(self.columns))


class Event(Body):
    """A user met an item: viewed, bought, played."""

    user_id: Id = Field(description='who; 7 and "7" are two users')
    item_id: Id = Field(description="what; items that are not known yet are kept for the day they are")
    timestamp: Annotated[FiniteFloat, Field(ge=-1e10, le=1e11)] | None = Field(
        default=None, description="when, in seconds since 1970 UTC; now where left out"
    )
    event_id: Annotated[str, Field(min_length=1), Limit("text_length")] | None = Field(
        default=None, description="the same event sent again with this name is stored once: makes retries safe"
    )


class RecommendBatch(Body):
    """Several at once, answered in their order."""

    requests: Annotated[tuple[Recommend, ...], Field(min_length=1), Limit("batch")]


class SimilarBatch(Body):
    """Several at once, answered in their order."""

    requests: Annotated[tuple[Similar, ...], Field(min_length=1), Limit("batch")]


class ItemBatch(Body):
    """Several at once: all are taken, or none is."""

    items: Annotated[tuple[Item, ...], Field(min_length=1), Limit("batch")]


class EventBatch(Body):
    """Several at once: all are stored, or none is."""

    events: Annotated[tuple[Event, ...], Field(min_length=1), Limit("batch")]


def _one_or_many(value: Any) -> Literal["one", "many"]:
    many = isinstance(value, Mapping) and not value.keys().isdisjoint(("requests", "items", "events"))
    return "many" if many or isinstance(value, RecommendBatch | SimilarBatch | ItemBatch | EventBatch) else "one"


_CHOICE = Discriminator(_one_or_many)
RecommendBody = Annotated[Annotated[Recommend, Tag("one")] | Annotated[RecommendBatch, Tag("many")], _CHOICE]
SimilarBody = Annotated[Annotated[Similar, Tag("one")] | Annotated[SimilarBatch, Tag("many")], _CHOICE]
ItemBody = Annotated[Annotated[Item, Tag("one")] | Annotated[ItemBatch, Tag("many")], _CHOICE]
EventBody = Annotated[Annotated[Event, Tag("one")] | Annotated[EventBatch, Tag("many")], _CHOICE]

__all__ = [
    "LARGEST_ID", "LEAST_ID", "LIMIT_MARK", "Event", "EventBatch", "EventBody", "Id", "Item", "ItemBatch", "ItemBody",
    "Limit", "Question", "Recommend", "RecommendBatch", "RecommendBody", "Similar", "SimilarBatch", "SimilarBody",
]  # fmt: skip
