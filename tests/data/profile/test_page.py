"""The page: whole, self-contained, its plots real, and nothing of the data ever markup."""

import json
import re
import sys
from html.parser import HTMLParser

import pytest

from prismrec.data.profile import profile, write_page
from prismrec.data.profile.charts import figures
from prismrec.data.profile.page import page
from prismrec.errors import MissingExtraError

pytest.importorskip("plotly", reason="the profile page needs plotly")
EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
LIBRARY = "/* the plotly library */"


@pytest.fixture
def evil(make_log, make_items):
    """A log in which ids, names, view names and values all try to be markup."""
    rows = [(EVIL, EVIL, place * place * 50) for place in range(120)] + [("b", "2", 7), ("b", "3", 9), ("c", "2", 8)]
    log = make_log(rows, rating=[float(1 + place % 5) for place in range(len(rows))])
    items = make_items(item_id=[EVIL, "2"], name=[EVIL, "two"], brand=[EVIL, EVIL])
    return profile(log, items, {EVIL: "brand"})


class Reader(HTMLParser):
    """Collects tags, ids and the text of scripts; fails on tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags, self.ids, self.sources, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.sources += [found[name] for name in ("src", "href") if name in found]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)


def specs_of(text):
    return json.loads(re.search(r'id="plots">(.*?)</script>', text, re.DOTALL).group(1))


def test_ids_names_and_values_are_text_and_never_markup(evil):
    text = page(evil, EVIL, LIBRARY)
    found = Reader(text)
    assert found.tags.count("script") == 3  # the specs, the library, ours
    assert "img" not in found.tags
    assert "<script>alert" not in text
    # title, heading, user, item, its name, view, value, suspect: each is there as it is
    assert sum(part == EVIL for part in found.text) >= 7


def test_every_plot_has_its_place_and_every_place_its_plot(evil):
    text = page(evil, "Profile", LIBRARY)
    names = set(specs_of(text))
    places = {name.removeprefix("plot-") for name in Reader(text).ids if name.startswith("plot-")}
    assert places == names
    assert names == {"activity", "popularity", "concentration", "sessions", "gaps", "ratings", "quantiles", "time"}


def test_text_in_a_plot_cannot_end_its_script(evil, monkeypatch):
    figure = figures(evil)["activity"].update_layout(title={"text": "</script>" + EVIL})
    monkeypatch.setattr("prismrec.data.profile.page.figures", lambda _: {"activity": figure})
    text = page(evil, "Profile", LIBRARY)
    assert specs_of(text)["activity"]["layout"]["title"]["text"] == "</script>" + EVIL
    assert Reader(text).tags.count("script") == 3


def test_plots_hold_the_figures_of_the_profile(evil):
    specs = specs_of(page(evil, "Profile", LIBRARY))
    assert specs["ratings"]["data"][0]["x"] == ["1", "2", "3", "4", "5"]
    assert sum(specs["ratings"]["data"][0]["y"]) == 123
    assert specs["activity"]["data"][0]["x"][:2] == ["1", "2 to 3"]
    assert specs["activity"]["data"][0]["y"][:2] == [1, 1]
    assert len(specs["quantiles"]["data"][1]["x"]) == 99


def test_a_log_without_clock_ratings_and_items_has_a_smaller_page(make_log):
    log = make_log([("a", 1, 0), ("a", 2, 1)], time_unit="order")
    text = page(profile(log), "Profile", LIBRARY)
    assert set(specs_of(text)) == {"activity", "popularity", "concentration", "sessions"}
    assert "Side information" not in text
    assert "all interactions of a user are one session" in text
    assert "Nothing was found" in text


def test_every_plot_is_explained(evil):
    text = page(evil, "Profile", LIBRARY)
    for section in re.findall(r"<section.*?</section>", text, re.DOTALL):
        if 'class="plot"' in section:
            assert len(re.search(r"<p>(.*?)</p>", section, re.DOTALL).group(1)) > 60


def test_dark_windows_and_narrow_windows_are_served(evil):
    text = page(evil, "Profile", LIBRARY)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in text
    assert "overflow-x: auto" in text


def test_the_written_page_carries_plotly_and_needs_no_network(evil, tmp_path):
    path = tmp_path / "report" / "profile.html"
    write_page(evil, path)
    text = path.read_text(encoding="utf-8")
    assert len(text) > 1_000_000
    assert "plotly.js v" in text[:200_000]
    own = text.replace(re.search(r"<script>(/\*\*.*?)</script>\n<script>", text, re.DOTALL).group(1), "")
    assert "http" not in own
    assert Reader(own).sources == []
    assert list(path.parent.iterdir()) == [path]


def test_an_old_page_stays_if_the_new_one_cannot_be_written(evil, tmp_path, monkeypatch):
    path = tmp_path / "profile.html"
    path.write_text("old")
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingExtraError, match=r"needs plotly: pip install 'prismrec\[profile\]'"):
        write_page(evil, path)
    assert path.read_text() == "old"


def test_unequal_scatter_is_said_in_words(make_log):
    rows, ratings = [], []
    for user in range(40):
        for place in range(4 + user):
            rows.append((f"u{user:02}", place, place * 10_000))
            ratings.append(3.0 + (place % 2 * 2 - 1) * (0.1 if user < 20 else 2.0))
    text = page(profile(make_log(rows, rating=ratings)), "Profile", LIBRARY)
    assert "The groups scatter differently" in text
    assert "p &lt; 1e-16" in text
