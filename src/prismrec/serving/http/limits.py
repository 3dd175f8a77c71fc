"""How much one request may bring and how long it may take: checked before anything else is done with it."""

from __future__ import annotations

import asyncio
import re
from typing import TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prismrec.serving.http.failures import COME_BACK, JSON, Refusal
from prismrec.serving.settings import LimitSettings, TrafficSettings

BodyT = TypeVar("BodyT")

UNHURRIED = ("/admin/", "/health", "/ready", "/metrics")
"""Paths that are answered however busy the server is; reloading may take as long as it takes."""

_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Texts, read once: one that never ends is taken as it is, not tried again from every quote in it; and brackets."""


class LimitTraffic:
    """Middleware: so many requests at once and no more, each for so long, with a body so large."""

    def __init__(self, app: ASGIApp, traffic: TrafficSettings, limits: LimitSettings) -> None:
        """Wrap an application."""
        self.app = app
        self._traffic = traffic
        self._limits = limits
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or raise `Refusal` before or while it is answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bounded = _bounded(scope, receive, self._limits.body_bytes)
        if scope["path"].startswith(UNHURRIED):
            await self.app(scope, bounded, send)
            return
        if self._running >= self._traffic.requests:
            message = f"{self._running} requests are being answered already: try again in a moment"
            raise Refusal(503, "overloaded", message, COME_BACK)
        self._running += 1
        try:
            async with asyncio.timeout(self._traffic.request_seconds):
                await self.app(scope, bounded, send)
        except TimeoutError as error:
            message = f"no answer within {self._traffic.request_seconds:g} s: try again in a moment"
            raise Refusal(503, "timeout", message, COME_BACK) from error
        finally:
            self._running -= 1


def _bounded(scope: Scope, receive: Receive, most: int) -> Receive:
    """`receive` that counts the bytes of the body as they come, whatever the headers say of it.

    Raises:
        Refusal: the header already announces more than `most` bytes.
    """
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if announced.isdigit() and int(announced[:20]) > most:
        raise _too_large(most)
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> Refusal:
    # What is left of the body is not read: the connection cannot be used again
    message = f"the body is larger than {most} bytes (limits.body_bytes): send several smaller ones"
    return Refusal(413, "too_large", message, {"connection": "close"})


async def read_body(request: Request, adapter: TypeAdapter[BodyT], limits: LimitSettings) -> BodyT:
    """The JSON body of a request, checked.

    Raises:
        Refusal: it is not JSON, by its type or its content, or nested too deeply.
        ValidationError: it is not what the adapter describes; for `failures` to tell.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:  # also what keeps a foreign page from posting here unasked
        raise Refusal(415, "unsupported_media_type", f"expected a body of type {JSON}, got {kind or 'none'!r}")
    body = await request.body()
    if depth_exceeds(body, limits.json_depth):
        raise Refusal(422, "invalid_request", f"lists and objects lie deeper than {limits.json_depth} in each other")
    if b"NaN" in body or b"Infinity" in body:  # Python's JSON dialect; text may hold them too
        _refuse_non_finite(body)
    return adapter.validate_json(body, strict=True, context=limits)


def depth_exceeds(body: bytes, most: int) -> bool:
    """Whether lists and objects of a JSON text lie deeper in each other than `most`.

    >>> depth_exceeds(b'{"a": [1, "[[[["]}', 2), depth_exceeds(b'[[[]]]', 2)
    (False, True)
    """
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    depth = 0
    for token in _STRUCTURE.finditer(body):
        first = token[0][:1]
        depth += 1 if first in b"[{" else -1 if first in b"]}" else 0
        if depth > most:
            return True
    return False


def _refuse_non_finite(body: bytes) -> None:
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(422, "invalid_request", f"Invalid JSON: {error}") from error


__all__ = ["UNHURRIED", "LimitTraffic", "depth_exceeds", "read_body"]
