"""The state on both databases: what is stored, in which order it comes back, what is kept and what is forgotten."""

import itertools
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prismrec.errors import ConfigError, DataError
from prismrec.retrieval.request import NewItem
from prismrec.serving.state.store import Event, ItemChanges, State, StateError


def items(changes: ItemChanges):
    return {item.item_id for item in changes.upserted}


# ---- events ----


def test_history_is_in_order_of_time_and_equal_times_in_order_of_arrival(state):
    assert state.append([Event("u", "b", 2.0), Event("u", "d", 3.0), Event("u", "a", 1.5), Event("u", "c", 2.0)]) == 4
    assert state.append([Event("u", "e", 3.0), Event("u", "first", 1.0)]) == 2
    assert state.histories(["u"], 10) == {"u": ["first", "a", "b", "c", "d", "e"]}


def test_limit_takes_the_latest(state):
    state.append([Event("u", number, float(number)) for number in range(10)])
    assert state.histories(["u"], 3) == {"u": [7, 8, 9]}
    assert state.histories(["u"], 0) == {"u": []}


def test_negative_limit_is_refused(state):
    with pytest.raises(DataError, match="the limit of a history is -1: expected 0 or more"):
        state.histories(["u"], -1)


def test_unknown_user_has_an_empty_history(state):
    assert state.histories(["nobody", 7], 5) == {"nobody": [], 7: []}
    assert state.histories([], 5) == {}


@pytest.mark.parametrize("n_users", [1, 2, 15, 16, 17, 40])
def test_histories_of_many_users_are_those_of_each(state, n_users):
    state.append([Event(user, 100 * user + i, float(-i)) for user in range(n_users) for i in range(1 + user % 4)])
    expected = {user: [100 * user + i for i in range(1 + user % 4)][::-1][-3:] for user in range(n_users)}
    assert state.histories(range(n_users), 3) == expected
    assert all(state.histories([user], 3) == {user: items} for user, items in expected.items())


def test_ids_keep_their_type(state):
    state.append([Event(7, "x", 1.0), Event("7", 8, 1.0), Event("7", "8", 2.0), Event("crème 🧀\0", 2**63, 1.0)])
    assert state.histories([7, "7", "crème 🧀\0"], 5) == {7: ["x"], "7": [8, "8"], "crème 🧀\0": [2**63]}


def test_uuid_of_a_table_and_its_text_of_a_request_are_one_user(state):
    user, item = uuid.uuid4(), uuid.uuid4()
    state.append([Event(user, item, 1.0)])
    assert state.histories([str(user)], 5) == {str(user): [str(item)]}
    assert state.histories([user], 5) == {user: [str(item)]}


def test_event_without_a_time_happens_when_it_arrives(state):
    before = time.time()
    state.append([Event("u", "now")])
    state.append([Event("u", "later", time.time() + 5), Event("u", "earlier", before - 5)])
    assert state.histories(["u"], 5) == {"u": ["earlier", "now", "later"]}


def test_event_id_is_stored_once_per_user(state):
    assert state.append([Event("u", 1, 1.0, "e"), Event("u", 1, 1.0, "e"), Event("v", 2, 1.0, "e")]) == 2
    assert state.append([Event("u", 1, 1.0, "e"), Event("u", 3, 2.0, "f")]) == 1
    assert state.histories(["u", "v"], 5) == {"u": [1, 3], "v": [2]}


def test_events_without_an_id_are_stored_each_time(state):
    assert state.append([Event("u", 1, 1.0), Event("u", 1, 1.0)]) == 2
    assert state.histories(["u"], 5) == {"u": [1, 1]}


def test_no_events_are_no_work(state):
    assert state.append([]) == 0


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event(None, 1, 1.0), "the user id None is no id"),
        (Event("u", 1.5, 1.0), "the item id 1.5 is no id"),
        (Event("u", 1, 1.0, True), "the event id True is no id"),  # type: ignore[arg-type]
        (Event("u", 1, float("nan")), "the timestamp nan is no time: expected seconds since 1970"),
        (Event("u", 1, float("-inf")), "the timestamp -inf is no time"),
        (Event("u", 1, 1_700_000_000_000), "the timestamp 1700000000000 is no time: expected seconds since 1970"),
    ],
)
def test_unusable_event_is_refused_and_nothing_of_its_batch_is_stored(state, event, message):
    with pytest.raises(DataError, match=message):
        state.append([Event("u", "good", 1.0), event])
    assert state.histories(["u"], 5) == {"u": []}


def test_latest_events_of_each_user_are_kept(database_url):
    state = State.open(database_url, kept_events=3)
    state.append([Event("u", number, float(number)) for number in range(5)] + [Event("v", "v", 0.5)])
    state.append([Event("u", "same time, later", 4.0)])
    assert state.histories(["u", "v"], 10) == {"u": [3, 4, "same time, later"], "v": ["v"]}
    assert state.append([Event("u", "too late", 1.0)]) == 1
    assert state.histories(["u"], 10) == {"u": [3, 4, "same time, later"]}
    assert state.forget("u") == 3
    state.close()


