"""Everything that can go wrong, as one shape of answer: {"error": {"code", "message", "request_id"}}.

What PrismRec raises on purpose keeps its sentence, without the folders in it; whatever else is raised is answered
with its request id alone and goes to the log with its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from prismrec.errors import ArtifactError, NotFittedError, PrismRecError, UnknownIdError
from prismrec.serving.batching import OverloadedError
from prismrec.serving.http.encoding import encoded
from prismrec.serving.state.store import StateError

JSON = "application/json"

_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/'\":;,()]+/)+([^\s/'\":;,()]*)")
"""An absolute path with at least one folder; its last part stays."""

_PROBLEMS_TOLD = 5


class Refusal(PrismRecError):
    """An answer other than success, decided on before or instead of asking the model."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, *, allow: str = ""
    ) -> None:
        """Answer with an HTTP status, a code for programs and a sentence for people."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = {**(headers or {}), **({"allow": allow} if allow else {})}


@dataclass(frozen=True)
class Failure:
    """What is answered for an error; `expected` where PrismRec means to answer so, else it belongs into the log."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: bool = True


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="for programs: invalid_request, unknown_id, unauthorized, overloaded, ...")
    message: str = Field(description="for people: what was expected, what came, what to do")
    request_id: str = Field(description="also in the header X-Request-ID and in the log")


class ErrorAnswer(BaseModel):
    """The answer where there is no other."""

    error: ErrorDetail


COME_BACK = {"retry-after": "1"}


def failure_of(error: BaseException) -> Failure:
    """How an error is answered."""
    if isinstance(error, Refusal):
        return Failure(error.status, error.code, str(error), error.headers)
    if isinstance(error, ValidationError):
        return Failure(422, "invalid_request", _problems(error.errors(include_url=False, include_context=False)))
    if isinstance(error, RequestValidationError):
        return Failure(422, "invalid_request", _problems(error.errors()))
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return Failure(error.status_code, phrase.lower().replace(" ", "_"), f"{phrase}.", error.headers or {})
    if isinstance(error, PrismRecError):
        return _deliberate(error)
    return Failure(500, "internal", "Something went wrong here; the log says what.", expected=False)


def _deliberate(error: PrismRecError) -> Failure:
    message = without_paths(str(error))
    if isinstance(error, UnknownIdError):
        return Failure(404, "unknown_id", message)
    if isinstance(error, OverloadedError):
        return Failure(503, "overloaded", message, COME_BACK)
    if isinstance(error, NotFittedError):
        return Failure(503, "not_ready", message, COME_BACK)
    if isinstance(error, StateError):  # not the client's fault, and none of its business
        return Failure(503, "unavailable", "The server cannot reach its data.", COME_BACK, expected=False)
    if isinstance(error, ArtifactError):  # a bundle that cannot be served
        return Failure(409, "refused", message)
    return Failure(422, "invalid_request", message)


def error_document(failure: Failure, request_id: str) -> dict[str, dict[str, str]]:
    """The failure as JSON values."""
    return {"error": {"code": failure.code, "message": failure.message, "request_id": request_id}}


def error_response(failure: Failure, request_id: str) -> Response:
    """The failure as a response."""
    content = encoded(error_document(failure, request_id))
    return Response(content, failure.status, {**failure.headers, "cache-control": "no-store"}, JSON)


def without_paths(text: str) -> str:
    """The text with absolute paths cut down to their last part: how a server's disk is laid out is its own business.

    >>> without_paths("/srv/shop/bundle/vectors/item.source.npy is damaged: copy /srv/shop/bundle again")
    'item.source.npy is damaged: copy bundle again'
    """
    return _PATH.sub(lambda match: match[1] or "", text)


def _problems(problems: Sequence[Any]) -> str:
    """One sentence per problem: where, and what was expected."""
    told = dict.fromkeys(_place(problem["loc"]) + problem["msg"] for problem in problems[:_PROBLEMS_TOLD])
    more = len(problems) - _PROBLEMS_TOLD
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _place(location: Sequence[Any]) -> str:
    """`requests.1.history.0: ` for ("many", "requests", 1, "history", 0), without the names of a union's members."""
    names = [str(part)[:80] for part in location]
    if names[:1] in (["one"], ["many"]):
        names = names[1:]
    if "diversity" in names[:-1] and names[names.index("diversity") + 1] in ("level", "all"):
        del names[names.index("diversity") + 1]
    return ".".join(names) + ": " if names else ""


__all__ = [
    "COME_BACK", "JSON", "ErrorAnswer", "ErrorDetail", "Failure", "Refusal", "error_document", "error_response",
    "failure_of", "without_paths",
]  # fmt: skip
