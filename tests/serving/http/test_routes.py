"""The public API, asked in this process: what it answers is what the retriever says, and errors are of one shape."""

import re

import numpy as np
import pytest

from prismrec.retrieval.request import Diversity, Filters, Request, SimilarRequest

FIRST = 2**60


def error_of(response, status, code):
    """The message of an error, after a look at its shape."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["code"] == code
    assert error["request_id"] == response.headers["x-request-id"]
    return error["message"]


def ids_of(response):
    assert response.status_code == 200, response.text
    return [item["item_id"] for item in response.json()["items"]]


# ---- recommend ----


def test_recommendations_are_those_of_the_retriever(api):
    body = {"history": [FIRST, FIRST + 4], "k": 5, "weights": {"item": 1, "shop": -0.2}, "explain": True}
    answer = api("POST", "/v1/recommend", body).json()
    weights = {"item": 1.0, "shop": -0.2}
    expected = api.service.retriever.recommend([Request((FIRST, FIRST + 4), 5, weights=weights, explain=True)])[0]
    assert [item["item_id"] for item in answer["items"]] == expected.item_ids
    assert [item["score"] for item in answer["items"]] == [item.score for item in expected]
    first, wanted = answer["items"][0], expected[0]
    assert first["columns"] == wanted.columns
    assert first["explanation"]["views"] == wanted.explanation.views
    assert first["explanation"]["popularity"] == wanted.explanation.popularity
    assert first["explanation"]["history"] == [list(pair) for pair in wanted.explanation.history]
    assert (answer["basis"], answer["unknown_ids"], answer["release"]) == ("history", [], 1)


def test_ids_may_come_as_text_and_go_as_text(api):
    as_numbers = api("POST", "/v1/recommend", {"history": [FIRST], "k": 3})
    body = {"history": [str(FIRST), "nobody"], "k": 3, "text_ids": True, "explain": True}
    as_text = api("POST", "/v1/recommend", body)
    assert ids_of(as_text) == [str(item_id) for item_id in ids_of(as_numbers)]
    assert as_text.json()["unknown_ids"] == ["nobody"]
    assert as_text.json()["items"][0]["explanation"]["history"][0][0] == str(FIRST)


def test_unknown_ids_are_told_and_the_rest_is_answered(api):
    answer = api("POST", "/v1/recommend", {"history": [17, FIRST, "x"], "filters": {"block": [18]}}).json()
    assert answer["unknown_ids"] == [17, "x", 18]
    assert answer["basis"] == "history"


def test_nothing_known_is_answered_by_popularity(api):
    answer = api("POST", "/v1/recommend", {"user_id": "stranger", "k": 3})
    assert ids_of(answer) == [FIRST, FIRST + 1, FIRST + 2]
    assert answer.json()["basis"] == "popularity"


def test_preferences_stand_in_for_a_history(api):
    answer = api("POST", "/v1/recommend", {"preferences": {"category": ["cheese"]}, "weights": {"category": 1}})
    wanted = Request(k=20, preferences={"category": ("cheese",)}, weights={"category": 1.0})
    assert ids_of(answer) == api.service.retriever.recommend([wanted])[0].item_ids
    assert answer.json()["basis"] == "preferences"


def test_stored_history_comes_before_the_given_one(api):
    for at, item in enumerate((FIRST + 1, FIRST + 2)):
        api("POST", "/v1/events", {"user_id": 7, "item_id": item, "timestamp": at})
    answer = api("POST", "/v1/recommend", {"user_id": 7, "history": [FIRST + 3]})
    wanted = Request((FIRST + 1, FIRST + 2, FIRST + 3))
    assert ids_of(answer) == api.service.retriever.recommend([wanted])[0].item_ids


def test_query_settings_of_one_request(api):
    history = [FIRST + i for i in range(6)]
    knobs = {"recency_decay": 0.1, "history_length": 2, "popularity_weight": 0.0}
    answer = api("POST", "/v1/recommend", {"history": history, **knobs})
    query = api.service.bundle.contents.query.model_copy(update=knobs)
    wanted = api.service.retriever.recommend([Request(tuple(history), query=query)])[0]
    assert ids_of(answer) == wanted.item_ids
    assert ids_of(answer) != ids_of(api("POST", "/v1/recommend", {"history": history}))


def test_filters_hold(api):
    where = {"category": {"any_of": ["cheese"]}, "price": {"max": 4}}
    filters = {"where": where, "block": [FIRST + 6], "allow": [FIRST + i for i in range(12)]}
    answer = api("POST", "/v1/recommend", {"history": [FIRST], "filters": filters, "exclude_seen": False})
    assert set(ids_of(answer)) == {FIRST, FIRST + 9}  # 3 has no price


def test_diversity_is_a_number_or_an_object(api):
    knob = api("POST", "/v1/recommend", {"history": [FIRST], "k": 6, "diversity": 0.6})
    full = api("POST", "/v1/recommend", {"history": [FIRST], "k": 6, "diversity": {"level": 0.6}})
    assert knob.json() == full.json()
    report = knob.json()["report"]
    assert 0 < report["relevance_kept"] <= 1
    assert report["distinct"]["category"][1] <= 3
    quota = api("POST", "/v1/recommend", {"history": [FIRST], "k": 6, "diversity": {"quotas": {"category": 2}}})
    wanted = Request((FIRST,), 6, diversity=Diversity(quotas={"category": 2}))
    assert ids_of(quota) == api.service.retriever.recommend([wanted])[0].item_ids


def test_batch_is_answered_in_order_and_one_fault_stays_one(api):
    requests = [{"history": [FIRST], "k": 2}, {"weights": {"size": 1}}, {"user_id": "u", "k": 1, "text_ids": True}]
    answers = api("POST", "/v1/recommend", {"requests": requests}).json()["answers"]
    assert [item["item_id"] for item in answers[0]["items"]] == ids_of(api("POST", "/v1/recommend", requests[0]))
    assert "there is no view 'size'" in answers[1]["error"]["message"]
    assert answers[2]["items"][0]["item_id"] == str(FIRST)


# ---- similar ----


def test_similar_items_are_those_of_the_retriever(api):
    body = {"item_id": str(FIRST), "k": 4, "similarity": "cosine", "weights": {"item": 1, "category": 0.5}}
    wanted = SimilarRequest(FIRST, 4, {"item": 1.0, "category": 0.5}, "cosine", Filters())
    assert ids_of(api("POST", "/v1/similar", body)) == api.service.retriever.similar([wanted])[0].item_ids


def test_similar_to_an_unknown_item_is_a_404(api):
    message = error_of(api("POST", "/v1/similar", {"item_id": "nobody"}), 404, "unknown_id")
    assert "nobody" in message


def test_batch_of_similar_items_tells_the_unknown_in_its_place(api):
    answers = api("POST", "/v1/similar", {"requests": [{"item_id": 1}, {"item_id": FIRST, "k": 1}]}).json()["answers"]
    assert answers[0]["error"]["code"] == "unknown_id"
    assert len(answers[1]["items"]) == 1


# ---- items ----


def test_item_tells_what_is_known(api):
    card = api("GET", f"/v1/items/{FIRST + 4}").json()
    assert card == {
        "item_id": FIRST + 4,
        "columns": {"name": "article 4", "price": 1.0},
        "views": {"category": ["crème fraîche"], "shop": ["north"]},
        "count": 26,
        "added": False,
    }
    assert api("GET", f"/v1/items/{FIRST + 4}?text_ids=true").json()["item_id"] == str(FIRST + 4)


def test_unknown_item_is_a_404(api):
    assert "nobody" in error_of(api("GET", "/v1/items/nobody"), 404, "unknown_id")
    error_of(api("DELETE", "/v1/items/nobody"), 404, "unknown_id")


def test_added_item_is_answered_at_once_and_gone_when_deleted(api):
    new = {"item_id": "5", "views": {"category": ["cheese"]}, "columns": {"name": "gouda", "price": 3}}
    assert api("POST", "/v1/items", new).json() == {"item_ids": [5]}
    assert api("GET", "/v1/items/5").json()["added"] is True
    allowed = {"history": [FIRST], "filters": {"allow": [5]}}
    assert api("POST", "/v1/recommend", allowed).json()["items"][0]["columns"] == {"name": "gouda", "price": 3}
    assert api("DELETE", "/v1/items/5").json() == {"item_id": 5}
    assert ids_of(api("POST", "/v1/recommend", allowed)) == []
    error_of(api("GET", "/v1/items/5"), 404, "unknown_id")
    error_of(api("DELETE", "/v1/items/5"), 404, "unknown_id")


def test_deleted_item_of_the_bundle_comes_back_when_it_is_added_again(api):
    assert api("DELETE", f"/v1/items/{FIRST}").json() == {"item_id": FIRST}
    assert FIRST not in ids_of(api("POST", "/v1/recommend", {"k": 30}))
    api("POST", "/v1/items", {"items": [{"item_id": FIRST, "columns": {"price": 9.5}}]})
    card = api("GET", f"/v1/items/{FIRST}").json()
    assert card["columns"] == {"name": "article 0", "price": 9.5}
    assert FIRST in ids_of(api("POST", "/v1/recommend", {"k": 30}))


def test_items_that_do_not_fit_are_refused_and_none_is_stored(api):
    items = [{"item_id": 6}, {"item_id": 7, "views": {"size": ["xl"]}}]
    assert "there is no side view 'size'" in error_of(
        api("POST", "/v1/items", {"items": items}), 422, "invalid_request"
    )
    error_of(api("GET", "/v1/items/6"), 404, "unknown_id")
    assert api.service.state.changes().upserted == ()
    error_of(api("POST", "/v1/items", {"item_id": "no number"}), 422, "invalid_request")


# ---- events and users ----


def test_events_are_stored_once_under_their_id(api):
    one = {"user_id": "u", "item_id": FIRST, "event_id": "e1"}
    assert api("POST", "/v1/events", one).json() == {"stored": 1, "known": 0}
    assert api("POST", "/v1/events", {"events": [one, {**one, "event_id": "e2"}]}).json() == {"stored": 1, "known": 1}
    assert api.service.histories(["u"], 10) == {"u": (FIRST, FIRST)}


def test_events_are_stored_under_the_ids_that_the_bundle_has(api):
    api("POST", "/v1/events", {"user_id": "u", "item_id": str(FIRST)})
    api("POST", "/v1/events", {"user_id": "u", "item_id": "not yet known"})
    assert api.service.histories(["u"], 10) == {"u": (FIRST, "not yet known")}


def test_user_is_forgotten_under_both_spellings(api):
    for user in (7, "7", "u"):
        api("POST", "/v1/events", {"user_id": user, "item_id": FIRST})
    assert api("DELETE", "/v1/users/7").json() == {"events": 2}
    assert api("DELETE", "/v1/users/u").json() == {"events": 1}
    assert api("DELETE", "/v1/users/u").json() == {"events": 0}
    assert api.service.histories([7, "7", "u"], 10) == {7: (), "7": (), "u": ()}


def test_ids_with_slashes_and_spaces_have_addresses(api):
    api("POST", "/v1/events", {"user_id": "a/b c%", "item_id": FIRST})
    assert api("DELETE", "/v1/users/a%2Fb%20c%25").json() == {"events": 1}


# ---- errors ----


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"k": 0}, r"k: Input should be greater than or equal to 1"),
        ({"k": "5"}, r"k: Input should be a valid integer"),
        ({"history": [1.5]}, r"history.0: an id is text or an integer of 64 bits"),
        ({"colour": 1}, r"colour: Extra inputs are not permitted"),
        ({"diversity": 2}, r"diversity: Input should be less than or equal to 1"),
        ({"weights": {"size": 1}}, r"there is no view 'size'"),
        ({"requests": []}, r"requests: Tuple should have at least 1 item"),
        ({"requests": [{}, {"k": -1}]}, r"requests.1.k: "),
        ([1], r"Input should be an object"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(api, body, message):
    assert re.search(message, error_of(api("POST", "/v1/recommend", body), 422, "invalid_request"))


def test_body_must_be_json_by_name_and_by_content(api):
    plain = api("POST", "/v1/recommend", content=b"{}", headers={"content-type": "text/plain"})
    assert "expected a body of type application/json" in error_of(plain, 415, "unsupported_media_type")
    broken = api("POST", "/v1/recommend", content=b'{"k": ', headers={"content-type": "application/json"})
    assert "Invalid JSON" in error_of(broken, 422, "invalid_request")


def test_paths_and_methods_that_there_are_not_have_the_same_shape(api):
    error_of(api("GET", "/v1/nothing"), 404, "not_found")
    assert "POST" in api("GET", "/v1/recommend").headers["allow"]
    error_of(api("GET", "/v1/recommend"), 405, "method_not_allowed")
    error_of(api("GET", f"/v1/items/{FIRST}?text_ids=perhaps"), 422, "invalid_request")


def test_unexpected_errors_tell_their_request_id_and_nothing_else(api, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("secret at /srv/place")

    monkeypatch.setattr(api.service, "histories", broken)
    response = api("POST", "/v1/recommend", {"user_id": 1}, headers={"x-request-id": "mine"})
    message = error_of(response, 500, "internal")
    assert "secret" not in response.text
    assert message == "Something went wrong here; the log says what."
    assert response.headers["x-request-id"] == "mine"


# ---- a model that encodes its queries ----


def test_a_known_user_is_answered_by_their_vector_and_their_stored_history_is_left_out(encoded_api):
    encoded_api("POST", "/v1/events", {"events": [{"user_id": "ann", "item_id": FIRST + i} for i in (3, 9)]})
    answer = encoded_api("POST", "/v1/recommend", {"user_id": "ann", "k": 30}).json()
    contents = encoded_api.service.bundle.contents
    scores = contents.vectors["item"].target @ contents.encoder.arrays["users"][0]
    scores[[3, 9]] = -np.inf
    expected = [FIRST + i for i in np.argsort(-scores, kind="stable")[:28].tolist()]
    assert [item["item_id"] for item in answer["items"]] == expected
    assert answer["basis"] == "user"


def test_a_user_unknown_to_the_model_is_answered_by_their_history(encoded_api):
    encoded_api("POST", "/v1/events", {"user_id": "zoe", "item_id": FIRST + 3})
    answers = encoded_api("POST", "/v1/recommend", {"requests": [
        {"user_id": "zoe", "k": 4}, {"history": [FIRST + 3], "k": 4}, {"user_id": "nobody", "k": 4},
    ]}).json()["answers"]  # fmt: skip
    assert [answer["basis"] for answer in answers] == ["history", "history", "popularity"]
    assert answers[0] == answers[1]


def test_users_are_told_apart_in_the_state_and_read_as_the_model_has_them(encoded_api):
    number = encoded_api("POST", "/v1/recommend", {"user_id": 7, "k": 4}).json()
    text = encoded_api("POST", "/v1/recommend", {"user_id": "7", "k": 4}).json()
    assert (number["basis"], text["basis"]) == ("popularity", "user")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"weights": {"category": 1.0}}, "query.view_weights = {'category': 1.0} is for models whose queries mix"),
        ({"recency_decay": 0.5}, "recency_decay changes nothing here"),
        ({"history_length": 5}, "history_length changes nothing here"),
    ],
)
def test_what_means_nothing_to_an_encoder_is_refused(encoded_api, body, message):
    told = error_of(encoded_api("POST", "/v1/recommend", {"history": [FIRST], **body}), 422, "invalid_request")
    assert message in told


def test_filters_quotas_reasons_and_similar_items_work_with_an_encoder(encoded_api):
    filters = {"where": {"category": {"any_of": ["cheese"]}}}
    body = {"history": [FIRST, FIRST + 1], "k": 6, "filters": filters, "diversity": {"quotas": {"shop": 2}}}
    answer = encoded_api("POST", "/v1/recommend", {**body, "explain": True}).json()
    assert len(answer["items"]) == 4
    assert answer["report"]["distinct"]["category"] == [1, 1]
    for item in answer["items"]:
        told = item["explanation"]
        assert told["views"]["item"] == pytest.approx(item["score"], abs=1e-5)
        assert {item_id for item_id, _ in told["history"]} == {FIRST, FIRST + 1}
    plain = encoded_api("POST", "/v1/similar", {"item_id": FIRST, "k": 4}).json()
    assert plain == encoded_api("POST", "/v1/similar", {"item_id": FIRST, "k": 4, "similarity": "cosine"}).json()


def test_items_may_be_added_to_the_bundle_of_an_encoder(encoded_api):
    encoded_api("POST", "/v1/items", {"item_id": 5, "views": {"category": ["cheese"]}})
    answer = encoded_api("POST", "/v1/recommend", {"user_id": "ann", "history": [5], "k": 40, "exclude_seen": False})
    assert 5 in ids_of(answer)
    assert answer.json()["unknown_ids"] == [5]


def test_examples_of_the_description_run_with_an_encoder(encoded_api):
    paths = encoded_api("GET", "/openapi.json").json()["paths"]
    for path in ("/v1/recommend", "/v1/similar"):
        for content in paths[path]["post"]["requestBody"]["content"].values():
            for summary, example in content["examples"].items():
                answer = encoded_api("POST", path, example["value"])
                assert answer.status_code == 200, (summary, answer.text)
