"""The HTTP application: routes, the layers around them, and what runs beside them while it lives.

uvicorn ── Observe (id, log, figures, errors) ── Secure (host names) ── LimitTraffic (size, time, number) ── routes
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from prismrec import __version__
from prismrec.errors import PrismRecError
from prismrec.serving.batching import Batcher
from prismrec.serving.http.admin_routes import Operations, admin_router
from prismrec.serving.http.encoding import encoded
from prismrec.serving.http.failures import JSON, error_response, failure_of
from prismrec.serving.http.limits import LimitTraffic
from prismrec.serving.http.metrics import Metrics
from prismrec.serving.http.observe import Observe
from prismrec.serving.http.openapi import document
from prismrec.serving.http.routes import Api, api_router
from prismrec.serving.http.security import Guard, Secure, token_of
from prismrec.serving.page.routes import page_router
from prismrec.serving.questions import effort_of
from prismrec.serving.service import Answered, Asked, Service
from prismrec.serving.settings import ServeSettings

_log = logging.getLogger(__name__)

DESCRIPTION = "Recommendations from aligned multi-view embeddings. Errors have one shape; see ErrorAnswer."


def create_app(service: Service, settings: ServeSettings) -> FastAPI:
    """The application of a service; its lifespan loads the current release and keeps looking for newer ones.

    Raises:
        ConfigError: the token is not usable.
    """
    metrics = Metrics()
    guard = Guard(settings, token_of(settings))
    traffic = settings.traffic
    batcher = Batcher(
        _counted(service, metrics), traffic.batch, traffic.waiting, lambda asked: effort_of(asked.question)
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="refresh") as thread:
            refresher = Refresher(service, metrics, thread)
            await refresher.once()  # before connections are accepted: a worker that starts anew refuses nothing
            refreshing = asyncio.create_task(refresher.again_and_again(settings.refresh_seconds))
            try:
                yield
            finally:
                refreshing.cancel()
                await asyncio.gather(refreshing, return_exceptions=True)
        batcher.close()
        service.close()

    app = FastAPI(
        title="PrismRec",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.include_router(api_router(Api(service, settings.limits, batcher, metrics), guard))
    app.include_router(admin_router(Operations(service, metrics), guard))
    app.include_router(page_router(service, settings.page))
    _add_document(app, service, settings, guard)
    for error in (HTTPException, RequestValidationError):
        app.add_exception_handler(error, _answer_error)
    app.add_middleware(LimitTraffic, traffic=settings.traffic, limits=settings.limits)
    app.add_middleware(Secure, guard=guard)
    app.add_middleware(Observe, metrics=metrics)
    return app


def _add_document(app: FastAPI, service: Service, settings: ServeSettings, guard: Guard) -> None:
    """GET /openapi.json, with examples from the bundle that answers now."""

    def openapi() -> dict[str, Any]:
        live = service.live if service.ready else None
        return document(app, settings.limits, live, has_token=guard.token is not None)

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it

    made: dict[int, bytes] = {}

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_document() -> Response:
        if service.loaded not in made:
            made.clear()
            made[service.loaded] = encoded(openapi())
        return Response(made[service.loaded], media_type=JSON)


def _counted(service: Service, metrics: Metrics) -> Any:
    def answer(asked: Sequence[Asked]) -> list[Answered]:
        metrics.batch.observe(len(asked))
        return service.answer(asked)

    return answer


async def _answer_error(request: Request, error: Exception) -> Response:
    return error_response(failure_of(error), request.state.request_id)


class Refresher:
    """Looks for new releases and for item changes, in a thread of its own."""

    def __init__(self, service: Service, metrics: Metrics, thread: Executor) -> None:
        """Nothing is looked for yet."""
        self._service = service
        self._metrics = metrics
        self._thread = thread
        self._told = ""

    async def once(self) -> None:
        """Look now; what fails, whatever it is, is counted, and told once, not twice a second: the next look may do."""
        looking = asyncio.get_running_loop().run_in_executor(self._thread, self._service.refresh)
        (error,) = await asyncio.gather(looking, return_exceptions=True)
        told = "" if error is None else f"{type(error).__name__}: {error}"
        if isinstance(error, PrismRecError):
            told = str(error)
        if error is not None:
            self._metrics.refresh_failures.inc()
            if told != self._told:
                unforeseen = None if isinstance(error, PrismRecError) else error
                _log.error("cannot refresh: %s", told, exc_info=unforeseen)
        self._told = told
        self._metrics.release.set(self._service.loaded)

    async def again_and_again(self, seconds: float) -> None:
        """Look every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.once()


__all__ = ["Refresher", "create_app"]
