"""The outermost layer, around small applications that misbehave."""

import asyncio
import logging

import pytest

from prismrec.errors import DataError
from prismrec.serving.http.metrics import Metrics
from prismrec.serving.http.observe import Observe, facts_of

STARTED = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"),
                                                                    (b"Referrer-Policy", b"origin")]}  # fmt: skip


def ask(app, headers=(), metrics=None):
    """The messages that are sent."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": list(headers)}
    asyncio.run(Observe(app, metrics or Metrics())(scope, receive, send))
    return sent


async def fine(scope, receive, send):
    facts_of(scope)["n"] = 3
    await send(STARTED)
    await send({"type": "http.response.body", "body": b"ok"})


def test_answer_passes_with_an_id_and_headers_that_it_lacks():
    start, body = ask(fine, [(b"x-request-id", b"r-1")])
    headers = [(name.lower(), value) for name, value in start["headers"]]
    assert (b"x-request-id", b"r-1") in headers
    assert (b"x-content-type-options", b"nosniff") in headers
    assert [value for name, value in headers if name == b"referrer-policy"] == [b"origin"], "what it says itself stays"
    assert body["body"] == b"ok"


@pytest.mark.parametrize(("error", "status"), [(DataError("no"), 422), (ZeroDivisionError("oops"), 500)])
def test_what_is_raised_becomes_an_answer(error, status, caplog):
    async def failing(scope, receive, send):
        raise error

    metrics = Metrics()
    with caplog.at_level(logging.ERROR, "prismrec.requests"):
        start, body = ask(failing, metrics=metrics)
    assert start["status"] == status
    assert b"oops" not in body["body"]
    text = metrics.text().decode()
    assert f'prismrec_requests_total{{method="GET",route="unmatched",status="{status}"}} 1.0' in text
    assert "prismrec_requests_running 0.0" in text


def test_error_in_the_middle_of_an_answer_breaks_it_off():
    async def halfway(scope, receive, send):
        await send(STARTED)
        raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError, match="oops"):
        ask(halfway)


async def unused(*arguments):
    raise AssertionError("nothing is read or sent")


def test_other_protocols_pass():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(Observe(app, Metrics())({"type": "lifespan"}, unused, unused))
    assert seen == ["lifespan"]
