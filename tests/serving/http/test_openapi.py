"""The OpenAPI document: examples that run, limits of the settings, the token where there is one."""

import json

import pytest

FIRST = 2**60


def document(api):
    return api("GET", "/openapi.json").json()


def examples(made):
    for path, item in made["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for summary, example in content["examples"].items():
                    yield method.upper(), path, summary, example["value"]


def test_every_example_runs_as_it_stands(api):
    tried = list(examples(document(api)))
    assert {path for _, path, _, _ in tried} == {"/v1/recommend", "/v1/similar", "/v1/items", "/v1/events"}
    assert len(tried) >= 10
    for method, path, summary, body in tried:
        response = api(method, path, body)
        assert response.status_code == 200, (summary, response.text)
        assert "error" not in response.text, summary
        assert not response.json().get("unknown_ids"), summary


def test_bodies_show_the_limits_of_the_settings(make_api):
    api = make_api({"limits": {"k": 77, "history": 33, "batch": 5, "text_length": 44, "conditions": 6, "pool": 99}})
    made = document(api)
    schemas = made["components"]["schemas"]
    recommend = schemas["Recommend"]["properties"]
    assert recommend["k"]["maximum"] == 77
    assert recommend["history"]["maxItems"] == 33
    assert recommend["history"]["items"]["anyOf"][1] == {"type": "string", "maxLength": 44}
    assert recommend["weights"]["anyOf"][0]["maxProperties"] == 6
    assert recommend["weights"]["anyOf"][0]["propertyNames"] == {"maxLength": 44}
    assert schemas["DiversityBody"]["properties"]["pool"]["maximum"] == 99
    assert schemas["RecommendBatch"]["properties"]["requests"]["maxItems"] == 5
    assert "x-" not in json.dumps(made)


def test_document_has_no_loose_ends(api):
    made = document(api)
    text = json.dumps(made)
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= set(made["components"]["schemas"])
    for item in made["paths"].values():
        for operation in item.values():
            assert operation["summary"]
            assert operation["description"]
            assert "default" in operation["responses"]


@pytest.mark.parametrize("token", [None, "a-token-of-some-length"])
def test_token_is_named_where_there_is_one(make_api, token):
    made = document(make_api(token=token))
    for path, item in made["paths"].items():
        for method, operation in item.items():
            is_write = path.startswith("/admin") or (
                path.startswith("/v1") and path not in ("/v1/recommend", "/v1/similar") and method != "get"
            )
            assert operation.get("security") == ([{"token": []}] if is_write and token else None), (method, path)
    schemes = made["components"].get("securitySchemes")
    assert schemes == ({"token": {"type": "http", "scheme": "bearer"}} if token else None)


def test_no_page_that_loads_scripts_from_elsewhere_is_served(api):
    assert api("GET", "/docs").status_code == 404
    assert api("GET", "/redoc").status_code == 404
