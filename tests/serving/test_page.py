"""The explorer page in a real Chromium, through the real server, on a model of real data: what a merchandiser does."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from prismrec.data.vocabulary import Vocabulary
from prismrec.evaluation.protocols import EvaluationSettings, Results
from prismrec.evaluation.tables import Experiment, compare, to_json
from prismrec.models.contract import StoredEncoder
from prismrec.pipeline import train
from prismrec.retrieval.blend import QuerySettings
from prismrec.retrieval.bundle import Bundle
from prismrec.settings import demo_settings

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync",
)  # fmt: skip
QUICK = ("training.epochs=2", "training.threads=1", "model.embedding_dim=16")
PAGE = ("serving.page.map_items=400", "serving.page.reach_queries=50")
HOSTILE = "<img src=x onerror=\"document.title='broken in'\">"
TABS = ("neighbours", "session", "map", "model")
WAIT = 20_000  # milliseconds
PATIENCE = 300_000  # for what is worked out at the lowest priority, beside other tests


# ---- a model, a server, a browser ----


def comparison() -> dict[str, Any]:
    """What `prismrec evaluate -o` writes, of two invented models."""
    hits = np.arange(80) % 4 == 0

    def results(shift: int) -> Results:
        return Results(
            values={"HR@10": np.roll(hits, shift).astype(float) * (1 + shift) / 2, "HR@50": hits.astype(float)},
            slices={"all": np.ones(80, bool), "rare": np.arange(80) < 20}, clusters=pa.array(range(80)),
            totals={"coverage@10": 0.1, "coverage@50": 0.25},
            counts={"queries": 80, "targets": 80, "unknown_targets": 0, "seen_targets": 0, "empty_truths": 0},
            n_items=500, exclude_seen=True, score_seconds=0.1, rank_seconds=0.1,
        )  # fmt: skip

    found = {"popularity": results(0), "m2grl": results(1)}
    compared = compare(found, Experiment("invented", "next_item", ("popularity",)), EvaluationSettings(n_resamples=100))
    document: dict[str, Any] = json.loads(json.dumps(to_json(compared)))
    return document


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A quick model of the bundled purchases; one item is called what no page should obey."""
    folder = tmp_path_factory.mktemp("page")
    trained = train(demo_settings(list(QUICK)), folder / "trained", tune_on_validation=False)
    table = trained.contents.item_columns
    assert table is not None
    names = table["name"].to_pylist()
    names[5] = HOSTILE
    table = table.set_column(table.column_names.index("name"), "name", pa.array(names))
    contents = dataclasses.replace(trained.contents, item_columns=table, evaluation=comparison())
    return Bundle.write(folder / "bundle", contents)


@pytest.fixture(scope="module")
def encoded(bundle: Bundle) -> Bundle:
    """The same items by a model that encodes histories as the mean of their vectors, and knows one user."""
    plain = bundle.contents
    sources = np.asarray(plain.vectors["item"].source)
    contents = dataclasses.replace(
        plain,
        vectors={"item": plain.vectors["item"]},
        alignment={},
        query=QuerySettings(popularity_weight=0.0),
        encoder=StoredEncoder("mf", {}, {"users": sources[:1], "sources": sources}, knows_users=True),
        users=Vocabulary.from_ids(["ann"]),
    )
    return Bundle.write(bundle.path.with_name("encoded"), contents)


@pytest.fixture(scope="module")
def server(bundle: Bundle) -> Iterator[str]:
    """`prismrec serve` on the model."""
    with served(bundle) as url:
        yield url


@pytest.fixture(scope="module")
def encoded_server(encoded: Bundle) -> Iterator[str]:
    """`prismrec serve` on the model that encodes histories."""
    with served(encoded) as url:
        yield url


