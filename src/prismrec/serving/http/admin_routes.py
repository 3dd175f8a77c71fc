"""What machines ask of the server itself: health, readiness, figures; and what an operator does: releases."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from prismrec.serving.http.documents import (
    ReleaseAnswer,
    ReleasesAnswer,
    StatusAnswer,
    release_document,
    releases_document,
)
from prismrec.serving.http.encoding import encoded
from prismrec.serving.http.failures import COME_BACK, JSON, Refusal, without_paths
from prismrec.serving.http.metrics import CONTENT_TYPE, Metrics
from prismrec.serving.http.openapi import FAILURES, NEEDS_TOKEN
from prismrec.serving.http.security import Guard
from prismrec.serving.releases.record import read_record
from prismrec.serving.service import Service


class Operations:
    """Handlers that answer however busy the server is."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        """Bind them."""
        self.service = service
        self.metrics = metrics

    async def health(self) -> Response:
        """The process is alive. Whether it should get requests is for /ready to say."""
        return _json({"status": "alive"})

    async def ready(self) -> Response:
        """Requests are welcome: a release is loaded and the server is not about to stop. Otherwise 503."""
        if self.service.draining:
            raise Refusal(503, "draining", "the server finishes what it has and then stops", COME_BACK)
        if not self.service.ready:
            raise Refusal(503, "not_ready", "no release is loaded yet: try again in a moment", COME_BACK)
        return _json({"status": "ready"})

    async def figures(self) -> Response:
        """Figures of all workers in Prometheus' text format."""
        return Response(await asyncio.to_thread(self.metrics.text), media_type=CONTENT_TYPE)

    async def reload(self) -> Response:
        """Look at the source now, and serve what it offers; 409 with the reason where it is refused.

        Other workers follow within `refresh_seconds`. Requests in flight end with the release they began with.
        """
        before = self.service.loaded
        release = await asyncio.to_thread(self.service.reload)
        return _json({"release": release_document(release), "changed": release.number != before})

    async def rollback(self) -> Response:
        """Serve the release before the current one again; 409 where there is none."""
        before = self.service.loaded
        release = await asyncio.to_thread(self.service.rollback)
        return _json({"release": release_document(release), "changed": release.number != before})

    async def releases(self) -> Response:
        """The releases on disk, and the bundles that were refused, with reasons."""
        record = await asyncio.to_thread(read_record, self.service.home)
        return _json(releases_document(record, self.service.loaded, without_paths))


def admin_router(operations: Operations, guard: Guard) -> APIRouter:
    """The routes; those below /admin pass the guard."""

    async def may_operate(request: Request) -> None:
        guard.check_write(request.headers)

    router = APIRouter(responses=FAILURES)
    for path, handler in (("/health", operations.health), ("/ready", operations.ready)):
        router.add_api_route(path, handler, methods=["GET"], response_model=StatusAnswer, tags=["operations"])
    text: Any = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Figures."}}
    router.add_api_route(
        "/metrics", operations.figures, methods=["GET"], response_class=Response, responses=text, tags=["operations"]
    )
    for path, handler, method, answer in (
        ("/admin/reload", operations.reload, "POST", ReleaseAnswer),
        ("/admin/rollback", operations.rollback, "POST", ReleaseAnswer),
        ("/admin/releases", operations.releases, "GET", ReleasesAnswer),
    ):
        router.add_api_route(
            path,
            handler,
            methods=[method],
            response_model=answer,
            openapi_extra=NEEDS_TOKEN,
            dependencies=[Depends(may_operate)],
            tags=["administration"],
        )
    return router


def _json(document: Any) -> Response:
    return Response(encoded(document), headers={"cache-control": "no-store"}, media_type=JSON)


__all__ = ["Operations", "admin_router"]
