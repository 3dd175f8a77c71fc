"""The outermost layer of the server: every request gets an id, an answer, a line in the log and a place in the figures.

Whatever is raised below ends here as an answer of one shape (`failures`); nothing of it but a sentence leaves the
process.
"""

from __future__ import annotations

import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prismrec.serving.http.failures import error_response, failure_of
from prismrec.serving.http.logs import log_failure, log_request, request_id_of
from prismrec.serving.http.metrics import Metrics
from prismrec.serving.http.security import security_headers

UNMATCHED = "unmatched"
"""The route of requests for what there is not: paths of strangers are no label."""


class Observe:
    """Middleware: ids, answers to what went wrong, logs, figures."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap an application."""
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(Headers(scope=scope).get("x-request-id"))
        facts: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, facts=facts)
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [(b"x-request-id", request_id.encode()), *security_headers(message)]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        self._metrics.running.inc()
        try:
            await self.app(scope, receive, observed)
        except Exception as error:
            failure = failure_of(error)
            if not failure.expected or status:
                log_failure(request_id, error)
            if status:  # half an answer is out: only breaking it off tells the client
                raise
            await error_response(failure, request_id)(scope, receive, observed)
        finally:
            self._metrics.running.dec()
            self._record(scope, started, status, {"request_id": request_id, **facts})

    def _record(self, scope: Scope, started: float, status: int, facts: dict[str, Any]) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.requests.labels(scope["method"], route, status).inc()
        self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
        log_request(started, {"method": scope["method"], "route": route, "status": status, **facts})


def facts_of(scope: Scope) -> dict[str, Any]:
    """What a handler adds to the log line of its request."""
    facts: dict[str, Any] = scope["state"]["facts"]
    return facts


__all__ = ["UNMATCHED", "Observe", "facts_of"]
