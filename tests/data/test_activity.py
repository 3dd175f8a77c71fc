"""The k-core against a slow loop, and the bound on bots."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.activity import within_bounds
from prismrec.data.schema import Interactions
from prismrec.data.sessions import SessionSettings

CON = engine.connect(threads=1)
pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


def bounded(rows, **bounds):
    users, items = zip(*rows, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "source_row": range(len(rows))})
    log, counts = within_bounds(Interactions(engine.register(CON, table)), SessionSettings(**bounds))
    kept = sorted(engine.arrow(log.table)["source_row"].to_pylist())
    return [rows[i] for i in kept], counts


def slow_core(rows, per_user, per_item):
    while True:
        users, items = [r[0] for r in rows], [r[1] for r in rows]
        kept = [r for r in rows if users.count(r[0]) >= per_user and items.count(r[1]) >= per_item]
        if kept == rows:
            return rows
        rows = kept


@settings(max_examples=25, deadline=None)
@given(pairs, st.integers(1, 4), st.integers(1, 4))
def test_the_core_equals_a_slow_loop(rows, per_user, per_item):
    kept, counts = bounded(rows, min_user_interactions=per_user, min_item_interactions=per_item)
    assert kept == slow_core(rows, per_user, per_item)
    assert counts["interactions"] == len(rows) - len(kept)
    assert counts["users"] == len({r[0] for r in rows}) - len({r[0] for r in kept})
    assert counts["stable"] == 1


def test_too_active_users_go_first_and_once():
    rows = [(1, n) for n in range(5)] + [(2, 0), (2, 1), (3, 0)]
    kept, counts = bounded(rows, max_user_interactions=4, min_item_interactions=2)
    assert kept == [(2, 0), (3, 0)]
    assert counts["too_active_users"] == 1


def test_rounds_are_bounded_and_the_report_says_so():
    chain = [pair for n in range(6) for pair in ((n, n), (n, n + 1))]  # falls apart from one end, one pair per round
    _, counts = bounded(chain, min_user_interactions=2, min_item_interactions=2, max_core_rounds=2)
    assert counts["rounds"] == 2
    assert counts["stable"] == 0


def test_without_bounds_nothing_is_touched():
    kept, counts = bounded([(1, 1)])
    assert kept == [(1, 1)]
    assert counts["rounds"] == 0
