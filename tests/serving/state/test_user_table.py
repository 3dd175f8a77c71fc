"""Histories from a click table: the last ones of each user, in their order, once however often it is run."""

import itertools
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prismrec.data.reading import read_interactions
from prismrec.errors import ConfigError, DataError
from prismrec.inputs import read_tables
from prismrec.serving.state import user_table
from prismrec.serving.state.store import Event, State
from prismrec.serving.state.user_table import load_histories
from prismrec.settings import demo_settings, read_settings

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
START = 1_700_000_000


def table(rows, unit="s"):
    """Interactions from (user, item, time)."""
    users, items, times = zip(*rows, strict=True)
    columns = {"user_id": list(users), "item_id": list(items), "timestamp": pa.array(times, pa.int64())}
    return read_interactions(pa.table(columns), timestamp_unit=unit)


def test_last_clicks_of_each_user_are_stored_in_order_of_time(state):
    rows = [("u", "c", 30), ("v", "x", 5), ("u", "a", 10), ("u", "b", 20), ("u", "d", 30)]
    clicks = table([(user, item, START + seconds) for user, item, seconds in rows])
    assert load_histories(state, clicks, last=3) == 4
    assert state.histories(["u", "v"], 10) == {"u": ["b", "c", "d"], "v": ["x"]}


def test_second_run_stores_nothing_and_a_grown_table_what_is_new(state):
    rows = [("u", item, START + item) for item in range(10)]
    assert load_histories(state, table(rows), last=5) == 5
    assert load_histories(state, table(rows[::-1]), last=5) == 0
    grown = [("u", 99, START - 1), *rows, ("u", 10, START + 10), ("w", 1, START)]
    assert load_histories(state, table(grown), last=5) == 2
    assert state.histories(["u", "w"], 10) == {"u": [5, 6, 7, 8, 9, 10], "w": [1]}


def test_repeated_click_at_one_time_is_one(state):
    assert load_histories(state, table([("u", 1, START), ("u", 1, START), ("u", 2, START)]), last=5) == 2
    assert state.histories(["u"], 10) == {"u": [1, 2]}


def test_number_and_text_are_two_items_of_one_time(state):
    numbers = table([("u", 7, START)])
    texts = table([("u", "7", START)])
    assert load_histories(state, numbers, last=5) + load_histories(state, texts, last=5) == 2
    assert state.histories(["u"], 10) == {"u": [7, "7"]}


def test_fractions_of_seconds_count(state):
    rows = [("u", "late", START * 1_000_000 + 2), ("u", "early", START * 1_000_000 + 1)]
    load_histories(state, table(rows, "us"), last=5)
    state.append([Event("u", "between", START + 0.0000015)])
    assert state.histories(["u"], 5) == {"u": ["early", "between", "late"]}


def test_order_without_distance_comes_before_everything_that_happens_later(state):
    rows = [("u", "c", 10**15), ("u", "a", -5), ("u", "b", 7), ("v", "x", 10**17)]
    assert load_histories(state, table(rows, "order"), last=2) == 3
    state.append([Event("u", "now"), Event("v", "in 1990", 631_152_000.0)])
    assert state.histories(["u", "v"], 10) == {"u": ["b", "c", "now"], "v": ["x", "in 1990"]}
    grown = [*rows, ("u", "d", 10**16)]
    assert load_histories(state, table(grown, "order"), last=2) == 1
    assert state.histories(["u"], 10) == {"u": ["b", "c", "d", "now"]}


def test_events_of_the_service_and_of_the_table_stand_in_one_order(state):
    state.append([Event("u", "live", START + 15.0, "e1")])
    load_histories(state, table([("u", "before", START + 10), ("u", "after", START + 20)]), last=5)
    assert state.histories(["u"], 10) == {"u": ["before", "live", "after"]}


