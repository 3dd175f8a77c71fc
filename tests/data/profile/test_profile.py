"""The whole profile: planted logs with one right answer, and real data with known counts."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from prismrec.config import build
from prismrec.data import engine
from prismrec.data.bundled import bundled_paths
from prismrec.data.catalog import find, get
from prismrec.data.profile import ProfileSettings, profile
from prismrec.data.reading import read_interactions, read_items
from prismrec.data.schema import ItemTable
from prismrec.errors import ConfigError, DataError

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"
ROWS = [("a", 1, 0), ("a", 2, 60), ("a", 2, 120), ("b", 1, 9000), ("b", 3, 20_000)]


def test_all_parts_speak_of_the_same_log(make_log, make_items):
    items = make_items(item_id=[1, 2, 9], name=["one", "two", "nine"], brand=["x", "y", "z"])
    found = profile(make_log(ROWS), items, {"shop": "brand"})
    assert found.counts.n_interactions == 5
    assert found.activity.n == found.counts.n_users == 2
    assert found.popularity.n == found.counts.n_items == 3
    assert [(one.id, one.count) for one in found.top_users] == [("a", 3), ("b", 2)]
    assert [(one.id, one.name) for one in found.top_items] == [(1, "one"), (2, "two"), (3, None)]
    assert found.sessions.lengths.n == 3
    assert found.gaps.n == 3
    assert found.coverage[0].interactions_covered == 4 / 5
    assert found.unknown_items == 1
    assert found.time is not None
    assert sum(count for _, count in found.time.bars) == 5
    assert found.ratings is None


def test_the_order_of_the_rows_changes_nothing(make_log):
    assert profile(make_log(ROWS)) == profile(make_log(ROWS[::-1]))


def test_settings_reach_every_part(make_log):
    settings = ProfileSettings(session_gap_minutes=0.5, top=1)
    found = profile(make_log(ROWS), settings=settings)
    assert found.sessions.lengths.n == 5
    assert len(found.top_items) == 1


def test_a_misspelt_setting_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown key 'bot_per_our'; did you mean 'bot_per_hour'"):
        build(ProfileSettings, {"bot_per_our": 3})


def test_the_future_begins_at_the_given_moment(make_log):
    codes = [one.code for one in profile(make_log(ROWS), now=datetime(1970, 1, 1, 1, tzinfo=UTC)).findings]
    assert "future_events" in codes
    assert "future_events" not in [one.code for one in profile(make_log(ROWS)).findings]


def test_an_item_table_of_another_engine_is_brought_over(make_log):
    elsewhere = engine.register(engine.connect(threads=1), pa.table({"item_id": [1, 2], "brand": ["x", "y"]}))
    assert profile(make_log(ROWS), ItemTable(elsewhere), {"shop": "brand"}).coverage[0].n_values == 2


def test_nothing_stays_behind_on_the_engine(make_log, backend):
    log = make_log(ROWS)
    before = backend.con.sql("SHOW ALL TABLES").fetchall()
    profile(log)
    assert backend.con.sql("SHOW ALL TABLES").fetchall() == before


def test_an_empty_log_is_a_clear_error(make_log):
    log = make_log(ROWS)
    with pytest.raises(DataError, match="there is nothing to profile"):
        profile(dataclasses.replace(log, table=log.table.limit(0)))


def test_complete_journey_has_its_known_figures():
    data_set, paths = find("complete-journey"), bundled_paths()
    log = read_interactions(paths.clicks, data_set.columns)
    found = profile(log, read_items(paths.items, "product_id"), data_set.views)
    counts = found.counts
    assert (counts.n_interactions, counts.n_users, counts.n_items, counts.n_pairs) == (100_000, 2405, 23_950, 90_485)
    assert (found.sessions.source, found.sessions.lengths.n) == ("session_id", 56_625)
    assert [(one.view, one.n_values) for one in found.coverage] == [("category", 1770), ("shop", 2651)]
    assert found.unknown_items == 5
    assert found.top_items[0].name == "Tropical Fruit: Bananas, 40 LB"
    assert found.suspects.n_users == 0
    assert "tied_times" in [one.code for one in found.findings]  # a basket is one instant


def test_movielens_has_its_known_figures(tmp_path):
    source = SHARED / "ml-1m"
    if not source.exists():
        pytest.skip(f"the data set is not here: {source}")
    data_set, folder = find("movielens-1m"), get("movielens-1m", tmp_path / "ml", from_path=source).folder
    log = read_interactions(folder / "clicks.parquet", data_set.columns, timestamp_unit="s")
    found = profile(log, read_items(folder / "items.parquet", "movie_id"), data_set.views)
    assert (found.counts.n_interactions, found.counts.n_users, found.counts.n_items) == (1_000_209, 6040, 3706)
    assert found.counts.repeat_share == 0  # a film is rated once
    assert [one.count for one in found.ratings.bins] == [56_174, 107_557, 261_197, 348_971, 226_310]
    assert found.ratings.mean == pytest.approx(3.581564453)
    assert found.activity.bins[4].low == 16  # everybody has at least 20 ratings
    assert sum(one.count for one in found.activity.bins[:4]) == 0
    assert found.ratings.variance.p_value < 1e-16
    assert [one.items_covered for one in found.coverage] == [1.0, pytest.approx(0.997, abs=1e-3), 1.0]
