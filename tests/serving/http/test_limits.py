"""Size, depth, number and time of requests: what is too much is refused before it costs anything."""

import asyncio
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.serving.http.limits import depth_exceeds


def body_of_bytes(n):
    return b'{"user_id": "' + b"x" * (n - 15) + b'"}'


def post(api, content, **headers):
    return api("POST", "/v1/recommend", content=content, headers={"content-type": "application/json", **headers})


def code_of(response):
    return response.status_code, response.json()["error"]["code"]


def depth(value):
    if isinstance(value, dict):
        return 1 + max((depth(inner) for inner in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(
    st.recursive(
        st.integers() | st.text('[]{}"\\ax'),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('[]{}"\\a'), inner),
    ),
    st.integers(0, 6),
)
def test_depth_is_that_of_the_value_whatever_the_text_in_it(value, most):
    assert depth_exceeds(json.dumps(value).encode(), most) == (depth(value) > most)


def test_depth_of_broken_json_is_bounded_too():
    assert depth_exceeds(b"[" * 1000, 100)
    assert depth_exceeds(b'{"a":' * 1000, 100)
    assert not depth_exceeds(b']"[[[' * 50, 100)


def test_text_that_never_ends_is_read_once():
    started = time.process_time()
    assert not depth_exceeds(b"[]" * 40 + b'"' + b'\\"' * 500_000, 32)
    assert time.process_time() - started < 5, "trying again from every quote takes an hour"


def test_deep_bodies_are_refused(make_api):
    api = make_api({"limits": {"json_depth": 8}})
    assert post(api, b'{"filters": {"where": {"price": {"any_of": [1]}}}}').status_code == 200
    response = post(api, b'{"columns": ' + b"[" * 8 + b"]" * 8 + b"}")
    assert code_of(response) == (422, "invalid_request")
    assert "deeper than 8 in each other" in response.json()["error"]["message"]


def test_body_at_the_limit_is_taken_and_one_byte_more_is_not(make_api):
    api = make_api({"limits": {"body_bytes": 2000, "text_length": 5000}})
    assert post(api, body_of_bytes(2000)).status_code in (200, 422)
    response = post(api, body_of_bytes(2001))
    assert code_of(response) == (413, "too_large")
    assert "larger than 2000 bytes (limits.body_bytes)" in response.json()["error"]["message"]
    assert response.headers["connection"] == "close"


def test_body_is_counted_as_it_comes_whatever_the_header_says(make_api):
    api = make_api({"limits": {"body_bytes": 2000}})
    taken: list[int] = []

    async def endless():
        while len(taken) < 100:
            taken.append(1)
            yield b"x" * 500

    assert code_of(post(api, endless())) == (413, "too_large")
    assert len(taken) <= 6, "the rest is not read"


@pytest.mark.parametrize("body", ["NaN", "[Infinity]", '{"columns": {"a": -Infinity}, "item_id": 1}'])
def test_pythons_own_dialect_of_json_is_refused(api, body):
    response = api("POST", "/v1/items", content=body.encode(), headers={"content-type": "application/json"})
    assert code_of(response) == (422, "invalid_request")


def test_text_may_say_nan(api):
    assert post(api, b'{"user_id": "NaN Infinity"}').status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("application/json; charset=utf-8", 200), ("Application/JSON", 200),
                                              ("text/json", 415), ("application/xml", 415), ("", 415)])  # fmt: skip
def test_bodies_are_json_by_name(api, kind, status):
    assert api("POST", "/v1/recommend", content=b"{}", headers={"content-type": kind}).status_code == status


class Held:
    """Holds the answers back until it is let go."""

    def __init__(self, api, monkeypatch):
        self.go, self.asked = threading.Event(), 0
        answer = api.service.answer

        def held(questions):
            self.asked += 1
            assert self.go.wait(20)
            return answer(questions)

        monkeypatch.setattr(api.service, "answer", held)

    async def until_asked(self):
        while not self.asked:
            await asyncio.sleep(0.001)


def test_more_requests_than_at_once_are_told_to_come_back(make_api, monkeypatch):
    api = make_api({"traffic": {"requests": 2}})
    held = Held(api, monkeypatch)

    async def ask():
        tasks = [asyncio.create_task(api.client.post("/v1/recommend", json={})) for _ in range(2)]
        await held.until_asked()
        refused = await api.client.post("/v1/recommend", json={})
        alive = [(await api.client.get(path)).status_code for path in ("/health", "/ready", "/metrics")]
        held.go.set()
        return refused, alive, [response.status_code for response in await asyncio.gather(*tasks)]

    refused, alive, answered = api.run(ask())
    assert code_of(refused) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert alive == [200, 200, 200], "operators are answered however busy the server is"
    assert answered == [200, 200]
    assert api("POST", "/v1/recommend", {}).status_code == 200, "places are given back"


def test_more_questions_than_may_wait_are_refused(make_api, monkeypatch):
    api = make_api({"traffic": {"waiting": 3}, "limits": {"batch": 10}})
    response = api("POST", "/v1/recommend", {"requests": [{}] * 4})
    assert code_of(response) == (503, "overloaded")
    assert api("POST", "/v1/recommend", {"requests": [{}] * 3}).status_code == 200


def test_request_that_takes_too_long_is_given_up(make_api, monkeypatch):
    api = make_api({"traffic": {"request_seconds": 0.2}})
    held = Held(api, monkeypatch)
    response = api("POST", "/v1/recommend", {})
    held.go.set()
    assert code_of(response) == (503, "timeout")
    assert response.headers["retry-after"] == "1"
    assert "no answer within 0.2 s" in response.json()["error"]["message"]


def test_body_that_trickles_is_given_up(make_api):
    api = make_api({"traffic": {"request_seconds": 0.2}})

    async def trickle():
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.1)

    assert code_of(post(api, trickle())) == (503, "timeout")