def test_uuids_are_stored_as_their_text(state, tmp_path):
    user, item = uuid.UUID(int=2**100), uuid.UUID(int=7)
    source = tmp_path / "clicks.csv"
    source.write_text(f"user_id,item_id,timestamp\n{user},{item},{START}\n")
    clicks = read_interactions(str(source))
    clicks = type(clicks)(
        clicks.table.mutate(user_id=clicks.table.user_id.cast("uuid"), item_id=clicks.table.item_id.cast("uuid"))
    )
    assert load_histories(state, clicks, last=5) == 1
    assert state.histories([str(user)], 5) == {str(user): [str(item)]}


def test_rows_are_taken_in_batches(state, monkeypatch):
    sizes = []

    class Counted(State):
        def append(self, events):
            sizes.append(len(events))
            return super().append(events)

    monkeypatch.setattr(user_table, "_BATCH", 2048)
    rows = [(user, item, START + item) for user in range(50) for item in range(100)]
    assert load_histories(Counted(state._database, 1000), table(rows), last=80) == 4000
    assert sum(sizes) == 4000
    assert max(sizes) <= 2048
    assert state.histories([7], 1000) == {7: list(range(20, 100))}


def test_last_below_one_is_refused(state):
    with pytest.raises(ConfigError, match="the last 0 clicks of each user are asked for: expected 1 or more"):
        load_histories(state, table([("u", 1, START)]), last=0)


def test_id_that_is_too_long_is_refused(state):
    with pytest.raises(DataError, match="has 2002 characters as JSON: 1000 are allowed"):
        load_histories(state, table([("u", "x" * 2000, START)]), last=5)


numbers = itertools.count()
CLICKS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=20)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clicks=CLICKS, last=st.integers(1, 5))
def test_any_table_gives_what_sorting_its_rows_gives(tmp_path, clicks, last):
    state = State.open(f"sqlite:///{tmp_path}/{next(numbers)}.db")
    load_histories(state, table([(user, item, START + second) for user, item, second in clicks]), last)
    stored = state.histories(range(3), 100)
    state.close()
    for user in range(3):
        own = sorted((c for c in clicks if c[0] == user), key=lambda c: c[2])[
            -last:
        ]  # stable: rows of one time in place
        once = dict.fromkeys((second, item) for _, item, second in own)
        assert stored[user] == [item for _, item in once]


def test_demo_histories_are_those_of_its_own_table(tmp_path):
    clicks, _ = read_tables(demo_settings())
    state = State.open(f"sqlite:///{tmp_path}/state.db")
    n_new = load_histories(state, clicks, last=10)
    per_user = clicks.table.to_pyarrow().group_by("user_id").aggregate([("item_id", "list")])
    lengths = {row["user_id"]: len(row["item_id_list"]) for row in per_user.to_pylist()}
    stored = state.histories(lengths, 1000)
    assert {len(history) for history in stored.values()} <= set(range(1, 11))
    assert sum(map(len, stored.values())) == n_new
    assert load_histories(state, clicks, last=10) == 0
    state.close()


@pytest.mark.slow
def test_million_clicks_of_movielens_are_stored_in_seconds(tmp_path):
    source = DATA / "ml-1m" / "ratings.parquet"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    (tmp_path / "settings.toml").write_text(
        f'[data]\ninteractions = "{source}"\n[data.columns]\nitem = "movie_id"\n[sessions]\n'
    )
    clicks, _ = read_tables(read_settings(tmp_path / "settings.toml"))
    state = State.open(f"sqlite:///{tmp_path}/state.db")
    began = time.monotonic()
    n_new = load_histories(state, clicks, last=50)
    seconds = time.monotonic() - began
    histories = state.histories(range(1, 6041), 1000)
    state.close()
    print(f"{n_new:,} events of 6,040 users in {seconds:.1f} s")
    assert sum(map(len, histories.values())) == n_new > 200_000
    assert max(map(len, histories.values())) == 50
    assert seconds < 120