def test_nothing_kept_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="kept_events is 0: at least 1"):
        State.open(f"sqlite:///{tmp_path}/state.db", kept_events=0)


def test_reopened_state_has_everything(database_url):
    for item in (1, 2):
        state = State.open(database_url)
        state.append([Event("u", item, float(item), f"e{item}")])
        state.put_items([NewItem(item_id=item)])
        state.close()
    state = State.open(database_url)
    assert state.append([Event("u", 1, 1.0, "e1")]) == 0
    assert state.histories(["u"], 5) == {"u": [1, 2]}
    assert items(state.changes()) == {1, 2}
    state.close()


class Model:
    """Histories as plain lists."""

    def __init__(self, kept):
        self.kept = kept
        self.rows = {}
        self.arrivals = itertools.count()

    def append(self, events):
        n_new = 0
        for event in events:
            rows = self.rows.setdefault(event.user_id, [])
            if event.event_id is None or event.event_id not in [row[3] for row in rows]:
                rows.append((event.timestamp, next(self.arrivals), event.item_id, event.event_id))
                n_new += 1
        for rows in self.rows.values():
            rows[:] = sorted(rows)[-self.kept :]
        return n_new

    def history(self, user, limit):
        rows = self.rows.get(user, [])
        return [item for _, _, item, _ in sorted(rows)][max(len(rows) - limit, 0) :]


EVENTS = st.builds(
    Event,
    user_id=st.sampled_from([1, "1"]),
    item_id=st.integers(0, 5) | st.sampled_from(["0", "5"]),
    timestamp=st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0]),
    event_id=st.none() | st.sampled_from(["a", "b", "c"]),
)
CALLS = st.lists(st.lists(EVENTS, max_size=6) | st.sampled_from(["forget"]), max_size=6)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS, kept=st.integers(1, 4), limit=st.integers(0, 6))
def test_any_calls_leave_what_plain_lists_would_hold(state, calls, kept, limit):
    for user in (1, "1"):
        state.forget(user)
    limited = State(state._database, kept)
    model = Model(kept)
    for call in calls:
        if call == "forget":
            assert limited.forget(1) == len(model.rows.pop(1, []))
        else:
            assert limited.append(call) == model.append(call)
        expected = {user: model.history(user, limit) for user in (1, "1")}
        assert limited.histories([1, "1"], limit) == expected


def test_threads_that_append_at_once_lose_nothing_and_store_nothing_twice(state):
    def append(number):
        events = [Event("u", number, float(number), f"e{number}"), Event(f"user {number % 7}", number, 1.0)]
        return state.append(events) + state.append(events[:1])

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(append, range(300))) == {2}
    assert state.histories(["u"], 1000) == {"u": list(range(300))}
    counts = [len(history) for history in state.histories([f"user {i}" for i in range(7)], 1000).values()]
    assert sum(counts) == 300


def test_workers_that_append_the_same_events_in_another_order_store_each_once(database_url):
    """Each state is a worker. What one of them holds and the other wants must never stop both."""
    workers = [State.open(database_url, kept_events=20) for _ in range(4)]

    def append(number, worker):
        return worker.append(random.Random(number).sample(events, len(events)))

    for round_ in range(4):
        events = [Event(f"{round_}-{n % 50}", n, float(n), f"e{n}") for n in range(1000)]
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(append, range(4), workers)) == 1000
        assert workers[0].histories([f"{round_}-3"], 99) == {f"{round_}-3": list(range(3, 1000, 50))}
    for worker in workers:
        worker.close()


# ---- forgetting ----


def test_forgotten_user_leaves_nothing_and_others_stay(state):
    state.append([Event("u", 1, 1.0, "e"), Event("u", 2, 2.0), Event("v", 3, 1.0)])
    assert state.forget("u") == 2
    assert state.forget("u") == 0
    assert state.histories(["u", "v"], 5) == {"u": [], "v": [3]}
    assert state.append([Event("u", 4, 1.0, "e")]) == 1


def test_bytes_of_a_forgotten_user_are_gone_from_the_files(tmp_path):
    state = State.open(f"sqlite:///{tmp_path}/state.db")
    state.append([Event(f"other {number}", number, 1.0) for number in range(500)])
    state.append([Event("ada lovelace", f"diary {number}", 1.0, f"entry {number}") for number in range(500)])

    def found():
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return [name in content for name in (b"ada lovelace", b"diary", b"entry", b"other 77")]

    assert found() == [True] * 4
    assert state.forget("ada lovelace") == 500
    assert found() == [False, False, False, True]
    state.close()


