"""The public API: recommendations and similar items, items and events.

Bodies are read by hand (`limits.read_body`) and answers written by hand (`documents`): FastAPI's own way would check
each answer against its model, and cost more than finding it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from prismrec.serving.batching import Batcher
from prismrec.serving.http.documents import (
    BatchAnswer,
    DeletedAnswer,
    EventAnswer,
    ForgottenAnswer,
    ItemCardAnswer,
    ListAnswer,
    UpsertAnswer,
    card_document,
    list_document,
)
from prismrec.serving.http.encoding import encoded
from prismrec.serving.http.failures import JSON, error_document, failure_of
from prismrec.serving.http.limits import read_body
from prismrec.serving.http.logs import log_failure
from prismrec.serving.http.metrics import Metrics
from prismrec.serving.http.observe import facts_of
from prismrec.serving.http.openapi import FAILURES, NEEDS_TOKEN, body_of
from prismrec.serving.http.security import Guard
from prismrec.serving.schemas import (
    Event,
    EventBatch,
    EventBody,
    Item,
    ItemBatch,
    ItemBody,
    Recommend,
    RecommendBatch,
    RecommendBody,
    Similar,
    SimilarBatch,
    SimilarBody,
)
from prismrec.serving.service import Answered, Asked, Service
from prismrec.serving.settings import LimitSettings

_RECOMMEND: TypeAdapter[Recommend | RecommendBatch] = TypeAdapter(RecommendBody)
_SIMILAR: TypeAdapter[Similar | SimilarBatch] = TypeAdapter(SimilarBody)
_ITEMS: TypeAdapter[Item | ItemBatch] = TypeAdapter(ItemBody)
_EVENTS: TypeAdapter[Event | EventBatch] = TypeAdapter(EventBody)

Outcome = Answered | BaseException
Handler = Callable[..., Any]


class Api:
    """What the handlers share."""

    def __init__(
        self, service: Service, limits: LimitSettings, batcher: Batcher[Asked, Answered], metrics: Metrics
    ) -> None:
        """Bind them."""
        self.service = service
        self.limits = limits
        self.batcher = batcher
        self.metrics = metrics

    async def recommend(self, request: Request) -> Response:
        """Items that come next: after a stored history, a given one, both, or none.

        Without anything known of the user, the most popular items come; `basis` says what the list was made of.
        One request, or `{"requests": [...]}`: then one answer each, with `error` where one cannot be answered.
        """
        body = await read_body(request, _RECOMMEND, self.limits)
        if isinstance(body, RecommendBatch):
            stored = await self._stored(body.requests)
            return await self._answer_many(request, [Asked(one, _of(one, stored)) for one in body.requests])
        stored = await self._stored([body])
        return await self._answer(request, Asked(body, _of(body, stored)))

    async def similar(self, request: Request) -> Response:
        """Items near an item, itself left out. An unknown item is a 404; in a batch, an `error` in its place."""
        body = await read_body(request, _SIMILAR, self.limits)
        if isinstance(body, SimilarBatch):
            return await self._answer_many(request, [Asked(one) for one in body.requests])
        return await self._answer(request, Asked(body))

    async def upsert(self, request: Request) -> Response:
        """Add items, or change them; what the change of a trained item does not name is as in the bundle.

        So an item that is sent again is sent whole: a change replaces the one before it.

        A new item is placed by its nodes in the side views. All workers show it within `refresh_seconds`; it outlives
        restarts, and new bundles that do not know it yet.
        """
        body = await read_body(request, _ITEMS, self.limits)
        items = body.items if isinstance(body, ItemBatch) else (body,)
        ids = await asyncio.to_thread(self.service.upsert, items)
        self.metrics.items.labels("upsert").inc(len(ids))
        facts_of(request.scope)["n"] = len(ids)
        return _json({"item_ids": ids})

    async def delete_item(
        self, item_id: Annotated[str, Path(description="its id")], text_ids: bool = False
    ) -> Response:
        """Delete an item: it is no longer answered, by this bundle or any later one, until it is added again."""
        known = await asyncio.to_thread(self.service.delete, item_id)
        self.metrics.items.labels("delete").inc()
        return _json({"item_id": str(known) if text_ids else known})

    async def item(
        self,
        item_id: Annotated[str, Path(description="its id")],
        text_ids: Annotated[bool, Query(description="ids as text")] = False,
    ) -> Response:
        """What is known of an item."""
        card = await asyncio.to_thread(self.service.item, item_id)
        return _json(card_document(card, text_ids))

    async def record(self, request: Request) -> Response:
        """Append events to the histories of users; they are on disk when this answers.

        With an `event_id`, an event that is sent again is stored once.
        """
        body = await read_body(request, _EVENTS, self.limits)
        events = body.events if isinstance(body, EventBatch) else (body,)
        stored = await asyncio.to_thread(self.service.record, events)
        self.metrics.events.inc(stored)
        facts_of(request.scope)["n"] = len(events)
        return _json({"stored": stored, "known": len(events) - stored})

    async def forget(self, user_id: Annotated[str, Path(description="the user's id")]) -> Response:
        """Remove all that is stored of a user, under this id as text and as a number."""
        return _json({"events": await asyncio.to_thread(self.service.forget, user_id)})

    async def _stored(self, questions: Sequence[Recommend]) -> dict[Any, tuple[Any, ...]]:
        users = list(dict.fromkeys(q.user_id for q in questions if q.user_id is not None))
        return await asyncio.to_thread(self.service.histories, users, self.limits.history) if users else {}

    async def _answer(self, request: Request, asked: Asked) -> Response:
        answered = await self.batcher.ask(asked)
        facts_of(request.scope).update(k=asked.question.k, basis=answered.found.basis)
        self._count(answered)
        return _json(list_document(answered, asked.question.text_ids))

    async def _answer_many(self, request: Request, asked: Sequence[Asked]) -> Response:
        outcomes: list[Outcome] = await self.batcher.ask_many(asked)
        facts_of(request.scope).update(n=len(asked), k=max(one.question.k for one in asked))
        documents = []
        for one, outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Answered):
                self._count(outcome)
                documents.append(list_document(outcome, one.question.text_ids))
            else:
                documents.append(_failed(request, outcome))
        return _json({"answers": documents})

    def _count(self, answered: Answered) -> None:
        self.metrics.answers.labels(answered.found.basis).inc()
        if answered.found.unknown_ids:
            self.metrics.unknown.inc(len(answered.found.unknown_ids))


def api_router(api: Api, guard: Guard) -> APIRouter:
    """The routes of the public API; writes pass the guard."""

    async def may_write(request: Request) -> None:
        guard.check_write(request.headers)

    router = APIRouter(prefix="/v1", responses=FAILURES)
    lists: Any = ListAnswer | BatchAnswer
    for path, handler, body in (
        ("/recommend", api.recommend, body_of("recommend", _RECOMMEND)),
        ("/similar", api.similar, body_of("similar", _SIMILAR)),
    ):
        router.add_api_route(
            path, handler, methods=["POST"], response_model=lists, openapi_extra=body, tags=["questions"]
        )
    router.add_api_route(
        "/items/{item_id:path}", api.item, methods=["GET"], response_model=ItemCardAnswer, tags=["questions"]
    )
    writes: tuple[tuple[str, Handler, str, Any, dict[str, Any]], ...] = (
        ("/items", api.upsert, "POST", UpsertAnswer, body_of("items", _ITEMS)),
        ("/items/{item_id:path}", api.delete_item, "DELETE", DeletedAnswer, {}),
        ("/events", api.record, "POST", EventAnswer, body_of("events", _EVENTS)),
        ("/users/{user_id:path}", api.forget, "DELETE", ForgottenAnswer, {}),
    )
    for path, handler, method, answer, body in writes:
        router.add_api_route(
            path,
            handler,
            methods=[method],
            response_model=answer,
            openapi_extra={**body, **NEEDS_TOKEN},
            dependencies=[Depends(may_write)],
            tags=["writes"],
        )
    return router


def _of(question: Recommend, stored: dict[Any, tuple[Any, ...]]) -> tuple[Any, ...]:
    return () if question.user_id is None else stored.get(question.user_id, ())


def _failed(request: Request, error: BaseException) -> dict[str, Any]:
    request_id = request.state.request_id
    failure = failure_of(error)
    if not failure.expected:
        log_failure(request_id, error)
    return error_document(failure, request_id)


def _json(document: Any) -> Response:
    return Response(encoded(document), headers={"cache-control": "no-store"}, media_type=JSON)


__all__ = ["Api", "api_router"]
