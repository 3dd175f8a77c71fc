"""Whatever is sent: never a 500, and every answer is what the OpenAPI document promises."""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.slow

OPERATIONS = [
    ("POST", "/v1/recommend"), ("POST", "/v1/similar"), ("POST", "/v1/items"), ("POST", "/v1/events"),
    ("GET", "/v1/items/{item_id}"), ("DELETE", "/v1/items/{item_id}"), ("DELETE", "/v1/users/{user_id}"),
    ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"),
    ("GET", "/admin/releases"), ("POST", "/admin/reload"), ("POST", "/admin/rollback"),
]  # fmt: skip
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def document(module_api):
    return module_api.app.openapi()


def send(api, case):
    """The case over this process's own transport."""
    sent = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
    headers = {name: value for name, value in sent["headers"].items() if name.lower() != "content-length"}
    body = {"json": sent["json"]} if "json" in sent else {"content": sent.get("data")}
    return api(sent["method"], sent["url"], headers=headers, params=sent.get("params"), **body)


def test_every_operation_of_the_document_is_tried(document):
    assert {(method.upper(), path) for path, item in document["paths"].items() for method in item} == set(OPERATIONS)


def tried(operation, mode, api, checks):
    @settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
    @given(operation.as_strategy(generation_mode=mode))
    def check(case):
        response = send(api, case)
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=checks)

    check()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_valid_requests_are_answered_as_the_document_says(module_api, document, method, path):
    tried(schemathesis.openapi.from_dict(document)[path][method], GenerationMode.POSITIVE, module_api, CHECKS)


@pytest.mark.parametrize(("method", "path"), [place for place in OPERATIONS if place[0] == "POST" and "v1" in place[1]])
def test_bodies_that_the_document_forbids_are_refused(module_api, document, method, path):
    operation = schemathesis.openapi.from_dict(document)[path][method]
    tried(operation, GenerationMode.NEGATIVE, module_api, [*CHECKS, negative_data_rejection])


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(body=st.binary(max_size=200), path=st.sampled_from([path for method, path in OPERATIONS if method == "POST"]))
def test_any_bytes_are_answered(module_api, path, body):
    response = module_api("POST", path, content=body, headers={"content-type": "application/json"})
    assert response.status_code < 500
    assert response.json()


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(place=st.text(max_size=60), method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"]))
def test_any_address_is_answered(module_api, method, place):
    for prefix in ("/", "/v1/items/", "/v1/users/", "/page/assets/"):
        try:
            url = httpx.URL("http://127.0.0.1:8000").copy_with(path=prefix + place)
        except (httpx.InvalidURL, UnicodeEncodeError):
            continue
        assert module_api(method, str(url)).status_code < 500