# ---- items ----


def test_items_come_back_as_they_were(state):
    item = NewItem(
        item_id="7", views={"category": ["crème", 3, True], "shop": 1.5}, columns={"name": "é\0", "price": None}
    )
    assert state.put_items([item]) == 1
    assert state.changes() == ItemChanges(1, (item,), ())
    assert [type(node) for node in state.changes().upserted[0].views["category"]] == [str, int, bool]


def test_numbers_rise_and_each_item_is_told_once_as_it_is_now(state):
    assert state.changes() == ItemChanges(0)
    assert state.put_items([NewItem(item_id=1), NewItem(item_id="1"), NewItem(item_id=2)]) == 3
    assert state.put_items([NewItem(item_id=1, columns={"name": "new"})]) == 4
    assert state.delete_items([2, 99]) == 6
    changes = state.changes()
    assert [(item.item_id, item.columns) for item in changes.upserted] == [("1", {}), (1, {"name": "new"})]
    assert (changes.number, changes.deleted) == (6, (2, 99))
    assert items(state.changes(3)) == {1}
    assert state.changes(5) == ItemChanges(6, (), (99,))
    assert state.changes(6) == ItemChanges(6)


def test_changes_say_when_they_were(state):
    started = time.time()
    state.put_items([NewItem(item_id=1), NewItem(item_id=2)])
    between = time.time()
    state.put_items([NewItem(item_id=1, columns={"price": 2})])
    state.delete_items([2])
    changes = state.changes()
    assert [item.item_id for item in changes.upserted] == [1]
    assert started <= between <= changes.upserted_at[0] <= time.time()


def test_tombstone_stays_until_the_item_is_upserted_again(state):
    state.delete_items(["gone"])
    assert state.changes().deleted == ("gone",)
    number = state.put_items([NewItem(item_id="gone")])
    assert state.changes() == ItemChanges(number, (NewItem(item_id="gone"),), ())
    assert state.changes(1) == state.changes()


def test_last_of_two_upserts_in_one_call_counts(state):
    state.put_items([NewItem(item_id=1, columns={"n": 1}), NewItem(item_id=1, columns={"n": 2})])
    assert [item.columns for item in state.changes().upserted] == [{"n": 2}]


def test_no_items_change_nothing(state):
    assert [state.put_items([]), state.delete_items([])] == [0, 0]
    assert state.changes() == ItemChanges(0)


def test_number_ahead_of_the_database_is_told_everything(state):
    state.put_items([NewItem(item_id=1)])
    assert state.changes(1000) == ItemChanges(1, (NewItem(item_id=1),), ())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, np.float32(1)])
def test_column_that_is_no_json_is_refused_and_nothing_is_stored(state, value):
    with pytest.raises(DataError, match="item 2: its columns must be JSON values, finite numbers"):
        state.put_items([NewItem(item_id=1), NewItem(item_id=2, columns={"price": value})])
    assert state.changes() == ItemChanges(0)


def test_item_id_that_is_none_is_refused(state):
    with pytest.raises(DataError, match=r"the item id 1\.5 is no id"):
        state.delete_items([1, 1.5])
    assert state.changes() == ItemChanges(0)


def test_watcher_misses_no_change_while_workers_write(database_url):
    """Numbers are committed in their order: a higher one is never visible before a lower one."""
    workers = [State.open(database_url) for _ in range(3)]
    watcher = State.open(database_url)
    present: set[object] = set()
    number, done = 0, threading.Event()

    def write(worker, first):
        for item in range(first, first + 40):
            worker.put_items([NewItem(item_id=item), NewItem(item_id=f"twin {item}")])
            if item % 3 == 0:
                worker.delete_items([item])

    def watch():
        nonlocal number
        last_look = False
        while not last_look:
            last_look = done.is_set()
            changes = watcher.changes(number)
            assert changes.number >= number
            number = changes.number
            present.difference_update(changes.deleted)
            present.update(items(changes))

    with ThreadPoolExecutor(4) as pool:
        watching = pool.submit(watch)
        writing = [pool.submit(write, worker, 100 * i) for i, worker in enumerate(workers)]
        for one in writing:
            one.result(60)
        done.set()
        watching.result(60)
    written = [item for first in (0, 100, 200) for item in range(first, first + 40)]
    assert present == {i for i in written if i % 3} | {f"twin {i}" for i in written}
    assert number == 2 * 120 + sum(i % 3 == 0 for i in written)
    for opened in (*workers, watcher):
        opened.close()


# ---- the database ----


def test_a_state_answers_again_when_its_database_does(postgres_server, postgres_url):
    state = State.open(postgres_url)
    state.changes()
    postgres_server.stop()
    with pytest.raises(StateError, match="cannot read the PostgreSQL state database"):
        state.changes()
    postgres_server.start()
    state.changes()
    state.close()
