"""Answers as JSON: their shape for the OpenAPI document, and the plain values that are sent.

The values are built by hand and written by pydantic's encoder; making models of them first would cost more than
finding the items. The tests hold the two to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, Field

from prismrec.retrieval.answers import ExplainedPath, Explanation, ListReport, Recommendation
from prismrec.retrieval.retriever import ItemCard
from prismrec.serving.http.failures import ErrorDetail
from prismrec.serving.releases.record import Record
from prismrec.serving.releases.releases import Release
from prismrec.serving.service import Answered

_EXACT = 2**53
"""From here on JavaScript and others who keep numbers as doubles round integers."""

Identity = Callable[[Any], Any]


class PathDocument(BaseModel):
    """A walk through the knowledge graph that the model learned from."""

    entities: list[str] = Field(description="labels of what it passes, an item of the history first")
    item_ids: list[int | str | None] = Field(description="the item id of each of these, null for what is no item")
    relations: list[str] = Field(description="what leads from each to the next: one fewer")
    weight: float = Field(description="share of the model's attention that lies on it, from 0 to 1")


class ExplanationDocument(BaseModel):
    """The parts of a score; together they are the score."""

    views: dict[str, float] = Field(description="share of each view")
    popularity: float = Field(description="share of the popularity prior")
    repeat: float = Field(description="the bonus for having been in the history")
    history: list[tuple[int | str, float]] = Field(
        description="what each item of the history adds, strongest first; where the model encodes histories, by how "
        "much the score falls without it, which does not add up"
    )
    preferences: float = Field(description="what declared preferences add; with `history`, a breakdown of `views`")
    paths: list[PathDocument] = Field(
        default=[],
        description="of models that learn from a knowledge graph: how they came to the item, strongest first",
    )


class FoundItem(BaseModel):
    """One item of a list."""

    item_id: int | str
    score: float = Field(description="higher is better; comparable within one answer")
    columns: dict[str, Any] = Field(description="its row of the item table")
    explanation: ExplanationDocument | None = Field(default=None, description="with explain")


class SpreadReport(BaseModel):
    """What diversity gave and took."""

    relevance_kept: float = Field(description="share of the relevance of the k best by score")
    distinct: dict[str, tuple[int, int]] = Field(
        description="per view: distinct values among the k best by score, and in this list"
    )


class ListAnswer(BaseModel):
    """Items, best first."""

    items: list[FoundItem]
    unknown_ids: list[int | str] = Field(description="ids of the request that nobody knows")
    basis: str = Field(description="what the list was made of: history, user, preferences, popularity, or item")
    release: int = Field(description="number of the release that answered")
    report: SpreadReport | None = Field(default=None, description="with diversity")


class FailedAnswer(BaseModel):
    """Stands in a batch where one of its requests could not be answered."""

    error: ErrorDetail


class BatchAnswer(BaseModel):
    """One answer per request of a batch, in their order."""

    answers: list[ListAnswer | FailedAnswer]


class ItemCardAnswer(BaseModel):
    """What is known of an item."""

    item_id: int | str
    columns: dict[str, Any] = Field(description="its row of the item table")
    views: dict[str, list[bool | int | float | str]] = Field(description="its nodes in the side views")
    count: int = Field(description="interactions in training")
    added: bool = Field(description="whether it was added or changed since")


class UpsertAnswer(BaseModel):
    """What was added or changed."""

    item_ids: list[int | str]


class EventAnswer(BaseModel):
    """What was stored."""

    stored: int = Field(description="events that were new")
    known: int = Field(description="events that were stored before under the same event_id")


class DeletedAnswer(BaseModel):
    """What was deleted."""

    item_id: int | str


class ForgottenAnswer(BaseModel):
    """What was forgotten."""

    events: int = Field(description="how many events were stored of the user")


class StatusAnswer(BaseModel):
    """How the server is."""

    status: str


class ReleaseDocument(BaseModel):
    """A bundle that was adopted."""

    number: int
    created: str = Field(description="when the bundle was written")
    fingerprint: str = Field(description="of its manifest")


class ReleaseAnswer(BaseModel):
    """What answers now."""

    release: ReleaseDocument
    changed: bool = Field(description="whether it is another one than before")


class RefusalDocument(BaseModel):
    """A bundle that was not adopted."""

    bundle: str
    reason: str
    time: str


class ReleasesAnswer(BaseModel):
    """The releases on disk, what answers here, and what was refused."""

    current: int
    loaded: int = Field(description="what this worker answers with; 0 where none is loaded yet")
    releases: list[ReleaseDocument]
    refused: list[RefusalDocument]


def list_document(answered: Answered, text_ids: bool) -> dict[str, Any]:
    """A `ListAnswer`."""
    found = answered.found
    identity = _text if text_ids else _as_is
    document: dict[str, Any] = {
        "items": [_item(item, identity) for item in found.items],
        "unknown_ids": list(map(identity, found.unknown_ids)),
        "basis": found.basis,
        "release": answered.release,
    }
    if found.report is not None:
        document["report"] = _report(found.report)
    return document


def card_document(card: ItemCard, text_ids: bool) -> dict[str, Any]:
    """An `ItemCardAnswer`."""
    identity = _text if text_ids else _as_is
    return {
        "item_id": identity(card.item_id),
        "columns": _columns(card.columns, identity),
        "views": {view: list(map(identity, nodes)) for view, nodes in card.views.items()},
        "count": card.count,
        "added": card.added,
    }


def release_document(release: Release) -> dict[str, Any]:
    """A `ReleaseDocument`."""
    return {"number": release.number, "created": release.created, "fingerprint": release.fingerprint}


def releases_document(record: Record, loaded: int, told: Callable[[str], str]) -> dict[str, Any]:
    """A `ReleasesAnswer`; `told` takes the paths out of a text."""
    return {
        "current": record.current,
        "loaded": loaded,
        "releases": [r.model_dump() for r in record.releases],
        "refused": [{"bundle": told(r.path), "reason": told(r.reason), "time": r.time} for r in record.refused],
    }


def _item(item: Recommendation, identity: Identity) -> dict[str, Any]:
    document = {
        "item_id": identity(item.item_id),
        "score": item.score,
        "columns": _columns(item.columns, identity),
    }
    if item.explanation is not None:
        document["explanation"] = _explanation(item.explanation, identity)
    return document


def _explanation(explanation: Explanation, identity: Identity) -> dict[str, Any]:
    return {
        "views": dict(explanation.views),
        "popularity": explanation.popularity,
        "repeat": explanation.repeat,
        "history": [(identity(item_id), share) for item_id, share in explanation.history],
        "preferences": explanation.preferences,
        "paths": [_path(path, identity) for path in explanation.paths],
    }


def _path(path: ExplainedPath, identity: Identity) -> dict[str, Any]:
    return {
        "entities": list(path.entities),
        "item_ids": [None if item_id is None else identity(item_id) for item_id in path.item_ids],
        "relations": list(path.relations),
        "weight": path.weight,
    }


def _report(report: ListReport) -> dict[str, Any]:
    return {"relevance_kept": report.relevance_kept, "distinct": dict(report.distinct)}


def _columns(columns: Mapping[str, Any], identity: Identity) -> Mapping[str, Any]:
    """The columns; for whoever asks for ids as text, with integers as text where they would lose digits."""
    if identity is _as_is:
        return columns
    return {name: _exact(value) for name, value in columns.items()}


def _exact(value: Any) -> Any:
    if isinstance(value, list):
        return [_exact(inner) for inner in value]
    return str(value) if type(value) is int and abs(value) > _EXACT else value


def _as_is(external_id: Any) -> Any:
    return external_id


def _text(external_id: Any) -> str:
    return str(external_id)


__all__ = [
    "BatchAnswer", "DeletedAnswer", "EventAnswer", "ExplanationDocument", "FailedAnswer", "ForgottenAnswer",
    "FoundItem", "ItemCardAnswer", "ListAnswer", "PathDocument", "RefusalDocument", "ReleaseAnswer", "ReleaseDocument",
    "ReleasesAnswer", "SpreadReport", "StatusAnswer", "UpsertAnswer", "card_document", "list_document",
    "release_document", "releases_document",
]  # fmt: skip
