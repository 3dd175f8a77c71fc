"""Bodies: what is taken, what is refused and how that is told; limits are those of the settings."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from prismrec.retrieval.request import Condition, Diversity, Filters, NewItem
from prismrec.serving.schemas import (
    LARGEST_ID,
    LEAST_ID,
    LIMIT_MARK,
    Event,
    EventBatch,
    EventBody,
    Item,
    ItemBody,
    Recommend,
    RecommendBatch,
    RecommendBody,
    Similar,
    SimilarBody,
)
from prismrec.serving.settings import LimitSettings

LIMITS = LimitSettings(k=50, history=3, batch=2, filter_values=4, conditions=2, text_length=8, pool=60)
BODIES: dict[str, Any] = {"recommend": RecommendBody, "similar": SimilarBody, "items": ItemBody, "events": EventBody}
ADAPTERS: dict[str, TypeAdapter] = {name: TypeAdapter(body) for name, body in BODIES.items()}


def read(kind, body, limits=LIMITS):
    text = body if isinstance(body, str) else json.dumps(body)
    return ADAPTERS[kind].validate_json(text, strict=True, context=limits)


def problems(kind, body, limits=LIMITS):
    with pytest.raises(ValidationError) as caught:
        read(kind, body, limits)
    return [p["msg"] for p in caught.value.errors()]


def test_one_request_or_several_are_told_apart():
    assert read("recommend", {"k": 5}) == Recommend(k=5)
    assert read("recommend", {"requests": [{"k": 5}, {}]}) == RecommendBatch(requests=(Recommend(k=5), Recommend()))
    assert isinstance(read("similar", {"item_id": 1}), Similar)
    assert isinstance(read("events", {"events": [{"user_id": 1, "item_id": 2}]}), EventBatch)
    assert problems("recommend", {"requests": [{}], "k": 3}) == ["Extra inputs are not permitted"]
    assert problems("events", {"items": []}) == ["Field required", "Extra inputs are not permitted"]


@pytest.mark.parametrize("item_id", [0, -5, LEAST_ID, LARGEST_ID, 2**53 + 1, "", "7", "crème 🧀"])
def test_ids_are_integers_and_text_unchanged(item_id):
    found = read("similar", {"item_id": item_id})
    assert found.item_id == item_id
    assert type(found.item_id) is type(item_id)


@pytest.mark.parametrize("item_id", [1.0, True, None, [1], {}, LEAST_ID - 1, LARGEST_ID + 1])
def test_what_is_no_id_is_refused(item_id):
    assert problems("similar", {"item_id": item_id}) == ["an id is text or an integer of 64 bits"]


@pytest.mark.parametrize(
    ("body", "name", "size", "bound"),
    [
        ({"k": 51}, "k", 51, 50),
        ({"history": [1, 2, 3, 4]}, "history", 4, 3),
        ({"history": ["123456789"]}, "text_length", 9, 8),
        ({"history_length": 4}, "history", 4, 3),
        ({"requests": [{}, {}, {}]}, "batch", 3, 2),
        ({"filters": {"allow": [1, 2, 3, 4, 5]}}, "filter_values", 5, 4),
        ({"filters": {"block": [1, 2, 3, 4, 5]}}, "filter_values", 5, 4),
        ({"filters": {"where": {"a": {"any_of": [1, 2, 3, 4, 5]}}}}, "filter_values", 5, 4),
        ({"filters": {"where": {"a": {"none_of": [1, 2, 3, 4, 5]}}}}, "filter_values", 5, 4),
        ({"filters": {"where": {"a": {}, "b": {}, "c": {}}}}, "conditions", 3, 2),
        ({"weights": {"a": 1, "b": 1, "c": 1}}, "conditions", 3, 2),
        ({"weights": {"123456789": 1}}, "text_length", 9, 8),
        ({"preferences": {"a": [1, 2, 3, 4, 5]}}, "filter_values", 5, 4),
        ({"diversity": {"pool": 61}}, "pool", 61, 60),
        ({"diversity": {"quotas": {"a": 1, "b": 1, "c": 1}}}, "conditions", 3, 2),
    ],
)
def test_limits_are_those_of_the_settings_and_tell_their_name(body, name, size, bound):
    assert problems("recommend", body) == [f"{size} is more than this server takes: limits.{name} is {bound}"]
    looser = LIMITS.model_copy(update={name: size})
    assert read("recommend", body, looser)


def test_at_the_limit_is_within_it():
    body = {"k": 50, "history": [1, "12345678", 3], "weights": {"a": 1, "b": 2}, "diversity": {"pool": 60}}
    assert read("recommend", body).k == 50


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_are_finite(number):
    for body in ('{"weights": {"item": %s}}', '{"diversity": %s}', '{"popularity_weight": %s}'):
        assert problems("recommend", body % number)


@pytest.mark.parametrize("body", [{"explain": 1}, {"k": 5.0}, {"k": True}, {"weights": {"a": "1"}}, {"explain": "yes"}])
def test_nothing_is_taken_for_something_else(body):
    assert len(problems("recommend", body)) == 1


def test_diversity_is_a_level_or_all_of_it():
    assert read("recommend", {"diversity": 1}).spread == Diversity(level=1.0)
    full = {"level": 0.5, "method": "dpp", "views": {"shop": 2}, "quotas": {"shop": 3}, "pool": 60}
    assert read("recommend", {"diversity": full}).spread.model_dump() == Diversity(**full).model_dump()
    assert read("recommend", {}).spread == Diversity()


def test_filters_become_those_of_the_retriever_with_ids_parsed():
    body = {"filters": {"where": {"price": {"min": 1, "max": 2.5}}, "allow": ["1", 2], "block": ["3"]}}
    filters = read("recommend", body).filters_for(lambda i: int(i))
    assert (filters.allow, filters.block) == ((1, 2), (3,))
    assert filters.where["price"].model_dump() == Condition(min=1, max=2.5).model_dump()
    assert read("recommend", {"filters": {}}).filters_for(int).model_dump() == Filters().model_dump()
    assert read("recommend", {}).filters_for(int) == Filters()


def test_item_becomes_a_new_item():
    body = {"item_id": "5", "views": {"category": ["cheese", 1]}, "columns": {"name": "gouda", "tags": ["a", None]}}
    expected = NewItem(item_id=5, views={"category": ["cheese", 1]}, columns={"name": "gouda", "tags": ["a", None]})
    assert read("items", body).new_item(int) == expected
    assert read("items", {"item_id": 5}) == Item(item_id=5)


@pytest.mark.parametrize("timestamp", [0, 1.7e9, -1e9, None])
def test_event_times_are_seconds(timestamp):
    assert read("events", {"user_id": 1, "item_id": 2, "timestamp": timestamp}).timestamp == timestamp


@pytest.mark.parametrize("timestamp", [1.7e12, "2024-01-01", -1e11])
def test_event_times_in_other_units_are_refused(timestamp):
    assert problems("events", {"user_id": 1, "item_id": 2, "timestamp": timestamp})


def test_event_without_time_or_name():
    assert read("events", {"user_id": "u", "item_id": 2}) == Event(user_id="u", item_id=2)


@pytest.mark.parametrize("kind", BODIES)
def test_schema_names_no_limit_that_the_settings_lack(kind):
    def marks(node):
        if isinstance(node, dict):
            yield from ([node[LIMIT_MARK]] if LIMIT_MARK in node else [])
            node = list(node.values())
        if isinstance(node, list):
            for inner in node:
                yield from marks(inner)

    found = set(marks(ADAPTERS[kind].json_schema()))
    assert "batch" in found
    assert found <= set(LimitSettings.model_fields)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["k", "history", "requests"]), inner),
))  # fmt: skip
def test_any_json_is_taken_or_refused_and_nothing_else(value):
    for adapter in ADAPTERS.values():
        with contextlib.suppress(ValidationError):
            adapter.validate_json(json.dumps(value), strict=True, context=LIMITS)
