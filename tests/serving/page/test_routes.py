"""The page over HTTP: what is cached and compressed, what is refused, what follows a new bundle."""

import gzip
import json
import re

import pytest

from prismrec.serving.page.settings import PageSettings
from prismrec.serving.page.work import Outcome, PageWork

BASE = 2**60


def test_page_is_served_with_a_strict_policy_and_asked_for_again(api):
    answer = api("GET", "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    again = api("GET", "/", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == policy, "a browser would take that of the 304"


def test_files_are_kept_for_good_under_their_digest(api):
    addresses = re.findall(r'(?:src|href)="(page/[^"]+)"', api("GET", "/").text)
    for address in addresses:
        answer = api("GET", f"/{address}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_older_page_gets_its_files_but_they_are_not_kept(api):
    answer = api("GET", "/page/assets/0123456789abcdef/main.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2fdata.py", "%2e%2e/data.py"])
def test_only_the_pages_own_files_are_served(api, name):
    assert api("GET", f"/page/assets/0123456789abcdef/{name}").status_code == 404


def test_large_files_come_compressed_to_those_who_take_it(api):
    address = "/page/assets/x/plotly.min.js"
    small = api("GET", address, headers={"accept-encoding": "gzip"})
    whole = api("GET", address, headers={"accept-encoding": "identity"})
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < 0.4 * int(whole.headers["content-length"])
    assert "content-encoding" not in whole.headers
    assert small.content == whole.content


def test_search_and_cards_give_large_ids_as_text(api):
    [hit] = api("GET", "/page/search", params={"q": "ARTICLE 7", "limit": 1}).json()["items"]
    assert (hit["id"], hit["name"], hit["views"]) == (
        str(BASE + 7),
        "article 7",
        {"category": ["crème fraîche"], "shop": ["south"]},
    )
    cards = api("GET", "/page/cards", params={"id": [str(BASE + 1), "gone"]}).json()["items"]
    assert [card.get("unknown", False) for card in cards] == [False, True]


def test_values_and_overview_are_answered(api):
    assert api("GET", "/page/values", params={"q": "creme"}).json()["values"] == [
        {"view": "category", "value": "crème fraîche", "n_items": 10}
    ]
    overview = api("GET", "/page/overview").json()
    assert (overview["n_items"], overview["name_column"]) == (30, "name")
    assert overview["title"] == "shop", "the name of the bundle, not the number of its release"


@pytest.mark.parametrize("address", ["/page/map", "/page/spread"])
def test_why_something_failed_is_told_without_the_folders(api, monkeypatch, address):
    failed = Outcome("failed", reason="ArtifactError: /srv/shop.serve/releases/000001/manifest.json is damaged")
    monkeypatch.setattr(PageWork, "outcome", lambda *_: failed)
    assert api("GET", address).json()["reason"] == "ArtifactError: manifest.json is damaged"


@pytest.mark.parametrize(
    "address", ["/page/search?limit=0", "/page/search?limit=51", "/page/search?q=" + "a" * 201, "/page/values?limit=x",
                "/page/cards?" + "&".join(["id=1"] * 101)],
)  # fmt: skip
def test_questions_beyond_the_limits_are_refused(api, address):
    assert api("GET", address).status_code == 422


def test_answers_are_compressed_where_it_is_worth_it_and_not_kept(api):
    answer = api("GET", "/page/map", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in api("GET", "/page/training").headers
    assert len(gzip.compress(answer.content)) < len(answer.content)


def test_map_and_spread_answer_at_once_and_say_what_is_coming(api):
    shown = api("GET", "/page/map").json()
    assert shown["status"] in ("working", "ready")
    assert len(shown["ids"]) == len(shown["x"]) == 30
    spread = api("GET", "/page/spread").json()
    assert spread["clicks"]["n_clicks"] == sum(range(1, 31))


def test_training_and_evaluation_of_a_bundle_without_them_are_empty(api):
    assert api("GET", "/page/training").json()["n_epochs"] == 0
    assert api("GET", "/page/evaluation").json() is None


def test_new_bundle_is_shown_without_a_restart(api, make_shop, shop):
    before = api("GET", "/page/overview").json()
    make_shop(shop, seed=9, n_items=12)
    api.service.reload()
    after = api("GET", "/page/overview").json()
    assert (before["n_items"], after["n_items"]) == (30, 12)
    assert api("GET", "/page/search", params={"q": "article 20"}).json()["items"] == []


def test_items_added_and_deleted_over_the_api_show_on_the_page(api):
    added = api(
        "POST", "/v1/items", {"item_id": BASE + 77, "columns": {"name": "<img src=x>"}, "views": {"shop": ["north"]}}
    )
    assert added.status_code == 200, added.text
    api("DELETE", f"/v1/items/{BASE + 7}")
    assert [item["name"] for item in api("GET", "/page/search", params={"q": "img"}).json()["items"]] == ["<img src=x>"]
    assert api("GET", "/page/search", params={"q": "article 7"}).json()["items"] == []


def test_page_is_no_part_of_the_public_description(api):
    assert not [path for path in api("GET", "/openapi.json").json()["paths"] if path == "/" or path.startswith("/page")]


def test_name_column_that_is_missing_is_told(make_api):
    answer = make_api({"page": PageSettings(name_column="label").model_dump()})("GET", "/page/overview")
    assert answer.status_code >= 400
    assert "label" in json.dumps(answer.json())
