"""How each kind of error is answered; no path and no foreign text leaves the server."""

import json

import pytest
from starlette.exceptions import HTTPException

from prismrec.errors import ArtifactError, ConfigError, DataError, NotFittedError, UnknownIdError
from prismrec.serving.batching import OverloadedError
from prismrec.serving.http.failures import Refusal, error_document, error_response, failure_of, without_paths
from prismrec.serving.releases.releases import ReleaseRefusedError
from prismrec.serving.state.store import StateError


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigError("k is 0"), 422, "invalid_request"),
        (DataError("no list"), 422, "invalid_request"),
        (UnknownIdError("unknown id 5"), 404, "unknown_id"),
        (NotFittedError("not yet"), 503, "not_ready"),
        (OverloadedError("many"), 503, "overloaded"),
        (ReleaseRefusedError("broken"), 409, "refused"),
        (ArtifactError("there is no earlier release"), 409, "refused"),
        (HTTPException(404), 404, "not_found"),
        (HTTPException(405), 405, "method_not_allowed"),
        (Refusal(413, "too_large", "big"), 413, "too_large"),
    ],
)
def test_deliberate_errors_keep_their_sentence(error, status, code):
    failure = failure_of(error)
    assert (failure.status, failure.code, failure.expected) == (status, code, True)
    if not isinstance(error, HTTPException):
        assert failure.message == str(error)


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), RuntimeError("/srv/x"), KeyError("secret"), OSError(5)])
def test_other_errors_say_nothing_and_are_for_the_log(error):
    failure = failure_of(error)
    assert (failure.status, failure.code, failure.expected) == (500, "internal", False)
    assert "secret" not in failure.message


def test_trouble_with_the_database_is_not_the_clients_business():
    failure = failure_of(StateError("cannot write to the state database /srv/shop/state.sqlite: disk full"))
    assert (failure.status, failure.code, failure.expected) == (503, "unavailable", False)
    assert failure.message == "The server cannot reach its data."
    assert failure.headers == {"retry-after": "1"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/shop/bundle/vectors/item.npy is damaged", "item.npy is damaged"),
        ("cannot open '/srv/a b/x'; copy /srv/shop again", "cannot open 'a b/x'; copy shop again"),
        ("(/etc/passwd)", "(passwd)"),
        ("next_item/hr@10 is 0.2, 1/2 of 3", "next_item/hr@10 is 0.2, 1/2 of 3"),
        ("see http://example.org/a/b", "see http://example.org/a/b"),
        ("nothing at all", "nothing at all"),
    ],
)
def test_paths_are_cut_down_to_their_last_part(text, told):
    assert without_paths(text) == told


def test_document_has_one_shape_and_can_always_be_written():
    error = {"code": "unknown_id", "message": "unknown id 5", "request_id": "r1"}
    assert error_document(failure_of(UnknownIdError("unknown id 5")), "r1") == {"error": error}
    response = error_response(failure_of(OverloadedError("half \ud800")), "r2")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert json.loads(bytes(response.body))["error"] == {
        "code": "overloaded", "message": "half \\ud800", "request_id": "r2"
    }  # fmt: skip


def test_many_problems_are_told_in_part():
    from prismrec.serving.schemas import Recommend

    with pytest.raises(ValueError) as caught:  # whatever pydantic says: it is told below
        Recommend.model_validate({f"x{i}": 1 for i in range(9)})
    message = failure_of(caught.value).message
    assert message.count("Extra inputs are not permitted") == 5
    assert message.endswith("; and 4 more")
