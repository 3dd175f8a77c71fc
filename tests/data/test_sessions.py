"""Session cutting against a slow reference, and every rule on a log one can check by eye."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.ragged import within_lengths
from prismrec.data.schema import Interactions
from prismrec.data.sequences import Sequences
from prismrec.data.sessions import SessionSettings, clean, sessions
from prismrec.errors import ConfigError

MINUTE = 60_000_000
ALL = SessionSettings(min_session_length=1)


@pytest.fixture(scope="module")
def con():
    return engine.connect(threads=1)


def log(con, rows, time_unit="us", **columns):
    """Rows are (user, item, minute); source rows follow the list."""
    users, items, minutes = zip(*rows, strict=True)
    table = pa.table(
        {
            "user_id": users,
            "item_id": items,
            "timestamp": pa.array([round(m * MINUTE) for m in minutes], pa.int64()),
            "source_row": pa.array(range(1, len(rows) + 1), pa.int64()),
            **columns,
        }
    )
    return Interactions(engine.register(con, table), time_unit)


def cut(interactions, chosen=ALL):
    """Sessions as {(user, number, piece): items}."""
    rows = engine.arrow(sessions(interactions, chosen)).to_pylist()
    return {(r["user_id"], r["session_number"], r["piece"]): r["items"] for r in rows}


def lists(interactions, chosen=ALL):
    return [items for _, items in sorted(cut(interactions, chosen).items())]


def rows_of(interactions):
    return sorted(engine.arrow(interactions.table)["source_row"].to_pylist())


def test_session_splits_at_a_gap_of_exactly_the_limit(con):
    assert lists(log(con, [(1, "a", 0), (1, "b", 29.999), (1, "c", 59.999)])) == [["a", "b"], ["c"]]


def test_session_goes_on_below_the_limit(con):
    assert lists(log(con, [(1, "a", 0), (1, "b", 29.999), (1, "c", 59.99)])) == [["a", "b", "c"]]


def test_users_never_share_a_session(con):
    assert cut(log(con, [(1, "a", 0), (2, "b", 1), (1, "c", 2)])) == {(1, 0, 0): ["a", "c"], (2, 0, 0): ["b"]}


def test_input_order_does_not_matter_but_breaks_ties(con):
    assert lists(log(con, [(1, "c", 5), (1, "a", 0), (1, "z", 3), (1, "b", 3)])) == [["a", "z", "b", "c"]]


def test_short_dwell_is_dropped_and_missing_dwell_kept(con):
    rows = [(1, "a", 0), (1, "b", 1), (1, "c", 2), (1, "d", 3)]
    interactions = log(con, rows, dwell_seconds=[1.9, 2.0, None, 30.0])
    assert lists(interactions) == [["b", "c", "d"]]


def test_a_short_click_does_not_bridge_a_gap(con):
    interactions = log(con, [(1, "a", 0), (1, "b", 20), (1, "c", 40)], dwell_seconds=[9.0, 0.5, 9.0])
    assert lists(interactions) == [["a"], ["c"]]


def test_repeats_collapse_within_a_session(con):
    assert lists(log(con, [(1, "a", 0), (1, "a", 1), (1, "b", 2), (1, "a", 3), (1, "a", 4)])) == [["a", "b", "a"]]


def test_repeats_stay_when_asked(con):
    chosen = SessionSettings(min_session_length=1, collapse_repeats=False)
    assert lists(log(con, [(1, "a", 0), (1, "a", 1)]), chosen) == [["a", "a"]]


def test_an_item_opens_the_next_session_even_if_it_closed_the_last(con):
    assert lists(log(con, [(1, "a", 0), (1, "a", 300), (1, "b", 310)])) == [["a"], ["a", "b"]]


def test_reloading_a_page_keeps_the_session_alive(con):
    reloads = [(1, "a", 20.0 * i) for i in range(4)]
    assert lists(log(con, [*reloads, (1, "b", 70)])) == [["a", "b"]]


def test_given_session_ids_replace_the_gaps_and_may_interleave(con):
    rows = [(1, "a", 0), (1, "x", 1), (1, "b", 500), (1, "y", 501), (2, "q", 0)]
    interactions = log(con, rows, session_id=["s", "t", "s", "t", "s"])
    assert cut(interactions) == {(1, 0, 0): ["a", "b"], (1, 1, 0): ["x", "y"], (2, 0, 0): ["q"]}


def test_repeats_collapse_within_interleaved_sessions(con):
    interactions = log(con, [(1, "a", 0), (1, "a", 1), (1, "a", 2)], session_id=["s", "t", "s"])
    assert lists(interactions) == [["a"], ["a"]]


def test_an_order_without_distance_never_cuts(con):
    assert lists(log(con, [(1, "a", 0), (1, "b", 10_000), (1, "c", 99_999)], time_unit="order")) == [["a", "b", "c"]]


def test_long_sessions_are_cut_and_short_tails_dropped(con):
    rows = [(1, f"i{n}", n) for n in range(7)]
    chosen = SessionSettings(min_session_length=2, max_session_length=3)
    expected = {(1, 0, 0): ["i0", "i1", "i2"], (1, 0, 1): ["i3", "i4", "i5"]}
    assert cut(log(con, rows), chosen) == expected


def test_short_sessions_are_dropped(con):
    interactions = log(con, [(1, "a", 0), (1, "b", 100), (1, "c", 101)])
    assert lists(interactions, SessionSettings()) == [["b", "c"]]


def test_cleaning_keeps_other_columns(con):
    cleaned = clean(log(con, [(1, "a", 0)], rating=[4.0]), ALL)
    assert engine.arrow(cleaned.table).select(["rating", "session_number"]).to_pylist() == [
        {"rating": 4.0, "session_number": 0}
    ]


def test_settings_refuse_nonsense():
    from prismrec.config import build

    with pytest.raises(ConfigError, match=r"session_gap_minutes.*greater than 0"):
        build(SessionSettings, {"session_gap_minutes": 0})
    with pytest.raises(ConfigError, match="did you mean 'min_dwell_seconds'"):
        build(SessionSettings, {"min_dwel_seconds": 3})


clicks = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from("abc"), st.integers(0, 200), st.sampled_from([None, 1.0, 5.0])),
    min_size=1,
    max_size=40,
)


def reference(rows):
    """The rules in plain Python: rows are (user, item, minute, dwell)."""
    found = {}
    for user in {r[0] for r in rows}:
        own = sorted(
            (r[2], place, r[1]) for place, r in enumerate(rows) if r[0] == user and (r[3] is None or r[3] >= 2)
        )
        session: list = []
        number = 0
        for i, (minute, _, item) in enumerate(own):
            if i and minute - own[i - 1][0] >= 30:
                session, number = [], number + 1
            if not session or session[-1] != item:
                session.append(item)
            found[user, number, 0] = session
    return found


def drawn_log(con, rows):
    return log(con, [r[:3] for r in rows], dwell_seconds=pa.array([r[3] for r in rows], pa.float64()))


@settings(max_examples=40, deadline=None)
@given(clicks)
def test_sessions_equal_the_plain_python_reference(rows):
    assert cut(drawn_log(CON, rows)) == reference(rows)


@settings(max_examples=20, deadline=None)
@given(clicks)
def test_cleaning_twice_is_cleaning_once(rows):
    once = clean(drawn_log(CON, rows), ALL)
    assert rows_of(clean(once, ALL)) == rows_of(once)
    assert cut(clean(once, ALL)) == cut(once)


@settings(max_examples=20, deadline=None)
@given(clicks, clicks, st.integers(0, 200))
def test_the_future_changes_no_earlier_click(rows, others, now):
    """Everything cleaned up to a moment is the same whatever happens after it."""
    past = [r for r in rows if r[2] <= now] or [(1, "a", now, None)]
    future = [(user, item, now + 1 + minute, dwell) for user, item, minute, dwell in others]
    alone = engine.arrow(clean(drawn_log(CON, past), ALL).table).to_pylist()
    followed = engine.arrow(clean(drawn_log(CON, past + future), ALL).table).to_pylist()
    key = lambda row: row["source_row"]  # noqa: E731
    assert sorted(alone, key=key) == sorted((r for r in followed if r["timestamp"] <= now * MINUTE), key=key)


@settings(max_examples=20, deadline=None)
@given(clicks, st.integers(1, 4), st.integers(1, 5))
def test_length_bounds_say_the_same_of_lists_and_of_flat_arrays(rows, shortest, longest):
    uncut = Sequences.from_lists([[ord(c) for c in items] for _, items in sorted(reference(rows).items())])
    chosen = SessionSettings(min_session_length=shortest, max_session_length=longest)
    expected = [[ord(c) for c in items] for items in lists(drawn_log(CON, rows), chosen)]
    assert within_lengths(uncut, shortest, longest).to_lists() == expected


CON = engine.connect(threads=1)
