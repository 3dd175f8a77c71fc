"""Log lines are JSON, one per request, and request ids can stand in them."""

import json
import logging
import logging.config
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.serving.http.logs import LOG_CONFIG, JsonLines, request_id_of

FIRST = 2**60


def written(**fields):
    record = logging.LogRecord("prismrec.x", logging.WARNING, "", 0, "said %s", ("this",), None)
    for name, value in fields.items():
        setattr(record, name, value)
    line = JsonLines().format(record)
    assert "\n" not in line
    return json.loads(line)


def test_line_says_when_how_bad_who_and_what():
    line = written(fields={"status": 200, "ms": 1.5, "odd": {1, 2}})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line.pop("odd")
    assert line == {"level": "warning", "logger": "prismrec.x", "message": "said this", "status": 200, "ms": 1.5}


def test_traceback_is_part_of_the_line():
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        line = written(exc_info=(type(error), error, error.__traceback__))
    assert "ZeroDivisionError: oops" in line["traceback"]


def test_text_that_cannot_be_encoded_is_written_all_the_same():
    assert "half" in written(fields={"id": "half \ud800"})["id"]


@given(st.text(max_size=80))
def test_request_ids_are_sane_whatever_is_sent(text):
    made = request_id_of(text)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", made)
    assert made == text or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text)


def test_request_without_an_id_gets_one_of_its_own():
    assert request_id_of(None) != request_id_of(None)
    assert request_id_of("x" * 65) != "x" * 65


@pytest.fixture
def lines(monkeypatch):
    """What is logged during a test, as JSON."""
    seen = []

    class Keep(logging.Handler):
        def emit(self, record):
            seen.append(json.loads(JsonLines().format(record)))

    logger, handler = logging.getLogger("prismrec"), Keep()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield seen
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_request_is_one_line_without_what_the_user_looked_at(api, lines):
    api("POST", "/v1/recommend", {"history": [FIRST + 3], "k": 4, "user_id": "ann"}, headers={"x-request-id": "r-1"})
    [line] = [line for line in lines if line["message"] == "request"]
    assert line["ms"] > 0
    assert {name: line[name] for name in ("method", "route", "status", "request_id", "k", "basis")} == {
        "method": "POST", "route": "/v1/recommend", "status": 200, "request_id": "r-1", "k": 4, "basis": "history",
    }  # fmt: skip
    assert str(FIRST + 3) not in json.dumps(line)
    assert "ann" not in json.dumps(line)


def test_route_is_logged_and_not_the_path_with_its_ids(api, lines):
    api("GET", f"/v1/items/{FIRST}")
    api("GET", "/somewhere/else")
    assert [line["route"] for line in lines] == ["/v1/items/{item_id:path}", "unmatched"]
    assert str(FIRST) not in json.dumps(lines)


def test_batch_says_how_many(api, lines):
    api("POST", "/v1/recommend", {"requests": [{"k": 3}, {"k": 7}]})
    assert (lines[-1]["n"], lines[-1]["k"]) == (2, 7)


def test_what_nobody_expected_is_logged_with_its_traceback(api, lines, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(api.service.state, "histories", broken)
    api("POST", "/v1/recommend", {"user_id": 1}, headers={"x-request-id": "r-2"})
    failed = [line for line in lines if line["level"] == "error"]
    assert [line["request_id"] for line in failed] == ["r-2"]
    assert "inner secret" in failed[0]["traceback"]


def test_configuration_is_one_that_logging_takes():
    logging.config.dictConfigClass(LOG_CONFIG)
    assert LOG_CONFIG["loggers"].keys() == {"prismrec", "uvicorn"}
