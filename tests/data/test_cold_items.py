"""Items withheld with all of their clicks: who is drawn, what is asked, and that nothing of them reaches training."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.cold_items import cold_item, is_drawn, validation_cold_item
from prismrec.data.preparation import prepare
from prismrec.data.schema import Interactions, ItemTable
from prismrec.data.sessions import SessionSettings, clean
from prismrec.data.splits import SplitSettings, split
from prismrec.data.views import ViewSettings
from prismrec.errors import ConfigError, DataError
from prismrec.fitting import fingerprint_of

MINUTE = 60_000_000
BACKEND = engine.connect(threads=1)
VIEWS = {"category": ViewSettings(column="category"), "shop": ViewSettings(column="shop")}
SESSIONS = SessionSettings()
N_ITEMS = 12
SETTINGS = SplitSettings(protocol="cold_item", cold_share=0.3)
COLD = [i for i in range(N_ITEMS) if is_drawn(i, 0.3, 0) and i != 5]  # 5 has no node
WARM = [i for i in range(N_ITEMS) if i not in COLD]


def log(rows, **columns):
    users, items, minutes = zip(*rows, strict=True)
    times = (np.array(minutes, np.float64) * MINUTE).astype(np.int64)
    number = np.arange(1, len(rows) + 1)
    table = {"user_id": list(users), "item_id": list(items), "timestamp": times, "source_row": number, **columns}
    return Interactions(engine.register(BACKEND, pa.table(table)))


def item_table(n_items=N_ITEMS):
    table = {
        "item_id": list(range(n_items)),
        "category": [None if i == 5 else f"c{i % 3}" for i in range(n_items)],
        "shop": [None if i == 5 else i % 2 for i in range(n_items)],
    }
    return ItemTable(engine.register(BACKEND, pa.table(table)))


def cut(rows, items=None, given=SETTINGS, sessions=SESSIONS, **columns):
    return cold_item(log(rows, **columns), items or item_table(), VIEWS, given, sessions)


def asked(found):
    return [(q["user_id"], q["history"], q["truth"]) for q in found.queries.queries.to_pylist()]


def everyone(cold_rows=()):
    """Two users who click every warm item, 10 minutes apart, and these rows besides."""
    rows = [(user, item, 10.0 * place + user) for user in (1, 2) for place, item in enumerate(WARM)]
    return sorted([*rows, *cold_rows], key=lambda row: (row[0], row[2]))


def test_the_invented_shop_has_items_to_withhold_and_more_to_keep():
    assert 2 <= len(COLD) <= 6
    assert len(WARM) >= 6


def test_drawn_items_leave_log_and_item_table_and_no_others():
    found = cut(everyone([(1, item, 200.0 + item) for item in COLD]))
    assert sorted(found.withheld.ids.to_pylist()) == COLD
    assert sorted(set(engine.arrow(found.train.table)["item_id"].to_pylist())) == WARM
    assert sorted(engine.arrow(found.items.table)["item_id"].to_pylist()) == WARM
    assert sorted(engine.arrow(found.withheld_items.table)["item_id"].to_pylist()) == COLD
    assert found.withheld.counts.tolist() == [1] * len(COLD)


def test_an_item_without_a_node_is_never_withheld():
    given = SETTINGS.model_copy(update={"cold_share": 0.999})
    rows = [(1, item, float(item)) for item in range(N_ITEMS)] + [(2, 5, 1.0), (2, 7, 2.0)]
    assert 5 not in cut(rows, given=given).withheld.ids.to_pylist()


def test_a_query_is_the_first_click_after_the_warm_rows_before_it():
    one, two = COLD[:2]
    rows = [
        (1, WARM[0], 0),
        (1, WARM[1], 10),
        (1, one, 20),
        (1, WARM[2], 30),
        (1, two, 40),
        (1, one, 50),
        (2, WARM[0], 0),
    ]
    found = cut(rows)
    assert asked(found) == [(1, [WARM[0], WARM[1]], [one]), (1, [WARM[0], WARM[1], WARM[2]], [two])]
    assert dict(found.queries.left_out) == {"clicks_again": 1}


def test_users_do_not_share_their_histories():
    rows = everyone([(1, COLD[0], 15.0), (2, COLD[0], 25.0)])
    assert asked(cut(rows)) == [(1, WARM[:2], [COLD[0]]), (2, WARM[:3], [COLD[0]])]


def test_too_few_rows_before_are_counted_and_not_asked():
    rows = everyone([(1, COLD[0], 5.0), (2, COLD[1], 45.0)])
    found = cut(rows, given=SETTINGS.model_copy(update={"min_history": 3}))
    assert [(user, truth) for user, _, truth in asked(found)] == [(2, [COLD[1]])]
    assert dict(found.queries.left_out) == {"clicks_with_too_few_rows_before": 1}


def test_short_clicks_are_neither_history_nor_truth():
    rows = [(1, WARM[0], 0), (1, WARM[1], 1), (1, COLD[0], 2), (1, WARM[2], 3), (1, COLD[1], 4), (2, WARM[3], 0)]
    found = cut(rows, dwell_seconds=[9.0, 1.0, 1.0, 9.0, 9.0, 9.0])
    assert asked(found) == [(1, [WARM[0], WARM[2]], [COLD[1]])]


def test_queries_can_be_sampled():
    rows = everyone([(user, item, 300.0 + item) for user in (1, 2) for item in COLD])
    few = cut(rows, given=SETTINGS.model_copy(update={"max_queries": 2}))
    assert len(few.queries) == 2
    assert few.queries.left_out["queries_not_sampled"] == 2 * len(COLD) - 2


def test_validation_withholds_other_items_from_the_training_rows():
    rows = [(user, item, 7.0 * place + user) for user in range(6) for place, item in enumerate(range(40))]
    items = item_table(40)
    outer = cut(rows, items)
    inner = validation_cold_item(outer, VIEWS, SETTINGS, SESSIONS)
    withheld, again = (set(found.withheld.ids.to_pylist()) for found in (outer, inner))
    assert again
    assert not again & withheld
    trained = set(engine.arrow(inner.train.table)["item_id"].to_pylist())
    assert not trained & (again | withheld)
    for _, history, truth in asked(inner):
        assert set(truth) <= again
        assert set(history) <= trained


def test_text_ids_are_drawn_by_their_text():
    rows = [(user, f"item-{i}", float(i)) for user in ("a", "b") for i in range(40)]
    items = ItemTable(
        engine.register(
            BACKEND, pa.table({"item_id": [f"item-{i}" for i in range(40)], "category": ["c"] * 40, "shop": [1] * 40})
        )
    )
    drawn = [f"item-{i}" for i in range(40) if is_drawn(f"item-{i}", 0.3, 0)]
    assert sorted(cut(rows, items).withheld.ids.to_pylist()) == sorted(drawn)


def test_the_draw_takes_its_share_and_depends_on_the_seed():
    drawn = [[is_drawn(i, 0.1, seed) for i in range(20_000)] for seed in (0, 1)]
    assert abs(np.mean(drawn[0]) - 0.1) < 0.01
    assert abs(np.mean(np.array(drawn[0]) & np.array(drawn[1])) - 0.01) < 0.004


def trained_on(rows):
    """Everything that training reads, as one digest, and the item columns."""
    found = cut(rows)
    data = prepare(found.train, found.items, VIEWS, SESSIONS)
    return fingerprint_of(data), data.item_columns.to_pylist()


COLD_ROWS = st.lists(
    st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from(COLD), st.integers(0, 1500)), min_size=1, max_size=25
)


@settings(max_examples=12, deadline=None)
@given(COLD_ROWS, COLD_ROWS)
def test_changing_the_clicks_on_withheld_items_changes_no_training_input(before, after):
    warm = [(1, WARM[0], 0), (1, WARM[1], 25), (1, WARM[1], 45), (1, WARM[2], 70), (2, WARM[3], 5), (2, WARM[0], 90)]
    warm += [(3, WARM[1], 200), (3, WARM[2], 229), (3, WARM[2], 231), (3, WARM[4], 259), (1, WARM[0], 2000)]
    late = [(1, COLD[0], 3000), (2, COLD[1], 3000)]  # so that there is something to ask
    one, two = (trained_on([*warm, *cold, *late]) for cold in (before, after))
    assert one == two


def test_a_withheld_click_bridges_no_pause_and_hides_no_repeat():
    """Were the log cleaned before the cut, the withheld click would make one session of two, and keep the repeat."""
    bridged = [
        (1, WARM[0], 0),
        (1, COLD[0], 25),
        (1, WARM[1], 50),
        (1, WARM[2], 60),
        (1, COLD[1], 65),
        (1, WARM[2], 70),
    ]
    data = prepare(cut(bridged).train, item_table(), VIEWS, SESSIONS)
    assert [data.items.ids_of(session) for session in data.sessions] == [[WARM[1], WARM[2]]]


def test_a_log_that_is_cleaned_already_is_refused():
    interactions = clean(log(everyone([(1, COLD[0], 500.0)])), SESSIONS)
    with pytest.raises(DataError, match="clean it after the split"):
        cold_item(interactions, item_table(), VIEWS, SETTINGS, SESSIONS)


def test_no_item_to_withhold_is_an_error():
    n_nodes = len(WARM) - 1  # item 5 has none
    with pytest.raises(DataError, match=rf"withholds no item: {n_nodes} of {len(WARM)} clicked items have a node"):
        cut(everyone())


def test_nothing_left_to_train_on_is_an_error():
    with pytest.raises(DataError, match="leaves nothing to train on: all 1 clicked items are withheld"):
        cut([(1, COLD[0], 0.0)])


def test_nothing_to_ask_is_an_error():
    with pytest.raises(
        DataError, match="leaves nothing to test: 1 first clicks on withheld items, none after 1 warm rows"
    ):
        cut([(1, COLD[0], 0.0), (1, WARM[0], 1.0)])


def test_the_other_splitter_says_that_it_cuts_rows():
    with pytest.raises(
        ConfigError, match=r"split.protocol = cold_item is not made of held-out rows alone: here only next_item"
    ):
        split(clean(log(everyone()), SESSIONS), SETTINGS)


def test_columns_of_the_log_stay_as_they_are():
    interactions = log(everyone([(1, COLD[0], 500.0)]))
    found = cold_item(interactions, item_table(), VIEWS, SETTINGS, SESSIONS)
    assert list(found.train.table.columns) == list(interactions.table.columns)
    assert dataclasses.replace(found.train, table=None) == dataclasses.replace(interactions, table=None)
