"""The OpenAPI document: what FastAPI finds in the routes, the bodies it does not see, limits, and examples that run.

The examples name items and views of the bundle that answers, so each can be sent as it stands.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from prismrec.data.schema import ITEM_VIEW
from prismrec.serving.http.failures import JSON, ErrorAnswer
from prismrec.serving.live import Live
from prismrec.serving.schemas import LIMIT_MARK
from prismrec.serving.settings import LimitSettings

FAILURES: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorAnswer, "description": "Everything that is no success, in one shape."}
}
"""`responses` of every route."""

NEEDS_TOKEN: dict[str, Any] = {"security": [{"token": []}]}
"""`openapi_extra` of routes that pass the guard."""

_BOUND_OF = {
    "integer": "maximum",
    "number": "maximum",
    "string": "maxLength",
    "array": "maxItems",
    "object": "maxProperties",
}
_EXAMPLES_MARK = "x-examples"


def body_of(name: str, adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself.

    Args:
        name: says which examples belong to it.
        adapter: what checks it.
    """
    schema = adapter.json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema, _EXAMPLES_MARK: name}}}}


def document(app: FastAPI, limits: LimitSettings, live: Live | None, *, has_token: bool) -> dict[str, Any]:
    """The OpenAPI document of an application.

    Args:
        limits: the bounds that the schemas show.
        live: whose items the examples name; None for examples without any.
        has_token: whether there is a token that writes need.
    """
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = made.setdefault("components", {}).setdefault("schemas", {})
    shown = examples(live)
    for path in made["paths"].values():
        for operation in path.values():
            if not has_token:
                operation.pop("security", None)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                components.update(content["schema"].pop("$defs", {}))
                content["examples"] = shown[content.pop(_EXAMPLES_MARK)]
    if has_token:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    bounded: dict[str, Any] = _with_limits(made, limits)
    return bounded


def examples(live: Live | None) -> dict[str, dict[str, Any]]:
    """Bodies to try, by route, each under a summary."""
    first, second, views = _samples(live)
    side = next(iter(views), None)
    encodes = live is not None and live.bundle.contents.encoder is not None
    weighted = {} if encodes else {"weights": {"item": 1.0, **({side: 0.3} if side else {})}}
    liked = {"preferences": {side: [views[side]]}} if side else {}
    only = {"filters": {"where": {side: {"any_of": [views[side]]}}}} if side else {}
    new = {"item_id": first, "columns": {"note": "back in stock"}}
    bodies: dict[str, dict[str, Any]] = {
        "recommend": {
            "after a history": {"history": [first, second], "k": 5},
            "weights, filters, diversity": {"history": [first], "k": 5, "diversity": 0.3, **weighted, **only},
            "nothing known but a preference": {"k": 5, **liked},
            "for a user": {"user_id": "ann", "k": 5},
            "several at once": {"requests": [{"history": [first], "k": 3}, {"history": [second], "k": 3}]},
        },
        "similar": {
            "what goes with it": {"item_id": first, "k": 5},
            "what is used like it, with reasons": {
                "item_id": first, "k": 5, "similarity": "cosine", "explain": True, **weighted
            },
        },
        "items": {"change one": new, "several at once": {"items": [new]}},
        "events": {
            "one": {"user_id": "ann", "item_id": first},
            "several, safe to send again": {"events": [{"user_id": "ann", "item_id": second, "event_id": "order-17"}]},
        },
    }  # fmt: skip
    return {
        route: {summary: {"summary": summary, "value": body} for summary, body in those.items()}
        for route, those in bodies.items()
    }


def _samples(live: Live | None) -> tuple[Any, Any, dict[str, Any]]:
    """Two items, and a node of each side view."""
    if live is None:
        return "1", "2", {}
    ids = live.bundle.items.ids_of([0, min(1, len(live.bundle.items) - 1)])
    vocabularies = live.bundle.contents.vocabularies
    views = {view: vocabulary.id_of(0) for view, vocabulary in vocabularies.items() if view != ITEM_VIEW}
    first, second = (item_id if isinstance(item_id, int) else str(item_id) for item_id in ids)
    return first, second, {view: node if isinstance(node, int) else str(node) for view, node in views.items()}


def _with_limits(node: Any, limits: LimitSettings) -> Any:
    """The document with every mark of a limit replaced by the bound that it stands for."""
    if isinstance(node, list):
        return [_with_limits(inner, limits) for inner in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _with_limits(value, limits) for key, value in node.items() if key != LIMIT_MARK}
    if LIMIT_MARK in node:  # the names of an object have no type of their own: they are text
        schema[_BOUND_OF[node.get("type", "string")]] = getattr(limits, node[LIMIT_MARK])
    return schema


__all__ = ["FAILURES", "NEEDS_TOKEN", "body_of", "document", "examples"]
