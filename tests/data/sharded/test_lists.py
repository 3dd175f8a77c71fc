"""Sequences on the engine: each rule by hand, and the images of any rows against the arrays of `views.mapped`."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from prismrec.data import engine
from prismrec.data.reading import connect
from prismrec.data.sequences import Sequences
from prismrec.data.sessions import SessionSettings
from prismrec.data.sharded.lists import (
    history_rows,
    in_item_order,
    mapped_rows,
    node_counts,
    session_counts,
    session_rows,
    with_indices,
)
from prismrec.data.views import mapped

CLICKS = {
    "user_id": pa.array([0, 0, 0, 1, 0, 1], pa.int32()),
    "item_id": pa.array([4, 5, 5, 4, 6, 4], pa.int32()),
    "timestamp": pa.array([10, 20, 90, 5, 95, 6], pa.int64()),
    "source_row": pa.array([1, 2, 3, 4, 5, 6], pa.int64()),
    "session_number": pa.array([0, 0, 1, 0, 1, 1], pa.int32()),
}


@pytest.fixture
def clicks(connection):
    return engine.register(connection, pa.table(CLICKS))


def by_user(table):
    found = engine.arrow(table.order_by(["user_index", "session_number", "piece"])).to_pylist()
    return [(row["user_index"], row["session_number"], row["piece"], row["items"]) for row in found]


def test_sessions_by_user(clicks):
    assert by_user(session_rows(clicks, SessionSettings())) == [(0, 0, 0, [4, 5]), (0, 1, 0, [5, 6])]


def test_long_sessions_in_pieces(clicks):
    chosen = SessionSettings(min_session_length=1, max_session_length=1)
    assert by_user(session_rows(clicks, chosen))[:2] == [(0, 0, 0, [4]), (0, 0, 1, [5])]


@pytest.mark.parametrize(("collapse", "first", "second"), [(True, [4, 5, 6], [4]), (False, [4, 5, 5, 6], [4, 4])])
def test_histories_by_user(clicks, collapse, first, second):
    found = by_user(history_rows(clicks, SessionSettings(collapse_repeats=collapse)))
    assert found == [(0, 0, 0, first), (1, 0, 0, second)]


def test_counts_before_the_bounds(clicks):
    chosen = SessionSettings(min_session_length=2, max_session_length=1)
    assert session_counts(clicks, chosen) == {"found": 4, "too_short": 2, "cut": 2, "clicks": 6}
    assert session_counts(clicks.limit(0), chosen) == {"found": 0, "too_short": 0, "cut": 0, "clicks": 0}


def test_places_never_meet_and_lie_evenly(connection):
    """Multiples of 2^32 / golden ratio: any tenth of their range has a tenth of the users of any activity."""
    n = 20_000
    users = pa.array(np.arange(n), pa.int32())
    log = pa.table({
        "user_id": users, "item_id": users, "timestamp": pa.array(np.zeros(n, np.int64)),
        "source_row": pa.array(np.arange(n)), "session_number": pa.array(np.zeros(n, np.int32)),
    })  # fmt: skip
    rows = engine.arrow(history_rows(engine.register(connection, log), SessionSettings()))
    places, indices = rows["place"].to_numpy(), rows["user_index"].to_numpy()
    assert len(np.unique(places)) == n
    assert 0 <= places.min() < places.max() < 2**32
    for first in range(0, n, 2_000):
        own = places[(indices >= first) & (indices < first + 2_000)]
        assert np.abs(np.histogram(own, 10, (0, 2**32))[0] - 200).max() <= 3
    last = 2**31 - 1
    assert last * 2_654_435_761 < 2**63, "the product of the last index fits into 64 bits"


def test_ids_become_indices(connection):
    log = pa.table({**CLICKS, "user_id": list("aabbab"), "item_id": list("xyxyxz")})
    users = engine.register(connection, pa.table({"id": ["b", "a"], "user_index": pa.array([0, 1], pa.int32())}))
    items = engine.register(connection, pa.table({"id": ["x", "y"], "item_index": pa.array([0, 1], pa.int32())}))
    found = engine.arrow(with_indices(engine.register(connection, log), users, items).order_by("source_row"))
    assert found["user_id"].to_pylist() == [1, 1, 0, 0, 1]  # z is in no vocabulary
    assert found["item_id"].to_pylist() == [0, 1, 0, 1, 0]


def test_side_columns_by_item(connection):
    items = engine.register(connection, pa.table({"item_id": ["b", "q"], "id": [7, 8], "count": [1, 2]}))
    index = engine.register(connection, pa.table({"id": ["a", "b"], "prismrec_index": pa.array([0, 1], pa.int32())}))
    found = engine.arrow(in_item_order(items, index).order_by("prismrec_index"))
    assert found.to_pydict() == {"prismrec_index": [0, 1], "id": [None, 7], "count": [None, 1]}


def test_nodes_are_counted(connection):
    rows = engine.register(connection, pa.table({"items": pa.array([[3, 1, 3], [3]], pa.list_(pa.int32()))}))
    assert engine.arrow(node_counts(rows).order_by("node")).to_pydict() == {"node": [1, 3], "n": [1, 3]}


@settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    rows=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=6),
    nodes=st.lists(st.sets(st.integers(0, 2)), min_size=5, max_size=5),
)
def test_images_are_those_of_arrays(connection, rows, nodes):
    item_nodes = Sequences.from_lists([sorted(each) for each in nodes])
    expected = mapped(Sequences.from_lists(rows), item_nodes).to_lists()
    pairs = [(item, node) for item, each in enumerate(nodes) for node in each]
    edges = pa.table({
        "item": pa.array([item for item, _ in pairs], pa.int32()), "node": pa.array([n for _, n in pairs], pa.int32()),
    })  # fmt: skip
    numbered = pa.table({"row": pa.array(range(len(rows)), pa.int64()), "items": pa.array(rows, pa.list_(pa.int32()))})
    table = mapped_rows(engine.register(connection, numbered), engine.register(connection, edges))
    found = {row["row"]: row["items"] for row in engine.arrow(table).to_pylist()}
    assert [found.get(row, []) for row in range(len(rows))] == expected
    assert all(found.values()), "empty rows are left out"


def test_a_session_without_end_needs_no_more_than_its_clicks(tmp_path):
    """Cut before it is listed: pieces of one list would copy it once for each of them, 1.2 GB here."""
    n, backend = 200_000, connect(threads=2, memory_limit="300MB")
    zeros, numbers = np.zeros(n, np.int32), np.arange(n)
    log = {"user_id": zeros, "item_id": zeros, "timestamp": numbers, "source_row": numbers, "session_number": zeros}
    rows = session_rows(engine.register(backend, pa.table(log)), SessionSettings())
    engine.write_dataset(rows, tmp_path, 1, ("place", "session_number", "piece"))
    lengths = engine.one_row(rows.aggregate(n=rows.count(), clicks=rows["items"].length().sum()))
    assert lengths == {"n": 1_000, "clicks": n}
