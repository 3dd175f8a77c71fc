"""Health, readiness and releases over HTTP."""

import pytest

from prismrec.serving.service import Service


def test_health_is_about_the_process_and_readiness_about_requests(api):
    assert api("GET", "/health").json() == {"status": "alive"}
    assert api("GET", "/ready").json() == {"status": "ready"}
    api.service.draining = True
    assert api("GET", "/health").status_code == 200
    response = api("GET", "/ready")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")
    assert response.headers["retry-after"] == "1"


def test_server_without_a_usable_release_says_so_until_it_has_one(make_api, monkeypatch):
    from prismrec.errors import ArtifactError

    def broken(self):
        raise ArtifactError("the bundle is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(Service, "_load_current", broken)
        api = make_api()
        assert api("GET", "/health").status_code == 200
        for method, path in (("GET", "/ready"), ("POST", "/v1/recommend"), ("GET", "/v1/items/5")):
            response = api(method, path, {} if method == "POST" else None)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
        assert api("GET", "/openapi.json").status_code == 200
        assert "prismrec_refresh_failures_total 1.0" in api("GET", "/metrics").text
    api.service.refresh()
    assert api("GET", "/ready").status_code == 200


def test_reload_tells_whether_anything_changed(api, shop, make_shop):
    same = api("POST", "/admin/reload").json()
    assert (same["release"]["number"], same["changed"]) == (1, False)
    make_shop(shop, seed=8)
    other = api("POST", "/admin/reload").json()
    assert (other["release"]["number"], other["changed"]) == (2, True)
    assert api("POST", "/v1/recommend", {"k": 1}).json()["release"] == 2
    back = api("POST", "/admin/rollback").json()
    assert (back["release"]["number"], back["changed"]) == (1, True)


def test_rollback_without_an_earlier_release_is_refused(api):
    response = api("POST", "/admin/rollback")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "refused")
    assert "no earlier release" in response.json()["error"]["message"]


def test_bundle_below_a_floor_is_refused_with_its_figure(make_api, shop, make_shop):
    api = make_api({"releases": {"floors": {"next_item/hr@10": 0.2}}})
    make_shop(shop, seed=8, metrics={"next_item/hr@10": 0.1})
    response = api("POST", "/admin/reload")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "refused")
    assert "shop is not served: next_item/hr@10 is 0.1, below the floor of 0.2" in response.json()["error"]["message"]
    assert str(shop) not in response.text
    told = api("GET", "/admin/releases").json()
    assert (told["current"], told["loaded"]) == (1, 1)
    assert [release["number"] for release in told["releases"]] == [1]
    assert [refusal["bundle"] for refusal in told["refused"]] == ["shop"]
    assert str(shop.parent) not in str(told)


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/similar", "/v1/items", "/v1/events"])
def test_state_that_fails_is_a_503_without_details(api, monkeypatch, path):
    from prismrec.serving.state.store import StateError

    def broken(*arguments):
        raise StateError("cannot write to /srv/shop/state.sqlite")

    for name in ("append", "histories", "put_items", "changes"):
        monkeypatch.setattr(api.service.state, name, broken)
    bodies = {
        "/v1/recommend": {"user_id": 1},
        "/v1/similar": {"item_id": 2**60},
        "/v1/items": {"item_id": 5},
        "/v1/events": {"user_id": 1, "item_id": 2},
    }
    response = api("POST", path, bodies[path])
    if path == "/v1/similar":
        assert response.status_code == 200, "what needs no state is answered"
    else:
        assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")
        assert "srv" not in response.text
