"""Each protocol on a log small enough to read, and on random logs: the future never reaches training."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.schema import Interactions
from prismrec.data.sessions import SessionSettings, clean
from prismrec.data.splits import SplitSettings, split, validation_split
from prismrec.errors import DataError

MINUTE = 60_000_000
BACKEND = engine.connect(threads=1)
ML_1M = Path(__file__).parents[2] / ".." / "shared" / "data" / "ml-1m" / "ratings.parquet"

# user, item, minute. Ann has sessions at 0, 100 and 300; Bob one that goes from 90 to 118; Cy one click.
ROWS = [
    ("ann", 1, 0), ("ann", 2, 1), ("ann", 3, 2),
    ("ann", 4, 100), ("ann", 5, 101),
    ("bob", 1, 90), ("bob", 2, 99), ("bob", 3, 118),
    ("ann", 6, 300), ("ann", 7, 301), ("ann", 1, 305),
    ("cy", 9, 400),
]  # fmt: skip

PROTOCOLS = ["next_item", "ratio", "kfold", "next_in_session"]
# Five users with three sessions of four clicks each, two by two at one time.
MANY_ROWS = [(user, item, 50 * (item // 4) + item % 4 // 2 + user) for user in range(5) for item in range(12)]


def log(rows=ROWS, time_unit="us", **columns):
    users, items, minutes = zip(*rows, strict=True)
    table = {
        "user_id": list(users),
        "item_id": list(items),
        "timestamp": np.array(minutes, np.int64) * MINUTE,
        "source_row": np.arange(1, len(rows) + 1),
        **columns,
    }
    interactions = Interactions(engine.register(BACKEND, pa.table(table)), time_unit)
    return clean(interactions, SessionSettings(collapse_repeats=False))


def cut(interactions, protocol, **given):
    return next(split(interactions, SplitSettings(protocol=protocol, **given)))


def train_rows(found):
    """(user, item, minute) of the training rows, in the order of the input."""
    table = found.train.table
    rows = engine.arrow(table.order_by(["source_row", "timestamp", "item_id"])).to_pylist()
    return [(row["user_id"], row["item_id"], row["timestamp"] // MINUTE) for row in rows]


def asked(found):
    """(user, history, truth) of every query."""
    return [(q["user_id"], q["history"], q["truth"]) for q in found.queries.queries.to_pylist()]


# --- next_item ---


def test_next_item_holds_out_the_last_item_of_each_user():
    found = cut(log(), "next_item")
    assert asked(found) == [("ann", [1, 2, 3, 4, 5, 6, 7], [1]), ("bob", [1, 2], [3])]
    assert train_rows(found) == [row for row in ROWS if row not in (("ann", 1, 305), ("bob", 3, 118))]
    assert found.queries.left_out == {"users_with_too_few_rows": 1}


def test_next_item_keeps_users_with_too_short_a_history_in_training():
    found = cut(log(), "next_item", min_history=3)
    assert [user for user, _, _ in asked(found)] == ["ann"]
    assert ("bob", 3, 118) in train_rows(found)
    assert found.queries.left_out == {"users_with_too_few_rows": 2}


def test_min_history_is_met_by_exactly_as_many_earlier_rows():
    assert len(cut(log(), "next_item", min_history=2).queries) == 2


def test_equal_times_are_in_the_order_of_the_input():
    found = cut(log([("u", 5, 1), ("u", 3, 1), ("u", 4, 1)]), "next_item")
    assert asked(found) == [("u", [5, 3], [4])]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_order_of_rows_in_the_table_does_not_matter(protocol):
    interactions = log(MANY_ROWS)
    shuffled = engine.arrow(interactions.table).take(np.random.default_rng(0).permutation(len(MANY_ROWS)))
    one, other = cut(interactions, protocol), cut(Interactions(engine.register(BACKEND, shuffled)), protocol)
    assert one.queries.queries.equals(other.queries.queries)
    assert train_rows(one) == train_rows(other)


def test_queries_are_numbered_and_have_no_session_where_the_protocol_has_none():
    queries = cut(log(), "next_item").queries.queries
    assert queries.column_names == ["query", "user_id", "history", "truth", "session"]
    assert queries["query"].to_pylist() == [0, 1]
    assert queries["session"].to_pylist() == [None, None]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_training_rows_keep_all_columns_and_no_others(protocol):
    interactions = log(MANY_ROWS, rating=np.arange(60.0))
    assert cut(interactions, protocol).train.table.columns == interactions.table.columns


# --- ratio ---


def test_ratio_holds_out_the_last_share_of_each_user_rounded_down():
    found = cut(log(), "ratio", test_share=0.4)
    assert asked(found) == [("ann", [1, 2, 3, 4, 5], [6, 7, 1]), ("bob", [1, 2], [3])]  # 8 * 0.4 = 3.2, 3 * 0.4 = 1.2
    assert len(train_rows(found)) == 12 - 4
    assert found.queries.left_out == {"users_with_too_few_rows": 1}


def test_ratio_leaves_users_whose_share_is_less_than_a_row_in_training():
    found = cut(log(), "ratio", test_share=0.3)
    assert [user for user, _, _ in asked(found)] == ["ann"]
    assert ("bob", 3, 118) in train_rows(found)


def test_ratio_is_not_off_by_one_through_floating_point():
    rows = [("u", item, item) for item in range(100)]
    assert len(asked(cut(log(rows), "ratio", test_share=0.29))[0][2]) == 29  # 100 * 0.29 is 28.999...


# --- kfold ---


def test_every_row_is_held_out_in_exactly_one_fold_and_trains_in_the_others():
    folds = list(split(log(MANY_ROWS), SplitSettings(protocol="kfold", n_folds=3)))
    training = [set(train_rows(fold)) for fold in folds]
    for row in MANY_ROWS:
        assert sum(row in rows for rows in training) == 2, row


def test_a_fold_asks_for_the_held_out_items_from_the_training_items_in_time_order():
    found = cut(log(MANY_ROWS), "kfold", n_folds=3)
    training = set(train_rows(found))
    for user, history, truth in asked(found):
        own = sorted((minute, item) for who, item, minute in MANY_ROWS if who == user)
        assert history == [item for minute, item in own if (user, item, minute) in training]
        assert truth == [item for minute, item in own if (user, item, minute) not in training]


@pytest.mark.parametrize(("wanted", "n_held_out"), [(0, 3), (1, 1), (2, 2), (7, 3)])
def test_only_the_first_folds_are_held_out_where_no_more_are_wanted(wanted, n_held_out):
    every = [train_rows(fold) for fold in split(log(MANY_ROWS), SplitSettings(protocol="kfold", n_folds=3))]
    some = list(split(log(MANY_ROWS), SplitSettings(protocol="kfold", n_folds=3, max_folds=wanted)))
    assert [train_rows(fold) for fold in some] == every[:n_held_out]


def test_folds_depend_on_the_seed_and_the_row_alone():
    rows = [("u", item, item) for item in range(200)]
    one, same, other = (cut(log(rows), "kfold", seed=seed) for seed in (1, 1, 2))
    assert train_rows(one) == train_rows(same)
    assert train_rows(one) != train_rows(other)
    longer = cut(log([*rows, ("v", 1, 5)]), "kfold", seed=1)
    assert [row for row in train_rows(longer) if row[0] == "u"] == train_rows(one)


def test_folds_look_random():
    rows = [("u", item, item) for item in range(20_000)]
    folds = np.full(20_000, -1)
    for number, fold in enumerate(split(log(rows), SplitSettings(protocol="kfold"))):
        folds[asked(fold)[0][2]] = number
    sizes = np.bincount(folds, minlength=5)
    assert np.abs(sizes - 4000).max() < 5 * np.sqrt(20_000 * 0.2 * 0.8)
    neighbours = np.bincount(folds[1:] * 5 + folds[:-1], minlength=25)
    assert np.abs(neighbours - 800).max() < 5 * np.sqrt(20_000 * 0.04 * 0.96)


def test_kfold_counts_users_with_nothing_held_out_and_with_nothing_left():
    rows = [("u", item, item) for item in range(40)] + [(f"v{n}", 1, n) for n in range(40)]
    found = cut(log(rows), "kfold", n_folds=2)
    alone = [row for row in train_rows(found) if row[0] != "u"]  # each has one row: held out, or all that trains
    assert [user for user, _, _ in asked(found)] == ["u"]
    left_out = {"users_with_too_few_rows": 40 - len(alone), "users_without_held_out_rows": len(alone)}
    assert found.queries.left_out == left_out
    assert 0 < len(alone) < 40


# --- next_in_session ---


def test_next_in_session_asks_for_each_item_after_the_first_of_the_later_sessions():
    found = cut(log(), "next_in_session", test_share=5 / 12)  # the last 5 rows: from bob's click at minute 118
    assert asked(found) == [("ann", [6], [7]), ("ann", [6, 7], [1])]
    assert train_rows(found) == [row for row in ROWS if row[2] < 118]


def test_next_in_session_counts_what_it_leaves_out():
    left_out = cut(log(), "next_in_session", test_share=5 / 12).queries.left_out
    assert left_out == {
        "sessions_straddling_the_cut": 1,  # bob's, which loses its click at 118
        "rows_lost_in_straddling_sessions": 1,
        "sessions_of_one_item": 1,  # cy's
    }


def test_a_session_that_starts_at_the_cut_is_tested():
    found = cut(log(), "next_in_session", test_share=4 / 12)  # the cut is ann's click at minute 300
    assert asked(found)[0] == ("ann", [6], [7])
    assert "sessions_straddling_the_cut" not in found.queries.left_out


def test_rows_at_the_time_of_the_cut_are_never_in_training():
    rows = [("a", 1, 0), ("a", 2, 1), ("b", 1, 50), ("c", 1, 50), ("b", 2, 51), ("c", 2, 51)]
    found = cut(log(rows), "next_in_session", test_share=0.5)  # the third last row is at 50, and so is another
    assert train_rows(found) == rows[:2]
    assert asked(found) == [("b", [1], [2]), ("c", [1], [2])]


def test_the_user_history_reaches_back_through_training_and_straddling_rows():
    found = cut(log(), "next_in_session", test_share=5 / 12, history="user")
    assert asked(found) == [("ann", [1, 2, 3, 4, 5, 6], [7]), ("ann", [1, 2, 3, 4, 5, 6, 7], [1])]
    rows = [("u", 1, 0), ("x", 9, 1), ("u", 2, 20), ("u", 3, 40), ("u", 4, 90), ("u", 5, 91)]
    found = cut(log(rows), "next_in_session", test_share=0.5, history="user")  # cut at 40: inside u's first session
    assert asked(found) == [("u", [1, 2, 3, 4], [5])]
    assert train_rows(found) == rows[:3]


def test_given_sessions_are_used_as_they_are_and_may_interleave():
    rows = [("u", 1, 0), ("u", 2, 10), ("u", 3, 500), ("u", 4, 501), ("u", 5, 502), ("u", 6, 503)]
    interactions = log(rows, session_id=["s", "s", "tab1", "tab2", "tab1", "tab2"])
    by_session = cut(interactions, "next_in_session", test_share=4 / 6)
    assert asked(by_session) == [("u", [3], [5]), ("u", [4], [6])]
    by_user = cut(interactions, "next_in_session", test_share=4 / 6, history="user")
    assert asked(by_user) == [("u", [1, 2, 3, 4], [5]), ("u", [1, 2, 3, 4, 5], [6])]  # never a later click


def test_session_numbers_tell_the_sessions_of_a_user_apart():
    rows = [("u", 1, 0), ("u", 2, 100), ("u", 3, 101), ("u", 4, 102), ("u", 5, 200), ("u", 6, 201)]
    queries = cut(log(rows), "next_in_session", test_share=5 / 6).queries.queries
    assert queries["session"].to_pylist() == [1, 1, 2]
    assert queries["session"].type == pa.int64()


def test_sessions_need_times_with_a_distance_or_a_session_column():
    rows = [("u", item, item) for item in range(9)]
    with pytest.raises(DataError, match="no session column and its times carry order without distance"):
        cut(log(rows, time_unit="order"), "next_in_session")
    found = cut(
        log(rows, time_unit="order", session_id=[1, 1, 1, 1, 1, 2, 2, 2, 2]), "next_in_session", test_share=4 / 9
    )
    assert len(found.queries) == 3


def test_a_log_without_session_numbers_is_sent_to_clean():
    interactions = log()
    bare = Interactions(interactions.table.drop("session_number"))
    with pytest.raises(DataError, match=r"no column 'session_number': pass it through prismrec\.data\.sessions\.clean"):
        cut(bare, "next_in_session")


def test_a_log_of_a_single_moment_cannot_be_cut_by_time():
    with pytest.raises(DataError, match=r"cannot cut 3 rows at the last 0.2 by time: no row is earlier than the cut"):
        cut(log([("u", 1, 5), ("u", 2, 5), ("v", 3, 5)]), "next_in_session")


# --- all protocols ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_to_test_is_an_error_that_says_why(protocol):
    rows = [("u", 1, 0), ("v", 2, 100), ("w", 3, 200)]
    with pytest.raises(
        DataError, match=rf"{protocol} leaves nothing to test \(.*3|{protocol} leaves nothing to test \(.*1"
    ):
        cut(log(rows), protocol)


def test_a_sample_of_queries_is_seeded_and_counted_and_leaves_training_alone():
    rows = [(user, item, item) for user in range(50) for item in range(4)]
    everything = cut(log(rows), "next_item")
    sample, same, other = (cut(log(rows), "next_item", max_queries=10, seed=seed) for seed in (1, 1, 2))
    assert len(sample.queries) == 10
    assert sample.queries.left_out["queries_not_sampled"] == 40
    assert asked(sample) == asked(same) != asked(other)
    assert set(map(str, asked(sample))) < set(map(str, asked(everything)))
    assert train_rows(sample) == train_rows(everything)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_validation_split_lies_inside_the_training_rows(protocol):
    rows = [(user, item % 7, 60 * item + user) for user in range(6) for item in range(20)]
    rows += [(user, item + 1, minute + 1) for user, item, minute in rows]
    chosen = SplitSettings(protocol=protocol, test_share=0.25)
    outer = next(split(log(sorted(rows, key=lambda row: row[2])), chosen))
    inner = validation_split(outer, chosen)
    assert set(train_rows(inner)) < set(train_rows(outer))
    assert len(inner.queries) > 0


def test_large_ids_and_text_ids_come_back_as_they_were():
    big = 2**63 - 25
    found = cut(log([("ü 1", big, 0), ("ü 1", big - 1, 1), ("ü 1", big - 2, 2)]), "next_item")
    assert asked(found) == [("ü 1", [big, big - 1], [big - 2])]


random_logs = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 400)), min_size=4, max_size=30
)


@settings(max_examples=15, deadline=None)
@given(rows=random_logs, seed=st.integers(0, 5), protocol=st.sampled_from(["next_item", "ratio"]))
def test_other_held_out_items_at_later_times_change_no_training_row(rows, seed, protocol):
    rng = np.random.default_rng(seed)
    try:
        before = cut(log(rows), protocol, test_share=0.4)
    except DataError:  # no user has a history: nothing to compare
        return
    held = _held_out_rows(rows, before)
    changed = [
        (user, int(rng.integers(100, 200)), 1000 + minute) if place in held else (user, item, minute)
        for place, (user, item, minute) in enumerate(rows)
    ]
    assert train_rows(cut(log(changed), protocol, test_share=0.4)) == train_rows(before)


@settings(max_examples=15, deadline=None)
@given(rows=random_logs, seed=st.integers(0, 5), history=st.sampled_from(["session", "user"]))
def test_other_rows_after_the_cut_change_no_training_row_and_no_earlier_history(rows, seed, history):
    rng = np.random.default_rng(seed)
    try:
        before = cut(log(rows), "next_in_session", test_share=0.5, history=history)
    except DataError:  # nothing starts after the cut
        return
    n_train = len(train_rows(before))
    moment = sorted(minute for _, _, minute in rows)[n_train]
    changed = [row if row[2] < moment else (row[0], int(rng.integers(100, 200)), row[2]) for row in rows]
    after = cut(log(changed), "next_in_session", test_share=0.5, history=history)
    assert train_rows(after) == train_rows(before)
    assert all(minute < moment for _, _, minute in train_rows(before))
    assert [len(h) for _, h, _ in asked(after)] == [len(h) for _, h, _ in asked(before)]


def _held_out_rows(rows, found):
    """Places of the rows that are not in training."""
    kept = engine.arrow(found.train.table.select("source_row"))["source_row"].to_pylist()
    return set(range(len(rows))) - {row - 1 for row in kept}


@settings(max_examples=15, deadline=None)
@given(rows=random_logs, protocol=st.sampled_from(["next_item", "ratio", "kfold"]))
def test_every_row_trains_or_is_held_out_and_never_both(rows, protocol):
    try:
        found = cut(log(rows), protocol, test_share=0.4)
    except DataError:  # no user has a history
        return
    n_held = len(rows) - len(train_rows(found))
    n_targets = sum(len(truth) for _, _, truth in asked(found))
    assert n_targets == n_held or (protocol == "kfold" and n_targets < n_held)
    n_own = {user: sum(who == user for who, _, _ in rows) for user in "abc"}
    assert all(len(history) + len(truth) == n_own[user] for user, history, truth in asked(found))


@pytest.mark.slow
def test_movielens_leaves_one_item_out_of_each_user():
    if not ML_1M.exists():
        pytest.skip(f"MovieLens-1M is not at {ML_1M}")
    table = pq.read_table(ML_1M).sort_by([("user_id", "ascending"), ("pos", "ascending")])
    columns = {
        "user_id": table["user_id"],
        "item_id": table["movie_id"],
        "timestamp": np.asarray(table["timestamp"]) * 1_000_000,
        "source_row": np.arange(1, len(table) + 1),
    }
    found = cut(Interactions(engine.register(BACKEND, pa.table(columns))), "next_item")
    last = table.filter(np.append(np.diff(table["user_id"].to_numpy()) != 0, True))
    queries = found.queries.queries
    assert queries["user_id"].to_pylist() == last["user_id"].to_pylist()
    assert [truth for (truth,) in queries["truth"].to_pylist()] == last["movie_id"].to_pylist()
    assert engine.one_row(found.train.table.aggregate(n=found.train.table.count()))["n"] == 1_000_209 - 6_040