@contextlib.contextmanager
def served(bundle: Bundle) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = bundle.path.with_name(f"{bundle.path.name}.log")
    changes = [part for change in PAGE for part in ("--set", change)]
    command = [sys.executable, "-m", "prismrec", "serve", str(bundle.path), "--port", str(port), *changes]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while not is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"the server did not come up:\n{log.read_text()}")
        time.sleep(0.1)
    yield url
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; missing, it fails in CI and is skipped aloud elsewhere."""
    if not CHROMIUM.exists():
        missing = f"{CHROMIUM} is not there: apt-get install chromium"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[Any]:
    """Open the page: `open_page("#/map", width=360)`. Anything that goes wrong in it fails the test."""
    contexts, wrong = [], []

    def watch(page: Page, url: str) -> None:
        page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type != "log" else None)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        # a newer question drops the older one: that is no failure
        page.on(
            "requestfailed", lambda r: wrong.append(f"failed: {r.url}") if r.failure != "net::ERR_ABORTED" else None
        )
        page.on("request", lambda r: wrong.append(f"foreign: {r.url}") if not r.url.startswith(url) else None)

    def start(
        address: str = "", width: int = 1280, height: int = 860, watched: bool = True, url: str = server, **options: Any
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        if watched:
            watch(page, url)
        page.goto(f"{url}/{address}")
        return page

    yield start
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page(open_page: Any) -> Page:
    """The page as it opens, its lists filled."""
    opened: Page = open_page()
    settled(opened)
    return opened


def settled(page: Page) -> None:
    """Wait until the columns of the neighbours are filled."""
    for column in ("blend", "item", "category", "shop"):
        expect(column_of(page, column).locator("li.row").first).to_be_attached(timeout=WAIT)


def column_of(page: Page, name: str) -> Locator:
    return page.locator(f"#panel-neighbours [data-column={name}]")


def ids_in(place: Locator) -> list[str]:
    ids: list[str] = place.locator("li.row[data-id]").evaluate_all("rows => rows.map((row) => row.dataset.id)")
    return ids


def asked(server: str, name: str, **body: Any) -> list[str]:
    """Ids that the public API answers with."""
    answer = httpx.post(f"{server}/v1/{name}", json={**body, "text_ids": True})
    return [item["item_id"] for item in answer.json()["items"]]


def expect_ids(place: Locator, ids: list[str]) -> None:
    expect(place.locator("li.row").first).to_be_visible(timeout=WAIT)
    deadline = time.monotonic() + WAIT / 1000
    while ids_in(place) != ids:
        assert time.monotonic() < deadline, f"{ids_in(place)} instead of {ids}"
        time.sleep(0.05)


def slide(page: Page, id_: str, value: float) -> None:
    page.locator(f"#{id_}").fill(str(value))


def defaults(bundle: Bundle) -> dict[str, Any]:
    """What the page asks of an item unless told otherwise."""
    query = bundle.contents.query
    weights = {view: query.view_weights.get(view, 0.0) for view in bundle.views}
    popularity = round(query.popularity_weight / 3 * 20) / 20
    return {"k": 12, "weights": weights, "popularity_weight": popularity}


def id_at(bundle: Bundle, index: int) -> str:
    return str(bundle.items.id_of(index))


# ---- neighbours ----


def test_page_opens_with_the_most_clicked_item_and_its_neighbours(page, bundle, server):
    expect(page.locator("h1:visible")).to_have_text("Tropical Fruit: Bananas, 40 LB")
    own = defaults(bundle)
    first = id_at(bundle, 0)
    expect_ids(column_of(page, "blend"), asked(server, "recommend", history=[first], **own))
    for view in bundle.views:
        alone = {**own, "weights": {view: 1}}
        expect_ids(column_of(page, view), asked(server, "recommend", history=[first], **alone))
    assert page.title() == "Complete Journey (sample) · PrismRec explorer"


def test_item_is_found_by_name_and_its_neighbours_shown(page, bundle, server):
    box = page.get_by_role("combobox", name="Search an item by name or id")
    box.click()
    page.keyboard.type("STRÀWBERR", delay=15)
    option = page.get_by_role("option").first
    expect(option).to_contain_text("Strawberries")
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == option.get_attribute("id")
    page.keyboard.press("Enter")
    expect(page.locator("h1:visible")).to_contain_text("Strawberries")
    chosen = re.search(r"item=(\d+)", page.url).group(1)
    expect_ids(column_of(page, "blend"), asked(server, "recommend", history=[chosen], **defaults(bundle)))
    page.go_back()
    expect(page.locator("h1:visible")).to_contain_text("Bananas")


def test_weight_slider_changes_the_blended_list_and_no_other(page, bundle, server):
    before = {view: ids_in(column_of(page, view)) for view in bundle.views}
    slide(page, "neighbours-weight-category", -2)
    own = defaults(bundle)
    expect_ids(
        column_of(page, "blend"),
        asked(
            server, "recommend", history=[id_at(bundle, 0)], **{**own, "weights": {**own["weights"], "category": -2}}
        ),
    )
    assert {view: ids_in(column_of(page, view)) for view in bundle.views} == before
    expect(page.locator("output[for=neighbours-weight-category]")).to_have_text("−2.00")
    page.get_by_role("button", name="Back to the model's own settings").click()
    expect_ids(column_of(page, "blend"), asked(server, "recommend", history=[id_at(bundle, 0)], **own))


def test_popularity_slider_changes_every_list(page, bundle, server):
    slide(page, "neighbours-popularity", 1.5)
    own = {**defaults(bundle), "popularity_weight": 1.5}
    expect_ids(column_of(page, "blend"), asked(server, "recommend", history=[id_at(bundle, 0)], **own))
    expect_ids(
        column_of(page, "shop"),
        asked(server, "recommend", history=[id_at(bundle, 0)], **{**own, "weights": {"shop": 1}}),
    )


def test_diversity_slider_tells_what_it_gives_and_takes(page, bundle, server):
    report = page.locator("#neighbours-report")
    expect(report).to_have_text("By score alone: nothing given up.")
    slide(page, "neighbours-diversity", 1)
    expect(report).to_contain_text("of the relevance kept")
    answer = httpx.post(
        f"{server}/v1/recommend",
        json={"history": [id_at(bundle, 0)], "diversity": 1, "text_ids": True, **defaults(bundle)},
    ).json()
    expect_ids(column_of(page, "blend"), [item["item_id"] for item in answer["items"]])
    before, after = answer["report"]["distinct"]["category"]
    expect(report).to_contain_text(f"{100 * answer['report']['relevance_kept']:.1f} %")
    expect(report).to_contain_text(f"categories in the list{before} → {after}")
    assert after > before, "with this much diversity there must be more categories"


def test_likeness_is_another_question_without_popularity(page, bundle, server):
    page.get_by_label("Is used like it").check()
    own = defaults(bundle)
    like = {"item_id": id_at(bundle, 0), "similarity": "cosine", "k": 12}
    expect_ids(column_of(page, "blend"), asked(server, "similar", **like, weights=own["weights"]))
    expect_ids(column_of(page, "category"), asked(server, "similar", **like, weights={"category": 1}))
    expect(page.locator("#neighbours-popularity")).to_be_disabled()


def test_answers_that_come_late_are_dropped(page, bundle, server):
    held: list[Any] = []

    def hold_first(route):
        if len(held) == 0:
            held.append(route)
        else:
            route.continue_()

    page.route(
        "**/v1/recommend",
        lambda route: route.continue_() if '"requests"' in route.request.post_data else hold_first(route),
    )
    slide(page, "neighbours-weight-item", 0)
    page.wait_for_timeout(200)
    slide(page, "neighbours-weight-item", 2)
    own = defaults(bundle)
    expected = asked(
        server, "recommend", history=[id_at(bundle, 0)], **{**own, "weights": {**own["weights"], "item": 2}}
    )
    expect_ids(column_of(page, "blend"), expected)
    assert len(held) == 1
    late = json.dumps({"items": [], "unknown_ids": [], "basis": "history", "release": 1})
    held[0].fulfill(status=200, content_type="application/json", body=late)
    page.wait_for_timeout(300)
    assert ids_in(column_of(page, "blend")) == expected


def test_dragging_a_slider_asks_now_and_then_not_every_step(page):
    questions = []
    page.on("request", lambda r: questions.append(r) if "/v1/" in r.url else None)
    page.locator("#neighbours-weight-item").evaluate(
        """(slider) => {
            for (let step = 0; step < 30; step++) {
                slider.value = step / 20;
                slider.dispatchEvent(new Event("input", { bubbles: true }));
            }
        }"""
    )
    page.wait_for_timeout(500)
    assert 1 <= len(questions) <= 3


def test_filters_keep_only_or_leave_out_a_value(page, bundle, server):
    box = page.get_by_role("combobox", name="Filter by category or shop").first
    box.click()
    page.keyboard.type("potato chips", delay=10)
    page.get_by_role("option").filter(has_text="POTATO CHIPS").first.click()
    own = {"history": [id_at(bundle, 0)], **defaults(bundle)}
    only = asked(server, "recommend", **own, filters={"where": {"category": {"any_of": ["POTATO CHIPS"]}}})
    assert len(only) == 12
    expect_ids(column_of(page, "blend"), only)
    page.get_by_role("button", name="only", exact=True).click()
    expect_ids(
        column_of(page, "blend"),
        asked(server, "recommend", **own, filters={"where": {"category": {"none_of": ["POTATO CHIPS"]}}}),
    )
    page.get_by_role("button", name="Remove the filter POTATO CHIPS").click()
    expect_ids(column_of(page, "blend"), asked(server, "recommend", **own))


def test_filter_by_a_numbered_shop_compares_numbers(page, bundle, server):
    box = page.get_by_role("combobox", name="Filter by category or shop").first
    box.click()
    page.keyboard.type("69", delay=10)
    page.get_by_role("option").filter(has_text="Shop").first.click()
    own = {"history": [id_at(bundle, 0)], **defaults(bundle)}
    expect_ids(
        column_of(page, "blend"), asked(server, "recommend", **own, filters={"where": {"shop": {"any_of": [69]}}})
    )


def test_reason_of_a_recommendation_adds_up_to_its_score(page):
    row = column_of(page, "blend").locator("li.row").first
    row.get_by_role("button", name=re.compile("^Why")).click()
    why = row.locator(".why")
    expect(why).to_contain_text("is the sum of these parts")
    number = lambda text: float(text.replace("−", "-").replace("+", ""))  # noqa: E731
    score = number(re.search(r"score of (−?[\d.]+)", why.inner_text()).group(1))
    parts = [number(text) for text in why.locator(".number").all_inner_texts()]
    assert len(parts) >= 2
    assert sum(parts) == pytest.approx(score, abs=0.005 * (len(parts) + 1))


def test_name_of_an_item_is_never_markup(page, bundle):
    box = page.get_by_role("combobox", name="Search an item by name or id")
    box.fill("onerror")
    expect(page.get_by_role("option").first).to_contain_text(HOSTILE)
    page.keyboard.press("Enter")
    expect(page.locator("h1:visible")).to_have_text(HOSTILE)
    page.get_by_role("button", name="Add to session").click()
    page.get_by_role("tab", name="Session").click()
    expect(page.locator(".steps")).to_contain_text(HOSTILE)
    page.get_by_role("tab", name="Map").click()
    expect(page.locator("#panel-map h2")).to_have_text(HOSTILE)
    assert page.locator("main img").count() == 0
    assert "broken in" not in page.title()


# ---- session ----


def test_recommendations_follow_the_session(open_page, bundle, server):
    page = open_page("#/session")
    steps, following = page.locator(".steps"), page.locator("#panel-session .column")
    query = bundle.contents.query
    own = {"k": 12, "weights": defaults(bundle)["weights"], "popularity_weight": query.popularity_weight}
    expect_ids(following, asked(server, "recommend", **own))
    expect(page.locator("#panel-session")).to_contain_text("the most popular items lead")
    page.locator(".starters button").first.click()
    first = id_at(bundle, 0)
    expect_ids(following, asked(server, "recommend", history=[first], **own))
    following.locator("button.name").nth(2).click()
    third = asked(server, "recommend", history=[first], **own)[2]
    expect_ids(following, asked(server, "recommend", history=[first, third], **own))
    expect(steps.locator("li")).to_have_count(2)

    steps.locator("li").first.get_by_role("button", name=re.compile("Later")).click()
    expect_ids(following, asked(server, "recommend", history=[third, first], **own))
    page.wait_for_url(f"**s={third}&s={first}*")
    shared = page.url
    steps.locator("li").first.get_by_role("button", name=re.compile("Remove")).click()
    expect_ids(following, asked(server, "recommend", history=[first], **own))

    again = open_page(shared.partition("/")[2].partition("/")[2].partition("/")[2])
    expect_ids(again.locator("#panel-session .column"), asked(server, "recommend", history=[third, first], **own))
    expect(again.locator(".steps li").last).to_contain_text("Bananas")


def test_reason_in_a_session_names_the_items_that_speak_for_it(open_page, bundle):
    page = open_page(f"#/session?s={id_at(bundle, 0)}&s={id_at(bundle, 2)}")
    row = page.locator("#panel-session .column li.row").first
    row.get_by_role("button", name=re.compile("^Why")).click()
    expect(row.locator(".why")).to_contain_text("Most of it from:")
    expect(row.locator(".why")).to_contain_text("Bananas")


def test_items_that_nobody_knows_are_told(open_page):
    page = open_page("#/session?s=nonsense")
    expect(page.locator("#panel-session")).to_contain_text("Not known here: nonsense.")
    expect(page.locator(".steps li")).to_contain_text("not in this bundle")


# ---- map ----


def points(page: Page, server: str) -> list[tuple[str, str, float, float]]:
    """(id, name, x, y) of the items on the map, in pixels of the page."""
    shown = httpx.get(f"{server}/page/map").json()
    box = page.locator("canvas").bounding_box()
    assert box is not None
    unit = 0.46 * min(box["width"], box["height"])
    across, up = (min(0.46 * box[side], 1.6 * unit) for side in ("width", "height"))
    x = box["x"] + box["width"] / 2 + np.array(shown["x"]) * across
    y = box["y"] + box["height"] / 2 - np.array(shown["y"]) * up
    return list(zip(shown["ids"], shown["names"], x.tolist(), y.tolist(), strict=True))


def open_map(open_page: Any, server: str, **options: Any) -> Page:
    """The map when its better positions are there."""
    page: Page = open_page("#/map", **options)
    expect(page.locator(".map-head")).to_contain_text("(t-SNE)", timeout=PATIENCE)
    before = b""
    while (now := page.locator("canvas").screenshot()) != before:  # until the points have glided to their places
        before = now
        page.wait_for_timeout(300)
    return page


def lonely(found: list[tuple[str, str, float, float]]) -> tuple[str, str, float, float]:
    """The point whose nearest other is farthest."""
    places = np.array([point[2:] for point in found])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(len(places)) * 1e9
    return found[int(distances.min(axis=1).argmax())]


def test_point_of_the_map_is_named_on_hover_and_selected_by_a_click(open_page, server):
    page = open_map(open_page, server)
    item, name, x, y = lonely(points(page, server))
    page.mouse.move(x, y)
    expect(page.locator(".tip")).to_be_visible()
    expect(page.locator(".tip strong")).to_have_text(name)
    page.mouse.click(x, y)
    expect(page.locator("#panel-map h2")).to_have_text(name)
    assert f"item={item}" in page.url
    expect(page.locator("#panel-map .column")).to_contain_text("nearest items are on the map")
    expect(page.locator("#panel-map .items li")).to_have_count(10)


def test_map_is_walked_by_keys(open_page, server):
    page = open_map(open_page, server)
    title = page.locator("#panel-map h2")
    before = title.inner_text()
    page.locator("canvas").focus()
    page.keyboard.press("ArrowLeft")
    expect(title).not_to_have_text(before)
    walked = title.inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Neighbours")).to_have_attribute("aria-selected", "true")
    expect(page.locator("h1:visible")).to_have_text(walked)


def test_wheel_zooms_where_it_is_and_drag_moves(open_page, server):
    page = open_map(open_page, server)
    item, name, x, y = lonely(points(page, server))
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(100)
    page.mouse.down()
    page.mouse.move(x + 25, y + 40, steps=4)
    page.mouse.up()
    assert f"item={item}" not in page.url, "a drag selects nothing"
    page.mouse.click(x + 25, y + 40)
    expect(page.locator("#panel-map h2")).to_have_text(name)


def test_colours_follow_the_view_and_a_group_can_be_singled_out(open_page, server):
    page = open_map(open_page, server)
    legend = page.locator(".legend")
    expect(legend.locator("button")).to_have_count(10)
    before = page.locator("canvas").screenshot()
    legend.locator("button").first.click()
    expect(legend.locator("button").first).to_have_attribute("aria-pressed", "true")
    deadline = time.monotonic() + WAIT / 1000
    while page.locator("canvas").screenshot() == before:
        assert time.monotonic() < deadline, "the map did not change"
    page.get_by_label("Colour by").select_option("shop")
    expect(legend).to_contain_text("Shop 69")
    assert "colour=shop" in page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 300))")


# ---- model ----


def test_model_tab_shows_training_comparison_and_reach(open_page):
    page = open_page("#/model")
    expect(page.locator(".chart .main-svg").first).to_be_visible()
    expect(page.get_by_role("img", name="Learned weight of each task over the epochs")).to_be_visible()
    expect(page.locator("#panel-model")).to_contain_text("The top 1 % of the items have")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text(re.compile(r"m2grl\s*0\.250\s*0\.\d{3} – 0\.\d{3}"))
    expect(rows.nth(1).locator("td").last).to_have_text("25.0 %")
    page.get_by_label("Targets").select_option("rare")
    page.get_by_label("Drawn").select_option("HR@50")
    expect(page.locator(".evaluation figcaption")).to_have_text("HR@50 with 95 % intervals")
    expect(page.locator("#panel-model")).to_contain_text("50 visitors drawn by chance", timeout=PATIENCE)
    expect(page.locator(".chart .main-svg")).not_to_have_count(0)
    for name in ("Loss per task over the epochs", "Items by number of clicks", "Share of the clicks"):
        assert page.get_by_role("img", name=name).locator("path").count() > 0


# ---- for everybody ----


def luminance(page: Page) -> float:
    channels = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
    return sum(map(int, channels[:3])) / 3


def test_dark_follows_the_system_and_the_button_wins(open_page):
    page = open_page(color_scheme="dark")
    settled(page)
    assert luminance(page) < 40
    page.get_by_role("button", name="Switch between light and dark").click()
    assert luminance(page) > 220
    page.reload()
    settled(page)
    assert luminance(page) > 220, "what was chosen is remembered"


def test_system_may_change_its_mind(open_page):
    page = open_page(color_scheme="light")
    settled(page)
    assert luminance(page) > 220
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert luminance(page) < 40


@pytest.mark.parametrize("tab", TABS)
def test_phone_shows_everything_without_scrolling_sideways(open_page, bundle, tab):
    page = open_page(
        f"#/{tab}?item={id_at(bundle, 5)}&s={id_at(bundle, 5)}&s={id_at(bundle, 1)}", width=360, height=740
    )
    page.wait_for_load_state("networkidle")
    panel = page.locator(f"#panel-{tab}")
    expect(panel).to_be_visible()
    if tab in ("neighbours", "session"):
        panel.locator("summary").click()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    outside = panel.locator("button:visible, select:visible, input:visible, canvas:visible").evaluate_all(
        "all => all.filter((one) => one.getBoundingClientRect().right > 361).map((one) => one.outerHTML)"
    )
    assert outside == []


def test_phone_shows_one_list_at_a_time(open_page):
    page = open_page(width=360, height=740)
    settled(page)
    expect(column_of(page, "blend")).to_be_visible()
    expect(column_of(page, "category")).to_be_hidden()
    page.get_by_role("group", name="Which list to show").get_by_role("button", name="Category").click()
    expect(column_of(page, "category")).to_be_visible()
    expect(column_of(page, "blend")).to_be_hidden()


def focused(page: Page) -> str:
    name: str = page.evaluate("(document.activeElement.id || document.activeElement.textContent || '').trim()")
    return name


def test_everything_is_reached_by_keyboard_alone(page):
    page.locator("body").focus()
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    expect(page.locator("#skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert focused(page) == "main"
    page.keyboard.press("/")
    assert focused(page) == "item-search"
    page.keyboard.type("eggs", delay=15)
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox").first).to_be_hidden()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1:visible")).to_contain_text("Eggs")

    page.keyboard.press("Tab")
    assert focused(page) == "theme"
    page.keyboard.press("Tab")
    assert focused(page) == "tab-neighbours"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "where the focus is must be seen"
    page.keyboard.press("Tab")  # the panel's summary
    page.keyboard.press("Tab")
    assert focused(page) == "neighbours-weight-item"
    before = ids_in(column_of(page, "blend"))
    page.keyboard.press("Home")
    expect(page.locator("output[for=neighbours-weight-item]")).to_have_text("−3.00")
    page.wait_for_function(
        "(was) => [...document.querySelectorAll('[data-column=blend] li')].map((row) => row.dataset.id).join() !== was",
        arg=",".join(before),
    )
    page.locator("#tab-neighbours").focus()
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith("tab-session")
    expect(page.get_by_role("tab", name="Session")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(page.get_by_role("tab", name="Model")).to_have_attribute("aria-selected", "true")


def test_changing_lists_are_told_to_those_who_listen(page):
    told = page.locator("#told")
    expect(told).to_have_attribute("aria-live", "polite")
    expect(told).to_contain_text("12 blended neighbours, first")
    slide(page, "neighbours-popularity", 2)
    expect(told).to_contain_text("12 blended neighbours, first")


def test_focus_stays_where_it_was_when_a_list_changes(page):
    button = column_of(page, "category").locator("button.plus").nth(3)
    button.focus()
    button.press("Enter")
    expect(page.locator(".badge")).to_have_text("1")
    key = page.evaluate("document.activeElement.dataset.key")
    assert key.startswith("add ")


def test_nothing_moves_for_those_who_asked_for_calm(open_page):
    page = open_page(reduced_motion="reduce")
    settled(page)
    before = ids_in(column_of(page, "blend"))
    slide(page, "neighbours-weight-category", -2)
    page.wait_for_function(
        "(was) => [...document.querySelectorAll('[data-column=blend] li')].map((row) => row.dataset.id).join() !== was",
        arg=",".join(before),
    )
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize(
    "address", ["#/nowhere?w=x:y&w=item&d=9&k=-3&only=&s=", "#", "#main", "#/map?colour=none", "#/?np=1e999"]
)
def test_address_that_makes_no_sense_opens_the_page_all_the_same(open_page, address):
    page = open_page(address)
    expect(page.locator("[role=tabpanel]:visible .items li").first).to_be_visible()


def test_server_that_is_gone_is_told(open_page):
    page = open_page(watched=False)
    settled(page)
    page.route("**/v1/*", lambda route: route.abort())
    slide(page, "neighbours-popularity", 2)
    expect(page.get_by_role("alert")).to_have_text("The service does not answer. Is it still running?")
    page.unroute("**/v1/*")
    slide(page, "neighbours-popularity", 1)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_screenshot_shows_a_page_full_of_colour(page, tmp_path):
    path = tmp_path / "explorer.png"
    page.screenshot(path=path)
    assert 30_000 < path.stat().st_size < 400_000


# ---- a model that encodes histories ----


def test_a_model_that_encodes_histories_is_shown_without_weights(open_page, encoded, encoded_server):
    page = open_page(url=encoded_server)
    first, second = id_at(encoded, 0), id_at(encoded, 1)
    own = {"k": 12, "popularity_weight": 0.0}
    expect_ids(column_of(page, "blend"), asked(encoded_server, "recommend", history=[first], **own))
    expect(page.locator("#panel-neighbours")).to_contain_text("The model (mf) reads a history as a whole")
    expect(page.locator("[id^=neighbours-weight-]")).to_have_count(0)
    expect(page.locator("#panel-neighbours [data-column]")).to_have_count(1)
    page.get_by_text("Is used like it").click()
    expect_ids(column_of(page, "blend"), asked(encoded_server, "similar", item_id=first, k=12, similarity="cosine"))
    page.goto(f"{encoded_server}/#/session?s={first}&s={second}")
    expected = asked(encoded_server, "recommend", history=[first, second], **own)
    expect_ids(page.locator("#panel-session section", has=page.locator("#next-title")), expected)
    page.goto(f"{encoded_server}/#/model")
    expect(page.locator("#panel-model")).to_contain_text("The model makes one vector of a whole history")
    expect(page.locator("#panel-model")).to_contain_text("without vectors: for filters and quotas")
