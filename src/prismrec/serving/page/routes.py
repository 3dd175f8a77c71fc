"""The explorer page over HTTP: its files, and the JSON that only it asks for. Lists come from the public API.

    GET /                             the page
    GET /page/assets/<digest>/<name>  its files, cached for good
    GET /page/overview                catalogue, views, query settings
    GET /page/search, /page/cards, /page/values      items by name, items by id, what to filter by
    GET /page/map, /page/training, /page/evaluation, /page/spread

Every handler is a plain function, so that it runs in a thread and leaves the event loop to the API.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.retriever import Retriever
from prismrec.serving.http.failures import without_paths
from prismrec.serving.page.data import PageData
from prismrec.serving.page.files import CONTENT_SECURITY_POLICY, PageFile, PageFiles
from prismrec.serving.page.quality import evaluation_document, long_tail, training_curves
from prismrec.serving.page.settings import PageSettings
from prismrec.serving.page.work import PageWork

Typed = Annotated[str, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=50)]
Ids = Annotated[list[str], Query(max_length=100)]

_FILE_HEADERS = {
    "Vary": "Accept-Encoding",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_COMPRESSED_FROM = 2048
"""Answers of so many bytes are compressed."""


class Answering(Protocol):
    """A model that answers: both of one release."""

    @property
    def bundle(self) -> Bundle:
        """The bundle."""

    @property
    def retriever(self) -> Retriever:
        """That bundle, and the items added since."""


class PageService(Protocol):
    """What the page needs of the service."""

    home: Path
    """Where the service keeps its files."""

    @property
    def live(self) -> Answering:
        """What answers now; the next look may find another."""


class Page:
    """The handlers, and what they keep between requests: one `PageData`, made anew when the bundle changes."""

    def __init__(self, service: PageService, settings: PageSettings) -> None:
        """Read the page's files; nothing is read of the bundle yet.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        self.service = service
        self.settings = settings
        self.files = PageFiles()
        self.work = PageWork(service.home / "page", settings)
        self._mutex = threading.Lock()
        self._data: PageData | None = None

    @property
    def data(self) -> PageData:
        """The page's data of the bundle that answers now.

        Raises:
            ConfigError: the settings name a column that the bundle lacks.
            NotFittedError: no bundle is loaded yet.
        """
        return self._data_of(self.service.live.bundle)

    def _data_of(self, bundle: Bundle) -> PageData:
        with self._mutex:
            if self._data is None or self._data.bundle is not bundle:
                self._data = PageData(bundle, self.settings, self.service.home.name.removesuffix(".serve"))
            return self._data

    def index(self, request: Request) -> Response:
        """The page; asked for again each time, sent again only when it changed."""
        etag = f'"{self.files.digest}"'
        headers = {**_FILE_HEADERS, "Cache-Control": "no-cache", "ETag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)  # a browser keeps the policy that comes with this
        return _file(request, self.files.index, headers)

    def asset(self, request: Request, digest: str, name: str) -> Response:
        """A file of the page. An older page may ask a newer service: it is answered, but nobody keeps the answer."""
        file = self.files.find(name)
        if file is None:
            return Response("there is no such file", 404, media_type="text/plain")
        kept = "public, max-age=31536000, immutable" if digest == self.files.digest else "no-cache"
        return _file(request, file, {**_FILE_HEADERS, "Cache-Control": kept})

    def overview(self, request: Request) -> Response:
        """Catalogue, views, query settings."""
        return _json(request, self.data.overview())

    def search(self, request: Request, q: Typed = "", limit: Limit = 12) -> Response:
        """Items by name or id."""
        live = self.service.live
        return _json(request, {"items": self._data_of(live.bundle).found(live.retriever, q, limit)})

    def cards(self, request: Request, id: Ids = []) -> Response:  # noqa: B006 - FastAPI copies it
        """Items by id."""
        live = self.service.live
        return _json(request, {"items": self._data_of(live.bundle).cards(live.retriever, id)})

    def values(self, request: Request, q: Typed = "", limit: Limit = 12) -> Response:
        """Values of the views."""
        return _json(request, {"values": self.data.values(q, limit)})

    def map(self, request: Request) -> Response:
        """The map, as good as it is by now."""
        data = self.data
        outcome = self.work.outcome("map", data.bundle)
        state = {"status": outcome.status, "reason": without_paths(outcome.reason)}
        return _json(request, {**state, **data.map_document(outcome.value)})

    def training(self, request: Request) -> Response:
        """The curves of training."""
        return _json(request, training_curves(self.data.bundle.contents.training_log))

    def evaluation(self, request: Request) -> Response:
        """The comparison with other models, or null."""
        return _json(request, evaluation_document(self.data.bundle.contents.evaluation))

    def spread(self, request: Request) -> Response:
        """How clicks are spread over the items; recommendations too, once that is known."""
        bundle = self.data.bundle
        outcome = self.work.outcome("reach", bundle)
        state = {"status": outcome.status, "reason": without_paths(outcome.reason)}
        return _json(request, {**state, "clicks": long_tail(bundle.items.counts), "reach": outcome.value})

    def router(self) -> APIRouter:
        """The routes; when the application ends, so does the work for the page."""

        @asynccontextmanager
        async def lifespan(_app: Any) -> AsyncIterator[None]:
            yield
            self.work.close()

        router = APIRouter(include_in_schema=False, lifespan=lifespan)
        router.add_api_route("/", self.index)
        router.add_api_route("/page/assets/{digest}/{name}", self.asset)
        for handler in (self.overview, self.search, self.cards, self.values, self.map, self.training, self.evaluation,
                        self.spread):  # fmt: skip
            router.add_api_route(f"/page/{handler.__name__}", handler)
        return router


def page_router(service: PageService, settings: PageSettings) -> APIRouter:
    """The routes of the explorer page.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    return Page(service, settings).router()


def _file(request: Request, file: PageFile, headers: dict[str, str]) -> Response:
    """The file, compressed where the browser takes it."""
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers = {**headers, "Content-Encoding": "gzip"}
        return Response(file.compressed, media_type=file.media_type, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _json(request: Request, document: Any) -> Response:
    """JSON that nobody keeps, compressed where it is worth it."""
    content = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    if "gzip" in request.headers.get("accept-encoding", "") and len(content) >= _COMPRESSED_FROM:
        content, headers["Content-Encoding"] = gzip.compress(content, 4, mtime=0), "gzip"
    return Response(content, media_type="application/json", headers=headers)


__all__ = ["Page", "PageService", "page_router"]
