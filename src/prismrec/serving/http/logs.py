"""One line of JSON per request and per event, on stderr: ids and figures, never what a user looked at."""

from __future__ import annotations

import logging
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from prismrec.serving.http.encoding import encoded

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_log = logging.getLogger("prismrec.requests")


class JsonLines(logging.Formatter):
    """Log records as lines of JSON: time, level, logger, message, and the fields of `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return encoded(line).decode()


LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "prismrec.serving.http.logs.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "loggers": {
        "prismrec": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
"""For `logging.config.dictConfig`, here and in every worker."""


def request_id_of(given: str | None) -> str:
    """The id that a client sent, if it can stand in a log and a header; else a new one.

    >>> request_id_of("order-17.a")
    'order-17.a'
    """
    return given if given and _SANE_ID.fullmatch(given) else secrets.token_hex(8)


def log_request(started: float, fields: dict[str, Any]) -> None:
    """Write the line of a request that began at `time.perf_counter() == started`."""
    if not _log.isEnabledFor(logging.INFO):
        return
    # Not `_log.info`, which would walk the stack to find out who called it: a tenth of what a request costs here
    record = logging.LogRecord(_log.name, logging.INFO, "", 0, "request", None, None)
    record.fields = {**fields, "ms": round((time.perf_counter() - started) * 1e3, 2)}
    _log.handle(record)


def log_failure(request_id: str, error: BaseException) -> None:
    """Write down, with its traceback, what a client was told nothing about."""
    _log.error("request failed", exc_info=error, extra={"fields": {"request_id": request_id}})


__all__ = ["LOG_CONFIG", "JsonLines", "log_failure", "log_request", "request_id_of"]
